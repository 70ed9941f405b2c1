//! The regular expressions of the API's description, in the syntax that every implementation of JSON Schema shares.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Text without NUL.
pub(crate) const WITHOUT_NUL: &str = r"^[^\u0000]*$";

/// The whole text is one of these alternatives.
pub(crate) fn whole(alternatives: &[String]) -> String {
    format!("^(?:{})$", alternatives.join("|"))
}

/// The decimal numbers of a range, without leading zeros.
pub(crate) fn numbers(range: RangeInclusive<u64>) -> String {
    let (mut next, last) = range.into_inner();
    let mut alternatives = Vec::new();
    while next <= last {
        // The largest block of numbers that differ in their last `free` digits only.
        let fits = |free: u32| {
            let size = 10u64.checked_pow(free)?;
            (next.is_multiple_of(size) && next.checked_add(size - 1)? <= last).then_some(size)
        };
        let free = (1..19).take_while(|free| next > 0 && fits(*free).is_some()).last().unwrap_or(0);
        let size = 10u64.pow(free);
        // As many such blocks as have the same digits before.
        let digit = next / size % 10;
        let blocks = ((last - next + 1) / size).min(10 - digit);
        let before = next / size / 10;
        let before = if before == 0 { String::new() } else { before.to_string() };
        let class = if blocks == 1 { digit.to_string() } else { format!("[{digit}-{}]", digit + blocks - 1) };
        let rest = match free {
            0 => String::new(),
            1 => "[0-9]".to_owned(),
            free => format!("[0-9]{{{free}}}"),
        };
        alternatives.push(format!("{before}{class}{rest}"));
        let Some(after) = next.checked_add(blocks * size) else { break };
        next = after;
    }
    format!("(?:{})", alternatives.join("|"))
}

/// The units of durations, from the largest: text, nanoseconds, and how many of them make one of the unit before.
const UNITS: [(&str, u128, u64); 7] = [
    ("d(?:ays?)?", 86_400_000_000_000, u64::MAX),
    ("h", 3_600_000_000_000, 24),
    ("m", 60_000_000_000, 60),
    ("s", 1_000_000_000, 60),
    ("ms", 1_000_000, 1_000),
    ("us", 1_000, 1_000),
    ("ns", 1, 1_000),
];

/// Durations of a range as text: one number with a unit (`90s`), or several from the largest unit on (`1m 30s`). The end
/// of the range is a whole number of some unit.
pub(crate) fn durations(range: &RangeInclusive<Duration>) -> String {
    let (low, high) = (range.start().as_nanos(), range.end().as_nanos());
    let count = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    let single = UNITS[..5].iter().filter_map(|(unit, size, _)| {
        let (first, last) = (low.div_ceil(*size), high / size);
        (first <= last).then(|| format!("{}{unit}", numbers(count(first)..=count(last))))
    });
    let mut alternatives: Vec<String> = single.collect();
    for (index, (unit, size, in_larger)) in UNITS.iter().enumerate() {
        // Below the end of the range, whatever follows.
        let last = (count(high / size).saturating_sub(1)).min(in_larger - 1);
        let first = count(low.div_ceil(*size)).max(1);
        if first > last {
            continue;
        }
        let smaller = UNITS[index + 1..].iter();
        let rest: String = smaller.map(|(unit, _, most)| format!("(?: ?{}{unit})?", numbers(1..=most - 1))).collect();
        alternatives.push(format!("{}{unit}{rest}", numbers(first..=last)));
    }
    whole(&alternatives)
}

/// Times of the years 1971 to 2099 as RFC 3339.
pub(crate) fn times() -> String {
    let year = "(?:19(?:7[1-9]|[89][0-9])|20[0-9]{2})";
    let leap_year = "(?:19(?:[79][26]|8[048])|20(?:[02468][048]|[13579][26]))";
    let day = format!(
        "(?:{year}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
         |02-(?:0[1-9]|1[0-9]|2[0-8]))|{leap_year}-02-29)"
    );
    let time = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?";
    format!("^{day}T{time}(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$")
}

/// An IPv4 address.
pub(crate) fn ipv4() -> String {
    let byte = numbers(0..=255);
    format!(r"{byte}(?:\.{byte}){{3}}")
}

