//! A caller that is known: its name, its role, and the workloads that it is limited to.

use crate::error::Problem;
use axum::http::StatusCode;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::fmt;
use std::sync::Arc;
use windlass_core::WorkloadKey;
use windlass_core::access::Role;

/// Most globs of a token.
pub(crate) const MOST_GLOBS: usize = 32;

/// Most bytes of a glob. A longer image reference is no workload.
pub(crate) const LONGEST_GLOB: usize = 300;

/// The caller of a request: an extension of each request that needs a role, and of others whose caller is known.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of its token, or a description.
    pub name: Arc<str>,
    /// Its rights.
    pub role: Role,
    /// The workloads that it is limited to.
    pub scope: Scope,
    /// Identifier of its token. `None` if it sent none, or the one of the configuration.
    pub(crate) token: Option<Arc<str>>,
    /// The CSRF token of its session. `None` if it has no session.
    pub(crate) csrf: Option<Arc<str>>,
}

impl Caller {
    /// A caller without a token, or with the one of the configuration.
    pub(crate) fn new(name: impl Into<Arc<str>>, role: Role) -> Self {
        Self { name: name.into(), role, scope: Scope::default(), token: None, csrf: None }
    }

    /// The token that each change of the caller's session must carry. `None` if it has no session, and needs none.
    pub fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// Checks the role.
    ///
    /// # Errors
    /// 403 with the needed role.
    pub(crate) fn check_role(&self, needed: Role) -> Result<(), Problem> {
        if self.role.includes(needed) {
            return Ok(());
        }
        let detail = format!("this needs the role `{needed}`; `{}` has the role `{}`", self.name, self.role);
        Err(Problem::new(StatusCode::FORBIDDEN, detail).with("role", serde_json::json!(needed)))
    }

    /// Checks that the caller is not limited to other workloads.
    ///
    /// # Errors
    /// 403 with the limit.
    pub(crate) fn check_workload(&self, key: &WorkloadKey) -> Result<(), Problem> {
        if self.scope.includes(key) { Ok(()) } else { Err(self.limited()) }
    }

    /// Checks that the caller is limited to no workloads.
    ///
    /// # Errors
    /// 403 with the limit.
    pub(crate) fn check_everything(&self) -> Result<(), Problem> {
        if self.scope.is_everything() { Ok(()) } else { Err(self.limited()) }
    }

    fn limited(&self) -> Problem {
        let detail = format!("`{}` is limited to the workloads {}", self.name, self.scope);
        Problem::new(StatusCode::FORBIDDEN, detail)
    }
}

/// The workloads that a caller is limited to, as globs of their keys. By default every workload, and everything else.
#[derive(Debug, Clone, Default)]
pub struct Scope(Option<Arc<Globs>>);

#[derive(Debug)]
struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl Scope {
    /// The workloads that one of these globs matches; every workload if there is none. `*` also matches slashes.
    ///
    /// # Errors
    /// A sentence about a glob that is none.
    pub(crate) fn of(globs: &[String]) -> Result<Self, String> {
        if globs.is_empty() {
            return Ok(Self::default());
        }
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let parsed = Glob::new(glob).map_err(|error| format!("`{glob}` is no glob: {}", error.kind()))?;
            set.add(parsed);
        }
        let set = set.build().map_err(|error| format!("the globs cannot be used: {}", error.kind()))?;
        Ok(Self(Some(Arc::new(Globs { texts: globs.to_vec(), set }))))
    }

    /// Returns true if the caller is not limited.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the caller may see this workload.
    pub fn includes(&self, key: &WorkloadKey) -> bool {
        self.0.as_ref().is_none_or(|globs| globs.set.is_match(key.as_str()))
    }

    /// The globs. Empty if the caller is not limited.
    pub(crate) fn globs(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |globs| &globs.texts)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.globs() == other.globs()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.globs().iter().map(|glob| format!("`{glob}`")).collect();
        f.write_str(&texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_the_workloads_that_one_of_its_globs_matches() {
        let scope = |globs: &[&str]| Scope::of(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>());
        let limited = scope(&["web*", "ghcr.io/org/*"]).expect("globs");
        let includes = |key: &str| limited.includes(&WorkloadKey::stored(key));
        for key in ["web", "web-2", "ghcr.io/org/app:1", "ghcr.io/org/team/app"] {
            assert!(includes(key), "{key}");
        }
        for key in ["", "my-web", "WEB", "ghcr.io/other/app", "api"] {
            assert!(!includes(key), "{key}");
        }
        assert!(!limited.is_everything() && Scope::default().is_everything());
        assert!(Scope::default().includes(&WorkloadKey::stored("anything")));
        let error = scope(&["web[", "a"]).expect_err("no glob");
        assert!(error.starts_with("`web[` is no glob: "), "{error}");
    }

    #[test]
    fn a_refusal_names_the_role_or_the_workloads() {
        let scope = Scope::of(&["web*".to_owned(), "api".to_owned()]).expect("globs");
        let caller = Caller { scope, ..Caller::new("ci", Role::Viewer) };
        assert_eq!(caller.check_role(Role::Viewer), Ok(()));
        let refused = caller.check_role(Role::Operator).expect_err("too little");
        assert_eq!(refused.detail(), "this needs the role `operator`; `ci` has the role `viewer`");
        let refused = caller.check_workload(&WorkloadKey::stored("db")).expect_err("another workload");
        assert_eq!(refused.detail(), "`ci` is limited to the workloads `web*`, `api`");
        assert_eq!(caller.check_everything().expect_err("limited").status(), StatusCode::FORBIDDEN);
    }
}
