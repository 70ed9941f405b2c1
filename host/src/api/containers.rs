//! `/containers`: replicas one by one.

use super::ApiState;
use super::error::Problem;
use super::fields::{self, Fields, Problems};
use super::request::{ContainerName, Force, JsonBody, NoQuery, to_the_end};
use super::views::ContainerSummary;
use crate::model::workload::DesiredStatus;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

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

/// Stops a container and holds it, or starts it again and counts it.
pub async fn change(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ChangedContainer>, Problem> {
    let status = wanted_status(&body)?;
    let controller = state.controller;
    let replica = to_the_end(async move {
        match status {
            DesiredStatus::Running => controller.release(&name).await,
            DesiredStatus::Stopped => controller.hold(&name).await,
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

fn wanted_status(body: &Value) -> Result<DesiredStatus, Problem> {
    let mut problems = Problems::default();
    let words = [("running", DesiredStatus::Running), ("stopped", DesiredStatus::Stopped)];
    let status = Fields::of(body, "", &["status"], &mut problems)
        .and_then(|fields| fields.required("status", &mut problems, fields::one_of(&words)));
    problems.finish(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_says_running_or_stopped() {
        assert_eq!(wanted_status(&json!({"status": "running"})), Ok(DesiredStatus::Running));
        assert_eq!(wanted_status(&json!({"status": "stopped"})), Ok(DesiredStatus::Stopped));
        let refused = |body: Value| wanted_status(&body).expect_err("refused").detail().to_owned();
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
