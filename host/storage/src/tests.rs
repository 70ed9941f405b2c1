//! The store: what survives, what is bounded, and what an earlier version left.

use super::*;
use crate::migrations::{MIGRATIONS, apply};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use windlass_core::contract::Sample;
use windlass_core::fixtures::workload;
use windlass_core::metric::SampleChange;
use windlass_core::store::{DecisionPart, PartContent};
use windlass_core::{
    Blindness, Blocked, Change, ComposeHistory, Dependency, FirstReady, Generation, MemoryOwner, PolicyIdentity,
    PolicyKind, Proposal, Rollout, RolloutHistory, RolloutMode, ServiceHistory, Slot, SlotHistory, SlotTrouble,
    StoppedOutside, Suspicion, Trouble, TroubleKind, Unremovable,
};

mod series;

const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// An empty data directory that other users cannot enter.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, 3).unwrap()
}

#[test]
fn everything_stored_is_there_after_reopening() {
    let directory = folder();
    let mut web = workload("ghcr.io/org/web:1", 2, 5);
    web.previous = Some(Box::new(web.specification()));
    web.image_id = Some("sha256:02".into());
    web.pulls = 1;
    web.unlabelled = Some(Generation::stored("00ee"));
    web.rollout = Rollout { mode: RolloutMode::Manual, max_failures: 9, ..Rollout::default() };
    let held = vec![ContainerId("abc".into())];
    let slot = SlotHistory {
        restarts: 2,
        last_restart: Some(Timestamp(5)),
        process_restarts: 1,
        given_up: Some(Timestamp(6)),
        well_since: Some(Timestamp(7)),
    };
    let owner = MemoryOwner { name: "queue".into(), since: 2 };
    let history = History {
        target: Some(4),
        slots: [(Slot(1), slot)].into(),
        scaling_memory: vec![0, 255],
        scaling_memory_of: Some(owner),
        health_memory: vec![1],
        health_memory_of: None,
        proposals: vec![Proposal { at: Timestamp(7), count: 3 }],
        changes: vec![Change { at: Timestamp(8), from: 2, to: 3 }],
        since: Some(Timestamp(1)),
        blind: Some(Blindness { looks: 2, last: Timestamp(6) }),
        stopped_outside: [(ContainerId("abc".into()), StoppedOutside { seen: Timestamp(4), is_settled: true })].into(),
        protected: [ContainerId("def".into())].into(),
        dependencies: [(
            WorkloadKey::stored("db"),
            Dependency::Up { back: Some(Timestamp(3)), fell: Some(Timestamp(2)) },
        )]
        .into(),
        ready: [(ContainerId("abc".into()), FirstReady { started: Timestamp(2), at: Timestamp(3) })].into(),
        probe_path: Some(Suspicion { since: Timestamp(9), healed: Some(Slot(2)), in_vain: 1, healed_at: None }),
        rollout: Some(RolloutHistory {
            failed: [(ContainerId("abc".into()), Some(Timestamp(8)))].into(),
            ready_since: [(ContainerId("def".into()), Timestamp(9))].into(),
            paused: Some(Timestamp(7)),
            ..RolloutHistory::of(web.generation())
        }),
        proven: Some(Generation::stored("00ff")),
        outdated: Some(Timestamp(6)),
        blocked: [(Slot(2), Blocked { tries: 3, error: "no space left on device".into(), ..Blocked::default() })]
            .into(),
        unremovable: [(ContainerId("gone".into()), Unremovable { tries: 1, ..Unremovable::default() })].into(),
        troubles: [(ContainerId("odd".into()), Trouble { kind: TroubleKind::CrashLoop, since: Timestamp(7) })].into(),
        containers: Some([ContainerId("one".into())].into()),
        stand_ins: [("queue".to_owned(), Timestamp(5))].into(),
        compose: Some(ComposeHistory {
            seen: [ContainerId("one".into())].into(),
            leaving: [ContainerId("gone".into())].into(),
            changed: Some(Timestamp(8)),
            uncopyable: Some(Timestamp(3)),
        }),
        service: ServiceHistory {
            no_room: Some(Timestamp(4)),
            paused: Some(Timestamp(5)),
            refused: Some(Blocked { tries: 1, error: "403 Forbidden".into(), ..Blocked::default() }),
            troubles: [(
                Slot(3),
                SlotTrouble {
                    trouble: Trouble { kind: TroubleKind::Unhealthy, since: Timestamp(7) },
                    seen: Timestamp(8),
                },
            )]
            .into(),
        },
    };
    let shadow = ShadowComparison::new(PolicyKind::Scaling, PolicyIdentity::default(), "{}".into(), Timestamp(9));
    let shadows = vec![ShadowComparison { memory: vec![3], ..shadow }];
    {
        let store = open(directory.path());
        store.save_workload(&web, 2).unwrap();
        store.save_held(&web.key, &held).unwrap();
        store.save_pass(&web.key, &history, None, NOW).unwrap();
        store.save_shadows(&web.key, &shadows, None, NOW).unwrap();
        let put = |at, value| SampleChange::Put(Sample { at: Timestamp(at), value });
        let of = |key: &WorkloadKey, changes: &[SampleChange], oldest| SeriesChanges {
            key: key.clone(),
            name: "queue".to_owned(),
            changes: changes.to_vec(),
            oldest: Timestamp(oldest),
        };
        let first = [put(10, 1.0), put(20, 2.0), put(25, 6.0), put(35, 7.0)];
        store.save_samples(&[of(&web.key, &first, 0)], Timestamp(0)).unwrap();
        // The oldest sample is dropped, one with the same time is replaced, two are merged into their mean, and
        // that of an unknown workload is ignored.
        let into = Sample { at: Timestamp(30), value: 6.5 };
        let merge = SampleChange::Merge { from: Timestamp(25), until: Timestamp(36), into };
        let then = of(&web.key, &[put(20, 2.5), merge, put(40, 4.0)], 15);
        let stranger = of(&WorkloadKey::stored("gone"), &[put(30, 9.0)], 0);
        store.save_samples(&[then, stranger], Timestamp(0)).unwrap();
    }
    let sample = |at, value| ("queue".to_owned(), Sample { at: Timestamp(at), value });
    let samples = vec![sample(20, 2.5), sample(30, 6.5), sample(40, 4.0)];
    let stored = StoredWorkload { workload: web, history, held, shadows, samples, bands: Vec::new() };
    assert_eq!(open(directory.path()).load().unwrap(), [stored]);
}

