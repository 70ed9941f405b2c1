//! Tests of the circuit breaker.

use super::*;

const MINUTE: u64 = 60_000;

fn breaker(trial_calls: u32, trial_failures: u32) -> Breaker {
    Breaker::new(&PolicyLimits { trial_calls, trial_failures, failures_in_row: 3, ..PolicyLimits::default() })
}

fn failure(kind: FailureKind) -> PolicyFailure {
    PolicyFailure::new(kind, "unreachable")
}

fn only_use(workload: &str) -> Use {
    Use { workload: workload.to_owned(), earlier: 0 }
}

/// Counts a decision for a workload at this time, and returns the changes.
fn decide(breaker: &Breaker, workload: &str, kind: Option<FailureKind>, now: u64) -> Vec<Change> {
    breaker.count(&only_use(workload), Call::Decide, kind.map(failure).as_ref(), Timestamp(now))
}

/// The state for the workload `web`, as a word.
fn word(breaker: &Breaker, now: u64) -> &'static str {
    match breaker.state(&only_use("web"), Timestamp(now)) {
        State::Closed => "closed",
        State::Open(_) => "open",
        State::HalfOpen(_) => "half-open",
    }
}

#[test]
fn enough_failures_or_enough_calls_end_a_trial_once() {
    let breaker = breaker(4, 2);
    let count = |calls: &[bool]| {
        let kinds = calls.iter().map(|is_good| (!is_good).then_some(FailureKind::Trap));
        let changes = kinds.flat_map(|kind| breaker.trial.count(kind.map(failure).as_ref()));
        changes
            .map(|change| match change {
                Change::Failed { calls, failures, .. } => (calls, failures, true),
                Change::Passed { calls, failures } => (calls, failures, false),
                other => panic!("a trial does not cause {other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(count(&[true, false, false, false]), [(3, 2, true)]);
    breaker.begin(false);
    assert_eq!(count(&[false, true, true, true, false, false]), [(4, 1, false)]);
    breaker.begin(true);
    assert_eq!(count(&[false, false, false]), []);
}

#[test]
fn failures_in_a_row_open_it_for_their_workload_alone() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    for _ in 0..2 {
        assert_eq!(decide(&breaker, "web", Some(FailureKind::Trap), 0), []);
    }
    // An answer starts the count again, and another workload has a count of its own.
    assert_eq!(decide(&breaker, "web", None, 0), []);
    for now in 1..=2 {
        assert_eq!(decide(&breaker, "web", Some(FailureKind::Trap), now), []);
        assert_eq!(decide(&breaker, "shop", None, now), []);
    }
    assert_eq!(word(&breaker, 2), "closed");
    let changes = decide(&breaker, "web", Some(FailureKind::Time), 3);
    let [Change::Opened { workload, failing, is_first: true }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((workload.as_str(), failing.failures, failing.since), ("web", 3, Timestamp(1)));
    assert_eq!((failing.last.kind, failing.retry_at), (FailureKind::Time, Some(Timestamp(3 + MINUTE))));
    assert_eq!(word(&breaker, 4), "open");
    assert_eq!(breaker.state(&only_use("shop"), Timestamp(4)), State::Closed);
    assert_eq!(breaker.open().len(), 1);
}

#[test]
fn it_is_tried_again_with_doubling_waits_and_closes_with_an_answer() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    let mut now = 0;
    for _ in 0..3 {
        decide(&breaker, "web", Some(FailureKind::Trap), now);
    }
    for wait in [1, 2, 4, 8, 16, 32, 60, 60].map(|minutes| minutes * MINUTE) {
        assert_eq!((word(&breaker, now + wait - 1), word(&breaker, now + wait)), ("open", "half-open"));
        now += wait;
        // A failed attempt is no news: it was open before.
        assert_eq!(decide(&breaker, "web", Some(FailureKind::Trap), now), []);
    }
    // A clock that is set back does not prolong the wait.
    assert_eq!(word(&breaker, now - 1), "half-open");
    // A policy that was not called is tried again. A policy that lacks facts has answered.
    assert_eq!(decide(&breaker, "web", Some(FailureKind::Busy), now), []);
    assert_eq!(word(&breaker, now), "open");
    assert_eq!(decide(&breaker, "web", Some(FailureKind::InsufficientData), now), [closed()]);
    assert_eq!((word(&breaker, now), breaker.open().len()), ("closed", 0));
}

fn closed() -> Change {
    Change::Closed { workload: "web".to_owned(), is_last: true }
}

#[test]
fn the_first_workload_that_opens_it_and_the_last_that_closes_it_are_told_apart() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    let open = |workload| {
        let changes = (0..3).flat_map(|_| decide(&breaker, workload, Some(FailureKind::Trap), 0));
        changes.map(|change| matches!(change, Change::Opened { is_first: true, .. })).collect::<Vec<_>>()
    };
    let close = |workload| {
        let changes = decide(&breaker, workload, None, 0).into_iter();
        changes.map(|change| matches!(change, Change::Closed { is_last: true, .. })).collect::<Vec<_>>()
    };
    assert_eq!((open("web"), open("shop")), (vec![true], vec![false]));
    assert_eq!((close("web"), close("shop")), (vec![false], vec![true]));
}

#[test]
fn a_policy_that_decides_and_fails_to_protect_opens_it_too() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    let web = only_use("web");
    let protect =
        |kind: Option<FailureKind>| breaker.count(&web, Call::Protect, kind.map(failure).as_ref(), Timestamp(0)).len();
    for opened in [0, 0, 1] {
        assert_eq!(decide(&breaker, "web", None, 0), []);
        assert_eq!(protect(Some(FailureKind::Trap)), opened);
    }
    assert_eq!((word(&breaker, 0), word(&breaker, MINUTE)), ("open", "half-open"));
    assert_eq!(protect(None), 1);
    assert_eq!(word(&breaker, 0), "closed");
}

#[test]
fn each_use_of_a_policy_in_a_workload_has_a_count_of_its_own() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    let (fails, answers) = (only_use("web"), Use { workload: "web".to_owned(), earlier: 1 });
    let trap = failure(FailureKind::Trap);
    let mut opened = Vec::new();
    for now in 0..3 {
        opened.extend(breaker.count(&fails, Call::Decide, Some(&trap), Timestamp(now)));
        assert_eq!(breaker.count(&answers, Call::Decide, None, Timestamp(now)), []);
    }
    assert!(matches!(&opened[..], [Change::Opened { is_first: true, .. }]), "{opened:?}");
    assert_eq!((word(&breaker, 3), breaker.state(&answers, Timestamp(3))), ("open", State::Closed));
    assert_eq!(breaker.open().len(), 1);
}

#[test]
fn workloads_that_are_gone_are_forgotten() {
    let breaker = breaker(1, 1);
    breaker.begin(true);
    for number in 0..100 {
        decide(&breaker, &format!("gone-{number}"), Some(FailureKind::Trap), 0);
    }
    decide(&breaker, "web", Some(FailureKind::Trap), 3 * 60 * MINUTE);
    assert_eq!(breaker.failing.lock().len(), 1);
}
