//! The guardrails: each test covers one rule.

mod rollouts;

use crate::planner::SHORTEST_EVALUATE_AFTER;
use crate::*;
use windlass_core::contract::{Assessment, HealthReport, HealthStatus, Remedy, ScalingDecision};
use windlass_core::fixtures::{exited, running, workload};
use windlass_core::policy::StandIn;
use windlass_core::verdict::FailedMetrics;
use windlass_core::{
    AlertKind, Amount, ContainerId, Dependency, DependencySeen, FailureKind, Fallback, Force, Guardrails, HeldBy,
    MemoryOwner, Overrides, Phase, PolicyFailure, PolicyIdentity, PolicyOutcome, Rate, Select, SlotHistory, Stages,
    Suspicion, WorkloadKey,
};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

mod compose;
mod engine_states;
mod outside_causes;
mod services;
mod stand_ins;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn identity(name: &str) -> PolicyIdentity {
    PolicyIdentity {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        ..Default::default()
    }
}

fn proposes(replicas: u32) -> Result<ScalingDecision, PolicyFailure> {
    Ok(ScalingDecision {
        replicas,
        reason: "because".to_owned(),
        memory: vec![9],
        evaluate_after: None,
        parts: Vec::new(),
    })
}

fn unavailable<T>() -> Result<T, PolicyFailure> {
    Err(PolicyFailure::new(FailureKind::Trap, "it trapped"))
}

fn says(remedies: &[(&Replica, Remedy)]) -> Result<HealthReport, PolicyFailure> {
    let assessments = remedies
        .iter()
        .map(|(replica, remedy)| Assessment {
            replica_id: replica.id.to_string(),
            status: HealthStatus::Unhealthy,
            remedy: *remedy,
            reason: "it is ill".to_owned(),
        })
        .collect();
    Ok(HealthReport { assessments, memory: vec![8] })
}

/// One pass over these replicas.
#[derive(Debug)]
struct Pass {
    desired: Workload,
    target: u32,
    snapshot: Snapshot,
    history: History,
    settings: ControlSettings,
    scaling: Result<ScalingDecision, PolicyFailure>,
    health: Result<HealthReport, PolicyFailure>,
    failed_metrics: FailedMetrics,
    protected: BTreeSet<ContainerId>,
    /// If there are any, the scaling policy is one of them.
    stand_ins: Vec<StandIn>,
}

impl Pass {
    fn of(desired: &Workload, replicas: Vec<Replica>) -> Self {
        let target = desired.bounds.initial();
        let mut history = History::default();
        history.slots.extend(replicas.iter().map(|replica| (replica.slot, SlotHistory::default())));
        Self {
            // Stabilization has its own tests.
            desired: Workload { guardrails: Some(Guardrails::none()), ..desired.clone() },
            target,
            snapshot: Snapshot { at: NOW, replicas, ..Snapshot::default() },
            history,
            settings: ControlSettings::default(),
            scaling: proposes(target),
            health: says(&[]),
            failed_metrics: FailedMetrics::default(),
            protected: BTreeSet::new(),
            stand_ins: Vec::new(),
        }
    }

    /// The same pass of a workload that is steered to this count and whose policy proposes it.
    fn steered_to(self, target: u32) -> Self {
        Self { target, scaling: proposes(target), ..self }
    }

    fn decide(&self) -> Plan {
        self.decide_at(NOW)
    }

    fn decide_at(&self, now: Timestamp) -> Plan {
        let stands_in_for = self.stand_ins.first().map(|stand_in| stand_in.policy.clone());
        let scaling = PolicyIdentity { stands_in_for, ..identity("min-max") };
        let verdict = Verdict {
            health: PolicyOutcome { policy: identity("liveness"), answer: self.health.clone() },
            scaling: PolicyOutcome { policy: scaling, answer: self.scaling.clone() },
            failed_metrics: self.failed_metrics.clone(),
            protected: self.protected.clone(),
            stand_ins: self.stand_ins.clone(),
        };
        let history = History { target: Some(self.target), ..self.history.clone() };
        decide(&self.desired, &self.snapshot, &verdict, &history, &self.settings, now)
    }

    fn restarted(mut self, slot: u32, restarts: u32, ago: Duration) -> Self {
        let last = Timestamp(NOW.0 - windlass_core::time::millis(ago));
        self.history
            .slots
            .insert(Slot(slot), SlotHistory { restarts, last_restart: Some(last), ..SlotHistory::default() });
        self
    }
}

fn removed(plan: &Plan) -> Vec<&str> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Remove { replica, .. } => Some(replica.as_str()),
            _ => None,
        })
        .collect()
}

fn created_slots(plan: &Plan) -> Vec<u32> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Create { slot, .. } => Some(slot.0),
            _ => None,
        })
        .collect()
}

fn healed(plan: &Plan) -> usize {
    plan.steps.iter().filter(|step| matches!(step, Step::Restart { .. } | Step::Replace { .. })).count()
}

fn replicas(desired: &Workload, count: u32) -> Vec<Replica> {
    (1..=count).map(|slot| running(desired, slot, u64::from(slot) * 1_000)).collect()
}

#[test]
fn what_is_missing_is_created_in_free_slots() {
    let desired = workload("web", 3, 5);
    let mut there = replicas(&desired, 2);
    there.remove(0);
    let mut pass = Pass::of(&desired, there);
    pass.history.slots.remove(&Slot(1));
    let plan = pass.decide();
    assert_eq!(created_slots(&plan), [1, 3]);
    assert_eq!((plan.target, plan.reason.as_str()), (3, "because"));
}

#[test]
fn a_pass_over_what_is_already_right_does_nothing() {
    let desired = workload("web", 3, 5);
    let plan = Pass::of(&desired, replicas(&desired, 3)).decide();
    assert_eq!((plan.steps, plan.next_pass), (vec![], None));
}

#[test]
fn a_proposal_outside_the_bounds_is_moved_into_them_and_said() {
    let desired = workload("web", 2, 4);
    let mut pass = Pass::of(&desired, replicas(&desired, 2));
    pass.scaling = proposes(u32::MAX);
    let plan = pass.decide();
    assert_eq!(plan.target, 4);
    assert_eq!(plan.reason, "scaled to 4: the maximum is 4; `min-max` proposed 4294967295: because");
    pass.scaling = proposes(0);
    assert_eq!(pass.decide().target, 2);
}

