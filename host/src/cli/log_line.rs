//! Limits the lines of the log to 4 KiB and removes invisible characters: texts from containers, registries and policies can be
//! long, and can change how the text around them looks.

use serde_json::{Map, Value};
use std::io::{self, Write};
use windlass_core::text::is_invisible;

/// Most bytes of a line, with its line break.
const LONGEST: usize = 4 << 10;

/// Fewest bytes to which a text in a line is cut.
const SHORTEST_TEXT: usize = 64;

/// A log whose lines are limited. Each write is one line or more, which is how events are written.
#[derive(Debug)]
pub(super) struct Lines<W>(pub(super) W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() <= LONGEST && line.is_ascii() {
            return self.0.write(line);
        }
        // The control characters of this line are line breaks and colours; those of a text in it are escaped.
        let visible = |c: &char| c.is_control() || !is_invisible(*c);
        let text: String = String::from_utf8_lossy(line).chars().filter(visible).collect();
        let text = if text.len() > LONGEST { shortened(&text) } else { text };
        self.0.write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A line with at most [`LONGEST`] bytes. A line of JSON stays JSON.
fn shortened(text: &str) -> String {
    let json = serde_json::from_str::<Map<String, Value>>(text).ok().and_then(|event| shortened_json(&event));
    let mut line = json.unwrap_or_else(|| cut(text.trim_end(), LONGEST - 1));
    line.push('\n');
    line
}

/// Cuts the texts of an event, the longest ones first. `None` if that does not suffice.
fn shortened_json(event: &Map<String, Value>) -> Option<String> {
    let halves = std::iter::successors(Some(LONGEST / 2), |longest| Some(longest / 2));
    let mut lines = halves.take_while(|longest| *longest >= SHORTEST_TEXT).map(|longest| {
        let fields = event.iter().map(|(name, value)| match value {
            Value::String(text) => (name.clone(), Value::String(cut(text, longest))),
            value => (name.clone(), value.clone()),
        });
        Value::Object(fields.collect()).to_string()
    });
    lines.find(|line| line.len() < LONGEST)
}

/// At most `longest` bytes of a text, the end of which says how many were cut off.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    // Room for the note: every length of a text in memory has at most 20 digits.
    let kept = &text[..text.floor_char_boundary(longest.saturating_sub(40))];
    format!("{kept}… ({} more bytes)", text.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(line: &str) -> String {
        let mut log = Vec::new();
        Lines(&mut log).write_all(line.as_bytes()).expect("written");
        String::from_utf8(log).expect("text")
    }

    #[test]
    fn short_lines_are_written_as_they_are() {
        assert_eq!(written("INFO listening\n"), "INFO listening\n");
        let line = format!("{}\n", "a".repeat(LONGEST - 1));
        assert_eq!(written(&line), line);
    }

    #[test]
    fn invisible_characters_are_removed() {
        assert_eq!(written("INFO \x1b[32mé\u{202e}a\u{200b}b\n"), "INFO \x1b[32méab\n");
    }

    #[test]
    fn a_long_line_of_text_is_cut_and_says_so() {
        let line = written(&format!("ERROR {}\n", "é".repeat(1 << 20)));
        assert!(line.len() <= LONGEST && line.starts_with("ERROR é") && line.ends_with(" more bytes)\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_long_line_of_json_stays_json_and_keeps_its_short_fields() {
        let event =
            json!({"level": "ERROR", "error": "x\"".repeat(1 << 20), "why": "y".repeat(3_000), "policy": "queue"});
        let line = written(&format!("{event}\n"));
        assert!(line.len() <= LONGEST, "{}", line.len());
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["level"], &read["policy"]), (&json!("ERROR"), &json!("queue")));
        assert!(read["error"].as_str().is_some_and(|text| text.ends_with(" more bytes)")), "{line}");
    }
}
