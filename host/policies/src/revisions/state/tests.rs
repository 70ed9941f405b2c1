//! The state machine alone: each event, the order of its effects, and invariants over any sequence of events.

use super::*;
use proptest::prelude::*;
use windlass_core::policy::catalogue::Source;

const AT: Timestamp = Timestamp(7);

fn revision(state: &State, reset_memory: bool) -> RevisionInfo {
    let (number, memory_since) = state.next_revision(reset_memory);
    RevisionInfo {
        number,
        digest: format!("sha256:{number}"),
        size_bytes: 1,
        described_name: "queue".to_owned(),
        version: "1.0.0".to_owned(),
        loaded_at: AT,
        loaded_by: "ada".to_owned(),
        source: Source::Upload,
        memory_since,
        acted: false,
        proved: false,
        quarantined: None,
    }
}

fn push(state: &State) -> Event {
    Event::Pushed(Push { revision: revision(state, false), as_candidate: false, delivered: None, keep: 10 })
}

fn push_candidate(state: &State) -> Event {
    Event::Pushed(Push { revision: revision(state, false), as_candidate: true, delivered: None, keep: 10 })
}

fn passed(revision: u32) -> Event {
    Event::ProbationPassed { revision, calls: 20, failures: 0, at: AT }
}

fn failed(revision: u32) -> Event {
    let last = "trap: unreachable".to_owned();
    Event::ProbationFailed { revision, calls: 3, failures: 3, last, kind: PolicyKind::Scaling, at: AT }
}

/// The state after events that are each made for the state they meet.
fn after(events: &[&dyn Fn(&State) -> Event]) -> State {
    events.iter().fold(State::default(), |state, event| apply(&state, event(&state)).0)
}

fn roles(state: &State) -> (Option<u32>, Option<u32>, Option<u32>) {
    (state.acting, state.fallback, state.candidate)
}

fn last(state: &State) -> &str {
    &state.events.last().expect("something happened").what
}

/// Names of the effects, in order.
fn order(effects: &[Effect]) -> Vec<&'static str> {
    let name = |effect: &Effect| match effect {
        Effect::Store => "store",
        Effect::BeginProbation { .. } => "begin probation",
        Effect::Publish => "publish",
        Effect::Log { .. } => "log",
    };
    effects.iter().map(name).collect()
}

#[test]
fn a_push_is_stored_before_it_acts() {
    let (state, effects) = apply(&State::default(), push(&State::default()));
    assert_eq!((roles(&state), last(&state)), ((Some(1), None, None), "pushed by ada; it acts"));
    assert_eq!(order(&effects), ["store", "begin probation", "publish", "log"]);
    let (state, effects) = apply(&state, push_candidate(&state));
    assert_eq!((roles(&state), last(&state)), ((Some(1), None, Some(2)), "pushed as the candidate by ada"));
    assert_eq!(order(&effects), ["store", "publish", "log"]);
    // The candidate was compared with revision 1.
    let state = apply(&state, push(&state)).0;
    assert_eq!(roles(&state), (Some(3), Some(1), None));
    assert!(!state.revision(2).expect("it is kept").acted);
}

#[test]
fn a_promoted_candidate_acts_and_a_revision_that_may_not_act_is_not_promoted() {
    let promote = |revision| Event::Promoted { revision, at: AT };
    let state = after(&[&push, &push_candidate]);
    let (promoted, effects) = apply(&state, promote(2));
    assert_eq!((roles(&promoted), last(&promoted)), ((Some(2), Some(1), None), "promoted; it acts"));
    assert_eq!(order(&effects), ["store", "begin probation", "publish", "log"]);
    assert_eq!(apply(&promoted, promote(2)), (promoted.clone(), Vec::new()), "it acts already");
    assert_eq!(apply(&promoted, promote(9)), (promoted.clone(), Vec::new()), "there is none");
    let quarantined = apply(&promoted, failed(2)).0;
    assert_eq!(apply(&quarantined, promote(2)), (quarantined.clone(), Vec::new()));
}

#[test]
fn a_failed_probation_stops_the_revision_before_it_is_stored() {
    let state = after(&[&push, &push]);
    let (state, effects) = apply(&state, failed(2));
    assert_eq!(roles(&state), (Some(1), None, None));
    assert_eq!(order(&effects), ["begin probation", "publish", "log", "store"]);
    let why = "3 of its first 3 calls failed, the last one: trap: unreachable";
    assert_eq!(state.revision(2).and_then(|revision| revision.quarantined.as_deref()), Some(why));
    assert_eq!(last(&state), format!("failed its probation and is quarantined: {why}; revision 1 acts again"));
    let (state, effects) = apply(&state, failed(1));
    assert_eq!((roles(&state), order(&effects)), ((None, None, None), vec!["publish", "log", "store"]));
    assert!(last(&state).ends_with("; the built-in scaling policy takes its place"), "{}", last(&state));
    // A late outcome of a revision that does not act changes nothing.
    assert_eq!(apply(&state, failed(2)), (state.clone(), Vec::new()));
}

