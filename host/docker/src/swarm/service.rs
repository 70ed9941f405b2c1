//! A service as raw JSON, and what Windlass reads in it.

use super::task::Task;
use crate::labels;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::labels::{ENABLE, PREFIX};
use windlass_core::settings::EngineSettings;
use windlass_core::{Declaration, DeclaredService, ImageRef, ServiceState, ServiceUpdate, WorkloadKey};

/// After a change of its tasks, a service has no update for a moment, until Swarm begins one: within a second, or after several
/// if its managers are busy. Swarm begins none if the change concerns no task, and that looks the same.
const UPDATE_BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: u64,
    /// When this version was first seen.
    pub(super) first_seen: Instant,
    raw: Value,
}

impl Service {
    /// `None` if the JSON is no service.
    pub(super) fn read(raw: Value, first_seen: Instant) -> Option<Self> {
        let id = raw["ID"].as_str().filter(|id| labels::is_plain(id))?.to_owned();
        let name = raw["Spec"]["Name"].as_str()?.to_owned();
        let version = raw["Version"]["Index"].as_u64()?;
        Some(Self { id, name, version, first_seen, raw })
    }

    /// The same, first seen at another time.
    pub(super) fn seen_since(self, first_seen: Instant) -> Self {
        Self { first_seen, ..self }
    }

    /// Its specification.
    pub(super) fn specification(&self) -> &Value {
        &self.raw["Spec"]
    }

    /// The specification before the latest write. `None` if there was no write.
    pub(super) fn previous(&self) -> Option<&Value> {
        self.raw.get("PreviousSpec").filter(|previous| previous.is_object())
    }

    /// The key of the workload that the service is if its labels declare it. Names of stacks' services contain an
    /// underscore, as in `shop_web`; keys contain none.
    pub(super) fn declared_key(&self) -> WorkloadKey {
        WorkloadKey::stored(self.name.replace('_', "-"))
    }

    /// The key of the managed workload whose service it is. `None` if another instance or nobody manages it.
    pub(super) fn managed_key(&self, instance: &str) -> Option<WorkloadKey> {
        (self.label(labels::INSTANCE)? == instance).then(|| self.label(labels::WORKLOAD).map(WorkloadKey::stored))?
    }

    /// The key of its workload. `None` if Windlass has nothing to do with the service.
    pub(super) fn key(&self, instance: &str) -> Option<WorkloadKey> {
        self.managed_key(instance).or_else(|| self.asks_to_be_scaled(instance).then(|| self.declared_key()))
    }

    /// Whether it is the service of a workload, and its labels say so now.
    pub(super) fn is_of(&self, workload: &WorkloadKey, declaration: &Declaration, instance: &str) -> bool {
        match declaration {
            Declaration::Api => self.managed_key(instance).as_ref() == Some(workload),
            Declaration::Swarm { service } => self.name == *service && self.asks_to_be_scaled(instance),
            Declaration::Compose { .. } => false,
        }
    }

    /// The number of replicas that Swarm keeps. `None` if its mode is another than `replicated`.
    pub(super) fn count(&self) -> Option<u32> {
        count_in(self.specification())
    }

    /// Its state, with its tasks.
    pub(super) fn state(&self, tasks: &[Task]) -> Option<ServiceState> {
        let (update, update_message) = self.update();
        Some(ServiceState {
            id: self.id.clone(),
            version: self.version,
            count: self.count()?,
            update,
            update_message,
            pending: tasks.iter().filter_map(Task::pending).collect(),
            is_redeployed: self.is_redeployed(),
        })
    }

