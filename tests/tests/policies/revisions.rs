//! Policies pushed to a registry, with real components: revisions, swaps, probation, and the files on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use windlass_builtin::{BUILT_IN, LIVENESS};
use windlass_core::contract::{HealthObservation, ScalingObservation};
use windlass_core::policy::{CatalogueError, PolicyCatalogue, PolicyInfo, Push, ShadowPolicy, Source};
use windlass_core::settings::{HttpGrant, NamedPolicy, PolicyLimits, PolicySettings};
use windlass_core::{FailureKind, PolicyChoice, PolicyChoices, PolicyIdentity, Timestamp};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_tests::hostile::{self, Kind, Stub};
use windlass_tests::policies::{self, choice, compiler, observation, policies_of, push_of, unhurried};
use windlass_tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(10);

const NAME: &str = "queue";

async fn open(data_dir: &Path, limits: PolicyLimits) -> PolicyRegistry {
    PolicyRegistry::open(limits, compiler(), Defaults::default(), Some(data_dir)).await.expect("it opens")
}

async fn push(registry: &PolicyRegistry, stub: &Stub) -> PolicyInfo {
    registry.push(push_of(NAME, stub.build())).await.expect("it is taken")
}

/// One decision for a workload that chose the name: the acting policy and its answer.
async fn decide(registry: &PolicyRegistry) -> (PolicyIdentity, Result<u32, String>) {
    policies::decide(registry, &PolicyChoices { scaling: vec![choice(NAME)], ..PolicyChoices::default() }).await
}

async fn decided(registry: &PolicyRegistry) -> (u32, u32) {
    let (policy, replicas) = decide(registry).await;
    (policy.revision, replicas.expect("it decides"))
}

fn components(data_dir: &Path) -> usize {
    let entries = fs::read_dir(data_dir.join("policies")).expect("a folder");
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "wasm")))
        .count()
}

#[tokio::test]
async fn a_pushed_policy_acts_at_once_and_after_a_restart() {
    let data_dir = tempfile::tempdir().expect("a folder");
    {
        let registry = open(data_dir.path(), unhurried()).await;
        // Before the policy exists, the built-in policy of its kind acts.
        assert_eq!(decide(&registry).await.0.name, "min-max");
        let info = push(&registry, &hostile::proposes(3)).await;
        assert_eq!((info.acting, info.source, info.revisions.len()), (Some(1), Some(Source::Upload), 1));
        let revision = &info.revisions[0];
        assert_eq!((revision.number, revision.loaded_by.as_str(), revision.proved), (1, "ada@example.org", false));
        assert_eq!(revision.digest, info.digest);
        assert_eq!(decided(&registry).await, (1, 3));
        push(&registry, &hostile::proposes(4)).await;
        assert_eq!(decided(&registry).await, (2, 4));
        // Pushing the acting component again creates no revision.
        assert_eq!(push(&registry, &hostile::proposes(4)).await.revisions.len(), 2);
    }
    let registry = open(data_dir.path(), unhurried()).await;
    assert_eq!(decided(&registry).await, (2, 4));
    let listed = registry.list().into_iter().filter(|policy| policy.source.is_some());
    assert_eq!(listed.map(|policy| policy.name).collect::<Vec<_>>(), [NAME]);
}

#[tokio::test]
async fn what_is_no_policy_is_refused_and_the_one_before_acts_on() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    push(&registry, &hostile::proposes(3)).await;
    let refused = async |name, component| registry.push(push_of(name, component)).await.expect_err("refused");
    assert!(
        matches!(refused(NAME, b"(component)".to_vec()).await, CatalogueError::Component(problems) if problems.len() == 1)
    );
    assert!(matches!(refused("Queue", hostile::proposes(1).build()).await, CatalogueError::Name(_)));
    let conflict = refused("min-max", hostile::proposes(1).build()).await.to_string();
    assert!(conflict.contains("`min-max` is built in"), "{conflict}");
    let conflict = refused(NAME, LIVENESS.to_vec()).await.to_string();
    assert_eq!(conflict, "`queue` is a scaling policy and this is a health policy");
    assert_eq!(decided(&registry).await, (1, 3));
    assert_eq!(components(data_dir.path()), 1);
    assert_eq!(registry.roll_back("nobody", Timestamp(7)).await, Err(CatalogueError::Unknown("nobody".to_owned())));
    assert!(matches!(registry.roll_back("min-max", Timestamp(7)).await, Err(CatalogueError::Conflict(_))));
}

