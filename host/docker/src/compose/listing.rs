//! Lists the services that ask for Windlass, and the containers of one service.

use crate::compose::declared;
use crate::compose::labels::{CLONE_OF, CONFIG_HASH, PROJECT, SERVICE, filter, identify, is_one_off};
use crate::compose::obstacle::obstacle;
use crate::lifecycle::Lifecycle;
use bollard::models::ContainerSummary;
use serde_json::Value;
use std::collections::HashMap;
use windlass_core::engine::EngineError;
use windlass_core::{Creator, Declaration, DeclaredService, ImageRef, Phase, Replica};

impl Lifecycle {
    /// The services that ask for the Windlass of this instance.
    pub(crate) async fn declared_services(&self) -> Result<Vec<DeclaredService>, EngineError> {
        let summaries = self.summaries(&declared::filter()).await?;
        let mut services = Vec::new();
        for found in declared::declared(&summaries, self.instance()) {
            let mut service = found.service;
            if found.is_of_copies
                && let Declaration::Compose { project, service } = &service.declaration
                && self.summaries_of(project, service).await?.iter().any(is_of_compose)
            {
                // Compose's own container has no label any more, so nobody asks for Windlass.
                continue;
            }
            if let Some(id) = found.unnamed_image
                && let Some(inspected) = self.inspect(&id).await?
                && let Some(image) = inspected.config.and_then(|config| config.image)
            {
                service.image = ImageRef::stored(image);
            }
            services.push(service);
        }
        Ok(services)
    }

    /// Whether a service has containers, whatever their labels of Windlass are.
    pub(crate) async fn has_service(&self, project: &str, service: &str) -> Result<bool, EngineError> {
        Ok(!self.summaries_of(project, service).await?.is_empty())
    }

    /// The containers of a service, whatever their labels of Windlass are.
    async fn summaries_of(&self, project: &str, service: &str) -> Result<Vec<ContainerSummary>, EngineError> {
        let labels = [CONFIG_HASH.to_owned(), format!("{PROJECT}={project}"), format!("{SERVICE}={service}")];
        self.summaries(&HashMap::from([("label".to_owned(), labels.to_vec())])).await
    }

    /// The containers of a service, oldest first.
    pub(crate) async fn list_service(&self, project: &str, service: &str) -> Result<Vec<Replica>, EngineError> {
        let mut replicas = self.list(&filter(Some((project, service)))).await?;
        if let [replica] = replicas.as_mut_slice()
            && replica.is_of_compose()
            && !replica.has_slot_name
        {
            replica.has_slot_name = self.has_own_name(replica).await?;
        }
        let is_present = |replica: &&mut Replica| replica.is_of_compose() && replica.phase != Phase::Dead;
        let newest = replicas.iter_mut().filter(is_present).max_by_key(|it| (it.created_at, it.id.clone()));
        if let Some(newest) = newest {
            let uncopyable = self.uncopyable(newest).await;
            newest.creator = Creator::Compose { uncopyable };
        }
        Ok(replicas)
    }

    /// Whether the only container of a service has the name that the service gives it by `container_name`. A container that
    /// somebody made from an image of `docker commit` has its labels from that image.
    async fn has_own_name(&self, replica: &Replica) -> Result<bool, EngineError> {
        let Some(image) = &replica.made_from.image_id else { return Ok(false) };
        match self.engine().get("inspect image", &format!("/images/{image}/json")).await {
            Ok(image) => Ok(image["Config"]["Labels"].get(CONFIG_HASH).is_none()),
            Err(error) if error.is_missing() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Why no faithful copy of a container can be made. `None` if one can.
    async fn uncopyable(&self, replica: &Replica) -> Option<String> {
        match self.engine().get("inspect container", &format!("/containers/{}/json", replica.id)).await {
            Ok(inspected) => self.obstacle_of(&inspected).await,
            Err(error) => {
                let error = EngineError::from(error);
                Some(format!("the engine does not describe container `{}`: {error}", replica.name))
            }
        }
    }

    /// Why no faithful copy of an inspected container can be made. `None` if one can.
    pub(crate) async fn obstacle_of(&self, inspected: &Value) -> Option<String> {
        let name = inspected["Name"].as_str().unwrap_or_default().trim_start_matches('/');
        let labels = labels_of(inspected);
        let has_compose_name = identify(&labels, self.instance()).is_some_and(|container| container.has_name(name));
        let copied_in = self.copied_files().of(self.engine(), inspected).await;
        obstacle(inspected, has_compose_name, copied_in.as_deref())
    }
}

/// Whether Compose itself created a container for its service.
fn is_of_compose(summary: &ContainerSummary) -> bool {
    summary.labels.as_ref().is_some_and(|labels| !labels.contains_key(CLONE_OF) && !is_one_off(labels))
}

/// The labels of an inspected container.
pub(crate) fn labels_of(inspected: &Value) -> HashMap<String, String> {
    let labels = inspected["Config"]["Labels"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
