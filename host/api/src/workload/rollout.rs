//! `rollout`: how a changed specification reaches the replicas.

use crate::json::object::{declare, object};
use crate::json::shape::{Shape, one_of, whole};
use crate::json::time::{duration_json, duration_within};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::{Rollout, RolloutMode, RolloutOrder};

/// The words for [`RolloutMode`].
const MODES: &[(&str, RolloutMode)] = &[("rolling", RolloutMode::Rolling), ("manual", RolloutMode::Manual)];

/// The words for [`RolloutOrder`].
const ORDERS: &[(&str, RolloutOrder)] =
    &[("start-first", RolloutOrder::StartFirst), ("stop-first", RolloutOrder::StopFirst)];

declare! {
    /// How a changed image, `env`, `command`, `ports`, `resources`, `networks` or `labels` reaches the replicas.
    pub(crate) struct RolloutRequest {
        /// `rolling` replaces outdated replicas, a share at a time. `manual` only reports them: a replica is new when it is
        /// created for another reason.
        optional mode: RolloutMode = one_of(MODES).keyword("default", json!("rolling")),
        /// `start-first`: the new replica is ready before the old one goes, so one more runs for that time. `stop-first`: the
        /// old one goes first. Null: `start-first`, unless the fixed ports of the host allow no more replicas.
        nullable order: RolloutOrder = one_of(ORDERS),
        /// Time for which a new replica must be ready before the next one is replaced; 0 s to 1 h. Default: 10 s.
        optional min_ready: Duration = duration_within(Duration::ZERO..=Duration::from_secs(3_600), "0 s to 1 h"),
        /// Time within which a new replica must be ready; 1 s to 1 d. Default: 10 min.
        optional ready_within: Duration =
            duration_within(Duration::from_secs(1)..=Duration::from_secs(86_400), "1 s to 1 d"),
        /// New replicas that may fail in a row before the rollout pauses; 0 for any number.
        optional max_failures: u32 = whole(0..=1_000).keyword("default", json!(3)),
    }
}

/// Reads the settings of rollouts.
pub(crate) fn shape() -> Shape<Rollout> {
    object().then(|request: RolloutRequest, _, _| {
        let RolloutRequest { mode, order, min_ready, ready_within, max_failures, .. } = request;
        let usual = Rollout::default();
        Some(Rollout {
            mode: mode.or(usual.mode)?,
            order: order.given(),
            min_ready: min_ready.or(usual.min_ready)?,
            ready_within: ready_within.or(usual.ready_within)?,
            max_failures: max_failures.or(usual.max_failures)?,
        })
    })
}

/// The settings of rollouts in the form of the request.
pub(crate) fn json_of(rollout: &Rollout) -> Value {
    json!({
        "mode": rollout.mode,
        "order": rollout.order,
        "min_ready": duration_json(rollout.min_ready),
        "ready_within": duration_json(rollout.ready_within),
        "max_failures": rollout.max_failures,
    })
}
