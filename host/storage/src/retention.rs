//! Drops the oldest decisions and their parts.

use rusqlite::{OptionalExtension, Transaction, params};

/// Keeps the newest decisions of a workload, at most `kept`. While they have more than `bytes` bytes, the oldest ones lose
/// their parts, then the oldest ones are dropped. The newest one stays as it is.
pub(crate) fn apply(transaction: &Transaction<'_>, key: &str, kept: u32, bytes: u64) -> rusqlite::Result<()> {
    let last_dropped: Option<i64> = transaction
        .prepare_cached("SELECT id FROM decisions WHERE key = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?
        .query_row(params![key, kept], |row| row.get(0))
        .optional()?;
    if let Some(last_dropped) = last_dropped {
        drop_until(transaction, key, last_dropped)?;
    }
    drop_unused_parts(transaction, key)?;
    while stored(transaction, key)? > bytes && (strip_oldest(transaction, key)? || drop_oldest(transaction, key)?) {
        drop_unused_parts(transaction, key)?;
    }
    Ok(())
}

/// Drops the oldest decisions of all workloads, at most this many, except the newest of all.
pub(crate) fn drop_oldest_of_all(transaction: &Transaction<'_>, most: u32) -> rusqlite::Result<()> {
    let oldest: Vec<(String, i64)> = transaction
        .prepare_cached(
            "SELECT key, max(id) FROM (SELECT key, id FROM decisions WHERE id < (SELECT max(id) FROM decisions)
             ORDER BY id LIMIT ?1) GROUP BY key",
        )?
        .query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (key, last_dropped) in oldest {
        drop_until(transaction, &key, last_dropped)?;
        drop_unused_parts(transaction, &key)?;
    }
    Ok(())
}

/// Bytes of the decisions and parts of a workload.
fn stored(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<u64> {
    let stored: i64 = transaction
        .prepare_cached("SELECT stored FROM histories WHERE key = ?1")?
        .query_row([key], |row| row.get(0))?;
    Ok(stored.max(0).cast_unsigned())
}

/// Lets the oldest decisions with parts of their own lose them. Returns false if only the newest one has any.
fn strip_oldest(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<bool> {
    let oldest: Option<i64> = transaction
        .prepare_cached(
            "SELECT min(newest) FROM parts WHERE key = ?1 AND newest > 0
             AND newest < (SELECT max(id) FROM decisions WHERE key = ?1)
             AND id NOT IN (SELECT part FROM memories WHERE key = ?1)",
        )?
        .query_row([key], |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(false) };
    transaction.prepare_cached("UPDATE histories SET bare = ?2 WHERE key = ?1")?.execute(params![key, oldest])?;
    Ok(true)
}

/// Drops the oldest decision. Returns false if it is the only one.
fn drop_oldest(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<bool> {
    let (oldest, newest): (Option<i64>, Option<i64>) = transaction
        .prepare_cached("SELECT min(id), max(id) FROM decisions WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    match oldest.filter(|_| oldest < newest) {
        Some(oldest) => drop_until(transaction, key, oldest).map(|()| true),
        None => Ok(false),
    }
}

fn drop_until(transaction: &Transaction<'_>, key: &str, last_dropped: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM decisions WHERE key = ?1 AND id <= ?2")?
        .execute(params![key, last_dropped])
        .map(drop)
}

/// Drops the parts of a workload that neither a decision nor the memory of a policy has any more.
fn drop_unused_parts(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM parts WHERE key = ?1
             AND newest <= max((SELECT bare FROM histories WHERE key = ?1),
                               (SELECT coalesce(min(id), 9223372036854775807) - 1 FROM decisions WHERE key = ?1))
             AND id NOT IN (SELECT part FROM memories WHERE key = ?1)",
        )?
        .execute([key])
        .map(drop)
}
