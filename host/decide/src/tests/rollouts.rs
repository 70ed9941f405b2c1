//! Rollouts: outdated replicas are replaced a share at a time, and a generation that fails stops the replacement.

use super::*;
use windlass_core::{Generation, MadeFrom, RolloutMode, RolloutOrder};

/// A workload whose containers follow the plans.
struct World {
    pass: Pass,
    now: Timestamp,
    created: u32,
    /// Generations whose replicas fail.
    broken: BTreeSet<Generation>,
    last: Option<Plan>,
}

impl World {
    /// A workload with this many replicas of the generation before.
    fn outdated(replicas: u32) -> Self {
        let mut old = workload("web", replicas, 20);
        old.ports = serde_json::from_str(r#"{"80/tcp": 0}"#).expect("ports");
        Self::changed(&old, replicas)
    }

    fn changed(old: &Workload, replicas: u32) -> Self {
        let there = (1..=replicas).map(|slot| made(old, slot, u64::from(slot) * 1_000)).collect();
        let mut desired = old.clone();
        desired.env.insert("A".to_owned(), "2".to_owned());
        desired.previous = Some(Box::new(old.specification()));
        let pass = Pass::of(&desired, there).steered_to(replicas);
        let mut world = Self { pass, now: NOW, created: 0, broken: BTreeSet::new(), last: None };
        world.observe();
        world
    }

    fn new_generation(&self) -> Generation {
        self.pass.desired.generation()
    }

    /// The health of the replicas that are there: healthy, unless their generation is broken.
    fn observe(&mut self) {
        let (works, broken): (Vec<Replica>, Vec<Replica>) =
            self.pass.snapshot.replicas.iter().cloned().partition(|it| {
                it.phase == Phase::Running
                    && it.made_from.generation.as_ref().is_none_or(|it| !self.broken.contains(it))
            });
        let ill: Vec<(&Replica, Remedy)> = broken.iter().map(|replica| (replica, Remedy::Replace)).collect();
        self.pass.health = says(&ill);
        let status =
            |replicas: &[Replica], status| replicas.iter().map(|it| (it.id.clone(), status)).collect::<Vec<_>>();
        self.pass.snapshot.health =
            status(&works, HealthStatus::Healthy).into_iter().chain(status(&broken, HealthStatus::Unhealthy)).collect();
    }

    /// Makes a pass and carries out its steps; the next one is this much later.
    fn pass(&mut self, seconds: u64) -> Plan {
        let plan = self.pass.decide_at(self.now);
        let desired = &self.pass.desired;
        let wanted = if plan.uses_previous { desired.of_previous_generation() } else { None };
        let wanted = wanted.unwrap_or_else(|| desired.clone());
        for step in &plan.steps {
            let (gone, slot) = match step {
                Step::Create { slot, .. } => (None, Some(*slot)),
                Step::Remove { replica, .. } => (Some(replica), None),
                Step::Replace { replica, slot, .. }
                | Step::Supersede { replica, slot, .. }
                | Step::Renew { replica, slot, .. } => (Some(replica), Some(*slot)),
                Step::Start { .. } | Step::Restart { .. } | Step::SetCount { .. } | Step::Deploy { .. } => (None, None),
            };
            self.pass.snapshot.replicas.retain(|known| Some(&known.id) != gone);
            if let Some(slot) = slot {
                self.created += 1;
                let replica = made(&wanted, slot.0, self.now.0 + u64::from(self.created));
                self.pass.snapshot.replicas.push(replica);
            }
        }
        self.pass.history = plan.history.clone();
        self.pass.target = plan.target;
        self.now = Timestamp(self.now.0 + seconds * 1_000);
        self.pass.snapshot.at = self.now;
        self.observe();
        self.last = Some(plan.clone());
        plan
    }

    fn outdated_now(&self) -> usize {
        self.pass.desired.outdated(&self.pass.snapshot.replicas).len()
    }

    fn serving(&self) -> usize {
        self.pass.snapshot.health.values().filter(|health| **health == HealthStatus::Healthy).count()
    }

    fn alerts(&self) -> Vec<AlertKind> {
        self.last.iter().flat_map(|plan| &plan.alerts).map(|alert| alert.kind).collect()
    }

    /// Ends the process of a replica.
    fn end(&mut self, slot: u32) {
        let replicas = self.pass.snapshot.replicas.iter_mut();
        for replica in replicas.filter(|replica| replica.slot == Slot(slot)) {
            *replica = exited(replica.clone(), 1);
        }
        self.observe();
    }
}

/// A running replica with the label of its generation.
fn made(workload: &Workload, slot: u32, since: u64) -> Replica {
    let made_from = MadeFrom { generation: Some(workload.generation()), image_id: Some("sha256:01".to_owned()) };
    Replica { made_from, ..running(workload, slot, since) }
}

#[test]
fn a_new_replica_is_ready_for_long_enough_before_an_old_one_goes() {
    let mut world = World::outdated(3);
    let plan = world.pass(4);
    assert_eq!((created_slots(&plan), removed(&plan)), (vec![4], vec![]));
    assert_eq!(plan.reason, "because; 3 of 3 replicas are outdated");
    let plan = world.pass(4);
    assert_eq!((plan.steps, plan.next_pass), (vec![], Some(Duration::from_secs(10))), "it is ready since now");
    assert_eq!(world.pass(5).next_pass, Some(Duration::from_secs(6)));
    assert_eq!(world.pass(1).steps, []);
    // Ready for 10 s: the oldest goes, and the next new one starts.
    let plan = world.pass(4);
    assert_eq!((created_slots(&plan), removed(&plan)), (vec![5], vec!["id-1-1000"]));
}

#[test]
fn the_old_one_goes_first_where_a_port_of_the_host_is_fixed() {
    let mut old = workload("web", 1, 1);
    old.ports = serde_json::from_str(r#"{"80/tcp": 8080}"#).expect("ports");
    let mut world = World::changed(&old, 1);
    world.pass.desired.rollout.order = Some(RolloutOrder::StartFirst);
    let plan = world.pass(20);
    assert!(matches!(plan.steps.as_slice(), [Step::Renew { slot: Slot(1), .. }]), "{:?}", plan.steps);
    for _ in 0..3 {
        world.pass(20);
    }
    assert_eq!((world.outdated_now(), world.pass.history.rollout.clone()), (0, None));
}

#[test]
fn every_rollout_ends_and_keeps_the_count_on_the_way() {
    for order in [RolloutOrder::StartFirst, RolloutOrder::StopFirst] {
        for count in 1..=7_u32 {
            for share in [0.01, 0.34, 1.0] {
                let mut world = World::outdated(count);
                world.pass.desired.rollout.order = Some(order);
                world.pass.settings.heal_share = share;
                let cap = crate::repair::repair_cap(count as usize, share);
                for round in 0.. {
                    let plan = world.pass(7);
                    let (there, serving) = (world.pass.snapshot.replicas.len(), world.serving());
                    let context = format!("{order:?} {count} {share} round {round}: {:?}", plan.steps);
                    match order {
                        RolloutOrder::StartFirst => {
                            assert!(serving >= count as usize && there <= count as usize + cap, "{context}");
                        }
                        RolloutOrder::StopFirst => {
                            assert_eq!(there, count as usize, "{context}");
                            assert!(plan.steps.len() <= cap, "{context}");
                        }
                    }
                    assert!(round < 60, "{context}: {} are outdated", world.outdated_now());
                    if world.outdated_now() == 0 && world.pass.history.rollout.is_none() {
                        break;
                    }
                }
                assert_eq!(world.pass.snapshot.replicas.len(), count as usize);
                assert_eq!(world.pass.history.proven, Some(world.new_generation()));
                assert_eq!((world.pass(1).steps, world.alerts()), (vec![], vec![]), "nothing is left to do");
            }
        }
    }
}

#[test]
fn failed_new_replicas_pause_the_rollout_and_the_old_ones_stay() {
    for order in [RolloutOrder::StartFirst, RolloutOrder::StopFirst] {
        let mut world = World::outdated(3);
        world.pass.desired.rollout.order = Some(order);
        world.broken.insert(world.new_generation());
        let mut created = 0;
        for round in 0..60 {
            let plan = world.pass(15);
            created += created_slots(&plan).len() + healed(&plan);
            assert!(world.serving() >= 2, "{order:?} round {round}: {:?}", plan.steps);
        }
        assert_eq!(world.alerts(), [AlertKind::RolloutPaused], "{order:?}");
        assert!(created <= 8, "{order:?}: {created} were created");
        let rollout = world.pass.history.rollout.clone().expect("a rollout");
        assert_eq!((rollout.failures, rollout.last_failure.as_str()), (3, "it is ill"), "{order:?}");
        // Three replicas of the generation before serve again.
        assert_eq!((world.serving(), world.outdated_now()), (3, 3), "{order:?}");
        let alert = world.last.as_ref().and_then(|plan| plan.alerts.first()).expect("an alert").reason.clone();
        assert_eq!(
            alert,
            "the rollout is paused after 3 failed new replicas in a row: it is ill; 3 of 3 replicas are outdated; correct \
             the workload and start it again, or return with `POST /images/web/rollback`"
        );
        // An old one that fails is replaced by one of its own generation.
        world.end(2);
        let plan = (0..3).map(|_| world.pass(15)).find(|plan| !plan.steps.is_empty()).expect("a repair");
        assert!(plan.uses_previous, "{order:?}");
        assert_eq!((world.serving(), world.outdated_now()), (3, 3), "{order:?}");
    }
}

#[test]
fn the_only_replica_comes_back_as_it_was_when_the_new_one_fails() {
    let mut old = workload("web", 1, 1);
    old.ports = serde_json::from_str(r#"{"80/tcp": 8080}"#).expect("ports");
    let mut world = World::changed(&old, 1);
    world.broken.insert(world.new_generation());
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!((world.serving(), world.outdated_now(), world.alerts()), (1, 1, vec![AlertKind::RolloutPaused]));
}

#[test]
fn a_replica_that_works_forgives_the_failures_before() {
    let mut world = World::outdated(2);
    world.broken.insert(world.new_generation());
    while world.pass.history.rollout.as_ref().is_none_or(|rollout| rollout.failures < 2) {
        world.pass(5);
    }
    world.broken.clear();
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.alerts()), (0, vec![]));
}

#[test]
fn a_new_replica_that_is_not_ready_in_time_has_failed() {
    let mut world = World::outdated(1);
    world.pass.desired.rollout.ready_within = Duration::from_secs(60);
    world.pass(1);
    let new = world.pass.snapshot.replicas.last().expect("the new one").id.clone();
    world.pass.snapshot.health.insert(new.clone(), HealthStatus::Starting);
    assert_eq!(world.pass.decide_at(world.now.plus(Duration::from_secs(50))).steps, []);
    let late = world.pass.decide_at(world.now.plus(Duration::from_secs(60)));
    let rollout = late.history.rollout.expect("a rollout");
    assert_eq!((rollout.failures, rollout.last_failure.as_str()), (1, "it was not ready within 1m"));
    assert_eq!(removed(&Plan { history: History::default(), ..late }), [new.as_str()], "the old one stays");
}

#[test]
fn a_paused_rollout_whose_replicas_could_not_be_created_tries_again() {
    let mut world = World::outdated(2);
    let refused = "registry: 429 too many requests".to_owned();
    for _ in 0..3 {
        let mut plan = world.pass.decide_at(world.now);
        assert_eq!(created_slots(&plan), [3]);
        remember_failed_rollout(&mut plan.history, std::slice::from_ref(&refused), true, world.now);
        world.pass.history = plan.history;
        world.now = world.now.plus(Duration::from_secs(60));
    }
    let plan = world.pass(60);
    assert_eq!((plan.steps, world.alerts()), (vec![], vec![AlertKind::RolloutPaused]));
    world.now = world.now.plus(world.pass.settings.backoff_max);
    world.observe();
    let plan = world.pass(15);
    assert_eq!((created_slots(&plan), plan.uses_previous), (vec![3], false), "{:?}", plan.deferred);
    for _ in 0..10 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.alerts()), (0, vec![]), "the cause is over");
}

