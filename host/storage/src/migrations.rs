//! The schema, and the migrations from every earlier version to it.

use crate::decisions::{replace, split};
use crate::ledger::Ledger;
use crate::memories::{Memory, put_all};
use crate::text::{failed, json, parsed};
use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use windlass_core::store::{DecisionPart, PartContent, StoreError};

/// One step of the schema: SQL, and what SQL cannot express.
type Migration = (&'static str, Option<fn(&Transaction<'_>) -> rusqlite::Result<()>>);

/// The migrations from an empty file to the newest schema; `user_version` counts the applied ones. A released migration
/// never changes.
pub(crate) const MIGRATIONS: [Migration; 5] = [
    (
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
        None,
    ),
    (
        "ALTER TABLE workloads ADD COLUMN shadows TEXT NOT NULL DEFAULT '[]'; -- model::ShadowComparison, a list, as JSON",
        None,
    ),
    (
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
        None,
    ),
    (
        "
    -- What each pass writes, apart from the desired state, which may be large. `workloads.history` and `workloads.shadows`
    -- are not used any more.
    CREATE TABLE histories (
        key TEXT PRIMARY KEY REFERENCES workloads (key) ON DELETE CASCADE,
        history TEXT NOT NULL,              -- model::History as JSON, its memories apart
        stored INTEGER NOT NULL DEFAULT 0,  -- bytes of its decisions and parts
        bare INTEGER NOT NULL DEFAULT 0,    -- decisions up to this one have lost their parts
        day INTEGER NOT NULL DEFAULT 0,     -- the day of `written`, since the epoch
        written INTEGER NOT NULL DEFAULT 0, -- bytes
        memories_at INTEGER NOT NULL DEFAULT 0,
        shadows_at INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE comparisons (
        key TEXT PRIMARY KEY REFERENCES workloads (key) ON DELETE CASCADE,
        shadows TEXT NOT NULL               -- model::ShadowComparison, a list, as JSON, their memories apart
    ) STRICT;
    CREATE TABLE parts (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL REFERENCES workloads (key) ON DELETE CASCADE,
        digest BLOB NOT NULL,               -- SHA-256
        size INTEGER NOT NULL,              -- bytes
        newest INTEGER NOT NULL,            -- the newest decision that has it; 0 if none has
        UNIQUE (key, digest)
    ) STRICT;
    CREATE INDEX parts_by_use ON parts (key, newest);
    CREATE TABLE part_bytes (
        id INTEGER PRIMARY KEY REFERENCES parts (id) ON DELETE CASCADE,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE memories (
        key TEXT NOT NULL REFERENCES workloads (key) ON DELETE CASCADE,
        policy TEXT NOT NULL,               -- `scaling`, `health`, or `shadow` and its number
        owner TEXT NOT NULL,                -- model::MemoryOwner as JSON
        part INTEGER NOT NULL,              -- 0 if the memory is empty
        PRIMARY KEY (key, policy)
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE decisions ADD COLUMN parts TEXT NOT NULL DEFAULT '[]'; -- the places of parts in the body, as JSON
    ALTER TABLE decisions ADD COLUMN size INTEGER NOT NULL DEFAULT 0;  -- bytes of the body
    CREATE TRIGGER decision_added AFTER INSERT ON decisions BEGIN
        UPDATE histories SET stored = stored + new.size WHERE key = new.key;
    END;
    CREATE TRIGGER decision_changed AFTER UPDATE OF size ON decisions BEGIN
        UPDATE histories SET stored = stored + new.size - old.size WHERE key = new.key;
    END;
    CREATE TRIGGER decision_dropped AFTER DELETE ON decisions BEGIN
        UPDATE histories SET stored = stored - old.size WHERE key = old.key;
    END;
    CREATE TRIGGER part_added AFTER INSERT ON parts BEGIN
        UPDATE histories SET stored = stored + new.size WHERE key = new.key;
    END;
    CREATE TRIGGER part_dropped AFTER DELETE ON parts BEGIN
        UPDATE histories SET stored = stored - old.size WHERE key = old.key;
    END;
",
        Some(take_parts_out),
    ),
    (
        "
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL,                 -- SHA-256 of the secret
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        workloads TEXT NOT NULL,            -- globs, a list, as JSON; empty for every workload
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires_at INTEGER,                 -- NULL if it does not expire
        last_used_at INTEGER                -- NULL if it was never used
    ) STRICT;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        workload TEXT,                      -- NULL if the change concerns no single workload
        record TEXT NOT NULL                -- access::AuditRecord as JSON
    ) STRICT;
    CREATE INDEX audit_by_age ON audit (at);
    CREATE TABLE counters (
        name TEXT PRIMARY KEY,              -- `runs`: how often Windlass began with this file
        count INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE bands (
        key TEXT NOT NULL REFERENCES workloads (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,                 -- `rollout`, `override`, `outage` or `blind`
        since INTEGER NOT NULL,
        until INTEGER,                      -- null while it lasts
        text TEXT NOT NULL,
        PRIMARY KEY (key, kind, since)
    ) STRICT, WITHOUT ROWID;
",
        None,
    ),
];

/// Brings the schema of a database up to date.
///
/// # Errors
/// If a newer Windlass wrote it, or the disk fails.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("read the version of the database"))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (step, migration) in (1i64..).zip(MIGRATIONS).filter(|(step, _)| *step > found) {
        apply(connection, step, migration).map_err(failed("migrate the database to the current schema"))?;
    }
    Ok(())
}

/// Applies one migration.
pub(crate) fn apply(connection: &mut Connection, step: i64, (sql, convert): Migration) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(sql)?;
    if let Some(convert) = convert {
        convert(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", step)?;
    transaction.commit()
}

/// Moves the memories of policies and the large parts of decisions out of the JSON.
fn take_parts_out(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let workloads: Vec<(String, String, String)> = transaction
        .prepare("SELECT key, history, shadows FROM workloads")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (key, history, shadows) in workloads {
        let mut history: Value = parsed(&history)?;
        let mut shadows: Vec<Value> = parsed(&shadows)?;
        let mut memories: Vec<(String, String, Vec<u8>)> = Vec::new();
        for policy in ["scaling", "health"] {
            let owner = json(&history[format!("{policy}_memory_of")]);
            let memory = history.get_mut(format!("{policy}_memory")).and_then(take_bytes);
            memories.extend(memory.map(|memory| (policy.to_owned(), owner, memory)));
        }
        for (number, shadow) in shadows.iter_mut().enumerate() {
            let memory = shadow.get_mut("memory").and_then(take_bytes);
            memories.extend(memory.map(|memory| (format!("shadow {number}"), String::new(), memory)));
        }
        transaction.execute("INSERT INTO histories (key, history) VALUES (?1, ?2)", params![key, json(&history)])?;
        transaction.execute("INSERT INTO comparisons (key, shadows) VALUES (?1, ?2)", params![key, json(&shadows)])?;
        let memories: Vec<_> = (memories.iter())
            .map(|(policy, owner, bytes)| Memory { policy: policy.clone(), owner: owner.clone(), bytes })
            .collect();
        put_all(transaction, &key, &memories)?;
    }
    transaction.execute_batch("UPDATE workloads SET history = '{}', shadows = '[]'")?;
    let decisions: Vec<i64> = transaction
        .prepare("SELECT id FROM decisions ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in decisions {
        let (key, body): (String, String) = transaction
            .prepare_cached("SELECT key, body FROM decisions WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut body: Value = parsed(&body)?;
        let parts = take_parts(&mut body);
        let (body, placed) = split(transaction, &key, body, &parts, &mut Ledger::unlimited())?;
        replace(transaction, id, &body, &placed)?;
    }
    Ok(())
}

/// Takes the parts out of a decision that was recorded as one JSON text.
fn take_parts(body: &mut Value) -> Vec<DecisionPart> {
    let several = body.pointer("/scaling/answer/parts").and_then(Value::as_array).map_or(0, Vec::len);
    let of_several = |what: &'static str| (0..several).map(move |part| format!("/scaling/answer/parts/{part}/{what}"));
    let of_both = |what: &'static str| ["health", "scaling"].map(|kind| format!("/{kind}/{what}"));
    let texts = ["config", "observation/workload", "observation/replicas", "observation/metrics", "answer/assessments"];
    let texts = texts.into_iter().flat_map(of_both).chain(of_several("config")).chain(["/shadows".to_owned()]);
    let memories = ["observation/memory", "answer/memory"].into_iter().flat_map(of_both);
    let memories = memories.chain(of_several("answer/memory"));
    let mut parts = Vec::new();
    for place in memories.collect::<Vec<_>>() {
        if let Some(bytes) = body.pointer_mut(&place).and_then(take_bytes) {
            parts.push(DecisionPart { place, content: PartContent::Memory(bytes) });
        }
    }
    for place in texts.collect::<Vec<_>>() {
        if let Some(value) = body.pointer_mut(&place).map(Value::take).filter(|value| !value.is_null()) {
            parts.push(DecisionPart { place, content: PartContent::Json(json(&value).into_bytes()) });
        }
    }
    parts
}

/// Takes the bytes of a list of numbers, and leaves an empty list.
fn take_bytes(value: &mut Value) -> Option<Vec<u8>> {
    let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
    let bytes: Vec<u8> = value.as_array()?.iter().map(byte).collect::<Option<_>>()?;
    *value = Value::Array(Vec::new());
    Some(bytes)
}
