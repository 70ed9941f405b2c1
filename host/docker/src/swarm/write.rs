//! Writes to services: the count, a return to an earlier specification, and the services of managed workloads.

use super::earlier::Earlier;
use super::lease::Lease;
use super::manager::Manager;
use super::observer::Observer;
use super::service::{Service, with_count};
use super::specification::{self, Facts};
use crate::credentials;
use crate::labels;
use base64::Engine as _;
use http::HeaderValue;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::time::Instant;
use windlass_core::engine::EngineError;
use windlass_core::{CountChange, Declaration, ServiceUpdate, Workload, error_chain};

/// Attempts of a write that somebody else's write overtakes.
const ATTEMPTS: u32 = 3;

/// Writes to services, after a check that they are still this Windlass's to change.
pub(super) struct Writer {
    pub(super) manager: Manager,
    /// `None`: this Windlass is the only one of its instance.
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) observer: Arc<Observer>,
    pub(super) earlier: Arc<Earlier>,
    pub(super) facts: Facts,
    /// Folder of the user's registry logins.
    pub(super) config_folder: Option<PathBuf>,
}

impl Writer {
    /// Checks that no other Windlass of the instance acts.
    fn check_lease(&self) -> Result<(), EngineError> {
        self.lease.as_ref().map_or(Ok(()), |lease| lease.check())
    }

    /// Sets the count and nothing else.
    pub(super) async fn set_count(&self, workload: &Workload, change: CountChange) -> Result<(), EngineError> {
        let service = self.current(workload).await?;
        if service.version != change.version {
            return Err(EngineError::Stale(format!(
                "service `{}` has version {}, and the decision was made for version {}",
                service.name, service.version, change.version
            )));
        }
        if !change.force {
            allow(&service)?;
        }
        if service.count() == Some(change.to) {
            return Ok(());
        }
        self.update(&service, &service.with_count(change.to), None).await
    }

