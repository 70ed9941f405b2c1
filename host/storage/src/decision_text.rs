//! Reads decisions as JSON text: body and parts put together, without parsing the parts.

use crate::decisions::Placed;
use crate::parts;
use crate::text::parsed;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use windlass_core::WorkloadKey;
use windlass_core::store::{DecisionPage, DecisionQuery, StoredDecision};

/// One row of the table.
struct Stored {
    id: i64,
    key: String,
    at: i64,
    body: String,
    parts: String,
    /// Whether it has lost its parts.
    is_bare: bool,
}

impl Stored {
    const SELECT: &str = "SELECT id, decisions.key, at, body, parts, id <= bare FROM decisions JOIN histories ON histories.key = decisions.key";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (id, key, at, body, parts) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Self { id, key, at, body, parts, is_bare: row.get(5)? })
    }
}

/// The decision with this number. `None` if it is not kept.
pub(crate) fn one(connection: &Connection, id: i64) -> rusqlite::Result<Option<StoredDecision>> {
    let row = connection
        .prepare_cached(&format!("{} WHERE id = ?1", Stored::SELECT))?
        .query_row([id], Stored::of)
        .optional()?;
    row.map(|row| text(connection, &row)).transpose()
}

/// Decisions of a workload, newest first.
pub(crate) fn page(
    connection: &Connection,
    key: &WorkloadKey,
    query: &DecisionQuery,
) -> rusqlite::Result<DecisionPage> {
    let until = query.until.and_then(|until| i64::try_from(until.0).ok()).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&format!(
        "{} WHERE decisions.key = ?1 AND at <= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
        Stored::SELECT
    ))?;
    // One more than requested shows whether there are older ones.
    let limit = i64::from(query.limit) + 1;
    let mut rows = statement.query(params![key.as_str(), until, query.before.unwrap_or(i64::MAX), limit])?;
    let (mut decisions, mut bytes) = (Vec::<StoredDecision>::new(), 0);
    let most = usize::try_from(query.limit).unwrap_or(usize::MAX);
    while let Some(row) = rows.next()? {
        if let Some(last) = decisions.last().filter(|_| decisions.len() >= most || bytes >= query.bytes) {
            let next = Some(last.id);
            return Ok(DecisionPage { decisions, next });
        }
        let decision = text(connection, &Stored::of(row)?)?;
        bytes += decision.json.len();
        decisions.push(decision);
    }
    Ok(DecisionPage { decisions, next: None })
}

fn text(connection: &Connection, stored: &Stored) -> rusqlite::Result<StoredDecision> {
    let Stored { id, at, .. } = *stored;
    let body: Value = parsed(&stored.body)?;
    let mut placed: Vec<Placed> = parsed(&stored.parts)?;
    if stored.is_bare {
        for placed in &mut placed {
            placed.part = None;
            placed.limit.get_or_insert_with(|| "store.workload_bytes".to_owned());
        }
    }
    let omitted: Vec<Value> = (placed.iter())
        .filter_map(|placed| Some(json!({"part": placed.place, "limit": placed.limit.as_ref()?})))
        .collect();
    let places = placed.into_iter().map(|placed| (placed.place.clone(), placed)).collect();
    let mut writer = Writer { connection, places, json: Vec::new() };
    writer.json.extend(format!("{{\"id\":{id},\"at\":{at}").into_bytes());
    for (name, value) in body.as_object().into_iter().flatten() {
        writer.json.push(b',');
        writer.member(name, value, &mut String::new())?;
    }
    if !omitted.is_empty() {
        writer.json.push(b',');
        writer.member("omitted", &Value::Array(omitted), &mut String::new())?;
    }
    writer.json.push(b'}');
    Ok(StoredDecision { id, key: WorkloadKey::stored(stored.key.clone()), json: writer.json })
}

/// Writes a body with its parts.
struct Writer<'a> {
    connection: &'a Connection,
    places: BTreeMap<String, Placed>,
    json: Vec<u8>,
}

impl Writer<'_> {
    fn member(&mut self, name: &str, value: &Value, place: &mut String) -> rusqlite::Result<()> {
        self.scalar(&name);
        self.json.push(b':');
        self.at(name, value, place)
    }

    /// Writes a value below `place`. The names of members have no characters that a JSON pointer escapes.
    fn at(&mut self, name: &str, value: &Value, place: &mut String) -> rusqlite::Result<()> {
        let length = place.len();
        place.push('/');
        place.push_str(name);
        let part = self.places.get(place.as_str()).and_then(|placed| Some((placed.part?, placed.is_memory)));
        match part {
            Some((part, is_memory)) => self.part(part, is_memory)?,
            None => self.value(value, place)?,
        }
        place.truncate(length);
        Ok(())
    }

    fn value(&mut self, value: &Value, place: &mut String) -> rusqlite::Result<()> {
        match value {
            Value::Object(members) => {
                for (index, (name, member)) in members.iter().enumerate() {
                    self.json.push(if index == 0 { b'{' } else { b',' });
                    self.member(name, member, place)?;
                }
                if members.is_empty() {
                    self.json.push(b'{');
                }
                self.json.push(b'}');
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.json.push(if index == 0 { b'[' } else { b',' });
                    self.at(&index.to_string(), element, place)?;
                }
                if elements.is_empty() {
                    self.json.push(b'[');
                }
                self.json.push(b']');
            }
            scalar => self.scalar(scalar),
        }
        Ok(())
    }

    fn scalar(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.json, value).expect("a scalar is written to memory");
    }

    fn part(&mut self, part: i64, is_memory: bool) -> rusqlite::Result<()> {
        let bytes = parts::bytes(self.connection, part)?;
        match bytes {
            None => self.json.extend(b"null"),
            Some(bytes) if is_memory => {
                self.json.push(b'[');
                for (index, byte) in bytes.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(self.json, "{comma}{byte}").expect("it is written to memory");
                }
                self.json.push(b']');
            }
            Some(bytes) => self.json.extend(bytes),
        }
        Ok(())
    }
}
