//! `POST /start/container`: the desired state of a workload.

#[cfg(test)]
mod tests;

use crate::ApiState;
use crate::access::{Caller, trail};
use crate::body::Body;
use crate::containers::summary::ContainerSummary;
use crate::detached;
use crate::error::Problem;
use crate::json::object::{Object, declare};
use crate::json::pattern::numbers;
use crate::json::problems::Problems;
use crate::json::shape::{Shape, command, parsed, parsed_by};
use crate::operation::Operation;
use crate::policies::check;
use crate::query::{Parameters, Query, boolean};
use crate::workload::bounds::{
    DEFAULT_MAX, DEFAULT_MIN, checked, default_max, fixed_ports_conflict, max_replicas, min_replicas,
};
use crate::workload::env::{dependencies, labels, networks, variables};
use crate::workload::policies::{choice, choices, mode, shadows};
use crate::workload::ports::ports;
use crate::workload::{guardrails, metric, overrides, probe, resources, rollout, stop_hook};
use crate::workloads::view::DesiredView;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;
use windlass_core::workload::{ContainerPort, Mode, Resources, StopHook};
use windlass_core::{
    Guardrails, ImageRef, Metric, Overrides, PolicyChoice, PolicyChoices, Probe, Publications, Rollout, Workload,
    WorkloadKey,
};

declare! {
    /// Body of `POST /start/container`. `desired` of `GET /images/{image}`, and each element of `GET /images`, is accepted
    /// unchanged. For a workload that exists, a field that is absent and has no default stays as it is; an empty or null
    /// one is cleared.
    pub(crate) struct StartContainerRequest {
        /// Image reference: `nginx:alpine`, `ghcr.io/org/app:1`.
        required image: ImageRef = image(),
        /// The fewest replicas; at most `max_replicas`.
        optional min_replicas: u32 = min_replicas().keyword("default", json!(DEFAULT_MIN)),
        /// The most replicas. Default: 5, or fewer if `ports` has fewer ports of the host.
        optional max_replicas: u32 = max_replicas(),
        /// Environment of each replica. Default: empty.
        optional env: BTreeMap<String, String> = variables(),
        /// `80/tcp` → port of the host: `8080`, 0 for any free one, `"127.0.0.1:8080"`, `"8000-8010"` for a free one of a
        /// range, or a list of them. Or the list of Compose: `["127.0.0.1:8080:80/tcp"]`, `[{"target": 80}]`. At most as
        /// many replicas as ports of the host. Default: empty.
        optional ports: BTreeMap<ContainerPort, Publications> = ports(),
        /// Limits of each replica, and whether it runs.
        required resources: Resources = resources::shape(),
        /// The name by which the workload is addressed instead of its image, so that one image can serve twice: 1 to 63
        /// lower-case letters, digits and hyphens.
        nullable name: WorkloadKey =
            parsed_by(WorkloadKey::named).pattern("^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", 63),
        /// Labels of each replica. `windlass.` and `orchestrator.` are reserved, except `windlass.scale-in-protection`:
        /// `true` protects replicas that are created from now on from a policy that lowers the count.
        nullable labels: BTreeMap<String, String> = labels(),
        /// Networks that each replica joins; they must exist. Empty: the engine's default.
        nullable networks: Vec<String> = networks(),
        /// How Windlass checks whether a replica answers. Null: by the image's own HEALTHCHECK, if it has one.
        nullable probe: Probe = probe::shape(),
        /// The command that replaces the image's own. Null: the image's own.
        nullable command: Vec<String> = command(),
        /// The scaling policy, or 1 to 8 different ones, of which the highest count wins. Null: the host's default.
        nullable scaling_policy: Vec<PolicyChoice> = choices(),
        /// The health policy. Null: the host's default.
        nullable health_policy: PolicyChoice = choice(),
        /// Shadow policies, whose answers are only recorded; at most 4.
        nullable shadow_policies: Vec<PolicyChoice> = shadows(),
        /// `act`, or `recommend`: plans are recorded and not executed. Null: `act`.
        nullable mode: Mode = mode(),
        /// Its own metrics by name, in addition to those that every workload has.
        nullable metrics: BTreeMap<String, Metric> = metric::definitions(),
        /// How fast the count may follow the proposals. Empty or null: the defaults.
        nullable guardrails: Guardrails = guardrails::shape(),
        /// A call to a replica before it is stopped. Null: none.
        nullable stop_hook: StopHook = stop_hook::shape(),
        /// Workloads, by image or name, that must be up for this one; at most 16, which must exist. While one is down, this
        /// workload is neither repaired nor scaled. When it is back, replicas that ran without it are restarted.
        nullable depends_on: BTreeSet<WorkloadKey> = dependencies(),
        /// How a changed image, `env`, `command`, `ports`, `resources`, `networks` or `labels` reaches the replicas. Empty or
        /// null: the defaults.
        nullable rollout: Rollout = rollout::shape(),
    }
    read_only {
        "target": "The current target count, as `GET` returns it; ignored.",
        "overrides": "As `GET` returns it. A different value is an error; use `PATCH /images/{image}/overrides`.",
    }
}

