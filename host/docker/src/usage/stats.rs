//! Resource counters from the engine's stats API, for containers whose kernel files are not readable here.

use crate::call_error::CallError;
use crate::cgroup::Counters;
use crate::client::EngineClient;
use crate::usage::table::CounterSample;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::stream::StreamExt;
use std::time::Duration;
use windlass_core::ContainerId;

/// Fetches the engine's stats of a container. `None` if it does not run, which the engine reports as zeros.
pub(super) async fn fetch(engine: &EngineClient, id: &ContainerId) -> Result<Option<CounterSample>, CallError> {
    // Without `one_shot` the engine itself takes two samples, one second apart.
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let stats = engine
        .call("read a container's stats", |docker| async move {
            docker.stats(id.as_str(), Some(options)).next().await.transpose()
        })
        .await?;
    Ok(stats.as_ref().and_then(from_stats))
}

fn from_stats(stats: &ContainerStatsResponse) -> Option<CounterSample> {
    let memory = stats.memory_stats.as_ref()?;
    let used = memory.usage?;
    let inactive = memory.stats.as_ref().map_or(0, |stats| {
        let of_v1 = stats.get("total_inactive_file");
        of_v1.or_else(|| stats.get("inactive_file")).copied().unwrap_or_default()
    });
    let traffic = |of: fn(&bollard::models::ContainerNetworkStats) -> Option<u64>| {
        stats.networks.iter().flatten().filter_map(|(_, network)| of(network)).fold(0, u64::saturating_add)
    };
    let read_at: jiff::Timestamp = stats.read.as_deref()?.parse().ok()?;
    Some(CounterSample {
        clock: Duration::try_from(read_at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok()?,
        counters: Counters {
            cpu_nanoseconds: stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?,
            memory_bytes: used.saturating_sub(inactive),
            received_bytes: traffic(|network| network.rx_bytes),
            transmitted_bytes: traffic(|network| network.tx_bytes),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(json: serde_json::Value) -> Option<CounterSample> {
        from_stats(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn the_engines_figures_are_read_for_both_kinds_of_groups() {
        for inactive in ["total_inactive_file", "inactive_file"] {
            let sample = stats(serde_json::json!({
                "read": "1970-01-01T00:00:02.5Z",
                "cpu_stats": {"cpu_usage": {"total_usage": 77}},
                "memory_stats": {"usage": 1000, "stats": {inactive: 300}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}}
            }))
            .unwrap();
            let expected =
                Counters { cpu_nanoseconds: 77, memory_bytes: 700, received_bytes: 11, transmitted_bytes: 22 };
            assert_eq!(sample, CounterSample { clock: Duration::from_millis(2500), counters: expected });
        }
    }

    #[test]
    fn figures_of_a_stopped_container_are_none_rather_than_zero() {
        let stopped = serde_json::json!({"read": "0001-01-01T00:00:00Z", "memory_stats": {},
            "cpu_stats": {"cpu_usage": {"total_usage": 0}}});
        assert_eq!(stats(stopped), None);
    }
}
