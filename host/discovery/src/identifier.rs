//! Names of workloads in the form that every load balancer accepts.

use std::collections::BTreeMap;

/// The text with `_` in place of each character other than ASCII letters, digits, `.`, `_` and `-`.
pub(crate) fn identifier(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// The identifier of each name. If two names would have the same one, each that differs from its own gets a suffix, so
/// that none of them changes its meaning.
pub(crate) fn unique<'a>(names: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = String> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.clone() {
        *uses.entry(identifier(name)).or_default() += 1;
    }
    names.map(move |name| {
        let plain = identifier(name);
        let is_shared = uses.get(&plain).is_some_and(|uses| *uses > 1);
        if is_shared && plain != name { format!("{plain}_{:08x}", hash(name)) } else { plain }
    })
}

/// FNV-1a: the same in every version of Windlass, so that a balancer's configuration does not change with it.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_name_has_a_character_that_a_balancer_forbids() {
        assert_eq!(identifier("ghcr.io/org/web-app:1.2"), "ghcr.io_org_web-app_1.2");
        assert_eq!(identifier("web@sha256:0f"), "web_sha256_0f");
        assert_eq!(identifier("a b;{}\"'#$\\ä\n"), "a_b__________");
    }

    #[test]
    fn names_that_differ_only_in_forbidden_characters_stay_apart() {
        let of = |names: &[&str]| unique(names.iter().copied()).collect::<Vec<_>>();
        assert_eq!(of(&["web:1", "shop"]), ["web_1", "shop"]);
        let shared = of(&["web:1", "web/1", "web_1", "web@1"]);
        assert_eq!(shared.iter().collect::<BTreeSet<_>>().len(), 4, "{shared:?}");
        assert_eq!(shared[2], "web_1");
        assert_eq!(shared[0], of(&["web_1", "web:1"])[1], "it does not depend on the others");
    }
}
