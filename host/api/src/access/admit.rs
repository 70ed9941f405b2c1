//! Finds out who calls: by a token, by the session of a browser, or by the place that the request comes from.
//!
//! A caller of the Unix socket needs no token: the permissions of the socket's file say who may connect. `api.local` says
//! what a caller on the loopback may do without a token. A Windlass without a token listens on the loopback, where every web
//! page in a browser on the same machine can reach it; `web` keeps such pages out.

use crate::access::attempts::Attempts;
use crate::access::caller::Caller;
use crate::access::sessions::{Principal, Sessions};
use crate::access::token_text::{BEGINNING, hash, is_same, parse};
use crate::access::tokens::{Refusal, Tokens};
use crate::access::web::{check_host, check_origin, is_change};
use crate::error::Problem;
use crate::limits::Peer;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::sync::Notify;
use windlass_core::Timestamp;
use windlass_core::access::{AccessStore, Role};
use windlass_core::settings::{ApiSettings, LocalAccess};
use windlass_core::store::StoreError;

/// The header that names the scheme of a token.
const CHALLENGE: &str = "Bearer realm=\"windlass\"";
const INVALID: &str = "Bearer realm=\"windlass\", error=\"invalid_token\"";

/// Most tokens that are named as administrators.
const MOST_NAMED: usize = 20;

/// The name of the caller with the token of the configuration.
pub(crate) const CONFIGURED: &str = "the configured token";

/// The tokens and sessions of a server, and what it needs to judge them.
pub struct Access {
    pub(crate) settings: Arc<ApiSettings>,
    /// The role of a caller with the token of the configuration, and SHA-256 of that token.
    pub(crate) configured: (Role, Option<Vec<u8>>),
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) attempts: Attempts,
    /// Signals that a token was revoked or a session ended.
    pub(crate) changed: Notify,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A caller that is not known, with the answer if it needs to be. An extension of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Stranger(pub(crate) Box<Problem>);

/// The caller of a request, as far as it is known.
#[derive(Debug)]
pub(crate) enum Identity {
    Known(Caller),
    Stranger(Stranger),
}

impl Access {
    /// The callers of a server without stored tokens. `role` is that of the configured token.
    pub(crate) fn new(
        settings: Arc<ApiSettings>,
        role: Role,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let token = settings.token.as_ref().map(|token| hash(token.as_bytes()));
        Self {
            settings,
            configured: (role, token),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            changed: Notify::new(),
            now: Box::new(now),
        }
    }

    /// The same with the tokens of a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn with_store(mut self, store: Arc<dyn AccessStore>) -> Result<Self, StoreError> {
        self.tokens = Tokens::load(store)?;
        Ok(self)
    }

    /// The people and programs that can change everything, one text for each way.
    pub fn administrators(&self) -> Vec<String> {
        let mut administrators = self.settings.administrators();
        let now = self.now();
        let tokens = self.tokens.list().into_iter().filter(|token| {
            token.role == Role::Admin && token.workloads.is_empty() && token.expires_at.is_none_or(|end| end > now)
        });
        let mut names: Vec<String> = tokens.map(|token| format!("`{}`", token.name)).collect();
        let more = names.len().saturating_sub(MOST_NAMED);
        names.truncate(MOST_NAMED);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        if !names.is_empty() {
            administrators.push(format!("the owners of tokens with the role admin: {}", names.join(", ")));
        }
        administrators
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// The request is refused whatever it is for, because a web page may have sent it.
    pub(crate) fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Identity, Problem> {
        let peer = Peer::among(extensions);
        let (role, configured) = &self.configured;
        let stranger = |detail: &str, challenge| {
            Ok(Identity::Stranger(Stranger(Box::new(Problem::unauthorized(detail, challenge)))))
        };
        let sent = bearer(headers);
        if let Some(text) = sent.filter(|text| text.starts_with(BEGINNING.as_bytes())) {
            // It decides, wherever it comes from.
            return match self.of_token(text) {
                Ok(caller) => Ok(Identity::Known(caller)),
                Err(refusal) => stranger(why(refusal), INVALID),
            };
        }
        if let Peer::User(user) = peer {
            return Ok(Identity::Known(of_socket(user)));
        }
        match (sent, configured) {
            (Some(sent), Some(token)) if is_same(sent, token) => {
                return Ok(Identity::Known(Caller::new(CONFIGURED, *role)));
            }
            (Some(_), Some(_)) => return stranger("the bearer token is wrong", INVALID),
            _ => {}
        }
        if let Some(caller) = self.of_session(headers) {
            check_origin(method, headers, "with a session")?;
            return Ok(Identity::Known(caller));
        }
        let (access, name) = match peer {
            Peer::Loopback(_) => (self.settings.local_access(), "a caller on this machine"),
            _ if configured.is_some() => (LocalAccess::Off, ""),
            _ => (LocalAccess::Full, "a caller without a token"),
        };
        if access != LocalAccess::Off {
            // Without a token, any name is accepted at an address that other machines can reach.
            if self.settings.listen.is_local() || configured.is_some() {
                check_host(headers)?;
            }
            check_origin(method, headers, "without a token")?;
        }
        match access {
            LocalAccess::Full => Ok(Identity::Known(Caller::new(name, Role::Admin))),
            LocalAccess::ReadOnly if !is_change(method) => Ok(Identity::Known(Caller::new(name, Role::Viewer))),
            _ if configured.is_some() => {
                stranger("a token is required: send the header `authorization: Bearer <token>`", CHALLENGE)
            }
            LocalAccess::ReadOnly => {
                Ok(forbidden("callers on this machine may only read (`api.local`); use the Unix socket"))
            }
            LocalAccess::Off => {
                Ok(forbidden("callers on this machine may not use this address (`api.local`); use the Unix socket"))
            }
        }
    }

    /// The caller with a stored token.
    ///
    /// # Errors
    /// Why the token lets nobody in.
    pub(crate) fn of_token(&self, text: &[u8]) -> Result<Caller, Refusal> {
        let (id, secret) = parse(text).ok_or(Refusal::Unknown)?;
        self.tokens.check(id, secret, self.now())
    }

    /// The caller with a running session, with the rights that its token has now.
    fn of_session(&self, headers: &HeaderMap) -> Option<Caller> {
        let now = self.now();
        let (principal, csrf) = self.sessions.find(headers, now)?;
        let caller = match principal {
            Principal::Configured => Caller::new(CONFIGURED, self.configured.0),
            Principal::Token(id) => self.tokens.of_session(&id, now).ok()?,
        };
        Some(Caller { csrf: Some(csrf), ..caller })
    }
}

fn of_socket(user: Option<u32>) -> Caller {
    let name = user.map_or("a user of the Unix socket".to_owned(), |user| format!("user {user} of the Unix socket"));
    Caller::new(name, Role::Admin)
}

/// The reason of a refusal, for its caller.
pub(crate) fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "the bearer token is wrong, or was revoked",
        Refusal::Expired => "the bearer token has expired; create another one with `windlass token create`",
    }
}

fn forbidden(detail: &str) -> Identity {
    Identity::Stranger(Stranger(Box::new(Problem::new(StatusCode::FORBIDDEN, detail))))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Adds the caller to a request, or answers a request that a web page may have sent.
pub(crate) async fn admit(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match access.identify(request.method(), request.headers(), request.extensions()) {
        Ok(Identity::Known(caller)) => drop(request.extensions_mut().insert(caller)),
        Ok(Identity::Stranger(stranger)) => drop(request.extensions_mut().insert(stranger)),
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}
