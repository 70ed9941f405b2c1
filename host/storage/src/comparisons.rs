//! Stores the comparisons with shadow policies, and the memories of these.

use crate::ledger::{Changing, Ledger};
use crate::memories::{Memory, put_all};
use crate::text::json;
use rusqlite::{Transaction, params};
use windlass_core::ShadowComparison;

/// The name of the memory of a shadow policy.
pub(crate) fn name(number: usize) -> String {
    format!("shadow {number}")
}

/// Stores the comparisons with shadow policies, if it is their turn.
pub(crate) fn save(
    transaction: &Transaction<'_>,
    key: &str,
    shadows: &[ShadowComparison],
    ledger: &mut Ledger,
) -> rusqlite::Result<()> {
    let named = |(number, shadow): (usize, &ShadowComparison)| (name(number), shadow.memory.clone());
    let memories: Vec<(String, Vec<u8>)> = shadows.iter().enumerate().map(named).collect();
    let forgetful = |shadow: &ShadowComparison| ShadowComparison { memory: Vec::new(), ..shadow.clone() };
    let text = json(&shadows.iter().map(forgetful).collect::<Vec<_>>());
    let bytes = text.len() + memories.iter().map(|(_, memory)| memory.len()).sum::<usize>();
    if !ledger.charge_change(Changing::Shadows, i64::try_from(bytes).unwrap_or(i64::MAX)) {
        return Ok(());
    }
    transaction
        .prepare_cached(
            "INSERT INTO comparisons (key, shadows) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET shadows = excluded.shadows",
        )?
        .execute(params![key, text])?;
    transaction.prepare_cached("DELETE FROM memories WHERE key = ?1 AND policy LIKE 'shadow %'")?.execute([key])?;
    let memories: Vec<Memory<'_>> = (memories.iter())
        .map(|(policy, bytes)| Memory { policy: policy.clone(), owner: String::new(), bytes })
        .collect();
    put_all(transaction, key, &memories)
}
