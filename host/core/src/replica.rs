//! What runs: one container of a workload, as the engine last showed it.

use crate::contract::{ProbeOutcome, ProbeResult, Usage};
use crate::workload::ContainerPort;
use crate::{Timestamp, WorkloadKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use crate::contract::Phase;

/// The engine's own identifier of a replica, the same for all its life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a replica in its workload. A replacement takes the slot of the one it replaces, so that
/// restart counters and backoff outlive the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a port of a replica is published on the engine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Address on the host, `0.0.0.0` for every one.
    pub host_ip: String,
    /// Port on the host.
    pub host_port: u16,
}

/// What the engine found by the image's own HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    /// Its verdict; none: it has come to none yet.
    pub is_healthy: Option<bool>,
    /// The newest checks, oldest first.
    pub checks: Vec<ProbeResult>,
}

impl HealthCheck {
    /// The checks that the engine's verdict rests on. A failure counts once as many came in a row as the image says;
    /// then all of those count.
    pub fn results(&self) -> Vec<ProbeResult> {
        let is_success = |check: &&ProbeResult| matches!(check.outcome, ProbeOutcome::Success(_));
        match self.is_healthy {
            None => Vec::new(),
            Some(true) => self.checks.iter().filter(is_success).cloned().collect(),
            Some(false) => {
                let streak = self.checks.iter().rev().take_while(|check| !is_success(check)).count();
                self.checks[self.checks.len() - streak..].to_vec()
            }
        }
    }
}

/// One container of a workload, as the engine showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// The engine's identifier.
    pub id: ContainerId,
    /// Its name, for people.
    pub name: String,
    /// The workload it belongs to.
    pub workload: WorkloadKey,
    /// The image it was created from, as its label says.
    pub image: String,
    /// Its place in the workload.
    pub slot: Slot,
    /// Where it is in its life. The runtime never says [`Phase::Held`]: that is known to the host alone.
    pub phase: Phase,
    /// The engine's own word for its state: `running`, `exited`, `created`…
    pub status: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its process last started; none: it never did.
    pub started_at: Option<Timestamp>,
    /// When its process last ended; none: it never did.
    pub finished_at: Option<Timestamp>,
    /// Exit code of the last process to end.
    pub exit_code: Option<i32>,
    /// The kernel killed the last process for memory.
    pub out_of_memory: bool,
    /// What the engine said when it could not start it; empty if nothing.
    pub error: String,
    /// Where its ports are published; empty unless it runs.
    pub ports: BTreeMap<ContainerPort, Vec<PortBinding>>,
    /// Where the host reaches it directly; none when it has no such address or is not running.
    pub address: Option<IpAddr>,
    /// Its own label protects it from a policy that wants fewer ([`crate::Workload::PROTECTION`]).
    pub is_protected: bool,
    /// Its last resource use; none: no sample yet.
    pub usage: Option<Usage>,
    /// What its image's own HEALTHCHECK came to; none: there is none, or its process does not run.
    pub health_check: Option<HealthCheck>,
}

impl Replica {
    /// Its ports as the API and the callbacks show them:
    /// `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"32769"}]}`.
    pub fn docker_ports(&self) -> serde_json::Value {
        let bindings = |bindings: &Vec<PortBinding>| {
            bindings
                .iter()
                .map(|binding| json!({ "HostIp": binding.host_ip, "HostPort": binding.host_port.to_string() }))
                .collect::<Vec<_>>()
        };
        self.ports.iter().map(|(port, bound)| (port.to_string(), json!(bindings(bound)))).collect()
    }

    /// Its process runs (or is being stopped).
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_failed_check_counts_once_the_engine_says_so() {
        // `+` succeeded, `-` failed; the second of each is its place.
        let seen = |is_healthy, outcomes: &str| {
            let check = |(at, outcome)| ProbeResult {
                at: Timestamp(at),
                outcome: if outcome == '+' { ProbeOutcome::Success(9) } else { ProbeOutcome::Failure("no".to_owned()) },
            };
            let checks = (0..).zip(outcomes.chars()).map(check).collect();
            let results = HealthCheck { is_healthy, checks }.results();
            results.iter().map(|result| result.at.0).collect::<Vec<_>>()
        };
        assert_eq!(seen(None, "--"), Vec::<u64>::new(), "starting says nothing");
        assert_eq!(seen(Some(true), "+-+--"), [0, 2]);
        assert_eq!(seen(Some(false), "+-+---"), [3, 4, 5]);
        assert_eq!(seen(Some(false), ""), Vec::<u64>::new());
    }
}