/// Answer of `POST /start/container`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StartAnswer {
    /// Always true.
    pub(crate) ok: bool,
    /// `created`, or `kept-existing` if the workload had a container already.
    pub(crate) action: &'static str,
    /// The image.
    pub(crate) image: String,
    /// The container that was created or kept.
    #[serde(flatten)]
    pub(crate) summary: ContainerSummary,
}

/// Answer of `POST /start/container` with status 202: the desired state is stored, and there was nothing to do yet.
/// `detail` says why: the workload waits for a dependency, is paused, or is only to be recommended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WaitingAnswer {
    /// Always true.
    pub(crate) ok: bool,
    /// Always `waiting`.
    pub(crate) action: &'static str,
    /// The image.
    pub(crate) image: String,
    /// Why there was nothing to do.
    pub(crate) detail: String,
}

/// Query of `POST /start/container`.
#[derive(Default)]
pub(crate) struct StartQuery {
    pull: bool,
}

impl Parameters for StartQuery {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let meaning = "Pull the image first. If it is another one than the replicas were made from, they are outdated. If it \
            cannot be pulled, nothing is stored.";
        vec![("pull", meaning, json!({"type": "boolean", "default": false}))]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        self.pull = boolean(name, &value)?;
        Ok(())
    }
}

/// An image. The schema leaves out references of more than 237 characters, of which some are too long.
fn image() -> Shape<ImageRef> {
    let host = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
    let port = numbers(1..=65_535);
    let registry = format!(r"(?:localhost(?::{port})?|{host}(?:\.{host})+(?::{port})?|{host}:{port})");
    let part = |joints: &str| format!("[a-z0-9]+(?:(?:{joints})[a-z0-9]+)*");
    // The first part of a name would be a registry if it had a dot.
    let (part, first) = (part(r"\.|_|__|-+"), part("_|__|-+"));
    let name = format!("(?:{registry}(?:/{part})+|{first}(?:/{part})+|{part})");
    let pattern = format!("^{name}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?$");
    parsed().pattern(&pattern, 237)
}

/// Keeps one part of an existing workload.
type Keep = fn(&mut Workload, &Workload);

/// The workload of a request.
struct Wanted {
    workload: Workload,
    /// Keeps the parts of an existing workload that the request does not contain.
    kept: Vec<Keep>,
    /// `overrides`, which the request must not change.
    overrides: Option<Value>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("Store the desired state of a workload, and answer after the pass that applied it", start)
        .answer::<StartAnswer>()
        .answer_with::<WaitingAnswer>(202, "Stored; there was nothing to do yet")
        .errors(&[400, 409])
}

