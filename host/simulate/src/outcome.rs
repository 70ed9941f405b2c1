//! What came of a simulation: the points of its chart, and the figures policies are compared by.

use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use windlass_core::Timestamp;

/// Two changes of the count in opposite directions within this time are a flap.
const FLAP: Duration = Duration::from_secs(600);

/// How it was at one pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Units a second.
    pub load: f64,
    /// Replicas the load needs.
    pub needed: u32,
    /// The count steered to after the pass.
    pub wanted: u32,
    /// Replicas whose process runs, those that still start among them.
    pub running: u32,
    /// Replicas that take load.
    pub ready: u32,
    /// Units that wait.
    pub queue: f64,
    /// Share of the ready replicas' capacity in use since the pass before: 0 to 1.
    pub saturation: f64,
}

/// The figures of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measures {
    /// Replica-minutes that the load needed and that were not ready.
    pub too_little: f64,
    /// Replica-minutes that were ready and that the load did not need.
    pub too_much: f64,
    /// Share of the load that was dropped: 0 to 1.
    pub dropped: f64,
    /// Changes of the count within 10 minutes of one in the other direction.
    pub flaps: u32,
    /// The longest time in one piece that too few were ready, in seconds.
    pub largest_lag: f64,
    /// Changes of the count.
    pub changes: u32,
    /// The highest count.
    pub most: u32,
    /// Passes made.
    pub passes: u32,
}

/// Passes of a run in which something was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// The metric that had no value; none: the policy gave no answer.
    pub metric: Option<String>,
    /// In how many passes.
    pub passes: u32,
    /// Why, the first time.
    pub why: String,
}

/// Adds up the figures of a run as it goes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    measures: Measures,
    offered: f64,
    lost: f64,
    lacking_since: Option<Timestamp>,
    last_change: Option<(Timestamp, bool)>,
    silences: Vec<Silence>,
}

impl Tally {
    /// Takes in a short time in which so many were needed and ready.
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

    /// Takes in a pass that moved the count.
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

    /// Takes in that a metric had no value in a pass; no metric: the policy gave no answer.
    pub(crate) fn silence(&mut self, metric: Option<&str>, why: impl Display) {
        match self.silences.iter_mut().find(|known| known.metric.as_deref() == metric) {
            Some(known) => known.passes += 1,
            None => {
                let metric = metric.map(str::to_owned);
                self.silences.push(Silence { metric, passes: 1, why: why.to_string() });
            }
        }
    }

    /// The figures, and what was not told.
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
        let mut tally = Tally::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let minute = Duration::from_secs(60);
        tally.serve(at(0), minute, 5, 3, (100.0, 10.0));
        tally.serve(at(60), minute, 5, 4, (100.0, 0.0));
        tally.serve(at(120), minute, 2, 4, (200.0, 0.0));
        tally.serve(at(180), minute, 5, 4, (0.0, 0.0));
        for (seconds, from, to) in [(0, 3, 5), (15, 5, 5), (599, 5, 4), (1_198, 4, 3), (1_798, 3, 4)] {
            tally.pass(at(seconds), from, to);
        }
        for why in ["refused", "timed out"] {
            tally.silence(Some("queue"), why);
        }
        tally.silence(None, "trap");
        let (measures, silences) = tally.finish();
        let told: Vec<_> = silences.iter().map(|it| (it.metric.as_deref(), it.passes, it.why.as_str())).collect();
        assert_eq!(told, [(Some("queue"), 2, "refused"), (None, 1, "trap")]);
        assert_eq!((measures.too_little, measures.too_much, measures.largest_lag), (4.0, 2.0, 120.0));
        assert_eq!((measures.dropped, measures.flaps, measures.changes), (0.025, 1, 4));
        assert_eq!((measures.most, measures.passes), (5, 5));
    }
}
