//! Stores the samples of metrics, and reads them all at the start.

use rusqlite::{Connection, Transaction, params};
use windlass_core::contract::Sample;
use windlass_core::metric::SampleChange;
use windlass_core::store::SeriesChanges;
use windlass_core::{Timestamp, WorkloadKey};

/// The samples of a workload, by time, each with the name of its metric.
pub(crate) fn of(connection: &Connection, key: &WorkloadKey) -> rusqlite::Result<Vec<(String, Sample)>> {
    let mut statement = connection.prepare_cached("SELECT name, at, value FROM samples WHERE key = ?1 ORDER BY at")?;
    let rows = statement.query_map([key.as_str()], |row| {
        let at = Timestamp(row.get::<_, i64>(1)?.cast_unsigned());
        Ok((row.get(0)?, Sample { at, value: row.get(2)? }))
    })?;
    rows.collect()
}

/// Applies changes, in order, and drops all samples before a time.
pub(crate) fn save(
    transaction: &Transaction<'_>,
    changes: &[SeriesChanges],
    oldest: Timestamp,
) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM samples WHERE at < ?1")?.execute(params![oldest.0.cast_signed()])?;
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
}
