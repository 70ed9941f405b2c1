//! `/containers`: replicas one by one.

use crate::error::Problem;
use crate::fields::{Fields, Problems};
use crate::request::{ContainerName, Force, JsonBody, NoQuery, to_the_end};
use crate::views::ContainerSummary;
use crate::{ApiState, fields};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use windlass_control::ControlError;
use windlass_core::workload::DesiredStatus;

/// Answer of `GET /containers`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContainerList {
    /// Every container of this Windlass.
    pub containers: Vec<ContainerSummary>,
}

/// Answer of `PATCH /containers/{name_or_id}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedContainer {
    /// Always true.
    pub ok: bool,
    /// The container as it is now.
    #[serde(flatten)]
    pub summary: ContainerSummary,
}

/// Answer of `DELETE /containers/{name_or_id}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedContainer {
    /// Always true.
    pub deleted: bool,
    /// The engine's whole identifier.
    pub container_id: String,
    /// Its name.
    pub name: String,
}

/// Every container as last seen, those of unknown workloads last.
pub async fn list(State(state): State<ApiState>, _: NoQuery) -> Json<ContainerList> {
    let views = state.controller.views();
    let orphans = state.controller.orphans();
    let containers = views.iter().flat_map(|view| &view.replicas).chain(&orphans).map(ContainerSummary::from);
    Json(ContainerList { containers: containers.collect() })
}

/// What a change says; none: it is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    status: Option<DesiredStatus>,
    scale_in_protection: Option<bool>,
}

/// Stops a container and holds it, or starts it again and counts it; protects it from policies that want fewer.
pub async fn change(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ChangedContainer>, Problem> {
    let change = change_of(&body)?;
    let controller = state.controller;
    let replica = to_the_end(async move {
        let protected = match change.scale_in_protection {
            Some(is_protected) => Some(controller.protect(&name, is_protected).await?),
            None => None,
        };
        match (change.status, protected) {
            (Some(DesiredStatus::Running), _) => controller.release(&name).await,
            (Some(DesiredStatus::Stopped), _) => controller.hold(&name).await,
            (None, Some(protected)) => Ok(protected),
            (None, None) => Err(ControlError::NoSuchContainer(name)),
        }
    })
    .await?;
    Ok(Json(ChangedContainer { ok: true, summary: (&replica).into() }))
}

/// Removes a container; one that runs only with `force`.
pub async fn delete(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    Force(force): Force,
) -> Result<Json<DeletedContainer>, Problem> {
    let controller = state.controller;
    let replica = to_the_end(async move { controller.remove(&name, force).await }).await?;
    Ok(Json(DeletedContainer { deleted: true, container_id: replica.id.to_string(), name: replica.name }))
}

fn change_of(body: &Value) -> Result<Change, Problem> {
    let mut problems = Problems::default();
    let words = [("running", DesiredStatus::Running), ("stopped", DesiredStatus::Stopped)];
    let change = Fields::of(body, "", &["status", "scale_in_protection"], &mut problems).and_then(|fields| {
        let scale_in_protection = fields.optional("scale_in_protection", &mut problems, fields::truth);
        if scale_in_protection.is_some() {
            let status = fields.optional("status", &mut problems, fields::one_of(&words));
            return Some(Change { status, scale_in_protection });
        }
        let status = fields.required("status", &mut problems, fields::one_of(&words));
        Some(Change { status: Some(status?), scale_in_protection })
    });
    problems.finish(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_says_running_or_stopped_or_protected() {
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
