//! `GET /images/{image}/decisions`.

use crate::ApiState;
use crate::error::Problem;
use crate::images::lookup::known;
use crate::json::time::time_schema;
use crate::operation::Operation;
use crate::path::ImageKey;
use crate::query::{Parameters, Query, time, wrong};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windlass_core::Timestamp;
use windlass_core::store::DecisionRecord;

/// Query of `GET /images/{image}/decisions`.
pub(crate) struct Newest {
    until: Option<Timestamp>,
    limit: u32,
}

impl Default for Newest {
    fn default() -> Self {
        Self { until: None, limit: 20 }
    }
}

impl Parameters for Newest {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 20});
        vec![
            ("limit", "How many decisions, counted from the newest.", limit),
            (
                "until",
                "No decision after this time: RFC 3339, or milliseconds since the Unix epoch. Default: now.",
                time_schema(),
            ),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        if name == "until" {
            self.until = Some(time(name, &value)?);
            return Ok(());
        }
        let limit = value.parse().ok().filter(|limit| (1..=1_000).contains(limit));
        self.limit = limit.ok_or_else(|| wrong(name, "expected a whole number from 1 to 1000"))?;
        Ok(())
    }
}

/// Answer of `GET /images/{image}/decisions`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageDecisions {
    /// The image.
    image: String,
    /// Newest first, as they were recorded. `id` counts up. Times are milliseconds since the Unix epoch, as in the
    /// policy contract, so that a decision can be replayed.
    #[schema(value_type = Vec<Object>)]
    decisions: Vec<DecisionRecord>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the newest decisions of a workload", decisions).answer::<ImageDecisions>().errors(&[404])
}

async fn decisions(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    Query(Newest { until, limit }): Query<Newest>,
) -> Result<Json<ImageDecisions>, Problem> {
    let image = known(&state, &key)?.workload.image.to_string();
    let decisions = state.controller.decisions(&key, until, limit).await?;
    Ok(Json(ImageDecisions { image, decisions }))
}
