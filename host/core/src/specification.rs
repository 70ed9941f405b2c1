//! The part of a workload that containers are made from, and the replicas that no longer match it.

use crate::{
    Bounds, ContainerId, Declaration, Generation, Phase, Replica, RolloutOrder, Specification, Workload, publication,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

impl Specification {
    /// Its generation. The spelling of amounts and of the image does not matter, nor does [`Specification::image_id`]: the
    /// number of pulls stands for it.
    pub fn generation(&self) -> Generation {
        // Parts that are empty are left out, so that a part which a later version adds changes no generation.
        let mut parts = Map::new();
        let mut add = |name: &str, value: Value, is_empty: bool| {
            if !is_empty {
                parts.insert(name.to_owned(), value);
            }
        };
        add("command", json!(self.command), self.command.is_none());
        add("cpu", json!(self.cpu.nano_cores()), false);
        add("env", json!(self.env), self.env.is_empty());
        add("image", json!(self.image.canonical()), false);
        add("labels", json!(self.labels), self.labels.is_empty());
        add("memory", json!(self.memory.bytes()), false);
        add("networks", json!(self.networks), self.networks.is_empty());
        add("ports", json!(self.ports), self.ports.is_empty());
        add("pulls", json!(self.pulls), self.pulls == 0);
        let hash = Sha256::digest(Value::Object(parts).to_string());
        let digits = hash.iter().take(8).fold(0_u64, |digits, byte| (digits << 8) | u64::from(*byte));
        Generation::stored(format!("{digits:016x}"))
    }
}

impl Workload {
    /// The most replicas that can run at once: [`Bounds::LIMIT`], or fewer if they need ports of the engine's host.
    pub fn capacity(&self) -> u32 {
        let ports = if self.uses_host_network() { Some(1) } else { publication::capacity(&self.ports) };
        ports.unwrap_or(Bounds::LIMIT).min(Bounds::LIMIT)
    }

    /// Why a workload may not use the network of the engine's host.
    pub const HOST_NETWORK_REFUSED: &str = "the network `host` is not allowed, because replicas would reach every program \
        on the loopback of this machine, such as windlass itself; use another network, or set `engine.host_network = true`";

    /// Whether its replicas have no network of their own: they reach everything that listens on the loopback of the
    /// engine's host, and listen there themselves.
    pub fn uses_host_network(&self) -> bool {
        self.networks.iter().any(|network| network == "host")
    }

    /// The order in which its replicas are replaced while it has `count` of them.
    pub fn rollout_order(&self, count: u32) -> RolloutOrder {
        match self.rollout.order {
            _ if self.capacity() <= count => RolloutOrder::StopFirst,
            Some(order) => order,
            None => RolloutOrder::StartFirst,
        }
    }

    /// The part that its containers are made from.
    pub fn specification(&self) -> Specification {
        Specification {
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            pulls: self.pulls,
            env: self.env.clone(),
            command: self.command.clone(),
            ports: self.ports.clone(),
            cpu: self.resources.cpu.clone(),
            memory: self.resources.memory.clone(),
            networks: self.networks.clone(),
            labels: self.labels.clone(),
        }
    }

    /// The generation of its specification.
    pub fn generation(&self) -> Generation {
        self.specification().generation()
    }

    /// The replica of which copies are made: the newest one that Compose created. `None` if there is none, or the workload
    /// is no service of Compose.
    pub fn model<'a>(&self, replicas: &'a [Replica]) -> Option<&'a Replica> {
        let is_present = |replica: &&Replica| replica.is_of_compose() && replica.phase != Phase::Dead;
        replicas.iter().filter(is_present).max_by_key(|replica| (replica.created_at, &replica.id))
    }

    /// The generation of the replicas that are up to date. Compose makes the one of its services: that of its newest
    /// container, or if it has none, of the newest copy.
    pub fn current_generation(&self, replicas: &[Replica]) -> Generation {
        if !matches!(self.declaration, Declaration::Compose { .. }) {
            return self.generation();
        }
        let newest = || replicas.iter().max_by_key(|replica| (replica.created_at, &replica.id));
        let newest = self.model(replicas).or_else(newest);
        newest.and_then(|replica| replica.made_from.generation.clone()).unwrap_or_else(|| self.generation())
    }

    /// The same workload with another specification.
    #[must_use]
    pub(crate) fn with_specification(mut self, specification: Specification) -> Self {
        let Specification { image, image_id, pulls, env, command, ports, cpu, memory, networks, labels } =
            specification;
        (self.image, self.image_id, self.pulls) = (image, image_id, pulls);
        (self.env, self.command, self.ports) = (env, command, ports);
        (self.resources.cpu, self.resources.memory) = (cpu, memory);
        (self.networks, self.labels) = (networks, labels);
        self
    }

    /// The workload that containers of the generation before are made from. `None` if no such generation is known.
    pub fn of_previous_generation(&self) -> Option<Self> {
        let previous = self.previous.as_deref()?.clone();
        Some(self.clone().with_specification(previous))
    }

    /// The generation of a replica. `None` if it is not known; the replica then counts as up to date.
    pub(crate) fn generation_of<'a>(&'a self, replica: &'a Replica) -> Option<&'a Generation> {
        replica.made_from.generation.as_ref().or(self.unlabelled.as_ref())
    }

    /// Whether a replica was made from the specification of `current`, the workload's generation. A container of Compose
    /// always counts as such: only Compose replaces it.
    pub fn is_of(&self, current: &Generation, replica: &Replica) -> bool {
        replica.is_of_compose() || self.generation_of(replica).is_none_or(|generation| generation == current)
    }

    /// The replicas that do not match the desired state: made from another specification, or from another image under the
    /// same reference than the newest replica.
    pub fn outdated(&self, replicas: &[Replica]) -> BTreeSet<ContainerId> {
        let current = self.current_generation(replicas);
        let newest = self.image_id.as_ref().or_else(|| newest_image(self, &current, replicas));
        let is_outdated = |replica: &&Replica| {
            let is_mixed = !replica.is_of_compose()
                && replica.made_from.image_id.as_ref().zip(newest).is_some_and(|(own, newest)| own != newest);
            replica.phase != Phase::Stopping && (is_mixed || !self.is_of(&current, replica))
        };
        replicas.iter().filter(is_outdated).map(|replica| replica.id.clone()).collect()
    }
}

