//! Overrides in words.

use windlass_core::Overrides;

/// The difference of two overrides in words.
pub(crate) fn difference(before: Overrides, now: Overrides) -> String {
    let mut parts = Vec::new();
    match (before.force, now.force) {
        (before, Some(force)) if before != Some(force) => {
            parts.push(format!("the count is forced to {} until {}", force.replicas, force.until.to_rfc3339()));
        }
        (Some(_), None) => parts.push("the count is not forced any more".to_owned()),
        _ => {}
    }
    for (was, is, begun, over) in [
        (before.paused, now.paused, "scaling is paused", "scaling is not paused any more"),
        (before.freeze_scale_up, now.freeze_scale_up, "scale-out is frozen", "scale-out is not frozen any more"),
        (before.freeze_scale_down, now.freeze_scale_down, "scale-in is frozen", "scale-in is not frozen any more"),
    ] {
        match (was, is) {
            (false, true) => parts.push(begun.to_owned()),
            (true, false) => parts.push(over.to_owned()),
            _ => {}
        }
    }
    parts.join("; ")
}

/// The overrides that are set, in words. `None` if none is.
pub(crate) fn in_words(overrides: Overrides) -> Option<String> {
    overrides.is_anything().then(|| difference(Overrides::default(), overrides))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::Timestamp;
    use windlass_core::overrides::Force;

    #[test]
    fn the_difference_of_overrides_is_one_difference() {
        let none = Overrides::default();
        let force = Some(Force { replicas: 4, until: Timestamp(1_767_225_600_000) });
        let both = Overrides { paused: true, force, ..none };
        assert_eq!(difference(none, both), "the count is forced to 4 until 2026-01-01T00:00:00Z; scaling is paused");
        assert_eq!(difference(both, none), "the count is not forced any more; scaling is not paused any more");
        let frozen = Overrides { freeze_scale_up: true, freeze_scale_down: true, ..none };
        assert_eq!(difference(none, frozen), "scale-out is frozen; scale-in is frozen");
        assert_eq!(in_words(none), None);
    }
}
