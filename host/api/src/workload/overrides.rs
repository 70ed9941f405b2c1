//! `overrides`: an operator's instructions that take precedence over the policy.

use crate::json::fields::Field;
use crate::json::object::{declare, exactly_one, object};
use crate::json::problems::Problems;
use crate::json::shape::{boolean, whole};
use crate::json::time::{Time, duration_within, time};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::workload::Bounds;
use windlass_core::{Force, Overrides, Timestamp};

const LONGEST: Duration = Duration::from_secs(30 * 86_400);

declare! {
    /// Body of `PATCH /workloads/{name}/overrides`. A field that is absent stays as it is.
    pub(crate) struct OverridesRequest {
        /// The count stays where it is.
        optional paused: bool = boolean(),
        /// The count does not rise.
        optional freeze_scale_up: bool = boolean(),
        /// The count does not fall.
        optional freeze_scale_down: bool = boolean(),
        /// A count for a time, within the bounds; null ends it.
        nullable force: ForceRequest = object(),
    }
}

declare! {
    /// A count for a time, which ends either after `for` or at `until`.
    pub(crate) struct ForceRequest {
        /// Number of replicas.
        required replicas: u32 = whole(0..=u64::from(Bounds::LIMIT)),
        /// Duration from now: text such as `1h`, or a number of seconds; 1 s to 30 days.
        optional r#for: Duration = duration_within(Duration::from_secs(1)..=LONGEST, "1 s to 30 days"),
        /// The end: RFC 3339, or milliseconds since the Unix epoch; at most 30 days from now.
        optional until: Timestamp = time(),
    }
    read_only {
        "until_ms": "`until` in milliseconds since the Unix epoch, as `GET` returns it; ignored.",
    }
    rules { exactly_one(&["for", "until"], &[]) }
}

/// The change that a request makes.
pub(crate) struct Changes {
    paused: Option<bool>,
    freeze_scale_up: Option<bool>,
    freeze_scale_down: Option<bool>,
    /// `Some(None)` ends the forced count.
    force: Option<Option<Force>>,
    resumes: bool,
}

impl OverridesRequest {
    /// The change, at this time, to these overrides.
    pub(crate) fn changes(self, current: Overrides, now: Timestamp, problems: &mut Problems) -> Option<Changes> {
        let force = match self.force {
            Field::Absent => None,
            Field::Null => Some(None),
            Field::Wrong => return None,
            Field::Given(request) => Some(Some(request.force(current.force, now, problems)?)),
        };
        let changes = Changes {
            paused: self.paused.given(),
            freeze_scale_up: self.freeze_scale_up.given(),
            freeze_scale_down: self.freeze_scale_down.given(),
            force,
            resumes: false,
        };
        // The answer of a `GET`, sent back, resumes nothing.
        let is_returned = changes.is_whole() && changes.applied_to(current) == current;
        Some(Changes { resumes: changes.paused == Some(false) && !is_returned, ..changes })
    }
}

impl ForceRequest {
    fn force(self, current: Option<Force>, now: Timestamp, problems: &mut Problems) -> Option<Force> {
        if self.r#for.is_absent() && self.until.is_absent() {
            problems.add("/force/for", "this field is required");
        } else if !self.r#for.is_absent() && !self.until.is_absent() {
            problems.add("/force/until", "a forced count ends after `for` or at `until`; give one of them");
        }
        let replicas = self.replicas.given()?;
        if let Some(time) = self.r#for.given() {
            return Some(Force { replicas, until: now.plus(time) });
        }
        let force = Force { replicas, until: self.until.given()? };
        // The answer of a `GET` may be sent back after its forced count ended.
        if current != Some(force) && (force.until <= now || force.until > now.plus(LONGEST)) {
            problems.add("/force/until", "expected a time up to 30 days from now");
        }
        Some(force)
    }
}

impl Changes {
    /// Whether the change resumes scaling, so that replicas that were stopped through the engine count again.
    pub(crate) fn resumes(&self) -> bool {
        self.resumes
    }

    /// These overrides after the change.
    pub(crate) fn applied_to(&self, overrides: Overrides) -> Overrides {
        Overrides {
            paused: self.paused.unwrap_or(overrides.paused),
            freeze_scale_up: self.freeze_scale_up.unwrap_or(overrides.freeze_scale_up),
            freeze_scale_down: self.freeze_scale_down.unwrap_or(overrides.freeze_scale_down),
            force: self.force.unwrap_or(overrides.force),
        }
    }

    /// Whether the request had every field.
    fn is_whole(&self) -> bool {
        [self.paused, self.freeze_scale_up, self.freeze_scale_down].iter().all(Option::is_some) && self.force.is_some()
    }
}

/// Overrides in the form of the request.
pub(crate) fn json_of(overrides: &Overrides) -> Value {
    let force = overrides
        .force
        .map(|Force { replicas, until }| json!({"replicas": replicas, "until": Time(until), "until_ms": until}));
    json!({
        "paused": overrides.paused,
        "freeze_scale_up": overrides.freeze_scale_up,
        "freeze_scale_down": overrides.freeze_scale_down,
        "force": force,
    })
}
