//! Services of Compose: copies, their model, and waiting while Compose is at work.

use super::*;
use windlass_core::{ComposeHistory, Creator, Declaration, Generation, MadeFrom};

const LONG_AGO: u64 = NOW.0 - 3_600_000;

fn service(min: u32, max: u32) -> Workload {
    Workload {
        declaration: Declaration::Compose { project: "shop".to_owned(), service: "web".to_owned() },
        ..workload("web", min, max)
    }
}

fn made(creator: Creator, generation: &str, slot: u32, since: u64) -> Replica {
    let made_from =
        MadeFrom { generation: Some(Generation::stored(generation)), image_id: Some("sha256:01".to_owned()) };
    Replica { made_from, creator, ..running(&service(1, 9), slot, since) }
}

fn own(slot: u32) -> Replica {
    made(Creator::Compose { uncopyable: None }, "old", slot, LONG_AGO + u64::from(slot))
}

fn copy(slot: u32) -> Replica {
    made(Creator::Clone, "old", slot, LONG_AGO + 1_000 + u64::from(slot))
}

fn uncopyable(slot: u32) -> Replica {
    Replica { creator: Creator::Compose { uncopyable: Some("it has a port".to_owned()) }, ..own(slot) }
}

/// A pass over containers that were there in the pass before.
fn known(desired: &Workload, replicas: Vec<Replica>) -> Pass {
    let seen = replicas.iter().map(|replica| replica.id.clone()).collect();
    let health = replicas.iter().map(|replica| (replica.id.clone(), HealthStatus::Healthy)).collect();
    let mut pass = Pass::of(desired, replicas);
    pass.snapshot.health = health;
    pass.history.since = Some(Timestamp(LONG_AGO));
    pass.history.compose = Some(ComposeHistory { seen, ..ComposeHistory::default() });
    pass
}

#[test]
fn copies_are_removed_before_containers_of_compose_and_the_model_stays() {
    let mut pass = known(&service(0, 9), vec![own(1), own(2), copy(3), copy(4)]).steered_to(3);
    pass.snapshot.health.insert(copy(4).id, HealthStatus::Unhealthy);
    assert_eq!(removed(&pass.decide()), [copy(4).id.as_str()], "the copy that serves least");
    let mut ill_own = known(&service(0, 9), vec![own(1), own(2), copy(3)]).steered_to(2);
    ill_own.snapshot.health.insert(own(1).id, HealthStatus::Unhealthy);
    assert_eq!(removed(&ill_own.decide()), [copy(3).id.as_str()], "a copy goes before an ill container of Compose");
    let plan = known(&service(0, 9), vec![own(1), own(2), copy(3)]).steered_to(1).decide();
    assert_eq!(removed(&plan), [copy(3).id.as_str(), own(1).id.as_str()], "the newest of Compose is the model");
    let plan = known(&service(0, 9), vec![own(1), copy(2)]).steered_to(0).decide();
    assert_eq!((plan.target, removed(&plan)), (1, vec![copy(2).id.as_str()]));
    assert_eq!(plan.reason, "because; 1 container of Compose stays, because new replicas are copies of it");
}

#[test]
fn the_count_begins_with_what_runs_and_follows_compose_until_windlass_acts() {
    let desired = service(1, 9);
    let mut first = known(&desired, vec![own(1), own(2), own(3)]).steered_to(3);
    (first.history.since, first.history.compose, first.target) = (None, None, 1);
    let plan = first.decide();
    assert_eq!((plan.target, plan.steps), (3, vec![]));
    let mut recommends = known(&desired, vec![own(1), own(2)]).steered_to(5);
    recommends.desired.policies.mode = Some(Mode::Recommend);
    let plan = recommends.decide();
    assert_eq!((plan.target, plan.steps, plan.recommended.map(|it| it.target)), (2, vec![], Some(5)));
    // Only now it acts, and begins from the two that run.
    let mut acts = known(&desired, vec![own(1), own(2)]).steered_to(2);
    acts.history = plan.history;
    assert_eq!(acts.decide().steps, []);
}

