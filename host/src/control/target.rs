//! The count to steer to: bounds, an operator's overrides, what a failed policy or metric leaves, then windows and rates.

use super::smooth::{Smoothed, smooth};
use crate::model::verdict::FailedMetrics;
use crate::model::{Force, Guardrails, History, Stages, Timestamp, Verdict, Workload};

/// The count to steer to, why, and what became of the proposal. `there` replicas count now.
pub(super) fn steered(
    desired: &Workload,
    verdict: &Verdict,
    guardrails: &Guardrails,
    there: usize,
    history: &mut History,
    now: Timestamp,
) -> (u32, String, Option<Stages>) {
    let bounds = desired.bounds;
    // Bounds at once and before everything: what is outside of them is not where a step begins.
    let current = bounds.clamp(desired.target);
    let policy = &verdict.scaling.policy.name;
    if let Some(Force { replicas, until }) = desired.overrides.forced(now) {
        let target = bounds.clamp(replicas);
        let stages = verdict.scaling.answer.as_ref().ok().map(|decision| {
            let raw = decision.replicas;
            Stages { raw, stabilized: target, limited: target, bounded: target }
        });
        return (target, format!("an operator forces {replicas} until {}", until.told()), stages);
    }
    let decision = match &verdict.scaling.answer {
        Ok(decision) => decision,
        Err(failure) => {
            return (current, format!("held at {current}: scaling policy `{policy}` is unavailable ({failure})"), None);
        }
    };
    let raw = decision.replicas;
    let held = |why: String| {
        let stages = Stages { raw, stabilized: current, limited: current, bounded: current };
        (current, format!("held at {current}: {why}; `{policy}` proposed {raw}: {}", decision.reason), Some(stages))
    };
    let wanted = bounds.clamp(raw);
    let overrides = desired.overrides;
    if overrides.paused && wanted != current {
        return held("an operator paused scaling".to_owned());
    } else if overrides.freeze_scale_up && wanted > current {
        return held("an operator froze scaling up".to_owned());
    } else if overrides.freeze_scale_down && wanted < current {
        return held("an operator froze scaling down".to_owned());
    }
    let FailedMetrics { failed, are_all } = &verdict.failed_metrics;
    // A value that is missing is not a small one.
    if !failed.is_empty() && (wanted < current || (*are_all && wanted > current)) {
        let blocked = if *are_all { "no metric has a value" } else { "not every metric has a value" };
        return held(format!("{blocked} ({})", failed.join(", ")));
    }
    let is_rising = there < usize::try_from(current).unwrap_or(usize::MAX);
    if wanted < current && current == desired.target && is_rising {
        return held(format!("{there} of {current} replicas are there, the others are still to come"));
    }
    let Smoothed { stages, held_back } = smooth(raw, current, bounds, guardrails, history, now);
    let target = stages.bounded;
    let reason = match held_back {
        Some(why) => format!("`{policy}` proposed {raw}, steered to {target}: {why}; {}", decision.reason),
        None if target == raw => decision.reason.clone(),
        None => format!(
            "`{policy}` proposed {raw}, bounded to {target} (min {}, max {}): {}",
            bounds.min(),
            bounds.max(),
            decision.reason
        ),
    };
    (target, reason, Some(stages))
}
