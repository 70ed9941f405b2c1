//! The parts of an adopted workload that the labels of its service set, so that no request may change them.

use crate::labels::{ENABLE, MAX, MIN, MODE, POLICY, POLICY_CONFIG, PROFILE};
use crate::workload::Mode;
use crate::{Declaration, Workload};
use std::collections::BTreeSet;

/// A part of an adopted workload that labels set.
#[derive(Debug, Clone, Copy)]
pub struct LabelledField {
    /// The name of the part in the API.
    pub name: &'static str,
    /// The labels that set it, the most specific one first.
    pub labels: &'static [&'static str],
    is_same: fn(&Workload, &Workload) -> bool,
}

impl LabelledField {
    /// Every part that labels set, in the order of the API's answers.
    pub const ALL: &[Self] = &[
        Self { name: "min_replicas", labels: &[MIN], is_same: |one, other| one.bounds.min() == other.bounds.min() },
        Self { name: "max_replicas", labels: &[MAX], is_same: |one, other| one.bounds.max() == other.bounds.max() },
        Self { name: "probe", labels: &[PROFILE], is_same: |one, other| one.probe == other.probe },
        Self {
            name: "scaling_policy",
            labels: &[POLICY, POLICY_CONFIG, PROFILE],
            is_same: |one, other| one.policies.scaling == other.policies.scaling,
        },
        Self {
            name: "health_policy",
            labels: &[PROFILE],
            is_same: |one, other| one.policies.health == other.policies.health,
        },
        Self {
            name: "shadow_policies",
            labels: &[PROFILE],
            is_same: |one, other| one.policies.shadows == other.policies.shadows,
        },
        Self { name: "metrics", labels: &[PROFILE], is_same: |one, other| one.metrics == other.metrics },
        Self {
            name: "guardrails",
            labels: &[PROFILE],
            // The defaults may be stored as such, or as their absence.
            is_same: |one, other| {
                one.guardrails.clone().unwrap_or_default() == other.guardrails.clone().unwrap_or_default()
            },
        },
        Self { name: "stop_hook", labels: &[PROFILE], is_same: |one, other| one.stop_hook == other.stop_hook },
        Self {
            name: "mode",
            labels: &[MODE],
            is_same: |one, other| one.policies.mode.unwrap_or_default() == other.policies.mode.unwrap_or_default(),
        },
    ];
}

impl Declaration {
    /// The parts of the workload that labels set; none for a managed workload.
    pub fn labelled(&self) -> &'static [LabelledField] {
        if self.is_adopted() { LabelledField::ALL } else { &[] }
    }

    /// The service for people: "service `web` in project `shop`". `None` for a managed workload.
    pub fn service(&self) -> Option<String> {
        match self {
            Self::Api => None,
            Self::Compose { project, service } => Some(format!("service `{service}` in project `{project}`")),
            Self::Swarm { service } => Some(format!("service `{service}`")),
        }
    }

    /// The command that applies changed labels. `None` for a managed workload.
    pub fn command(&self) -> Option<&'static str> {
        match self {
            Self::Api => None,
            Self::Compose { .. } => Some("docker compose up -d"),
            Self::Swarm { .. } => Some("docker stack deploy"),
        }
    }
}

impl Workload {
    /// Why an adopted workload cannot become `wanted`, and how to change it: labels set some of the parts that differ.
    /// `None` if it can.
    pub fn label_conflict(&self, wanted: &Self) -> Option<String> {
        let (service, command) = (self.declaration.service()?, self.declaration.command()?);
        let changed: Vec<&LabelledField> =
            self.declaration.labelled().iter().filter(|field| !(field.is_same)(self, wanted)).collect();
        let mut labels: Vec<&str> = changed.iter().flat_map(|field| field.labels).copied().collect();
        // Several parts may have one label.
        let mut seen = BTreeSet::new();
        labels.retain(|label| seen.insert(*label));
        let fields: Vec<&str> = changed.iter().map(|field| field.name).collect();
        let (subject, verb, object) = match labels.as_slice() {
            [] => return None,
            [_] => ("the label", "sets", "it"),
            _ => ("the labels", "set", "them"),
        };
        Some(format!(
            "{subject} {} of {service} {verb} {}; change {object} there and run `{command}`",
            listed(&labels),
            listed(&fields)
        ))
    }

    /// Why Windlass leaves the containers of the workload alone, and how to change that. `None` if it does not: the
    /// workload is managed, or its labels let Windlass act.
    pub fn container_conflict(&self) -> Option<String> {
        let is_recommended = self.policies.mode.unwrap_or_default() == Mode::Recommend;
        let (service, command) = (self.declaration.service()?, self.declaration.command()?);
        is_recommended.then(|| {
            format!(
                "workload `{}` only recommends, so Windlass changes none of its containers; set the label `{MODE}` of \
                 {service} to `act` and run `{command}`",
                self.key
            )
        })
    }

    /// Why the workload cannot be deleted here, and how to end its adoption. `None` for a managed workload.
    pub fn deletion_conflict(&self) -> Option<String> {
        let (service, command) = (self.declaration.service()?, self.declaration.command()?);
        Some(format!(
            "the label `{ENABLE}` of {service} declares workload `{}`; remove it there and run `{command}`, and Windlass \
             leaves the service alone",
            self.key
        ))
    }
}