#[test]
fn a_changed_workload_keeps_its_history_and_holds() {
    let directory = folder();
    let store = open(directory.path());
    let web = workload("web", 1, 5);
    store.save_workload(&web, 1).unwrap();
    let history = History { target: Some(1), scaling_memory: vec![7], ..History::default() };
    store.save_pass(&web.key, &history, None, NOW).unwrap();
    store.save_held(&web.key, &[ContainerId("abc".into())]).unwrap();
    store.save_workload(&web, 3).unwrap();
    let stored = store.load().unwrap().remove(0);
    assert_eq!((stored.history, stored.held.len()), (History { target: Some(3), ..history }, 1));
}

#[test]
fn a_second_store_on_the_same_directory_is_refused() {
    let directory = folder();
    let first = open(directory.path());
    assert!(matches!(SqliteStore::open(directory.path(), 3), Err(StoreError::InUse { .. })));
    drop(first);
    open(directory.path());
}

#[test]
fn no_other_user_can_access_a_store() {
    use std::fs::{read_dir, set_permissions};
    let base = folder();
    let directory = base.path().join("data");
    let modes = || -> Vec<u32> {
        let files = read_dir(&directory).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
    };
    {
        let store = open(&directory);
        store.save_workload(&workload("web", 1, 5), 1).unwrap();
        // The lock, the database, its log and its shared memory.
        assert_eq!(modes(), [0o600; 4]);
    }
    // As an earlier version left it.
    for file in read_dir(&directory).unwrap() {
        set_permissions(file.unwrap().path(), Permissions::from_mode(0o644)).unwrap();
    }
    set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let StoreError::Failed { operation, source } = SqliteStore::open(&directory, 3).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(operation, "use the data directory");
    assert!(source.to_string().ends_with(&format!("run `chmod 700 {}`", directory.display())), "{source}");
    set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let store = open(&directory);
    assert_eq!(store.load().unwrap().len(), 1);
    assert_eq!(modes(), vec![0o600; modes().len()]);
}

