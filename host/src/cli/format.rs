//! `-o`: a result as text for people, as a document, or as names.

use crate::cli::escape::escaped;
use crate::cli::yaml;
use clap::{Args, ValueEnum};
use serde_json::Value;

/// The form of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table or sentences, for people
    #[default]
    Table,
    /// A JSON document
    Json,
    /// A YAML document
    Yaml,
    /// The names of the results, one a line
    Name,
}

/// The flag of the form.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Output {
    /// Form of the result
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Output {
    /// The form that was chosen.
    pub(super) fn format(self) -> Format {
        self.format
    }

    /// A result in the chosen form.
    pub(super) fn show(
        self,
        document: &Value,
        names: &[String],
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Table => text(),
            Format::Json => json(document),
            Format::Yaml => yaml::text(document)?,
            Format::Name => names.iter().map(|name| format!("{name}\n")).collect(),
        })
    }
}

/// Indented JSON. Invisible characters are escaped, so that the document is printed unchanged.
pub(super) fn json(document: &Value) -> String {
    escaped(&format!("{document:#}"), false) + "\n"
}

/// JSON in one line, as [`json`].
pub(super) fn json_line(document: &Value) -> String {
    escaped(&document.to_string(), false) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::printable;
    use serde_json::json;

    #[test]
    fn a_document_is_printed_unchanged_and_steers_no_terminal() {
        let document =
            json!({"a\u{200d}": ["\u{1b}[2J", "\u{e0041}", "1.10", "yes", "~", "a: b", "x\ny", "é"], "n": 0.5});
        for text in [self::json(&document), json_line(&document)] {
            assert_eq!(printable(&text), text);
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), document);
        }
        assert_eq!(json_line(&document).lines().count(), 1);
        let text = yaml::text(&document).expect("YAML");
        assert_eq!(printable(&text), text);
        assert_eq!(yaml::documents(&text), Ok(vec![document]));
    }

    #[test]
    fn each_form_has_its_text() {
        let show = |format| {
            let names = ["web".to_owned(), "db".to_owned()];
            Output { format }.show(&json!({"a": 1}), &names, || "text\n".to_owned()).expect("shown")
        };
        assert_eq!(show(Format::Table), "text\n");
        assert_eq!(show(Format::Json), "{\n  \"a\": 1\n}\n");
        assert_eq!(show(Format::Yaml), "a: 1\n");
        assert_eq!(show(Format::Name), "web\ndb\n");
    }
}
