//! The identity of a container: a replica of a managed workload by our labels, or of a service of Compose by its labels.

use crate::compose::labels::{self as compose, ServiceContainer};
use crate::labels;
use std::collections::HashMap;
use windlass_core::{Creator, Generation, Slot, Workload, WorkloadKey};

/// The identity of a container of ours, according to its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) workload: WorkloadKey,
    /// The image in its label. `None` for a container of a service.
    pub(crate) image: Option<String>,
    pub(crate) slot: Slot,
    pub(crate) is_protected: bool,
    pub(crate) creator: Creator,
    generation: Option<Generation>,
    /// `None` for a replica of a managed workload.
    service: Option<ServiceContainer>,
}

impl Identity {
    /// Whether a container's name is the one of its slot.
    pub(crate) fn has_slot_name(&self, name: &str, instance: &str) -> bool {
        match &self.service {
            Some(service) => service.has_name(name),
            None => name == labels::container_name(instance, &self.workload, self.slot),
        }
    }

    /// The generation of a container with this image. For a service of Compose it contains the image: a new image under the
    /// same reference changes no configuration hash.
    pub(crate) fn generation(&self, image_id: Option<&str>) -> Option<Generation> {
        let Some(service) = &self.service else { return self.generation.clone() };
        let image = image_id.map_or("", |id| id.strip_prefix("sha256:").unwrap_or(id));
        Some(Generation::stored(format!("{}.{}", short(&service.config_hash), short(image))))
    }
}

/// Reads the labels of a container. `None` if this instance may not change it.
pub(crate) fn identify(labels: &HashMap<String, String>, instance: &str) -> Option<Identity> {
    if let Some(managed) = labels::identify(labels, instance) {
        return Some(Identity {
            workload: managed.workload,
            image: Some(managed.image),
            slot: managed.slot,
            is_protected: managed.is_protected,
            creator: Creator::Windlass,
            generation: managed.generation,
            service: None,
        });
    }
    let service = compose::identify(labels, instance)?;
    Some(Identity {
        workload: service.key(),
        image: None,
        slot: service.number,
        is_protected: labels.get(Workload::PROTECTION).is_some_and(|value| value == "true"),
        creator: if service.is_clone { Creator::Clone } else { Creator::Compose { uncopyable: None } },
        generation: None,
        service: Some(service),
    })
}

/// The first digits of a hash, as many as a generation of ours has.
fn short(hash: &str) -> &str {
    &hash[..hash.floor_char_boundary(16)]
}
