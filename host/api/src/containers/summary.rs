//! A container in answers.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::{PortBinding, Replica};

/// A port of the engine's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostBinding {
    /// Address on the host; `0.0.0.0` is every address.
    pub(crate) host_ip: String,
    /// Port on the host, as text.
    pub(crate) host_port: String,
}

impl From<&PortBinding> for HostBinding {
    fn from(binding: &PortBinding) -> Self {
        Self { host_ip: binding.host_ip.clone(), host_port: binding.host_port.to_string() }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ContainerSummary {
    /// The engine's full identifier.
    pub(crate) container_id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its state in the engine's terms: `running`, `exited`, `created`…
    pub(crate) status: String,
    /// `80/tcp` → the ports of the host where it is published; empty if the container does not run.
    pub(crate) ports: BTreeMap<String, Vec<HostBinding>>,
}

impl From<&Replica> for ContainerSummary {
    fn from(replica: &Replica) -> Self {
        let ports = replica
            .ports
            .iter()
            .map(|(port, bindings)| (port.to_string(), bindings.iter().map(HostBinding::from).collect()))
            .collect();
        Self { container_id: replica.id.to_string(), name: replica.name.clone(), status: replica.status.clone(), ports }
    }
}