#[tokio::test]
async fn rolling_back_goes_one_revision_back_each_time() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    for replicas in [3, 4, 5] {
        push(&registry, &hostile::proposes(replicas)).await;
    }
    assert_eq!(registry.roll_back(NAME, Timestamp(7)).await.expect("there is one").acting, Some(2));
    assert_eq!(decided(&registry).await, (2, 4));
    assert_eq!(registry.roll_back(NAME, Timestamp(7)).await.expect("there is one").acting, Some(1));
    let none = registry.roll_back(NAME, Timestamp(7)).await.expect_err("there is none").to_string();
    assert_eq!(none, "`queue` has no earlier revision that may act");
    drop(registry);
    let registry = open(data_dir.path(), unhurried()).await;
    assert_eq!(decided(&registry).await, (1, 3));
    // Numbers are never reused.
    assert_eq!(push(&registry, &hostile::proposes(6)).await.acting, Some(4));
}

#[tokio::test]
async fn a_revision_that_fails_its_trial_is_set_back_for_good() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    push(&registry, &hostile::proposes(3)).await;
    push(&registry, &Stub::new(hostile::Kind::Scaling).first("(unreachable)")).await;
    for _ in 0..3 {
        let (policy, replicas) = decide(&registry).await;
        assert_eq!((policy.revision, replicas.is_err()), (2, true));
    }
    assert_eq!(decided(&registry).await, (1, 3));
    let info = registry.find(NAME).expect("it is there");
    let why = info.revisions[0].quarantined.clone().expect("it is quarantined");
    assert!(why.starts_with("3 of its first 3 calls failed, the last one: trap: "), "{why}");
    let stored = || fs::read_to_string(data_dir.path().join("policies/index.json")).unwrap_or_default();
    eventually(
        "it to be stored",
        LIMIT,
        async || {
            if stored().contains("calls failed") { Ok(()) } else { Err(stored()) }
        },
    )
    .await;
    // Neither a restart nor a rollback brings it back.
    drop(registry);
    let registry = open(data_dir.path(), unhurried()).await;
    assert_eq!(decided(&registry).await, (1, 3));
    push(&registry, &hostile::proposes(5)).await;
    let rolled_back = registry.roll_back(NAME, Timestamp(7)).await.expect("past the quarantined one");
    assert_eq!(rolled_back.acting, Some(1));
    let events: Vec<(u32, &str)> =
        rolled_back.events.iter().map(|event| (event.revision, event.what.as_str())).collect();
    insta::assert_debug_snapshot!(events, @r#"
    [
        (
            1,
            "rolled back from revision 3; it acts",
        ),
        (
            3,
            "pushed by ada@example.org; it acts",
        ),
        (
            2,
            "failed its probation and is quarantined: 3 of its first 3 calls failed, the last one: trap: it gave up: it reached code marked unreachable, as a panic does; revision 1 acts again",
        ),
        (
            2,
            "pushed by ada@example.org; it acts",
        ),
        (
            1,
            "pushed by ada@example.org; it acts",
        ),
    ]
    "#);
}

