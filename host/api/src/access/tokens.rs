//! The tokens: all in memory, so that a request waits for no store, and stored when they change.

use crate::access::caller::{Caller, Scope};
use crate::access::store_call::call;
use crate::access::token_text::{NewText, hash, is_same};
use crate::error::Problem;
use axum::http::StatusCode;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use windlass_core::access::{AccessStore, Role, TokenRecord};
use windlass_core::store::StoreError;
use windlass_core::{Timestamp, error_chain};

/// Most tokens, so that their list stays short and fits in memory.
const MOST_TOKENS: usize = 1_000;

/// Time between two writes of a token's last use.
const USE_WRITTEN: Duration = Duration::from_secs(60);

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such token: it was never created, or is revoked.
    Unknown,
    /// It has expired.
    Expired,
}

/// The wishes of a request for a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) workloads: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A token in memory.
#[derive(Debug)]
struct Token {
    record: TokenRecord,
    caller: Caller,
    /// Milliseconds since the Unix epoch; 0 if it was never used.
    last_used: AtomicU64,
    written: AtomicU64,
}

impl Token {
    fn new(record: TokenRecord) -> Result<Self, String> {
        let caller = Caller {
            scope: Scope::of(&record.workloads)?,
            token: Some(record.id.as_str().into()),
            ..Caller::new(record.name.as_str(), record.role)
        };
        let last_used = record.last_used_at.unwrap_or_default().0;
        Ok(Self { record, caller, last_used: AtomicU64::new(last_used), written: AtomicU64::new(last_used) })
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.record.expires_at.is_some_and(|end| end <= now)
    }

    fn record(&self) -> TokenRecord {
        let last_used = self.last_used.load(Ordering::Relaxed);
        TokenRecord { last_used_at: (last_used > 0).then_some(Timestamp(last_used)), ..self.record.clone() }
    }
}

/// The tokens by their identifiers.
#[derive(Default)]
pub(crate) struct Tokens {
    store: Option<Arc<dyn AccessStore>>,
    by_id: RwLock<BTreeMap<String, Arc<Token>>>,
}