#[test]
fn an_unavailable_scaling_policy_holds_the_count() {
    let desired = workload("web", 1, 5);
    let mut pass = Pass::of(&desired, replicas(&desired, 3)).steered_to(3);
    pass.scaling = unavailable();
    pass.history.scaling_memory = vec![1];
    let plan = pass.decide();
    assert_eq!((plan.target, plan.steps), (3, vec![]));
    assert_eq!(plan.reason, "held at 3: scaling policy `min-max` is unavailable (trap: it trapped)");
    assert_eq!(plan.history.scaling_memory, [1], "a failed call must not lose the policy's memory");
}

#[test]
fn bounds_hold_even_while_the_scaling_policy_is_unavailable() {
    let desired = workload("web", 1, 2);
    let mut pass = Pass::of(&desired, replicas(&desired, 5)).steered_to(5);
    pass.scaling = unavailable();
    let plan = pass.decide();
    assert_eq!((plan.target, removed(&plan).len()), (2, 3));
}

#[test]
fn an_unavailable_health_policy_heals_nobody() {
    let desired = workload("web", 2, 2);
    let mut there = replicas(&desired, 2);
    there[0] = exited(there[0].clone(), 1);
    let mut pass = Pass::of(&desired, there);
    pass.health = unavailable();
    let plan = pass.decide();
    assert_eq!(plan.steps, []);
}

#[test]
fn answers_hand_their_memory_on() {
    let desired = workload("web", 1, 1);
    let plan = Pass::of(&desired, replicas(&desired, 1)).decide();
    assert_eq!((plan.history.scaling_memory, plan.history.health_memory), (vec![9], vec![8]));
}

#[test]
fn scale_down_takes_the_exited_then_the_unhealthy_then_the_starting_then_the_oldest() {
    let desired = workload("web", 1, 6);
    let mut there = replicas(&desired, 6);
    there[5] = exited(there[5].clone(), 0);
    let removed_for = |wanted| {
        let mut pass = Pass::of(&desired, there.clone()).steered_to(6);
        pass.scaling = proposes(wanted);
        pass.snapshot.health.insert(there[4].id.clone(), HealthStatus::Unhealthy);
        pass.snapshot.health.insert(there[3].id.clone(), HealthStatus::Starting);
        // It failed before, so nothing waits for it.
        pass.history.slots.entry(there[3].slot).or_default().restarts = 1;
        pass.decide()
    };
    let ids = |indices: &[usize]| -> Vec<String> { indices.iter().map(|index| there[*index].id.to_string()).collect() };
    assert_eq!(removed(&removed_for(5)), ids(&[5]));
    assert_eq!(removed(&removed_for(3)), ids(&[5, 4, 3]));
    assert_eq!(removed(&removed_for(2)), ids(&[5, 4, 3, 0]));
    assert_eq!(removed(&removed_for(1)), ids(&[5, 4, 3, 0, 1]));
}

#[test]
fn a_metric_without_a_value_blocks_scaling_down_and_never_up() {
    let desired = workload("web", 1, 9);
    let steered = |wanted, are_all| {
        let failed_metrics =
            FailedMetrics { failed: vec!["`queue` is stale".to_owned()], are_all, ..FailedMetrics::default() };
        let pass = Pass {
            scaling: proposes(wanted),
            failed_metrics,
            ..Pass::of(&desired, replicas(&desired, 4)).steered_to(4)
        };
        let plan = pass.decide();
        (plan.target, plan.reason)
    };
    let (target, reason) = steered(2, false);
    assert_eq!(target, 4);
    assert_eq!(reason, "held at 4: some metrics have no value (`queue` is stale); `min-max` proposed 2: because");
    assert_eq!(steered(6, false), (6, "because".to_owned()));
    assert_eq!(steered(4, true), (4, "because".to_owned()));
    // Without any value there is no reason to move.
    assert_eq!((steered(6, true).0, steered(2, true).0), (4, 4));
    // A policy that also uses other input, such as a calendar, may scale out.
    let failed_metrics =
        FailedMetrics { failed: vec!["`queue` is stale".to_owned()], are_all: true, knows_otherwise: true };
    let by_calendar = |wanted| {
        let failed_metrics = failed_metrics.clone();
        Pass { scaling: proposes(wanted), failed_metrics, ..Pass::of(&desired, replicas(&desired, 4)).steered_to(4) }
            .decide()
            .target
    };
    assert_eq!((by_calendar(6), by_calendar(2)), (6, 4));
    // The bounds hold in any case.
    let outside = workload("web", 1, 5);
    let failed_metrics =
        FailedMetrics { failed: vec!["`queue` is stale".to_owned()], are_all: true, ..FailedMetrics::default() };
    let pass = Pass { scaling: proposes(2), failed_metrics, ..Pass::of(&outside, replicas(&outside, 9)).steered_to(9) };
    assert_eq!(pass.decide().target, 5);
}

#[test]
fn an_operators_word_is_over_the_policy_and_within_the_bounds() {
    let desired = workload("web", 1, 9);
    let steered = |overrides, proposal: Result<ScalingDecision, PolicyFailure>| {
        let mut pass = Pass::of(&desired, replicas(&desired, 4)).steered_to(4);
        (pass.desired.overrides, pass.scaling) = (overrides, proposal);
        let plan = pass.decide();
        (plan.target, plan.reason, plan.next_pass)
    };
    let paused = Overrides { paused: true, ..Overrides::default() };
    let (target, reason, _) = steered(paused, proposes(2));
    assert_eq!((target, reason.as_str()), (4, "held at 4: an operator paused scaling; `min-max` proposed 2: because"));
    assert_eq!((steered(paused, proposes(6)).0, steered(paused, proposes(4)).1.as_str()), (4, "because"));
    let down = Overrides { freeze_scale_down: true, ..Overrides::default() };
    assert_eq!((steered(down, proposes(2)).0, steered(down, proposes(6)).0), (4, 6));
    let up = Overrides { freeze_scale_up: true, ..Overrides::default() };
    assert_eq!((steered(up, proposes(2)).0, steered(up, proposes(6)).0), (2, 4));
    let forced = |replicas, until| {
        let force = Some(Force { replicas, until: Timestamp(until) });
        Overrides { paused: true, force, ..Overrides::default() }
    };
    let (target, reason, again) = steered(forced(7, NOW.0 + 5_000), unavailable());
    assert_eq!((target, reason.as_str()), (7, "an operator forces 7 replicas until 1970-01-12T13:46:45Z"));
    assert_eq!(again, Some(Duration::from_secs(5)));
    let (target, reason, _) = steered(forced(50, NOW.0 + 1), proposes(2));
    let bounded = "an operator forces 50 replicas until 1970-01-12T13:46:40Z, and the maximum is 9";
    assert_eq!((target, reason.as_str()), (9, bounded));
    assert_eq!(steered(forced(7, NOW.0), proposes(2)).0, 4, "it is over, and the pause holds");
}

