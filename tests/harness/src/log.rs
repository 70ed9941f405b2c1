//! The log of a process under test.

use serde_json::Value;
use std::path::PathBuf;

/// The standard error of a process: a file, so that the process can outlive this program.
pub(crate) struct Log(pub(crate) PathBuf);

impl Log {
    pub(crate) fn text(&self) -> String {
        std::fs::read(&self.0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The field `address` of the log line `listening`.
    pub(crate) fn address(&self) -> Option<String> {
        self.find("listening")?["address"].as_str().map(str::to_owned)
    }

    /// The fields of the first log line with this message.
    pub(crate) fn find(&self, message: &str) -> Option<Value> {
        self.text().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            // `flatten_event` moves the fields to the top level.
            let fields = line.get("fields").unwrap_or(&line);
            (fields["message"] == message).then(|| fields.clone())
        })
    }
}
