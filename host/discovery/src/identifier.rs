//! Text in the forms that every load balancer accepts: names of workloads, and quoted words.

use std::collections::{BTreeMap, BTreeSet};

/// The most characters of a quoted word. nginx rejects a word of more than 4 KiB.
const MAX_QUOTED: usize = 1_000;

/// The text with `_` in place of each character other than ASCII letters, digits, `.`, `_` and `-`.
pub(crate) fn identifier(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// The text as one word in double quotes, which HAProxy and nginx read as the text. `_` stands in place of control characters,
/// line separators, `$` and `%`, which begin variables and expressions also in quotes, and of an empty text, which HAProxy takes
/// for a missing word. A long text is cut.
pub(crate) fn quoted(text: &str) -> String {
    let is_line_separator = |c: char| matches!(c, '\u{2028}' | '\u{2029}');
    let mut word = String::from('"');
    for character in text.chars().take(MAX_QUOTED) {
        match character {
            '"' | '\\' => word.extend(['\\', character]),
            '$' | '%' => word.push('_'),
            character if character.is_control() || is_line_separator(character) => word.push('_'),
            character => word.push(character),
        }
    }
    if text.is_empty() {
        word.push('_');
    }
    word.push('"');
    word
}

/// The identifier of each name, in the same order. No two are equal, also if letter case does not count, as in nginx.
///
/// If several names would have one identifier, each gets a hash at its end, so that its meaning does not depend on the others.
/// A name that is an identifier itself, in lower case, stays as it is.
pub fn unique(names: &[impl AsRef<str>]) -> Vec<String> {
    let plain: Vec<String> = names.iter().map(|name| identifier(name.as_ref())).collect();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for identifier in &plain {
        *uses.entry(identifier.to_ascii_lowercase()).or_default() += 1;
    }
    let keeps = |name: &str, identifier: &str| {
        let folded = identifier.to_ascii_lowercase();
        uses[&folded] == 1 || name == folded
    };
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let kept: Vec<bool> = (names.iter().zip(&plain))
        // Only the first of equal names keeps it.
        .map(|(name, plain)| keeps(name.as_ref(), plain) && taken.insert(plain.to_ascii_lowercase()))
        .collect();
    let identifiers = names.iter().zip(plain).zip(kept).map(|((name, plain), is_kept)| {
        if is_kept {
            return plain;
        }
        let hashed = format!("{plain}_{:08x}", hash(name.as_ref()));
        // Two names may have the same hash, or one may look like the identifier of another.
        let numbered = (2u64..).map(|number| format!("{hashed}_{number}"));
        let mut candidates = std::iter::once(hashed.clone()).chain(numbered);
        candidates.find(|it| taken.insert(it.to_ascii_lowercase())).expect("some number is free")
    });
    identifiers.collect()
}

/// FNV-1a: the same in every version of Windlass, so that a balancer's configuration does not change with it.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_a_character_that_a_balancer_forbids() {
        assert_eq!(identifier("ghcr.io/org/web-app:1.2"), "ghcr.io_org_web-app_1.2");
        assert_eq!(identifier("web@sha256:0f"), "web_sha256_0f");
        assert_eq!(identifier("a b;{}\"'#$\\ä\n"), "a_b__________");
    }

    #[test]
    fn names_that_differ_only_in_forbidden_characters_stay_apart() {
        assert_eq!(unique(&["web:1", "shop"]), ["web_1", "shop"]);
        let shared = unique(&["web:1", "web/1", "web_1", "web@1"]);
        assert_eq!(shared.iter().collect::<BTreeSet<_>>().len(), 4, "{shared:?}");
        assert_eq!(shared[2], "web_1");
        assert_eq!(shared[0], unique(&["web_1", "web:1"])[1], "it does not depend on the others");
    }

    #[test]
    fn names_that_differ_only_in_case_stay_apart() {
        let shared = unique(&["web:A", "web:a", "web_a"]);
        let folded: BTreeSet<String> = shared.iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!((folded.len(), shared[2].as_str()), (3, "web_a"), "{shared:?}");
        assert_eq!(unique(&["web:A"]), ["web_A"], "the case of a name alone stays");
    }

    #[test]
    fn a_name_that_looks_like_the_identifier_of_another_stays_apart() {
        let made = unique(&["a:b", "a/b"]);
        let all = unique(&["a:b", "a/b", &made[0], &made[1]]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "{all:?}");
        assert_eq!(unique(&["a:b", "a:b", "ab"]).iter().collect::<BTreeSet<_>>().len(), 3, "also equal ones");
    }

    #[test]
    fn a_quoted_word_is_one_word_on_one_line() {
        assert_eq!(quoted("a b"), r#""a b""#);
        assert_eq!(quoted(r#"a"; \ 'b' {#}"#), r#""a\"; \\ 'b' {#}""#);
        assert_eq!(quoted("a\nb\r\t\0\u{85}\u{2028}c $HOME %[env(TOKEN)] ä"), r#""a_b_____c _HOME _[env(TOKEN)] ä""#);
        assert_eq!(quoted(""), r#""_""#);
        assert_eq!(quoted(&"ä".repeat(5_000)).chars().count(), 1_002);
    }
}
