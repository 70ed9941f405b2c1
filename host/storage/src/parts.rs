//! Large parts of decisions and memories of policies: bytes, stored once for each workload and digest.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

/// Bytes and their digest.
pub(crate) struct Part<'a> {
    bytes: &'a [u8],
    digest: [u8; 32],
}

impl<'a> Part<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, digest: Sha256::digest(bytes).into() }
    }

    /// The number of bytes, as it is stored.
    pub(crate) fn size(&self) -> i64 {
        i64::try_from(self.bytes.len()).unwrap_or(i64::MAX)
    }

    /// Its number among the parts of a workload. `None` if the workload does not have it.
    pub(crate) fn find(&self, transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<i64>> {
        transaction
            .prepare_cached("SELECT id FROM parts WHERE key = ?1 AND digest = ?2")?
            .query_row(params![key, self.digest], |row| row.get(0))
            .optional()
    }

    /// Stores it for a workload that does not have it. Returns its number.
    pub(crate) fn add(&self, transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<i64> {
        transaction
            .prepare_cached("INSERT INTO parts (key, digest, size, newest) VALUES (?1, ?2, ?3, 0)")?
            .execute(params![key, self.digest, self.size()])?;
        let id = transaction.last_insert_rowid();
        transaction
            .prepare_cached("INSERT INTO part_bytes (id, bytes) VALUES (?1, ?2)")?
            .execute(params![id, self.bytes])?;
        Ok(id)
    }
}

/// Records that a decision has a part. A workload's decisions are dropped oldest first, so the newest user is enough.
pub(crate) fn note_use(transaction: &Transaction<'_>, part: i64, decision: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE parts SET newest = max(newest, ?2) WHERE id = ?1")?
        .execute(params![part, decision])
        .map(drop)
}

/// The bytes of a part. `None` if it is not there.
pub(crate) fn bytes(connection: &Connection, part: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT bytes FROM part_bytes WHERE id = ?1")?
        .query_row([part], |row| row.get(0))
        .optional()
}