async fn start(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Query(StartQuery { pull }): Query<StartQuery>,
    body: Body<StartContainerRequest>,
) -> Result<Response, Problem> {
    let Wanted { workload, kept, overrides } = body.check(|request, problems| {
        let mut wanted = wanted(request, problems)?;
        let stored = state.controller.view(&wanted.workload.key).map(|view| view.workload.metrics);
        metric::keep_secrets(&mut wanted.workload.metrics, &stored.unwrap_or_default(), "/metrics", problems);
        Some(wanted)
    })?;
    caller.check_workload(&state.controller.known_key(&workload.key))?;
    if let Some(pending) = trail::current() {
        pending.concerns(&workload.key);
    }
    check_overrides(&state, &workload.key, overrides)?;
    check::choices(&state, &workload.policies).await?;
    let image = workload.image.to_string();
    let controller = state.controller;
    let keep = move |wanted: &mut Workload, current: &Workload| kept.iter().for_each(|keep| keep(wanted, current));
    let start = async move {
        let pulled = if pull { Some(controller.pull(&workload.image).await?) } else { None };
        controller.start_keeping(workload, &keep, pulled).await
    };
    let started = Box::pin(detached::run(start)).await?;
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

/// The workload that a body describes.
///
/// # Errors
/// 422 with everything that is wrong with the body.
pub fn workload(body: &Value) -> Result<Workload, Problem> {
    Body::of(body).check(wanted).map(|wanted| wanted.workload)
}

/// The desired state of a start request in the form of `GET /workloads/{name}`, with every default. The workload does not
/// exist yet, and its `target` is the fewest replicas.
///
/// # Errors
/// 422 with everything that is wrong with the body.
pub fn desired(body: &Value) -> Result<Value, Problem> {
    let workload = workload(body)?;
    Ok(json!(DesiredView::new(&workload, workload.bounds.min())))
}

fn wanted(request: StartContainerRequest, problems: &mut Problems) -> Option<Wanted> {
    let kept = request.kept();
    let overrides = request.read_only().get("overrides").cloned();
    let ports = request.ports.or(BTreeMap::new());
    let default_max = ports.as_ref().map_or(DEFAULT_MAX, default_max);
    let note = match (request.max_replicas.is_absent(), default_max < DEFAULT_MAX) {
        (false, _) => "",
        (true, true) => ", which is its default with a fixed host port",
        (true, false) => ", which is its default",
    };
    let bounds = match (request.min_replicas.or(DEFAULT_MIN), request.max_replicas.or(default_max)) {
        (Some(min), Some(max)) => checked(min, max, note, problems),
        _ => None,
    };
    if let (Some(ports), Some(bounds)) = (&ports, bounds)
        && let Some(reason) = fixed_ports_conflict(ports, bounds)
    {
        problems.add("/ports", reason);
    }
    let (image, bounds) = (request.image.given()?, bounds?);
    let mut workload = Workload {
        key: request.name.given().unwrap_or_else(|| WorkloadKey::from(&image)),
        env: request.env.or(BTreeMap::new())?,
        ports: ports?,
        labels: request.labels.given().unwrap_or_default(),
        networks: request.networks.given().unwrap_or_default(),
        probe: request.probe.given(),
        command: request.command.given(),
        policies: PolicyChoices {
            scaling: request.scaling_policy.given().unwrap_or_default(),
            health: request.health_policy.given(),
            shadows: request.shadow_policies.given().unwrap_or_default(),
            mode: request.mode.given(),
        },
        metrics: request.metrics.given().unwrap_or_default(),
        guardrails: request.guardrails.given(),
        stop_hook: request.stop_hook.given(),
        depends_on: request.depends_on.given().unwrap_or_default(),
        rollout: request.rollout.given().unwrap_or_default(),
        ..Workload::new(image, bounds, request.resources.given()?)
    };
    // The defaults are stored as such, so that a later change of them applies.
    workload.guardrails.take_if(|guardrails| *guardrails == Guardrails::default());
    Some(Wanted { workload, kept, overrides })
}

impl StartContainerRequest {
    /// Keeps each part that is absent. `env`, `ports` and the bounds have defaults instead.
    fn kept(&self) -> Vec<Keep> {
        let parts: [(bool, Keep); 13] = [
            (self.labels.is_absent(), |wanted, current| wanted.labels.clone_from(&current.labels)),
            (self.networks.is_absent(), |wanted, current| wanted.networks.clone_from(&current.networks)),
            (self.probe.is_absent(), |wanted, current| wanted.probe.clone_from(&current.probe)),
            (self.command.is_absent(), |wanted, current| wanted.command.clone_from(&current.command)),
            (self.scaling_policy.is_absent(), |wanted, current| {
                wanted.policies.scaling.clone_from(&current.policies.scaling);
            }),
            (self.health_policy.is_absent(), |wanted, current| {
                wanted.policies.health.clone_from(&current.policies.health);
            }),
            (self.shadow_policies.is_absent(), |wanted, current| {
                wanted.policies.shadows.clone_from(&current.policies.shadows);
            }),
            (self.mode.is_absent(), |wanted, current| wanted.policies.mode = current.policies.mode),
            (self.metrics.is_absent(), |wanted, current| wanted.metrics.clone_from(&current.metrics)),
            (self.guardrails.is_absent(), |wanted, current| wanted.guardrails.clone_from(&current.guardrails)),
            (self.stop_hook.is_absent(), |wanted, current| wanted.stop_hook.clone_from(&current.stop_hook)),
            (self.depends_on.is_absent(), |wanted, current| wanted.depends_on.clone_from(&current.depends_on)),
            (self.rollout.is_absent(), |wanted, current| wanted.rollout = current.rollout),
        ];
        parts.into_iter().filter(|(is_absent, _)| *is_absent).map(|(_, keep)| keep).collect()
    }
}

/// Accepts `overrides` only as `GET` returns it.
fn check_overrides(state: &ApiState, key: &WorkloadKey, given: Option<Value>) -> Result<(), Problem> {
    let current = state.controller.view(key).map(|view| view.workload.overrides).unwrap_or_default();
    let is_unchanged =
        |given: &Value| *given == overrides::json_of(&current) || (given.is_null() && current == Overrides::default());
    match given {
        Some(given) if !is_unchanged(&given) => {
            let detail = "this field is read-only here; change it with `PATCH /images/{image}/overrides`";
            Err(Problem::invalid_at("/overrides", detail))
        }
        _ => Ok(()),
    }
}
