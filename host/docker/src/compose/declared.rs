//! The services whose containers ask for Windlass, from the engine's list of containers.

use crate::compose::labels::{CLONE_OF, CONFIG_HASH, DEPENDS_ON, PROJECT, SERVICE, identify, is_for, is_one_off, key};
use crate::labels::{INSTANCE, WORKLOAD};
use bollard::models::ContainerSummary;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use windlass_core::labels::{ENABLE, PREFIX};
use windlass_core::{Declaration, DeclaredService, ImageRef, WorkloadKey};

/// The label of a container that is a task of a Swarm service.
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
/// Labels that Windlass sets on containers, which are no part of a declaration.
const OWN: [&str; 2] = [INSTANCE, CLONE_OF];
/// The condition of a dependency that ends before its dependents begin.
const COMPLETED: &str = "service_completed_successfully";

/// One container that asks for Windlass, as the engine lists it.
struct Listed<'a> {
    summary: &'a ContainerSummary,
    labels: &'a HashMap<String, String>,
}

/// A declared service, and the container that its image is read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) service: DeclaredService,
    /// The identifier of a container whose image the list does not name. `None` if the list names it.
    pub(crate) unnamed_image: Option<String>,
    /// Only copies declare it. The container that they are copies of is gone, or has lost its label.
    pub(crate) is_of_copies: bool,
}

