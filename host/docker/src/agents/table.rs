//! The last sample of each container, and the resource use computed from two of them.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::contract::Usage;
use windlass_core::node_usage::{ContainerUsage, NodeUsage};
use windlass_core::{ContainerId, Timestamp};

/// Intervals for which a sample is used.
const KEPT: u32 = 3;

/// The resource use of the containers of all nodes. Clones share it.
#[derive(Clone)]
pub(crate) struct AgentTable(Arc<Inner>);

struct Inner {
    interval: Duration,
    containers: Mutex<HashMap<ContainerId, Known>>,
}

/// One running container.
struct Known {
    sample: ContainerUsage,
    /// Time of the sample by this machine's steady clock.
    taken: Instant,
    /// `None` before the second sample.
    usage: Option<Usage>,
}

impl AgentTable {
    /// An empty table. `interval` is the time between two samples.
    pub(crate) fn new(interval: Duration) -> Self {
        Self(Arc::new(Inner { interval, containers: Mutex::default() }))
    }

    /// The last known resource use of a container. `None` before its second sample, and if the last sample is older than
    /// three intervals. The rates of its network are unknown, and 0.
    pub(crate) fn usage(&self, id: &ContainerId) -> Option<Usage> {
        let containers = self.0.containers.lock();
        let known = containers.get(id).filter(|known| known.taken.elapsed() <= self.longest_age())?;
        known.usage
    }

    /// Records what the agent of a node answered at `received`, which is `now` by the wall clock. Only `expected`
    /// containers are recorded: those that the Swarm runs on this node.
    ///
    /// # Errors
    /// A sentence, if the answer says nothing about the node now.
    pub(super) fn record(
        &self,
        answer: &NodeUsage,
        expected: &HashSet<ContainerId>,
        received: Instant,
        now: Timestamp,
    ) -> Result<(), String> {
        let mut containers = self.0.containers.lock();
        let (mut found, mut oldest) = (0_usize, Duration::ZERO);
        for (id, sample) in answer.containers.iter().filter(|(id, _)| expected.contains(*id)) {
            found += 1;
            // Both times are by the agent's clock.
            let age = Duration::try_from(answer.now.duration_since(sample.at)).unwrap_or_default();
            oldest = oldest.max(age);
            let Some(taken) = received.checked_sub(age).filter(|_| age <= self.longest_age()) else { continue };
            let usage = match containers.get(id).map(|known| self.usage_between(known, sample)) {
                Some(Step::TooShort) => continue,
                Some(Step::Measured(cpu_cores)) => Some(Usage {
                    at: now.minus(age),
                    cpu_cores,
                    memory_bytes: sample.memory_bytes,
                    network_receive_rate: 0.0,
                    network_transmit_rate: 0.0,
                    network_is_unknown: true,
                }),
                Some(Step::Anew) | None => None,
            };
            containers.insert(id.clone(), Known { sample: *sample, taken, usage });
        }
        if found == 0 && !expected.is_empty() {
            return Err(format!(
                "its agent sees none of the {} containers that run there; bind the node's `/sys/fs/cgroup` to the agent",
                expected.len()
            ));
        }
        if oldest > self.longest_age() {
            return Err(format!("the samples of its agent are {} s old", oldest.as_secs()));
        }
        Ok(())
    }

    /// Drops the containers that were not sampled for a while.
    pub(super) fn forget_old(&self) {
        let limit = self.longest_age();
        self.0.containers.lock().retain(|_, known| known.taken.elapsed() <= limit);
    }

    fn longest_age(&self) -> Duration {
        self.0.interval.saturating_mul(KEPT)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    fn usage_between(&self, before: &Known, sample: &ContainerUsage) -> Step {
        // An agent that was started again has another clock, and a CPU counter that went down belongs to a new process.
        let Ok(gap) = Duration::try_from(sample.at.duration_since(before.sample.at)) else { return Step::Anew };
        let Some(cpu) = sample.cpu_nanoseconds.checked_sub(before.sample.cpu_nanoseconds) else { return Step::Anew };
        // The rate of two samples that are near to each other is noise.
        if gap.is_zero() || gap < self.0.interval / 4 {
            return Step::TooShort;
        }
        Step::Measured(cpu as f64 / 1e9 / gap.as_secs_f64())
    }
}

/// The relation of a sample to the one before it.
enum Step {
    /// CPU use between them, in cores.
    Measured(f64),
    /// They are the same, or nearly.
    TooShort,
    /// They do not belong together.
    Anew,
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const NOW: Timestamp = Timestamp(1_000_000);