#[test]
fn a_store_written_by_a_newer_windlass_is_refused() {
    let directory = folder();
    open(directory.path()).connection().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(directory.path(), 3);
    let newest = i64::try_from(MIGRATIONS.len()).unwrap();
    assert!(matches!(refused, Err(StoreError::TooNew { found: 99, known }) if known == newest), "{refused:?}");
}

/// A decision whose policy received and returned memories.
fn decision(at: u64, received: &[u8], returned: &[u8]) -> NewDecision {
    let memory = |place: &str, bytes: &[u8]| DecisionPart {
        place: place.to_owned(),
        content: PartContent::Memory(bytes.to_vec()),
    };
    let body = json!({"target": 2, "scaling": {"observation": {"memory": null}, "answer": {"memory": null}}});
    let parts = vec![memory("/scaling/observation/memory", received), memory("/scaling/answer/memory", returned)];
    NewDecision { parts, ..NewDecision::new(Timestamp(at), body) }
}

/// A memory of 64 KiB that differs from those with other numbers.
fn memory(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(8 << 10)
}

fn history(memory: &[u8]) -> History {
    History { scaling_memory: memory.to_vec(), ..History::default() }
}

/// A store with the workload `web`.
fn with_web(directory: &Path, kept: u32, limits: StoreLimits) -> (SqliteStore, WorkloadKey) {
    let store = SqliteStore::open(directory, kept).unwrap().with_limits(limits);
    let web = workload("web", 1, 5);
    store.save_workload(&web, 1).unwrap();
    (store, web.key)
}

fn newest(store: &SqliteStore, key: &WorkloadKey) -> Value {
    let page = store.decisions(key, &DecisionQuery::newest(1)).unwrap();
    serde_json::from_slice(&page.decisions[0].json).unwrap()
}

