//! Creates a replica, whole or not at all.

use super::{Lifecycle, permit};
use crate::call_error::CallError;
use crate::image::Images;
use crate::{container, identity, labels};
use bollard::models::{ContainerInspectResponse, NetworkConnectRequest};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use std::collections::HashMap;
use windlass_core::engine::EngineError;
use windlass_core::{ContainerId, Declaration, ProbeTarget, Replica, Slot, Workload, WorkloadKey};

impl Lifecycle {
    /// Creates a replica in its own task, so that a caller that gives up does not leave a half-created container.
    pub(crate) async fn create(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        let (this, workload) = (self.clone(), workload.clone());
        match tokio::spawn(async move { this.create_whole(&workload, slot).await }).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(EngineError::Unavailable("windlass is shutting down".to_owned())),
        }
    }

    async fn create_whole(&self, workload: &Workload, slot: Slot) -> Result<Replica, EngineError> {
        if let Declaration::Compose { project, service } = &workload.declaration {
            return self.create_copy(workload, project, service, slot).await;
        }
        self.require_networks(workload).await?;
        let image = self.images.to_use(workload).await?;
        let id = match self.create_bare(workload, slot, &image).await {
            Err(error) if error.lacks_image() => {
                // Without a permit: a pull can take minutes and does not load what the permits protect.
                self.images.pull_missing(&workload.image).await?;
                self.create_bare(workload, slot, workload.image.as_str()).await?
            }
            outcome => outcome?,
        };
        let finished = async {
            for network in workload.networks.iter().skip(1) {
                self.join(&id, network).await?;
            }
            if workload.probe.as_ref().is_some_and(|probe| probe.target == ProbeTarget::Docker)
                && !self.inspect(&id).await?.as_ref().is_some_and(container::has_health_check)
            {
                return Err(EngineError::Refused(format!(
                    "image `{}` has no HEALTHCHECK, which the probe `docker` needs; add one or choose another `probe`",
                    workload.image
                )));
            }
            self.inspect_replica(&id).await
        };
        match finished.await {
            Ok(replica) => Ok(replica),
            Err(error) => {
                self.discard(&id).await;
                Err(error)
            }
        }
    }

    /// Makes sure that a replica can be created: its networks exist, and its image is pulled if it is missing.
    pub(crate) async fn prepare(&self, workload: &Workload) -> Result<(), EngineError> {
        if workload.declaration.is_adopted() {
            // A copy uses the networks and the image of a container that exists.
            return Ok(());
        }
        self.require_networks(workload).await?;
        let image = self.images.to_use(workload).await?;
        if self.images.id_of(&image).await?.is_none() {
            self.images.pull_missing(&workload.image).await?;
        }
        Ok(())
    }

    /// The images of the engine.
    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    async fn require_networks(&self, workload: &Workload) -> Result<(), EngineError> {
        self.engine.info().await?;
        for network in &workload.networks {
            self.require_network(network).await?;
        }
        Ok(())
    }

    /// Sends the create request and returns the container's identifier.
    async fn create_bare(&self, workload: &Workload, slot: Slot, image: &str) -> Result<String, CallError> {
        let _permit = permit(&self.starts).await?;
        let body = container::create_body(&self.settings, workload, slot, image);
        let operation = format!("create a container of `{}`", workload.key);
        let name = labels::container_name(self.instance(), &workload.key, slot);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let outcome = self
            .engine
            .call(&operation, |docker| async move { docker.create_container(Some(options), body).await })
            .await;
        match outcome {
            Ok(created) => Ok(created.id),
            Err(error @ CallError::Response { status: 409, .. }) => {
                Err(self.name_taken(&name, &workload.key, slot).await.unwrap_or(error))
            }
            Err(error) => {
                if !matches!(error, CallError::Response { .. }) {
                    // The container may exist; if it does, it has this name.
                    self.discard(&name).await;
                }
                Err(error)
            }
        }
    }

    /// The error for a name that another container has. `None` if that container is the slot's own replica, which another
    /// host has just created.
    pub(crate) async fn name_taken(&self, name: &str, workload: &WorkloadKey, slot: Slot) -> Option<CallError> {
        let inspected = self
            .engine
            .call("inspect container", |docker| async move { docker.inspect_container(name, None).await })
            .await;
        let is_own = |labels: &HashMap<String, String>| {
            identity::identify(labels, self.instance()).is_some_and(|it| it.workload == *workload && it.slot == slot)
        };
        let by = match inspected {
            Ok(ContainerInspectResponse { id: Some(id), config, .. }) => {
                if config.as_ref().and_then(|config| config.labels.as_ref()).is_some_and(is_own) {
                    return None;
                }
                let image = config.and_then(|config| config.image).unwrap_or_default();
                format!("container {} of image `{image}`", &id[..id.len().min(12)])
            }
            Ok(_) | Err(_) => "another container".to_owned(),
        };
        Some(CallError::NameTaken(format!(
            "the name `{name}` of slot {slot} belongs to {by}, which is not a replica of this workload; rename or remove \
             that container"
        )))
    }

    /// Checks that a network exists and is allowed. An engine accepts a missing network at creation and then fails at the start.
    async fn require_network(&self, network: &str) -> Result<(), EngineError> {
        let refused = || EngineError::Refused(Workload::HOST_NETWORK_REFUSED.to_owned());
        if network == "host" && !self.settings.host_network {
            return Err(refused());
        }
        let missing = || {
            EngineError::Refused(format!(
                "network `{}` not found; create it or correct `networks`",
                network.escape_debug()
            ))
        };
        if container::is_network_mode(network) {
            return Ok(());
        }
        if !labels::is_plain(network) {
            return Err(missing());
        }
        let inspected = self
            .engine
            .call("inspect network", |docker| async move { docker.inspect_network(network, None).await })
            .await;
        match inspected {
            // The identifier of the network names it, too.
            Ok(found) if found.driver.as_deref() == Some("host") && !self.settings.host_network => Err(refused()),
            Ok(_) => Ok(()),
            Err(error) if error.is_missing() => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    async fn join(&self, id: &str, network: &str) -> Result<(), EngineError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: None };
        let joined = self
            .engine
            .call(&format!("connect to network `{network}`"), |docker| async move {
                docker.connect_network(network, request).await
            })
            .await;
        joined.map_err(EngineError::from)
    }

    /// Removes the remains of a failed create, as far as the engine allows.
    pub(crate) async fn discard(&self, name_or_id: &str) {
        match self.remove(&ContainerId(name_or_id.to_owned()), true).await {
            Ok(()) | Err(EngineError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(
                    container = name_or_id,
                    %error,
                    "cannot remove the container of a failed create; remove it by hand"
                );
            }
        }
    }
}
