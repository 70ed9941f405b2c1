//! The current memory of each policy of a workload: a part of it.

use crate::ledger::{Changing, Ledger};
use crate::parts::Part;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;

/// The part of an empty memory.
const NO_PART: i64 = 0;

/// The memory of one policy.
pub(crate) struct Memory<'a> {
    /// The policy's place in the workload: `scaling`, `health`, or `shadow` and its number.
    pub(crate) policy: String,
    /// The owner of the memory, as JSON.
    pub(crate) owner: String,
    pub(crate) bytes: &'a [u8],
}

/// Stores the memories that changed, and returns whether any did. If a budget is spent, a new memory of the same owner waits
/// for its turn.
pub(crate) fn save(
    transaction: &Transaction<'_>,
    key: &str,
    memories: &[Memory<'_>],
    ledger: &mut Ledger,
) -> rusqlite::Result<bool> {
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let mut is_changed = false;
    for memory in memories {
        let part = Part::of(memory.bytes);
        let stored = part.find(transaction, key)?;
        if memory.bytes.is_empty() || stored.is_some() {
            is_changed |= put(transaction, key, memory, stored)?;
        } else if is_owner(transaction, key, memory)? {
            bytes += part.size();
            waiting.push((memory, part));
        } else {
            // The memory of another policy must never be passed on.
            ledger.charge(part.size());
            is_changed |= put(transaction, key, memory, Some(part.add(transaction, key)?))?;
        }
    }
    if !waiting.is_empty() && ledger.charge_change(Changing::Memories, bytes) {
        for (memory, part) in waiting {
            is_changed |= put(transaction, key, memory, Some(part.add(transaction, key)?))?;
        }
    }
    Ok(is_changed)
}

/// Stores these memories.
pub(crate) fn put_all(transaction: &Transaction<'_>, key: &str, memories: &[Memory<'_>]) -> rusqlite::Result<()> {
    for memory in memories {
        let part = Part::of(memory.bytes);
        let stored = match part.find(transaction, key)? {
            None if !memory.bytes.is_empty() => Some(part.add(transaction, key)?),
            stored => stored,
        };
        put(transaction, key, memory, stored)?;
    }
    Ok(())
}

/// Whether the stored memory of the policy has the same owner.
fn is_owner(transaction: &Transaction<'_>, key: &str, memory: &Memory<'_>) -> rusqlite::Result<bool> {
    let owner: Option<String> = transaction
        .prepare_cached("SELECT owner FROM memories WHERE key = ?1 AND policy = ?2")?
        .query_row(params![key, memory.policy], |row| row.get(0))
        .optional()?;
    Ok(owner.is_some_and(|owner| owner == memory.owner))
}

/// Makes a part the memory of a policy, and returns whether it was another one before. An empty memory has no part, and
/// still has its owner.
fn put(transaction: &Transaction<'_>, key: &str, memory: &Memory<'_>, part: Option<i64>) -> rusqlite::Result<bool> {
    let part = part.filter(|_| !memory.bytes.is_empty()).unwrap_or(NO_PART);
    transaction
        .prepare_cached(
            "INSERT INTO memories (key, policy, owner, part) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key, policy) DO UPDATE SET owner = excluded.owner, part = excluded.part
             WHERE owner IS NOT excluded.owner OR part IS NOT excluded.part",
        )?
        .execute(params![key, memory.policy, memory.owner, part])
        .map(|rows| rows > 0)
}

/// The memories of a workload, by policy.
pub(crate) fn of(connection: &Connection, key: &str) -> rusqlite::Result<BTreeMap<String, Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT policy, bytes FROM memories JOIN part_bytes ON part_bytes.id = memories.part WHERE key = ?1",
    )?;
    let rows = statement.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