#[test]
fn nothing_shrinks_while_replicas_are_still_to_come() {
    let desired = workload("web", 1, 9);
    let mut pass = Pass::of(&desired, replicas(&desired, 3)).steered_to(5);
    pass.scaling = proposes(2);
    let plan = pass.decide();
    assert_eq!((plan.target, created_slots(&plan)), (5, vec![4, 5]));
    let why = "held at 5: scale-in waits until all 5 replicas exist; 3 are there; `min-max` proposed 2: because";
    assert_eq!(plan.reason, why);

    let all = replicas(&desired, 5);
    let starting = all[4].clone();
    let mut pass = Pass { scaling: proposes(2), ..Pass::of(&desired, all).steered_to(5) };
    pass.snapshot.health.insert(starting.id.clone(), HealthStatus::Starting);
    let plan = pass.decide();
    let why = "held at 5: scale-in waits until all 5 replicas have started; 1 is still starting; `min-max` proposed 2: because";
    assert_eq!((plan.target, plan.reason.as_str(), plan.held_by), (5, why, Some(HeldBy::StillToCome)));
    // A replica that failed before does not count as starting; it is removed first.
    pass.history.slots.entry(starting.slot).or_default().restarts = 1;
    assert_eq!(pass.decide().target, 2);
}

#[test]
fn what_keeps_the_count_from_the_proposal_is_told_as_a_word() {
    let desired = workload("web", 2, 6);
    let held = |change: &dyn Fn(&mut Pass)| {
        let mut pass = Pass::of(&desired, replicas(&desired, 4)).steered_to(4);
        change(&mut pass);
        let plan = pass.decide();
        (plan.target, plan.held_by)
    };
    let overrides = |overrides: Overrides, wants: u32| {
        held(&|pass| (pass.desired.overrides, pass.scaling) = (overrides, proposes(wants)))
    };
    let force = Some(Force { replicas: 5, until: Timestamp(NOW.0 + 1) });
    assert_eq!(overrides(Overrides { force, ..Overrides::default() }, 3), (5, Some(HeldBy::Force)));
    assert_eq!(overrides(Overrides { paused: true, ..Overrides::default() }, 3), (4, Some(HeldBy::Pause)));
    assert_eq!(overrides(Overrides { freeze_scale_up: true, ..Overrides::default() }, 5), (4, Some(HeldBy::FreezeUp)));
    let down = Overrides { freeze_scale_down: true, ..Overrides::default() };
    assert_eq!((overrides(down, 3), overrides(down, 5)), ((4, Some(HeldBy::FreezeDown)), (5, None)));
    let guarded = |change: &dyn Fn(&mut Guardrails), wants: u32| {
        held(&|pass| {
            let mut guardrails = Guardrails::none();
            change(&mut guardrails);
            (pass.desired.guardrails, pass.scaling) = (Some(guardrails), proposes(wants));
            pass.history.since = Some(NOW);
        })
    };
    let minute = Duration::from_secs(60);
    assert_eq!(guarded(&|all| all.down.window = minute, 3), (4, Some(HeldBy::Window)));
    assert_eq!(guarded(&|all| all.grace = minute, 3), (4, Some(HeldBy::Grace)));
    assert_eq!(guarded(&|all| all.down.select = Select::Disabled, 3), (4, Some(HeldBy::Disabled)));
    let one = Rate { amount: Amount::Count(1), per: minute };
    assert_eq!(guarded(&|all| all.up.rates = vec![one], 6), (5, Some(HeldBy::Rate)));
    assert_eq!((guarded(&|_| {}, 9), guarded(&|_| {}, 5)), ((6, Some(HeldBy::Bounds)), (5, None)));
    let waits = held(&|pass| {
        pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
    });
    assert_eq!(waits, (4, Some(HeldBy::Dependency)));
    assert_eq!(held(&|pass| pass.scaling = unavailable()), (4, Some(HeldBy::Unavailable)));
}

#[test]
fn a_workload_that_is_new_here_is_not_shrunk_by_its_policy_for_a_while() {
    let mut desired = workload("web", 1, 9);
    let steered_from = |target: u32, desired: &Workload, since: Option<u64>, proposal| {
        let mut pass = Pass::of(desired, replicas(desired, 4)).steered_to(target);
        pass.desired.guardrails = Some(Guardrails { grace: Duration::from_secs(60), ..Guardrails::none() });
        (pass.history.since, pass.scaling) = (since.map(Timestamp), proposes(proposal));
        pass.decide()
    };
    let steered = |desired: &Workload, since, proposal| steered_from(4, desired, since, proposal);
    let plan = steered(&desired, None, 2);
    assert_eq!((plan.target, plan.history.since), (4, Some(NOW)));
    let why = "held at 4: scale-in waits until 13:47:40Z because the workload is new (grace period 60 s); `min-max` proposed 2: because";
    assert_eq!(plan.reason, why);
    assert_eq!(steered(&desired, Some(NOW.0 - 59_999), 2).target, 4);
    assert_eq!(steered(&desired, Some(NOW.0 - 60_000), 2).target, 2);
    assert_eq!(steered(&desired, None, 6).target, 6, "it may grow");
    assert_eq!(steered_from(1, &desired, None, 1).target, 4, "existing containers are adopted");
    assert_eq!(steered_from(1, &desired, Some(NOW.0), 1).target, 1);
    desired.bounds = windlass_core::Bounds::new(1, 3).expect("bounds");
    assert_eq!(steered(&desired, None, 2).target, 3, "bounds hold at once");
}

