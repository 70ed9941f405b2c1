//! `POST /start/container`: what its body may say, and the workload that comes of it.

#[cfg(test)]
mod tests;

use crate::error::Problem;
use crate::fields::{Fields, Problems};
use crate::request::{JsonBody, NoQuery};
use crate::views::{StartAnswer, WaitingAnswer};
use crate::{ApiState, fields, guardrails, metrics, policies, probe, stop_hook};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::workload::{Bounds, ContainerPort, DesiredStatus, Mode, Resources, Workload, WorkloadKey};
use windlass_core::{ImageRef, Invalid, Overrides, PolicyChoice, PolicyChoices};

pub(crate) const FIELDS: &[&str] = &[
    "image",
    "min_replicas",
    "max_replicas",
    "env",
    "ports",
    "resources",
    "name",
    "labels",
    "networks",
    "probe",
    "command",
    "scaling_policy",
    "health_policy",
    "shadow_policies",
    "mode",
    "metrics",
    "guardrails",
    "stop_hook",
    "depends_on",
];
/// What says who decides about a workload that is there.
pub(crate) const POLICIES: &[&str] = &["scaling_policy", "health_policy", "shadow_policies", "mode"];
const RESOURCES: &[&str] = &["cpu", "memory", "status"];

/// Labels that are the host's own.
const RESERVED_LABELS: [&str; 2] = ["windlass.", "orchestrator."];

const DEFAULT_MIN: u32 = 1;
const DEFAULT_MAX: u32 = 5;
/// The default and the limit where a port of the host is fixed: one replica alone can have it.
const FIXED_PORT_MAX: u32 = 1;

