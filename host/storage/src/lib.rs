//! [`Store`] and `AccessStore` in one SQLite file (WAL mode) in the data directory, which one Windlass process holds at a time.
//!
//! One connection writes, and another one reads: an answer of the API never holds up a pass.

mod access;
mod comparisons;
mod decision_text;
mod decisions;
mod ledger;
mod memories;
mod migrations;
mod parts;
mod retention;
mod samples;
mod series;
mod size;
#[cfg(test)]
mod tests;
mod text;

use crate::ledger::Ledger;
use crate::memories::Memory;
use crate::migrations::migrate;
use crate::text::{failed, json, parsed};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, Transaction, params};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use windlass_core::series::{Band, DecisionPoint, Steps};
use windlass_core::settings::StoreLimits;
use windlass_core::store::{
    DecisionPage, DecisionQuery, NewDecision, SamplePoints, SeriesChanges, Store, StoreError, StoreSize,
    StoredDecision, StoredWorkload,
};
use windlass_core::{ContainerId, History, ShadowComparison, Timestamp, Workload, WorkloadKey};
use windlass_files::private;

/// Bytes to which the write-ahead log shrinks after it was written back.
const LOG_BYTES: u64 = 16 << 20;

/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 64;

/// The store of one data directory. Dropping it releases the directory.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
    /// For reading only.
    reader: Mutex<Connection>,
    database: PathBuf,
    decisions_kept: u32,
    limits: StoreLimits,
    /// Held while the store is open; the operating system releases it even after kill -9.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store of a data directory and brings its schema up to date. A missing directory is created with mode
    /// 0700, and the files of the store have mode 0600. `decisions_kept` is the number of decisions kept for each workload. The
    /// budgets are the default ones.
    ///
    /// # Errors
    /// If other users can access the directory, another Windlass holds it, a newer Windlass wrote it, or the disk fails.
    pub fn open(directory: &Path, decisions_kept: u32) -> Result<Self, StoreError> {
        private::folder(directory).map_err(failed("use the data directory"))?;
        let lock = private::file(&directory.join("windlass.lock"))
            .map_err(failed("open the lock file of the data directory"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { directory: directory.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock the data directory")(error)),
        }
        let database = private_database(directory).map_err(failed("restrict the access to the database"))?;
        let mut connection = Connection::open(&database).map_err(failed("open the database"))?;
        connection
            .execute_batch(&format!(
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                 PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = {LOG_BYTES};"
            ))
            .map_err(failed("set up the database"))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        migrate(&mut connection)?;
        if let Err(error) = size::let_shrink(&connection) {
            // It needs free disk space of the same size. The next start tries again.
            tracing::warn!(%error, "the database cannot be rewritten, so its file will not shrink");
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&database, flags).map_err(failed("open the database to read it"))?;
        reader.set_prepared_statement_cache_capacity(STATEMENTS);
        // SQLite opens the files only now.
        size::used_bytes(&reader).map_err(failed("read the database"))?;
        Ok(Self {
            connection: Mutex::new(connection),
            reader: Mutex::new(reader),
            database,
            decisions_kept,
            limits: StoreLimits::default(),
            _lock: lock,
        })
    }

    /// The same store with these budgets.
    #[must_use]
    pub fn with_limits(mut self, limits: StoreLimits) -> Self {
        self.limits = limits;
        self
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
        if let Err(error) = size::give_back(&connection) {
            // The transaction is stored all the same.
            tracing::warn!(%error, "free pages of the database cannot be given back to the disk");
        }
        Ok(value)
    }

    fn read<T>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        body(&self.reader.lock()).map_err(failed(operation))
    }

    /// The ledger of a workload.
    fn ledger(&self, transaction: &Transaction<'_>, key: &str, now: Timestamp) -> rusqlite::Result<Ledger> {
        let is_full = size::used_bytes(transaction)? > self.limits.max_bytes;
        Ledger::read(transaction, key, self.limits, is_full, now)
    }
}