/// Waits until the newest revision has passed its probation, which is recorded in the background.
#[tokio::test]
async fn a_health_policy_has_a_trial_too_and_the_built_in_one_stands_in_for_it() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    let choices = PolicyChoices { health: Some(choice(NAME)), ..PolicyChoices::default() };
    let shown: HealthObservation =
        serde_json::from_str(include_str!("../../../examples/observations/health.json")).expect("an observation");
    let asked = async || {
        let health = policies_of(&registry, &choices).health;
        let answer = health.evaluate("{}", &shown).await;
        let reasons = answer.map(|report| report.assessments.into_iter().map(|one| one.reason).collect::<Vec<_>>());
        (health.identity().name.clone(), health.identity().revision, reasons.map_err(|failure| failure.kind))
    };
    let traps = Stub::new(Kind::Health).first("(unreachable)");
    // Its only revision fails: the built-in policy of its kind acts instead.
    push(&registry, &traps).await;
    for _ in 0..3 {
        assert_eq!(asked().await, (NAME.to_owned(), 1, Err(FailureKind::Trap)));
    }
    let (name, _, answer) = asked().await;
    assert!(name == "liveness" && answer.is_ok(), "{name}: {answer:?}");
    assert_eq!(registry.find(NAME).expect("it is there").acting, None);
    // With a good revision before it, that one acts again. The stub assesses the replica `a` alone.
    let refused = registry.push(push_of(NAME, hostile::proposes(1).build())).await.expect_err("of another kind");
    assert_eq!(refused.to_string(), "`queue` is a health policy and this is a scaling policy");
    push(&registry, &Stub::new(Kind::Health).first(&hostile::says_nothing())).await;
    assert_eq!(asked().await, (NAME.to_owned(), 2, Ok(Vec::new())));
    push(&registry, &traps.fields("(memory $another 1)")).await;
    for _ in 0..3 {
        assert_eq!(asked().await.1, 3);
    }
    assert_eq!(asked().await, (NAME.to_owned(), 2, Ok(Vec::new())));
}

async fn until_newest_proved(registry: &PolicyRegistry) {
    eventually("it to have proved itself", LIMIT, async || {
        let known = registry.find(NAME).expect("it is there");
        if known.revisions[0].proved { Ok(()) } else { Err(format!("{:?}", known.events)) }
    })
    .await;
}

#[tokio::test]
async fn what_fails_to_say_what_it_needs_is_set_back_too() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    push(&registry, &hostile::proposes(3)).await;
    push(&registry, &hostile::traps_configuring()).await;
    let chosen = PolicyChoices { scaling: vec![choice(NAME)], ..PolicyChoices::default() };
    for _ in 0..3 {
        let acting = policies_of(&registry, &chosen).scaling;
        let needs = acting.requirements("{}", Timestamp(1)).await;
        assert_eq!((acting.identity().revision, needs.is_err()), (2, true));
    }
    assert_eq!(decided(&registry).await, (1, 3));
}

#[tokio::test]
async fn what_is_not_the_policys_fault_is_no_part_of_its_trial() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    push(&registry, &hostile::proposes(3)).await;
    push(&registry, &hostile::knows_nothing()).await;
    for _ in 0..30 {
        let (policy, answer) = decide(&registry).await;
        assert_eq!(policy.revision, 2);
        assert_eq!(answer, Err("not enough facts to decide: as told".to_owned()));
    }
    assert!(!registry.find(NAME).expect("it is there").revisions[0].proved, "it decided nothing yet");
}

#[tokio::test]
async fn two_bad_revisions_in_a_row_lead_back_to_the_good_one() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let limits = unhurried();
    let registry = open(data_dir.path(), limits.clone()).await;
    push(&registry, &hostile::proposes(3)).await;
    for _ in 0..limits.trial_calls {
        assert_eq!(decided(&registry).await, (1, 3));
    }
    until_newest_proved(&registry).await;
    push(&registry, &Stub::new(hostile::Kind::Scaling).first("(unreachable)")).await;
    push(&registry, &Stub::new(hostile::Kind::Scaling).first("(nop) (unreachable)")).await;
    for _ in 0..3 {
        assert_eq!(decide(&registry).await.0.revision, 3);
    }
    assert_eq!(decided(&registry).await, (1, 3));
}