    fn id(digit: &str) -> ContainerId {
        ContainerId(digit.repeat(64))
    }

    fn clock(milliseconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(milliseconds).unwrap()
    }

    /// The answer at `now` with one sample of the container `a`.
    fn answer(now: i64, at: i64, cpu_milliseconds: u64) -> NodeUsage {
        let sample = ContainerUsage {
            at: clock(at),
            cpu_nanoseconds: cpu_milliseconds * 1_000_000,
            memory_bytes: cpu_milliseconds,
            memory_limit_bytes: None,
        };
        NodeUsage { now: clock(now), containers: [(id("a"), sample)].into() }
    }

    fn record(table: &AgentTable, answer: &NodeUsage) -> Result<(), String> {
        table.record(answer, &[id("a"), id("b")].into(), Instant::now(), NOW)
    }

    #[tokio::test(start_paused = true)]
    async fn the_use_is_the_difference_of_two_samples_by_the_agents_clock() {
        let table = AgentTable::new(INTERVAL);
        record(&table, &answer(11_000, 10_000, 1_000)).unwrap();
        assert_eq!(table.usage(&id("a")), None, "one sample says nothing");
        // Two seconds here, and five by the agent: its clock counts.
        tokio::time::advance(Duration::from_secs(2)).await;
        record(&table, &answer(16_500, 15_000, 3_500)).unwrap();
        let usage = table.usage(&id("a")).unwrap();
        assert_eq!((usage.at, usage.memory_bytes), (NOW.minus(Duration::from_millis(1_500)), 3_500));
        assert!((usage.cpu_cores - 0.5).abs() < 1e-9, "{usage:?}");
        // The same sample once more changes nothing.
        record(&table, &answer(17_000, 15_000, 3_500)).unwrap();
        assert_eq!(table.usage(&id("a")), Some(usage));
        assert_eq!(table.usage(&id("b")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_process_and_a_new_agent_begin_anew() {
        let table = AgentTable::new(INTERVAL);
        for (at, cpu, expected) in [
            (10_000, 1_000, None),
            (15_000, 2_000, Some(0.2)),
            (20_000, 100, None),
            (25_000, 1_100, Some(0.2)),
            // A clock that is behind that of the agent before.
            (3_000, 1_200, None),
            (8_000, 2_200, Some(0.2)),
        ] {
            record(&table, &answer(at, at, cpu)).unwrap();
            assert_eq!(table.usage(&id("a")).map(|usage| usage.cpu_cores), expected, "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn old_samples_are_no_use_and_never_a_zero() {
        let table = AgentTable::new(INTERVAL);
        record(&table, &answer(10_000, 10_000, 1_000)).unwrap();
        record(&table, &answer(15_000, 15_000, 2_000)).unwrap();
        tokio::time::advance(INTERVAL * KEPT).await;
        assert!(table.usage(&id("a")).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(table.usage(&id("a")), None, "the agent has not answered for three intervals");
        table.forget_old();
        assert!(table.0.containers.lock().is_empty());
        // An agent that answers with samples from before.
        record(&table, &answer(40_000, 40_000, 1_000)).unwrap();
        let error = record(&table, &answer(61_000, 45_000, 2_000)).unwrap_err();
        assert_eq!(error, "the samples of its agent are 16 s old");
        assert_eq!(table.usage(&id("a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_reports_only_the_containers_of_its_node() {
        let table = AgentTable::new(INTERVAL);
        let foreign = [id("b")].into();
        for (at, cpu) in [(10_000, 1_000), (15_000, 2_000)] {
            let error = table.record(&answer(at, at, cpu), &foreign, Instant::now(), NOW).unwrap_err();
            assert!(error.contains("none of the 1 containers") && error.contains("/sys/fs/cgroup"), "{error}");
        }
        assert_eq!(table.usage(&id("a")), None);
        let none = NodeUsage { now: clock(1), containers: [].into() };
        assert_eq!(table.record(&none, &HashSet::new(), Instant::now(), NOW), Ok(()), "a node without containers");
    }
}
