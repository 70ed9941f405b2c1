//! Workloads whose replicas a Swarm keeps: the plan sets one number, or nothing.

use super::*;
use windlass_core::{Declaration, PendingReplica, ServiceSeen, ServiceState, ServiceUpdate};

/// The version of every service.
const VERSION: u64 = 7;

fn service(count: u32) -> ServiceState {
    ServiceState {
        id: "service".to_owned(),
        version: VERSION,
        count,
        update: ServiceUpdate::None,
        update_message: String::new(),
        pending: Vec::new(),
        is_redeployed: false,
    }
}

/// A replica that has waited for a node since so long ago.
fn pending(slot: u32, ago: Duration) -> PendingReplica {
    let reason = "no suitable node (insufficient resources on 2 nodes)".to_owned();
    PendingReplica { slot: Slot(slot), since: NOW.minus(ago), reason }
}

/// A pass over a service of this count with a replica in each slot, all on one node.
fn kept(min: u32, max: u32, count: u32) -> Pass {
    let desired = workload("web", min, max);
    let mut pass = Pass::of(&desired, replicas(&desired, count)).steered_to(count);
    pass.history.since = Some(Timestamp(0));
    pass.snapshot.service = ServiceSeen::Found(service(count));
    pass
}

impl Pass {
    fn with(mut self, change: impl FnOnce(&mut ServiceState)) -> Self {
        let ServiceSeen::Found(service) = &mut self.snapshot.service else { panic!("no service") };
        change(service);
        self
    }

    fn proposing(self, count: u32) -> Self {
        Self { scaling: proposes(count), ..self }
    }

    fn overridden(mut self, overrides: Overrides) -> Self {
        self.desired.overrides = overrides;
        self
    }
}

fn force(replicas: u32) -> Overrides {
    Overrides { force: Some(Force { replicas, until: NOW.plus(Duration::from_secs(60)) }), ..Overrides::default() }
}

/// The count that a plan sets. `None` if it sets none. Panics at a step that no service may have.
fn set(plan: &Plan) -> Option<u32> {
    match plan.steps.as_slice() {
        [] => None,
        [Step::SetCount { to, version: VERSION, .. }] => Some(*to),
        other => panic!("{other:?}"),
    }
}

fn kinds(plan: &Plan) -> Vec<AlertKind> {
    plan.alerts.iter().map(|alert| alert.kind).collect()
}