#[tokio::test]
async fn where_every_revision_failed_the_built_in_policy_stands_in() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), PolicyLimits { trial_failures: 1, ..unhurried() }).await;
    push(&registry, &Stub::new(hostile::Kind::Scaling).first("(unreachable)")).await;
    assert!(decide(&registry).await.1.is_err());
    let (policy, replicas) = decide(&registry).await;
    assert_eq!((policy.name.as_str(), policy.stands_in_for.as_deref(), replicas), ("min-max", Some(NAME), Ok(2)));
    let info = registry.find(NAME).expect("it is there");
    assert_eq!((info.acting, info.revisions.len()), (None, 1));
}

#[tokio::test]
async fn a_revision_that_proved_itself_is_not_set_back() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let limits = PolicyLimits { trial_calls: 4, trial_failures: 2, ..unhurried() };
    let registry = open(data_dir.path(), limits).await;
    push(&registry, &hostile::proposes(3)).await;
    push(&registry, &hostile::knows_only(2)).await;
    let ask = async |current| {
        let choice = PolicyChoice { name: NAME.to_owned(), config: "{}".to_owned() };
        let policies = policies_of(&registry, &PolicyChoices { scaling: vec![choice], ..PolicyChoices::default() });
        let shown = ScalingObservation { current_replicas: current, ..observation() };
        policies.scaling.decide("{}", &shown).await.is_ok()
    };
    assert!(ask(2).await && !ask(7).await && ask(2).await && ask(2).await);
    until_newest_proved(&registry).await;
    for _ in 0..5 {
        assert!(!ask(7).await);
    }
    assert_eq!(registry.find(NAME).expect("it is there").acting, Some(2));
}

#[tokio::test]
async fn old_revisions_and_their_components_are_dropped() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), PolicyLimits { revisions_kept: 2, ..unhurried() }).await;
    for replicas in 1..=5 {
        push(&registry, &hostile::proposes(replicas)).await;
    }
    let numbers: Vec<u32> =
        registry.find(NAME).expect("it is there").revisions.iter().map(|revision| revision.number).collect();
    assert_eq!((numbers, components(data_dir.path())), (vec![5, 4], 2));
}

#[tokio::test]
async fn a_component_that_was_altered_on_disk_does_not_act() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let digest = {
        let registry = open(data_dir.path(), unhurried()).await;
        push(&registry, &hostile::proposes(3)).await;
        push(&registry, &hostile::proposes(4)).await.digest
    };
    let path = data_dir.path().join("policies").join(format!("{}.wasm", digest.trim_start_matches("sha256:")));
    fs::write(&path, hostile::proposes(9).build()).expect("written");
    let registry = open(data_dir.path(), unhurried()).await;
    assert_eq!(decided(&registry).await, (1, 3));
    let why = registry.find(NAME).expect("it is there").revisions[0].quarantined.clone().expect("quarantined");
    assert!(why.contains("it was altered or damaged"), "{why}");
    let told = registry.find(NAME).expect("it is there").events.remove(0);
    assert_eq!(told.revision, 2);
    assert!(told.what.starts_with("quarantined: it cannot be loaded any more: "), "{}", told.what);
}

#[tokio::test]
async fn a_revision_that_does_not_load_on_a_slow_start_is_there_on_the_next() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let patient = PolicyLimits { manifest_time: Duration::from_secs(30), ..unhurried() };
    {
        let registry = open(data_dir.path(), patient.clone()).await;
        push(&registry, &hostile::proposes(3)).await;
        push(&registry, &hostile::begins_slowly(300_000_000)).await;
    }
    {
        let hasty = PolicyLimits { manifest_time: Duration::from_millis(50), ..unhurried() };
        let registry = open(data_dir.path(), hasty).await;
        assert_eq!(decided(&registry).await, (1, 3));
        let info = registry.find(NAME).expect("it is there");
        assert_eq!((info.revisions[0].quarantined.as_ref(), info.events[0].revision), (None, 2));
        let told = &info.events[0].what;
        assert!(told.starts_with("passed over: it did not load this time: its function `describe` failed"), "{told}");
    }
    let registry = open(data_dir.path(), patient).await;
    assert_eq!(registry.find(NAME).and_then(|info| info.acting), Some(2));
}