#[test]
fn a_passed_probation_makes_the_revision_the_fallback_of_unproved_ones() {
    let state = after(&[&push, &|_| passed(1), &push, &push]);
    assert_eq!(roles(&state), (Some(3), Some(1), None), "revision 2 is not proved");
    assert!(state.revision(1).is_some_and(|revision| revision.proved));
    let (state, effects) = apply(&state, passed(3));
    assert_eq!(
        (last(&state), order(&effects)),
        ("passed its probation: 0 of its first 20 calls failed", vec!["log", "store"])
    );
    // A proved revision acts again without a probation.
    let state = apply(&state, push(&state)).0;
    let (_, effects) = apply(&state, Event::RolledBack { revision: 3, fallback: None, at: AT });
    assert!(effects.contains(&Effect::BeginProbation { revision: 3, is_proved: true }), "{effects:?}");
}

#[test]
fn a_rollback_names_the_revision_that_it_comes_from() {
    let state = after(&[&push, &push, &push]);
    let eligible: Vec<u32> = state.eligible_before(state.acting).iter().map(|revision| revision.number).collect();
    assert_eq!(eligible, [2, 1]);
    let (state, effects) = apply(&state, Event::RolledBack { revision: 2, fallback: Some(1), at: AT });
    assert_eq!((roles(&state), last(&state)), ((Some(2), Some(1), None), "rolled back from revision 3; it acts"));
    assert_eq!(order(&effects), ["store", "begin probation", "publish", "log"]);
    let failed = after(&[&push, &|_| failed(1)]);
    assert!(failed.eligible_before(None).is_empty());
}

#[test]
fn an_outcome_that_arrives_while_a_push_is_written_is_kept() {
    let before = after(&[&push, &push]);
    let pushed = push(&before);
    // The write is planned with this state, and revision 2 fails before the write is done.
    assert_eq!(apply(&before, pushed.clone()).0.fallback, Some(2));
    let meanwhile = apply(&before, failed(2)).0;
    let state = apply(&meanwhile, pushed).0;
    assert_eq!(roles(&state), (Some(3), Some(1), None));
    assert!(state.revision(2).is_some_and(|revision| revision.quarantined.is_some()));
    let told: Vec<&str> = state.events.iter().rev().take(2).map(|event| event.what.as_str()).collect();
    assert!(told[0].starts_with("pushed by ada") && told[1].starts_with("failed its probation"), "{told:?}");
}

#[test]
fn a_revision_that_did_not_load_is_quarantined_or_deferred() {
    let stored = State { deferred: Some(2), acting: None, fallback: None, ..after(&[&push, &push]) };
    let restored = |is_final, acting| {
        let events = [
            Event::LoadFailed { revision: 2, why: "too slow".to_owned(), is_final, at: AT },
            Event::Restored { acting, fallback: None, candidate: None },
        ];
        apply_all(&stored, &events).0
    };
    let slow = restored(false, Some(1));
    assert_eq!(
        (slow.acting, slow.deferred, last(&slow)),
        (Some(1), Some(2), "passed over: it did not load this time: too slow")
    );
    assert_eq!(apply(&slow, push(&slow)).0.deferred, None, "another revision was chosen");
    let altered = restored(true, Some(1));
    assert_eq!((altered.acting, altered.deferred), (Some(1), None));
    assert_eq!(last(&altered), "quarantined: it cannot be loaded any more: too slow");
    let loaded = apply(&stored, Event::Restored { acting: Some(2), fallback: Some(1), candidate: None }).0;
    assert_eq!((roles(&loaded), loaded.deferred), ((Some(2), Some(1), None), None));
}

#[test]
fn memory_is_inherited_from_the_acting_revision_unless_it_is_reset() {
    let state = after(&[&push, &push]);
    assert_eq!((state.next_revision(false), state.next_revision(true)), ((3, 0), (3, 3)));
    let reset =
        Event::Pushed(Push { revision: revision(&state, true), as_candidate: false, delivered: None, keep: 10 });
    let state = apply(&state, reset).0;
    assert_eq!((state.next_revision(false), last(&state)), ((4, 3), "pushed by ada, with empty memory; it acts"));
    let state = apply(&state, Event::RolledBack { revision: 2, fallback: None, at: AT }).0;
    assert_eq!(state.next_revision(false), (4, 0));
}

