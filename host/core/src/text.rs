//! Helpers for user input: durations and sizes as text, and suggestions for misspelled names.

use crate::Invalid;
use crate::quantity::Memory;
use std::time::Duration;

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

/// The known name most similar to a wrong one, by spelling or as its beginning. `None` if no name is similar enough.
pub fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        let known = ["listen", "token_file", "body_limit"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("token-file", &known), Some("token_file"));
        assert_eq!(nearest("body", &known), Some("body_limit"));
        assert_eq!(nearest("colour", &known), None);
    }
}