#[tokio::test]
async fn a_slip_in_the_settings_costs_no_revision() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let granted = PolicyLimits { http: Some(HttpGrant::default()), ..unhurried() };
    let open = async |limits: &PolicyLimits| {
        let named = BTreeMap::from([(NAME.to_owned(), NamedPolicy { source: None, limits: limits.clone() })]);
        let settings = PolicySettings { named, ..PolicySettings::default() };
        let opened = PolicyRegistry::open(settings, compiler(), Defaults::default(), Some(data_dir.path()));
        opened.await.expect("it opens")
    };
    let good = async |registry: &PolicyRegistry| {
        assert_eq!(registry.find(NAME).and_then(|info| info.acting), Some(2));
        // Whatever else is stored meanwhile.
        registry.push(push_of("another", hostile::proposes(1).build())).await.expect("it is a policy");
    };
    {
        let registry = open(&granted).await;
        push(&registry, &hostile::proposes(3)).await;
        push(&registry, &hostile::asks("127.0.0.1:1", "/", 1)).await;
        good(&registry).await;
    }
    let narrow = PolicyLimits { component_bytes: 200, ..granted.clone() };
    let small = PolicyLimits { memory_bytes: 1, ..granted.clone() };
    let forgotten = PolicyLimits { http: None, ..granted.clone() };
    for (slip, why) in [(narrow, "a component may have at most"), (small, "memory"), (forgotten, "was not granted")] {
        let registry = open(&slip).await;
        let info = registry.find(NAME).expect("it is there");
        assert_ne!(info.acting, Some(2));
        assert!(info.revisions.iter().all(|revision| revision.quarantined.is_none()), "{:?}", info.revisions);
        let told = &info.events[0].what;
        assert!(told.starts_with("passed over: ") && told.contains(why), "{told}");
        drop(registry.push(push_of("another", hostile::proposes(2).build())).await);
        drop(registry);
        good(&open(&granted).await).await;
    }
}

#[tokio::test]
async fn nobodys_rollback_waits_for_what_is_compiled() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    push(&registry, &hostile::proposes(3)).await;
    push(&registry, &hostile::proposes(4)).await;
    let large = push_of("large", hostile::compiles_long(100, 4_000));
    let pushing = registry.push(large);
    tokio::pin!(pushing);
    tokio::select! {
        biased;
        pushed = &mut pushing => panic!("it was compiled before the rollback was done: {pushed:?}"),
        rolled_back = registry.roll_back(NAME, Timestamp(7)) => {
            assert_eq!(rolled_back.expect("there is one before").acting, Some(1));
        }
    }
    assert_eq!(pushing.await.expect("it is taken").acting, Some(1));
}

#[tokio::test]
async fn what_is_compiled_goes_with_its_revision() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let begin = async || {
        let compiler = Compiler::in_process().with_cache(Cache::open(data_dir.path()).expect("a cache"));
        let limits = PolicyLimits { revisions_kept: 2, ..unhurried() };
        let opened = PolicyRegistry::open(limits, compiler, Defaults::default(), Some(data_dir.path()));
        opened.await.expect("it opens")
    };
    let compiled = || fs::read_dir(data_dir.path().join("compiled")).expect("a folder").count();
    {
        let registry = begin().await;
        for replicas in 1..=5 {
            push(&registry, &hostile::proposes(replicas)).await;
        }
        assert_eq!(compiled(), BUILT_IN.len() + 2);
    }
    // In the form that an older version of the engine left on disk.
    fs::write(data_dir.path().join("compiled/00-00.cwasm"), b"old").expect("written");
    let registry = begin().await;
    assert_eq!((compiled(), decided(&registry).await), (BUILT_IN.len() + 2, (5, 5)));
}

