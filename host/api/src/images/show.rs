//! `GET /images/{image}`.

use crate::ApiState;
use crate::error::Problem;
use crate::images::lookup::known;
use crate::images::view::ImageView;
use crate::operation::Operation;
use crate::path::ImageKey;
use crate::query::NoQuery;
use axum::Json;
use axum::extract::State;

pub(crate) fn operation() -> Operation {
    let summary = "Show the desired state of a workload, its replicas, and the result of the last pass";
    Operation::new(summary, show).answer::<ImageView>().errors(&[404])
}

async fn show(State(state): State<ApiState>, ImageKey(key): ImageKey, _: NoQuery) -> Result<Json<ImageView>, Problem> {
    Ok(Json(ImageView::from(&known(&state, &key)?)))
}
