//! A token in answers, without its secret.

use crate::json::time::Time;
use serde::Serialize;
use utoipa::ToSchema;
use windlass_core::access::TokenRecord;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// Its identifier: the part of its text between `wl_` and the next `_`.
    id: String,
    /// The name of the person or program that uses it.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// Globs of the workloads that it is limited to; empty if it is not limited.
    workloads: Vec<String>,
    /// Time of its creation.
    created_at: Time,
    /// Name of the caller that created it.
    created_by: String,
    /// Time of its end; null if it does not expire.
    expires_at: Option<Time>,
    /// Time of its last use, which is stored once a minute; null if it was never used.
    last_used_at: Option<Time>,
}

impl From<&TokenRecord> for TokenView {
    fn from(token: &TokenRecord) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            role: token.role.to_string(),
            workloads: token.workloads.clone(),
            created_at: Time(token.created_at),
            created_by: token.created_by.clone(),
            expires_at: token.expires_at.map(Time),
            last_used_at: token.last_used_at.map(Time),
        }
    }
}