#[test]
fn a_manual_rollout_only_reports_and_what_is_created_is_new() {
    let mut world = World::outdated(2);
    world.pass.desired.rollout.mode = RolloutMode::Manual;
    let plan = world.pass(60);
    assert_eq!((plan.steps, world.alerts()), (vec![], vec![AlertKind::Outdated]));
    assert_eq!(
        plan.alerts[0].reason,
        "2 of 2 replicas are outdated and not replaced, because the rollout mode is `manual`; a replica is new after you \
         remove its container"
    );
    assert_eq!(plan.reason, "because; 2 of 2 replicas are outdated and are not replaced: the rollout mode is `manual`");
    world.pass.scaling = proposes(3);
    assert_eq!(created_slots(&world.pass(60)), [3]);
    assert_eq!(world.outdated_now(), 2);
    world.pass.snapshot.replicas.retain(|replica| replica.slot != Slot(1));
    world.pass(60);
    assert_eq!((world.outdated_now(), world.pass.snapshot.replicas.len()), (1, 3));
}

#[test]
fn nothing_is_replaced_while_an_operator_or_a_dependency_forbids_it() {
    type Hold = fn(&mut World);
    let holds: [(&str, Hold); 8] = [
        ("paused", |world| world.pass.desired.overrides.paused = true),
        ("frozen up", |world| world.pass.desired.overrides.freeze_scale_up = true),
        ("frozen down", |world| world.pass.desired.overrides.freeze_scale_down = true),
        ("dependency", |world| {
            world.pass.snapshot.dependencies = [(WorkloadKey::stored("db"), DependencySeen::Down)].into();
        }),
        ("no health policy", |world| world.pass.health = unavailable()),
        ("protected", |world| {
            let all = world.pass.snapshot.replicas.iter().map(|replica| replica.id.clone());
            world.pass.history.protected = all.collect();
        }),
        ("given up", |world| {
            for slot in world.pass.history.slots.values_mut() {
                slot.given_up = Some(NOW);
            }
        }),
        ("stopped outside", |world| {
            for replica in &mut world.pass.snapshot.replicas {
                *replica = exited(replica.clone(), 0);
                world.pass.snapshot.stopped_outside.insert(replica.id.clone());
            }
        }),
    ];
    for (what, hold) in holds {
        let mut world = World::outdated(3);
        hold(&mut world);
        let plan = world.pass.decide_at(world.now);
        assert_eq!(plan.steps, [], "{what}");
        assert!(plan.reason.contains("3 of 3 replicas are outdated"), "{what}: {}", plan.reason);
    }
    assert!(!World::outdated(3).pass(1).steps.is_empty());
}

