//! Reads decisions, samples and bands for charts, in bounded pieces, and stores bands.

use crate::decisions::Placed;
use crate::parts;
use crate::text::parsed;
use rusqlite::{Connection, Row, Transaction, params};
use windlass_core::contract::Sample;
use windlass_core::series::{Band, BandKind, DecisionPoint, SamplePoint, Steps};
use windlass_core::{Timestamp, WorkloadKey};

/// Most bytes of a configuration.
const LONGEST_CONFIG: usize = 8 << 10;

/// Bands that are kept of a workload, the newest ones.
const BANDS_KEPT: u32 = 1_000;

const NUMBERS: &str = "SELECT id, at, json_extract(body, '$.stages.raw'), json_extract(body, '$.stages.stabilized'),
    json_extract(body, '$.stages.limited'), json_extract(body, '$.target'),
    coalesce(json_extract(body, '$.replicas.running'), json_extract(body, '$.scaling.observation.current_replicas')),
    json_extract(body, '$.scaling.config'), parts, id <= bare
    FROM decisions JOIN histories ON histories.key = decisions.key WHERE decisions.key = ?1";

fn time(at: i64) -> Timestamp {
    Timestamp(at.cast_unsigned())
}

/// Whole milliseconds that SQLite can compare.
fn bound(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// The last decision before a time.
pub(crate) fn last_before(
    connection: &Connection,
    key: &WorkloadKey,
    at: Timestamp,
) -> rusqlite::Result<Option<DecisionPoint>> {
    let mut statement = connection.prepare_cached(&format!("{NUMBERS} AND at < ?2 ORDER BY id DESC LIMIT 1"))?;
    let mut rows = statement.query(params![key.as_str(), bound(at)])?;
    rows.next()?.map(|row| point(connection, row)).transpose()
}

/// The decisions after a number, at most `most`, whose times are within the steps.
pub(crate) fn decisions(
    connection: &Connection,
    key: &WorkloadKey,
    steps: &Steps,
    after: i64,
    most: u32,
) -> rusqlite::Result<Vec<DecisionPoint>> {
    let mut statement =
        connection.prepare_cached(&format!("{NUMBERS} AND at >= ?2 AND at < ?3 AND id > ?4 ORDER BY id LIMIT ?5"))?;
    let (since, until) = (bound(steps.since), bound(steps.until()));
    let mut rows = statement.query(params![key.as_str(), since, until, after, most])?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        points.push(point(connection, row)?);
    }
    Ok(points)
}

fn point(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<DecisionPoint> {
    let config = match row.get::<_, Option<String>>(7)? {
        None if !row.get::<_, bool>(9)? => large_config(connection, row)?,
        config => config,
    };
    Ok(DecisionPoint {
        id: row.get(0)?,
        at: time(row.get(1)?),
        raw: row.get(2)?,
        stabilized: row.get(3)?,
        limited: row.get(4)?,
        target: row.get(5)?,
        running: row.get(6)?,
        config: config.filter(|config| config.len() <= LONGEST_CONFIG),
    })
}

/// A configuration that stands apart from the body.
fn large_config(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let placed: Vec<Placed> = parsed(&row.get::<_, String>(8)?)?;
    let part = placed.iter().find(|placed| placed.place == "/scaling/config").and_then(|placed| placed.part);
    let Some(part) = part else { return Ok(None) };
    let bytes = parts::bytes(connection, part)?.filter(|bytes| bytes.len() <= LONGEST_CONFIG);
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The samples of a metric by step.
pub(crate) fn samples(
    connection: &Connection,
    key: &WorkloadKey,
    name: &str,
    steps: &Steps,
) -> rusqlite::Result<Vec<SamplePoint>> {
    // With `max`, SQLite takes the other columns from the row that has the maximum.
    let mut statement = connection.prepare_cached(
        "SELECT (at - ?3) / ?5 AS step, avg(value), max(at), value FROM samples
         WHERE key = ?1 AND name = ?2 AND at >= ?3 AND at < ?4 GROUP BY step ORDER BY step",
    )?;
    let (since, until) = (bound(steps.since), bound(steps.until()));
    let step = i64::try_from(steps.step.max(1)).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![key.as_str(), name, since, until, step], |row| {
        let index = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        // The mean of huge values may be infinite, which is null.
        let mean: Option<f64> = row.get(1)?;
        let last = row.get(3)?;
        Ok(SamplePoint {
            index,
            mean: mean.filter(|mean| mean.is_finite()).unwrap_or(last),
            last,
            at: time(row.get(2)?),
        })
    })?;
    rows.collect()
}

/// The last sample of a metric before a time.
pub(crate) fn sample_before(
    connection: &Connection,
    key: &WorkloadKey,
    name: &str,
    at: Timestamp,
) -> rusqlite::Result<Option<Sample>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, value FROM samples WHERE key = ?1 AND name = ?2 AND at < ?3 ORDER BY at DESC LIMIT 1",
    )?;
    let mut rows = statement.query(params![key.as_str(), name, bound(at)])?;
    rows.next()?.map(|row| Ok(Sample { at: time(row.get(0)?), value: row.get(1)? })).transpose()
}

/// The bands that overlap the steps, oldest first.
pub(crate) fn bands(connection: &Connection, key: &WorkloadKey, steps: &Steps) -> rusqlite::Result<Vec<Band>> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, since, until, text FROM bands
         WHERE key = ?1 AND since < ?3 AND (until IS NULL OR until > ?2) ORDER BY since, kind",
    )?;
    let rows = statement.query_map(params![key.as_str(), bound(steps.since), bound(steps.until())], band)?;
    rows.filter_map(Result::transpose).collect()
}

/// The bands that last.
pub(crate) fn open_bands(connection: &Connection, key: &WorkloadKey) -> rusqlite::Result<Vec<Band>> {
    let mut statement =
        connection.prepare_cached("SELECT kind, since, until, text FROM bands WHERE key = ?1 AND until IS NULL")?;
    let rows = statement.query_map([key.as_str()], band)?;
    rows.filter_map(Result::transpose).collect()
}

/// A band. `None` if its kind is that of a later version.
fn band(row: &Row<'_>) -> rusqlite::Result<Option<Band>> {
    let name: String = row.get(0)?;
    let (since, until, text) = (time(row.get(1)?), row.get::<_, Option<i64>>(2)?.map(time), row.get(3)?);
    let kind = BandKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    Ok(kind.map(|kind| Band { kind, since, until, text }))
}

/// Stores bands that began or ended, and drops the oldest ones beyond those that are kept.
pub(crate) fn save_bands(transaction: &Transaction<'_>, key: &str, bands: &[Band]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO bands (key, kind, since, until, text)
         SELECT key, ?2, ?3, ?4, ?5 FROM workloads WHERE key = ?1",
    )?;
    for Band { kind, since, until, text } in bands {
        put.execute(params![key, kind.as_str(), bound(*since), until.map(bound), text])?;
    }
    transaction
        .prepare_cached(
            "DELETE FROM bands WHERE key = ?1 AND until IS NOT NULL
             AND since < (SELECT since FROM bands WHERE key = ?1 ORDER BY since DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![key, BANDS_KEPT - 1])
        .map(drop)
}
