//! Shadow policies: how often and where their results differ from those of the active policies.

use crate::{PolicyIdentity, PolicyKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};

/// Differences kept of one shadow; the oldest are dropped first.
const DIFFERENCES_KEPT: usize = 100;

/// Bytes kept of the differences of one shadow, as JSON; the oldest are dropped first.
const BYTES_KEPT: usize = 256 << 10;

/// Assessments kept of one result of a health policy.
const ASSESSMENTS_KEPT: usize = 100;

/// One shadow of a workload: a policy that receives the same input as the active one and never acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowComparison {
    /// Its kind.
    pub kind: PolicyKind,
    /// The policy.
    pub policy: PolicyIdentity,
    /// Its configuration, JSON text.
    pub config: String,
    /// Time of the first call.
    pub since: Timestamp,
    /// Time of the latest call.
    pub last_at: Timestamp,
    /// Number of calls.
    pub calls: u64,
    /// Number of results that differed from the active policy's.
    pub differed: u64,
    /// Number of calls without a result.
    pub failed: u64,
    /// Passes it was not called for, because it was still busy with an earlier one.
    pub skipped: u64,
    /// Bytes it returned last time.
    pub memory: Vec<u8>,
    /// The differences, oldest first.
    pub differences: VecDeque<Difference>,
}

/// A series of passes in which a shadow differed in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// Their number.
    pub times: u64,
    /// The decision of the first one, if it was recorded.
    pub decision: Option<i64>,
    /// The active policy's result: `{"replicas", "reason"}`, `{"assessments": […]}` of the differing replicas, or
    /// `{"unavailable": {"kind", "reason"}}`.
    pub acting: Value,
    /// The shadow's result, in the same form.
    pub shadow: Value,
}

impl ShadowComparison {
    /// A shadow that was not called yet.
    pub fn new(kind: PolicyKind, policy: PolicyIdentity, config: String, at: Timestamp) -> Self {
        Self {
            kind,
            policy,
            config,
            since: at,
            last_at: at,
            calls: 0,
            differed: 0,
            failed: 0,
            skipped: 0,
            memory: Vec::new(),
            differences: VecDeque::new(),
        }
    }

    /// Records one call, with both results in the form of [`Difference`].
    pub fn note(&mut self, at: Timestamp, decision: Option<i64>, acting: &Value, shadow: &Value) {
        let differed_before =
            self.differences.back().is_some_and(|last| self.calls > 0 && last.last_at == self.last_at);
        self.calls += 1;
        self.failed += u64::from(shadow.get("unavailable").is_some());
        self.last_at = at;
        if !differ(acting, shadow) {
            return;
        }
        self.differed += 1;
        let (acting, shadow) = (without_common(acting, shadow), without_common(shadow, acting));
        if let Some(last) = self
            .differences
            .back_mut()
            .filter(|last| differed_before && !differ(&last.acting, &acting) && !differ(&last.shadow, &shadow))
        {
            last.last_at = at;
            last.times += 1;
            return;
        }
        if self.differences.len() == DIFFERENCES_KEPT {
            self.differences.pop_front();
        }
        self.differences.push_back(Difference { first_at: at, last_at: at, times: 1, decision, acting, shadow });
        let mut room = BYTES_KEPT;
        let fits = |difference: &&Difference| {
            let bytes = difference.acting.to_string().len() + difference.shadow.to_string().len();
            room.checked_sub(bytes).inspect(|left| room = *left).is_some()
        };
        let kept = self.differences.iter().rev().take_while(fits).count().max(1);
        self.differences.drain(..self.differences.len() - kept);
    }
}

/// Whether two results differ in effect. Reasons are ignored, and so is the kind of unavailability: the replicas stay
/// either way.
pub fn differ(one: &Value, other: &Value) -> bool {
    essence(one) != essence(other)
}

/// `one` without the assessments that are also in `other`: usually few of many replicas differ. At most
/// [`ASSESSMENTS_KEPT`] are left.
fn without_common(one: &Value, other: &Value) -> Value {
    let (Some(Value::Array(assessments)), Some(Value::Array(others))) =
        (one.get("assessments"), other.get("assessments"))
    else {
        return one.clone();
    };
    let others: HashSet<String> = others.iter().map(|other| essence(other).to_string()).collect();
    let own = assessments.iter().filter(|assessment| !others.contains(&essence(assessment).to_string()));
    json!({"assessments": own.take(ASSESSMENTS_KEPT).collect::<Vec<_>>()})
}

