//! A replica: one container of a workload, as the engine last reported it.

use crate::contract::{ProbeOutcome, ProbeResult, Usage};
use crate::workload::ContainerPort;
use crate::{MadeFrom, Timestamp, WorkloadKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use crate::contract::Phase;

/// The engine's identifier of a replica; it never changes.
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

/// The number of a replica within its workload. A replacement takes the slot of the replaced replica, so restart
/// counters and backoff outlive the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A published port on the engine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Address on the host; `0.0.0.0` for all addresses.
    pub host_ip: String,
    /// Port on the host.
    pub host_port: u16,
}

/// The engine's result of the image's own HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    /// The engine's conclusion. `None` if it has none yet.
    pub is_healthy: Option<bool>,
    /// The newest checks, oldest first.
    pub checks: Vec<ProbeResult>,
}

impl HealthCheck {
    /// The checks behind the engine's conclusion. Failures count only once the image's number of retries has failed in
    /// a row; then all of these count.
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

/// One container of a workload, as the engine last reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// The engine's identifier.
    pub id: ContainerId,
    /// The container's name.
    pub name: String,
    /// The workload it belongs to.
    pub workload: WorkloadKey,
    /// The image it was created from, according to its label.
    pub image: String,
    /// The generation and the image that it was made from.
    pub made_from: MadeFrom,
    /// Its slot in the workload.
    pub slot: Slot,
    /// The phase of its life. The engine never reports [`Phase::Held`], which only the host knows.
    pub phase: Phase,
    /// The engine's own state name: `running`, `exited`, `created`…
    pub status: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Latest start of its process. `None` if it never started.
    pub started_at: Option<Timestamp>,
    /// Latest end of its process. `None` if it never ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code of the last process to end.
    pub exit_code: Option<i32>,
    /// The kernel killed the last process for lack of memory.
    pub out_of_memory: bool,
    /// The engine's message about a failed start; empty if there is none.
    pub error: String,
    /// Its published ports; empty unless it runs.
    pub ports: BTreeMap<ContainerPort, Vec<PortBinding>>,
    /// The address at which the host reaches it directly. `None` if it has none or does not run.
    pub address: Option<IpAddr>,
    /// Its label protects it from scale-in by a policy ([`crate::Workload::PROTECTION`]).
    pub is_protected: bool,
    /// Its latest resource use. `None` if there is no sample yet.
    pub usage: Option<Usage>,
    /// The result of its image's HEALTHCHECK. `None` if the image has none, or the process does not run.
    pub health_check: Option<HealthCheck>,
}

impl Replica {
    /// Its ports in the format of the API and the callbacks: `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"32769"}]}`.
    pub fn docker_ports(&self) -> serde_json::Value {
        let bindings = |bindings: &Vec<PortBinding>| {
            bindings
                .iter()
                .map(|binding| json!({ "HostIp": binding.host_ip, "HostPort": binding.host_port.to_string() }))
                .collect::<Vec<_>>()
        };
        self.ports.iter().map(|(port, bound)| (port.to_string(), json!(bindings(bound)))).collect()
    }

    /// Whether its process runs, including while it is being stopped.
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
        // `+` is a success, `-` a failure; the time of each is its position.
        let counted = |is_healthy, outcomes: &str| {
            let check = |(at, outcome)| ProbeResult {
                at: Timestamp(at),
                outcome: if outcome == '+' { ProbeOutcome::Success(9) } else { ProbeOutcome::Failure("no".to_owned()) },
            };
            let checks = (0..).zip(outcomes.chars()).map(check).collect();
            let results = HealthCheck { is_healthy, checks }.results();
            results.iter().map(|result| result.at.0).collect::<Vec<_>>()
        };
        assert_eq!(counted(None, "--"), Vec::<u64>::new(), "starting counts nothing");
        assert_eq!(counted(Some(true), "+-+--"), [0, 2]);
        assert_eq!(counted(Some(false), "+-+---"), [3, 4, 5]);
        assert_eq!(counted(Some(false), ""), Vec::<u64>::new());
    }
}
