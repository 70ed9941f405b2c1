//! The runtime on a Docker engine; bollard is named here and below, and nowhere else.
//!
//! Only containers that bear our label and the name of this instance are listed, changed or removed: each
//! change first inspects the container, reads its labels, and then speaks of it by its full identifier. What
//! came of a change is decided by inspecting too, not by a status code: 500 is a taken port, a full disk or a
//! dead containerd alike.

pub mod cgroup;
mod connect;
mod container;
pub mod credentials;
mod events;
mod exec;
mod failure;
mod image;
mod labels;
mod lifecycle;
mod usage;

pub use crate::connect::Environment;

use crate::connect::{Address, EngineClient};
use crate::lifecycle::Lifecycle;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::Usage;
use windlass_core::engine::{Engine, EngineError, EngineEvent};
use windlass_core::settings::EngineSettings;
use windlass_core::workload::{ContainerPort, Protocol, Workload};
use windlass_core::{ContainerId, PortBinding, Replica, Slot, WorkloadKey};

/// A Docker engine, of API 1.41 (Docker 20.10) or newer.
pub struct DockerEngine {
    lifecycle: Lifecycle,
    usage: crate::usage::Table,
    _sampler: crate::usage::Sampler,
}

impl DockerEngine {
    /// A runtime on the engine that `settings`, else the environment of this process, name. The engine need
    /// not be there: it is reached when it is first needed, and again whenever it comes back. Begins to sample
    /// resource use in the background, until the runtime is dropped.
    ///
    /// # Errors
    /// When the address is none that is spoken here.
    pub async fn connect(settings: &EngineSettings) -> Result<Arc<Self>, EngineError> {
        Self::connect_in(settings, &Environment::of_process()).await
    }

    /// As [`DockerEngine::connect`], in an environment that the caller gives.
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::unused_async, reason = "it starts tasks, so it must be called within a tokio runtime")]
    pub async fn connect_in(settings: &EngineSettings, environment: &Environment) -> Result<Arc<Self>, EngineError> {
        let address = Address::find(settings, environment)?;
        let engine = EngineClient::new(address, settings.call_timeout);
        let roots = match crate::cgroup::Roots::at(&environment.proc_folder) {
            Ok(roots) => Some(roots),
            Err(error) => {
                tracing::info!(%error, "no control groups here; resource use is asked of the engine");
                None
            }
        };
        let usage = crate::usage::Table::new(roots, settings.sample_interval);
        let sampler = crate::usage::Sampler::start(&usage, &engine, settings);
        let lifecycle = Lifecycle::new(engine, settings.clone(), usage.clone(), environment.config_folder.clone());
        Ok(Arc::new(Self { lifecycle, usage, _sampler: sampler }))
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        let engine = self.lifecycle.engine();
        engine.facts().await?;
        engine.call("ping", |docker| async move { docker.ping().await }).await?;
        Ok(())
    }

    async fn list(&self, workload: Option<&WorkloadKey>) -> Result<Vec<Replica>, EngineError> {
        self.lifecycle.list(workload).await
    }

    async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        self.lifecycle.create(workload, slot).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Replica, EngineError> {
        self.lifecycle.start(id).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        self.lifecycle.stop(id, grace).await
    }

    async fn restart(&self, id: &ContainerId, grace: Duration) -> Result<Replica, EngineError> {
        let stopped = self.lifecycle.stop(id, grace).await?;
        self.lifecycle.start(&stopped.id).await
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<(), EngineError> {
        self.lifecycle.remove(id, force).await
    }

    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
        crate::exec::run(self.lifecycle.engine(), id, command).await
    }

    fn events(&self) -> BoxStream<'static, EngineEvent> {
        crate::events::subscribe(self.lifecycle.engine().clone(), self.lifecycle.instance().to_owned())
    }

    fn usage(&self, id: &ContainerId) -> Option<Usage> {
        self.usage.usage(id)
    }

    fn endpoint(&self, replica: &Replica, port: u16) -> Option<SocketAddr> {
        if let Some(address) = replica.address {
            return Some(SocketAddr::new(address, port));
        }
        let host = self.lifecycle.engine().known_facts()?.host(self.usage.has_seen_any())?;
        let published = replica.ports.get(&ContainerPort { number: port, protocol: Protocol::Tcp })?;
        published.iter().find_map(|binding| reached_at(binding, host))
    }
}

/// Where a published port is reached when the engine's host is `host` from here.
fn reached_at(binding: &PortBinding, host: IpAddr) -> Option<SocketAddr> {
    let bound = if binding.host_ip.is_empty() { host } else { binding.host_ip.parse().ok()? };
    let reached = if bound.is_unspecified() {
        // Each family is bound, and listed, for itself.
        Some(host).filter(|host| host.is_ipv4() == bound.is_ipv4())
    } else if bound.is_loopback() && !host.is_loopback() {
        None
    } else {
        Some(bound)
    };
    reached.map(|ip| SocketAddr::new(ip, binding.host_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_is_reached_where_it_is_bound() {
        let reached = |host_ip: &str, host: &str| {
            let binding = PortBinding { host_ip: host_ip.to_owned(), host_port: 8080 };
            reached_at(&binding, host.parse().unwrap()).map(|address| address.to_string())
        };
        assert_eq!(reached("0.0.0.0", "127.0.0.1").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(reached("::", "127.0.0.1"), None);
        assert_eq!(reached("0.0.0.0", "10.0.0.9").as_deref(), Some("10.0.0.9:8080"));
        assert_eq!(reached("127.0.0.1", "10.0.0.9"), None, "on the other machine alone");
        assert_eq!(reached("192.168.1.5", "127.0.0.1").as_deref(), Some("192.168.1.5:8080"));
        assert_eq!(reached("", "::1").as_deref(), Some("[::1]:8080"));
    }
}
