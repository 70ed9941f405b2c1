//! States of a container that the engine reaches without Windlass: paused, restarting, not described, perhaps stopped.

use super::*;

/// A pass over two replicas, the first of which is in this phase and needs a restart.
fn with_first(phase: Phase) -> Pass {
    let desired = workload("web", 2, 2);
    let mut there = replicas(&desired, 2);
    there[0].phase = phase;
    let mut pass = Pass::of(&desired, there.clone());
    pass.health = says(&[(&there[0], Remedy::Restart)]);
    pass
}

#[test]
fn a_paused_replica_is_left_paused_and_not_replaced() {
    let pass = with_first(Phase::Paused);
    let plan = pass.decide();
    assert_eq!(plan.steps, []);
    assert!(plan.reason.ends_with("1 replica was paused outside Windlass and stays paused"), "{}", plan.reason);
    // Somebody continues it.
    let mut continued = with_first(Phase::Running);
    continued.history = plan.history;
    assert_eq!(healed(&continued.decide()), 1);
}

#[test]
fn a_replica_that_the_engine_restarts_is_not_restarted_twice() {
    assert_eq!(with_first(Phase::Restarting).decide().steps, []);
    assert_eq!(healed(&with_first(Phase::Exited).decide()), 1);
}

#[test]
fn a_crash_loop_behind_a_restart_policy_of_the_engine_is_reported() {
    let looping = |restarts, phase, policy: Option<&str>, started_ago: Duration| {
        let mut pass = with_first(phase);
        pass.health = says(&[]);
        let first = &mut pass.snapshot.replicas[0];
        first.engine_restarts = restarts;
        first.restart_policy = policy.map(str::to_owned);
        first.started_at = Some(Timestamp(NOW.0 - windlass_core::time::millis(started_ago)));
        pass.decide().alerts
    };
    let (short, long) = (Duration::from_secs(3), ControlSettings::default().backoff_reset);
    let alerts = looping(5, Phase::Restarting, Some("always"), short);
    assert_eq!(alerts[0].kind, AlertKind::CrashLoop);
    assert!(alerts[0].reason.contains("5 times by its restart policy `always`"), "{alerts:?}");
    assert_eq!(looping(5, Phase::Running, Some("always"), short).len(), 1, "it runs only for now");
    assert_eq!(looping(5, Phase::Running, Some("always"), long), []);
    assert_eq!(looping(2, Phase::Restarting, Some("always"), short), []);
    assert_eq!(looping(5, Phase::Running, None, short), [], "Windlass restarted it");
}

#[test]
fn a_replica_that_the_engine_does_not_describe_is_left_alone_and_reported() {
    let mut pass = with_first(Phase::Unknown);
    pass.snapshot.replicas[0].error = "the engine did not answer within 5 s".to_owned();
    let plan = pass.decide();
    assert_eq!(plan.steps, []);
    assert_eq!((plan.alerts[0].kind, plan.alerts[0].since), (AlertKind::Unknown, NOW));
    assert!(plan.alerts[0].reason.contains("did not answer within 5 s"), "{:?}", plan.alerts);
    pass.history = plan.history;
    let later = pass.decide_at(NOW.plus(Duration::from_secs(60)));
    assert_eq!(later.alerts[0].since, NOW, "the alert keeps its start");
}

#[test]
fn a_process_that_ended_after_a_signal_waits_for_the_engines_record_of_a_stop() {
    let mut pass = with_first(Phase::Exited);
    let id = pass.snapshot.replicas[0].id.clone();
    pass.snapshot.stop_unclear.insert(id.clone(), NOW.plus(Duration::from_secs(2)));
    let plan = pass.decide();
    assert_eq!((plan.steps.len(), plan.next_pass), (0, Some(Duration::from_secs(2))));
    // No record has come: it has crashed.
    pass.snapshot.stop_unclear.clear();
    assert_eq!(healed(&pass.decide()), 1);
    // The record has come.
    pass.snapshot.stopped_outside.insert(id);
    assert_eq!(pass.decide().steps, []);
}