#[test]
fn nothing_is_done_until_compose_has_left_the_service_alone() {
    let desired = service(1, 9);
    // `docker compose up` removed two copies and made its container anew.
    let mut pass = known(&desired, vec![own(1), copy(2), copy(3)]).steered_to(3);
    let anew = made(Creator::Compose { uncopyable: None }, "old", 1, NOW.0);
    pass.snapshot.replicas = vec![anew.clone()];
    pass.snapshot.health = [(anew.id.clone(), HealthStatus::Healthy)].into();
    let waits = pass.decide();
    assert_eq!((waits.target, waits.steps, waits.next_pass), (3, vec![], Some(Duration::from_secs(10))));
    assert_eq!(waits.reason, "because; no step is taken until Compose has left the service alone for 10 s");
    pass.history = waits.history;
    let later = Timestamp(NOW.0 + 6_000);
    let waits = pass.decide_at(later);
    assert_eq!((waits.steps, waits.next_pass), (vec![], Some(Duration::from_secs(4))));
    // It comes back and changes something again.
    let extra = made(Creator::Compose { uncopyable: None }, "old", 7, later.0);
    pass.snapshot.replicas.push(extra);
    pass.history = waits.history;
    let waits = pass.decide_at(later);
    assert_eq!((waits.steps, waits.next_pass), (vec![], Some(Duration::from_secs(10))));
    pass.snapshot.replicas.pop();
    pass.history = waits.history;
    let waits = pass.decide_at(later);
    assert_eq!(waits.steps, []);
    pass.history = waits.history;
    let plan = pass.decide_at(later.plus(Duration::from_secs(10)));
    assert_eq!((created_slots(&plan), plan.target), (vec![2, 3], 3), "the copies come back");
    assert!(plan.history.slots.values().all(|slot| slot.restarts == 0), "their end was no failure");
}

#[test]
fn a_container_that_compose_stops_is_not_replaced_meanwhile() {
    let stopping = Replica { phase: Phase::Stopping, ..copy(2) };
    let plan = known(&service(1, 9), vec![own(1), stopping]).steered_to(2).decide();
    assert_eq!(plan.steps, []);
    assert!(
        plan.reason.ends_with("no step is taken until Compose has left the service alone for 10 s"),
        "{}",
        plan.reason
    );
}

#[test]
fn own_changes_are_no_work_of_compose() {
    let mut pass = known(&service(1, 9), vec![own(1), copy(2)]).steered_to(1);
    let plan = pass.decide();
    assert_eq!(removed(&plan), [copy(2).id.as_str()]);
    pass.history = plan.history;
    pass.snapshot.replicas.pop();
    let pass_after = Pass { target: 2, scaling: proposes(2), ..pass };
    let plan = pass_after.decide();
    assert_eq!(created_slots(&plan), [2], "it does not wait for its own removal");
    let mut with_copy = pass_after;
    with_copy.history = plan.history;
    with_copy.snapshot.replicas.push(made(Creator::Clone, "old", 2, NOW.0));
    let plan = Pass { target: 3, scaling: proposes(3), ..with_copy }.decide();
    assert_eq!(created_slots(&plan), [3], "nor for its own copy");
}

#[test]
fn a_service_that_has_just_begun_is_left_until_compose_is_done() {
    let mut pass = known(&service(1, 9), vec![made(Creator::Compose { uncopyable: None }, "a", 1, NOW.0 - 1_000)]);
    (pass.history.since, pass.history.compose) = (None, None);
    let waits = pass.steered_to(4).decide();
    assert_eq!((waits.steps, waits.next_pass), (vec![], Some(Duration::from_secs(9))));
    assert_eq!(waits.history.since, None, "its count is taken over once Compose is done");
}

#[test]
fn what_cannot_be_copied_stays_at_its_count_and_is_still_repaired() {
    let pass = known(&service(1, 9), vec![uncopyable(1)]).steered_to(3);
    let plan = pass.decide();
    assert_eq!((plan.target, plan.steps, plan.held_by), (1, vec![], Some(HeldBy::Uncopyable)));
    assert_eq!(plan.reason, "held at 1: it has a port; otherwise 3: because");
    let alert = &plan.alerts[0];
    assert_eq!((alert.kind, alert.since), (AlertKind::Uncopyable, NOW));
    assert_eq!(alert.reason, "the service stays at its count, because it has a port");
    let mut ill = known(&service(1, 9), vec![uncopyable(1), own(2), uncopyable(3)]).steered_to(1);
    ill.health = says(&[(&own(2), Remedy::Replace)]);
    let plan = ill.decide();
    assert_eq!(plan.target, 3, "a count that it could not reach again");
    assert!(matches!(plan.steps.as_slice(), [Step::Restart { .. }]), "{:?}", plan.steps);
    assert_eq!(known(&service(1, 1), vec![uncopyable(1)]).decide().alerts, [], "it never needs a copy");
    // An empty slot is nobody's failure.
    let mut history = plan.history;
    for _ in 0..10 {
        let mut again = known(&service(3, 9), vec![uncopyable(1)]).steered_to(3);
        again.history.slots = history.slots;
        let plan = again.decide();
        assert_eq!((plan.steps, plan.alerts.len()), (vec![], 1));
        history = plan.history;
    }
}

#[test]
fn without_a_container_of_compose_nothing_is_created() {
    let mut pass = known(&service(2, 9), vec![copy(2)]).steered_to(2);
    let plan = pass.decide();
    assert_eq!((plan.steps, plan.target), (vec![], 2));
    assert!(
        plan.reason.ends_with("; no container of Compose is left, so no replica is created; run `docker compose up`")
    );
    pass.health = says(&[(&copy(2), Remedy::Replace)]);
    assert!(matches!(pass.decide().steps.as_slice(), [Step::Restart { .. }]));
}