/// The image of the newest replica of a generation.
fn newest_image<'a>(workload: &Workload, current: &Generation, replicas: &'a [Replica]) -> Option<&'a String> {
    let of_current = replicas.iter().filter(|replica| workload.is_of(current, replica));
    of_current.max_by_key(|replica| replica.created_at).and_then(|replica| replica.made_from.image_id.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{running, workload};
    use crate::{Guardrails, MadeFrom};

    type Change = fn(&mut Workload);

    #[test]
    fn each_part_of_a_container_changes_the_generation_and_nothing_else_does() {
        let web = workload("web:1", 1, 3);
        let parts: [(&str, Change); 9] = [
            ("image", |web| web.image = "web:2".parse().expect("an image")),
            ("pulls", |web| web.pulls = 1),
            ("env", |web| drop(web.env.insert("A".to_owned(), String::new()))),
            ("command", |web| web.command = Some(vec!["serve".to_owned()])),
            ("ports", |web| web.ports = serde_json::from_str(r#"{"80/tcp": 0}"#).expect("ports")),
            ("cpu", |web| web.resources.cpu = "0.2".parse().expect("cpu")),
            ("memory", |web| web.resources.memory = "65m".parse().expect("memory")),
            ("networks", |web| web.networks = vec!["back".to_owned()]),
            ("labels", |web| drop(web.labels.insert("a".to_owned(), String::new()))),
        ];
        let mut seen = BTreeSet::from([web.generation()]);
        for (part, change) in parts {
            let mut changed = web.clone();
            change(&mut changed);
            assert!(seen.insert(changed.generation()), "{part}");
        }
        let same: [(&str, Change); 5] = [
            ("bounds", |web| web.bounds = Bounds::new(2, 9).expect("bounds")),
            ("guardrails", |web| web.guardrails = Some(Guardrails::none())),
            ("spelling of cpu", |web| web.resources.cpu = "100m".parse().expect("cpu")),
            ("spelling of the image", |web| web.image = "docker.io/library/web:1".parse().expect("an image")),
            ("image id", |web| web.image_id = Some("sha256:00".to_owned())),
        ];
        for (part, change) in same {
            let mut changed = web.clone();
            change(&mut changed);
            assert_eq!(changed.generation(), web.generation(), "{part}");
        }
    }

    #[test]
    fn generations_are_the_same_in_every_version() {
        // Another hash would replace every container after an update of Windlass.
        let mut web = workload("web:1", 1, 3);
        assert_eq!(web.generation().as_str(), "e9b1d44b80bd20c5");
        web.env.insert("A".to_owned(), "1".to_owned());
        web.pulls = 2;
        assert_eq!(web.generation().as_str(), "5d98ac7e0353ab76");
    }

    #[test]
    fn a_replica_without_a_label_is_of_the_generation_that_was_wished_for_when_the_host_began() {
        let mut web = workload("web", 1, 3);
        let old = running(&web, 1, 1_000);
        assert!(web.outdated(std::slice::from_ref(&old)).is_empty());
        web.unlabelled = Some(web.generation());
        assert!(web.outdated(std::slice::from_ref(&old)).is_empty());
        web.env.insert("A".to_owned(), "1".to_owned());
        assert_eq!(web.outdated(std::slice::from_ref(&old)), [old.id].into());
    }

    #[test]
    fn replicas_of_two_images_under_one_reference_are_told_apart() {
        let mut web = workload("web", 1, 3);
        let of = |slot, image_id: &str| {
            let mut replica = running(&web, slot, 1_000 + u64::from(slot));
            replica.made_from = MadeFrom {
                generation: Some(web.generation()),
                image_id: (!image_id.is_empty()).then(|| image_id.to_owned()),
            };
            replica
        };
        let (one, two, unknown) = (of(1, "sha256:01"), of(2, "sha256:02"), of(3, ""));
        assert!(web.outdated(&[one.clone(), unknown.clone()]).is_empty());
        assert_eq!(web.outdated(&[one.clone(), two.clone()]), [one.id.clone()].into());
        web.image_id = Some("sha256:01".to_owned());
        assert_eq!(web.outdated(&[one, two.clone(), unknown]), [two.id].into());
    }
}
