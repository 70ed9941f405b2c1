//! YAML documents, as JSON values.

use crate::cli::escape::escaped;
use anyhow::Context;
use serde_json::Value;
use windlass_core::text::is_invisible;

/// A value as a YAML document. The text has no invisible characters: a value that has some is written in the JSON subset of
/// YAML, with escapes.
pub(super) fn text(document: &Value) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(document).context("cannot write the document as YAML")?;
    if text.chars().any(|c| c != '\n' && is_invisible(c)) {
        return Ok(escaped(&format!("{document:#}"), true) + "\n");
    }
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// The documents of a YAML text. Empty documents are left out.
///
/// # Errors
/// The reason why the text is no YAML, with the line.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = serde_saphyr::from_multiple::<Value>(text).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}
