//! The size of the database: measured, bounded by dropping the oldest decisions, and given back to the disk.

use crate::retention::drop_oldest_of_all;
use rusqlite::{Connection, Transaction};
use std::path::Path;
use windlass_core::store::StoreSize;

/// The most decisions that one transaction drops for want of room.
const DROPPED_AT_ONCE: u32 = 64;

/// Free pages above which the file shrinks. Fewer are soon used again.
const FREE_PAGES: i64 = 1_024;

/// The most pages that are given back after one transaction.
const GIVEN_BACK: i64 = 256;

/// The value of `auto_vacuum` with which `incremental_vacuum` works.
const INCREMENTAL: i64 = 2;

/// Bytes of the database that are in use.
pub(crate) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(connection, "page_count")?.saturating_sub(pragma(connection, "freelist_count")?);
    Ok(pages.saturating_mul(pragma(connection, "page_size")?).cast_unsigned())
}

/// The size of the database, with the files beside it.
pub(crate) fn measure(connection: &Connection, database: &Path) -> rusqlite::Result<StoreSize> {
    let log = database.with_extension("db-wal");
    let files = [database, &log].map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len()));
    Ok(StoreSize { file_bytes: files.iter().sum(), used_bytes: used_bytes(connection)? })
}

/// Drops the oldest decisions of all workloads if the database is nearly as large as it may be.
pub(crate) fn make_room(transaction: &Transaction<'_>, max_bytes: u64) -> rusqlite::Result<()> {
    if used_bytes(transaction)? > max_bytes - max_bytes / 16 {
        drop_oldest_of_all(transaction, DROPPED_AT_ONCE)?;
    }
    Ok(())
}

/// Gives some free pages back to the disk, if there are many.
pub(crate) fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    if pragma(connection, "freelist_count")? <= FREE_PAGES {
        return Ok(());
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({GIVEN_BACK})"))?;
    // Each row is one page.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Lets the file of a database shrink that an earlier version made. This writes the database once more.
pub(crate) fn let_shrink(connection: &Connection) -> rusqlite::Result<()> {
    if pragma(connection, "auto_vacuum")? == INCREMENTAL {
        return Ok(());
    }
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))
}