#[test]
fn a_delivery_is_recorded_and_kept_over_later_pushes() {
    let delivered = Taken { from: "the file queue.wasm".to_owned(), digest: "sha256:1".to_owned() };
    let state = after(&[&push]);
    assert!(state.is_in_use("sha256:1", false) && !state.is_in_use("sha256:1", true));
    let (state, effects) = apply(&state, Event::Delivered(delivered.clone()));
    assert_eq!(order(&effects), ["store"]);
    assert_eq!(apply(&state, push(&state)).0.delivered, Some(delivered));
}

/// A step of a random history; the numbers choose among the revisions.
#[derive(Debug, Clone)]
enum Step {
    Push { as_candidate: bool, keep: u32 },
    Promote(u32),
    RollBack,
    Pass(u32),
    Fail(u32),
    LoadFails(u32, bool),
    Restart { loads: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 1..5_u32).prop_map(|(as_candidate, keep)| Step::Push { as_candidate, keep }),
        1 => (1..12_u32).prop_map(Step::Promote),
        1 => Just(Step::RollBack),
        1 => (1..12_u32).prop_map(Step::Pass),
        2 => (1..12_u32).prop_map(Step::Fail),
        1 => (1..12_u32, any::<bool>()).prop_map(|(revision, is_final)| Step::LoadFails(revision, is_final)),
        1 => any::<bool>().prop_map(|loads| Step::Restart { loads }),
    ]
}

/// The event of a step, made as the owner makes it, and the state that it meets.
fn event(state: &State, step: &Step) -> (State, Event) {
    let event = match *step {
        Step::Push { as_candidate, keep } => {
            Event::Pushed(Push { revision: revision(state, false), as_candidate, delivered: None, keep })
        }
        Step::Promote(revision) => Event::Promoted { revision, at: AT },
        Step::RollBack => {
            let mut eligible = state.eligible_before(state.acting).into_iter().map(|revision| revision.number);
            let revision = eligible.next().unwrap_or(99);
            Event::RolledBack { revision, fallback: eligible.next(), at: AT }
        }
        Step::Pass(revision) => passed(revision),
        Step::Fail(revision) => failed(revision),
        // The owner loads only revisions that are not loaded.
        Step::LoadFails(revision, is_final) => {
            let is_final = is_final && !state.is_needed(revision);
            Event::LoadFailed { revision, why: "damaged".to_owned(), is_final, at: AT }
        }
        Step::Restart { loads } => {
            let stored =
                State { deferred: state.deferred.or(state.acting), acting: None, fallback: None, ..state.clone() };
            let eligible = stored.eligible_before(stored.deferred.map(|acting| acting + 1));
            let mut loaded = eligible.into_iter().filter(|_| loads).map(|revision| revision.number);
            let event = Event::Restored { acting: loaded.next(), fallback: loaded.next(), candidate: stored.candidate };
            return (State { candidate: None, ..stored }, event);
        }
    };
    (state.clone(), event)
}

proptest! {
    #[test]
    fn invariants_hold_after_any_history(steps in prop::collection::vec(step(), 1..60)) {
        let mut state = State::default();
        for step in steps {
            let (before, event) = event(&state, &step);
            let (next, effects) = apply(&before, event.clone());
            let in_use = [next.acting, next.fallback, next.candidate, next.deferred];
            for number in in_use.into_iter().flatten() {
                let revision = next.revision(number);
                prop_assert!(revision.is_some(), "revision {number} is in use and was dropped");
                prop_assert!(revision.is_some_and(|it| it.quarantined.is_none()), "revision {number} is quarantined");
            }
            for number in [next.acting, next.fallback].into_iter().flatten() {
                prop_assert!(next.revision(number).is_some_and(|revision| revision.acted));
                prop_assert_ne!(Some(number), next.candidate, "a candidate does not act until it is promoted");
            }
            prop_assert!(next.acting.is_none() || next.acting != next.fallback);
            prop_assert!(next.revisions.is_sorted_by_key(|revision| revision.number));
            prop_assert!(next.events.len() <= EVENTS_KEPT);
            // A revision that starts to act is stored first, except one that replaces a failed revision.
            let publishes = effects.iter().position(|effect| *effect == Effect::Publish);
            let stores = effects.iter().position(|effect| *effect == Effect::Store);
            match event {
                Event::Pushed(_) | Event::Promoted { .. } | Event::RolledBack { .. } => prop_assert!(stores <= publishes),
                Event::ProbationFailed { .. } => prop_assert!(publishes <= stores),
                _ => {}
            }
            // A quarantine is final.
            for revision in before.revisions.iter().filter(|revision| revision.quarantined.is_some()) {
                let kept = next.revision(revision.number);
                prop_assert!(kept.is_none_or(|kept| kept.quarantined.is_some()));
            }
            // The effects name every change of the roles.
            if (before.acting, before.candidate) != (next.acting, next.candidate) {
                prop_assert!(publishes.is_some(), "{event:?}");
            }
            state = next;
        }
    }
}