/// Stores what is wanted and answers after the pass that made it so.
pub async fn start(State(state): State<ApiState>, _: NoQuery, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let workload = workload(&body)?;
    policies::check(&state, &workload.policies).await?;
    let image = workload.image.to_string();
    let controller = state.controller;
    let started = Box::pin(crate::request::to_the_end(async move { controller.start(workload).await })).await?;
    Ok(match &started.replica {
        Some(replica) => Json(StartAnswer {
            ok: true,
            action: if started.created { "created" } else { "kept-existing" },
            image,
            summary: replica.into(),
        })
        .into_response(),
        None => {
            let answer = WaitingAnswer { ok: true, action: "waiting", image, detail: started.pass.reason };
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
    })
}

/// The workload a body asks for.
///
/// # Errors
/// 422 with everything that is wrong with the body.
pub fn workload(body: &Value) -> Result<Workload, Problem> {
    let mut problems = Problems::default();
    let workload = read(body, &mut problems);
    problems.finish(workload)
}

/// Bounds of a scale request, both required, for a workload with these ports.
///
/// # Errors
/// 422 with everything that is wrong with the body.
pub fn bounds(body: &Value, ports: &BTreeMap<ContainerPort, u16>) -> Result<Bounds, Problem> {
    let mut problems = Problems::default();
    let bounds = Fields::of(body, "", &["min_replicas", "max_replicas"], &mut problems).and_then(|fields| {
        let min = fields.required("min_replicas", &mut problems, min_replicas());
        let max = fields.required("max_replicas", &mut problems, max_replicas());
        let bounds = checked_bounds(&fields, min?, max?, &mut problems)?;
        if let Some(reason) = fixed_ports_conflict(ports, bounds) {
            problems.add("/max_replicas", reason);
        }
        Some(bounds)
    });
    problems.finish(bounds)
}

fn read(body: &Value, problems: &mut Problems) -> Option<Workload> {
    let fields = Fields::of(body, "", FIELDS, problems)?;
    let image: Option<ImageRef> = fields.required("image", problems, fields::parsed);
    let env = fields.or("env", BTreeMap::new(), problems, fields::map_of(variable));
    let ports = fields.or("ports", BTreeMap::new(), problems, ports);
    let min = fields.or("min_replicas", DEFAULT_MIN, problems, min_replicas());
    let default_max = if ports.as_ref().is_some_and(has_fixed) { FIXED_PORT_MAX } else { DEFAULT_MAX };
    let max = fields.or("max_replicas", default_max, problems, max_replicas());
    let bounds = match (min, max) {
        (Some(min), Some(max)) => checked_bounds(&fields, min, max, problems),
        _ => None,
    };
    let resources = fields.required("resources", problems, resources);
    let name = fields.nullable("name", problems, fields::parsed_by(WorkloadKey::named));
    let labels = fields.nullable("labels", problems, fields::map_of(label));
    let networks = fields.nullable("networks", problems, networks);
    let probe = fields.nullable("probe", problems, probe::read);
    let command = fields.nullable("command", problems, fields::command);
    let policies = choices(&fields, problems);
    let metrics = fields.nullable("metrics", problems, metrics::definitions);
    let guardrails = fields.nullable("guardrails", problems, guardrails::read);
    let stop_hook = fields.nullable("stop_hook", problems, stop_hook::read);
    let depends_on = fields.nullable("depends_on", problems, depends_on);
    if let (Some(ports), Some(bounds)) = (&ports, bounds)
        && let Some(reason) = fixed_ports_conflict(ports, bounds)
    {
        problems.add("/ports", reason);
    }
    let (image, bounds) = (image?, bounds?);
    Some(Workload {
        key: name.unwrap_or_else(|| WorkloadKey::from(&image)),
        image,
        bounds,
        env: env?,
        ports: ports?,
        resources: resources?,
        labels: labels.unwrap_or_default(),
        networks: networks.unwrap_or_default(),
        probe,
        command,
        policies,
        metrics: metrics.unwrap_or_default(),
        guardrails,
        overrides: Overrides::default(),
        stop_hook,
        depends_on: depends_on.unwrap_or_default(),
    })
}

/// The policies a body names.
///
/// # Errors
/// 422 with everything that is wrong with the body.
pub fn policies_of(body: &Value) -> Result<PolicyChoices, Problem> {
    let mut problems = Problems::default();
    let fields = Fields::of(body, "", POLICIES, &mut problems);
    let choices = fields.map(|fields| choices(&fields, &mut problems));
    problems.finish(choices)
}

fn choices(fields: &Fields<'_>, problems: &mut Problems) -> PolicyChoices {
    let modes = [("act", Mode::Act), ("recommend", Mode::Recommend)];
    PolicyChoices {
        scaling: fields.nullable("scaling_policy", problems, policies::choices).unwrap_or_default(),
        health: fields.nullable("health_policy", problems, policies::choice),
        shadows: fields.nullable("shadow_policies", problems, shadows).unwrap_or_default(),
        mode: fields.nullable("mode", problems, fields::one_of(&modes)),
    }
}

fn shadows(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Vec<PolicyChoice>> {
    policies::different(value, pointer, PolicyChoices::MOST_SHADOWS, problems)
}

fn min_replicas() -> impl Fn(&Value, &str, &mut Problems) -> Option<u32> {
    fields::whole(0..=u64::from(Bounds::LIMIT))
}

fn max_replicas() -> impl Fn(&Value, &str, &mut Problems) -> Option<u32> {
    fields::whole(1..=u64::from(Bounds::LIMIT))
}

fn checked_bounds(fields: &Fields<'_>, min: u32, max: u32, problems: &mut Problems) -> Option<Bounds> {
    match Bounds::new(min, max) {
        Ok(bounds) => Some(bounds),
        Err(invalid) => {
            let note = match (fields.has("max_replicas"), max) {
                (true, _) => "",
                (false, FIXED_PORT_MAX) => ", which is its default with a fixed host port",
                (false, _) => ", which is its default",
            };
            problems.add(fields.at("min_replicas"), format!("{invalid}{note}"));
            None
        }
    }
}

fn has_fixed(ports: &BTreeMap<ContainerPort, u16>) -> bool {
    ports.values().any(|host_port| *host_port != 0)
}

/// Why these ports do not go with these bounds; none: they do.
fn fixed_ports_conflict(ports: &BTreeMap<ContainerPort, u16>, bounds: Bounds) -> Option<String> {
    let (port, host_port) = ports.iter().find(|(_, host_port)| **host_port != 0)?;
    (bounds.max() > FIXED_PORT_MAX).then(|| {
        format!(
            "`{port}` is fixed to host port {host_port}, which one replica alone can have, but `max_replicas` is {}; \
             set the host port to 0 (any free one) or `max_replicas` to 1",
            bounds.max()
        )
    })
}

fn variable(name: &str, value: &Value, pointer: &str, problems: &mut Problems) -> Option<(String, String)> {
    if name.is_empty() || name.contains(['=', '\0']) {
        problems.add(pointer, "the name of a variable is not empty and has no `=` and no NUL");
    }
    let value = fields::text(value, pointer, problems)?;
    if value.contains('\0') {
        problems.add(pointer, "the value of a variable has no NUL");
    }
    Some((name.to_owned(), value))
}

fn label(name: &str, value: &Value, pointer: &str, problems: &mut Problems) -> Option<(String, String)> {
    if name.is_empty() || name.contains('\0') {
        problems.add(pointer, "the name of a label is not empty and has no NUL");
    }
    if name == Workload::PROTECTION {
        let words = [("true", true), ("false", false)];
        fields::one_of(&words)(value, pointer, problems)?;
    } else if let Some(prefix) = RESERVED_LABELS.iter().find(|prefix| name.starts_with(**prefix)) {
        problems.add(pointer, format!("labels that begin with `{prefix}` are windlass's own"));
    }
    let value = fields::text(value, pointer, problems)?;
    if value.contains('\0') {
        problems.add(pointer, "the value of a label has no NUL");
    }
    Some((name.to_owned(), value))
}

fn ports(value: &Value, pointer: &str, problems: &mut Problems) -> Option<BTreeMap<ContainerPort, u16>> {
    let read = fields::map_of(|name, value, pointer, problems| {
        let host_port = fields::whole::<u16>(0..=65_535)(value, pointer, problems);
        match name.parse::<ContainerPort>() {
            Ok(port) => host_port.map(|host_port| (name.to_owned(), (port, host_port))),
            Err(invalid) => {
                problems.add(pointer, invalid.0);
                None
            }
        }
    });
    let mut ports = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (name, (port, host_port)) in read(value, pointer, problems)? {
        if ports.insert(port, host_port).is_some() {
            problems.add(fields::join(pointer, &name), format!("`{port}` is given more than once"));
        }
        if host_port != 0 && !taken.insert((host_port, port.protocol)) {
            problems.add(fields::join(pointer, &name), format!("host port {host_port} is given more than once"));
        }
    }
    Some(ports)
}

fn resources(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Resources> {
    let fields = Fields::of(value, pointer, RESOURCES, problems)?;
    let cpu = fields.required("cpu", problems, fields::parsed);
    let memory = fields.required("memory", problems, fields::parsed);
    let words = [("running", DesiredStatus::Running), ("stopped", DesiredStatus::Stopped)];
    let status = fields.or("status", DesiredStatus::default(), problems, fields::one_of(&words));
    Some(Resources { cpu: cpu?, memory: memory?, status: status? })
}

fn networks(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let name = |name: &str| {
        let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if valid {
            Ok(name.to_owned())
        } else {
            Err(Invalid::new("expected the name of a network: letters, digits, `_`, `.` and `-`"))
        }
    };
    let networks = fields::list_of(fields::parsed_by(name))(value, pointer, problems)?;
    for (index, network) in networks.iter().enumerate() {
        if networks[..index].contains(network) {
            problems.add(format!("{pointer}/{index}"), format!("network `{network}` is given more than once"));
        }
    }
    Some(networks)
}

fn depends_on(value: &Value, pointer: &str, problems: &mut Problems) -> Option<BTreeSet<WorkloadKey>> {
    let names = fields::list_of(fields::text)(value, pointer, problems)?;
    if names.len() > Workload::MOST_DEPENDENCIES {
        problems.add(pointer, format!("a workload depends on at most {} others", Workload::MOST_DEPENDENCIES));
    }
    Some(names.into_iter().map(WorkloadKey::stored).collect())
}
