//! `windlass logs`: the output of a container.

use crate::cli::format::{Format, Output, json_line};
use crate::cli::moment::{Moment, moment};
use crate::cli::output::{WrongUse, print, print_error};
use crate::cli::server::Server;
use crate::cli::yaml;
use clap::Args;
use serde_json::Value;
use windlass_api::answer::time;

/// `windlass logs …`
#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// Name or identifier of the container
    container: String,
    /// Go on with each new line
    #[arg(short = 'f', long)]
    follow: bool,
    /// Number of lines to begin with, counted from the newest
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    tail: u32,
    /// No line before this time: RFC 3339 (`2026-01-01T12:00:00Z`) or an age (`10m`)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Print the time of each line in front of it
    #[arg(long)]
    timestamps: bool,
    /// The form of the result: with `json`, each line is an object with `time`, `stream` and `text`
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints at its end. Lines of the container's standard error go to standard error.
pub(super) async fn run(arguments: &LogsArguments) -> anyhow::Result<String> {
    let format = arguments.output.format();
    if format == Format::Name {
        return Err(WrongUse("a log has no names; pass `-o table`, `json` or `yaml`".to_owned()).into());
    }
    let mut query = vec![("tail", arguments.tail.to_string()), ("follow", arguments.follow.to_string())];
    query.extend(arguments.since.map(|since| ("since", since.parameter())));
    let path = ["containers", arguments.container.as_str(), "logs"];
    let client = arguments.server.client()?;
    let mut lines = client.lines(&path, &query, &[("accept", "application/x-ndjson")]).await?;
    while let Some(line) = lines.next().await? {
        let (text, is_error) = shown(&line, format, arguments.timestamps)?;
        let is_read = if is_error { print_error(&text)? } else { print(&text)? };
        if !is_read {
            break;
        }
    }
    Ok(String::new())
}

/// A line in the chosen form, and whether it belongs to standard error. A line that is no JSON is printed as it is.
fn shown(line: &str, format: Format, timestamps: bool) -> anyhow::Result<(String, bool)> {
    let document: Value = match serde_json::from_str(line) {
        Ok(document @ Value::Object(_)) => document,
        _ => return Ok((format!("{line}\n"), false)),
    };
    Ok(match format {
        Format::Json => (json_line(&document), false),
        Format::Yaml => (format!("---\n{}", yaml::text(&document)?), false),
        Format::Table | Format::Name => {
            let at = if timestamps { format!("{} ", time(&document["time"])) } else { String::new() };
            let text = document["text"].as_str().unwrap_or_default();
            (format!("{at}{text}\n"), document["stream"] == "stderr")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_stream() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","stream":"stderr","text":"no"}"#;
        let shown = |line, format, timestamps| super::shown(line, format, timestamps).expect("shown");
        assert_eq!(shown(line, Format::Table, false), ("no\n".to_owned(), true));
        assert_eq!(shown(line, Format::Table, true), ("2026-01-01T00:00:00Z no\n".to_owned(), true));
        let (json, is_error) = shown(line, Format::Json, false);
        assert!(json.contains(r#""stream":"stderr""#) && !is_error, "{json}");
        assert_eq!(shown("plain 1", Format::Json, false), ("plain 1\n".to_owned(), false));
        assert_eq!(shown("1", Format::Table, false), ("1\n".to_owned(), false));
    }
}
