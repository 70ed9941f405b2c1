//! Creates a copy of a service's container, whole or not at all.

use crate::call_error::CallError;
use crate::compose::copy::{Copy, copy_of};
use crate::compose::labels::{filter, identify};
use crate::compose::listing::labels_of;
use crate::container::timestamp;
use crate::lifecycle::Lifecycle;
use serde_json::{Value, json};
use windlass_core::engine::EngineError;
use windlass_core::{Replica, Slot, Workload};

impl Lifecycle {
    /// Creates a copy of the newest container that Compose created for a service.
    pub(crate) async fn create_copy(
        &self,
        workload: &Workload,
        project: &str,
        service: &str,
        slot: Slot,
    ) -> Result<Replica, EngineError> {
        let model = self.model(project, service).await?;
        if let Some(why) = self.obstacle_of(&model).await {
            return Err(EngineError::Refused(format!("no copy can be made, because {why}")));
        }
        let container = identify(&labels_of(&model), self.instance());
        let container = container.ok_or_else(|| no_model(project, service))?;
        let image = self.image_of(&model).await?;
        let copy = copy_of(&model, &container, self.instance(), slot, &image);
        let id = self.create_from(workload, slot, &copy).await?;
        let finished = async {
            for (network, endpoint) in &copy.networks {
                let request = json!({ "Container": id, "EndpointConfig": endpoint });
                let operation = format!("connect to network `{network}`");
                self.engine().post(&operation, &format!("/networks/{network}/connect"), &request).await?;
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

    /// The inspection of the newest container that Compose created for a service.
    async fn model(&self, project: &str, service: &str) -> Result<Value, EngineError> {
        let mut newest: Option<(_, Value)> = None;
        for summary in self.summaries(&filter(Some((project, service)))).await? {
            let is_model = |labels| identify(labels, self.instance()).is_some_and(|container| !container.is_clone);
            let Some(id) = summary.id.filter(|_| summary.labels.as_ref().is_some_and(is_model)) else { continue };
            let inspected = match self.engine().get("inspect container", &format!("/containers/{id}/json")).await {
                Ok(inspected) => inspected,
                Err(error) if error.is_missing() => continue,
                Err(error) => return Err(error.into()),
            };
            let age = (inspected["Created"].as_str().and_then(timestamp), id);
            if newest.as_ref().is_none_or(|(before, _)| *before < age) {
                newest = Some((age, inspected));
            }
        }
        newest.map(|(_, inspected)| inspected).ok_or_else(|| no_model(project, service))
    }

    /// The reference of a container's image, or its identifier if the reference leads to another image now.
    async fn image_of(&self, inspected: &Value) -> Result<String, EngineError> {
        let reference = inspected["Config"]["Image"].as_str().unwrap_or_default();
        let id = inspected["Image"].as_str().unwrap_or_default();
        let leads_to = self.images().id_of(reference).await?;
        Ok(if leads_to.as_deref() == Some(id) { reference.to_owned() } else { id.to_owned() })
    }

    /// Sends the create request and returns the container's identifier.
    async fn create_from(&self, workload: &Workload, slot: Slot, copy: &Copy) -> Result<String, CallError> {
        let _permit = self.start_permit().await?;
        let (operation, name) = (format!("create a container of `{}`", workload.key), &copy.name);
        match self.engine().post(&operation, &format!("/containers/create?name={name}"), &copy.body).await {
            Ok(created) => match created["Id"].as_str() {
                Some(id) => Ok(id.to_owned()),
                None => Err(CallError::Unreadable(format!("{operation}: the answer has no `Id`"))),
            },
            Err(error @ CallError::Response { status: 409, .. }) => {
                Err(self.name_taken(name, &workload.key, slot).await.unwrap_or(error))
            }
            Err(error) => {
                if !matches!(error, CallError::Response { .. }) {
                    // The container may exist; if it does, it has this name.
                    self.discard(name).await;
                }
                Err(error)
            }
        }
    }
}

fn no_model(project: &str, service: &str) -> EngineError {
    EngineError::Refused(format!(
        "no container of Compose is left of service `{service}` in project `{project}`, so no copy can be made; run \
         `docker compose up`"
    ))
}