fn essence(answer: &Value) -> Value {
    match answer {
        Value::Object(map) if map.contains_key("unavailable") => Value::Null,
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| *name != "reason")
            .map(|(name, value)| (name.clone(), essence(value)))
            .collect(),
        Value::Array(elements) => elements.iter().map(essence).collect(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> ShadowComparison {
        ShadowComparison::new(PolicyKind::Scaling, PolicyIdentity::default(), "{}".to_owned(), Timestamp(0))
    }

    fn wants(replicas: u32, reason: &str) -> Value {
        json!({"replicas": replicas, "reason": reason})
    }

    #[test]
    fn reasons_and_kinds_of_failure_are_no_difference() {
        assert!(!differ(&wants(2, "a"), &wants(2, "b")));
        assert!(differ(&wants(2, "a"), &wants(3, "a")));
        let unavailable = |kind: &str| json!({"unavailable": {"kind": kind, "reason": "x"}});
        assert!(!differ(&unavailable("trap"), &unavailable("time")));
        assert!(differ(&unavailable("trap"), &wants(2, "a")));
        let assessments = |status: &str, reason: &str| json!({"assessments": [{"replica-id": "a", "status": status, "reason": reason}]});
        assert!(!differ(&assessments("healthy", "x"), &assessments("healthy", "y")));
        assert!(differ(&assessments("healthy", "x"), &assessments("unhealthy", "x")));
    }

    #[test]
    fn a_stretch_of_the_same_difference_is_one_entry() {
        let mut comparison = comparison();
        comparison.note(Timestamp(0), Some(7), &wants(2, "a"), &wants(3, "b"));
        comparison.note(Timestamp(1), None, &wants(2, "c"), &wants(3, "d"));
        comparison.note(Timestamp(2), None, &wants(3, "c"), &wants(3, "d"));
        comparison.note(Timestamp(3), Some(8), &wants(2, "e"), &wants(3, "f"));
        comparison.note(Timestamp(4), None, &wants(2, "e"), &json!({"unavailable": {"kind": "trap", "reason": "x"}}));
        assert_eq!((comparison.calls, comparison.differed, comparison.failed), (5, 4, 1));
        let stretches: Vec<_> =
            comparison.differences.iter().map(|one| (one.first_at.0, one.last_at.0, one.times, one.decision)).collect();
        assert_eq!(stretches, [(0, 1, 2, Some(7)), (3, 3, 1, Some(8)), (4, 4, 1, None)]);
    }

    #[test]
    fn of_many_assessments_those_that_differ_are_kept() {
        let assessments =
            |replica: &str, status: &str| json!({"replica-id": replica, "status": status, "reason": status});
        let mut comparison = comparison();
        let acting = json!({"assessments": [assessments("a", "healthy"), assessments("b", "healthy")]});
        let shadow = json!({"assessments": [assessments("a", "healthy"), assessments("b", "unhealthy")]});
        comparison.note(Timestamp(0), None, &acting, &shadow);
        assert_eq!(comparison.differences[0].acting, json!({"assessments": [assessments("b", "healthy")]}));
        assert_eq!(comparison.differences[0].shadow, json!({"assessments": [assessments("b", "unhealthy")]}));
    }

    #[test]
    fn differences_of_many_replicas_with_long_reasons_stay_small() {
        let assessments = |status: &str, round: u64| {
            let of = |replica: u64| json!({"replica-id": format!("{replica}-{round}"), "status": status, "reason": "x".repeat(1_000)});
            json!({"assessments": (0..1_000).map(of).collect::<Vec<_>>()})
        };
        let mut comparison = comparison();
        for at in 0..4 {
            comparison.note(Timestamp(at), None, &assessments("healthy", at), &assessments("unhealthy", at));
        }
        let kept: Vec<_> = comparison.differences.iter().map(|difference| difference.first_at.0).collect();
        assert_eq!(kept, [3], "a difference of 100 assessments has more than 200 kB");
        assert_eq!(comparison.differences[0].shadow["assessments"].as_array().map(Vec::len), Some(ASSESSMENTS_KEPT));
        assert_eq!((comparison.calls, comparison.differed), (4, 4));
    }

    #[test]
    fn the_newest_differences_are_kept() {
        let mut comparison = comparison();
        for at in 0..=DIFFERENCES_KEPT as u64 {
            comparison.note(Timestamp(at), None, &wants(0, ""), &wants(1 + u32::try_from(at).unwrap(), ""));
        }
        assert_eq!((comparison.differences.len(), comparison.differences[0].first_at.0), (DIFFERENCES_KEPT, 1));
        assert_eq!(comparison.differed, 1 + DIFFERENCES_KEPT as u64);
    }
}