#[test]
fn a_protected_replica_stays_and_the_others_are_replaced() {
    let mut world = World::outdated(3);
    let kept = world.pass.snapshot.replicas[0].id.clone();
    world.pass.history.protected.insert(kept.clone());
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!(world.pass.desired.outdated(&world.pass.snapshot.replicas), [kept].into());
    assert_eq!((world.pass.snapshot.replicas.len(), world.alerts()), (3, vec![AlertKind::Outdated]));
}

#[test]
fn a_held_replica_is_replaced_only_after_its_release() {
    let mut world = World::outdated(2);
    world.pass.snapshot.replicas[0].phase = Phase::Held;
    world.pass.target = 1;
    world.pass.desired.bounds = windlass_core::Bounds::new(1, 5).expect("bounds");
    world.pass.scaling = proposes(1);
    for _ in 0..10 {
        world.pass(15);
    }
    let phases: Vec<Phase> = world.pass.snapshot.replicas.iter().map(|replica| replica.phase).collect();
    assert_eq!((phases, world.outdated_now()), (vec![Phase::Held, Phase::Running], 1));
    world.pass.snapshot.replicas[0].phase = Phase::Running;
    world.pass.scaling = proposes(2);
    for _ in 0..10 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.pass.snapshot.replicas.len()), (0, 2));
}