fn counted(store: &SqliteStore, sql: &str) -> i64 {
    store.connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Makes a pass of a policy that returns another 64 KiB each time.
fn pass(store: &SqliteStore, key: &WorkloadKey, number: u64, now: Timestamp) -> i64 {
    let (received, returned) = (memory(number), memory(number + 1));
    let decision = decision(now.0, &received, &returned);
    store.save_pass(key, &history(&returned), Some(&decision), now).unwrap().unwrap()
}

#[test]
fn the_newest_decisions_of_each_workload_are_kept_and_no_more() {
    let directory = folder();
    let store = open(directory.path());
    let (web, other) = (workload("web", 1, 5), workload("other", 1, 5));
    store.save_workload(&web, 1).unwrap();
    store.save_workload(&other, 1).unwrap();
    for number in 0..5 {
        for key in [&web.key, &other.key] {
            let record = NewDecision::new(Timestamp(number), json!({ "number": number }));
            assert!(store.save_pass(key, &History::default(), Some(&record), NOW).unwrap().is_some());
        }
    }
    let made_by = |until: Option<u64>, limit| -> Vec<u64> {
        let query = DecisionQuery { until: until.map(Timestamp), ..DecisionQuery::newest(limit) };
        let page = store.decisions(&web.key, &query).unwrap();
        page.decisions.iter().map(|decision| decision.record().unwrap().at.0).collect()
    };
    let numbers = |limit| made_by(None, limit);
    assert_eq!(numbers(10), [4, 3, 2]);
    assert_eq!((made_by(Some(3), 1), made_by(Some(3), 10), made_by(Some(1), 10)), (vec![3], vec![3, 2], vec![]));
    assert_eq!(numbers(1), [4]);
    store.delete_workload(&web.key).unwrap();
    assert!(numbers(10).is_empty());
    assert_eq!(store.decisions(&other.key, &DecisionQuery::newest(10)).unwrap().decisions.len(), 3);
}

#[test]
fn what_shadows_said_stands_beside_the_decision() {
    let directory = folder();
    let store = open(directory.path());
    let (web, other) = (workload("web", 1, 5), workload("other", 1, 5));
    store.save_workload(&web, 1).unwrap();
    store.save_workload(&other, 1).unwrap();
    let record = NewDecision::new(Timestamp(1), json!({ "target": 2 }));
    let id = store.save_pass(&web.key, &History::default(), Some(&record), NOW).unwrap().unwrap();
    let shown = |answers: &Value| json!({ "id": id, "at": 1, "target": 2, "shadows": answers });
    for answers in [json!([{"kind": "scaling"}]), json!([{"kind": "scaling", "reason": "x".repeat(10_000)}])] {
        let before = newest(&store, &web.key);
        // Answers for another workload's decision or a missing decision are ignored.
        store.save_shadows(&other.key, &[], Some((id, &answers)), NOW).unwrap();
        store.save_shadows(&web.key, &[], Some((id + 1, &answers)), NOW).unwrap();
        assert_eq!(newest(&store, &web.key), before);
        store.save_shadows(&web.key, &[], Some((id, &answers)), NOW).unwrap();
        assert_eq!(newest(&store, &web.key), shown(&answers));
    }
}

#[test]
fn equal_memories_are_stored_once_and_as_bytes() {
    let directory = folder();
    let (store, key) = with_web(directory.path(), 3, StoreLimits::default());
    for number in 0..6 {
        pass(&store, &key, number, NOW);
    }
    // Each of the three decisions has its own answer; the first one's input is apart.
    assert_eq!(counted(&store, "SELECT count(*) FROM part_bytes"), 4);
    assert_eq!(counted(&store, "SELECT sum(length(bytes)) FROM part_bytes"), 4 * (64 << 10));
    let shown = newest(&store, &key);
    assert_eq!(shown["scaling"]["observation"]["memory"], json!(memory(5)));
    assert_eq!(shown["scaling"]["answer"]["memory"], json!(memory(6)));
    assert_eq!(store.load().unwrap()[0].history.scaling_memory, memory(6), "it is the same part");
    let stored = "SELECT stored - (SELECT sum(size) FROM parts) - (SELECT sum(size) FROM decisions) FROM histories";
    assert_eq!(counted(&store, stored), 0, "the ledger is exact");
    store.delete_workload(&key).unwrap();
    assert_eq!(counted(&store, "SELECT (SELECT count(*) FROM parts) + (SELECT count(*) FROM part_bytes)"), 0);
}

#[test]
fn equal_observations_are_stored_once() {
    let directory = folder();
    let (store, key) = with_web(directory.path(), 10, StoreLimits::default());
    let observed = |replicas: u32| json!({"replicas": replicas, "labels": "x".repeat(2 << 10)});
    for (at, replicas) in [(1, 3), (2, 3), (3, 4), (4, 3)] {
        let text = serde_json::to_vec(&observed(replicas)).unwrap();
        let part = DecisionPart { place: "/scaling/observation".to_owned(), content: PartContent::Json(text) };
        let body = json!({"at": at, "scaling": {"observation": null}});
        let decision = NewDecision { parts: vec![part], ..NewDecision::new(Timestamp(at), body) };
        store.save_pass(&key, &History::default(), Some(&decision), NOW).unwrap();
        assert_eq!(newest(&store, &key)["scaling"]["observation"], observed(replicas));
    }
    assert_eq!(counted(&store, "SELECT count(*) FROM part_bytes"), 2);
    // Each decision shows its own observation all the same.
    let page = store.decisions(&key, &DecisionQuery::newest(10)).unwrap();
    let shown =
        |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap()["scaling"]["observation"]["replicas"].clone();
    assert_eq!(page.decisions.iter().map(|it| shown(&it.json)).collect::<Vec<_>>(), [3, 4, 3, 3]);
}

#[test]
fn a_decision_that_is_too_large_keeps_its_smaller_parts_and_names_the_others() {
    let directory = folder();
    let limits = StoreLimits { decision_bytes: 100 << 10, ..StoreLimits::default() };
    let (store, key) = with_web(directory.path(), 3, limits);
    let large = [memory(1), memory(2)].concat();
    store.save_pass(&key, &history(&large), Some(&decision(1, &memory(3), &large)), NOW).unwrap();
    let shown = newest(&store, &key);
    assert_eq!(shown["scaling"]["observation"]["memory"], json!(memory(3)));
    assert_eq!((&shown["target"], &shown["scaling"]["answer"]["memory"]), (&json!(2), &Value::Null));
    let omitted = json!([{"part": "/scaling/answer/memory", "limit": "store.decision_bytes"}]);
    assert_eq!(shown["omitted"], omitted);
    assert_eq!(store.load().unwrap()[0].history.scaling_memory, large, "the policy gets it all the same");
}

#[test]
fn a_policy_that_spent_its_day_is_recorded_without_its_memories_until_the_next_day() {
    let directory = folder();
    let limits = StoreLimits { daily_bytes: 1 << 20, ..StoreLimits::default() };
    let (store, key) = with_web(directory.path(), 10_000, limits);
    let second = |number: u64| Timestamp(NOW.0 + number * 1_000);
    let mut stored = BTreeSet::new();
    for number in 0..300 {
        pass(&store, &key, number, second(number));
        stored.insert(store.load().unwrap()[0].history.scaling_memory.clone());
    }
    let last = newest(&store, &key);
    let omitted: Vec<_> = last["omitted"].as_array().unwrap().iter().map(|omitted| &omitted["limit"]).collect();
    assert_eq!(omitted, ["store.daily_bytes", "store.daily_bytes"]);
    assert_eq!(store.decisions(&key, &DecisionQuery::newest(1_000)).unwrap().decisions.len(), 300);
    // 1 MiB holds 15 memories; then one is stored each minute.
    assert!((18..=22).contains(&stored.len()), "{} memories", stored.len());
    let size = store.size().unwrap();
    assert!(size.used_bytes < 4 << 20, "{size:?}");
    pass(&store, &key, 300, Timestamp(NOW.0 + 86_400_000));
    assert_eq!(newest(&store, &key)["omitted"], Value::Null);
}

#[test]
fn the_memory_of_another_policy_is_stored_also_when_the_day_is_spent() {
    let directory = folder();
    let (store, key) = with_web(directory.path(), 10, StoreLimits { daily_bytes: 0, ..StoreLimits::default() });
    let of = |name: &str, memory: &[u8]| History {
        scaling_memory_of: Some(MemoryOwner { name: name.to_owned(), since: 0 }),
        ..history(memory)
    };
    let stored = |history: &History| {
        store.save_pass(&key, history, None, NOW).unwrap();
        store.load().unwrap().remove(0).history.scaling_memory
    };
    assert_eq!(stored(&of("first", &memory(1))), memory(1));
    assert_eq!(stored(&of("second", &memory(2))), memory(2), "it must never receive the memory of the first");
    assert_eq!(stored(&of("second", &memory(3))), memory(3), "none was written in the last minute");
    assert_eq!(stored(&of("second", &memory(4))), memory(3), "it waits");
    assert_eq!(stored(&of("second", &[])), [0; 0]);
    assert_eq!(stored(&of("second", &memory(5))), [0; 0], "an empty memory is no way around the budget");
}

#[test]
fn the_oldest_decisions_of_a_large_workload_lose_their_parts_first() {
    let directory = folder();
    let limits = StoreLimits { workload_bytes: 1 << 20, ..StoreLimits::default() };
    let (store, key) = with_web(directory.path(), 1_000, limits);
    for number in 0..100 {
        pass(&store, &key, number, NOW);
    }
    let page = store.decisions(&key, &DecisionQuery::newest(1_000)).unwrap();
    let shown: Vec<Value> =
        page.decisions.iter().map(|decision| serde_json::from_slice(&decision.json).unwrap()).collect();
    assert_eq!(shown.len(), 100, "every decision is there");
    let whole = shown.iter().take_while(|shown| shown["omitted"].is_null()).count();
    assert!((10..=16).contains(&whole), "{whole} are complete");
    let bare = &shown[whole + 1]["omitted"];
    assert_eq!(bare[0], json!({"part": "/scaling/answer/memory", "limit": "store.workload_bytes"}));
    assert!(counted(&store, "SELECT stored FROM histories") <= 1 << 20);
    // Without parts, decisions are dropped.
    let small = SqliteStore::with_limits(store, StoreLimits { workload_bytes: 1_000, ..limits });
    pass(&small, &key, 100, NOW);
    let left = small.decisions(&key, &DecisionQuery::newest(1_000)).unwrap();
    assert_eq!(left.decisions.len(), 1, "the newest one stays");
}

#[test]
fn the_store_stays_below_its_limit_and_its_file_shrinks() {
    let directory = folder();
    let limits = StoreLimits { max_bytes: 16 << 20, ..StoreLimits::default() };
    let store = SqliteStore::open(directory.path(), 1_000).unwrap().with_limits(limits);
    let keys: Vec<WorkloadKey> = (0..4)
        .map(|number| workload(&format!("web-{number}"), 1, 5))
        .map(|web| {
            store.save_workload(&web, 1).unwrap();
            web.key
        })
        .collect();
    for number in 0..120 {
        for (index, key) in (0..).zip(&keys) {
            pass(&store, key, number + index * 1_000, NOW);
        }
        assert!(store.size().unwrap().used_bytes <= 16 << 20);
    }
    let kept = counted(&store, "SELECT count(*) FROM decisions");
    assert!((100..480).contains(&kept), "{kept}");
    assert_eq!(newest(&store, &keys[0])["omitted"], Value::Null, "the newest are complete");
    for key in &keys {
        store.delete_workload(key).unwrap();
    }
    // Each transaction gives a part of the free pages back.
    let web = workload("small", 1, 5);
    let mut shrunk = false;
    for _ in 0..40 {
        store.save_workload(&web, 1).unwrap();
        shrunk = counted(&store, "PRAGMA freelist_count") <= 1_024;
    }
    assert!(shrunk, "{} free pages", counted(&store, "PRAGMA freelist_count"));
}

#[test]
fn reading_holds_up_no_pass_and_a_pass_no_reading() {
    let directory = folder();
    let (store, key) = with_web(directory.path(), 10, StoreLimits::default());
    pass(&store, &key, 0, NOW);
    {
        let reading = store.reader.lock();
        reading.execute_batch("BEGIN; SELECT body FROM decisions;").unwrap();
        pass(&store, &key, 1, NOW);
        reading.execute_batch("COMMIT").unwrap();
    }
    let writing = store.connection();
    writing.execute_batch("BEGIN IMMEDIATE; DELETE FROM decisions").unwrap();
    assert_eq!(store.decisions(&key, &DecisionQuery::newest(10)).unwrap().decisions.len(), 2);
    writing.execute_batch("ROLLBACK").unwrap();
    assert!(store.reader.lock().execute_batch("DELETE FROM decisions").is_err(), "it only reads");
}

#[test]
fn a_long_list_is_read_in_pages_of_bytes() {
    let directory = folder();
    let (store, key) = with_web(directory.path(), 10, StoreLimits::default());
    let ids: Vec<i64> = (0..5).map(|number| pass(&store, &key, number, NOW)).collect();
    let mut query = DecisionQuery { bytes: 400_000, ..DecisionQuery::newest(4) };
    let mut pages = Vec::new();
    loop {
        let page = store.decisions(&key, &query).unwrap();
        pages.push(page.decisions.iter().map(|decision| decision.id).collect::<Vec<_>>());
        let Some(next) = page.next else { break };
        query.before = Some(next);
    }
    let expected: Vec<Vec<i64>> = vec![vec![ids[4], ids[3]], vec![ids[2], ids[1]], vec![ids[0]]];
    assert_eq!(pages, expected, "two decisions of 64 KiB memories have more than 400 kB of text");
    let limited = store.decisions(&key, &DecisionQuery::newest(5)).unwrap();
    assert_eq!((limited.decisions.len(), limited.next), (5, None));
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date() {
    let directory = folder();
    let web = workload("web", 1, 5);
    {
        let mut old = Connection::open(directory.path().join("windlass.db")).unwrap();
        apply(&mut old, 1, MIGRATIONS[0]).unwrap();
        // Its desired state still contains the target.
        let row = params![web.key.as_str(), json(&Desired { workload: &web, target: 1 })];
        old.execute("INSERT INTO workloads (key, desired, target) VALUES (?1, ?2, 3)", row).unwrap();
    }
    let stored = open(directory.path()).load().unwrap();
    assert_eq!((stored.len(), &stored[0].workload.key, stored[0].shadows.len()), (1, &web.key, 0));
    assert_eq!((&stored[0].workload, stored[0].history.target), (&web, Some(3)));
}

#[test]
fn a_store_of_the_version_before_keeps_its_decisions_and_memories_as_bytes() {
    let directory = folder();
    let web = workload("web", 1, 5);
    let owner = MemoryOwner { name: "queue".to_owned(), since: 2 };
    let before = History { scaling_memory_of: Some(owner), ..history(&memory(1)) };
    let shadow = ShadowComparison::new(PolicyKind::Scaling, PolicyIdentity::default(), "{}".into(), NOW);
    let shadows = vec![ShadowComparison { memory: memory(2), ..shadow }];
    let replicas = vec![json!({"id": "a", "labels": "x".repeat(1_000)})];
    let part = json!({"config": "{}", "answer": {"replicas": 1, "memory": memory(3)}});
    let body = json!({
        "target": 2,
        "health": {"config": "{}", "observation": {"replicas": replicas, "memory": []}, "answer": {"unavailable": "why"}},
        "scaling": {
            "config": "{}",
            "observation": {"replicas": replicas, "metrics": [], "memory": memory(4)},
            "answer": {"replicas": 1, "memory": memory(1), "parts": [part]},
        },
    });
    {
        let mut old = Connection::open(directory.path().join("windlass.db")).unwrap();
        old.execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;").unwrap();
        for (step, migration) in (1..).zip(MIGRATIONS).take(3) {
            apply(&mut old, step, migration).unwrap();
        }
        let row =
            params![web.key.as_str(), json(&Desired { workload: &web, target: 1 }), json(&before), json(&shadows)];
        let sql = "INSERT INTO workloads (key, desired, target, history, shadows) VALUES (?1, ?2, 3, ?3, ?4)";
        old.execute(sql, row).unwrap();
        for at in 1..3 {
            let row = params![web.key.as_str(), at, body.to_string()];
            old.execute("INSERT INTO decisions (key, at, body) VALUES (?1, ?2, ?3)", row).unwrap();
        }
    }
    let store = open(directory.path());
    let stored = store.load().unwrap().remove(0);
    assert_eq!((stored.history, stored.shadows), (History { target: Some(3), ..before }, shadows));
    let page = store.decisions(&web.key, &DecisionQuery::newest(10)).unwrap();
    let bodies: Vec<Value> = page.decisions.iter().map(|decision| decision.record().unwrap().body).collect();
    assert_eq!(bodies, [body.clone(), body]);
    assert_eq!(counted(&store, "SELECT max(length(body)) < 2000 FROM decisions"), 1);
    // Four memories and the replicas, whatever has them.
    assert_eq!(counted(&store, "SELECT count(*) FROM part_bytes"), 5);
    assert_eq!(counted(&store, "PRAGMA auto_vacuum"), 2);
    let stored = "SELECT stored - (SELECT sum(size) FROM parts) - (SELECT sum(size) FROM decisions) FROM histories";
    assert_eq!(counted(&store, stored), 0, "the ledger begins with what is there");
}

#[test]
fn a_pass_of_a_workload_that_was_deleted_meanwhile_stores_nothing() {
    let directory = folder();
    let store = open(directory.path());
    let record = NewDecision::new(Timestamp(1), json!({}));
    let key = WorkloadKey::stored("gone");
    assert_eq!(store.save_pass(&key, &History::default(), Some(&record), NOW).unwrap(), None);
    assert!(store.load().unwrap().is_empty());
}
