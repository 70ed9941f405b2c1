//! Writes decisions within the budgets: the body as JSON, its large parts as bytes.

use crate::ledger::Ledger;
use crate::parts::{self, Part};
use crate::text::{json, parsed};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_core::store::{DecisionPart, NewDecision, PartContent};

/// Parts of at most this many bytes are stored in the body.
const SMALL: usize = 512;

/// The place of a part in the body of a decision; a list of them is the column `parts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// A JSON pointer.
    pub(crate) place: String,
    /// The number of the part. `None` if a budget had no room for it.
    pub(crate) part: Option<i64>,
    /// Whether the part is a list of numbers instead of JSON text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_memory: bool,
    /// The setting of the limit that left it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
}

/// Stores a decision. Returns its number.
pub(crate) fn insert(
    transaction: &Transaction<'_>,
    key: &str,
    decision: &NewDecision,
    ledger: &mut Ledger,
) -> rusqlite::Result<i64> {
    let (body, placed) = split(transaction, key, decision.body.clone(), &decision.parts, ledger)?;
    transaction
        .prepare_cached("INSERT INTO decisions (key, at, body, parts, size) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![key, decision.at.0.cast_signed(), body, json(&placed), length(&body)])?;
    let id = transaction.last_insert_rowid();
    note_parts(transaction, &placed, id)?;
    Ok(id)
}

/// Adds a member to a decision, if the decision is kept. It replaces an earlier one of this name.
pub(crate) fn add_member(
    transaction: &Transaction<'_>,
    key: &str,
    decision: i64,
    (name, value): (&str, &Value),
    ledger: &mut Ledger,
) -> rusqlite::Result<()> {
    let row: Option<(String, String)> = transaction
        .prepare_cached("SELECT body, parts FROM decisions WHERE key = ?1 AND id = ?2")?
        .query_row(params![key, decision], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((body, placed)) = row else { return Ok(()) };
    let mut body: Value = parsed(&body)?;
    body[name] = Value::Null;
    let place = format!("/{name}");
    let mut earlier: Vec<Placed> = parsed(&placed)?;
    earlier.retain(|placed| placed.place != place);
    let part = DecisionPart { place, content: PartContent::Json(json(value).into_bytes()) };
    let (body, added) = split(transaction, key, body, &[part], ledger)?;
    earlier.extend(added);
    replace(transaction, decision, &body, &earlier)
}

/// Replaces the body and the parts of a decision.
pub(crate) fn replace(
    transaction: &Transaction<'_>,
    decision: i64,
    body: &str,
    placed: &[Placed],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE decisions SET body = ?2, parts = ?3, size = ?4 WHERE id = ?1")?
        .execute(params![decision, body, json(&placed), length(body)])?;
    note_parts(transaction, placed, decision)
}

/// Stores the large parts of a decision, as far as the budgets allow. Returns its body with the small ones, and the places
/// of the others.
pub(crate) fn split(
    transaction: &Transaction<'_>,
    key: &str,
    mut body: Value,
    parts: &[DecisionPart],
    ledger: &mut Ledger,
) -> rusqlite::Result<(String, Vec<Placed>)> {
    let (small, mut large): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.content.bytes().len() <= SMALL);
    for DecisionPart { place, content } in small {
        if let Some(at) = body.pointer_mut(place) {
            *at = match content {
                PartContent::Json(text) => serde_json::from_slice(text).unwrap_or_default(),
                PartContent::Memory(bytes) => json!(bytes),
            };
        }
    }
    let body = json(&body);
    let mut used = length(&body);
    ledger.charge(used);
    // The smaller ones first: one huge part does not keep the others out.
    large.sort_by_key(|part| part.content.bytes().len());
    let mut placed = Vec::new();
    for DecisionPart { place, content } in large {
        let part = Part::of(content.bytes());
        let (stored, limit) = match part.find(transaction, key)? {
            Some(stored) => (Some(stored), None),
            None => match ledger.charge_part(used, part.size()) {
                Ok(()) => {
                    used = used.saturating_add(part.size());
                    (Some(part.add(transaction, key)?), None)
                }
                Err(exceeded) => (None, Some(exceeded.setting().to_owned())),
            },
        };
        let is_memory = matches!(content, PartContent::Memory(_));
        placed.push(Placed { place: place.clone(), part: stored, is_memory, limit });
    }
    placed.sort_by(|one, other| one.place.cmp(&other.place));
    Ok((body, placed))
}

fn note_parts(transaction: &Transaction<'_>, placed: &[Placed], decision: i64) -> rusqlite::Result<()> {
    for part in placed.iter().filter_map(|placed| placed.part) {
        parts::note_use(transaction, part, decision)?;
    }
    Ok(())
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}
