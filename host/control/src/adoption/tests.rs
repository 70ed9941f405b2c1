//! Tests of labels as desired states, and of the sentences about services that are left alone.

use crate::adoption::desired::{Sorted, sort};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_core::labels::{ENABLE, MAX, MIN, MODE, POLICY, POLICY_CONFIG, PROFILE};
use windlass_core::probe::{Probe, ProbeTarget};
use windlass_core::settings::Profile;
use windlass_core::workload::{HookCall, Mode, StopHook};
use windlass_core::{Declaration, DeclaredService, Guardrails, PolicyChoice, WorkloadKey};

fn compose(project: &str, service: &str, labels: &[(&str, &str)]) -> DeclaredService {
    let labels = [(ENABLE, "true"), (MAX, "5")].iter().chain(labels);
    DeclaredService {
        key: WorkloadKey::stored(format!("{project}-{service}")),
        declaration: Declaration::Compose { project: project.to_owned(), service: service.to_owned() },
        image: "web:1".parse().expect("an image"),
        labels: labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        depends_on: Vec::new(),
        obstacle: None,
    }
}

fn choice(name: &str) -> PolicyChoice {
    PolicyChoice { name: name.to_owned(), config: "{}".to_owned() }
}

fn profiles() -> BTreeMap<String, Profile> {
    let guardrails = Guardrails { grace: Duration::ZERO, ..Guardrails::default() };
    let slow = Profile { guardrails: Some(guardrails), health: Some(choice("liveness")), ..Profile::default() };
    let queue = Profile {
        scaling: vec![choice("queue")],
        shadows: vec![choice("shadow")],
        probe: Some(Probe {
            target: ProbeTarget::Tcp { port: 80 },
            interval: Probe::INTERVAL,
            timeout: Probe::TIMEOUT,
        }),
        stop_hook: Some(StopHook {
            call: HookCall::Exec { command: vec!["quit".to_owned()] },
            timeout: StopHook::TIMEOUT,
        }),
        ..slow.clone()
    };
    BTreeMap::from([("queue".to_owned(), queue), ("slow".to_owned(), slow)])
}

fn sorted(services: &[DeclaredService], known: &[(&str, Declaration)]) -> Sorted {
    let known = known.iter().map(|(key, declaration)| (WorkloadKey::stored(*key), declaration.clone())).collect();
    sort(services, &known, &profiles())
}

/// The sentences about the refused services.
fn refusals(services: &[DeclaredService], known: &[(&str, Declaration)]) -> String {
    let refused = sorted(services, known).refused;
    refused.iter().map(|service| format!("{}: {}", service.key, service.reason)).collect::<Vec<_>>().join("\n")
}

#[test]
fn labels_and_profile_make_the_desired_state() {
    let web = compose("shop", "web", &[(MIN, "2"), (PROFILE, "slow"), (POLICY, "step"), (POLICY_CONFIG, "{\"a\":1}")]);
    let Sorted { wanted, refused, unlabelled } = sorted(std::slice::from_ref(&web), &[]);
    assert!(refused.is_empty() && unlabelled.is_empty(), "{refused:?}");
    let [workload] = wanted.as_slice() else { panic!("{wanted:?}") };
    assert_eq!((workload.key.as_str(), &workload.declaration), ("shop-web", &web.declaration));
    assert_eq!((workload.bounds.min(), workload.bounds.max()), (2, 5));
    assert_eq!(workload.policies.mode, Some(Mode::Recommend), "until told");
    assert_eq!(workload.policies.scaling, [PolicyChoice { config: "{\"a\":1}".to_owned(), ..choice("step") }]);
    assert_eq!(workload.policies.health, Some(choice("liveness")));
    assert_eq!(workload.guardrails, profiles()["slow"].guardrails);
    let acts = &sorted(&[compose("shop", "web", &[(PROFILE, "queue"), (MODE, "act")])], &[]).wanted[0];
    assert_eq!((acts.policies.mode, acts.policies.scaling.as_slice()), (Some(Mode::Act), &[choice("queue")][..]));
    let queue = &profiles()["queue"];
    assert_eq!(
        (&acts.policies.shadows, &acts.probe, &acts.stop_hook),
        (&queue.shadows, &queue.probe, &queue.stop_hook)
    );
    // Containers that Windlass did not create are up to date.
    assert_eq!(acts.unlabelled, Some(acts.generation()));
}