#[test]
fn no_policy_lowers_the_count_during_a_rollout_and_an_operator_may() {
    let mut world = World::outdated(4);
    world.pass.desired.bounds = windlass_core::Bounds::new(1, 20).expect("bounds");
    world.pass(1);
    world.pass.scaling = proposes(1);
    let plan = world.pass(1);
    assert_eq!((plan.target, plan.held_by), (4, Some(HeldBy::Rollout)));
    assert_eq!(
        plan.reason,
        "held at 4: scale-in waits until the rollout ends; `min-max` proposed 1: because; 4 of 5 replicas are outdated"
    );
    world.pass.desired.bounds = windlass_core::Bounds::new(1, 2).expect("bounds");
    let plan = world.pass(1);
    assert_eq!((plan.target, removed(&plan)), (2, vec!["id-1-1000", "id-2-2000"]), "the new one stays");
    world.pass.scaling = proposes(2);
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.pass.snapshot.replicas.len()), (0, 2));
}

#[test]
fn a_scale_out_during_a_rollout_makes_new_replicas() {
    let mut world = World::outdated(2);
    world.pass(15);
    world.pass.scaling = proposes(5);
    world.pass(1);
    assert_eq!(world.outdated_now(), 2);
    for _ in 0..30 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.pass.snapshot.replicas.len()), (0, 5));
}

