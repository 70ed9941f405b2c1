//! `PATCH /containers/{name_or_id}`.

use crate::ApiState;
use crate::body::Body;
use crate::containers::lookup::find;
use crate::containers::summary::ContainerSummary;
use crate::detached;
use crate::error::Problem;
use crate::json::object::{Object, at_least_one, declare};
use crate::json::problems::{Problems, join};
use crate::json::shape::{Shape, boolean, one_of};
use crate::operation::Operation;
use crate::path::ContainerName;
use crate::query::NoQuery;
use crate::workload::resources::STATUS;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_control::ControlError;
use windlass_core::Replica;
use windlass_core::workload::DesiredStatus;

declare! {
    /// Body of `PATCH /containers/{name_or_id}`. A field that is absent stays as it is.
    pub(crate) struct ChangeRequest {
        /// `running` or `stopped`. Any other status is accepted if it is the container's current one, and changes
        /// nothing.
        optional status: Value = status(),
        /// Whether the container is protected from a policy that lowers the count.
        optional scale_in_protection: bool = boolean(),
    }
    read_only {
        "container_id": "As `GET` returns it; a different one is an error.",
        "name": "As `GET` returns it; a different one is an error.",
        "ports": "As `GET` returns it; ignored.",
        "phase": "As `GET` returns it; ignored.",
        "health": "As `GET` returns it; ignored.",
        "health_reason": "As `GET` returns it; ignored.",
        "created_at": "As `GET` returns it; ignored.",
        "created_at_ms": "As `GET` returns it; ignored.",
        "started_at": "As `GET` returns it; ignored.",
        "started_at_ms": "As `GET` returns it; ignored.",
        "finished_at": "As `GET` returns it; ignored.",
        "finished_at_ms": "As `GET` returns it; ignored.",
        "exit_code": "As `GET` returns it; ignored.",
        "out_of_memory": "As `GET` returns it; ignored.",
        "node": "As `GET` returns it; ignored.",
        "generation": "As `GET` returns it; ignored.",
        "image_id": "As `GET` returns it; ignored.",
        "outdated": "As `GET` returns it; ignored.",
        "server_alive": "As `GET` returns it; ignored.",
        "cpu_percent": "As `GET` returns it; ignored.",
        "mem_percent": "As `GET` returns it; ignored.",
        "fs_free_bytes": "As `GET` returns it; ignored.",
    }
    rules { at_least_one(&["status", "scale_in_protection"]) }
}

/// The status as it is: whether it is right depends on the container.
fn status() -> Shape<Value> {
    let words: Vec<&str> = STATUS.iter().map(|(word, _)| *word).collect();
    Shape::new(json!({"type": "string", "enum": words}), |value, _, _| Some(value.clone()))
}

/// Answer of `PATCH /containers/{name_or_id}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedContainer {
    /// Always true.
    ok: bool,
    /// The container after the change.
    #[serde(flatten)]
    summary: ContainerSummary,
}

/// The change of a request; a field is `None` if it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    status: Option<DesiredStatus>,
    scale_in_protection: Option<bool>,
}

pub(crate) fn operation() -> Operation {
    let summary = "Stop and hold a container, or start and count it again; protect it from scale-in";
    Operation::new(summary, change).answer::<ChangedContainer>().errors(&[400, 404, 409])
}

/// Stops and holds a container, or starts and counts it again; protects it from scale-in.
async fn change(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    _: NoQuery,
    body: Body<ChangeRequest>,
) -> Result<Json<ChangedContainer>, Problem> {
    let current = find(&state, &name);
    let change = body.check(|request, problems| change_of(&request, current.as_ref(), problems))?;
    let controller = state.controller;
    let replica = detached::run(Box::pin(async move {
        let protected = match change.scale_in_protection {
            Some(is_protected) => Some(controller.protect(&name, is_protected).await?),
            None => None,
        };
        match change.status {
            Some(DesiredStatus::Running) => controller.release(&name).await,
            Some(DesiredStatus::Stopped) => controller.hold(&name).await,
            None => protected.or(current).ok_or(ControlError::NoSuchContainer(name)),
        }
    }))
    .await?;
    Ok(Json(ChangedContainer { ok: true, summary: (&replica).into() }))
}

fn change_of(request: &ChangeRequest, current: Option<&Replica>, problems: &mut Problems) -> Option<Change> {
    if let Some(current) = current {
        check_identity(request, current, problems);
    }
    let scale_in_protection = request.scale_in_protection.clone().given();
    let status = match request.status.clone().given() {
        Some(value) if current.is_some_and(|current| is_current(&value, current)) => None,
        Some(value) => Some(one_of(STATUS).read(&value, "/status", problems)?),
        None if scale_in_protection.is_none() => {
            problems.add("/status", "this field is required");
            None
        }
        None => None,
    };
    Some(Change { status, scale_in_protection })
}

/// Whether this is the container's status in the engine's terms, and no word for a change.
fn is_current(status: &Value, current: &Replica) -> bool {
    *status == current.status.as_str() && STATUS.iter().all(|(word, _)| status != word)
}

/// Records identifiers that belong to another container.
fn check_identity(request: &ChangeRequest, current: &Replica, problems: &mut Problems) {
    for (name, right) in [("container_id", current.id.as_str()), ("name", current.name.as_str())] {
        if request.read_only().get(name).is_some_and(|given| given != right) {
            problems.add(join("", name), format!("this field is read-only; it is `{right}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_running_or_stopped_or_protected() {
        let change_of = |body: &Value| {
            Body::<ChangeRequest>::of(body).check(|request, problems| super::change_of(&request, None, problems))
        };
        let status = |status| Ok(Change { status: Some(status), scale_in_protection: None });
        assert_eq!(change_of(&json!({"status": "running"})), status(DesiredStatus::Running));
        assert_eq!(change_of(&json!({"status": "stopped"})), status(DesiredStatus::Stopped));
        let protected = change_of(&json!({"scale_in_protection": true}));
        assert_eq!(protected, Ok(Change { status: None, scale_in_protection: Some(true) }));
        let refused = |body: Value| change_of(&body).expect_err("refused").detail().to_owned();
        assert_eq!(
            refused(json!({"scale_in_protection": 1})),
            "/scale_in_protection: expected `true` or `false`, found `1`; /status: this field is required"
        );
        assert_eq!(
            refused(json!({"status": "paused"})),
            "/status: expected `running` or `stopped`, found `\"paused\"`"
        );
        assert_eq!(
            refused(json!({"state": "running"})),
            "/state: unknown field; did you mean `status`?; /status: this field is required"
        );
        assert_eq!(refused(json!([])), "expected an object, found a list");
    }
}
