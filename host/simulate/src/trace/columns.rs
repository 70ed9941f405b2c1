//! The columns of a trace as its file has them, before they are checked.

use windlass_core::Timestamp;

/// Values by time, `None` where there is no value.
pub(crate) type Values = Vec<(Timestamp, Option<f64>)>;

/// A name and its values.
pub(crate) type Column = (String, Values);

/// The content of a file.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// In the order of the file.
    pub(crate) all: Vec<Column>,
    /// The line of each row. Empty for JSON, whose columns have no common rows.
    pub(crate) lines: Vec<u64>,
    /// Assumptions that the reader made, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl Columns {
    /// The place of a value in the file: its line if the file has rows, else its time.
    pub(crate) fn place(&self, row: usize, at: Timestamp) -> String {
        self.lines.get(row).map_or_else(|| format!("at {}", at.to_rfc3339()), |line| format!("in line {line}"))
    }
}
