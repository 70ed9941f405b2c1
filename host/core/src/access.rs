//! Roles, tokens and the audit record, and the trait of their storage.

use crate::Timestamp;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The rights of a caller. Each role except [`Role::Agent`] includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the resource use of one node, from its agent, and nothing else.
    Agent,
    /// Reads.
    Viewer,
    /// Scales by hand, and pauses, promotes and rolls back.
    Operator,
    /// Starts and deletes workloads, pushes policies, and manages tokens.
    Admin,
}

impl Role {
    /// Whether a caller with this role may do everything that `needed` allows.
    pub fn includes(self, needed: Self) -> bool {
        let rank = |role| match role {
            Self::Agent => 0,
            Self::Viewer => 1,
            Self::Operator => 2,
            Self::Admin => 3,
        };
        match (self, needed) {
            (Self::Agent, _) | (_, Self::Agent) => self == needed,
            _ => rank(self) >= rank(needed),
        }
    }

    /// Its name in requests, answers and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Agent, Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token as it is stored. Its secret is not there, so the store lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The public part of the token's text.
    pub id: String,
    /// SHA-256 of the secret part.
    pub hash: Vec<u8>,
    /// The name of the person or program that uses it.
    pub name: String,
    /// Its rights.
    pub role: Role,
    /// Globs of workload keys. The token concerns only workloads that one of them matches. Empty for every workload.
    pub workloads: Vec<String>,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Name of the caller that created it.
    pub created_by: String,
    /// Time of its end. `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Time of its last use, to the minute. `None` if it was never used.
    pub last_used_at: Option<Timestamp>,
}

/// One change by a person or a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number, ascending; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// Time of the answer to the request.
    pub at: Timestamp,
    /// Name of the caller.
    pub who: String,
    /// Identifier of the caller's token. `None` if the caller sent none.
    pub token: Option<String>,
    /// Address of the caller, or its user on this machine.
    pub from: String,
    /// Method and path of the request, without its query.
    pub request: String,
    /// The request in words.
    pub what: String,
    /// The changed workload. `None` if it changed none.
    pub workload: Option<String>,
    /// The fields that changed, as they were before. Null if the object is new, or nothing changed.
    pub before: Value,
    /// The fields that changed, as they were after the change. Null if the object is gone, or nothing changed.
    pub after: Value,
    /// HTTP status of the answer.
    pub status: u16,
    /// `done`, or the reason why the request failed.
    pub result: String,
}

/// Which audit records to read, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// No record from before this time.
    pub since: Option<Timestamp>,
    /// Only records with lower numbers.
    pub before: Option<i64>,
    /// Only records about this workload.
    pub workload: Option<String>,
    /// The most records.
    pub limit: u32,
}

/// The storage of tokens and audit records. Calls are short and block; each is one transaction.
pub trait AccessStore: Send + Sync + 'static {
    /// Returns all tokens, the oldest first.
    fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Stores a new token.
    fn add_token(&self, token: &TokenRecord) -> Result<(), StoreError>;

    /// Removes a token. A missing one is no error.
    fn remove_token(&self, id: &str) -> Result<(), StoreError>;

    /// Stores the time of a token's last use. A missing token is ignored.
    fn token_used(&self, id: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Stores a record and returns its number. Drops the oldest records beyond the number and the age that the store was
    /// opened with; the age is counted from the time of the new record.
    fn add_audit(&self, record: &AuditRecord) -> Result<i64, StoreError>;

    /// Returns records, newest first. Reading does not hold up writing.
    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_includes_the_weaker_ones_and_the_agent_none() {
        let ascending = [Role::Viewer, Role::Operator, Role::Admin];
        for (at, role) in ascending.into_iter().enumerate() {
            for (other_at, other) in ascending.into_iter().enumerate() {
                assert_eq!(role.includes(other), at >= other_at, "{role} {other}");
            }
            assert!(!role.includes(Role::Agent) && !Role::Agent.includes(role), "{role}");
            assert_eq!(Role::named(role.as_str()), Some(role));
        }
        assert!(Role::Agent.includes(Role::Agent) && Role::named("root").is_none());
    }
}
