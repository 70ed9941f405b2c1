//! The results of a simulation: the points of its chart, and the measures for comparing policies.

use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use windlass_core::Timestamp;

/// Two changes of the count in opposite directions within this time count as a flap.
const FLAP: Duration = Duration::from_secs(600);

/// The state at one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Time of the pass.
    pub at: Timestamp,
    /// Load units per second.
    pub load: f64,
    /// Replicas that the load needs.
    pub needed: u32,
    /// The target count after the pass.
    pub wanted: u32,
    /// Replicas whose process runs, including those that are still starting.
    pub running: u32,
    /// Replicas that serve load.
    pub ready: u32,
    /// Load units in the queue.
    pub queue: f64,
    /// Share of the ready replicas' capacity in use since the previous pass: 0 to 1.
    pub saturation: f64,
}

/// The measures of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measures {
    /// Replica-minutes that the load needed and that were not ready.
    pub too_little: f64,
    /// Replica-minutes that were ready and that the load did not need.
    pub too_much: f64,
    /// Share of the load that was dropped: 0 to 1.
    pub dropped: f64,
    /// Changes of the count within 10 minutes of one in the opposite direction.
    pub flaps: u32,
    /// The longest uninterrupted time with too few ready replicas, in seconds.
    pub largest_lag: f64,
    /// Changes of the count.
    pub changes: u32,
    /// The highest count.
    pub most: u32,
    /// Number of passes.
    pub passes: u32,
}

/// Passes in which an input was missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// The metric without a value. `None` if the policy was unavailable.
    pub metric: Option<String>,
    /// Number of passes.
    pub passes: u32,
    /// The first reason.
    pub why: String,
}

/// Accumulates the measures of a run.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    measures: Measures,
    offered: f64,
    lost: f64,
    lacking_since: Option<Timestamp>,
    last_change: Option<(Timestamp, bool)>,
    silences: Vec<Silence>,
}

impl Recorder {
    /// Records a short period with these numbers of needed and ready replicas. `load` is the offered and the dropped
    /// load.
    pub(crate) fn serve(&mut self, now: Timestamp, time: Duration, needed: u32, ready: u32, load: (f64, f64)) {
        let minutes = time.as_secs_f64() / 60.0;
        self.measures.too_little += f64::from(needed.saturating_sub(ready)) * minutes;
        self.measures.too_much += f64::from(ready.saturating_sub(needed)) * minutes;
        let (offered, dropped) = load;
        self.offered += offered;
        self.lost += dropped;
        if needed <= ready {
            self.lacking_since = None;
            return;
        }
        let since = *self.lacking_since.get_or_insert(now);
        let lag = now.plus(time).since(since).as_secs_f64();
        self.measures.largest_lag = self.measures.largest_lag.max(lag);
    }

    /// Records a pass and its change of the count.
    pub(crate) fn pass(&mut self, now: Timestamp, from: u32, to: u32) {
        self.measures.passes += 1;
        self.measures.most = self.measures.most.max(to);
        if from == to {
            return;
        }
        self.measures.changes += 1;
        let up = to > from;
        if self.last_change.is_some_and(|(at, was_up)| was_up != up && now.since(at) < FLAP) {
            self.measures.flaps += 1;
        }
        self.last_change = Some((now, up));
    }

    /// Records that a metric had no value in a pass, or with `None` that the policy was unavailable.
    pub(crate) fn silence(&mut self, metric: Option<&str>, why: impl Display) {
        match self.silences.iter_mut().find(|known| known.metric.as_deref() == metric) {
            Some(known) => known.passes += 1,
            None => {
                let metric = metric.map(str::to_owned);
                self.silences.push(Silence { metric, passes: 1, why: why.to_string() });
            }
        }
    }

    /// Returns the measures and the missing inputs.
    pub(crate) fn finish(mut self) -> (Measures, Vec<Silence>) {
        self.measures.dropped = if self.offered > 0.0 { self.lost / self.offered } else { 0.0 };
        (self.measures, self.silences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up() {
        let mut recorder = Recorder::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let minute = Duration::from_secs(60);
        recorder.serve(at(0), minute, 5, 3, (100.0, 10.0));
        recorder.serve(at(60), minute, 5, 4, (100.0, 0.0));
        recorder.serve(at(120), minute, 2, 4, (200.0, 0.0));
        recorder.serve(at(180), minute, 5, 4, (0.0, 0.0));
        for (seconds, from, to) in [(0, 3, 5), (15, 5, 5), (599, 5, 4), (1_198, 4, 3), (1_798, 3, 4)] {
            recorder.pass(at(seconds), from, to);
        }
        for why in ["refused", "timed out"] {
            recorder.silence(Some("queue"), why);
        }
        recorder.silence(None, "trap");
        let (measures, silences) = recorder.finish();
        let recorded: Vec<_> = silences.iter().map(|it| (it.metric.as_deref(), it.passes, it.why.as_str())).collect();
        assert_eq!(recorded, [(Some("queue"), 2, "refused"), (None, 1, "trap")]);
        assert_eq!((measures.too_little, measures.too_much, measures.largest_lag), (4.0, 2.0, 120.0));
        assert_eq!((measures.dropped, measures.flaps, measures.changes), (0.025, 1, 4));
        assert_eq!((measures.most, measures.passes), (5, 5));
    }
}