fn leaving(plan: &Plan) -> Vec<&str> {
    match plan.steps.as_slice() {
        [Step::SetCount { leaving, .. }] => leaving.iter().map(ContainerId::as_str).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_count_follows_the_policy_in_one_step() {
    for (proposal, to) in [(3, None), (5, Some(5)), (2, Some(2)), (9, Some(6)), (0, Some(1))] {
        let plan = kept(1, 6, 3).proposing(proposal).decide();
        assert_eq!((set(&plan), plan.target), (to, proposal.clamp(1, 6)), "{proposal}");
    }
    let plan = kept(1, 6, 3).proposing(5).decide();
    assert_eq!(plan.steps[0].reason(), "scale-out from 3 to 5");
    assert_eq!(plan.reason, "because");
}

#[test]
fn replicas_of_a_service_are_not_repaired_and_a_person_hears_of_them() {
    let mut pass = kept(1, 6, 3);
    let sick = pass.snapshot.replicas[0].clone();
    pass.snapshot.replicas[1] = exited(pass.snapshot.replicas[1].clone(), 1);
    pass.snapshot.replicas.remove(2);
    pass.health = says(&[(&sick, Remedy::Restart), (&pass.snapshot.replicas[1], Remedy::Replace)]);
    let plan = pass.decide();
    assert_eq!((set(&plan), plan.deferred.len()), (None, 0), "a missing, an ended and an unhealthy replica");
    assert_eq!(kinds(&plan), [AlertKind::Unhealthy]);
    assert_eq!((plan.alerts[0].slot, plan.alerts[0].since), (Some(Slot(1)), NOW));
    assert!(plan.alerts[0].reason.contains("it is ill"), "{}", plan.alerts[0].reason);
    // The same condition keeps its beginning.
    pass.history = plan.history;
    assert_eq!(pass.decide_at(NOW.plus(Duration::from_secs(9))).alerts[0].since, NOW);
}

#[test]
fn a_replica_that_fails_again_and_again_is_an_alert_that_lasts_between_its_starts() {
    let mut pass = kept(1, 6, 2);
    pass.snapshot.replicas[1].engine_restarts = 3;
    pass.snapshot.replicas[1].started_at = Some(NOW);
    let plan = pass.decide();
    assert_eq!((set(&plan), kinds(&plan)), (None, vec![AlertKind::CrashLoop]));
    let second = pass.snapshot.replicas.remove(1);
    pass.history = plan.history;
    let later = NOW.plus(Duration::from_secs(5));
    let plan = pass.decide_at(later);
    assert_eq!((kinds(&plan), plan.alerts[0].since), (vec![AlertKind::CrashLoop], NOW));
    // Its absence keeps nothing from shrinking.
    assert_eq!(set(&Pass { scaling: proposes(1), history: plan.history.clone(), ..pass }.decide_at(later)), Some(1));
    let mut well = kept(1, 6, 2);
    well.history = plan.history;
    well.snapshot.replicas[1] = Replica { started_at: Some(NOW), ..second };
    assert!(kinds(&well.decide_at(NOW.plus(Duration::from_secs(600)))).is_empty(), "it runs for ten minutes");
}

#[test]
fn nothing_is_set_while_the_engine_updates_the_service_except_by_force() {
    for update in
        [ServiceUpdate::Updating, ServiceUpdate::Paused, ServiceUpdate::RollingBack, ServiceUpdate::RollbackPaused]
    {
        let updating = |pass: Pass| pass.with(|service| service.update = update);
        let plan = updating(kept(1, 6, 3).proposing(5)).decide();
        assert_eq!((set(&plan), plan.target, plan.held_by), (None, 3, Some(HeldBy::Update)), "{update:?}");
        assert!(plan.reason.starts_with("held at 3: Swarm "), "{}", plan.reason);
        // A step of the bounds waits, too; the target is within them at once.
        let plan = updating(kept(4, 6, 3)).decide();
        assert_eq!((set(&plan), plan.target, plan.held_by), (None, 4, Some(HeldBy::Update)), "{update:?}");
        let plan = updating(kept(1, 6, 3).overridden(force(5))).decide();
        assert_eq!((set(&plan), plan.held_by), (Some(5), Some(HeldBy::Force)), "{update:?}");
        assert!(plan.steps[0].reason().ends_with("; Swarm begins its update of the service anew"));
        let paused = matches!(update, ServiceUpdate::Paused | ServiceUpdate::RollbackPaused);
        let plan = updating(kept(1, 6, 3)).decide();
        assert_eq!(kinds(&plan) == [AlertKind::RolloutPaused], paused, "{:?}", plan.alerts);
        assert_eq!(plan.held_by, None, "nothing is held");
    }
    let plan = kept(1, 6, 3).proposing(5).with(|service| service.update = ServiceUpdate::Updating).decide();
    let expected = "held at 3: Swarm is updating the service; the count changes when the update is done; `min-max` \
                    proposed 5: because";
    assert_eq!(plan.reason, expected);
}

#[test]
fn a_deploy_that_resets_the_count_is_put_back_when_it_is_done() {
    let deployed = || kept(1, 9, 2).steered_to(5).with(|service| service.is_redeployed = true);
    let plan = deployed().with(|service| service.update = ServiceUpdate::Updating).decide();
    assert_eq!((set(&plan), plan.target, plan.held_by), (None, 5, Some(HeldBy::Update)));
    assert!(plan.reason.ends_with("; a deploy set the count of the service to 2"), "{}", plan.reason);
    let plan = deployed().decide();
    assert_eq!((set(&plan), plan.target), (Some(5), 5));
    assert_eq!(plan.steps[0].reason(), "a deploy set the count to 2, and it is put back to 5");
    let plan = Pass { scaling: unavailable(), ..deployed() }.decide();
    assert_eq!(set(&plan), Some(5), "a policy is not needed for that");
    // The same for a count that somebody set by hand.
    assert_eq!(set(&kept(1, 9, 7).steered_to(5).decide()), Some(5));
}

#[test]
fn a_count_that_others_may_set_is_where_a_pass_begins() {
    let by_hand = || kept(1, 9, 7).steered_to(3);
    // A service that is new here keeps its count within the bounds.
    let mut new = by_hand();
    new.history.since = None;
    new.desired.guardrails = Some(Guardrails { grace: Duration::from_secs(60), ..Guardrails::none() });
    let plan = new.decide();
    assert_eq!((set(&plan), plan.target, plan.held_by), (None, 7, Some(HeldBy::Grace)));
    new.desired.bounds = windlass_core::Bounds::new(1, 5).expect("bounds");
    assert_eq!(set(&new.decide()), Some(5));
    // An operator who pauses scaling may scale by hand. A deploy during that is put back.
    let paused = || by_hand().overridden(Overrides { paused: true, ..Overrides::default() });
    let plan = paused().decide();
    assert_eq!((set(&plan), plan.target, plan.held_by), (None, 7, Some(HeldBy::Pause)));
    assert_eq!(set(&paused().with(|service| service.is_redeployed = true).decide()), Some(3));
    // A workload that only recommends follows its service.
    let mut watched = by_hand().proposing(4);
    watched.desired.policies.mode = Some(Mode::Recommend);
    let plan = watched.decide();
    assert_eq!((set(&plan), plan.target, plan.history.target), (None, 7, Some(7)));
    let recommended = plan.recommended.expect("a recommendation");
    assert!(matches!(recommended.steps[..], [Step::SetCount { to: 4, .. }]), "{recommended:?}");
}

#[test]
fn without_room_nothing_is_added_and_a_person_hears_why() {
    let crowded = |ago| kept(1, 9, 4).proposing(6).with(|service| service.pending = vec![pending(4, ago)]);
    let (short, long) = (Duration::from_secs(59), Duration::from_secs(60));
    let plan = crowded(short).decide();
    assert_eq!((set(&plan), plan.next_pass), (Some(6), Some(Duration::from_secs(1))));
    let plan = crowded(long).decide();
    assert_eq!((set(&plan), plan.target, plan.held_by), (None, 4, Some(HeldBy::NoRoom)));
    let why =
        "Swarm has found no node for 1 replica for a minute: no suitable node (insufficient resources on 2 nodes)";
    assert!(plan.reason.starts_with(&format!("held at 4: {why}")), "{}", plan.reason);
    assert_eq!((kinds(&plan), plan.alerts[0].since), (vec![AlertKind::NoRoom], NOW.minus(long)));
    assert_eq!(plan.alerts[0].reason, why);
    // The bounds and an operator may ask for more; a deploy that is put back waits.
    assert_eq!(set(&crowded(long).overridden(force(6)).decide()), Some(6));
    let mut least = crowded(long);
    least.desired.bounds = windlass_core::Bounds::new(5, 9).expect("bounds");
    assert_eq!(set(&least.decide()), Some(5));
    assert_eq!(set(&crowded(long).steered_to(6).decide()), None);
    // A replica that waits keeps nothing from shrinking, and is the first to go.
    let mut fewer = crowded(long).proposing(3);
    let waiting = &mut fewer.snapshot.replicas[3];
    (waiting.phase, waiting.started_at) = (Phase::Starting, None);
    let id = waiting.id.to_string();
    let plan = fewer.decide();
    assert_eq!((set(&plan), leaving(&plan)), (Some(3), vec![id.as_str()]));
}

#[test]
fn a_swarm_removes_replicas_in_its_own_order() {
    let mut pass = kept(1, 9, 6).proposing(1);
    let id = |slot: u32| pass.snapshot.replicas[slot as usize - 1].id.clone();
    // Three replicas on `a`, two on `b`, one on `c`; the one in slot 2 does not run.
    pass.snapshot.nodes = [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b"), (6, "c")]
        .map(|(slot, node)| (id(slot), node.to_owned()))
        .into();
    pass.snapshot.replicas[1].phase = Phase::Exited;
    let slots = |pass: &Pass| {
        let plan = pass.decide();
        let slot = |id: &str| pass.snapshot.replica(&ContainerId(id.to_owned())).map(|replica| replica.slot.0);
        leaving(&plan).into_iter().filter_map(slot).collect::<Vec<_>>()
    };
    // Slot 2 is the third on `a`, because those that run count first; then the second ones, then the first ones.
    assert_eq!(slots(&pass), [2, 5, 4, 6, 3]);
    // Two tasks in a slot, and one without a node, go first.
    let twin = Replica { id: ContainerId("twin".to_owned()), ..pass.snapshot.replicas[0].clone() };
    pass.snapshot.replicas.push(twin);
    pass.snapshot.nodes.remove(&pass.snapshot.replicas[2].id.clone());
    (pass.snapshot.replicas[2].phase, pass.snapshot.replicas[2].started_at) = (Phase::Starting, None);
    assert_eq!(slots(&Pass { target: 3, scaling: proposes(3), ..pass }), [3, 1, 1, 2]);
}

#[test]
fn a_protected_replica_that_the_engine_would_remove_keeps_the_count() {
    let protecting = |slots: &[u32]| {
        let mut pass = kept(1, 9, 5).proposing(2);
        let replicas = &pass.snapshot.replicas;
        pass.protected = slots.iter().map(|slot| replicas[*slot as usize - 1].id.clone()).collect();
        pass
    };
    // Without nodes, the highest slots go first: 5, 4, 3.
    assert_eq!(set(&protecting(&[1]).decide()), Some(2));
    let plan = protecting(&[4]).decide();
    assert_eq!((set(&plan), plan.target), (Some(4), 2));
    assert!(plan.reason.ends_with("; 2 more replicas stay because Swarm would remove a protected one"));
    assert_eq!(set(&protecting(&[5]).decide()), None);
    // Not against an operator and the bounds, and the step says so.
    let plan = protecting(&[5, 4]).overridden(force(3)).decide();
    assert_eq!(set(&plan), Some(3));
    let expected = "scale-in from 5 to 3; 2 of the removed replicas are protected, and protection holds against \
                    policies only";
    assert_eq!(plan.steps[0].reason(), expected);
    let mut bounded = protecting(&[5]);
    bounded.desired.bounds = windlass_core::Bounds::new(1, 4).expect("bounds");
    assert_eq!(set(&bounded.decide()), Some(4));
}

#[test]
fn a_missing_service_is_created_if_it_is_ours() {
    let missing = || {
        let mut pass = kept(2, 9, 0).steered_to(2);
        pass.snapshot.service = ServiceSeen::Missing;
        pass
    };
    let plan = missing().decide();
    assert!(matches!(plan.steps[..], [Step::Deploy { count: 2, .. }]), "{:?}", plan.steps);
    let mut adopted = missing();
    adopted.desired.declaration = Declaration::Swarm { service: "web".to_owned() };
    let plan = adopted.decide();
    assert_eq!((plan.steps.len(), plan.target), (0, 2));
    assert!(plan.reason.starts_with("the service does not exist"), "{}", plan.reason);
    // A service that appears is new: its count stays.
    let appeared = Pass { history: plan.history, desired: adopted.desired, ..kept(2, 9, 6) }.steered_to(2);
    let appeared = Pass { scaling: unavailable(), ..appeared }.decide();
    assert_eq!((set(&appeared), appeared.target), (None, 6));
    let mut waiting = missing();
    waiting.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
    assert!(waiting.decide().steps.is_empty());
}

#[test]
fn while_a_dependency_is_down_the_count_stays() {
    let mut pass = kept(1, 9, 3).proposing(5);
    pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
    let plan = pass.decide();
    assert_eq!((set(&plan), plan.held_by), (None, Some(HeldBy::Dependency)));
    let plan = pass.overridden(force(5)).decide();
    assert_eq!(set(&plan), None);
    assert!(
        plan.reason.ends_with("dependency `db` is down, and no replica is added until it is up"),
        "{}",
        plan.reason
    );
}

#[test]
fn a_count_that_the_engine_refuses_is_set_again_ever_more_slowly_and_is_an_alert() {
    let mut pass = kept(1, 9, 3).steered_to(5);
    let mut now = NOW;
    for tries in 1..=3 {
        let mut plan = pass.decide_at(now);
        assert_eq!(set(&plan), Some(5), "try {tries}");
        assert!(kinds(&plan).is_empty(), "try {tries}");
        remember_failures(&mut plan.history, &[Failure::NotSet { error: "403 Forbidden".to_owned() }], now);
        pass.history = plan.history;
        let plan = pass.decide_at(now);
        assert_eq!(set(&plan), None, "it waits");
        let wait = plan.next_pass.expect("a wait");
        assert_eq!(wait, Duration::from_secs(10 << (tries - 1)));
        now = now.plus(wait);
    }
    let plan = pass.decide_at(now);
    assert_eq!((set(&plan), kinds(&plan)), (Some(5), vec![AlertKind::Blocked]));
    assert!(plan.alerts[0].reason.contains("403 Forbidden"), "{}", plan.alerts[0].reason);
    let done = Pass { history: plan.history, ..kept(1, 9, 5) };
    assert_eq!(done.decide_at(now).history.service.refused, None);
}

#[test]
fn a_stopped_workload_gets_no_replica_that_the_engine_would_start() {
    let mut pass = kept(1, 9, 0);
    pass.desired.resources.status = DesiredStatus::Stopped;
    assert!(pass.decide().steps.is_empty());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn services()(
            (min, extra, target, count) in (0u32..6, 0u32..6, 0u32..20, 0u32..14),
            proposal in prop_oneof![Just(None), (0u32..20).prop_map(Some)],
            states in prop::collection::vec((0u8..5, 0u8..3, any::<bool>(), 0u8..3), 0..12),
            (update, waiting, is_redeployed, is_known) in (0u8..5, prop::collection::vec(1u32..14, 0..3), any::<bool>(), any::<bool>()),
            (forced, paused, is_down, recommends) in
                (prop_oneof![3 => Just(None), 1 => (0u32..20).prop_map(Some)], any::<bool>(), any::<bool>(), any::<bool>()),
        ) -> Pass {
            let desired = workload("web", min, (min + extra).max(1));
            let phases = [Phase::Running, Phase::Exited, Phase::Starting, Phase::Stopping, Phase::Unknown];
            let there: Vec<Replica> = (1..).zip(&states).map(|(slot, (phase, ..))| {
                let mut replica = running(&desired, slot, u64::from(slot) * 1_000);
                replica.phase = phases[usize::from(*phase)];
                replica
            }).collect();
            let remedies = [Remedy::None, Remedy::Restart, Remedy::Replace];
            let said: Vec<_> = there.iter().zip(&states).map(|(it, (_, remedy, ..))| (it, remedies[usize::from(*remedy)])).collect();
            let mut pass = Pass { health: says(&said), ..Pass::of(&desired, there.clone()) }.steered_to(target);
            pass.scaling = proposal.map_or_else(unavailable, proposes);
            pass.protected = there.iter().zip(&states).filter(|(_, it)| it.2).map(|(it, _)| it.id.clone()).collect();
            pass.snapshot.nodes = there.iter().zip(&states).map(|(it, state)| (it.id.clone(), state.3.to_string())).collect();
            let updates = [
                ServiceUpdate::None, ServiceUpdate::Updating, ServiceUpdate::Paused, ServiceUpdate::RollingBack,
                ServiceUpdate::RollbackPaused,
            ];
            pass.snapshot.service = ServiceSeen::Found(ServiceState {
                update: updates[usize::from(update)],
                pending: waiting.iter().map(|slot| pending(*slot, Duration::from_secs(u64::from(*slot) * 10))).collect(),
                is_redeployed,
                ..service(count)
            });
            pass.history.since = is_known.then_some(Timestamp(0));
            if is_down {
                pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
            }
            let overrides = Overrides { paused, ..forced.map_or_else(Overrides::default, force) };
            pass.desired.policies.mode = recommends.then_some(Mode::Recommend);
            pass.overridden(overrides)
        }
    }

    proptest! {
        #[test]
        fn a_plan_for_a_service_sets_one_number_within_the_bounds_and_none_during_an_update(pass in services()) {
            let plan = pass.decide();
            let bounds = pass.desired.bounds;
            prop_assert!(bounds.clamp(plan.target) == plan.target);
            prop_assert!(plan.steps.len() <= 1 && plan.deferred.is_empty());
            let service = pass.snapshot.service.state().expect("a service");
            for step in plan.steps.iter().chain(plan.recommended.iter().flat_map(|it| &it.steps)) {
                let Step::SetCount { to, version, leaving, .. } = step else { panic!("{step:?}") };
                prop_assert!(bounds.clamp(*to) == *to && *to != service.count && *version == VERSION);
                prop_assert!(leaving.is_empty() || *to < service.count);
                let is_forced = pass.desired.overrides.force.is_some();
                prop_assert!(service.update == ServiceUpdate::None || is_forced);
                prop_assert!(*to < service.count || pass.snapshot.dependencies.is_empty());
            }
        }
    }
}
