//! [`Store`] in one SQLite file (WAL mode) in the data directory, which one Windlass process holds at a time.

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use windlass_core::contract::Sample;
use windlass_core::metric::SampleChange;
use windlass_core::store::{DecisionRecord, SeriesChanges, Store, StoreError, StoredWorkload};
use windlass_core::{ContainerId, History, ShadowComparison, Timestamp, Workload, WorkloadKey};

/// The migrations from an empty file to the newest schema; `user_version` counts the applied ones. A released migration
/// never changes.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE workloads (
        key TEXT PRIMARY KEY,
        desired TEXT NOT NULL,              -- model::Workload as JSON, its target apart
        target INTEGER NOT NULL,
        history TEXT NOT NULL DEFAULT '{\"slots\":{},\"scaling_memory\":[],\"health_memory\":[]}',
        held TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL REFERENCES workloads (key) ON DELETE CASCADE,
        at INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decisions_of_workload ON decisions (key, id);
",
    "ALTER TABLE workloads ADD COLUMN shadows TEXT NOT NULL DEFAULT '[]'; -- model::ShadowComparison, a list, as JSON",
    "
    CREATE TABLE samples (
        key TEXT NOT NULL REFERENCES workloads (key) ON DELETE CASCADE,
        name TEXT NOT NULL,
        at INTEGER NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (key, name, at)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX samples_by_age ON samples (at);
",
];

/// The store of one data directory. Dropping it releases the directory.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
    decisions_kept: u32,
    /// Held while the store is open; the operating system releases it even after kill -9.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store of a data directory and brings its schema up to date. A missing directory is created with mode
    /// 0700. `decisions_kept` is the number of decisions kept for each workload.
    ///
    /// # Errors
    /// If another Windlass holds the directory, a newer Windlass wrote it, or the disk fails.
    pub fn open(directory: &Path, decisions_kept: u32) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("create the data directory"))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("windlass.lock"))
            .map_err(failed("open the lock file of the data directory"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { directory: directory.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock the data directory")(error)),
        }
        let mut connection = Connection::open(directory.join("windlass.db")).map_err(failed("open the database"))?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
            .map_err(failed("set up the database"))?;
        migrate(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection), decisions_kept, _lock: lock })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolls it back, so the connection stays usable.
        self.connection.lock()
    }

    fn transaction<T>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction().map_err(failed(operation))?;
        let value = body(&transaction).map_err(failed(operation))?;
        transaction.commit().map_err(failed(operation))?;
        Ok(value)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("read the version of the database"))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (step, sql) in (1i64..).zip(MIGRATIONS).filter(|(step, _)| *step > found) {
        apply_migration(connection, step, sql).map_err(failed("migrate the database to the current schema"))?;
    }
    Ok(())
}

fn apply_migration(connection: &mut Connection, step: i64, sql: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "user_version", step)?;
    transaction.commit()
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(operation: &'static str) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Failed { operation, source: source.into() }
}

/// The `desired` column. Older versions of Windlass require `target` in it, so the row stays readable after a downgrade.
#[derive(serde::Serialize)]
struct Desired<'a> {
    #[serde(flatten)]
    workload: &'a Workload,
    target: u32,
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("these types have string keys and no failing serializer")
}

fn decision_of((id, at, body): (i64, i64, String), operation: &'static str) -> Result<DecisionRecord, StoreError> {
    let body = serde_json::from_str(&body).map_err(failed(operation))?;
    Ok(DecisionRecord { id, at: Timestamp(at.cast_unsigned()), body })
}

fn samples_of(connection: &Connection, key: &WorkloadKey) -> rusqlite::Result<Vec<(String, Sample)>> {
    let mut statement = connection.prepare_cached("SELECT name, at, value FROM samples WHERE key = ?1 ORDER BY at")?;
    let rows = statement.query_map([key.as_str()], |row| {
        let at = Timestamp(row.get::<_, i64>(1)?.cast_unsigned());
        Ok((row.get(0)?, Sample { at, value: row.get(2)? }))
    })?;
    rows.collect()
}

