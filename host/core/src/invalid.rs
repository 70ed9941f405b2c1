//! The error of parsing user input.

/// A text that could not be parsed into one of this crate's types.
///
/// The message says what is expected; the caller adds the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
