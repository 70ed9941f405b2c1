//! [`AccessStore`]: the hashes of tokens, and the bounded record of changes.

use crate::SqliteStore;
use crate::text::{json, parsed};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};
use windlass_core::Timestamp;
use windlass_core::access::{AccessStore, AuditQuery, AuditRecord, Role, TokenRecord};
use windlass_core::settings::StoreLimits;
use windlass_core::store::StoreError;

impl AccessStore for SqliteStore {
    fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.read("read the tokens", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, hash, name, role, workloads, created_at, created_by, expires_at, last_used_at FROM tokens
                 ORDER BY created_at, id",
            )?;
            statement.query_map([], token)?.collect()
        })
    }

    fn add_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        self.transaction("store a token", |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO tokens (id, hash, name, role, workloads, created_at, created_by, expires_at, last_used_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    token.id,
                    token.hash,
                    token.name,
                    token.role.as_str(),
                    json(&token.workloads),
                    integer(token.created_at),
                    token.created_by,
                    token.expires_at.map(integer),
                    token.last_used_at.map(integer),
                ])
                .map(drop)
        })
    }

    fn remove_token(&self, id: &str) -> Result<(), StoreError> {
        self.transaction("remove a token", |transaction| {
            transaction.execute("DELETE FROM tokens WHERE id = ?1", [id]).map(drop)
        })
    }

    fn token_used(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.transaction("store the last use of a token", |transaction| {
            transaction
                .prepare_cached("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1")?
                .execute(params![id, integer(at)])
                .map(drop)
        })
    }

    fn add_audit(&self, record: &AuditRecord) -> Result<i64, StoreError> {
        self.transaction("store an audit record", |transaction| {
            transaction
                .prepare_cached("INSERT INTO audit (at, workload, record) VALUES (?1, ?2, ?3)")?
                .execute(params![integer(record.at), record.workload, json(record)])?;
            let number = transaction.last_insert_rowid();
            drop_old(transaction, number, record.at, self.limits)?;
            Ok(number)
        })
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, StoreError> {
        self.read("read the audit records", |connection| page(connection, query))
    }
}

fn integer(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|at| Timestamp(at.max(0).cast_unsigned())))
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let role: String = row.get(3)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(3, Type::Text, format!("no role `{role}`").into());
    Ok(TokenRecord {
        id: row.get(0)?,
        hash: row.get(1)?,
        name: row.get(2)?,
        role: Role::named(&role).ok_or_else(unknown)?,
        workloads: parsed(&row.get::<_, String>(4)?)?,
        created_at: time(row, 5)?.unwrap_or_default(),
        created_by: row.get(6)?,
        expires_at: time(row, 7)?,
        last_used_at: time(row, 8)?,
    })
}

/// Drops the records that are too many or too old.
fn drop_old(transaction: &Transaction<'_>, newest: i64, now: Timestamp, limits: StoreLimits) -> rusqlite::Result<()> {
    // Numbers have no gaps, because only the oldest records are dropped.
    transaction
        .prepare_cached("DELETE FROM audit WHERE id <= ?1 OR (at < ?2 AND id < ?3)")?
        .execute(params![
            newest.saturating_sub(i64::from(limits.audit_kept)),
            integer(now.minus(limits.audit_age)),
            newest
        ])
        .map(drop)
}

fn page(connection: &Connection, query: &AuditQuery) -> rusqlite::Result<Vec<AuditRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, record FROM audit WHERE at >= ?1 AND id < ?2 AND (?3 IS NULL OR workload = ?3)
         ORDER BY id DESC LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![query.since.map_or(0, integer), query.before.unwrap_or(i64::MAX), query.workload, query.limit],
        |row| {
            let record: AuditRecord = parsed(&row.get::<_, String>(1)?)?;
            Ok(AuditRecord { id: row.get(0)?, ..record })
        },
    )?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    fn record(at: Timestamp, workload: Option<&str>) -> AuditRecord {
        AuditRecord {
            id: 0,
            at,
            who: "ci".to_owned(),
            token: Some("0a1b".to_owned()),
            from: "10.0.0.1".to_owned(),
            request: "POST /workloads/web/scale".to_owned(),
            what: "Change the bounds".to_owned(),
            workload: workload.map(str::to_owned),
            before: serde_json::json!({"bounds": {"min": 1}}),
            after: Value::Null,
            status: 200,
            result: "done".to_owned(),
        }
    }

    #[test]
    fn tokens_are_there_after_reopening_until_they_are_removed() {
        let directory = folder();
        let token = |id: &str, created_at, role| TokenRecord {
            id: id.to_owned(),
            hash: vec![7; 32],
            name: "ci".to_owned(),
            role,
            workloads: vec!["web*".to_owned()],
            created_at,
            created_by: "root".to_owned(),
            expires_at: Some(NOW.plus(Duration::from_secs(60))),
            last_used_at: None,
        };
        let [second, first] = [token("b", NOW, Role::Admin), token("c", Timestamp(1), Role::Viewer)];
        {
            let store = SqliteStore::open(directory.path(), 3).unwrap();
            store.add_token(&second).unwrap();
            store.add_token(&first).unwrap();
            store.add_token(&first).unwrap_err();
            store.token_used("c", NOW).unwrap();
        }
        let store = SqliteStore::open(directory.path(), 3).unwrap();
        let first = TokenRecord { last_used_at: Some(NOW), ..first };
        assert_eq!(store.tokens().unwrap(), [first.clone(), second]);
        store.remove_token("b").unwrap();
        store.remove_token("b").unwrap();
        store.token_used("b", NOW).unwrap();
        assert_eq!(store.tokens().unwrap(), [first]);
    }

    #[test]
    fn the_newest_audit_records_are_kept_up_to_a_number_and_an_age() {
        let directory = folder();
        let day = Duration::from_secs(86_400);
        let limits = StoreLimits { audit_kept: 3, audit_age: day, ..StoreLimits::default() };
        let store = SqliteStore::open(directory.path(), 3).unwrap().with_limits(limits);
        let numbers =
            |query: &AuditQuery| -> Vec<i64> { store.audit(query).unwrap().iter().map(|record| record.id).collect() };
        let all = AuditQuery { since: None, before: None, workload: None, limit: 10 };
        for (number, workload) in [(1, Some("web")), (2, None), (3, Some("api")), (4, Some("web")), (5, None)] {
            assert_eq!(store.add_audit(&record(NOW, workload)).unwrap(), number);
        }
        assert_eq!(numbers(&all), [5, 4, 3]);
        assert_eq!(numbers(&AuditQuery { before: Some(5), limit: 1, ..all.clone() }), [4]);
        assert_eq!(numbers(&AuditQuery { workload: Some("web".to_owned()), ..all.clone() }), [4]);
        store.add_audit(&record(NOW.plus(day), None)).unwrap();
        assert_eq!(numbers(&AuditQuery { since: Some(NOW.plus(day)), ..all.clone() }), [6]);
        store.add_audit(&record(NOW.plus(day * 2), None)).unwrap();
        store.add_audit(&record(NOW.plus(day * 3).plus(day), None)).unwrap();
        assert_eq!(numbers(&all), [8], "the others are too old");
        let stored = store.audit(&all).unwrap().remove(0);
        assert_eq!(stored, AuditRecord { id: 8, ..record(NOW.plus(day * 4), None) });
    }
}