#[test]
fn a_replacement_starts_in_another_slot_before_the_broken_one_goes() {
    let mut pass = known(&service(1, 9), vec![own(1), copy(2)]).steered_to(2);
    pass.health = says(&[(&copy(2), Remedy::Replace)]);
    let plan = pass.decide();
    let Some(Step::Supersede { replica, slot: Slot(3), .. }) = plan.steps.first() else { panic!("{:?}", plan.steps) };
    assert_eq!((replica, plan.steps.len()), (&copy(2).id, 1));
    assert_eq!(plan.history.slots[&Slot(3)].restarts, 1, "the new one continues the count of repairs");
    assert!(plan.history.compose.is_some_and(|compose| compose.leaving.contains(&copy(2).id)));
    // The model is only restarted: without it no copy can be made.
    pass.health = says(&[(&own(1), Remedy::Replace)]);
    assert!(matches!(pass.decide().steps.as_slice(), [Step::Restart { .. }]));
    // A missing replica and a replacement do not get the same slot.
    let mut pass = known(&service(1, 9), vec![own(1), copy(2)]).steered_to(3);
    pass.health = says(&[(&copy(2), Remedy::Replace)]);
    let plan = pass.decide();
    let superseding = plan.steps.iter().any(|step| matches!(step, Step::Supersede { slot: Slot(3), .. }));
    assert_eq!((superseding, created_slots(&plan)), (true, vec![4]));
}

#[test]
fn a_process_that_ended_is_first_started_again_in_its_container() {
    let ended = exited(copy(2), 137);
    let mut pass = known(&service(1, 9), vec![own(1), ended.clone()]).steered_to(2);
    pass.health = says(&[(&ended, Remedy::Replace)]);
    let plan = pass.decide();
    assert!(
        matches!(plan.steps.as_slice(), [Step::Restart { replica, .. }] if *replica == ended.id),
        "{:?}",
        plan.steps
    );
    pass.history = plan.history;
    pass.settings.backoff_base = Duration::ZERO;
    let plan = pass.decide();
    assert!(
        matches!(plan.steps.as_slice(), [Step::Supersede { replica, .. }] if *replica == ended.id),
        "{:?}",
        plan.steps
    );
}

#[test]
fn a_container_that_compose_only_created_is_not_started() {
    let created = Replica { phase: Phase::Starting, started_at: None, ..own(1) };
    assert_eq!(known(&service(1, 9), vec![created.clone()]).decide().steps, []);
    // Nor are copies of it, which would run.
    let plan = known(&service(3, 9), vec![created]).steered_to(3).decide();
    assert_eq!((plan.target, plan.steps, plan.alerts), (3, vec![], vec![]));
    assert_eq!(plan.reason, "because; no replica is created until Compose has started its newest container");
}

#[test]
fn copies_follow_the_newest_container_of_compose_a_share_at_a_time() {
    let anew = made(Creator::Compose { uncopyable: None }, "new", 1, LONG_AGO + 5_000);
    let kept = own(2);
    let mut pass = known(&service(1, 9), vec![kept.clone(), copy(3), copy(4), anew.clone()]).steered_to(4);
    assert_eq!(pass.desired.outdated(&pass.snapshot.replicas), [copy(3).id, copy(4).id].into());
    let plan = pass.decide();
    assert_eq!((created_slots(&plan), removed(&plan)), (vec![5], vec![]), "one starts before an old one goes");
    let mut now = NOW;
    for _ in 0..8 {
        let plan = pass.decide_at(now);
        for step in &plan.steps {
            match step {
                Step::Create { slot, .. } => {
                    let new = made(Creator::Clone, "new", slot.0, now.0);
                    pass.snapshot.health.insert(new.id.clone(), HealthStatus::Healthy);
                    pass.snapshot.replicas.push(new);
                }
                Step::Remove { replica, .. } => pass.snapshot.replicas.retain(|known| known.id != *replica),
                other => panic!("{other:?}"),
            }
        }
        assert!((4..=5).contains(&pass.snapshot.replicas.len()), "{:?}", pass.snapshot.replicas);
        pass.history = plan.history;
        now = now.plus(Duration::from_secs(20));
    }
    let of_compose = |replica: &&Replica| replica.is_of_compose();
    let (own, copies): (Vec<&Replica>, Vec<&Replica>) = pass.snapshot.replicas.iter().partition(of_compose);
    assert_eq!(own, [&kept, &anew], "Compose renews its own containers");
    let generations: Vec<_> = copies.iter().filter_map(|copy| copy.made_from.generation.as_ref()).collect();
    assert_eq!(generations, [&Generation::stored("new"), &Generation::stored("new")]);
    assert_eq!(pass.history.rollout, None, "it is over");
}