#[test]
fn where_no_metric_has_a_value_for_long_enough_the_fallback_is_proposed() {
    let desired = workload("web", 1, 9);
    let mut pass = Pass::of(&desired, replicas(&desired, 4)).steered_to(4);
    pass.failed_metrics =
        FailedMetrics { failed: vec!["`queue` is stale".to_owned()], are_all: true, ..FailedMetrics::default() };
    pass.scaling = unavailable();
    let fallback = Some(Fallback { replicas: 2, after: 3 });
    pass.desired.guardrails = Some(Guardrails { fallback, ..Guardrails::none() });
    let look = |pass: &mut Pass, seconds: u64| {
        let plan = pass.decide_at(Timestamp(NOW.0 + seconds * 1_000));
        pass.history = plan.history;
        (plan.target, plan.reason)
    };
    assert_eq!(look(&mut pass, 0).0, 4);
    // Passes in quick succession are one observation.
    assert_eq!((look(&mut pass, 1).0, look(&mut pass, 2).0, look(&mut pass, 15).0), (4, 4, 4));
    let why = "no metric has had a value for at least 3 observations (`queue` is stale)";
    assert_eq!(look(&mut pass, 30), (2, why.to_owned()));
    // The fallback is a proposal like any other: overrides and guardrails apply to it.
    pass.desired.overrides.paused = true;
    assert_eq!(look(&mut pass, 45).0, 4);
    pass.desired.overrides.paused = false;
    pass.desired.guardrails = Some(Guardrails { fallback, ..Guardrails::default() });
    pass.history.proposals.clear();
    let waits = "scale-in waits until 13:58:20Z because the 5-minute window still contains a proposal of 4";
    assert_eq!(look(&mut pass, 400), (4, format!("held at 4: {waits}; the fallback proposed 2: {why}")));
    // One value resets the counter.
    pass.failed_metrics = FailedMetrics::default();
    pass.scaling = proposes(4);
    look(&mut pass, 415);
    assert_eq!(pass.history.blind, None);
}

#[test]
fn a_policy_spares_what_is_protected_and_bounds_and_operators_do_not() {
    let desired = workload("web", 1, 9);
    let mut there = replicas(&desired, 4);
    there[0].is_protected = true;
    let mut pass = Pass::of(&desired, there.clone()).steered_to(4);
    pass.protected = [there[2].id.clone()].into();
    assert_eq!(removed(&Pass { scaling: proposes(1), ..pass }.decide()), [there[1].id.as_str(), there[3].id.as_str()]);
    let mut pass = Pass::of(&desired, there.clone()).steered_to(4);
    pass.history.protected = [there[1].id.clone(), ContainerId("gone".to_owned())].into();
    pass.scaling = proposes(1);
    let ids = |indices: &[usize]| -> Vec<String> { indices.iter().map(|index| there[*index].id.to_string()).collect() };
    let plan = pass.decide();
    assert_eq!((plan.target, removed(&plan)), (1, ids(&[2, 3]).iter().map(String::as_str).collect()));
    assert_eq!(plan.reason, "because; 1 more replica stays because it is protected from scale-in");
    assert_eq!(plan.history.protected.len(), 1, "a removed replica is forgotten");
    // Protection does not keep an unhealthy replica.
    pass.snapshot.health.insert(there[1].id.clone(), HealthStatus::Unhealthy);
    assert_eq!(removed(&pass.decide()), ids(&[1, 2, 3]));
    pass.snapshot.health.clear();
    pass.desired.bounds = windlass_core::Bounds::new(1, 1).expect("bounds");
    assert_eq!(removed(&pass.decide()), ids(&[2, 3, 0]));
    pass.desired.bounds = desired.bounds;
    let until = Timestamp(NOW.0 + 1_000);
    pass.desired.overrides.force = Some(Force { replicas: 1, until });
    assert_eq!(removed(&pass.decide()), ids(&[2, 3, 0]));
}

#[test]
fn what_was_stopped_outside_is_left_so_and_all_of_it_is_a_pause() {
    let desired = workload("web", 1, 5);
    let mut there = replicas(&desired, 2);
    there[0] = exited(there[0].clone(), 0);
    let pass_over = |there: &[Replica], stopped: &[usize], history: History| {
        let mut pass = Pass::of(&desired, there.to_vec()).steered_to(2);
        pass.history = History { slots: pass.history.slots.clone(), ..history };
        pass.snapshot.stopped_outside = stopped.iter().map(|index| there[*index].id.clone()).collect();
        let ended: Vec<_> = there.iter().filter(|it| !it.is_alive()).map(|it| (it, Remedy::Replace)).collect();
        pass.health = says(&ended);
        pass.scaling = proposes(3);
        pass
    };
    let plan = pass_over(&there, &[0], History::default()).decide();
    assert_eq!((healed(&plan), created_slots(&plan)), (0, vec![3]), "the policy still scales the others");
    assert_eq!(plan.reason, "because; 1 replica was stopped outside Windlass and stays stopped");
    // A restarted host has not seen the stop request. It relies on its history, once the engine has answered long enough.
    let later = Timestamp(NOW.0 + 60_000);
    let settled = pass_over(&there, &[], plan.history.clone()).decide_at(later);
    assert_eq!(healed(&settled), 0);
    let mut again = pass_over(&there, &[], settled.history.clone());
    again.snapshot.engine_lost = later;
    assert_eq!(healed(&again.decide_at(later)), 0);
    // An engine that shuts down stops everything and goes away. That is not an operator's pause.
    let mut lost = pass_over(&there, &[], plan.history);
    lost.snapshot.engine_lost = later;
    assert_eq!(healed(&lost.decide_at(later)), 1);
    let plan = settled;
    there[1] = exited(there[1].clone(), 0);
    let plan = pass_over(&there, &[1], plan.history).decide();
    assert_eq!((plan.target, plan.steps.len()), (2, 0));
    let why = "held at 2: every replica was stopped outside Windlass, which counts as a pause; `min-max` proposed 3: \
               because; 2 replicas were stopped outside Windlass and stay stopped";
    assert_eq!(plan.reason, why);
    // Once they run again, scaling continues.
    let running_again = replicas(&desired, 2);
    let plan = pass_over(&running_again, &[], plan.history).decide();
    assert_eq!((plan.target, plan.history.stopped_outside.len()), (3, 0));
    // A failed restart by the host is not a pause.
    let one = exited(running(&desired, 1, 1_000), 0);
    let pass = pass_over(std::slice::from_ref(&one), &[0], History::default());
    let pass = pass.restarted(1, 1, Duration::from_secs(60));
    assert_eq!(healed(&pass.decide()), 1);
}

