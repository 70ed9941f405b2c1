//! Failures whose cause lies outside of a replica: the engine refuses, a name is taken, a removal fails.

use super::*;

fn not_filled(slot: u32, error: &str, is_name_taken: bool) -> Failure {
    Failure::NotFilled { slot: Slot(slot), error: error.to_owned(), is_name_taken }
}

fn seconds(count: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(count))
}

fn alerts(plan: &Plan) -> Vec<AlertKind> {
    plan.alerts.iter().map(|alert| alert.kind).collect()
}

#[test]
fn a_create_that_failed_is_tried_again_with_backoff() {
    let mut pass = Pass::of(&workload("web", 1, 1), vec![]);
    pass.history = pass.decide().history;
    remember_failures(&mut pass.history, &[not_filled(1, "no space left on device", false)], NOW);
    let base = pass.settings.backoff_base.as_secs();
    let waiting = pass.decide_at(seconds(base - 1));
    assert_eq!((created_slots(&waiting), waiting.next_pass), (vec![], Some(Duration::from_secs(1))));
    assert!(waiting.deferred[0].reason.contains("no space left on device"), "{:?}", waiting.deferred);
    assert_eq!(created_slots(&pass.decide_at(seconds(base))), [1]);
}

#[test]
fn what_the_engine_refuses_for_days_is_never_given_up() {
    let mut pass = Pass::of(&workload("web", 1, 1), vec![]);
    let longest = pass.settings.backoff_max;
    let mut now = NOW;
    for tries in 1..=100 {
        let plan = pass.decide_at(now);
        assert_eq!(created_slots(&plan), [1], "attempt {tries}");
        assert_eq!(alerts(&plan), if tries > 3 { vec![AlertKind::Blocked] } else { vec![] }, "attempt {tries}");
        pass.history = plan.history;
        remember_failures(&mut pass.history, &[not_filled(1, "toomanyrequests", false)], now);
        now = now.plus(longest);
    }
    assert_eq!(pass.history.slots[&Slot(1)], SlotHistory::default(), "nothing ran, so nothing was restarted");
    assert_eq!(pass.history.blocked[&Slot(1)].since, NOW);
    // The cause has ended, and the next attempt has succeeded.
    pass.snapshot.replicas = vec![running(&pass.desired, 1, now.0)];
    let plan = pass.decide_at(now);
    assert_eq!((alerts(&plan), plan.history.blocked.len()), (vec![], 0));
}

#[test]
fn a_restart_that_the_engine_refuses_counts_once_towards_giving_up() {
    let desired = workload("web", 1, 1);
    let ended = exited(running(&desired, 1, 1_000), 1);
    let mut pass = Pass::of(&desired, vec![ended.clone()]);
    pass.health = says(&[(&ended, Remedy::Restart)]);
    let mut now = NOW;
    for _ in 0..20 {
        let plan = pass.decide_at(now);
        assert_eq!(healed(&plan), 1);
        pass.history = plan.history;
        remember_failures(&mut pass.history, &[not_filled(1, "network front not found", false)], now);
        now = now.plus(pass.settings.backoff_max);
    }
    assert_eq!(pass.history.slots[&Slot(1)].restarts, 1);
}

#[test]
fn a_slot_whose_name_is_taken_is_left_out_for_a_while() {
    let mut pass = Pass::of(&workload("web", 2, 2), vec![]);
    pass.history = pass.decide().history;
    remember_failures(&mut pass.history, &[not_filled(1, "the name `web-1` belongs to container ab12", true)], NOW);
    pass.snapshot.replicas = vec![running(&pass.desired, 2, NOW.0)];
    let plan = pass.decide_at(seconds(1));
    assert_eq!(created_slots(&plan), [3]);
    assert_eq!(alerts(&plan), [AlertKind::Blocked]);
    assert!(plan.alerts[0].reason.contains("container ab12"), "{:?}", plan.alerts);
    // The other container is gone, perhaps: the slot is tried again if a replica is missing then.
    let later = NOW.plus(pass.settings.backoff_max);
    assert_eq!(created_slots(&pass.decide_at(later)), [1]);
}

#[test]
fn a_replica_that_cannot_be_removed_counts_no_more() {
    let desired = workload("web", 2, 2);
    let there = replicas(&desired, 2);
    let mut pass = Pass::of(&desired, there.clone());
    let failure = Failure::NotRemoved { replica: there[0].id.clone(), error: "device or resource busy".to_owned() };
    remember_failures(&mut pass.history, std::slice::from_ref(&failure), NOW);
    pass.snapshot.unremovable = [there[0].id.clone()].into();
    let plan = pass.decide_at(seconds(1));
    assert_eq!((created_slots(&plan), removed(&plan)), (vec![3], vec![]));
    assert_eq!(alerts(&plan), [AlertKind::Unremovable]);
    assert!(plan.alerts[0].reason.contains("device or resource busy"), "{:?}", plan.alerts);
    // Removal is tried again, and the wait doubles.
    pass.snapshot.replicas.push(running(&desired, 3, NOW.0));
    let mut now = NOW.plus(pass.settings.backoff_base);
    assert_eq!(removed(&pass.decide_at(now)), [there[0].id.as_str()]);
    remember_failures(&mut pass.history, &[failure], now);
    now = now.plus(pass.settings.backoff_base);
    assert_eq!(removed(&pass.decide_at(now)), Vec::<&str>::new());
    now = now.plus(pass.settings.backoff_base);
    assert_eq!(removed(&pass.decide_at(now)), [there[0].id.as_str()]);
    // It is gone.
    pass.snapshot.replicas.remove(0);
    let plan = pass.decide_at(now);
    assert_eq!((alerts(&plan), plan.history.unremovable.len()), (vec![], 0));
}

#[test]
fn a_dead_replica_is_removed_and_its_place_is_filled_elsewhere() {
    let desired = workload("web", 2, 2);
    let mut there = replicas(&desired, 2);
    there[0].phase = Phase::Dead;
    let plan = Pass::of(&desired, there.clone()).decide();
    assert_eq!((removed(&plan), created_slots(&plan)), (vec![there[0].id.as_str()], vec![3]));
}