/// An IPv6 address.
pub(crate) fn ipv6() -> String {
    let group = "[0-9a-fA-F]{1,4}";
    let mut forms = vec![format!("(?:{group}:){{7}}{group}"), format!("(?:{group}:){{1,7}}:")];
    // Groups before and after the `::`, which stands for one group at least.
    forms.extend((1..=6).map(|after| format!("(?:{group}:){{1,{}}}(?::{group}){{{after}}}", 7 - after)));
    forms.push(format!(":(?:(?::{group}){{1,7}}|:)"));
    format!("(?:{})", forms.join("|"))
}

/// A word in any mixture of capital and small letters.
pub(crate) fn any_case(word: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_uppercase() {
        upper if upper == letter => letter.to_string(),
        upper => format!("[{upper}{letter}]"),
    };
    word.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::string::string_regex;
    use proptest::test_runner::TestRunner;
    use windlass_core::Timestamp;
    use windlass_core::text::duration;

    /// A thousand texts that match a pattern.
    fn texts(pattern: &str) -> Vec<String> {
        let mut runner = TestRunner::deterministic();
        let inner = pattern.trim_start_matches('^').trim_end_matches('$');
        let texts = string_regex(inner).expect(pattern);
        (0..1_000).map(|_| texts.new_tree(&mut runner).expect("a text").current()).collect()
    }

    fn matches(pattern: &str, text: &str) -> bool {
        let schema = serde_json::json!({"type": "string", "pattern": pattern});
        jsonschema::is_valid(&schema, &text.into())
    }

    #[test]
    fn numbers_match_exactly_their_range() {
        assert_eq!(numbers(0..=9), "(?:[0-9])");
        assert_eq!(
            numbers(1..=65_535),
            "(?:[1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
        );
        for range in [0..=0, 0..=255, 7..=7, 8..=123, 95..=1_005, 100..=199] {
            let pattern = whole(&[numbers(range.clone())]);
            let found: Vec<u64> = (0..2_000).filter(|number| matches(&pattern, &number.to_string())).collect();
            assert_eq!(found, range.collect::<Vec<_>>());
        }
    }

    #[test]
    fn durations_match_texts_of_their_range_as_they_are_written_and_shown() {
        let seconds = |from: f64, to: f64| Duration::from_secs_f64(from)..=Duration::from_secs_f64(to);
        for range in [seconds(1.0, 3_600.0), seconds(0.0, 3_600.0), seconds(0.01, 60.0), seconds(1.0, 2_592_000.0)] {
            let pattern = durations(&range);
            for text in texts(&pattern) {
                let read = duration(&text).expect(&text);
                assert!(range.contains(&read), "{text} in {range:?}");
                assert!(matches(&pattern, &windlass_core::text::show_duration(read)), "{text}: {read:?}");
            }
        }
        let pattern = durations(&seconds(1.0, 3_600.0));
        for (text, is_there) in
            [("1h", true), ("60m", true), ("3600s", true), ("1m 30s", true), ("1m30s", true), ("90s", true)]
                .into_iter()
                .chain([
                    ("1h 1s", false),
                    ("61m", false),
                    ("999ms", false),
                    ("0s", false),
                    ("1", false),
                    ("1 s", false),
                ])
        {
            assert_eq!(matches(&pattern, text), is_there, "{text}");
        }
    }

    #[test]
    fn times_and_addresses_match_what_is_read() {
        for text in texts(&times()) {
            assert!(Timestamp::from_rfc3339(&text).is_some(), "{text}");
        }
        assert!(matches(&times(), "2028-02-29T23:59:59.123Z") && !matches(&times(), "2026-02-29T00:00:00Z"));
        let address = whole(&[ipv4(), ipv6()]);
        for text in texts(&address) {
            assert!(text.parse::<std::net::IpAddr>().is_ok(), "{text}");
        }
        for text in ["0.0.0.0", "255.255.255.255", "::", "::1", "fd00::1:2", "1:2:3:4:5:6:7:8", "1::8"] {
            assert!(matches(&address, text), "{text}");
        }
    }
}
