//! The events of changes to a workload, and of requests about one of its replicas.

use crate::context::Context;
use crate::events::EventKind;
use serde_json::json;
use windlass_core::{Replica, WorkloadKey};

/// Publishes a change of a workload: `started`, `changed`, `deleted`, `adopted`, `suspended`, `resumed` or `forgotten`.
pub(crate) fn publish_change(context: &Context, key: &WorkloadKey, change: &str, what: &str) {
    let text = format!("workload `{key}`: {what}");
    context.events.publish(EventKind::Workload, Some(key), &text, &json!({"change": change}));
}

/// Publishes what an operator did to a replica: `hold`, `release`, `protect`, `unprotect` or `remove`.
pub(crate) fn publish_request(context: &Context, replica: &Replica, change: &str, what: &str) {
    let text = format!("replica `{}`: {what}", replica.name);
    let data = json!({"change": change, "container_id": replica.id, "name": replica.name});
    context.events.publish(EventKind::Replica, Some(&replica.workload), &text, &data);
}
