//! The list of workloads as it was rendered last: readers who ask in the same second get the same text.
//!
//! Every open page asks again after each event. Without this, a hundred readers would cost a hundred lists each time.

use maud::Markup;
use parking_lot::Mutex;

/// The most lists that are kept. Callers who may see other workloads have other lists.
const MOST_LISTS: usize = 8;

/// The most bytes of a list that is kept. A longer one is rendered for each reader.
const MOST_BYTES: usize = 1 << 20;

/// The time of a list. Readers of the same moment may receive a list that is up to a second old: every change of a workload is an
/// event, and a few other changes, such as ages, are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment {
    /// The newest event before the list was made.
    pub(crate) last_event: u64,
    /// Seconds since the epoch.
    pub(crate) second: u64,
}

/// The lists of the newest moment, each with its scope: the workloads that its readers may see.
pub(crate) struct Rendered<S>(Mutex<(Moment, Vec<(S, Markup)>)>);

impl<S> Default for Rendered<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone + PartialEq> Rendered<S> {
    /// The list of a moment, for callers of this scope. `None` if it is not kept.
    pub(crate) fn find(&self, at: Moment, scope: &S) -> Option<Markup> {
        let kept = self.0.lock();
        let (newest, lists) = &*kept;
        let found = lists.iter().find(|(of, _)| *newest == at && of == scope);
        found.map(|(_, list)| list.clone())
    }

    /// Keeps a list in place of those of earlier moments.
    pub(crate) fn keep(&self, at: Moment, scope: &S, list: &Markup) {
        let mut kept = self.0.lock();
        let (newest, lists) = &mut *kept;
        if at > *newest {
            *newest = at;
            lists.clear();
        }
        // Readers that come together render the same list.
        let is_known = lists.iter().any(|(of, _)| of == scope);
        if at == *newest && !is_known && lists.len() < MOST_LISTS && list.0.len() <= MOST_BYTES {
            lists.push((scope.clone(), list.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maud::PreEscaped;

    fn text(text: &str) -> Markup {
        PreEscaped(text.to_owned())
    }

    #[test]
    fn a_list_is_kept_for_its_moment_and_its_scope() {
        let rendered = Rendered::default();
        let now = Moment { last_event: 7, second: 100 };
        rendered.keep(now, &"web*", &text("web"));
        let find = |at, scope| rendered.find(at, &scope).map(|list| list.0);
        assert_eq!(find(now, "web*"), Some("web".to_owned()));
        assert_eq!(find(now, "*"), None, "another caller sees other workloads");
        assert_eq!(find(Moment { second: 101, ..now }, "web*"), None);
        assert_eq!(find(Moment { last_event: 8, ..now }, "web*"), None);
        rendered.keep(Moment { last_event: 6, ..now }, &"*", &text("late"));
        assert_eq!(find(now, "*"), None, "a list that took long to render is old");
        rendered.keep(Moment { last_event: 8, ..now }, &"*", &text("next"));
        assert_eq!(find(Moment { last_event: 8, ..now }, "web*"), None, "only lists of the newest moment are kept");
    }

    #[test]
    fn few_lists_are_kept_and_no_long_one() {
        let rendered = Rendered::default();
        let now = Moment::default();
        let is_kept = |scope| rendered.find(now, &scope).is_some();
        rendered.keep(now, &0, &text(&"x".repeat(MOST_BYTES + 1)));
        assert!(!is_kept(0));
        for scope in 1..=MOST_LISTS + 1 {
            // The second time, it is known.
            rendered.keep(now, &scope, &text("x"));
            rendered.keep(now, &scope, &text("x"));
        }
        assert!(is_kept(1) && is_kept(MOST_LISTS) && !is_kept(MOST_LISTS + 1));
    }
}
