//! `guardrails`: how fast the count of a workload may follow the proposals.

use crate::json::fields::Field;
use crate::json::object::{declare, exactly_one, object};
use crate::json::shape::{Shape, list_of, one_of, whole};
use crate::json::time::{duration_json, duration_within};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::workload::Bounds;
use windlass_core::{Amount, Fallback, Guardrail, Guardrails, Rate, Select};

const LONGEST: Duration = Duration::from_secs(3_600);
const SELECT: &[(&str, Select)] = &[("max", Select::Max), ("min", Select::Min), ("disabled", Select::Disabled)];

declare! {
    /// How fast the count may follow the proposals. A field that is absent has its default.
    pub(crate) struct GuardrailsRequest {
        /// Limits on a count that rises. Default: no window, 4 replicas or 100 % in 15 s, whichever is more.
        optional scale_up: DirectionRequest = object(),
        /// Limits on a count that falls. Default: the highest proposal of 5 min, 100 % in 15 s.
        optional scale_down: DirectionRequest = object(),
        /// Time after Windlass first observes the workload in which no policy shrinks it. Text such as `5m`, or a number
        /// of seconds; 0 s to 1 h. Default: 5 min.
        optional grace: Duration = up_to_an_hour(),
        /// The count to propose if no metric has a value any more. If it is null or absent, the count stays.
        nullable fallback: Fallback = fallback(),
    }
}

declare! {
    /// Limits on a count that moves in one direction. Durations are text such as `5m`, or a number of seconds.
    pub(crate) struct DirectionRequest {
        /// The count moves only as far as every proposal of this time agrees; 0 s to 1 h.
        optional window: Duration = up_to_an_hour(),
        /// Time after a step in this direction before the next one; 0 s to 1 h.
        optional cooldown: Duration = up_to_an_hour(),
        /// The rate that applies: `max` (the one that allows most), `min` (least), or `disabled`: no step in this
        /// direction.
        optional select: Select = one_of(SELECT).keyword("default", json!("max")),
        /// Rates, at most 8. If the list is empty, the rate is unlimited.
        optional rates: Vec<Rate> = list_of(rate()).at_most(Guardrail::MOST_RATES, |_| {
            format!("at most {} rates of a direction", Guardrail::MOST_RATES)
        }),
    }
}

declare! {
    /// How much the count may change in a time: either `count` or `percent`.
    pub(crate) struct RateRequest {
        /// Number of replicas.
        optional count: u32 = whole(1..=1_000),
        /// Percent of the replicas at the start of the time.
        optional percent: u32 = whole(1..=1_000),
        /// The time, as text such as `15s` or a number of seconds; 1 s to 1 h.
        required per: Duration = duration_within(Duration::from_secs(1)..=LONGEST, "1 s to 1 h"),
    }
    rules { exactly_one(&["count", "percent"], &[]) }
}

declare! {
    /// A count to propose while no metric has a value. Windows, rates and bounds still apply.
    pub(crate) struct FallbackRequest {
        /// Number of replicas.
        required replicas: u32 = whole(0..=u64::from(Bounds::LIMIT)),
        /// Observations in a row without any metric value before the fallback applies.
        optional after: u32 = whole(1..=1_000).keyword("default", json!(Fallback::AFTER)),
    }
}

fn up_to_an_hour() -> Shape<Duration> {
    duration_within(Duration::ZERO..=LONGEST, "0 s to 1 h")
}

/// Reads guardrails.
pub(crate) fn shape() -> Shape<Guardrails> {
    object().then(|request: GuardrailsRequest, _, _| request.guardrails())
}

impl GuardrailsRequest {
    /// The guardrails, with the defaults for absent fields.
    pub(crate) fn guardrails(self) -> Option<Guardrails> {
        let default = Guardrails::default();
        Some(Guardrails {
            up: direction(self.scale_up, default.up)?,
            down: direction(self.scale_down, default.down)?,
            grace: self.grace.or(default.grace)?,
            fallback: self.fallback.given(),
        })
    }
}

fn direction(field: Field<DirectionRequest>, default: Guardrail) -> Option<Guardrail> {
    match field {
        Field::Given(DirectionRequest { window, cooldown, select, rates, .. }) => Some(Guardrail {
            window: window.or(default.window)?,
            cooldown: cooldown.or(default.cooldown)?,
            select: select.or(default.select)?,
            rates: rates.or(default.rates)?,
        }),
        Field::Absent | Field::Null => Some(default),
        Field::Wrong => None,
    }
}

fn rate() -> Shape<Rate> {
    object().then(|RateRequest { count, percent, per, .. }, pointer, problems| {
        let amount = match (count.is_there(), percent.is_there()) {
            (true, false) => count.given().map(Amount::Count),
            (false, true) => percent.given().map(Amount::Percent),
            _ => {
                problems.add(pointer, "a rate has `count` or `percent`, one of them");
                None
            }
        };
        Some(Rate { amount: amount?, per: per.given()? })
    })
}

fn fallback() -> Shape<Fallback> {
    object().then(|FallbackRequest { replicas, after, .. }, _, _| {
        Some(Fallback { replicas: replicas.given()?, after: after.or(Fallback::AFTER)? })
    })
}

/// Guardrails in the form of the request.
pub(crate) fn json_of(guardrails: &Guardrails) -> Value {
    let rate = |rate: &Rate| match rate.amount {
        Amount::Count(count) => json!({"count": count, "per": duration_json(rate.per)}),
        Amount::Percent(percent) => json!({"percent": percent, "per": duration_json(rate.per)}),
    };
    let direction = |guardrail: &Guardrail| {
        json!({
            "window": duration_json(guardrail.window),
            "cooldown": duration_json(guardrail.cooldown),
            "select": guardrail.select,
            "rates": guardrail.rates.iter().map(rate).collect::<Vec<_>>(),
        })
    };
    json!({
        "scale_up": direction(&guardrails.up),
        "scale_down": direction(&guardrails.down),
        "grace": duration_json(guardrails.grace),
        "fallback": guardrails.fallback.map(|Fallback { replicas, after }| json!({"replicas": replicas, "after": after})),
    })
}
