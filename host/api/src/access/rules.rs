//! The rules of the routes: which role each one needs, and which workloads it concerns.

use axum::http::Method;
use axum::routing::MethodRouter;
use std::collections::HashMap;
use windlass_core::access::Role;

/// The path at which the page takes a component in a form.
pub const PAGE_UPLOAD: &str = "/ui/policies";

/// The caller that a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Everybody, also without a token.
    Public,
    /// Callers with this role, or with one that includes it.
    Role(Role),
}

/// The objects that a route concerns, for callers that are limited to some workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// All workloads: limited callers are refused.
    Everything,
    /// The workload whose key is the parameter of the path.
    Workload,
    /// The container whose name or identifier is the parameter of the path.
    Container,
    /// Only objects that the handler checks: it shows and changes those in [`crate::access::Scope`] alone.
    Checked,
}

/// The rule of one method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) need: Need,
    pub(crate) concerns: Concerns,
    /// The request in words, if it is recorded as a change.
    pub(crate) recorded: Option<&'static str>,
}

/// The rules by the path of the route. A method or a path without a rule is refused.
#[derive(Debug, Default)]
pub(crate) struct Rules(HashMap<String, Vec<(Method, Rule)>>);

impl Rules {
    pub(crate) fn add(&mut self, method: Method, path: &str, rule: Rule) {
        self.0.entry(path.to_owned()).or_default().push((method, rule));
    }

    /// The rule of a request to a route. `HEAD` has that of `GET`.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<Rule> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.iter().find(|(of, _)| of == method).map(|(_, rule)| *rule)
    }
}

/// One route of a page.
pub(crate) struct Page {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    pub(crate) handler: MethodRouter,
}

/// Routes next to those of the API, with their rules. The handlers have their state already.
#[derive(Default)]
pub struct Pages(pub(crate) Vec<Page>);

impl Pages {
    /// Adds a route. `handler` has the method `method` only. A page changes something by requests to the API, which records
    /// them.
    #[must_use]
    pub fn on(
        mut self,
        method: Method,
        path: &'static str,
        need: Need,
        concerns: Concerns,
        handler: MethodRouter,
    ) -> Self {
        self.0.push(Page { method, path, rule: Rule { need, concerns, recorded: None }, handler });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_or_a_path_without_a_rule_has_none() {
        let mut rules = Rules::default();
        let rule = Rule { need: Need::Public, concerns: Concerns::Checked, recorded: None };
        rules.add(Method::GET, "/a/{b}", rule);
        assert_eq!(rules.find(&Method::GET, "/a/{b}"), Some(rule));
        assert_eq!(rules.find(&Method::HEAD, "/a/{b}"), Some(rule));
        assert_eq!(rules.find(&Method::POST, "/a/{b}"), None);
        assert_eq!(rules.find(&Method::GET, "/a"), None);
    }
}