fn decision_of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, i64, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError> {
        const OPERATION: &str = "read the stored workloads";
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT desired, target, history, held, shadows FROM workloads ORDER BY key")
            .map_err(failed(OPERATION))?;
        let rows = statement
            .query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, u32>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, String>(4)?,
                ))
            })
            .map_err(failed(OPERATION))?;
        rows.map(|row| {
            let (desired, target, history, held, shadows) = row.map_err(failed(OPERATION))?;
            let workload: Workload = serde_json::from_str(&desired).map_err(failed(OPERATION))?;
            let history: History = serde_json::from_str(&history).map_err(failed(OPERATION))?;
            let samples = samples_of(&connection, &workload.key).map_err(failed(OPERATION))?;
            Ok(StoredWorkload {
                workload,
                history: History { target: Some(target), ..history },
                held: serde_json::from_str(&held).map_err(failed(OPERATION))?,
                shadows: serde_json::from_str(&shadows).map_err(failed(OPERATION))?,
                samples,
            })
        })
        .collect()
    }

    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError> {
        let desired = json(&Desired { workload, target });
        self.transaction("store the desired state", |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO workloads (key, desired, target) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET desired = excluded.desired, target = excluded.target",
                )?
                .execute(params![workload.key.as_str(), desired, target])
                .map(drop)
        })
    }

    fn delete_workload(&self, key: &WorkloadKey) -> Result<(), StoreError> {
        self.transaction("delete a workload", |transaction| {
            transaction.execute("DELETE FROM workloads WHERE key = ?1", [key.as_str()]).map(drop)
        })
    }

    fn save_held(&self, key: &WorkloadKey, held: &[ContainerId]) -> Result<(), StoreError> {
        self.transaction("store the held replicas", |transaction| {
            transaction
                .execute("UPDATE workloads SET held = ?2 WHERE key = ?1", params![key.as_str(), json(&held)])
                .map(drop)
        })
    }

    fn save_pass(
        &self,
        key: &WorkloadKey,
        history: &History,
        decision: Option<&DecisionRecord>,
    ) -> Result<Option<i64>, StoreError> {
        self.transaction("store the result of a pass", |transaction| {
            let changed = transaction
                .prepare_cached("UPDATE workloads SET target = coalesce(?2, target), history = ?3 WHERE key = ?1")?
                .execute(params![key.as_str(), history.target, json(history)])?;
            let Some(decision) = decision.filter(|_| changed > 0) else {
                return Ok(None);
            };
            transaction
                .prepare_cached("INSERT INTO decisions (key, at, body) VALUES (?1, ?2, ?3)")?
                .execute(params![key.as_str(), decision.at.0.cast_signed(), json(&decision.body)])?;
            let id = transaction.last_insert_rowid();
            let oldest_kept: Option<i64> = transaction
                .prepare_cached("SELECT id FROM decisions WHERE key = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?
                .query_row(params![key.as_str(), self.decisions_kept], |row| row.get(0))
                .optional()?;
            if let Some(last_dropped) = oldest_kept {
                transaction
                    .prepare_cached("DELETE FROM decisions WHERE key = ?1 AND id <= ?2")?
                    .execute(params![key.as_str(), last_dropped])?;
            }
            Ok(Some(id))
        })
    }

    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        answers: Option<(i64, &serde_json::Value)>,
    ) -> Result<(), StoreError> {
        self.transaction("store the shadow policies' answers", |transaction| {
            transaction
                .prepare_cached("UPDATE workloads SET shadows = ?2 WHERE key = ?1")?
                .execute(params![key.as_str(), json(&shadows)])?;
            if let Some((decision, answers)) = answers {
                transaction
                    .prepare_cached(
                        "UPDATE decisions SET body = json_set(body, '$.shadows', json(?3)) WHERE key = ?1 AND id = ?2",
                    )?
                    .execute(params![key.as_str(), decision, json(answers)])?;
            }
            Ok(())
        })
    }

    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError> {
        self.transaction("store metric samples", |transaction| {
            transaction
                .prepare_cached("DELETE FROM samples WHERE at < ?1")?
                .execute(params![oldest.0.cast_signed()])?;
            let mut delete =
                transaction.prepare_cached("DELETE FROM samples WHERE key = ?1 AND name = ?2 AND at >= ?3 AND at < ?4")?;
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO samples (key, name, at, value) SELECT key, ?2, ?3, ?4 FROM workloads WHERE key = ?1",
            )?;
            for SeriesChanges { key, name, changes, oldest } in changes {
                let key = key.as_str();
                for change in changes {
                    let sample = match change {
                        SampleChange::Clear => {
                            delete.execute(params![key, name, i64::MIN, i64::MAX])?;
                            continue;
                        }
                        SampleChange::Put(sample) => sample,
                        SampleChange::Merge { from, until, into } => {
                            delete.execute(params![key, name, from.0.cast_signed(), until.0.cast_signed()])?;
                            into
                        }
                    };
                    insert.execute(params![key, name, sample.at.0.cast_signed(), sample.value])?;
                }
                delete.execute(params![key, name, i64::MIN, oldest.0.cast_signed()])?;
            }
            Ok(())
        })
    }

    fn decision(&self, id: i64) -> Result<Option<DecisionRecord>, StoreError> {
        const OPERATION: &str = "read a decision";
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT id, at, body FROM decisions WHERE id = ?1").map_err(failed(OPERATION))?;
        let row = statement.query_row(params![id], decision_of_row).optional().map_err(failed(OPERATION))?;
        row.map(|row| decision_of(row, OPERATION)).transpose()
    }

    fn decisions(
        &self,
        key: &WorkloadKey,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        const OPERATION: &str = "read the decisions";
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT id, at, body FROM decisions WHERE key = ?1 AND at <= ?2 ORDER BY id DESC LIMIT ?3")
            .map_err(failed(OPERATION))?;
        let until = until.and_then(|until| i64::try_from(until.0).ok()).unwrap_or(i64::MAX);
        let rows =
            statement.query_map(params![key.as_str(), until, limit], decision_of_row).map_err(failed(OPERATION))?;
        rows.map(|row| decision_of(row.map_err(failed(OPERATION))?, OPERATION)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use windlass_core::fixtures::workload;
    use windlass_core::{
        Blindness, Blocked, Change, Dependency, FirstReady, Generation, MemoryOwner, PolicyIdentity, PolicyKind,
        Proposal, Rollout, RolloutHistory, RolloutMode, Slot, SlotHistory, StoppedOutside, Suspicion, Trouble,
        TroubleKind, Unremovable,
    };

    fn open(directory: &Path) -> SqliteStore {
        SqliteStore::open(directory, 3).unwrap()
    }

    #[test]
    fn everything_stored_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
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
            stopped_outside: [(ContainerId("abc".into()), StoppedOutside { seen: Timestamp(4), is_settled: true })]
                .into(),
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
            troubles: [(ContainerId("odd".into()), Trouble { kind: TroubleKind::CrashLoop, since: Timestamp(7) })]
                .into(),
            containers: Some([ContainerId("one".into())].into()),
            stand_ins: [("queue".to_owned(), Timestamp(5))].into(),
        };
        let shadow = ShadowComparison::new(PolicyKind::Scaling, PolicyIdentity::default(), "{}".into(), Timestamp(9));
        let shadows = vec![ShadowComparison { memory: vec![3], ..shadow }];
        {
            let store = open(directory.path());
            store.save_workload(&web, 2).unwrap();
            store.save_held(&web.key, &held).unwrap();
            store.save_pass(&web.key, &history, None).unwrap();
            store.save_shadows(&web.key, &shadows, None).unwrap();
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
        let stored = StoredWorkload { workload: web, history, held, shadows, samples };
        assert_eq!(open(directory.path()).load().unwrap(), [stored]);
    }

    #[test]
    fn a_changed_workload_keeps_its_history_and_holds() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let web = workload("web", 1, 5);
        store.save_workload(&web, 1).unwrap();
        let history = History { target: Some(1), scaling_memory: vec![7], ..History::default() };
        store.save_pass(&web.key, &history, None).unwrap();
        store.save_held(&web.key, &[ContainerId("abc".into())]).unwrap();
        store.save_workload(&web, 3).unwrap();
        let stored = store.load().unwrap().remove(0);
        assert_eq!((stored.history, stored.held.len()), (History { target: Some(3), ..history }, 1));
    }

    #[test]
    fn a_second_store_on_the_same_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path());
        assert!(matches!(SqliteStore::open(directory.path(), 3), Err(StoreError::InUse { .. })));
        drop(first);
        open(directory.path());
    }

    #[test]
    fn a_store_written_by_a_newer_windlass_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).connection().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(SqliteStore::open(directory.path(), 3), Err(StoreError::TooNew { found: 99, known: 3 })));
    }

    #[test]
    fn the_newest_decisions_of_each_workload_are_kept_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let (web, other) = (workload("web", 1, 5), workload("other", 1, 5));
        store.save_workload(&web, 1).unwrap();
        store.save_workload(&other, 1).unwrap();
        for number in 0..5 {
            for key in [&web.key, &other.key] {
                let record = DecisionRecord { id: 0, at: Timestamp(number), body: json!({ "number": number }) };
                assert!(store.save_pass(key, &History::default(), Some(&record)).unwrap().is_some());
            }
        }
        let made_by = |until: Option<u64>, limit| -> Vec<u64> {
            store
                .decisions(&web.key, until.map(Timestamp), limit)
                .unwrap()
                .iter()
                .map(|decision| decision.at.0)
                .collect()
        };
        let numbers = |limit| made_by(None, limit);
        assert_eq!(numbers(10), [4, 3, 2]);
        assert_eq!((made_by(Some(3), 1), made_by(Some(3), 10), made_by(Some(1), 10)), (vec![3], vec![3, 2], vec![]));
        assert_eq!(numbers(1), [4]);
        store.delete_workload(&web.key).unwrap();
        assert!(numbers(10).is_empty());
        assert_eq!(store.decisions(&other.key, None, 10).unwrap().len(), 3);
    }

    #[test]
    fn what_shadows_said_stands_beside_the_decision() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let (web, other) = (workload("web", 1, 5), workload("other", 1, 5));
        store.save_workload(&web, 1).unwrap();
        let record = DecisionRecord { id: 0, at: Timestamp(1), body: json!({ "target": 2 }) };
        let id = store.save_pass(&web.key, &History::default(), Some(&record)).unwrap().unwrap();
        let answers = json!([{"kind": "scaling"}]);
        // Answers for another workload's decision or a missing decision are ignored.
        store.save_shadows(&other.key, &[], Some((id, &answers))).unwrap();
        store.save_shadows(&web.key, &[], Some((id + 1, &answers))).unwrap();
        assert_eq!(store.decisions(&web.key, None, 10).unwrap()[0].body, json!({ "target": 2 }));
        store.save_shadows(&web.key, &[], Some((id, &answers))).unwrap();
        assert_eq!(store.decisions(&web.key, None, 10).unwrap()[0].body, json!({ "target": 2, "shadows": answers }));
    }

    #[test]
    fn a_store_of_the_first_version_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let web = workload("web", 1, 5);
        {
            let mut old = Connection::open(directory.path().join("windlass.db")).unwrap();
            apply_migration(&mut old, 1, MIGRATIONS[0]).unwrap();
            // Its desired state still contains the target.
            let row = params![web.key.as_str(), json(&Desired { workload: &web, target: 1 })];
            old.execute("INSERT INTO workloads (key, desired, target) VALUES (?1, ?2, 3)", row).unwrap();
        }
        let stored = open(directory.path()).load().unwrap();
        assert_eq!((stored.len(), &stored[0].workload.key, stored[0].shadows.len()), (1, &web.key, 0));
        assert_eq!((&stored[0].workload, stored[0].history.target), (&web, Some(3)));
    }

    #[test]
    fn a_pass_of_a_workload_that_was_deleted_meanwhile_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let record = DecisionRecord { id: 0, at: Timestamp(1), body: json!({}) };
        let key = WorkloadKey::stored("gone");
        assert_eq!(store.save_pass(&key, &History::default(), Some(&record)).unwrap(), None);
        assert!(store.load().unwrap().is_empty());
    }
}
