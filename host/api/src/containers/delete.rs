//! `DELETE /containers/{name_or_id}`.

use crate::ApiState;
use crate::detached;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::ContainerName;
use crate::query::{Parameters, Query, boolean};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Query of `DELETE /containers/{name_or_id}`.
#[derive(Default)]
pub(crate) struct Deletion {
    force: bool,
}

impl Parameters for Deletion {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        vec![("force", "Remove the container even if it runs.", json!({"type": "boolean", "default": false}))]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        self.force = boolean(name, &value)?;
        Ok(())
    }
}

/// Answer of `DELETE /containers/{name_or_id}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedContainer {
    /// Always true.
    deleted: bool,
    /// The engine's full identifier.
    container_id: String,
    /// Its name.
    name: String,
}

pub(crate) fn operation() -> Operation {
    Operation::new("Remove a container", delete).answer::<DeletedContainer>().errors(&[400, 404, 409])
}

/// Removes a container; a running one only with `force`.
async fn delete(
    State(state): State<ApiState>,
    ContainerName(name): ContainerName,
    Query(Deletion { force }): Query<Deletion>,
) -> Result<Json<DeletedContainer>, Problem> {
    let controller = state.controller;
    let replica = detached::run(async move { controller.remove(&name, force).await }).await?;
    Ok(Json(DeletedContainer { deleted: true, container_id: replica.id.to_string(), name: replica.name }))
}