    /// Returns the service to the specification before its current one, with its present count.
    pub(super) async fn roll_back(&self, workload: &Workload) -> Result<(), EngineError> {
        if workload.declaration == Declaration::Api {
            return Err(EngineError::Refused(format!(
                "workload `{}` is declared by a start request, so there is no other specification to return to; start it \
                 with the earlier values",
                workload.key
            )));
        }
        let mut attempt = 1;
        loop {
            let service = self.current(workload).await?;
            let Some(earlier) = self.earlier.of(&service) else {
                return Err(EngineError::Refused(format!(
                    "no earlier specification of service `{}` is known: it was not changed since it was created or since \
                     this Windlass first saw it",
                    service.name
                )));
            };
            let count = service.count().unwrap_or(1);
            match self.update(&service, &with_count(earlier, count), None).await {
                Err(EngineError::Stale(_)) if attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// Creates the service of a managed workload, or changes what differs.
    pub(super) async fn deploy(&self, workload: &Workload, count: u32) -> Result<(), EngineError> {
        let networks = self.networks(workload).await?;
        let wanted = specification::of(&self.facts, workload, &networks)?;
        let name = labels::service_name(&self.facts.settings.instance, &workload.key);
        let Some(raw) = self.manager.service(&name).await? else {
            let login = self.login(workload).await;
            self.check_lease()?;
            let created = self.manager.create(&with_count(wanted, count), login).await;
            self.observer.end_picture();
            return created;
        };
        let service = self.read(raw)?;
        if !service.is_of(&workload.key, &Declaration::Api, &self.facts.settings.instance) {
            return Err(EngineError::NameTaken(format!(
                "the name `{name}` belongs to a service that is not of workload `{}`; rename or remove that service",
                workload.key
            )));
        }
        let changed = specification::applied(service.specification(), &wanted);
        if service.differs_from(&changed) {
            return self.update(&service, &with_count(changed, count), self.login(workload).await).await;
        }
        if service.count() == Some(count) {
            return Ok(());
        }
        allow(&service)?;
        self.update(&service, &service.with_count(count), None).await
    }

    /// Removes the service of a managed workload.
    pub(super) async fn remove(&self, workload: &Workload) -> Result<(), EngineError> {
        if workload.declaration != Declaration::Api {
            return Err(EngineError::Refused(format!(
                "workload `{}` is not removed, because its service is not of this Windlass; remove the service",
                workload.key
            )));
        }
        let name = labels::service_name(&self.facts.settings.instance, &workload.key);
        let Some(raw) = self.manager.service(&name).await? else { return Ok(()) };
        let service = self.read(raw)?;
        if !service.is_of(&workload.key, &workload.declaration, &self.facts.settings.instance) {
            return Ok(());
        }
        self.check_lease()?;
        let removed = self.manager.remove(&service.id).await;
        self.observer.end_picture();
        removed
    }

    /// The service of a workload as it is now. The picture may be some seconds old, and its labels may have changed.
    async fn current(&self, workload: &Workload) -> Result<Service, EngineError> {
        let missing = || EngineError::NotFound(workload.key.to_string());
        let instance = &self.facts.settings.instance;
        let picture = self.observer.picture().await?;
        let known = picture.service(&workload.key, &workload.declaration, instance).ok_or_else(missing)?;
        let raw = self.manager.service(&known.id).await?.ok_or_else(missing)?;
        let service = self.read(raw)?;
        if !service.is_of(&workload.key, &workload.declaration, instance) {
            self.observer.end_picture();
            return Err(EngineError::Refused(format!(
                "service `{}` does not have the label any more that gives it to Windlass",
                service.name
            )));
        }
        if service.count().is_none() {
            return Err(EngineError::Refused(format!("service `{}` has no count: it is not replicated", service.name)));
        }
        let first_seen = if known.version == service.version { known.first_seen } else { service.first_seen };
        Ok(service.seen_since(first_seen))
    }

    fn read(&self, raw: Value) -> Result<Service, EngineError> {
        let unreadable = || EngineError::Unreadable("the service has no identifier, name or version".to_owned());
        Service::read(raw, Instant::now()).ok_or_else(unreadable)
    }

    async fn update(&self, service: &Service, to: &Value, login: Option<HeaderValue>) -> Result<(), EngineError> {
        // The write makes Swarm forget the specification before this one.
        self.earlier.keep(service).await;
        self.check_lease()?;
        let updated = self.manager.update(&service.id, service.version, to, login).await;
        self.observer.end_picture();
        updated
    }

    /// The identifiers of the workload's networks.
    async fn networks(&self, workload: &Workload) -> Result<Vec<String>, EngineError> {
        let mut found = Vec::new();
        for name in &workload.networks {
            if name == "host" && !self.facts.settings.host_network {
                return Err(EngineError::Refused(Workload::HOST_NETWORK_REFUSED.to_owned()));
            }
            let network = if labels::is_plain(name) { self.manager.network(name).await? } else { None };
            let is_usable = |network: &Value| name == "host" || network["Scope"].as_str() == Some("swarm");
            let network = network.filter(is_usable).ok_or_else(|| {
                EngineError::Refused(format!(
                    "`networks` names `{}`, which is no network of the Swarm; create it with \
                     `docker network create --driver overlay`",
                    name.escape_debug()
                ))
            })?;
            found.extend(network["Id"].as_str().map(str::to_owned));
        }
        Ok(found)
    }

    /// The login for the registry of the workload's image, which Swarm hands to its nodes.
    async fn login(&self, workload: &Workload) -> Option<HeaderValue> {
        let image = workload.image.as_str();
        match credentials::find(self.config_folder.as_deref(), image).await {
            Ok(found) => {
                let text = serde_json::to_vec(&found?).ok()?;
                let mut login = HeaderValue::from_str(&base64::prelude::BASE64_URL_SAFE.encode(text)).ok()?;
                login.set_sensitive(true);
                Some(login)
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(image, error, "cannot read registry credentials; the service has none");
                None
            }
        }
    }
}

/// Refuses a change of the count that would break an update.
fn allow(service: &Service) -> Result<(), EngineError> {
    let (update, message) = service.update();
    let state = match update {
        ServiceUpdate::None => return Ok(()),
        ServiceUpdate::Updating => "is being updated",
        ServiceUpdate::Paused => "has a paused update",
        ServiceUpdate::RollingBack => "is being rolled back",
        ServiceUpdate::RollbackPaused => "has a paused rollback",
    };
    Err(EngineError::Refused(format!(
        "service `{}` {state} ({message}), and a change of its count would begin the update anew; finish the update, or force \
         the count",
        service.name
    )))
}