#[test]
fn while_what_it_depends_on_is_down_nothing_of_it_changes() {
    let desired = workload("web", 1, 9);
    let mut there = replicas(&desired, 2);
    there[1] = exited(there[1].clone(), 1);
    let mut pass = Pass::of(&desired, there.clone()).steered_to(3);
    pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
    pass.scaling = proposes(6);
    pass.health = says(&[(&there[1], Remedy::Replace)]);
    let plan = pass.decide();
    assert_eq!((plan.target, plan.steps.as_slice()), (3, &[][..]));
    assert_eq!(plan.reason, "held at 3: dependency `db` is down; no replica is created or repaired until it is up");
    // Alerts of slots that were given up before continue.
    let given_up = SlotHistory { given_up: Some(Timestamp(5)), restarts: 12, ..SlotHistory::default() };
    pass.history.slots.insert(there[1].slot, given_up);
    let alerts = pass.decide().alerts;
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        (alerts[0].since, alerts[0].slot, alerts[0].replica.as_ref()),
        (Timestamp(5), Some(there[1].slot), Some(&there[1].id))
    );
    // When the dependency is up again, the ended replica is replaced, then the one that ran without it is restarted.
    pass.history = plan.history;
    pass.history.slots.insert(Slot(1), SlotHistory::default());
    pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Up { fell: None })].into();
    let plan = pass.decide();
    assert_eq!((plan.target, healed(&plan)), (6, 1));
    there[1] = running(&desired, 2, NOW.0);
    pass.snapshot.replicas = there.clone();
    (pass.history, pass.health) = (plan.history, says(&[]));
    let plan = pass.decide();
    let restarted =
        Step::Restart { replica: there[0].id.clone(), reason: "dependency `db` was down and is up again".to_owned() };
    assert!(plan.steps.contains(&restarted), "{:?}", plan.steps);
}

#[test]
fn a_proposal_is_smoothed_and_each_stage_is_told() {
    let desired = workload("web", 1, 9);
    let mut pass = Pass::of(&desired, replicas(&desired, 2)).steered_to(2);
    pass.history.since = Some(Timestamp(0));
    pass.desired.guardrails = None;
    pass.scaling = proposes(50);
    let plan = pass.decide();
    assert_eq!(plan.stages, Some(Stages { raw: 50, stabilized: 9, limited: 6, bounded: 6 }));
    let why = "scaled to 6: scale-out is limited to 4 replicas per 15 s or 100 % per 15 s, whichever is more; `min-max` \
               proposed 50: because";
    assert_eq!((plan.target, plan.reason.as_str()), (6, why));
    // A recommendation changes nothing, so no change is counted.
    pass.desired.policies.mode = Some(Mode::Recommend);
    assert_eq!((pass.decide().history.changes, plan.history.changes.len()), (vec![], 1));
    // Scale-in: the current count stands for the proposals before the host knew the workload.
    pass.desired.policies.mode = Some(Mode::Act);
    pass.scaling = proposes(1);
    let plan = pass.decide();
    assert_eq!((plan.target, plan.history.proposals.len()), (2, 2));
    assert!(plan.reason.contains("the 5-minute window still contains a proposal of 2"), "{}", plan.reason);
}

#[test]
fn a_slot_that_was_scaled_away_is_forgotten() {
    let desired = workload("web", 1, 2);
    let mut pass = Pass::of(&desired, replicas(&desired, 2)).steered_to(2).restarted(1, 3, Duration::from_secs(1));
    pass.scaling = proposes(1);
    let plan = pass.decide();
    assert_eq!(plan.history.slots.keys().collect::<Vec<_>>(), [&Slot(2)]);
}

#[test]
fn held_replicas_are_neither_counted_nor_touched() {
    let desired = workload("web", 1, 2);
    let mut there = replicas(&desired, 2);
    there[0].phase = Phase::Held;
    let mut pass = Pass::of(&desired, there.clone());
    pass.health = says(&[(&there[0], Remedy::Replace)]);
    assert_eq!(pass.decide().steps, []);
}

#[test]
fn the_first_heal_is_at_once_and_later_ones_wait_twice_as_long_up_to_the_cap() {
    let desired = workload("web", 1, 1);
    let one = exited(running(&desired, 1, 1_000), 1);
    let seconds = Duration::from_secs;
    let with = |restarts, ago| {
        let mut pass = Pass::of(&desired, vec![one.clone()]).restarted(1, restarts, ago);
        pass.health = says(&[(&one, Remedy::Replace)]);
        pass.decide()
    };
    let mut first = Pass::of(&desired, vec![one.clone()]);
    first.health = says(&[(&one, Remedy::Replace)]);
    let first = first.decide();
    assert_eq!(healed(&first), 1);
    assert_eq!(
        first.history.slots[&Slot(1)],
        SlotHistory { restarts: 1, last_restart: Some(NOW), ..SlotHistory::default() }
    );
    for (restarts, wait) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (11, 300)] {
        let early = with(restarts, seconds(wait - 1));
        assert_eq!((healed(&early), early.next_pass), (0, Some(seconds(1))), "{restarts} restarts");
        assert_eq!(healed(&with(restarts, seconds(wait))), 1, "{restarts} restarts");
    }
}

#[test]
fn a_slot_that_was_healed_too_often_in_a_row_is_given_up_and_left_as_it_is() {
    let desired = workload("web", 1, 1);
    let one = exited(running(&desired, 1, 1_000), 1);
    let long_ago = Duration::from_secs(3_600);
    let after = |restarts, limit, there: Vec<Replica>| {
        let mut pass = Pass::of(&desired, there.clone()).restarted(1, restarts, long_ago);
        pass.settings.restart_limit = limit;
        pass.health = says(&there.iter().map(|replica| (replica, Remedy::Replace)).collect::<Vec<_>>());
        pass
    };
    assert_eq!(healed(&after(11, 12, vec![one.clone()]).decide()), 1, "the twelfth is still made");
    assert_eq!(healed(&after(500, 0, vec![one.clone()]).decide()), 1, "0: never given up");
    let mut given_up = after(12, 12, vec![one.clone()]);
    let plan = given_up.decide();
    assert_eq!((plan.steps.len(), plan.deferred.len(), plan.next_pass), (0, 0, None));
    let alert = &plan.alerts[0];
    assert_eq!((alert.kind, alert.since, alert.slot), (AlertKind::GivenUp, NOW, Some(Slot(1))));
    assert_eq!(
        alert.reason,
        "it is ill; it is given up after 12 restarts in a row; fix the cause, then start the workload again"
    );
    assert_eq!(plan.history.slots[&Slot(1)].given_up, Some(NOW));
    // The time of giving up stays.
    given_up.history = plan.history;
    given_up.history.slots.get_mut(&Slot(1)).expect("there").given_up = Some(Timestamp(5));
    assert_eq!(given_up.decide().alerts[0].since, Timestamp(5));

    let empty = after(12, 12, vec![]).decide();
    assert_eq!((created_slots(&empty), empty.alerts.len()), (vec![], 1), "no replica is created for it");
    assert!(empty.alerts[0].reason.starts_with("slot 1 has lost its container; it is given up"), "{:?}", empty.alerts);
    let mut left = one;
    (left.phase, left.started_at) = (Phase::Starting, None);
    assert_eq!(after(12, 12, vec![left]).decide().steps, [], "a replica that never ran is not started either");
}

