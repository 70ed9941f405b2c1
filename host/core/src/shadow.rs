//! What shadow policies would have said: how often that differed from what the acting ones said, and where.

use crate::{PolicyIdentity, PolicyKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Differences kept of one shadow; the oldest go first.
pub const DIFFERENCES_KEPT: usize = 100;

/// One shadow of a workload: a policy that is asked what the acting one is asked, and never acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowComparison {
    /// What it is asked.
    pub kind: PolicyKind,
    /// Who is asked.
    pub policy: PolicyIdentity,
    /// What it is told, JSON text.
    pub config: String,
    /// When it was first asked.
    pub since: Timestamp,
    /// When it was last asked.
    pub last_at: Timestamp,
    /// How often it was asked.
    pub calls: u64,
    /// How often its answer was another than the acting policy's.
    pub differed: u64,
    /// How often it gave no answer.
    pub failed: u64,
    /// Passes it was not asked about, since it was still busy with an earlier one.
    pub skipped: u64,
    /// Bytes it returned last time.
    pub memory: Vec<u8>,
    /// Where it differed, oldest first.
    pub differences: VecDeque<Difference>,
}

/// One stretch of passes in which a shadow differed in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// How many.
    pub times: u64,
    /// The decision of the first, where one was recorded.
    pub decision: Option<i64>,
    /// What the acting policy answered then: `{"replicas", "reason"}`, `{"assessments": […]}` of the replicas it is
    /// about, or `{"unavailable": {"kind", "reason"}}`.
    pub acting: Value,
    /// What the shadow answered, in the same form.
    pub shadow: Value,
}

impl ShadowComparison {
    /// A shadow that was never asked.
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

    /// Counts one call, with both answers in the form of [`Difference`].
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
    }
}

/// Whether two answers come to something else. Their reasons do not matter, nor why one is unavailable: the
/// replicas stay either way.
pub fn differ(one: &Value, other: &Value) -> bool {
    essence(one) != essence(other)
}

/// `one` without the assessments that `other` comes to as well: of many replicas few differ.
fn without_common(one: &Value, other: &Value) -> Value {
    let (Some(Value::Array(said)), Some(Value::Array(others))) = (one.get("assessments"), other.get("assessments"))
    else {
        return one.clone();
    };
    let own = said.iter().filter(|assessment| others.iter().all(|other| differ(assessment, other)));
    json!({"assessments": own.collect::<Vec<_>>()})
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

    fn tally() -> ShadowComparison {
        ShadowComparison::new(PolicyKind::Scaling, PolicyIdentity::default(), "{}".to_owned(), Timestamp(0))
    }

    fn wants(replicas: u32, reason: &str) -> Value {
        json!({"replicas": replicas, "reason": reason})
    }

    #[test]
    fn reasons_and_kinds_of_failure_are_no_difference() {
        assert!(!differ(&wants(2, "a"), &wants(2, "b")));
        assert!(differ(&wants(2, "a"), &wants(3, "a")));
        let silent = |kind: &str| json!({"unavailable": {"kind": kind, "reason": "x"}});
        assert!(!differ(&silent("trap"), &silent("time")));
        assert!(differ(&silent("trap"), &wants(2, "a")));
        let said = |status: &str, reason: &str| json!({"assessments": [{"replica-id": "a", "status": status, "reason": reason}]});
        assert!(!differ(&said("healthy", "x"), &said("healthy", "y")));
        assert!(differ(&said("healthy", "x"), &said("unhealthy", "x")));
    }

    #[test]
    fn a_stretch_of_the_same_difference_is_one_entry() {
        let mut tally = tally();
        tally.note(Timestamp(0), Some(7), &wants(2, "a"), &wants(3, "b"));
        tally.note(Timestamp(1), None, &wants(2, "c"), &wants(3, "d"));
        tally.note(Timestamp(2), None, &wants(3, "c"), &wants(3, "d"));
        tally.note(Timestamp(3), Some(8), &wants(2, "e"), &wants(3, "f"));
        tally.note(Timestamp(4), None, &wants(2, "e"), &json!({"unavailable": {"kind": "trap", "reason": "x"}}));
        assert_eq!((tally.calls, tally.differed, tally.failed), (5, 4, 1));
        let stretches: Vec<_> =
            tally.differences.iter().map(|one| (one.first_at.0, one.last_at.0, one.times, one.decision)).collect();
        assert_eq!(stretches, [(0, 1, 2, Some(7)), (3, 3, 1, Some(8)), (4, 4, 1, None)]);
    }

    #[test]
    fn of_many_assessments_those_that_differ_are_kept() {
        let said = |replica: &str, status: &str| json!({"replica-id": replica, "status": status, "reason": status});
        let mut tally = tally();
        let acting = json!({"assessments": [said("a", "healthy"), said("b", "healthy")]});
        let shadow = json!({"assessments": [said("a", "healthy"), said("b", "unhealthy")]});
        tally.note(Timestamp(0), None, &acting, &shadow);
        assert_eq!(tally.differences[0].acting, json!({"assessments": [said("b", "healthy")]}));
        assert_eq!(tally.differences[0].shadow, json!({"assessments": [said("b", "unhealthy")]}));
    }

    #[test]
    fn the_newest_differences_are_kept() {
        let mut tally = tally();
        for at in 0..=DIFFERENCES_KEPT as u64 {
            tally.note(Timestamp(at), None, &wants(0, ""), &wants(1 + u32::try_from(at).unwrap(), ""));
        }
        assert_eq!((tally.differences.len(), tally.differences[0].first_at.0), (DIFFERENCES_KEPT, 1));
        assert_eq!(tally.differed, 1 + DIFFERENCES_KEPT as u64);
    }
}