#[tokio::test]
async fn memory_is_handed_on_unless_a_push_says_reset() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), unhurried()).await;
    let owner = async || decide(&registry).await.0.memory_owner();
    push(&registry, &hostile::proposes(1)).await;
    let first = owner().await;
    push(&registry, &hostile::proposes(2)).await;
    assert_eq!(owner().await, first);
    let reset = Push { reset_memory: true, ..push_of(NAME, hostile::proposes(3).build()) };
    registry.push(reset).await.expect("it is taken");
    let second = owner().await;
    assert_ne!(second, first);
    push(&registry, &hostile::proposes(4)).await;
    assert_eq!(owner().await, second);
    registry.roll_back(NAME, Timestamp(7)).await.expect("there is one");
    registry.roll_back(NAME, Timestamp(7)).await.expect("there is one");
    assert_eq!(owner().await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_under_load_loses_no_decision() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = Arc::new(open(data_dir.path(), unhurried()).await);
    push(&registry, &hostile::proposes(1)).await;
    let done = Arc::new(AtomicBool::new(false));
    let asking = {
        let (registry, done) = (Arc::clone(&registry), Arc::clone(&done));
        tokio::spawn(async move {
            let mut asked = 0_u32;
            while !done.load(Ordering::SeqCst) {
                let (policy, replicas) = decide(&registry).await;
                // Each revision proposes its own number, so an answer shows which revision gave it.
                assert_eq!(replicas, Ok(policy.revision));
                asked += 1;
            }
            asked
        })
    };
    for replicas in 2..=20 {
        push(&registry, &hostile::proposes(replicas)).await;
        assert_eq!(decided(&registry).await, (replicas, replicas));
    }
    done.store(true, Ordering::SeqCst);
    assert!(asking.await.expect("no decision was wrong or missing") > 20);
}

async fn push_candidate(registry: &PolicyRegistry, stub: &Stub) -> Result<PolicyInfo, CatalogueError> {
    registry.push(Push { candidate: true, ..push_of(NAME, stub.build()) }).await
}

/// The shadows of a workload that chose the name, and named `others` as shadows: revision and answer of each.
async fn shadows(registry: &PolicyRegistry, others: &[&str]) -> Vec<(String, u32, Option<u32>)> {
    let choices = PolicyChoices {
        scaling: vec![choice(NAME)],
        shadows: others.iter().map(|name| choice(name)).collect(),
        ..PolicyChoices::default()
    };
    let mut found = Vec::new();
    for shadow in policies_of(registry, &choices).shadows {
        let ShadowPolicy::Scaling(policy) = shadow.policy else { panic!("all of these are scaling policies") };
        let answer = policy.decide(&shadow.config, &observation()).await;
        let identity = policy.identity();
        found.push((identity.name.clone(), identity.revision, answer.ok().map(|decision| decision.replicas)));
    }
    found
}

