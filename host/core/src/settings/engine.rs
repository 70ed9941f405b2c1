//! The settings of the engine, and of the agents that report the resource use of the nodes of a Swarm.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The kind of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// One Docker engine: Windlass creates, starts, stops and removes each container.
    #[default]
    Docker,
    /// A Docker Swarm, through the engine of a manager: Windlass sets the counts of services.
    Swarm,
}

impl FromStr for EngineKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "docker" => Ok(Self::Docker),
            "swarm" => Ok(Self::Swarm),
            _ => Err(Invalid::new(format!("`{}` is not an engine; expected `docker` or `swarm`", text.escape_debug()))),
        }
    }
}

/// The address of the engine, and limits of its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// The kind of the engine. Default [`EngineKind::Docker`].
    pub kind: EngineKind,
    /// Name of this Windlass on the engine: only containers with this name in their label are changed. Default
    /// `default`.
    pub instance: String,
    /// The engine's address: a socket path or a `unix://`, `tcp://`, `http://`, `https://` address. `None`:
    /// `DOCKER_HOST`, else the default socket.
    pub host: Option<String>,
    /// Time limit of a short call (list, inspect, create). Default 30 s.
    pub call_timeout: Duration,
    /// Time limit of pulling an image. Default 10 min.
    pub pull_timeout: Duration,
    /// Creates, starts and stops in flight at once. Default 4: an engine starts about four containers a second,
    /// regardless of the number of requests.
    pub concurrent_actions: u32,
    /// Time between two samples of resource use. Default 5 s.
    pub sample_interval: Duration,
    /// The address of the engine's host on which ports are published that name none. `None`: the engine's default, which
    /// is every address.
    pub publish_address: Option<IpAddr>,
    /// Whether a workload may use the network of the engine's host. Default false.
    pub host_network: bool,
    /// The agents of a Swarm. `None`: the resource use of its replicas is unknown.
    pub agents: Option<AgentSettings>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            kind: EngineKind::Docker,
            instance: "default".to_owned(),
            host: None,
            call_timeout: Duration::from_secs(30),
            pull_timeout: Duration::from_secs(600),
            concurrent_actions: 4,
            sample_interval: Duration::from_secs(5),
            publish_address: None,
            host_network: false,
            agents: None,
        }
    }
}

/// Access to the agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// The file with the token that every agent asks for.
    pub token_file: PathBuf,
    /// The file with the certificate authority of the agents, in PEM.
    pub ca_file: PathBuf,
    /// The port on which agents listen in their containers.
    pub port: u16,
}

impl AgentSettings {
    /// The port on which an agent listens if nothing else is said.
    pub const PORT: u16 = 7443;
}
