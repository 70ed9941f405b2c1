//! The circuit breaker of a policy, with real components: the failures that open it, the policy that takes the place, and
//! the next attempts.

use std::path::Path;
use std::time::Duration;
use windlass_core::contract::{HealthObservation, ScalingObservation};
use windlass_core::policy::{PolicyCatalogue, PolicySource, ShadowPolicy};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyChoice, PolicyChoices, Timestamp, WorkloadKey};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_tests::hostile::{self, Kind, Stub};
use windlass_tests::policies::{choice, compiler, observation, push_of, unhurried};
use windlass_tests::wait::eventually;

const NAME: &str = "queue";
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

async fn open(data_dir: &Path) -> PolicyRegistry {
    let limits = PolicyLimits { trial_calls: 1, trial_failures: 1, ..unhurried() };
    PolicyRegistry::open(limits, compiler(), Defaults::default(), Some(data_dir)).await.expect("it opens")
}

/// Pushes a revision, and lets it pass its trial with the target count that it knows.
async fn push_proved(registry: &PolicyRegistry, stub: &Stub) {
    registry.push(push_of(NAME, stub.build())).await.expect("it is taken");
    assert!(decide(registry, "web", 2, 0).await.count.is_ok());
    eventually("the revision to be proved", Duration::from_secs(10), async || {
        let info = registry.find(NAME).expect("it is there");
        if info.revisions[0].proved { Ok(()) } else { Err(format!("{:?}", info.events)) }
    })
    .await;
}

struct Decided {
    policy: String,
    revision: u32,
    stands_in_for: Option<String>,
    count: Result<u32, String>,
    /// The sentences of the stand-ins.
    stand_ins: Vec<String>,
}

/// A decision for a workload with this target count, this long after the first.
async fn decide(registry: &PolicyRegistry, workload: &str, current: u32, after: u64) -> Decided {
    decide_by(registry, vec![choice(NAME)], workload, current, after).await
}

/// A decision of these scaling policies.
async fn decide_by(
    registry: &PolicyRegistry,
    scaling: Vec<PolicyChoice>,
    workload: &str,
    current: u32,
    after: u64,
) -> Decided {
    let choices = PolicyChoices { scaling, ..PolicyChoices::default() };
    let mut shown = ScalingObservation { current_replicas: current, ..observation() };
    shown.now = Timestamp(shown.now.0 + after);
    let policies = registry.of(&WorkloadKey::stored(workload), &choices, shown.now);
    let answer = policies.scaling.decide(&policies.scaling_config, &shown).await;
    let identity = policies.scaling.identity().clone();
    Decided {
        policy: identity.name,
        revision: identity.revision,
        stands_in_for: identity.stands_in_for,
        count: answer.map(|decision| decision.replicas).map_err(|failure| failure.reason),
        stand_ins: policies.stand_ins.into_iter().map(|stand_in| stand_in.reason).collect(),
    }
}

/// Lets the acting revision fail five times in a row for `web`: it traps where the target count is not 2.
async fn fail_five_times(registry: &PolicyRegistry, revision: u32) {
    for _ in 0..5 {
        let decided = decide(registry, "web", 7, 0).await;
        assert_eq!((decided.revision, decided.count.is_err(), decided.stand_ins.len()), (revision, true, 0));
    }
}