/// Words in backticks: "`a`, `b` and `c`".
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::workload;
    use crate::workload::{HookCall, StopHook};
    use crate::{Bounds, Guardrails, Metric, MetricSource, Overrides, PolicyChoice, Probe, ProbeTarget};
    use std::time::Duration;

    fn adopted(declaration: Declaration) -> Workload {
        Workload { declaration, ..workload("web:1", 1, 3) }
    }

    fn compose() -> Workload {
        adopted(Declaration::Compose { project: "shop".to_owned(), service: "web".to_owned() })
    }

    fn bounds(workload: &Workload, min: u32, max: u32) -> Workload {
        Workload { bounds: Bounds::new(min, max).expect("bounds"), ..workload.clone() }
    }

    #[test]
    fn a_change_of_what_a_label_sets_names_the_label_and_the_command() {
        let compose = compose();
        assert_eq!(
            compose.label_conflict(&bounds(&compose, 1, 5)).as_deref(),
            Some(
                "the label `windlass.max` of service `web` in project `shop` sets `max_replicas`; change it there and \
                 run `docker compose up -d`"
            )
        );
        let swarm = adopted(Declaration::Swarm { service: "web".to_owned() });
        assert_eq!(
            swarm.label_conflict(&bounds(&swarm, 2, 5)).as_deref(),
            Some(
                "the labels `windlass.min` and `windlass.max` of service `web` set `min_replicas` and `max_replicas`; \
                 change them there and run `docker stack deploy`"
            )
        );
    }

    #[test]
    fn each_part_that_a_label_sets_is_compared() {
        let before = compose();
        let choice = PolicyChoice { name: "queue".to_owned(), config: "{}".to_owned() };
        let metric = Metric {
            source: MetricSource::Push,
            interval: Metric::INTERVAL,
            timeout: Metric::TIMEOUT,
            max_age: Duration::from_secs(60),
            allow_negative: false,
        };
        type Change<'a> = &'a dyn Fn(&mut Workload);
        let changes: [(&str, Change<'_>); 10] = [
            ("min_replicas", &|it| it.bounds = Bounds::new(2, 3).expect("bounds")),
            ("max_replicas", &|it| it.bounds = Bounds::new(1, 4).expect("bounds")),
            ("probe", &|it| {
                it.probe = Some(Probe {
                    target: ProbeTarget::Docker,
                    interval: Duration::from_secs(1),
                    timeout: Duration::from_secs(1),
                });
            }),
            ("scaling_policy", &|it| it.policies.scaling = vec![choice.clone()]),
            ("health_policy", &|it| it.policies.health = Some(choice.clone())),
            ("shadow_policies", &|it| it.policies.shadows = vec![choice.clone()]),
            ("metrics", &|it| it.metrics = [("queue".to_owned(), metric.clone())].into()),
            ("guardrails", &|it| {
                it.guardrails = Some(Guardrails { grace: Duration::ZERO, ..Guardrails::default() });
            }),
            ("stop_hook", &|it| {
                it.stop_hook = Some(StopHook {
                    call: HookCall::Exec { command: vec!["true".to_owned()] },
                    timeout: StopHook::TIMEOUT,
                });
            }),
            ("mode", &|it| it.policies.mode = Some(Mode::Recommend)),
        ];
        let names: Vec<&str> = changes.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, LabelledField::ALL.iter().map(|field| field.name).collect::<Vec<_>>());
        for (name, change) in changes {
            let mut wanted = before.clone();
            change(&mut wanted);
            let conflict = before.label_conflict(&wanted).unwrap_or_default();
            assert!(conflict.contains(&format!("`{name}`")), "{name}: {conflict}");
            let managed = Workload { declaration: Declaration::Api, ..before.clone() };
            assert_eq!(managed.label_conflict(&wanted), None, "{name}");
        }
    }

    #[test]
    fn what_no_label_sets_can_be_changed() {
        let before = compose();
        let overrides = Overrides { paused: true, ..Overrides::default() };
        let mut wanted = Workload { overrides, guardrails: Some(Guardrails::default()), ..before.clone() };
        wanted.policies.mode = Some(Mode::Act);
        assert_eq!(before.label_conflict(&wanted), None);
    }

    #[test]
    fn containers_are_left_alone_until_a_label_says_act() {
        let mut compose = compose();
        compose.policies.mode = Some(Mode::Recommend);
        assert_eq!(
            compose.container_conflict().as_deref(),
            Some(
                "workload `web:1` only recommends, so Windlass changes none of its containers; set the label \
                 `windlass.mode` of service `web` in project `shop` to `act` and run `docker compose up -d`"
            )
        );
        compose.policies.mode = Some(Mode::Act);
        assert_eq!(compose.container_conflict(), None);
        let mut managed = workload("web:1", 1, 3);
        managed.policies.mode = Some(Mode::Recommend);
        assert_eq!((managed.container_conflict(), managed.deletion_conflict()), (None, None));
        assert_eq!(
            compose.deletion_conflict().as_deref(),
            Some(
                "the label `windlass.enable` of service `web` in project `shop` declares workload `web:1`; remove it \
                 there and run `docker compose up -d`, and Windlass leaves the service alone"
            )
        );
    }
}