impl Tokens {
    /// The tokens of a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn load(store: Arc<dyn AccessStore>) -> Result<Self, StoreError> {
        let mut by_id = BTreeMap::new();
        for record in store.tokens()? {
            let id = record.id.clone();
            match Token::new(record) {
                Ok(token) => drop(by_id.insert(id, Arc::new(token))),
                Err(error) => tracing::error!(token = id, error, "a stored token is malformed, and lets nobody in"),
            }
        }
        Ok(Self { store: Some(store), by_id: RwLock::new(by_id) })
    }

    /// The caller with this token.
    ///
    /// # Errors
    /// Why the token lets nobody in. The time does not depend on the secret.
    pub(crate) fn check(&self, id: &str, secret: &[u8], now: Timestamp) -> Result<Caller, Refusal> {
        let found = self.by_id.read().get(id).cloned();
        let Some(token) = found else {
            // As long as with a known identifier.
            let _never = is_same(secret, &hash(b""));
            return Err(Refusal::Unknown);
        };
        if !is_same(secret, &token.record.hash) {
            return Err(Refusal::Unknown);
        }
        self.use_now(&token, now)
    }

    /// The caller with the token of a session.
    ///
    /// # Errors
    /// The token is revoked or has expired.
    pub(crate) fn of_session(&self, id: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let token = self.by_id.read().get(id).cloned().ok_or(Refusal::Unknown)?;
        self.use_now(&token, now)
    }

    /// Returns whether a token exists and has not expired. It does not change the time of the token's last use.
    pub(crate) fn is_valid(&self, id: &str, now: Timestamp) -> bool {
        self.by_id.read().get(id).is_some_and(|token| !token.is_expired(now))
    }

    fn use_now(&self, token: &Arc<Token>, now: Timestamp) -> Result<Caller, Refusal> {
        if token.is_expired(now) {
            return Err(Refusal::Expired);
        }
        token.last_used.store(now.0, Ordering::Relaxed);
        let written = token.written.load(Ordering::Relaxed);
        // The clock may have been set back.
        let is_due = now.0 < written || now.since(Timestamp(written)) >= USE_WRITTEN;
        let is_first = || token.written.compare_exchange(written, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if let Some(store) = self.store.as_ref().filter(|_| is_due && is_first()) {
            let (store, id) = (Arc::clone(store), token.record.id.clone());
            // The request does not wait for it.
            drop(tokio::task::spawn_blocking(move || {
                if let Err(error) = store.token_used(&id, now) {
                    tracing::warn!(token = id, error = error_chain(&error), "the last use of a token is not stored");
                }
            }));
        }
        Ok(token.caller.clone())
    }

    /// Creates a token. Returns it with its text, which nothing can show again.
    ///
    /// # Errors
    /// 409 if there are the most tokens, or the problem of the store.
    pub(crate) async fn create(
        &self,
        new: NewToken,
        by: &str,
        now: Timestamp,
    ) -> Result<(TokenRecord, String), Problem> {
        let store = self.store()?;
        if self.by_id.read().len() >= MOST_TOKENS {
            let detail = format!("there are {MOST_TOKENS} tokens, the most; revoke those that nobody uses");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let NewText { id, hash, text } = NewText::random()?;
        let NewToken { name, role, workloads, expires_at } = new;
        let record = TokenRecord {
            id: id.clone(),
            hash,
            name,
            role,
            workloads,
            created_at: now,
            created_by: by.to_owned(),
            expires_at,
            last_used_at: None,
        };
        let token = Token::new(record.clone()).map_err(|error| Problem::invalid_at("/workloads", error))?;
        let stored = record.clone();
        call(&store, move |store| store.add_token(&stored)).await?;
        self.by_id.write().insert(id, Arc::new(token));
        Ok((record, text))
    }

    /// Every token, the oldest first.
    pub(crate) fn list(&self) -> Vec<TokenRecord> {
        let mut records: Vec<TokenRecord> = self.by_id.read().values().map(|token| token.record()).collect();
        records.sort_by(|one, two| (one.created_at, &one.id).cmp(&(two.created_at, &two.id)));
        records
    }

    /// Revokes a token. It lets nobody in from now on, and its sessions end.
    ///
    /// # Errors
    /// 404 if there is none, or the problem of the store.
    pub(crate) async fn revoke(&self, id: &str) -> Result<TokenRecord, Problem> {
        let store = self.store()?;
        let unknown = || {
            let detail = format!("there is no token `{id}`; `GET /tokens` lists them");
            Problem::new(StatusCode::NOT_FOUND, detail)
        };
        if !self.by_id.read().contains_key(id) {
            return Err(unknown());
        }
        // First in the store: a token that stays there would be back after a restart.
        let stored = id.to_owned();
        call(&store, move |store| store.remove_token(&stored)).await?;
        let removed = self.by_id.write().remove(id).ok_or_else(unknown)?;
        Ok(removed.record())
    }

    /// The store.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(crate) fn store(&self) -> Result<Arc<dyn AccessStore>, Problem> {
        let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this windlass stores no tokens");
        self.store.clone().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use windlass_core::access::{AuditQuery, AuditRecord};

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// A store with one token, which reports each write of a last use.
    struct Store {
        token: TokenRecord,
        uses: Sender<Timestamp>,
    }

    impl AccessStore for Store {
        fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
            Ok(vec![self.token.clone()])
        }
        fn add_token(&self, _: &TokenRecord) -> Result<(), StoreError> {
            Ok(())
        }
        fn remove_token(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
        fn token_used(&self, _: &str, at: Timestamp) -> Result<(), StoreError> {
            self.uses.send(at).expect("the test receives it");
            Ok(())
        }
        fn add_audit(&self, _: &AuditRecord) -> Result<i64, StoreError> {
            Ok(1)
        }
        fn audit(&self, _: &AuditQuery) -> Result<Vec<AuditRecord>, StoreError> {
            Ok(Vec::new())
        }
    }

    fn tokens(workloads: &[&str]) -> (Tokens, Receiver<Timestamp>) {
        let token = TokenRecord {
            id: "a".to_owned(),
            hash: hash(b"secret"),
            name: "ci".to_owned(),
            role: Role::Viewer,
            workloads: workloads.iter().map(|glob| (*glob).to_owned()).collect(),
            created_at: NOW,
            created_by: "test".to_owned(),
            expires_at: Some(NOW.plus(Duration::from_secs(600))),
            last_used_at: None,
        };
        let (uses, written) = channel();
        (Tokens::load(Arc::new(Store { token, uses })).expect("read"), written)
    }

    #[tokio::test]
    async fn the_last_use_is_known_at_once_and_written_once_a_minute() {
        let (tokens, written) = tokens(&[]);
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        for seconds in [0, 1, 30, 59, 60, 61, 119, 120] {
            tokens.check("a", b"secret", at(seconds)).expect("valid");
            assert_eq!(tokens.list()[0].last_used_at, Some(at(seconds)));
        }
        // The clock was set back.
        tokens.check("a", b"secret", at(10)).expect("valid");
        let mut times: Vec<Timestamp> =
            (0..4).map(|_| written.recv_timeout(Duration::from_secs(20)).expect("a write")).collect();
        times.sort();
        assert_eq!(times, [at(0), at(10), at(60), at(120)]);
        assert!(written.try_recv().is_err(), "no more");
    }

    #[tokio::test]
    async fn a_wrong_secret_and_the_end_of_a_token_let_nobody_in() {
        let (tokens, _written) = tokens(&["web*"]);
        let check = |id: &str, secret: &[u8], at| tokens.check(id, secret, at).map(|caller| caller.name.to_string());
        assert_eq!(check("a", b"secret", NOW), Ok("ci".to_owned()));
        for (id, secret) in [("a", &b"Secret"[..]), ("a", b""), ("b", b"secret"), ("", b"")] {
            assert_eq!(check(id, secret, NOW), Err(Refusal::Unknown), "{id}");
        }
        let end = NOW.plus(Duration::from_secs(600));
        assert_eq!(check("a", b"secret", end), Err(Refusal::Expired));
        assert_eq!(check("a", b"wrong", end), Err(Refusal::Unknown), "its end is told to nobody else");
        // A glob that cannot be read, after a downgrade for example, opens nothing.
        let (tokens, _written) = self::tokens(&["web["]);
        assert_eq!(tokens.check("a", b"secret", NOW).map(drop), Err(Refusal::Unknown));
    }
}