#[tokio::test]
async fn a_proved_revision_that_fails_gives_way_to_the_one_before_it_and_is_tried_again() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path()).await;
    push_proved(&registry, &hostile::proposes(3)).await;
    push_proved(&registry, &hostile::knows_only(2)).await;
    fail_five_times(&registry, 2).await;

    let instead = decide(&registry, "web", 7, SECOND).await;
    assert_eq!((instead.policy.as_str(), instead.revision, instead.count), (NAME, 1, Ok(3)));
    assert_eq!(instead.stands_in_for.as_deref(), Some(NAME));
    assert_eq!(
        instead.stand_ins,
        ["revision 2 of `queue` failed 5 times in a row, the last time with trap: it gave up: it reached code marked \
          unreachable, as a panic does; revision 1 takes its place until it is tried again at 2026-01-01T00:01:00Z"]
    );
    // The other workload knows nothing of it.
    let other = decide(&registry, "shop", 2, SECOND).await;
    assert_eq!((other.revision, other.count, other.stand_ins.len()), (2, Ok(1), 0));
    let failing = registry.find(NAME).expect("it is there").failing;
    assert_eq!(failing.iter().map(|it| (it.workload.as_str(), it.failures)).collect::<Vec<_>>(), [("web", 5)]);

    // The first attempt fails, the second one is answered.
    let tried = decide(&registry, "web", 7, MINUTE).await;
    assert_eq!((tried.revision, tried.count.is_err()), (2, true));
    assert!(tried.stand_ins[0].ends_with("it is tried again now"), "{:?}", tried.stand_ins);
    assert_eq!(decide(&registry, "web", 2, 3 * MINUTE - SECOND).await.revision, 1);
    let tried = decide(&registry, "web", 2, 3 * MINUTE).await;
    assert_eq!((tried.revision, tried.count), (2, Ok(1)));
    assert!(decide(&registry, "web", 2, 3 * MINUTE).await.stand_ins.is_empty());
    eventually("the events to be recorded", Duration::from_secs(10), async || {
        let events = registry.find(NAME).expect("it is there").events;
        let newest: Vec<&str> = events.iter().take(2).map(|event| event.what.as_str()).collect();
        let expected = [
            "answers again for `web`, and acts there",
            "failed 5 times in a row for `web`, the last time with trap: it gave up: it reached code marked unreachable, \
             as a panic does; another policy takes its place there",
        ];
        if newest == expected { Ok(()) } else { Err(format!("{newest:?}")) }
    })
    .await;
}

#[tokio::test]
async fn the_revision_before_is_there_after_a_restart_too() {
    let data_dir = tempfile::tempdir().expect("a folder");
    {
        let registry = open(data_dir.path()).await;
        push_proved(&registry, &hostile::proposes(3)).await;
        push_proved(&registry, &hostile::knows_only(2)).await;
        // A revision is known as proved before the disk says so.
        eventually("both revisions to be stored as proved", Duration::from_secs(10), async || {
            let index =
                std::fs::read(data_dir.path().join("policies/index.json")).map_err(|error| error.to_string())?;
            let index: serde_json::Value = serde_json::from_slice(&index).map_err(|error| error.to_string())?;
            let revisions = index["policies"][NAME]["revisions"].as_array().cloned().unwrap_or_default();
            let proved = revisions.iter().filter(|revision| revision["proved"] == true).count();
            if proved == 2 { Ok(()) } else { Err(format!("{revisions:?}")) }
        })
        .await;
    }
    let registry = open(data_dir.path()).await;
    fail_five_times(&registry, 2).await;
    let instead = decide(&registry, "web", 7, SECOND).await;
    assert_eq!((instead.revision, instead.count), (1, Ok(3)));
}

#[tokio::test]
async fn where_no_revision_answers_the_built_in_policy_takes_the_place() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path()).await;
    push_proved(&registry, &hostile::knows_only(2)).await;
    fail_five_times(&registry, 1).await;
    let instead = decide(&registry, "web", 7, SECOND).await;
    assert_eq!((instead.policy.as_str(), instead.count), ("min-max", Ok(7)));
    assert_eq!(instead.stands_in_for.as_deref(), Some(NAME));
    let [why] = &instead.stand_ins[..] else { panic!("{:?}", instead.stand_ins) };
    assert!(why.contains("; `min-max` takes its place until it is tried again at "), "{why}");

    // A revision that acts anew begins anew.
    push_proved(&registry, &hostile::proposes(3)).await;
    let anew = decide(&registry, "web", 7, SECOND).await;
    assert_eq!((anew.revision, anew.count, anew.stand_ins.len()), (2, Ok(3), 0));
}

