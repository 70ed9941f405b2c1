//! Declared services → desired states, or why a service is left alone. Pure.

use crate::adoption::refused::RefusedService;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::labels::{POLICY, PROFILE, ServiceLabels};
use windlass_core::settings::Profile;
use windlass_core::text::{nearest, sentences};
use windlass_core::workload::{DesiredStatus, Resources};
use windlass_core::{Declaration, DeclaredService, PolicyChoices, Workload, WorkloadKey};

/// The declared services, by the meaning of their labels.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    /// The desired states, in the order of their keys.
    pub(crate) wanted: Vec<Workload>,
    /// The services that are left alone.
    pub(crate) refused: Vec<RefusedService>,
    /// The services whose labels do not ask for Windlass.
    pub(crate) unlabelled: Vec<Declaration>,
}

/// Reads the labels of all services. `known` are the workloads that there are, with their declarations.
pub(crate) fn sort(
    services: &[DeclaredService],
    known: &BTreeMap<WorkloadKey, Declaration>,
    profiles: &BTreeMap<String, Profile>,
) -> Sorted {
    let mut sorted = Sorted::default();
    let mut enabled = Vec::new();
    for service in services {
        match ServiceLabels::read(&service.labels) {
            Ok(None) => sorted.unlabelled.push(service.declaration.clone()),
            Ok(Some(labels)) => enabled.push((service, Ok(labels))),
            Err(problems) => enabled.push((service, Err(problems))),
        }
    }
    let declared: Vec<&DeclaredService> = enabled.iter().map(|(service, _)| *service).collect();
    for (service, labels) in enabled {
        let mut problems = Vec::new();
        problems.extend(
            WorkloadKey::named(service.key.as_str())
                .err()
                .map(|invalid| format!("{invalid}; change the name of the service or of its project")),
        );
        problems.extend(other_owner(service, &declared, known));
        problems.extend(service.obstacle.clone());
        let workload =
            labels.and_then(|labels| workload(service, labels, profiles)).map_err(|found| problems.extend(found));
        match workload {
            Ok(workload) if problems.is_empty() => sorted.wanted.push(workload),
            _ => sorted.refused.push(RefusedService {
                key: service.key.clone(),
                declaration: service.declaration.clone(),
                reason: sentences(&problems),
            }),
        }
    }
    let mut keys: BTreeSet<WorkloadKey> = sorted.wanted.iter().map(|workload| workload.key.clone()).collect();
    keys.extend(known.iter().filter(|(_, declaration)| declaration.is_adopted()).map(|(key, _)| key.clone()));
    for workload in &mut sorted.wanted {
        let own = workload.key.clone();
        workload.depends_on.retain(|key| keys.contains(key) && *key != own);
    }
    sorted.wanted.sort_by(|one, other| one.key.cmp(&other.key));
    sorted
}

/// The reason why the key of a service belongs to somebody else. `None` if it is free. A service that has it keeps it.
fn other_owner(
    service: &DeclaredService,
    declared: &[&DeclaredService],
    known: &BTreeMap<WorkloadKey, Declaration>,
) -> Option<String> {
    let (key, own) = (&service.key, &service.declaration);
    let owner = match known.get(key) {
        Some(Declaration::Api) => {
            return Some(format!(
                "the key `{key}` belongs to {own} and to a workload that a start request declared; delete that workload, or \
                 change the name of the service"
            ));
        }
        Some(owner) if owner == own => return None,
        Some(owner) => owner,
        None => &declared.iter().find(|other| other.key == *key && other.declaration != *own)?.declaration,
    };
    Some(format!("the key `{key}` belongs to {own} and to {owner}; change the name of one of them"))
}

/// The desired state of a service.
///
/// # Errors
/// One sentence for each problem of its labels with its profile.
fn workload(
    service: &DeclaredService,
    labels: ServiceLabels,
    profiles: &BTreeMap<String, Profile>,
) -> Result<Workload, Vec<String>> {
    let ServiceLabels { bounds, mode, profile, policy } = labels;
    let profile = match &profile {
        Some(name) => profiles.get(name).ok_or_else(|| vec![unknown_profile(name, profiles)])?.clone(),
        None => Profile::default(),
    };
    if let Some(policy) = policy.as_ref().filter(|_| !profile.scaling.is_empty()) {
        return Err(vec![format!(
            "`{POLICY}` is `{}`, and the profile that `{PROFILE}` names has a `scaling_policy`, too; remove one of them",
            policy.name
        )]);
    }
    let scaling = policy.map_or(profile.scaling, |policy| vec![policy]);
    let policies = PolicyChoices { scaling, health: profile.health, shadows: profile.shadows, mode: Some(mode) };
    // Its containers have the limits that the service gives them.
    let resources = Resources {
        cpu: "1".parse().expect("an amount of CPU"),
        memory: "1g".parse().expect("an amount of memory"),
        status: DesiredStatus::Running,
    };
    let mut workload = Workload {
        key: service.key.clone(),
        declaration: service.declaration.clone(),
        policies,
        metrics: profile.metrics,
        guardrails: profile.guardrails,
        probe: profile.probe,
        stop_hook: profile.stop_hook,
        depends_on: service.depends_on.iter().cloned().collect(),
        ..Workload::new(service.image.clone(), bounds, resources)
    };
    // The containers of the service are no generation of ours.
    workload.unlabelled = Some(workload.generation());
    Ok(workload)
}

fn unknown_profile(name: &str, profiles: &BTreeMap<String, Profile>) -> String {
    let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
    let there = match (nearest(name, &known), known.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => "no profile is configured".to_owned(),
        (None, known) => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("known profiles: {}", names.join(", "))
        }
    };
    format!("`{PROFILE}` is `{name}`, and windlass.toml has no `[profiles.{name}]`; {there}")
}