#[test]
fn a_rollout_that_is_only_recommended_changes_nothing() {
    let mut world = World::outdated(2);
    let steps = world.pass.decide_at(world.now).steps;
    world.pass.desired.policies.mode = Some(Mode::Recommend);
    let plan = world.pass.decide_at(world.now);
    assert_eq!((plan.steps.len(), plan.recommended.map(|it| it.steps)), (0, Some(steps)));
    assert_eq!(plan.history.rollout, None);
    assert_eq!(plan.alerts[0].kind, AlertKind::Outdated);
}

#[test]
fn a_changed_wish_begins_a_new_rollout_also_after_a_pause() {
    let mut world = World::outdated(2);
    world.broken.insert(world.new_generation());
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!(world.alerts(), [AlertKind::RolloutPaused]);
    world.pass.desired.env.insert("A".to_owned(), "3".to_owned());
    for _ in 0..20 {
        world.pass(15);
    }
    assert_eq!((world.outdated_now(), world.serving(), world.alerts()), (0, 2, vec![]));
}

#[test]
fn replicas_of_two_images_are_alerted_and_left_alone() {
    let desired = workload("web", 2, 2);
    let mut there: Vec<Replica> = (1..=2).map(|slot| made(&desired, slot, u64::from(slot) * 1_000)).collect();
    there[1].made_from.image_id = Some("sha256:02".to_owned());
    let plan = Pass::of(&desired, there).decide();
    assert_eq!((plan.steps.len(), plan.alerts[0].kind), (0, AlertKind::Outdated));
    assert_eq!(
        plan.alerts[0].reason,
        "1 of 2 replicas was made from another image than the newest, because `web` leads to another one now; start the \
         workload with `?pull=true` to replace all"
    );
}