#[test]
fn a_service_that_does_not_ask_is_neither_wanted_nor_refused() {
    let off = compose("shop", "web", &[(ENABLE, "false"), (MIN, "many")]);
    let sorted = sorted(std::slice::from_ref(&off), &[]);
    assert_eq!(sorted, Sorted { unlabelled: vec![off.declaration], ..Sorted::default() });
}

#[test]
fn a_service_depends_only_on_adopted_ones() {
    let key = WorkloadKey::stored;
    let mut web = compose("shop", "web", &[]);
    web.depends_on = ["shop-db", "shop-cache", "shop-mail", "shop-web", "old-db"].map(key).to_vec();
    let (db, mail) = (compose("shop", "db", &[]), compose("shop", "mail", &[(MAX, "0")]));
    let known = [("old-db", compose("old", "db", &[]).declaration), ("shop-cache", Declaration::Api)];
    let wanted = sorted(&[web, db, mail], &known).wanted;
    assert_eq!(wanted[1].depends_on, BTreeSet::from([key("old-db"), key("shop-db")]));
}

#[test]
fn a_service_that_is_left_alone_has_a_sentence() {
    let (one, other) = (compose("a-b", "c", &[]), compose("a", "b-c", &[]));
    let obstacle =
        DeclaredService { obstacle: Some("it is a global service".to_owned()), ..compose("shop", "all", &[]) };
    let told = [
        refusals(&[compose("Shop", "web_1", &[])], &[]),
        refusals(&[compose("shop", "web", &[])], &[("shop-web", Declaration::Api)]),
        // None of two new services gets the key; one that has it keeps it.
        refusals(&[one.clone(), other.clone()], &[]),
        refusals(&[one.clone(), other.clone()], &[("a-b-c", one.declaration.clone())]),
        refusals(&[other], &[("a-b-c", one.declaration)]),
        refusals(&[compose("shop", "web", &[(PROFILE, "sow")])], &[]),
        refusals(&[compose("shop", "web", &[(PROFILE, "night")])], &[]),
        refusals(&[compose("shop", "web", &[(PROFILE, "queue"), (POLICY, "step")])], &[]),
        refusals(&[DeclaredService { labels: compose("", "", &[(MODE, "go")]).labels, ..obstacle }], &[]),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    Shop-web_1: `Shop-web_1` is not a workload name; expected 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit; change the name of the service or of its project
    shop-web: the key `shop-web` belongs to service `web` in project `shop` and to a workload that a start request declared; delete that workload, or change the name of the service
    a-b-c: the key `a-b-c` belongs to service `c` in project `a-b` and to service `b-c` in project `a`; change the name of one of them
    a-b-c: the key `a-b-c` belongs to service `b-c` in project `a` and to service `c` in project `a-b`; change the name of one of them
    a-b-c: the key `a-b-c` belongs to service `b-c` in project `a` and to service `c` in project `a-b`; change the name of one of them
    a-b-c: the key `a-b-c` belongs to service `b-c` in project `a` and to service `c` in project `a-b`; change the name of one of them
    shop-web: `windlass.profile` is `sow`, and windlass.toml has no `[profiles.sow]`; did you mean `slow`?
    shop-web: `windlass.profile` is `night`, and windlass.toml has no `[profiles.night]`; known profiles: `queue`, `slow`
    shop-web: `windlass.policy` is `step`, and the profile that `windlass.profile` names has a `scaling_policy`, too; remove one of them
    shop-all: it is a global service; `windlass.mode` is `go`; expected `recommend` or `act`
    ");
    let none = sort(&[compose("shop", "web", &[(PROFILE, "web")])], &BTreeMap::new(), &BTreeMap::new());
    assert_eq!(
        none.refused[0].reason,
        "`windlass.profile` is `web`, and windlass.toml has no `[profiles.web]`; no profile is configured"
    );
}
