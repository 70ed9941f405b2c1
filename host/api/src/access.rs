//! The callers of the API: their tokens, sessions, roles and workloads, the one table of rules, and the record of changes.
//!
//! `admit` finds out who calls and adds a [`Caller`] to the request, before routing. `guard` looks the matched route up
//! in the `rules`, which the router's table makes, and refuses a caller without the role, the workload or the CSRF token.
//! A route without a rule answers nobody. `trail` records each change.

pub(crate) mod admit;
pub(crate) mod attempts;
pub(crate) mod caller;
pub(crate) mod guard;
pub(crate) mod login;
pub(crate) mod revocation;
pub(crate) mod rules;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod store_call;
pub(crate) mod token_text;
pub(crate) mod tokens;
pub(crate) mod trail;
pub(crate) mod web;

pub use crate::access::admit::Access;
pub use crate::access::caller::{Caller, Scope};
pub use crate::access::rules::{Concerns, Need, Pages};
pub use crate::access::sessions::Login;

#[cfg(test)]
mod tests;
