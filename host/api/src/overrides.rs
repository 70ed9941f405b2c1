//! `/images/{image}/overrides`: what an operator says over the policy of a workload.

use crate::error::Problem;
use crate::fields::{Fields, Problems, length_of_time};
use crate::request::{ImageKey, JsonBody, NoQuery};
use crate::views::ImageView;
use crate::workloads::changed;
use crate::{ApiState, fields};
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use std::time::Duration;
use windlass_core::workload::Bounds;
use windlass_core::{Force, Overrides, Timestamp};

const FIELDS: &[&str] = &["paused", "freeze_scale_up", "freeze_scale_down", "force"];
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// What a body changes; none: it is left as it is.
struct Changes {
    paused: Option<bool>,
    freeze_scale_up: Option<bool>,
    freeze_scale_down: Option<bool>,
    /// Some none: nothing is forced any more.
    force: Option<Option<Force>>,
}

/// Changes what the body names and answers after the pass after it.
pub async fn change(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ImageView>, Problem> {
    let now = Timestamp(state.controller.now_ms());
    let mut problems = Problems::default();
    let changes = read(&body, now, &mut problems);
    let changes = problems.finish(changes)?;
    let resumes = changes.paused == Some(false);
    let change = move |overrides: &mut Overrides| {
        overrides.paused = changes.paused.unwrap_or(overrides.paused);
        overrides.freeze_scale_up = changes.freeze_scale_up.unwrap_or(overrides.freeze_scale_up);
        overrides.freeze_scale_down = changes.freeze_scale_down.unwrap_or(overrides.freeze_scale_down);
        overrides.force = changes.force.unwrap_or(overrides.force);
    };
    changed(&state, key, async move |controller, key| controller.override_policy(&key, resumes, change).await).await
}

fn read(body: &Value, now: Timestamp, problems: &mut Problems) -> Option<Changes> {
    let fields = Fields::of(body, "", FIELDS, problems)?;
    let mut truth = |name| fields.optional(name, problems, fields::truth);
    let (paused, freeze_scale_up, freeze_scale_down) =
        (truth("paused"), truth("freeze_scale_up"), truth("freeze_scale_down"));
    let force = fields.optional("force", problems, |value, pointer, problems| {
        if value.is_null() { Some(None) } else { force(value, pointer, now, problems).map(Some) }
    });
    Some(Changes { paused, freeze_scale_up, freeze_scale_down, force })
}

fn force(value: &Value, pointer: &str, now: Timestamp, problems: &mut Problems) -> Option<Force> {
    let fields = Fields::of(value, pointer, &["replicas", "for"], problems)?;
    let replicas = fields.required("replicas", problems, fields::whole(0..=u64::from(Bounds::LIMIT)));
    let time = fields.required("for", problems, length_of_time)?;
    if !(Duration::from_secs(1)..=LONGEST).contains(&time) {
        problems.add(fields.at("for"), "expected 1 s to 30 days");
    }
    Some(Force { replicas: replicas?, until: now.plus(time) })
}