#[tokio::test]
async fn a_candidate_shadows_who_acts_until_it_is_promoted() {
    let data_dir = tempfile::tempdir().expect("a folder");
    {
        let registry = open(data_dir.path(), unhurried()).await;
        let early = push_candidate(&registry, &hostile::proposes(4)).await.expect_err("nobody acts yet").to_string();
        assert_eq!(early, "`queue` has no acting revision to compare a candidate with");
        push(&registry, &hostile::proposes(3)).await;
        push_candidate(&registry, &hostile::proposes(4)).await.expect("a candidate");
        let info = push_candidate(&registry, &hostile::proposes(5)).await.expect("another candidate");
        assert_eq!((info.acting, info.candidate, info.revisions.len()), (Some(1), Some(3), 3));
        // Pushing the candidate again creates no revision.
        let again = push_candidate(&registry, &hostile::proposes(5)).await.expect("the same");
        assert_eq!(again.revisions.len(), 3);
    }
    let registry = open(data_dir.path(), unhurried()).await;
    assert_eq!(decided(&registry).await, (1, 3));
    assert_eq!(shadows(&registry, &[]).await, [(NAME.to_owned(), 3, Some(5))]);
    let promoted = registry.promote(NAME, None, Timestamp(8)).await.expect("promoted");
    assert_eq!((promoted.acting, promoted.candidate), (Some(3), None));
    assert_eq!(decided(&registry).await, (3, 5));
    assert!(shadows(&registry, &[]).await.is_empty());
    // Revision 2 never acted, so a rollback skips it unless it is named.
    assert_eq!(registry.roll_back(NAME, Timestamp(7)).await.expect("rolled back").acting, Some(1));
    assert_eq!(registry.promote(NAME, Some(2), Timestamp(8)).await.expect("promoted").acting, Some(2));
    assert_eq!(decided(&registry).await, (2, 4));
    let refused =
        async |revision| registry.promote(NAME, revision, Timestamp(8)).await.expect_err("refused").to_string();
    assert_eq!(refused(None).await, "`queue` has no candidate; name the revision to promote");
    assert_eq!(refused(Some(9)).await, "`queue` has no revision 9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revisions_of_a_name_hold_half_of_the_places_together() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let limits = PolicyLimits {
        concurrent_calls: 4,
        decision_time: Duration::from_millis(1_800),
        trial_failures: 100,
        ..unhurried()
    };
    let registry = open(data_dir.path(), limits).await;
    let scaling =
        || policies_of(&registry, &PolicyChoices { scaling: vec![choice(NAME)], ..PolicyChoices::default() }).scaling;
    // Each is still in its call when the next one begins to act.
    let mut revisions = Vec::new();
    for rounds in [u32::MAX, u32::MAX - 1, u32::MAX - 2] {
        push(&registry, &hostile::spins(rounds)).await;
        revisions.push(scaling());
    }
    let asked =
        revisions.into_iter().map(|policy| tokio::spawn(async move { policy.decide("{}", &observation()).await }));
    let answers = futures_util::future::join_all(asked).await;
    let failures = answers.into_iter().map(|answer| answer.expect("no panic").expect_err("it spins"));
    let busy: Vec<_> =
        failures.filter(|failure| failure.kind == FailureKind::Busy).map(|failure| failure.reason).collect();
    assert_eq!(busy, ["the policy's concurrency limit (2 calls) was reached for 1000 ms"]);
}

#[tokio::test]
async fn a_shadow_that_fails_sets_nothing_back() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let limits = PolicyLimits { trial_calls: 20, trial_failures: 1, ..unhurried() };
    let registry = open(data_dir.path(), limits).await;
    push(&registry, &hostile::proposes(3)).await;
    push_candidate(&registry, &hostile::knows_only(9)).await.expect("a candidate");
    registry.push(push_of("other", hostile::knows_only(9).build())).await.expect("it is taken");
    let asked = shadows(&registry, &["other", "nobody"]).await;
    assert_eq!(asked, [(NAME.to_owned(), 2, None), ("other".to_owned(), 1, None)]);
    assert_eq!(registry.find(NAME).expect("it is there").candidate, Some(2));
    assert_eq!(registry.find("other").expect("it is there").acting, Some(1));
    // Once it acts, it is on probation like any other.
    registry.promote(NAME, None, Timestamp(8)).await.expect("promoted");
    decide(&registry).await.1.expect_err("it knows another count only");
    assert_eq!(decided(&registry).await, (1, 3));
    let refused = registry.promote(NAME, Some(2), Timestamp(8)).await.expect_err("quarantined").to_string();
    assert!(refused.starts_with("revision 2 of `queue` may not act: 1 of its first 1 calls failed"), "{refused}");
}
