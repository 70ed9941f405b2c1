//! The resource use of the containers of one node of a Swarm, as the agent of the node reports it.

use crate::ContainerId;
use crate::net::NetError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The DNS name in the certificate of every agent. Agents are reached by address, so a client verifies this name whatever
/// the address is.
pub const AGENT_NAME: &str = "windlass-agent";

/// The answer of an agent.
///
/// Both kinds of times are by one clock of the agent that never steps, so that the age of a sample and the time between
/// two samples need no agreement with the clock of the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Time of the answer.
    pub now: jiff::Timestamp,
    /// The running containers of the node, by their full identifiers.
    pub containers: BTreeMap<ContainerId, ContainerUsage>,
}

/// The counters of one container at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerUsage {
    /// Time of the sample.
    pub at: jiff::Timestamp,
    /// CPU time since the container's start, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Memory in use in bytes, without page cache that the kernel can drop at once.
    pub memory_bytes: u64,
    /// The memory limit in bytes. `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

/// A client of the agents of one installation, with their token and their certificate authority.
#[async_trait]
pub trait AgentClient: Send + Sync + 'static {
    /// The answer of the agent at an address, within a time limit. The token is sent only after the agent has proved with
    /// its certificate that it is [`AGENT_NAME`].
    async fn usage(&self, agent: SocketAddr, timeout: Duration) -> Result<NodeUsage, NetError>;
}