/// The path of the database. It and the files that SQLite keeps next to it are private; SQLite gives new ones the mode of the
/// database.
fn private_database(directory: &Path) -> std::io::Result<PathBuf> {
    let database = directory.join("windlass.db");
    private::file(&database)?;
    for name in ["windlass.db-wal", "windlass.db-shm", "windlass.db-journal"] {
        private::restrict(&directory.join(name))?;
    }
    Ok(database)
}

/// The `desired` column. Older versions of Windlass require `target` in it, so the row stays readable after a downgrade.
#[derive(serde::Serialize)]
struct Desired<'a> {
    #[serde(flatten)]
    workload: &'a Workload,
    target: u32,
}

/// A history as JSON, without the memories of policies.
fn without_memories(history: &History) -> String {
    json(&History { scaling_memory: Vec::new(), health_memory: Vec::new(), ..history.clone() })
}

/// The memories of the policies that act.
fn memories_of(history: &History) -> [Memory<'_>; 2] {
    [
        ("scaling", &history.scaling_memory, &history.scaling_memory_of),
        ("health", &history.health_memory, &history.health_memory_of),
    ]
    .map(|(policy, bytes, owner)| Memory { policy: policy.to_owned(), owner: json(owner), bytes })
}

fn exists(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<bool> {
    transaction.prepare_cached("SELECT 1 FROM workloads WHERE key = ?1")?.exists([key])
}

/// The columns of a workload that are read at the start.
struct Columns {
    desired: String,
    target: u32,
    history: String,
    held: String,
    shadows: String,
}

impl Columns {
    fn workload(self, connection: &Connection) -> rusqlite::Result<StoredWorkload> {
        let workload: Workload = parsed(&self.desired)?;
        let mut history: History = parsed(&self.history)?;
        let mut shadows: Vec<ShadowComparison> = parsed(&self.shadows)?;
        let mut memories = memories::of(connection, workload.key.as_str())?;
        let mut memory = |policy: &str| memories.remove(policy).unwrap_or_default();
        history.target = Some(self.target);
        (history.scaling_memory, history.health_memory) = (memory("scaling"), memory("health"));
        for (number, shadow) in shadows.iter_mut().enumerate() {
            shadow.memory = memory(&comparisons::name(number));
        }
        let samples = samples::of(connection, &workload.key)?;
        let bands = series::open_bands(connection, &workload.key)?;
        Ok(StoredWorkload { workload, history, held: parsed(&self.held)?, shadows, samples, bands })
    }
}

impl Store for SqliteStore {
    fn count_run(&self) -> Result<u64, StoreError> {
        self.transaction("count this run", |transaction| {
            transaction.query_row(
                "INSERT INTO counters (name, count) VALUES ('runs', 1)
                 ON CONFLICT (name) DO UPDATE SET count = count + 1 RETURNING count - 1",
                [],
                |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()),
            )
        })
    }

    fn load(&self) -> Result<Vec<StoredWorkload>, StoreError> {
        const OPERATION: &str = "read the stored workloads";
        let connection = self.connection();
        let mut statement = connection
            .prepare(
                "SELECT desired, target, histories.history, held, coalesce(comparisons.shadows, '[]') FROM workloads
                 JOIN histories USING (key) LEFT JOIN comparisons USING (key) ORDER BY key",
            )
            .map_err(failed(OPERATION))?;
        let rows = statement
            .query_map([], |row| {
                let (desired, target, history) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Columns { desired, target, history, held: row.get(3)?, shadows: row.get(4)? })
            })
            .map_err(failed(OPERATION))?;
        rows.map(|row| row.and_then(|columns| columns.workload(&connection)).map_err(failed(OPERATION))).collect()
    }

    fn save_workload(&self, workload: &Workload, target: u32) -> Result<(), StoreError> {
        let desired = json(&Desired { workload, target });
        self.transaction("store the desired state", |transaction| {
            let key = workload.key.as_str();
            transaction
                .prepare_cached(
                    "INSERT INTO workloads (key, desired, target) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET desired = excluded.desired, target = excluded.target",
                )?
                .execute(params![key, desired, target])?;
            transaction
                .prepare_cached("INSERT INTO histories (key, history) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING")?
                .execute(params![key, without_memories(&History::default())])
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
        decision: Option<&NewDecision>,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let (key, text) = (key.as_str(), without_memories(history));
        self.transaction("store the result of a pass", |transaction| {
            if !exists(transaction, key)? {
                return Ok(None);
            }
            let mut ledger = self.ledger(transaction, key, now)?;
            // The row of the desired state may be large: it is written only if it changes.
            transaction
                .prepare_cached("UPDATE workloads SET target = ?2 WHERE key = ?1 AND target <> ?2")?
                .execute(params![key, history.target])?;
            transaction
                .prepare_cached("UPDATE histories SET history = ?2 WHERE key = ?1")?
                .execute(params![key, text])?;
            let decision = match decision {
                Some(decision) => Some(decisions::insert(transaction, key, decision, &mut ledger)?),
                None => None,
            };
            // After the decision, which has the same memories.
            let is_changed = memories::save(transaction, key, &memories_of(history), &mut ledger)?;
            // Most passes store a history only, which takes the place of the one before.
            if is_changed || decision.is_some() {
                ledger.write(transaction, key)?;
                retention::apply(transaction, key, self.decisions_kept, self.limits.workload_bytes)?;
                size::make_room(transaction, self.limits.max_bytes)?;
            }
            Ok(decision)
        })
    }

    fn save_shadows(
        &self,
        key: &WorkloadKey,
        shadows: &[ShadowComparison],
        answers: Option<(i64, &serde_json::Value)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = key.as_str();
        self.transaction("store the shadow policies' answers", |transaction| {
            if !exists(transaction, key)? {
                return Ok(());
            }
            let mut ledger = self.ledger(transaction, key, now)?;
            comparisons::save(transaction, key, shadows, &mut ledger)?;
            if let Some((decision, answers)) = answers {
                decisions::add_member(transaction, key, decision, ("shadows", answers), &mut ledger)?;
            }
            ledger.write(transaction, key)?;
            retention::apply(transaction, key, self.decisions_kept, self.limits.workload_bytes)
        })
    }

    fn save_samples(&self, changes: &[SeriesChanges], oldest: Timestamp) -> Result<(), StoreError> {
        self.transaction("store metric samples", |transaction| samples::save(transaction, changes, oldest))
    }

    fn decision(&self, id: i64) -> Result<Option<StoredDecision>, StoreError> {
        self.read("read a decision", |connection| decision_text::one(connection, id))
    }

    fn decisions(&self, key: &WorkloadKey, query: &DecisionQuery) -> Result<DecisionPage, StoreError> {
        self.read("read the decisions", |connection| decision_text::page(connection, key, query))
    }

    fn decision_before(&self, key: &WorkloadKey, at: Timestamp) -> Result<Option<DecisionPoint>, StoreError> {
        self.read("read a decision", |connection| series::last_before(connection, key, at))
    }

    fn decision_points(
        &self,
        key: &WorkloadKey,
        steps: &Steps,
        after: i64,
        most: u32,
    ) -> Result<Vec<DecisionPoint>, StoreError> {
        self.read("read decisions", |connection| series::decisions(connection, key, steps, after, most))
    }

    fn sample_points(&self, key: &WorkloadKey, name: &str, steps: &Steps) -> Result<SamplePoints, StoreError> {
        self.read("read metric samples", |connection| {
            let before = series::sample_before(connection, key, name, steps.since)?;
            Ok(SamplePoints { before, steps: series::samples(connection, key, name, steps)? })
        })
    }

    fn bands(&self, key: &WorkloadKey, steps: &Steps) -> Result<Vec<Band>, StoreError> {
        self.read("read the bands", |connection| series::bands(connection, key, steps))
    }

    fn save_bands(&self, key: &WorkloadKey, bands: &[Band]) -> Result<(), StoreError> {
        self.transaction("store bands", |transaction| series::save_bands(transaction, key.as_str(), bands))
    }

    fn size(&self) -> Result<StoreSize, StoreError> {
        self.read("measure the store", |connection| size::measure(connection, &self.database))
    }
}
