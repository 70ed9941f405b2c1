//! `[engine.agents]`: access to the agents that report the resource use of a Swarm's nodes.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use windlass_core::settings::AgentSettings;

/// The section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgents {
    /// File with the token of the agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    /// File with the certificate authority of the agents, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    /// Port on which agents listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
}

impl RawAgents {
    /// Checks the section; relative paths start at `folder`. `None` without either file: agents are not used.
    pub(super) fn check(self, folder: &Path, problems: &mut Vec<String>) -> Option<AgentSettings> {
        let port = self.port.unwrap_or(AgentSettings::PORT);
        if port == 0 {
            problems.push("`engine.agents.port` is 0; expected 1 to 65535".to_owned());
        }
        if self.token_file.is_none() && self.ca_file.is_none() {
            return None;
        }
        let mut file = |name: &str, path: Option<PathBuf>| {
            if path.is_none() {
                problems.push(format!(
                    "`engine.agents.{name}` is missing; name the file of the secret that `windlass swarm init` made"
                ));
            }
            path.map(|path| folder.join(path))
        };
        let (token_file, ca_file) = (file("token_file", self.token_file), file("ca_file", self.ca_file));
        Some(AgentSettings { token_file: token_file?, ca_file: ca_file?, port })
    }
}

impl From<&AgentSettings> for RawAgents {
    fn from(settings: &AgentSettings) -> Self {
        Self {
            token_file: Some(settings.token_file.clone()),
            ca_file: Some(settings.ca_file.clone()),
            port: Some(settings.port),
        }
    }
}