impl Listed<'_> {
    fn name(&self) -> &str {
        let name = self.summary.names.iter().flatten().next().map(String::as_str);
        name.unwrap_or_default().trim_start_matches('/')
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    fn is_clone(&self) -> bool {
        self.labels.contains_key(CLONE_OF)
    }

    fn age(&self) -> (bool, i64, &str) {
        // Of several containers, the newest one of Compose tells how the service is declared now.
        (!self.is_clone(), self.summary.created.unwrap_or_default(), self.summary.id.as_deref().unwrap_or_default())
    }

    /// The labels that declare the workload.
    fn declaration(&self) -> BTreeMap<String, String> {
        let is_declared = |name: &str| name.starts_with(PREFIX) && !OWN.contains(&name);
        let declared = self.labels.iter().filter(|(name, _)| is_declared(name));
        declared.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The services that ask for the Windlass of this instance, in the order of their keys.
pub(crate) fn declared(summaries: &[ContainerSummary], instance: &str) -> Vec<Found> {
    let mut services: BTreeMap<(&str, &str), Vec<Listed<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    for summary in summaries {
        let Some(labels) = &summary.labels else { continue };
        let asks = labels.get(ENABLE).is_some_and(|value| value.trim() != "false");
        // A managed container has its labels from Windlass.
        if !asks || is_one_off(labels) || labels.contains_key(WORKLOAD) {
            continue;
        }
        let listed = Listed { summary, labels };
        match (labels.get(PROJECT), labels.get(SERVICE)) {
            (Some(project), Some(service)) if labels.contains_key(CONFIG_HASH) => {
                services.entry((project, service)).or_default().push(listed);
            }
            _ if is_for(labels, instance) => found.push(without_service(&listed)),
            _ => {}
        }
    }
    found.extend(services.into_iter().filter_map(|((project, service), mut containers)| {
        containers.sort_by(|a, b| a.age().cmp(&b.age()));
        of_service(project, service, &containers, instance)
    }));
    found.sort_by(|a, b| a.service.key.cmp(&b.service.key));
    found
}

/// A service of Compose, from its containers, the newest one of Compose last. `None` if it asks for another Windlass.
fn of_service(project: &str, service: &str, containers: &[Listed<'_>], instance: &str) -> Option<Found> {
    let newest = containers.iter().rfind(|container| is_for(container.labels, instance))?;
    let labels = newest.declaration();
    let is_current =
        |container: &&Listed<'_>| !container.is_clone() && container.label(CONFIG_HASH) == newest.label(CONFIG_HASH);
    let other = containers.iter().filter(is_current).find(|container| container.declaration() != labels);
    let foreign = containers.iter().find(|container| !is_for(container.labels, instance));
    let is_enabled = newest.label(ENABLE).is_some_and(|value| value.trim() == "true");
    let obstacle = if let Some(foreign) = foreign {
        Some(format!(
            "its container `{}` belongs to the Windlass instance `{}`; give all containers one `windlass.instance`, or \
             remove that container",
            foreign.name(),
            foreign.label(INSTANCE).unwrap_or("default").escape_debug()
        ))
    } else if let Some(other) = other {
        Some(format!(
            "its containers `{}` and `{}` have different labels of Windlass; recreate them with `docker compose up \
             --force-recreate`",
            newest.name(),
            other.name()
        ))
    } else if is_enabled && identify(newest.labels, instance).is_none() {
        Some(format!(
            "its container `{}` has no valid number in the label `com.docker.compose.container-number`; recreate it with \
             `docker compose up --force-recreate`",
            newest.name()
        ))
    } else {
        None
    };
    let declaration = Declaration::Compose { project: project.to_owned(), service: service.to_owned() };
    let depends_on = depends_on(project, newest.label(DEPENDS_ON).unwrap_or_default());
    Some(found(key(project, service), declaration, newest, depends_on, obstacle))
}

/// A container that asks for Windlass and is none of a Compose service.
fn without_service(container: &Listed<'_>) -> Found {
    let name = container.name();
    let (service, obstacle) = match container.label(SWARM_SERVICE) {
        Some(service) => (
            service,
            format!(
                "its container `{name}` is a task of a Swarm service; set the labels under `deploy.labels`, and start \
                 Windlass with `--engine swarm`"
            ),
        ),
        None => (
            name,
            format!(
                "container `{name}` was not created by Compose for a service; Windlass scales services of Compose, so \
                 create it with `docker compose up`"
            ),
        ),
    };
    let declaration = Declaration::Compose { project: String::new(), service: service.to_owned() };
    found(WorkloadKey::stored(service), declaration, container, Vec::new(), Some(obstacle))
}

fn found(
    key: WorkloadKey,
    declaration: Declaration,
    container: &Listed<'_>,
    depends_on: Vec<WorkloadKey>,
    obstacle: Option<String>,
) -> Found {
    let image = container.summary.image.as_deref().unwrap_or_default();
    // The list has the image's identifier after its reference was given to another image.
    let unnamed_image = container.summary.id.clone().filter(|_| image.starts_with("sha256:"));
    let image = ImageRef::stored(image);
    let labels = container.declaration();
    let service = DeclaredService { key, declaration, image, labels, depends_on, obstacle };
    // The newest container of Compose comes before every copy.
    Found { service, unnamed_image, is_of_copies: container.is_clone() }
}

/// The workloads of the services in Compose's label, except those that end before their dependents begin.
fn depends_on(project: &str, label: &str) -> Vec<WorkloadKey> {
    let services: BTreeSet<&str> = label
        .split(',')
        .filter_map(|part| {
            let mut fields = part.split(':');
            let service = fields.next().filter(|service| !service.is_empty())?;
            (fields.next() != Some(COMPLETED)).then_some(service)
        })
        .collect();
    services.into_iter().map(|service| key(project, service)).collect()
}

/// The engine's filter for containers that ask for a Windlass.
pub(crate) fn filter() -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![ENABLE.to_owned()])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::labels::NUMBER;

    fn container(name: &str, created: i64, change: &[(&str, &str)]) -> ContainerSummary {
        let mut labels: HashMap<&str, &str> = HashMap::from([
            ("windlass.enable", "true"),
            ("windlass.max", "4"),
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "web"),
            ("com.docker.compose.container-number", "1"),
            ("com.docker.compose.config-hash", "aa"),
            ("com.docker.compose.oneoff", "False"),
        ]);
        labels.extend(change.iter().copied());
        labels.retain(|_, value| !value.is_empty());
        serde_json::from_value(serde_json::json!({
            "Id": format!("id-{name}"), "Names": [format!("/{name}")], "Created": created, "Image": "web:1", "Labels": labels
        }))
        .unwrap()
    }

    fn keys_and_obstacles(containers: &[ContainerSummary]) -> Vec<(String, String)> {
        let found = declared(containers, "default").into_iter();
        found.map(|it| (it.service.key.to_string(), it.service.obstacle.unwrap_or_default())).collect()
    }

    #[test]
    fn the_newest_container_of_compose_declares_the_service() {
        let copy = [("windlass.clone-of", "id-a"), ("windlass.instance", "default"), ("windlass.max", "4")];
        let depends_on =
            "db:service_healthy:true,init:service_completed_successfully:false,cache:service_started:false";
        let containers = [
            container(
                "new",
                20,
                &[("com.docker.compose.config-hash", "bb"), ("windlass.max", "5"), (DEPENDS_ON, depends_on)],
            ),
            container("old", 10, &[]),
            container("copy", 30, &copy),
        ];
        let found = declared(&containers, "default");
        let [Found { service, unnamed_image: None, is_of_copies: false }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((service.key.as_str(), service.image.as_str()), ("shop-web", "web:1"));
        let labels: Vec<(&str, &str)> =
            service.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("windlass.enable", "true"), ("windlass.max", "5")]);
        let depends_on: Vec<&str> = service.depends_on.iter().map(WorkloadKey::as_str).collect();
        assert_eq!(depends_on, ["shop-cache", "shop-db"]);
        assert_eq!(service.obstacle, None, "the labels of an older generation are no contradiction");
        // Copies alone still declare it: their service is not gone.
        assert_eq!(keys_and_obstacles(&containers[2..]), [("shop-web".to_owned(), String::new())]);
        assert!(declared(&containers[2..], "default")[0].is_of_copies);
        let mut moved = container("moved", 10, &[]);
        moved.image = Some("sha256:00".to_owned());
        assert_eq!(declared(&[moved], "default")[0].unnamed_image.as_deref(), Some("id-moved"));
    }

    #[test]
    fn what_does_not_ask_for_this_windlass_is_not_listed() {
        for change in [
            [("windlass.enable", "false")],
            [("windlass.enable", "")],
            [("windlass.instance", "other")],
            [("com.docker.compose.oneoff", "True")],
            [("windlass.workload", "web")],
        ] {
            assert_eq!(keys_and_obstacles(&[container("a", 1, &change)]), [], "{change:?}");
        }
        assert_eq!(declared(&[container("a", 1, &[])], "other"), []);
        // A wrong value is for its reader to refuse.
        assert_eq!(keys_and_obstacles(&[container("a", 1, &[("windlass.enable", "yes")])])[0].1, "");
    }

    #[test]
    fn each_obstacle_has_its_sentence() {
        let foreign =
            [("windlass.clone-of", "x"), ("windlass.instance", "other"), ("com.docker.compose.container-number", "2")];
        let alone = [("com.docker.compose.project", "")];
        let task = [("com.docker.compose.config-hash", ""), (SWARM_SERVICE, "stack_web")];
        for (containers, key, told) in [
            (
                vec![container("a", 1, &[]), container("b", 2, &foreign)],
                "shop-web",
                "belongs to the Windlass instance `other`",
            ),
            (
                vec![container("a", 1, &[]), container("b", 2, &[("windlass.max", "9")])],
                "shop-web",
                "`b` and `a` have different labels",
            ),
            (vec![container("a", 1, &[(NUMBER, "x")])], "shop-web", "has no valid number"),
            (vec![container("a", 1, &alone)], "a", "was not created by Compose"),
            (vec![container("a", 1, &task)], "stack_web", "is a task of a Swarm service"),
        ] {
            for (found, obstacle) in keys_and_obstacles(&containers) {
                assert_eq!(found, key);
                assert!(obstacle.contains(told), "{obstacle}");
            }
            assert!(!keys_and_obstacles(&containers).is_empty());
        }
    }
}
