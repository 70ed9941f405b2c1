//! Text in the database: JSON of our own types, and errors about it.

use rusqlite::types::Type;
use windlass_core::store::StoreError;

/// A value as JSON text.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("these types have string keys and no failing serializer")
}

/// The value of a stored JSON text.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

/// Adds the operation to the error of one of its steps.
pub(crate) fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    operation: &'static str,
) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Failed { operation, source: source.into() }
}
