//! The labels that identify our containers, and the containers' names.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use windlass_core::settings::EngineSettings;
use windlass_core::{Generation, Slot, Workload, WorkloadKey};

/// Image reference of the workload; a label that earlier versions already set.
pub(crate) const IMAGE: &str = "orchestrator.image";
/// Name of the Windlass instance that created the container; several can share an engine.
pub(crate) const INSTANCE: &str = "windlass.instance";
/// Key of the workload.
pub(crate) const WORKLOAD: &str = "windlass.workload";
/// Generation of the specification that the container was made from.
pub(crate) const GENERATION: &str = "windlass.generation";
/// Slot in the workload, a decimal number.
pub(crate) const SLOT: &str = "windlass.slot";
/// The networks of a container in several, in the user's order, joined by commas. An inspection lists them unordered.
pub(crate) const NETWORKS: &str = "windlass.networks";

const RESERVED: [&str; 2] = ["windlass.", "orchestrator."];
/// Longest part of a container name taken from the workload. The rest fits into 63 bytes, so that the name is also a
/// valid host name.
const LONGEST_STEM: usize = 45;

/// A container's identity according to its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) workload: WorkloadKey,
    pub(crate) image: String,
    pub(crate) slot: Slot,
    pub(crate) generation: Option<Generation>,
    pub(crate) is_protected: bool,
}

/// Reads the labels of a container. `None` if the container does not belong to this instance.
pub(crate) fn identify(labels: &HashMap<String, String>, instance: &str) -> Option<Identity> {
    if labels.get(INSTANCE)? != instance {
        return None;
    }
    Some(Identity {
        workload: WorkloadKey::stored(labels.get(WORKLOAD)?),
        image: labels.get(IMAGE)?.clone(),
        slot: Slot(labels.get(SLOT)?.parse().ok()?),
        generation: labels.get(GENERATION).map(Generation::stored),
        is_protected: labels.get(Workload::PROTECTION).is_some_and(|value| value == "true"),
    })
}

/// The user's labels and ours. Ours take precedence. User labels with a reserved prefix are dropped; the API rejects
/// them.
pub(crate) fn of_replica(settings: &EngineSettings, workload: &Workload, slot: Slot) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = workload
        .labels
        .iter()
        .filter(|(name, _)| *name == Workload::PROTECTION || !RESERVED.iter().any(|it| name.starts_with(it)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    labels.insert(IMAGE.to_owned(), workload.image.to_string());
    labels.insert(INSTANCE.to_owned(), settings.instance.clone());
    labels.insert(WORKLOAD.to_owned(), workload.key.to_string());
    labels.insert(SLOT.to_owned(), slot.to_string());
    if workload.networks.len() > 1 {
        labels.insert(NETWORKS.to_owned(), workload.networks.join(","));
    }
    labels.insert(GENERATION.to_owned(), workload.generation().to_string());
    labels
}

/// The engine's filter for containers of this instance, of one workload or of all.
pub(crate) fn filter(instance: &str, workload: Option<&WorkloadKey>) -> HashMap<String, Vec<String>> {
    let mut labels = vec![IMAGE.to_owned(), format!("{INSTANCE}={instance}")];
    labels.extend(workload.map(|key| format!("{WORKLOAD}={key}")));
    HashMap::from([("label".to_owned(), labels)])
}

/// The name of the container in a slot: a part of the workload's key, six hexadecimal digits, and the slot. The digits
/// distinguish workloads with the same last name, and instances that share an engine.
///
/// A slot always has the same name, so the engine itself rejects a second container in it. A host that was killed and
/// the one started after it cannot both fill the slot.
pub(crate) fn container_name(instance: &str, workload: &WorkloadKey, slot: Slot) -> String {
    format!("{}-{slot}", name(instance, workload))
}

/// The name of a workload's service on a Swarm, which is also a host name.
pub(crate) fn service_name(instance: &str, workload: &WorkloadKey) -> String {
    name(instance, workload).replace('.', "-")
}

fn name(instance: &str, workload: &WorkloadKey) -> String {
    // Another release of the standard library may hash differently. Only the names of new containers would differ.
    let mut hasher = DefaultHasher::new();
    (instance, workload.as_str()).hash(&mut hasher);
    format!("{}-{:06x}", stem(workload.as_str()), hasher.finish() & 0xff_ffff)
}

/// The last part of a workload's key, reduced to characters allowed in a container's name.
fn stem(key: &str) -> String {
    let path = key.split('@').next().unwrap_or(key);
    let last = path.rsplit('/').next().unwrap_or(path);
    let bare = last.split(':').next().unwrap_or(last);
    let clean: String = bare
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(LONGEST_STEM)
        .collect();
    if clean.is_empty() { "windlass".to_owned() } else { clean }
}

/// Whether a name or identifier is safe in a path of the engine's API.
pub(crate) fn is_plain(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::fixtures::workload;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_containers_with_every_label_of_this_instance_are_ours() {
        let ours = labels(&[(IMAGE, "web:1"), (INSTANCE, "a"), (WORKLOAD, "web"), (SLOT, "3")]);
        let identity = identify(&ours, "a").unwrap();
        assert_eq!((identity.workload.as_str(), identity.image.as_str(), identity.slot), ("web", "web:1", Slot(3)));
        assert_eq!(identify(&ours, "b"), None);
        for missing in [IMAGE, INSTANCE, WORKLOAD, SLOT] {
            let mut fewer = ours.clone();
            fewer.remove(missing);
            assert_eq!(identify(&fewer, "a"), None, "{missing}");
        }
        assert_eq!(identify(&HashMap::new(), "a"), None);
    }

    #[test]
    fn names_are_valid_whatever_the_key_holds() {
        for (key, expected) in [
            ("nginx:alpine", "nginx"),
            ("ghcr.io/org/app_2:1.0", "app_2"),
            ("127.0.0.1:5000/team/app@sha256:00", "app"),
            ("shop-front", "shop-front"),
            ("///", "windlass"),
            ("é", "windlass"),
        ] {
            assert_eq!(stem(key), expected);
        }
        assert_eq!(stem(&"a".repeat(300)).len(), LONGEST_STEM);
    }

    #[test]
    fn a_slot_has_one_name_and_no_other_slot_has_it() {
        let (web, mirror) = (workload("nginx", 1, 2), workload("mirror.example/nginx", 1, 2));
        let (web, mirror) = (&web.key, &mirror.key);
        let name = container_name("here", web, Slot(1));
        assert_eq!(name, container_name("here", web, Slot(1)));
        assert!(name.starts_with("nginx-") && name.ends_with("-1") && is_plain(&name), "{name}");
        let others = [
            container_name("here", web, Slot(2)),
            container_name("here", mirror, Slot(1)),
            container_name("there", web, Slot(1)),
        ];
        assert!(!others.contains(&name), "{others:?}");
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_plain() {
        assert!(is_plain("web-0-abc123") && is_plain(&"0a".repeat(32)));
        for name in ["", "../images/x", "a/b", "a?force=1", "a%2f", ".a", "a b", "a\n"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
