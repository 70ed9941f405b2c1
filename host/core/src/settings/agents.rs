//! The settings of the agents that report the resource use of the nodes of a Swarm.

use std::path::PathBuf;

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
