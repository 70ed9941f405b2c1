//! The Docker implementations of [`SlotEngine`], for one engine, and of [`CountEngine`](windlass_core::engine::CountEngine),
//! for a [Swarm](swarm). Only this crate names bollard.
//!
//! On one engine, only containers with our label and this instance's name are listed, changed or removed, and those of services
//! of Compose whose own label asks for it. Each change first inspects the container, checks its labels, and then uses its full
//! identifier. The outcome of a change is also decided by an
//! inspection, not by a status code: 500 may mean a taken port, a full disk or a dead containerd.

mod address;
mod agents;
mod call_error;
pub mod cgroup;
mod client;
mod compose;
mod container;
pub mod credentials;
mod endpoint;
mod environment;
mod events;
mod exec;
mod flood;
mod identity;
mod image;
mod labels;
mod lifecycle;
mod logs;
mod network;
mod raw;
mod reach;
mod request;
pub mod secrets;
mod socket_access;
pub mod swarm;
mod usage;

pub use crate::environment::Environment;

use crate::address::Address;
use crate::client::EngineClient;
use crate::lifecycle::Lifecycle;
use crate::reach::reachable_address;
use crate::usage::{Sampled, Sampler, UsageTable};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::contract::Usage;
use windlass_core::engine::{Engine, EngineError, EngineEvent, LogLines, SlotEngine};
use windlass_core::logs::LogQuery;
use windlass_core::settings::EngineSettings;
use windlass_core::workload::{ContainerPort, Protocol, Workload};
use windlass_core::{ContainerId, Declaration, DeclaredService, ImageRef, Replica, Slot, WorkloadKey};

/// A Docker engine with API 1.41 (Docker 20.10) or newer.
pub struct DockerEngine {
    lifecycle: Lifecycle,
    usage: UsageTable,
    _sampler: Sampler,
}

impl DockerEngine {
    /// An engine at the address from `settings`, else from this process's environment. The engine may be offline: it is
    /// contacted on first use and again whenever it comes back. Resource use is sampled in the background until the
    /// value is dropped.
    ///
    /// # Errors
    /// If the address is not of a supported kind.
    pub async fn connect(settings: &EngineSettings) -> Result<Arc<Self>, EngineError> {
        Self::connect_in(settings, &Environment::of_process()).await
    }

    /// Like [`DockerEngine::connect`], with an environment given by the caller.
    ///
    /// # Errors
    /// If the address is not of a supported kind.
    #[expect(clippy::unused_async, reason = "it starts tasks, so it must be called within a tokio runtime")]
    pub async fn connect_in(settings: &EngineSettings, environment: &Environment) -> Result<Arc<Self>, EngineError> {
        let address = Address::find(settings, environment)?;
        let engine = EngineClient::new(address, settings.call_timeout);
        let roots = match crate::cgroup::Roots::at(&environment.proc_folder) {
            Ok(roots) => Some(roots),
            Err(error) => {
                tracing::info!(%error, "control groups are not readable; resource use comes from the engine's stats");
                None
            }
        };
        let usage = UsageTable::new(roots, settings.sample_interval);
        let sampler = Sampler::start(&usage, &engine, settings, Sampled::Of(settings.instance.clone()));
        let lifecycle = Lifecycle::new(engine, settings.clone(), usage.clone(), environment);
        Ok(Arc::new(Self { lifecycle, usage, _sampler: sampler }))
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        let engine = self.lifecycle.engine();
        engine.info().await?;
        engine.call("ping", |docker| async move { docker.ping().await }).await?;
        Ok(())
    }

    async fn list(&self, workload: &WorkloadKey, declaration: &Declaration) -> Result<Vec<Replica>, EngineError> {
        match declaration {
            Declaration::Compose { project, service } => self.lifecycle.list_service(project, service).await,
            Declaration::Api => self.lifecycle.list(&labels::filter(self.lifecycle.instance(), Some(workload))).await,
            // Another engine has them.
            Declaration::Swarm { .. } => Ok(Vec::new()),
        }
    }

    async fn list_all(&self) -> Result<Vec<Replica>, EngineError> {
        self.lifecycle.list(&labels::filter(self.lifecycle.instance(), None)).await
    }

    async fn declared(&self) -> Result<Vec<DeclaredService>, EngineError> {
        self.lifecycle.declared_services().await
    }

    async fn has_service(&self, declaration: &Declaration) -> Result<bool, EngineError> {
        match declaration {
            Declaration::Compose { project, service } => self.lifecycle.has_service(project, service).await,
            Declaration::Api | Declaration::Swarm { .. } => Ok(false),
        }
    }

    async fn cpus(&self) -> Option<u32> {
        let info = self.lifecycle.engine().call("read the number of CPUs", |docker| async move { docker.info().await });
        u32::try_from(info.await.ok()?.ncpu?).ok()
    }

    async fn exec(&self, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
        crate::exec::run(self.lifecycle.engine(), id, command).await
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogLines, EngineError> {
        self.lifecycle.logs(id, query).await
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
        let host = self.lifecycle.engine().known_info()?.host(self.usage.any_is_local());
        let published = replica.ports.get(&ContainerPort { number: port, protocol: Protocol::Tcp })?;
        published.iter().find_map(|binding| reachable_address(binding, host))
    }
}

#[async_trait]
impl SlotEngine for DockerEngine {
    async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        self.lifecycle.create(workload, slot).await
    }

    async fn prepare(&self, workload: &Workload) -> Result<(), EngineError> {
        self.lifecycle.prepare(workload).await
    }

    async fn pull(&self, image: &ImageRef) -> Result<String, EngineError> {
        self.lifecycle.engine().info().await?;
        self.lifecycle.images().refresh(image).await
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
}