    /// The progress of the latest update, with Swarm's words about it.
    pub(super) fn update(&self) -> (ServiceUpdate, String) {
        let status = &self.raw["UpdateStatus"];
        let message = status["Message"].as_str().unwrap_or_default().to_owned();
        match status["State"].as_str() {
            Some("updating") => (ServiceUpdate::Updating, message),
            Some("paused") => (ServiceUpdate::Paused, message),
            Some("rollback_started") => (ServiceUpdate::RollingBack, message),
            Some("rollback_paused") => (ServiceUpdate::RollbackPaused, message),
            None if self.awaits_update() => (ServiceUpdate::Updating, "the update begins".to_owned()),
            _ => (ServiceUpdate::None, message),
        }
    }

    /// Whether the latest write changed the count together with other parts. Windlass never does that, so it was a deploy.
    fn is_redeployed(&self) -> bool {
        self.previous().is_some_and(|previous| count_in(previous) != self.count() && self.differs_from(previous))
    }

    /// Returns true if Swarm will probably begin an update for the latest write.
    fn awaits_update(&self) -> bool {
        self.changes_tasks() && self.count() != Some(0) && self.first_seen.elapsed() < UPDATE_BEGINS_WITHIN
    }

    /// Whether the latest write changed what tasks are made from.
    fn changes_tasks(&self) -> bool {
        self.previous().is_some_and(|previous| previous["TaskTemplate"] != self.specification()["TaskTemplate"])
    }

    /// Whether a specification differs from that of the service in more than the count.
    pub(super) fn differs_from(&self, specification: &Value) -> bool {
        let parts = |specification: &Value| {
            let mut parts = specification.as_object().cloned().unwrap_or_default();
            parts.remove("Mode");
            parts
        };
        parts(specification) != parts(self.specification())
    }

    /// Its specification with another count, and nothing else changed.
    pub(super) fn with_count(&self, count: u32) -> Value {
        with_count(self.specification().clone(), count)
    }