#[test]
fn a_slot_that_is_given_up_and_empty_keeps_nothing_from_shrinking() {
    let desired = workload("web", 1, 5);
    let mut pass = Pass::of(&desired, replicas(&desired, 2)).steered_to(3).restarted(3, 12, Duration::from_secs(60));
    pass.scaling = proposes(1);
    assert_eq!(pass.decide().target, 3, "the third one is still missing");
    pass.history.slots.get_mut(&Slot(3)).expect("there").given_up = Some(NOW);
    let plan = pass.decide();
    assert_eq!((plan.target, removed(&plan).len(), plan.alerts.len()), (1, 1, 0));
}

#[test]
fn what_was_given_up_is_healed_again_after_ten_minutes_seen_well() {
    let desired = workload("web", 1, 1);
    // Its process has run, and failed its probes, for long.
    let one = running(&desired, 1, 1_000);
    let with = |health, well_since| {
        let mut pass = Pass::of(&desired, vec![one.clone()]).restarted(1, 12, Duration::from_secs(7_200));
        let slot = pass.history.slots.get_mut(&Slot(1)).expect("there");
        (slot.given_up, slot.well_since) = (Some(Timestamp(1)), well_since);
        pass.snapshot.health.insert(one.id.clone(), health);
        let plan = pass.decide();
        (plan.history.slots[&Slot(1)], plan.alerts.len())
    };
    let ago = |seconds: u64| Some(Timestamp(NOW.0 - 1_000 * seconds));
    let (slot, alerts) = with(HealthStatus::Healthy, None);
    assert_eq!((slot.given_up.is_some(), slot.well_since, alerts), (true, Some(NOW), 1));
    let (slot, _) = with(HealthStatus::Healthy, ago(599));
    assert_eq!((slot.given_up.is_some(), slot.well_since), (true, ago(599)));
    let (slot, _) = with(HealthStatus::Unhealthy, ago(599));
    assert_eq!((slot.given_up.is_some(), slot.well_since), (true, None));
    assert_eq!(with(HealthStatus::Degraded, ago(600)), (SlotHistory::default(), 0));
}

/// A pass over `count` running replicas, of which the first `failing` fail their probe.
fn failing(count: u32, failing: usize) -> Pass {
    let desired = workload("web", count, count);
    let there = replicas(&desired, count);
    let mut pass = Pass::of(&desired, there.clone());
    pass.settings.heal_share = 1.0;
    pass.health = says(&there[..failing].iter().map(|replica| (replica, Remedy::Restart)).collect::<Vec<_>>());
    for (index, replica) in there.iter().enumerate() {
        let status = if index < failing { HealthStatus::Unhealthy } else { HealthStatus::Healthy };
        pass.snapshot.health.insert(replica.id.clone(), status);
    }
    pass
}

#[test]
fn when_most_fail_their_probe_at_once_the_path_is_suspected_and_one_is_healed() {
    for (count, ill, healed_now) in [(8, 7, 1), (8, 5, 1), (8, 4, 4), (3, 2, 1), (3, 3, 1), (2, 2, 2), (1, 1, 1)] {
        let plan = failing(count, ill).decide();
        let is_suspected = plan.history.probe_path.is_some();
        assert_eq!((healed(&plan), is_suspected), (healed_now, count > 2 && healed_now == 1), "{ill} of {count}");
        assert_eq!(plan.alerts.len(), usize::from(is_suspected), "{ill} of {count}");
    }
    let plan = failing(8, 7).decide();
    let why = "7 of 8 replicas fail their probe at the same time, so the network path to them may be broken; one replica is \
               repaired at a time";
    assert_eq!((plan.alerts[0].kind, plan.alerts[0].reason.as_str()), (AlertKind::ProbePath, why));
    assert_eq!((plan.deferred.len(), plan.next_pass), (6, Some(Duration::from_secs(10))));
    assert_eq!(plan.deferred[0].reason, format!("it is ill; {why}"));
    assert_eq!(plan.steps[0].reason(), format!("it is ill; {why}"));
    let healed = Some(Slot(1));
    assert_eq!(plan.history.probe_path, Some(Suspicion { since: NOW, healed_at: Some(NOW), healed, in_vain: 1 }));
}

#[test]
fn a_path_that_stays_broken_does_not_wear_out_what_is_behind_it() {
    // A pass every two seconds for an hour. Either no repaired replica answers, or all do.
    let story = |helps: bool| {
        let mut pass = failing(8, 8);
        let mut times: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for second in (0..3_600).step_by(2) {
            let plan = pass.decide_at(Timestamp(NOW.0 + second * 1_000));
            for step in &plan.steps {
                let Step::Restart { replica, .. } = step else { panic!("{step:?}") };
                let slot = pass.snapshot.replica(replica).expect("a replica").slot;
                times.entry(slot.0).or_default().push(second);
                if helps {
                    pass.snapshot.health.insert(replica.clone(), HealthStatus::Healthy);
                    let well: Vec<_> = pass.snapshot.health.iter().filter(|(_, it)| it.is_ready()).collect();
                    let is_ill = |replica: &&Replica| !well.iter().any(|(id, _)| **id == replica.id);
                    let ill: Vec<_> =
                        pass.snapshot.replicas.iter().filter(is_ill).map(|it| (it, Remedy::Restart)).collect();
                    pass.health = says(&ill);
                }
            }
            assert!(plan.alerts.iter().all(|alert| alert.kind == AlertKind::ProbePath), "{:?}", plan.alerts);
            pass.history = plan.history;
        }
        times
    };
    let in_vain: Vec<u64> = story(false).into_values().flatten().collect();
    let mut at = in_vain.clone();
    at.sort_unstable();
    // Waits of 10, 20, 40 … s, at most 5 min.
    assert_eq!(at[..7], [0, 10, 30, 70, 150, 310, 610]);
    assert_eq!(in_vain.len(), 16, "of 360 that could be in an hour: {at:?}");
    assert_eq!(story(false).len(), 1, "the others are left alone");
    // One after another, each when the one before serves.
    let helped: Vec<u64> = story(true).into_values().flatten().collect();
    assert!(helped.len() == 8 && helped.iter().all(|second| *second < 20), "{helped:?}");
}

