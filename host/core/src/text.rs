//! Helpers for texts from outside: durations and sizes, suggestions for misspelled names, and removal of invisible characters.

use crate::Invalid;
use crate::quantity::Memory;
use std::time::Duration;
use unicode_general_category::{GeneralCategory, get_general_category};

/// Parses a duration with its unit: `250ms`, `15s`, `5m`, `1h 30m`.
///
/// # Errors
/// If the text is not a duration. A bare number is invalid, because its unit would be a guess.
pub fn duration(text: &str) -> Result<Duration, Invalid> {
    humantime::parse_duration(text.trim()).map_err(|_| {
        Invalid::new(format!(
            "`{}` is not a length of time; expected such as `250ms`, `15s` or `5m`",
            text.escape_debug()
        ))
    })
}

/// Formats a duration for [`duration`].
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Parses a size in bytes with its unit in powers of 1024: `64MiB`, `512k`, `1g`. A bare number is bytes.
///
/// # Errors
/// If the text is not a size, or is zero.
pub fn size(text: &str) -> Result<u64, Invalid> {
    text.trim().parse::<Memory>().map(|memory| memory.bytes()).map_err(|_| {
        Invalid::new(format!("`{}` is not a size; expected such as `64KiB`, `1MiB` or `2GiB`", text.escape_debug()))
    })
}

/// Formats a size for [`size`], in the largest unit that shows it exactly.
pub fn show_size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match whole {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Most sentences of a list.
const MOST_SENTENCES: usize = 20;

/// The first sentences of a list in one text, and the number of the others.
pub fn sentences(list: &[impl std::fmt::Display]) -> String {
    let mut texts: Vec<String> = list.iter().take(MOST_SENTENCES).map(ToString::to_string).collect();
    if list.len() > MOST_SENTENCES {
        texts.push(format!("and {} more", list.len() - MOST_SENTENCES));
    }
    texts.join("; ")
}

/// Most bytes of a name that is compared with others: a comparison takes time and memory for each pair of letters.
const LONGEST_COMPARED: usize = 64;

/// The known name most similar to a wrong one, by spelling or as its beginning. `None` if no name is similar enough.
pub fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    if wrong.len() > LONGEST_COMPARED {
        return None;
    }
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let by_letters = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, name), *name))
        .filter(|(distance, name)| *distance <= name.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    let begun = || known.iter().copied().find(|name| wrong.len() >= 3 && name.starts_with(&wrong));
    by_letters.or_else(begun)
}

/// A text without invisible characters, safe for a terminal, a log and a message. A line break or a tab becomes a space.
pub fn plain(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' | '\r' | '\t' => Some(' '),
        c => (!is_invisible(c)).then_some(c),
    };
    text.chars().filter_map(visible).collect()
}

/// Whether a character is a control or format character, or a separator of lines: it could steer a terminal, change the
/// direction of the text around it, or make two different texts look the same.
pub fn is_invisible(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(get_general_category(c), Control | Format | LineSeparator | ParagraphSeparator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_has_no_control_and_no_format_characters() {
        assert_eq!(plain("up\x1b[2J\x07 to\r\n3\u{202e}\u{0}\u{9b}31m é"), "up[2J to  331m é");
        // Zero width, soft hyphen, joiners, direction, invisible operators, annotations, tags.
        let hidden =
            "\u{200b}\u{ad}\u{200d}\u{2060}\u{61c}\u{2066}\u{2062}\u{fff9}\u{e0041}\u{feff}\u{180e}\u{110bd}\u{2028}";
        assert_eq!(plain(&format!("a{hidden}b")), "ab");
        assert_eq!(plain("naïve 東京 ع 👍"), "naïve 東京 ع 👍");
    }

    #[test]
    fn durations_are_read_as_they_are_shown() {
        for text in ["250ms", "15s", "5m", "1h 30m", "10ms"] {
            assert_eq!(duration(text).map(show_duration), Ok(text.to_owned()));
        }
        for wrong in ["", "15", "5 parsecs", "-1s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for text in ["64MiB", "1000B", "2GiB", "1KiB", "1536KiB"] {
            assert_eq!(size(text).map(show_size), Ok(text.to_owned()));
        }
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("lots").is_err());
    }

    #[test]
    fn a_long_list_of_sentences_is_cut_and_counted() {
        assert_eq!(sentences(&["a", "b"]), "a; b");
        let text = sentences(&["a"; 90_000]);
        assert!(text.len() < 100 && text.ends_with("a; and 89980 more"), "{text}");
    }

    #[test]
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        let known = ["listen", "token_file", "body_limit"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("token-file", &known), Some("token_file"));
        assert_eq!(nearest("body", &known), Some("body_limit"));
        assert_eq!(nearest("colour", &known), None);
        let long = "a".repeat(65);
        assert_eq!(nearest(&long, &[&long]), None, "a long name is not compared");
    }
}