    /// The service as its labels declare it. `None` if they do not.
    pub(super) fn declared(&self) -> Option<DeclaredService> {
        let enable = self.label(ENABLE).filter(|enable| *enable != "false")?;
        let mode = self.specification()["Mode"].as_object().and_then(|mode| mode.keys().next().cloned());
        let obstacle = match mode.as_deref() {
            _ if enable != "true" => {
                Some(format!("its label `{ENABLE}` is `{}`; expected `true` or `false`", enable.escape_debug()))
            }
            Some("Replicated") => None,
            Some("Global") => {
                Some("it is a global service: Swarm runs one task on each node, so it has no count".to_owned())
            }
            Some("ReplicatedJob" | "GlobalJob") => {
                Some("it is a job: a change of its count would run the job again".to_owned())
            }
            mode => Some(format!(
                "its mode `{}` is unknown; only replicated services have a count",
                mode.unwrap_or_default()
            )),
        };
        let labels = self.specification()["Labels"].as_object().into_iter().flatten();
        let labels = labels.filter(|(name, _)| name.starts_with(PREFIX));
        let image = self.specification()["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
        Some(DeclaredService {
            key: self.declared_key(),
            declaration: Declaration::Swarm { service: self.name.clone() },
            image: ImageRef::stored(image),
            labels: labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            depends_on: Vec::new(),
            obstacle,
        })
    }

    fn asks_to_be_scaled(&self, instance: &str) -> bool {
        self.label(ENABLE) == Some("true") && self.is_for(instance)
    }

    /// Whether its labels are for the Windlass of an instance: they name it, or they name none and it has the default name.
    fn is_for(&self, instance: &str) -> bool {
        match self.label(labels::INSTANCE) {
            Some(named) => named == instance,
            None => EngineSettings::default().instance == instance,
        }
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.specification()["Labels"][name].as_str()
    }
}

/// The services that labels declare for the Windlass of an instance, in the order of their keys. `own` is the service in which
/// Windlass itself runs.
pub(super) fn declared(services: &[Service], instance: &str, own: Option<&str>) -> Vec<DeclaredService> {
    let ours = services.iter().filter(|service| service.is_for(instance));
    let found = ours.filter_map(|service| Some((service, service.declared()?)));
    let mut found: Vec<DeclaredService> = found
        .map(|(service, mut declared)| {
            if own == Some(service.id.as_str()) {
                declared.obstacle = Some("Windlass itself runs in it".to_owned());
            }
            declared
        })
        .collect();
    let mut holders: BTreeMap<WorkloadKey, u32> = BTreeMap::new();
    for declared in &found {
        *holders.entry(declared.key.clone()).or_default() += 1;
    }
    for declared in found.iter_mut().filter(|declared| holders[&declared.key] > 1) {
        declared.obstacle = Some(format!(
            "another service has the same workload name `{}`, because `_` counts as `-`; rename one of the two",
            declared.key
        ));
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// A specification with another count.
pub(super) fn with_count(mut specification: Value, count: u32) -> Value {
    specification["Mode"]["Replicated"]["Replicas"] = json!(count);
    specification
}

fn count_in(specification: &Value) -> Option<u32> {
    let replicated = specification["Mode"].get("Replicated")?;
    // Swarm's own default.
    Some(replicated["Replicas"].as_u64().map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(image: &str, count: u32) -> Value {
        json!({"Name": "shop_web", "Labels": {"windlass.enable": "true", "windlass.max": "9", "team": "shop"},
            "TaskTemplate": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0},
            "Mode": {"Replicated": {"Replicas": count}}, "NewerField": {"a": [1, 2.5]}})
    }

    fn service(now: &Value, previous: Option<Value>, status: Option<&str>) -> Service {
        let mut raw = json!({"ID": "s1", "Version": {"Index": 7}, "Spec": now});
        if let Some(previous) = previous {
            raw["PreviousSpec"] = previous;
        }
        if let Some(state) = status {
            raw["UpdateStatus"] = json!({"State": state, "Message": "in Swarm's words"});
        }
        Service::read(raw, Instant::now()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_count_changes_one_number() {
        let service = service(&specification("web:1", 3), None, None);
        let mut expected = specification("web:1", 3);
        expected["Mode"]["Replicated"]["Replicas"] = json!(5);
        assert_eq!(service.with_count(5), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deploy_changes_the_count_with_other_parts() {
        let redeployed = |before: Value| {
            service(&specification("web:2", 1), Some(before), Some("completed")).state(&[]).unwrap().is_redeployed
        };
        assert!(redeployed(specification("web:1", 4)));
        assert!(!redeployed(specification("web:1", 1)), "the count is the same");
        assert!(!redeployed(specification("web:2", 4)), "only the count was changed");
        assert!(!service(&specification("web:2", 1), None, None).state(&[]).unwrap().is_redeployed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_progress_of_an_update_is_swarms_own() {
        for (state, expected) in [
            ("updating", ServiceUpdate::Updating),
            ("paused", ServiceUpdate::Paused),
            ("rollback_started", ServiceUpdate::RollingBack),
            ("rollback_paused", ServiceUpdate::RollbackPaused),
            ("completed", ServiceUpdate::None),
            ("rollback_completed", ServiceUpdate::None),
        ] {
            let update = service(&specification("web:1", 1), None, Some(state)).update();
            assert_eq!(update, (expected, "in Swarm's words".to_owned()), "{state}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_that_swarm_has_not_begun_yet_counts_as_one() {
        let changed = service(&specification("web:2", 1), Some(specification("web:1", 1)), None);
        assert_eq!(changed.update().0, ServiceUpdate::Updating);
        let stopped = service(&specification("web:2", 0), Some(specification("web:1", 1)), None);
        assert_eq!(stopped.update().0, ServiceUpdate::None, "it has no tasks to replace");
        tokio::time::advance(UPDATE_BEGINS_WITHIN).await;
        assert_eq!(changed.update().0, ServiceUpdate::None, "the change concerned no task");
        let scaled = service(&specification("web:1", 2), Some(specification("web:1", 1)), None);
        assert_eq!(scaled.update().0, ServiceUpdate::None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_declares_itself_by_its_own_labels() {
        let declared = service(&specification("web:1", 2), None, None).declared().unwrap();
        assert_eq!((declared.key.as_str(), declared.obstacle), ("shop-web", None));
        assert_eq!(declared.declaration, Declaration::Swarm { service: "shop_web".to_owned() });
        assert_eq!(declared.labels.into_keys().collect::<Vec<_>>(), ["windlass.enable", "windlass.max"]);
        let with = |change: &dyn Fn(&mut Value)| {
            let mut changed = specification("web:1", 2);
            change(&mut changed);
            service(&changed, None, None).declared()
        };
        let obstacle = |change: &dyn Fn(&mut Value)| with(change).unwrap().obstacle.unwrap();
        for (mode, word) in [("Global", "global"), ("ReplicatedJob", "job"), ("GlobalJob", "job"), ("Newer", "`Newer`")]
        {
            let why = obstacle(&|spec| spec["Mode"] = json!({mode: {}}));
            assert!(why.contains(word), "{why}");
        }
        assert!(obstacle(&|spec| spec["Labels"]["windlass.enable"] = json!("yes")).contains("expected `true`"));
        assert_eq!(with(&|spec| spec["Labels"]["windlass.enable"] = json!("false")), None);
        assert_eq!(with(&|spec| spec["Labels"] = json!({})), None);
    }

    #[tokio::test(start_paused = true)]
    async fn two_services_of_one_name_and_windlass_itself_are_left_alone() {
        let named = |name: &str, id: &str| {
            let mut one = specification("web:1", 1);
            one["Name"] = json!(name);
            Service { id: id.to_owned(), ..service(&one, None, None) }
        };
        let services = [named("b_c", "1"), named("b-c", "2"), named("a", "3"), named("d", "4")];
        let found = declared(&services, "default", Some("4"));
        let found: Vec<_> =
            found.iter().map(|it| (it.key.as_str(), it.obstacle.as_deref().unwrap_or("none"))).collect();
        assert_eq!((found[0], found[3]), (("a", "none"), ("d", "Windlass itself runs in it")));
        assert!(found[1..3].iter().all(|(key, why)| *key == "b-c" && why.contains("rename one")), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_belongs_to_the_workload_that_its_labels_name_now() {
        let mut managed = specification("web:1", 1);
        managed["Labels"] = json!({"windlass.instance": "i", "windlass.workload": "web"});
        let (managed, adopted) = (service(&managed, None, None), service(&specification("web:1", 1), None, None));
        let (web, of_api) = (WorkloadKey::stored("web"), Declaration::Api);
        assert!(managed.is_of(&web, &of_api, "i") && !managed.is_of(&web, &of_api, "other"));
        let by_label = Declaration::Swarm { service: "shop_web".to_owned() };
        let shop_web = WorkloadKey::stored("shop-web");
        assert!(adopted.is_of(&shop_web, &by_label, "default"));
        assert!(!managed.is_of(&web, &by_label, "i") && !adopted.is_of(&web, &of_api, "default"));
        assert_eq!((managed.key("i"), managed.key("other")), (Some(web), None));

        // A label names the Windlass of another instance.
        let mut elsewhere = specification("web:1", 1);
        elsewhere["Labels"]["windlass.instance"] = json!("i");
        let elsewhere = service(&elsewhere, None, None);
        for (one, instance, expected) in [
            (&adopted, "default", true),
            (&adopted, "i", false),
            (&elsewhere, "i", true),
            (&elsewhere, "default", false),
        ] {
            assert_eq!(one.is_of(&shop_web, &by_label, instance), expected, "{instance}");
            assert_eq!(one.key(instance).is_some(), expected, "{instance}");
            assert_eq!(declared(std::slice::from_ref(one), instance, None).len(), usize::from(expected), "{instance}");
        }
    }
}
