//! Sources of policies other than uploads, and the settings of a policy in `windlass.toml`: files, limits, defaults.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use windlass::config;
use windlass_core::policy::{CatalogueError, PolicyCatalogue, Source};
use windlass_core::settings::{NamedPolicy, PolicyLimits, PolicyOrigin, PolicySettings};
use windlass_core::{PolicyChoices, Timestamp};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_policies::sources::files::Files;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{LoadError, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile::{self, Stub};
use windlass_tests::policies::{self, choice, compiler, push_of, unhurried};

const NAME: &str = "queue";

async fn open(data_dir: &Path, settings: impl Into<PolicySettings>, defaults: Defaults) -> Arc<PolicyRegistry> {
    let opened = PolicyRegistry::open(settings, compiler(), defaults, Some(data_dir)).await;
    Arc::new(opened.expect("it opens"))
}

async fn plain(data_dir: &Path) -> Arc<PolicyRegistry> {
    open(data_dir, unhurried(), Defaults::default()).await
}

async fn push(registry: &PolicyRegistry, name: &str, component: Vec<u8>) {
    registry.push(push_of(name, component)).await.expect("it is taken");
}

/// One decision under these choices: the policy's name and revision, and the count or the reason of the failure.
async fn decide(registry: &PolicyRegistry, choices: &PolicyChoices) -> (String, u32, Result<u32, String>) {
    let (identity, answer) = policies::decide(registry, choices).await;
    (identity.name, identity.revision, answer)
}

async fn decided(registry: &PolicyRegistry) -> (u32, u32) {
    let choices = PolicyChoices { scaling: vec![choice(NAME)], ..PolicyChoices::default() };
    let (_, revision, replicas) = decide(registry, &choices).await;
    (revision, replicas.expect("it decides"))
}

/// A time after the last change of any file in the tests.
const LATER: Timestamp = Timestamp(4_000_000_000_000);

#[tokio::test]
async fn a_file_in_the_folder_is_a_revision_when_it_is_new_or_changed() {
    let (data_dir, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("queue.wasm");
    let acting = |registry: &PolicyRegistry| registry.find(NAME).map(|info| (info.acting, info.revisions.len()));
    let watch = |registry: &Arc<PolicyRegistry>| {
        Files::new(Some(folder.path().to_owned()), BTreeMap::new(), 1 << 20, Arc::<PolicyRegistry>::clone(registry))
    };
    fs::write(folder.path().join("Not A Name.wasm"), hostile::proposes(1).build()).expect("written");
    fs::write(folder.path().join("notes.txt"), "nothing").expect("written");
    fs::write(&file, hostile::proposes(3).build()).expect("written");
    {
        let registry = plain(data_dir.path()).await;
        let mut watched = watch(&registry);
        watched.look(LATER).await;
        assert_eq!(acting(&registry), Some((Some(1), 1)));
        let taken = registry.list().iter().filter(|policy| policy.source.is_some()).count();
        assert_eq!(taken, 1, "the others are no policies");
        let by = registry.find(NAME).expect("it is there").revisions[0].loaded_by.clone();
        assert_eq!(by, format!("the file {}", file.display()));
        assert_eq!(registry.find(NAME).expect("it is there").source, Some(Source::File));

        // A file that does not load is rejected, and the revision before acts on.
        fs::write(&file, &hostile::proposes(4).build()[..100]).expect("written");
        watched.look(LATER).await;
        assert_eq!((acting(&registry), decided(&registry).await), (Some((Some(1), 1)), (1, 3)));
        fs::write(&file, hostile::proposes(4).build()).expect("written");
        watched.look(LATER).await;
        assert_eq!((acting(&registry), decided(&registry).await), (Some((Some(2), 2)), (2, 4)));
        // A rollback holds, although the file has another revision.
        registry.roll_back(NAME, Timestamp(7)).await.expect("rolled back");
        watched.look(LATER).await;
        assert_eq!(acting(&registry), Some((Some(1), 2)));
    }
    // It also holds after a restart, and a file that changed meanwhile is noticed.
    let registry = plain(data_dir.path()).await;
    watch(&registry).look(LATER).await;
    assert_eq!(acting(&registry), Some((Some(1), 2)));
    fs::write(&file, hostile::proposes(5).build()).expect("written");
    watch(&registry).look(LATER).await;
    assert_eq!((acting(&registry), decided(&registry).await), (Some((Some(3), 3)), (3, 5)));
    // A removed file removes no policy.
    fs::remove_file(&file).expect("removed");
    watch(&registry).look(LATER).await;
    assert_eq!(decided(&registry).await, (3, 5));
}

#[tokio::test]
async fn a_push_holds_until_the_file_changes_however_many_follow() {
    let (data_dir, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let limits = PolicyLimits { revisions_kept: 2, ..unhurried() };
    let look = async |registry: &Arc<PolicyRegistry>| {
        let all = Arc::<PolicyRegistry>::clone(registry);
        Files::new(Some(folder.path().to_owned()), BTreeMap::new(), 1 << 20, all).look(LATER).await;
    };
    // The content is the first revision already; it is accepted all the same.
    fs::write(folder.path().join("queue.wasm"), hostile::proposes(3).build()).expect("written");
    {
        let registry = open(data_dir.path(), limits.clone(), Defaults::default()).await;
        push(&registry, NAME, hostile::proposes(3).build()).await;
        look(&registry).await;
        for replicas in [4, 5, 6] {
            push(&registry, NAME, hostile::proposes(replicas).build()).await;
        }
    }
    let registry = open(data_dir.path(), limits, Defaults::default()).await;
    look(&registry).await;
    assert_eq!(decided(&registry).await, (4, 6));
    assert_eq!(registry.find(NAME).map(|info| (info.revisions.len(), info.source)), Some((2, Some(Source::Upload))));
    fs::write(folder.path().join("queue.wasm"), hostile::proposes(7).build()).expect("written");
    look(&registry).await;
    assert_eq!(decided(&registry).await, (5, 7));
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_taken() {
    let (data_dir, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let registry = plain(data_dir.path()).await;
    let mut watched =
        Files::new(Some(folder.path().to_owned()), BTreeMap::new(), 1 << 20, Arc::<PolicyRegistry>::clone(&registry));
    let path = folder.path().join("queue.wasm");
    let write = |component: &[u8], at_ms: u64| {
        fs::write(&path, component).expect("written");
        let file = fs::File::options().write(true).open(&path).expect("it is there");
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_millis(at_ms)).expect("set");
    };
    let component = hostile::proposes(3).build();
    write(&component, 1_000_000);
    watched.look(Timestamp(1_001_000)).await;
    assert!(registry.find(NAME).is_none(), "it was written a second ago");
    write(&[component.as_slice(), b""].concat(), 1_001_500);
    watched.look(Timestamp(1_003_000)).await;
    assert!(registry.find(NAME).is_none(), "it has changed since");
    watched.look(Timestamp(1_003_100)).await;
    assert_eq!(registry.find(NAME).and_then(|info| info.acting), Some(1), "it has stood still between two looks");
}

#[tokio::test]
async fn a_file_named_one_by_one_is_taken_and_what_keeps_it_is_told() {
    let (data_dir, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let registry = plain(data_dir.path()).await;
    let (named, path) = (folder.path().join("build-17.wasm"), Some(folder.path().to_owned()));
    let mut watched = Files::new(
        path,
        BTreeMap::from([(NAME.to_owned(), named.clone())]),
        1 << 20,
        Arc::<PolicyRegistry>::clone(&registry),
    );
    watched.look(LATER).await;
    let problem = registry.source_problems().remove(NAME).expect("the file is not there");
    assert!(problem.starts_with("cannot read `") && problem.contains("build-17.wasm"), "{problem}");
    // A configured file takes precedence over a file of the same name in the folder.
    fs::write(folder.path().join("queue.wasm"), hostile::proposes(8).build()).expect("written");
    fs::write(&named, hostile::proposes(3).build()).expect("written");
    watched.look(LATER).await;
    assert_eq!(decided(&registry).await, (1, 3));
    assert!(!registry.source_problems().contains_key(NAME));
    fs::write(&named, b"nonsense").expect("written");
    watched.look(LATER).await;
    let problem = registry.find(NAME).expect("it acts on").source_problem.expect("it is told");
    assert!(problem.contains("cannot load `") && problem.contains("is text, not a WebAssembly component"), "{problem}");
    assert_eq!(decided(&registry).await, (1, 3));
    // An upload holds until the file changes, also after a restart.
    fs::write(&named, hostile::proposes(3).build()).expect("written");
    push(&registry, NAME, hostile::proposes(7).build()).await;
    drop((registry, watched));
    let registry = plain(data_dir.path()).await;
    let named_files = BTreeMap::from([(NAME.to_owned(), named.clone())]);
    let mut watched = Files::new(None, named_files, 1 << 20, Arc::<PolicyRegistry>::clone(&registry));
    watched.look(LATER).await;
    assert_eq!(decided(&registry).await, (2, 7));
    fs::write(&named, hostile::proposes(4).build()).expect("written");
    watched.look(LATER).await;
    assert_eq!(decided(&registry).await, (3, 4));
}

#[tokio::test]
async fn a_policy_has_limits_of_its_own() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let roomy = PolicyLimits { memory_bytes: 128 << 20, ..unhurried() };
    let named = BTreeMap::from([("roomy".to_owned(), NamedPolicy { source: None, limits: roomy })]);
    let registry =
        open(data_dir.path(), PolicySettings { named, ..PolicySettings::default() }, Defaults::default()).await;
    // 90 MiB: above the common limit, within the policy's own.
    for name in ["roomy", "plain"] {
        push(&registry, name, hostile::grows(90 * 16).build()).await;
    }
    let of = |name| PolicyChoices { scaling: vec![choice(name)], ..PolicyChoices::default() };
    let (.., answer) = decide(&registry, &of("roomy")).await;
    assert!(answer.is_ok(), "{answer:?}");
    let (.., answer) = decide(&registry, &of("plain")).await;
    assert!(answer.expect_err("refused").contains("bytes of memory in all; at most 67108864"));
}

/// The policy settings of a `windlass.toml`.
fn settings(toml: &str) -> PolicySettings {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), toml).expect("written");
    config::policies(file.path()).expect("it is accepted")
}

/// The component under the limits of a policy with this name.
async fn load_as(name: &str, stub: &Stub, settings: &PolicySettings) -> Result<PolicyComponent, LoadError> {
    let engine = Arc::new(PolicyEngine::without_pool(settings.widest()).expect("an engine"));
    let limits = Arc::new(settings.limits_of(name).clone());
    let component = Arc::from(stub.build());
    PolicyComponent::load_within(&engine, &Compiler::in_process(), &limits, Some(name), component).await
}

/// The same component under its own limit and under the common one, for each key of `[policies.NAME]` that limits a
/// call.
#[tokio::test]
async fn each_limit_of_a_call_bites_the_policy_it_is_said_of_and_no_other() {
    let large = format!(r#"{{"description": "{}"}}"#, "x".repeat(5_000));
    let cases = [
        ("decision_time = '20ms'", hostile::spins(300_000_000), "it ran longer than 20 ms"),
        ("manifest_time = '20ms'", hostile::begins_slowly(300_000_000), "it ran longer than 20 ms"),
        ("memory_bytes = '1MiB'", hostile::grows(20), "bytes of memory in all; at most 1048576"),
        ("table_elements = 10", hostile::grows_table(11), "a table of 11 elements; at most 10"),
        ("hostcall_bytes = '50KiB'", hostile::remembers(60_000), "more than 51200 bytes in one call"),
        ("handles = 10", hostile::holds_handles(11), "it held more than 10 resource handles at once"),
        ("random_bytes = '1KiB'", hostile::draws_random(2), "it requested more than 1024 random bytes"),
        ("returned_memory_bytes = '100B'", hostile::remembers(101), "101 bytes of memory; at most 100 are kept"),
        ("component_bytes = '4KiB'", hostile::has_schema(&large), "a component may have at most 4096"),
        ("reason_bytes = '16B'", hostile::reasons(17), "a reason of 17 bytes; at most 16 are allowed"),
    ];
    for (limit, stub, sentence) in cases {
        // The common time limit is ample, however busy the machine is.
        let all = "[policy]\ndecision_time = '5s'\nmanifest_time = '10s'\n";
        let settings = settings(&format!("{all}[policies.bounded]\n{limit}\n"));
        let ask = async |name| {
            let policy = load_as(name, &stub, &settings).await.map_err(|error| error.to_string())?;
            policy.decide("{}", &policies::observation()).await.answer.map_err(|failure| failure.reason)
        };
        let refused = ask("bounded").await.expect_err(limit);
        assert!(refused.contains(sentence), "{limit}: {refused}");
        let beside = ask("another").await;
        assert!(beside.is_ok(), "{limit}: {beside:?}");
    }
}

#[tokio::test]
async fn a_policy_has_bounds_of_its_own_on_what_it_writes() {
    let settings = settings("[policies.terse]\nlog_lines = 2\nlog_line_bytes = '10B'\noutput_bytes = '100B'\n");
    let written = async |name, stub: Stub| {
        let policy = load_as(name, &stub, &settings).await.expect("it loads");
        policy.decide("{}", &policies::observation()).await.log
    };
    for (name, lines, bytes, output) in [("terse", 2, 10, 100), ("another", 5, 500, 4_096)] {
        let log = written(name, hostile::floods_log(5, 500)).await;
        assert_eq!((log.lines.len(), log.lines[0].1.len()), (lines, bytes), "{name}");
        assert_eq!(written(name, hostile::floods_output(1)).await.output.len(), output, "{name}");
    }
}

#[tokio::test]
async fn a_policy_has_a_trial_and_a_number_of_revisions_of_its_own() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let settings =
        settings("[policies.strict]\nrevisions_kept = 2\ntrial_failures = 1\n[policies.brief]\ntrial_calls = 1\n");
    let registry = open(data_dir.path(), settings, Defaults::default()).await;
    let ask = async |name: &str| {
        let (.., answer) =
            decide(&registry, &PolicyChoices { scaling: vec![choice(name)], ..PolicyChoices::default() }).await;
        answer
    };
    let revision = |name: &str| registry.find(name).expect("it is there").acting;
    for name in ["strict", "brief", "another"] {
        for replicas in [3, 4] {
            push(&registry, name, hostile::proposes(replicas).build()).await;
        }
        push(&registry, name, hostile::knows_only(7).build()).await;
        // The policies receive two replicas, and fail.
        assert!(ask(name).await.is_err(), "{name}");
    }
    // One failure is enough for one policy; the others' probation is still to come, or over.
    assert_eq!(revision("strict"), Some(2));
    for _ in 0..2 {
        assert!(ask("brief").await.is_err() && ask("another").await.is_err());
    }
    assert_eq!((revision("brief"), revision("another")), (Some(3), Some(2)));
    let kept = |name: &str| registry.find(name).expect("it is there").revisions.len();
    assert_eq!((kept("strict"), kept("another")), (2, 3));
}

#[tokio::test]
async fn a_default_policy_decides_for_workloads_that_name_none() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let defaults = Defaults { scaling: choice(NAME), ..Defaults::default() };
    let registry = open(data_dir.path(), unhurried(), defaults).await;
    let none = PolicyChoices::default();
    let (name, ..) = decide(&registry, &none).await;
    assert_eq!(name, "min-max", "until it is there, the built-in one stands in");
    push(&registry, NAME, hostile::proposes(5).build()).await;
    push(&registry, "other", hostile::proposes(6).build()).await;
    assert_eq!(decide(&registry, &none).await, (NAME.to_owned(), 1, Ok(5)));
    let other = PolicyChoices { scaling: vec![choice("other")], ..PolicyChoices::default() };
    assert_eq!(decide(&registry, &other).await, ("other".to_owned(), 1, Ok(6)));
    let refused = registry.remove(NAME).await.expect_err("it is the default").to_string();
    assert_eq!(refused, "`queue` is the default scaling policy in windlass.toml; set another default first");
}

#[tokio::test]
async fn a_deleted_policy_is_gone_with_its_components_and_after_a_restart() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let source = Some(PolicyOrigin::File("other.wasm".into()));
    let named = BTreeMap::from([("other".to_owned(), NamedPolicy { source, ..NamedPolicy::default() })]);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = PolicySettings { named, folder: Some(folder.path().to_owned()), ..PolicySettings::default() };
    let components = || {
        let entries = fs::read_dir(data_dir.path().join("policies")).expect("a folder").flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "wasm")).count()
    };
    {
        let registry = open(data_dir.path(), settings.clone(), Defaults::default()).await;
        push(&registry, NAME, hostile::proposes(5).build()).await;
        push(&registry, "other", hostile::proposes(6).build()).await;
        assert_eq!(components(), 2);
        assert_eq!(registry.remove(NAME).await.expect("deleted").name, NAME);
        assert_eq!(components(), 1);
        assert_eq!(registry.remove(NAME).await, Err(CatalogueError::Unknown(NAME.to_owned())));
        assert!(matches!(registry.remove("min-max").await, Err(CatalogueError::Conflict(_))));
        let refused = registry.remove("other").await.expect_err("its source would bring it back").to_string();
        assert_eq!(refused, "`other` has a source in windlass.toml that would push it again; remove the source first");
        push(&registry, "third", hostile::proposes(6).build()).await;
        fs::write(folder.path().join("third.wasm"), hostile::proposes(6).build()).expect("written");
        let refused = registry.remove("third").await.expect_err("its file would bring it back").to_string();
        assert!(refused.ends_with("third.wasm, which would push it again; remove the file first"), "{refused}");
    }
    let registry = open(data_dir.path(), settings, Defaults::default()).await;
    assert!(registry.find(NAME).is_none() && registry.find("other").is_some());
}