#[tokio::test]
async fn of_two_uses_of_one_policy_in_a_workload_only_the_failing_one_gives_way() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path()).await;
    push_proved(&registry, &hostile::knows_only_the_empty_configuration()).await;
    let failing = PolicyChoice { config: r#"{"queue": "mail"}"#.to_owned(), ..choice(NAME) };
    let both = async |after| {
        let scaling = vec![choice(NAME), failing.clone()];
        decide_by(&registry, scaling, "web", 7, after).await
    };
    for _ in 0..5 {
        // The answers of the first use do not end the failures in a row of the second one.
        let decided = both(0).await;
        assert_eq!((decided.policy.as_str(), decided.stand_ins.len()), ("queue + queue", 0));
    }
    let instead = both(SECOND).await;
    assert_eq!((instead.policy.as_str(), instead.count), ("queue + min-max", Ok(7)));
    let [why] = &instead.stand_ins[..] else { panic!("{:?}", instead.stand_ins) };
    assert!(why.starts_with("revision 1 of `queue`, entry 2 of `scaling_policy`, failed 5 times in a row"), "{why}");
    // The first one goes on without a failure, also alone.
    assert_eq!(decide(&registry, "web", 7, SECOND).await.count, Ok(1));
    let tried = both(MINUTE).await;
    assert!(tried.policy == "queue + queue" && tried.stand_ins[0].ends_with("it is tried again now"));
}

#[tokio::test]
async fn a_shadow_that_fails_costs_the_acting_policy_of_its_name_nothing() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path()).await;
    push_proved(&registry, &hostile::knows_only_the_empty_configuration()).await;
    let shadow = PolicyChoice { config: r#"{"queue": "mail"}"#.to_owned(), ..choice(NAME) };
    let choices = PolicyChoices { scaling: vec![choice(NAME)], shadows: vec![shadow], ..PolicyChoices::default() };
    let shown = observation();
    for _ in 0..6 {
        let policies = registry.of(&WorkloadKey::stored("web"), &choices, shown.now);
        let [shadow] = &policies.shadows[..] else { panic!("one shadow") };
        let ShadowPolicy::Scaling(policy) = &shadow.policy else { panic!("a scaling policy") };
        assert!(policy.decide(&shadow.config, &shown).await.is_err());
        assert!(policies.scaling.decide(&policies.scaling_config, &shown).await.is_ok());
        assert_eq!(policies.stand_ins.len(), 0);
    }
    assert_eq!(registry.find(NAME).expect("it is there").failing.len(), 0);
}

#[tokio::test]
async fn a_health_policy_that_fails_gives_way_to_the_built_in_one() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let limits = PolicyLimits { trial_failures: 100, trial_calls: 100, ..unhurried() };
    let opened = PolicyRegistry::open(limits, compiler(), Defaults::default(), Some(data_dir.path()));
    let registry = opened.await.expect("it opens");
    let traps = Stub::new(Kind::Health).first("(unreachable)").build();
    registry.push(push_of(NAME, traps)).await.expect("it is taken");
    let choices = PolicyChoices { health: Some(choice(NAME)), ..PolicyChoices::default() };
    let shown: HealthObservation =
        serde_json::from_str(include_str!("../../../examples/observations/health.json")).expect("an observation");
    let evaluated = async || {
        let health = registry.of(&WorkloadKey::stored(&shown.workload.name), &choices, shown.now).health;
        (health.identity().name.clone(), health.evaluate("{}", &shown).await.is_ok())
    };
    for _ in 0..5 {
        assert_eq!(evaluated().await, (NAME.to_owned(), false));
    }
    assert_eq!(evaluated().await, ("liveness".to_owned(), true));
}
