//! `/images` and what lies below it: workloads, by image or name.

use crate::error::Problem;
use crate::request::{DecisionNumber, ImageKey, JsonBody, NewestQuery, NoQuery, to_the_end};
use crate::views::{
    ContainerHealth, ContainerSummary, ImageShadows, ImageSummary, ImageView, ReconcileAnswer, RemovedContainer,
};
use crate::workloads::{changed, known};
use crate::{ApiState, policies, start};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_control::PassReport;
use windlass_core::store::DecisionRecord;
use windlass_core::{Replica, WorkloadKey};

/// Answer of `GET /images`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageList {
    /// Every workload, in the order of images.
    pub images: Vec<ImageSummary>,
}

/// Answer of `GET /images/{image}/containers`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageContainers {
    /// The image.
    pub image: String,
    /// Its containers, oldest first.
    pub containers: Vec<ContainerSummary>,
}

/// Answer of `GET /images/{image}/health`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageHealth {
    /// The image.
    pub image: String,
    /// Its containers, oldest first.
    pub health: Vec<ContainerHealth>,
}

/// Answer of `DELETE /images/{image}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedImage {
    /// Always true.
    pub deleted: bool,
    /// The image.
    pub image: String,
    /// What was stopped and removed.
    pub removed: Vec<RemovedContainer>,
}

/// Answer of `GET /images/{image}/decisions`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageDecisions {
    /// The image.
    pub image: String,
    /// Newest first. `id` counts up; `at` is in milliseconds since the Unix epoch.
    #[schema(value_type = Vec<Object>)]
    pub decisions: Vec<DecisionRecord>,
}

/// Answer of `GET /decisions/{id}`: `id`, `at` in milliseconds since the Unix epoch, `health` and `scaling` (each with
/// `policy`, `config`, `observation` and `answer`), and what came of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct DecisionView(DecisionRecord);

/// Every workload.
pub async fn list(State(state): State<ApiState>, _: NoQuery) -> Json<ImageList> {
    let images = state.controller.views().iter().map(|view| ImageSummary::from(&view.workload)).collect();
    Json(ImageList { images })
}

/// What was asked for, what runs, and what the last pass made of it.
pub async fn show(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
) -> Result<Json<ImageView>, Problem> {
    let view = known(&state, &key)?;
    Ok(Json(ImageView::from(&view)))
}

/// Stops and removes every container of a workload and forgets it.
pub async fn delete(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
) -> Result<Json<DeletedImage>, Problem> {
    let image = known(&state, &key)?.workload.image.to_string();
    let removed = to_the_end(async move { state.controller.delete(&key).await }).await?;
    Ok(Json(DeletedImage { deleted: true, image, removed: removed.iter().map(RemovedContainer::from).collect() }))
}

/// Changes the bounds and answers after the pass that made it so.
pub async fn scale(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ReconcileAnswer>, Problem> {
    let ports = state.controller.view(&key).map(|view| view.workload.ports);
    // A bad body is told of before an unknown image is.
    let bounds = start::bounds(&body, &ports.unwrap_or_default())?;
    let controller = state.controller.clone();
    let wanted = key.clone();
    let pass = to_the_end(async move { controller.scale(&wanted, bounds).await }).await?;
    outcome(&state, &key, &pass)
}

/// Chooses who decides about a workload and answers after the pass they decided first.
pub async fn assign(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ImageView>, Problem> {
    let choices = start::policies_of(&body)?;
    policies::check(&state, &choices).await?;
    changed(&state, key, async move |controller, key| controller.assign(&key, choices).await).await
}

/// Answers after a pass.
pub async fn reconcile(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
) -> Result<Json<ReconcileAnswer>, Problem> {
    let controller = state.controller.clone();
    let wanted = key.clone();
    let pass = to_the_end(async move { controller.reconcile(&wanted).await }).await?;
    outcome(&state, &key, &pass)
}

/// The containers of a workload as last seen; none of an unknown one.
pub async fn containers(State(state): State<ApiState>, ImageKey(key): ImageKey, _: NoQuery) -> Json<ImageContainers> {
    let (image, replicas) = match state.controller.view(&key) {
        Some(view) => (view.workload.image.to_string(), view.replicas),
        None => (key.to_string(), orphans_of(&state, &key)),
    };
    Json(ImageContainers { image, containers: replicas.iter().map(ContainerSummary::from).collect() })
}

/// How the containers of a workload are, from the last look and samples; none of an unknown one.
pub async fn health(State(state): State<ApiState>, ImageKey(key): ImageKey, _: NoQuery) -> Json<ImageHealth> {
    let free = free_bytes();
    let (image, health) = match state.controller.view(&key) {
        Some(view) => {
            let limit = Some(view.workload.resources.memory.bytes());
            let of = |replica| ContainerHealth::of(replica, view.health.get(&replica.id).copied(), limit, free);
            (view.workload.image.to_string(), view.replicas.iter().map(of).collect())
        }
        None => {
            let orphans = orphans_of(&state, &key);
            let health = orphans.iter().map(|replica| ContainerHealth::of(replica, None, None, free));
            (key.to_string(), health.collect())
        }
    };
    Json(ImageHealth { image, health })
}

/// The newest decisions of a workload.
pub async fn decisions(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    NewestQuery { until, limit }: NewestQuery,
) -> Result<Json<ImageDecisions>, Problem> {
    let image = known(&state, &key)?.workload.image.to_string();
    let decisions = state.controller.decisions(&key, until, limit).await?;
    Ok(Json(ImageDecisions { image, decisions }))
}

/// One decision by its number: what each policy was told and shown, what it answered, and what came of it.
pub async fn decision(
    State(state): State<ApiState>,
    DecisionNumber(id): DecisionNumber,
    _: NoQuery,
) -> Result<Json<DecisionView>, Problem> {
    let found = state.controller.decision(id).await?;
    let gone = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no decision {id}: it was never made, or is no longer kept"),
        )
    };
    found.map(|found| Json(DecisionView(found))).ok_or_else(gone)
}

/// What the shadows of a workload would have said, and where that differs.
pub async fn shadows(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
) -> Result<Json<ImageShadows>, Problem> {
    let view = known(&state, &key)?;
    Ok(Json(ImageShadows::from(&view)))
}

/// Containers of this instance whose workload is not known any more.
fn orphans_of(state: &ApiState, key: &WorkloadKey) -> Vec<Replica> {
    let mut replicas = state.controller.orphans();
    replicas.retain(|replica| replica.workload == *key);
    replicas
}

/// What a pass came to; a pass that could not look at the engine did nothing.
fn outcome(state: &ApiState, key: &WorkloadKey, pass: &PassReport) -> Result<Json<ReconcileAnswer>, Problem> {
    if let Some(error) = &pass.error {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.clone()));
    }
    let view = known(state, key)?;
    Ok(Json(ReconcileAnswer::of(pass, &view)))
}

/// Bytes free to all on the root file system.
fn free_bytes() -> Option<u64> {
    let stat = rustix::fs::statvfs("/").ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}
