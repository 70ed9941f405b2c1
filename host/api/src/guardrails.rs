//! `/images/{image}/guardrails`: how fast the count of a workload may follow what is proposed.

use crate::error::Problem;
use crate::fields::{Fields, Problems, length_of_time};
use crate::request::{ImageKey, JsonBody, NoQuery};
use crate::views::ImageView;
use crate::workloads::changed;
use crate::{ApiState, fields};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::workload::Bounds;
use windlass_core::{Amount, Fallback, Guardrail, Guardrails, Rate, Select};

const DIRECTION: &[&str] = &["window", "cooldown", "select", "rates"];
const LONGEST: Duration = Duration::from_secs(3_600);

/// Replaces the guardrails of a workload and answers after the pass after it.
pub async fn guard(
    State(state): State<ApiState>,
    ImageKey(key): ImageKey,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Json<ImageView>, Problem> {
    let mut problems = Problems::default();
    let guardrails = read(&body, "", &mut problems);
    let guardrails = problems.finish(guardrails)?;
    changed(&state, key, async move |controller, key| controller.guard(&key, guardrails).await).await
}

/// Guardrails as a body has them: what it does not say is as the defaults are.
pub(crate) fn read(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Guardrails> {
    let fields = Fields::of(value, pointer, &["scale_up", "scale_down", "grace", "fallback"], problems)?;
    let usual = Guardrails::default();
    let up = fields.or("scale_up", usual.up.clone(), problems, |value, pointer, problems| {
        direction(value, pointer, usual.up, problems)
    });
    let down = fields.or("scale_down", usual.down.clone(), problems, |value, pointer, problems| {
        direction(value, pointer, usual.down, problems)
    });
    let grace = fields.or("grace", usual.grace, problems, up_to_an_hour);
    let fallback = fields.nullable("fallback", problems, fallback);
    Some(Guardrails { up: up?, down: down?, grace: grace?, fallback })
}

fn fallback(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Fallback> {
    let fields = Fields::of(value, pointer, &["replicas", "after"], problems)?;
    let replicas = fields.required("replicas", problems, fields::whole(0..=u64::from(Bounds::LIMIT)));
    let after = fields.or("after", Fallback::AFTER, problems, fields::whole(1..=1_000));
    Some(Fallback { replicas: replicas?, after: after? })
}

fn up_to_an_hour(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Duration> {
    let time = length_of_time(value, pointer, problems)?;
    if time > LONGEST {
        problems.add(pointer, "expected 0 s to 1 h");
    }
    Some(time)
}

fn direction(value: &Value, pointer: &str, usual: Guardrail, problems: &mut Problems) -> Option<Guardrail> {
    let fields = Fields::of(value, pointer, DIRECTION, problems)?;
    let words = [("max", Select::Max), ("min", Select::Min), ("disabled", Select::Disabled)];
    let window = fields.or("window", usual.window, problems, up_to_an_hour);
    let cooldown = fields.or("cooldown", usual.cooldown, problems, up_to_an_hour);
    let select = fields.or("select", usual.select, problems, fields::one_of(&words));
    let rates = fields.or("rates", usual.rates, problems, fields::list_of(rate))?;
    if rates.len() > Guardrail::MOST_RATES {
        problems.add(fields.at("rates"), format!("at most {} rates of a direction", Guardrail::MOST_RATES));
    }
    Some(Guardrail { window: window?, cooldown: cooldown?, select: select?, rates })
}

fn rate(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Rate> {
    let fields = Fields::of(value, pointer, &["count", "percent", "per"], problems)?;
    let count = fields.optional("count", problems, fields::whole(1..=1_000));
    let percent = fields.optional("percent", problems, fields::whole(1..=1_000));
    let amount = match (fields.has("count"), fields.has("percent")) {
        (true, false) => count.map(Amount::Count),
        (false, true) => percent.map(Amount::Percent),
        _ => {
            problems.add(pointer, "a rate has `count` or `percent`, one of them");
            None
        }
    };
    let per = fields.required("per", problems, length_of_time)?;
    if !(Duration::from_secs(1)..=LONGEST).contains(&per) {
        problems.add(fields.at("per"), "expected 1 s to 1 h");
    }
    Some(Rate { amount: amount?, per })
}

/// Guardrails in the form of the start request; lengths of time in seconds.
pub(crate) fn shown(guardrails: &Guardrails) -> Value {
    let rate = |rate: &Rate| match rate.amount {
        Amount::Count(count) => json!({"count": count, "per": rate.per.as_secs_f64()}),
        Amount::Percent(percent) => json!({"percent": percent, "per": rate.per.as_secs_f64()}),
    };
    let direction = |guardrail: &Guardrail| {
        json!({
            "window": guardrail.window.as_secs_f64(),
            "cooldown": guardrail.cooldown.as_secs_f64(),
            "select": guardrail.select,
            "rates": guardrail.rates.iter().map(rate).collect::<Vec<_>>(),
        })
    };
    json!({
        "scale_up": direction(&guardrails.up),
        "scale_down": direction(&guardrails.down),
        "grace": guardrails.grace.as_secs_f64(),
        "fallback": guardrails.fallback.map(|Fallback { replicas, after }| json!({"replicas": replicas, "after": after})),
    })
}