#[test]
fn while_the_path_is_suspected_one_is_healed_in_each_backoff() {
    let with = |ago: u64, well: u32| {
        let mut pass = failing(8, 3);
        let healed_at = Some(Timestamp(NOW.0 - 1_000 * ago));
        pass.history.probe_path = Some(Suspicion { since: Timestamp(1), healed_at, healed: Some(Slot(8)), in_vain: 1 });
        // The others were just restarted; some of them have answered since.
        for replica in &pass.snapshot.replicas {
            if replica.slot.0 > 3 + well {
                pass.snapshot.health.insert(replica.id.clone(), HealthStatus::Starting);
            }
        }
        pass.decide()
    };
    assert_eq!(healed(&with(9, 3)), 0);
    let due = with(10, 3);
    assert_eq!((healed(&due), due.alerts[0].since), (1, Timestamp(1)));
    assert!(due.alerts[0].reason.starts_with("5 of 8 replicas fail"), "{:?}", due.alerts);
    // Half of them serve again, so the suspicion is over.
    let over = with(1, 4);
    assert_eq!((healed(&over), over.alerts.len(), over.history.probe_path), (3, 0, None));
}

#[test]
fn what_runs_waits_until_those_that_were_healed_serve_again() {
    // Four of nine fail, so the path is not suspected; a third of nine is three.
    let mut pass = failing(9, 4);
    pass.settings.heal_share = 1.0 / 3.0;
    let first = pass.decide();
    assert_eq!((healed(&first), first.deferred.len()), (3, 1));
    assert_eq!(first.deferred[0].reason, "it is ill; at most 3 of 9 replicas are repaired at once");
    // A second later those three are starting; the fourth still runs.
    let there: Vec<_> = pass.snapshot.replicas.clone();
    let mut then = |seconds: u64, started: HealthStatus, history: &History| {
        for replica in &there[..3] {
            pass.snapshot.health.insert(replica.id.clone(), started);
        }
        pass.health = says(&[(&there[3], Remedy::Restart)]);
        pass.history = history.clone();
        pass.decide_at(Timestamp(NOW.0 + seconds * 1_000))
    };
    let second = then(1, HealthStatus::Starting, &first.history);
    assert_eq!((healed(&second), second.next_pass), (0, Some(Duration::from_secs(1))));
    let why = "it is ill; at most 3 of 9 replicas are repaired at once, and 3 repaired replicas are not ready yet";
    assert_eq!(second.deferred[0].reason, why);
    assert_eq!(healed(&then(1, HealthStatus::Healthy, &first.history)), 1);
    // The wait ends: a replica may never report its health.
    assert_eq!(healed(&then(300, HealthStatus::Starting, &second.history)), 1);
    // A replica that has ended serves nobody, so it does not wait.
    pass.snapshot.replicas[3].phase = Phase::Exited;
    pass.history = first.history;
    assert_eq!(healed(&pass.decide_at(Timestamp(NOW.0 + 1_000))), 1);
}

#[test]
fn processes_that_ended_say_nothing_of_the_path() {
    let mut pass = failing(9, 9);
    for replica in pass.snapshot.replicas.iter_mut().take(6) {
        replica.phase = Phase::Exited;
    }
    pass.settings.heal_share = 0.5;
    let plan = pass.decide();
    assert_eq!(plan.alerts.len(), 1, "three run, and all three fail");
    assert_eq!(healed(&plan), 4, "those that ended, within the cap");
    assert!(plan.steps.iter().all(|step| step.reason() == "it is ill"), "{:?}", plan.steps);
    pass.snapshot.replicas[6].phase = Phase::Exited;
    assert_eq!(pass.decide().alerts.len(), 0, "two are too few for a suspicion");
}

#[test]
fn ten_minutes_of_health_clear_the_backoff() {
    let desired = workload("web", 1, 1);
    let well_since = |since: u64| {
        let one = running(&desired, 1, since);
        let mut pass = Pass::of(&desired, vec![one.clone()]).restarted(1, 5, Duration::from_secs(700));
        pass.snapshot.health.insert(one.id, HealthStatus::Healthy);
        pass.decide().history.slots[&Slot(1)].restarts
    };
    assert_eq!(well_since(NOW.0 - 600_000), 0);
    assert_eq!(well_since(NOW.0 - 599_999), 5);
}

#[test]
fn one_pass_heals_a_third_and_at_least_one() {
    for (count, cap) in [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (9, 3), (10, 3)] {
        let desired = workload("web", count, count);
        let there: Vec<_> = replicas(&desired, count).into_iter().map(|replica| exited(replica, 1)).collect();
        let mut pass = Pass::of(&desired, there.clone());
        pass.health = says(&there.iter().map(|replica| (replica, Remedy::Replace)).collect::<Vec<_>>());
        let plan = pass.decide();
        assert_eq!(healed(&plan), cap, "{count} replicas");
        assert_eq!(plan.next_pass.is_some(), cap < there.len(), "{count} replicas");
    }
}

#[test]
fn a_remedy_is_taken_as_the_policy_says() {
    let desired = workload("web", 1, 1);
    let one = running(&desired, 1, 1_000);
    let step = |remedy| {
        let mut pass = Pass::of(&desired, vec![one.clone()]);
        pass.health = says(&[(&one, remedy)]);
        let plan = pass.decide();
        (plan.steps.first().cloned(), plan.history.slots[&Slot(1)].process_restarts)
    };
    let reason = "it is ill".to_owned();
    assert_eq!(step(Remedy::None), (None, 0));
    assert_eq!(step(Remedy::Restart), (Some(Step::Restart { replica: one.id.clone(), reason: reason.clone() }), 1));
    assert_eq!(step(Remedy::Replace), (Some(Step::Replace { replica: one.id.clone(), slot: Slot(1), reason }), 0));
}

#[test]
fn a_replica_that_vanished_is_created_again_in_its_slot_with_backoff() {
    let desired = workload("web", 2, 2);
    let mut pass = Pass::of(&desired, replicas(&desired, 2));
    pass.snapshot.replicas.remove(0);
    let first = pass.decide();
    assert_eq!(created_slots(&first), [1]);
    assert_eq!(first.history.slots[&Slot(1)].restarts, 1);
    let again = pass.restarted(1, 1, Duration::from_secs(3)).decide();
    assert_eq!((created_slots(&again), again.next_pass), (vec![], Some(Duration::from_secs(7))));
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    let back = Timestamp(NOW.0 - 3_600_000);
    let desired = workload("web", 2, 5);
    let mut pass = Pass::of(&desired, replicas(&desired, 2));
    pass.snapshot.replicas.remove(0);
    let mut crashed = pass.restarted(1, 1, Duration::ZERO);
    crashed.history = crashed.decide_at(back).history;
    assert_eq!(created_slots(&crashed.decide_at(back.plus(Duration::from_secs(10)))), [1]);

    // A dependent is restarted once, and not again until the clock reaches the old time.
    let dependency = Dependency::Up { back: Some(NOW), fell: None };
    let history =
        History { dependencies: [(WorkloadKey::stored("db".to_owned()), dependency)].into(), ..History::default() };
    let brought = history.none_later_than(back).dependencies.into_values().next();
    assert_eq!(brought, Some(Dependency::Up { back: Some(back), fell: None }));

    let mut shrinks = Pass::of(&desired, replicas(&desired, 4)).steered_to(4);
    let mut guardrails = Guardrails::none();
    guardrails.down.window = Duration::from_secs(60);
    shrinks.desired.guardrails = Some(guardrails);
    shrinks.scaling = proposes(2);
    shrinks.history = shrinks.decide().history;
    shrinks.history = shrinks.decide_at(back).history;
    let before = shrinks.decide_at(back.plus(Duration::from_secs(59)));
    shrinks.history = before.history;
    let after = shrinks.decide_at(back.plus(Duration::from_secs(60)));
    assert_eq!((before.target, after.target), (4, 2));
}

