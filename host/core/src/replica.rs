//! A replica: one container of a workload, as the engine last reported it.

use crate::contract::{self, Limits, ProbeOutcome, ProbeResult, Usage};
use crate::workload::ContainerPort;
use crate::{MadeFrom, Timestamp, WorkloadKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The phase of a replica's life.
///
/// It says more than the phase that policies receive ([`contract::Phase`]), which cannot grow. Only [`Phase::Running`]
/// can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is created, and its process does not run yet.
    Starting,
    /// Its process runs.
    Running,
    /// Somebody paused it through the engine: its process exists and does nothing.
    Paused,
    /// Its process has ended, and the engine restarts it by a restart policy that Windlass did not set.
    Restarting,
    /// It was requested to stop, or it is being removed. Its process may still run.
    Stopping,
    /// Its process has ended.
    Exited,
    /// The engine failed to remove it. It can only be removed.
    Dead,
    /// An operator stopped it; it is neither counted nor restarted. Only the host knows this phase.
    Held,
    /// The engine lists it but does not describe it: the inspection hangs, fails or cannot be read.
    Unknown,
}

impl From<contract::Phase> for Phase {
    fn from(phase: contract::Phase) -> Self {
        match phase {
            contract::Phase::Starting => Self::Starting,
            contract::Phase::Running => Self::Running,
            contract::Phase::Stopping => Self::Stopping,
            contract::Phase::Exited => Self::Exited,
            contract::Phase::Held => Self::Held,
        }
    }
}

impl From<Phase> for contract::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Starting => Self::Starting,
            // Without a sample of its use, a policy treats it as a replica without measurements.
            Phase::Running | Phase::Unknown => Self::Running,
            Phase::Restarting | Phase::Exited => Self::Exited,
            Phase::Stopping | Phase::Dead => Self::Stopping,
            // An operator stopped or paused it, and nothing restarts it.
            Phase::Paused | Phase::Held => Self::Held,
        }
    }
}

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

/// The tool that created a replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Creator {
    /// Windlass, from the specification of a managed workload; or the engine, for a service.
    #[default]
    Windlass,
    /// Compose.
    Compose {
        /// Why no faithful copy of it can be made, in one sentence. `None` if one can.
        uncopyable: Option<String>,
    },
    /// Windlass, as a copy of a container of Compose.
    Clone,
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
    /// The tool that created it.
    pub creator: Creator,
    /// Its slot in the workload.
    pub slot: Slot,
    /// The phase of its life.
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
    /// The engine's message about a failed start, or the reason of [`Phase::Unknown`]; empty if there is none.
    pub error: String,
    /// The number of times the engine restarted it by a restart policy. 0 unless somebody set such a policy. For a replica of
    /// a service: the replicas of its slot that failed since the service was last updated, and whose place it took.
    pub engine_restarts: u32,
    /// The engine's restart policy, such as `always`. `None` if it has none, as Windlass creates it.
    pub restart_policy: Option<String>,
    /// The resource limits that the engine applies now. `None` inside means unlimited.
    pub limits: Limits,
    /// Its stop signal is SIGKILL, so that a stop begins like a kill.
    pub stops_by_kill: bool,
    /// Whether its name is the one that Windlass gives to its slot.
    pub has_slot_name: bool,
    /// Its published ports; empty unless it runs.
    pub ports: BTreeMap<ContainerPort, Vec<PortBinding>>,
    /// The address at which the host reaches it directly. `None` if it has none or does not run.
    pub address: Option<IpAddr>,
    /// The name of its node. `None` if the engine has one machine, or has found no node yet.
    pub node: Option<String>,
    /// Its label protects it from scale-in by a policy ([`crate::Workload::PROTECTION`]).
    pub is_protected: bool,
    /// Its latest resource use. `None` if there is no sample yet.
    pub usage: Option<Usage>,
    /// The result of its image's HEALTHCHECK. `None` if the image has none, or the process does not run.
    pub health_check: Option<HealthCheck>,
}

/// Fewest characters of an identifier that stand for a container.
const SHORTEST_ID: usize = 12;

impl Replica {
    /// Returns true if this is the name of its container, or its identifier, which may be shortened to 12 characters.
    pub fn is_called(&self, name_or_id: &str) -> bool {
        let id = self.id.as_str();
        self.name == name_or_id || id == name_or_id || (name_or_id.len() >= SHORTEST_ID && id.starts_with(name_or_id))
    }

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

    /// The limits that the engine applies to it. For a container without a limit, the one of its workload.
    #[must_use]
    pub fn limits_or(&self, of_workload: Limits) -> Limits {
        Limits {
            cpu_cores: self.limits.cpu_cores.or(of_workload.cpu_cores),
            memory_bytes: self.limits.memory_bytes.or(of_workload.memory_bytes),
        }
    }

    /// Whether Compose created it.
    pub fn is_of_compose(&self) -> bool {
        matches!(self.creator, Creator::Compose { .. })
    }

    /// Whether its process runs, including while it is being stopped.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping)
    }

    /// Whether its process exists: it runs or is paused.
    pub fn is_alive(&self) -> bool {
        self.is_running() || self.phase == Phase::Paused
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
