//! The labels and names that Compose gives to the containers of a service, and ours on copies of them.

use crate::labels::INSTANCE;
use std::collections::HashMap;
use windlass_core::labels::ENABLE;
use windlass_core::settings::EngineSettings;
use windlass_core::{Slot, WorkloadKey};

/// The project of a container.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
/// The service of a container.
pub(crate) const SERVICE: &str = "com.docker.compose.service";
/// The number of a container in its service, from 1.
pub(crate) const NUMBER: &str = "com.docker.compose.container-number";
/// The hash of the service's configuration, without its scale.
pub(crate) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// `True` for a container of `docker compose run`.
pub(crate) const ONE_OFF: &str = "com.docker.compose.oneoff";
/// The services that a service depends on: `db:service_started:false`, joined by commas. Compose v1 does not set it.
pub(crate) const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The container in whose place Compose created this one.
pub(crate) const REPLACES: &str = "com.docker.compose.replace";
/// The identifier of the container of which this one is a copy.
pub(crate) const CLONE_OF: &str = "windlass.clone-of";

/// Characters of a short identifier of a container.
const SHORT: usize = 12;

/// The identity of a container of a service, according to its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceContainer {
    pub(crate) project: String,
    pub(crate) service: String,
    pub(crate) number: Slot,
    pub(crate) config_hash: String,
    pub(crate) is_clone: bool,
}

impl ServiceContainer {
    /// The key of the workload.
    pub(crate) fn key(&self) -> WorkloadKey {
        key(&self.project, &self.service)
    }

    /// Whether this is the name that Compose gives to the container, of version 1 or 2, also while it recreates it.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let name = name.split_once('_').filter(|(id, _)| is_short_id(id)).map_or(name, |(_, rest)| rest);
        ['-', '_'].iter().any(|separator| name == self.name_with(*separator))
    }

    /// The name of another container of the service, in the style of `model`, the name of this one.
    pub(crate) fn name_of(&self, slot: Slot, model: &str) -> String {
        let separator = if model.ends_with(&self.name_with('_')) { '_' } else { '-' };
        Self { number: slot, ..self.clone() }.name_with(separator)
    }

    fn name_with(&self, separator: char) -> String {
        format!("{}{separator}{}{separator}{}", self.project, self.service, self.number)
    }
}

/// The key of the workload of a service.
pub(crate) fn key(project: &str, service: &str) -> WorkloadKey {
    WorkloadKey::stored(format!("{project}-{service}"))
}

/// The short form of a container's identifier.
pub(crate) fn short_id(id: &str) -> &str {
    &id[..id.floor_char_boundary(SHORT)]
}

fn is_short_id(text: &str) -> bool {
    text.len() == SHORT && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads the labels of a container. `None` if its labels do not ask for the Windlass of this instance, or Compose did not
/// create it for a service. A copy belongs to the instance that made it.
pub(crate) fn identify(labels: &HashMap<String, String>, instance: &str) -> Option<ServiceContainer> {
    let is_enabled = labels.get(ENABLE).is_some_and(|value| value.trim() == "true");
    if !is_enabled || !is_for(labels, instance) || is_one_off(labels) {
        return None;
    }
    Some(ServiceContainer {
        project: labels.get(PROJECT)?.clone(),
        service: labels.get(SERVICE)?.clone(),
        number: Slot(labels.get(NUMBER)?.parse().ok()?),
        config_hash: labels.get(CONFIG_HASH)?.clone(),
        is_clone: labels.contains_key(CLONE_OF),
    })
}

/// Whether labels ask for the Windlass of this instance: they name it, or they name none and it has the default name.
pub(crate) fn is_for(labels: &HashMap<String, String>, instance: &str) -> bool {
    match labels.get(INSTANCE) {
        Some(named) => named == instance,
        None => EngineSettings::default().instance == instance,
    }
}

/// Whether a container is one of `docker compose run`.
pub(crate) fn is_one_off(labels: &HashMap<String, String>) -> bool {
    labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The engine's filter for the containers of one service, or of all services that ask for Windlass.
pub(crate) fn filter(service: Option<(&str, &str)>) -> HashMap<String, Vec<String>> {
    let mut labels = vec![format!("{ENABLE}=true"), CONFIG_HASH.to_owned()];
    if let Some((project, service)) = service {
        labels.extend([format!("{PROJECT}={project}"), format!("{SERVICE}={service}")]);
    }
    HashMap::from([("label".to_owned(), labels)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let of_compose = [
            (ENABLE, "true"),
            (PROJECT, "shop"),
            (SERVICE, "web"),
            (NUMBER, "2"),
            (CONFIG_HASH, "aa"),
            (ONE_OFF, "False"),
        ];
        of_compose.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_a_container_of_a_service_that_asks_for_this_instance_is_ours() {
        let ours = identify(&labels(&[]), "default").unwrap();
        assert_eq!((ours.key().as_str(), ours.number, ours.is_clone), ("shop-web", Slot(2), false));
        assert_eq!(identify(&labels(&[]), "other"), None, "it names no instance");
        assert!(identify(&labels(&[(INSTANCE, "other")]), "other").is_some());
        assert_eq!(identify(&labels(&[(INSTANCE, "other")]), "default"), None);
        let clone = identify(&labels(&[(INSTANCE, "default"), (CLONE_OF, "ab")]), "default").unwrap();
        assert!(clone.is_clone);
        for (name, value) in [(ENABLE, "false"), (ENABLE, "yes"), (ONE_OFF, "True"), (NUMBER, "x")] {
            assert_eq!(identify(&labels(&[(name, value)]), "default"), None, "{name}={value}");
        }
        for missing in [ENABLE, PROJECT, SERVICE, NUMBER, CONFIG_HASH] {
            let mut fewer = labels(&[]);
            fewer.remove(missing);
            assert_eq!(identify(&fewer, "default"), None, "{missing}");
        }
    }

    #[test]
    fn names_are_those_of_both_versions_of_compose() {
        let container = identify(&labels(&[]), "default").unwrap();
        for name in ["shop-web-2", "shop_web_2", "0123456789ab_shop-web-2", "0123456789ab_shop_web_2"] {
            assert!(container.has_name(name), "{name}");
        }
        for name in ["shop-web-3", "my-web", "copy_shop-web-2", "x0123456789ab_shop-web-2", "shop-web_2"] {
            assert!(!container.has_name(name), "{name}");
        }
        assert_eq!(container.name_of(Slot(5), "shop-web-2"), "shop-web-5");
        assert_eq!(container.name_of(Slot(5), "shop_web_2"), "shop_web_5");
        assert_eq!(container.name_of(Slot(5), "0123456789ab_shop_web_2"), "shop_web_5");
    }
}