#[test]
fn what_was_created_and_never_started_is_started() {
    let desired = workload("web", 1, 1);
    let mut left = running(&desired, 1, 1_000);
    left.phase = Phase::Starting;
    left.started_at = None;
    let plan = Pass::of(&desired, vec![left.clone()]).decide();
    assert_eq!(plan.steps, [Step::Start { replica: left.id, reason: "it was created and never started".to_owned() }]);
}

#[test]
fn a_stopped_workload_keeps_one_replica_that_never_starts() {
    let mut desired = workload("web", 2, 5);
    desired.resources.status = DesiredStatus::Stopped;
    let plan = Pass::of(&desired, vec![]).decide();
    assert!(matches!(plan.steps.as_slice(), [Step::Create { slot: Slot(1), start: false, .. }]));
    assert_eq!(plan.held_by, Some(HeldBy::Stopped));
    let one = exited(running(&desired, 1, 1_000), 0);
    assert_eq!(Pass::of(&desired, vec![one]).decide().steps, []);
}

#[test]
fn a_policy_may_ask_to_be_evaluated_sooner_but_not_in_a_spin() {
    let desired = workload("web", 1, 1);
    let asked = |after| {
        let mut pass = Pass::of(&desired, replicas(&desired, 1));
        pass.scaling = proposes(1).map(|decision| ScalingDecision { evaluate_after: Some(after), ..decision });
        pass.decide().evaluate_after
    };
    assert_eq!(asked(3_000), Some(Duration::from_secs(3)));
    assert_eq!(asked(0), Some(SHORTEST_EVALUATE_AFTER));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn passes()(
            min in 0u32..6,
            extra in 0u32..6,
            target in 0u32..20,
            proposal in prop_oneof![Just(None), (0u32..20).prop_map(Some)],
            states in prop::collection::vec((0u8..4, 0u8..3), 0..12),
        ) -> Pass {
            let mut desired = workload("web", min, (min + extra).max(1));
            desired.key = WorkloadKey::stored("web");
            let there: Vec<Replica> = (1..).zip(&states).map(|(slot, (phase, _))| {
                let mut replica = running(&desired, slot, u64::from(slot) * 1_000);
                replica.phase = [Phase::Running, Phase::Exited, Phase::Held, Phase::Stopping][usize::from(*phase)];
                replica
            }).collect();
            let remedies = [Remedy::None, Remedy::Restart, Remedy::Replace];
            let said: Vec<_> = there.iter().zip(&states).map(|(replica, (_, remedy))| (replica, remedies[usize::from(*remedy)])).collect();
            let health = says(&said);
            let mut pass = Pass::of(&desired, there).steered_to(target);
            pass.health = health;
            pass.scaling = proposal.map_or_else(unavailable, proposes);
            pass
        }
    }

    proptest! {
        #[test]
        fn no_verdict_moves_the_count_out_of_its_bounds(pass in passes()) {
            let plan = pass.decide();
            prop_assert!(plan.target >= pass.desired.bounds.min() && plan.target <= pass.desired.bounds.max());
            let counted = pass.snapshot.counted().count();
            let after = counted + created_slots(&plan).len() - removed(&plan).len();
            prop_assert!(after <= counted.max(plan.target as usize));
            if counted > plan.target as usize {
                prop_assert_eq!(after, plan.target as usize);
            }
        }

        #[test]
        fn no_replica_is_the_object_of_two_steps_and_no_slot_filled_twice(pass in passes()) {
            let plan = pass.decide();
            let mut objects = BTreeSet::new();
            let mut slots: BTreeSet<Slot> =
                pass.snapshot.replicas.iter().map(|replica| replica.slot).collect();
            for step in &plan.steps {
                match step {
                    Step::Create { slot, .. } => prop_assert!(slots.insert(*slot)),
                    Step::Start { replica, .. }
                    | Step::Remove { replica, .. }
                    | Step::Restart { replica, .. }
                    | Step::Replace { replica, .. }
                    | Step::Supersede { replica, .. }
                    | Step::Renew { replica, .. } => prop_assert!(objects.insert(replica.clone())),
                    Step::SetCount { .. } | Step::Deploy { .. } => prop_assert!(false, "there is no service"),
                }
            }
        }

        #[test]
        fn nobody_on_hold_is_touched(pass in passes()) {
            let plan = pass.decide();
            for step in &plan.steps {
                let (Step::Start { replica, .. } | Step::Remove { replica, .. } | Step::Restart { replica, .. } | Step::Replace { replica, .. }) = step else { continue };
                let phase = pass.snapshot.replica(replica).map(|replica| replica.phase);
                prop_assert!(matches!(phase, Some(Phase::Running | Phase::Exited)));
            }
        }
    }
}

#[test]
fn a_workload_that_only_recommends_does_nothing_and_says_what_it_would() {
    let mut desired = workload("web", 2, 5);
    let mut pass = Pass::of(&desired, replicas(&desired, 1));
    let acting = pass.decide();
    assert!(!acting.steps.is_empty() && acting.recommended.is_none());
    desired.policies.mode = Some(Mode::Recommend);
    pass.target = 1;
    pass.desired = desired;
    let plan = pass.decide();
    let recommended = plan.recommended.expect("a recommendation");
    assert_eq!((recommended.target, recommended.steps), (acting.target, acting.steps));
    assert_eq!((plan.target, plan.steps.len(), &plan.history.slots), (1, 0, &pass.history.slots));
    // The policies keep their memory: the mode changes nothing for them.
    assert_eq!(plan.history.scaling_memory, [9]);
    assert!(plan.reason.starts_with("only recommended: "), "{}", plan.reason);
}
