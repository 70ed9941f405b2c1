//! The events of an operator's overrides: set, changed, ended, or expired.

use crate::context::Context;
use crate::events::EventKind;
use crate::override_words::difference;
use crate::workload::handle::WorkloadHandle;
use serde_json::json;

/// Publishes the overrides in force if they are others than those that were last published.
pub(crate) fn publish_overrides(context: &Context, handle: &WorkloadHandle) {
    let (before, now) = {
        let mut state = handle.state();
        let now = state.workload.overrides.in_force(context.clock.now());
        (std::mem::replace(&mut state.published_overrides, now), now)
    };
    if before != now {
        let data = json!({"overrides": now, "before": before});
        context.events.publish(EventKind::Override, Some(&handle.key), &difference(before, now), &data);
    }
}
