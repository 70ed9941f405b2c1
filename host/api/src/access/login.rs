//! Log-in with a token, and log-out: for `POST /login`, and for the form of a page.

use crate::access::admit::{Access, CONFIGURED, why};
use crate::access::caller::Caller;
use crate::access::sessions::{Login, Principal};
use crate::access::token_text::{BEGINNING, is_same};
use crate::access::web::check_origin;
use crate::error::Problem;
use crate::limits::Peer;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use windlass_core::access::Role;

/// The longest text that is compared with tokens, in bytes.
const LONGEST: usize = 4_096;

impl Access {
    /// Logs in with a token, and ends the session that the request had. The extensions and headers are those of the request.
    ///
    /// # Errors
    /// 401 if the token lets nobody in, 403 if a page of another origin sent the request, 429 after many failures.
    pub fn log_in(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
        token: &str,
    ) -> Result<(Login, Caller), Problem> {
        check_origin(&Method::POST, headers, "to log in")?;
        let (peer, now) = (Peer::among(extensions), self.now());
        self.attempts.check(peer, now).map_err(|wait| {
            let seconds = wait.as_secs().max(1);
            let detail = format!("too many failed log-ins from this address; try again in {seconds} s");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
        })?;
        let (principal, caller) = self.principal(token.trim()).inspect_err(|problem| {
            self.attempts.failed(peer, now);
            tracing::warn!(from = %peer, reason = problem.detail(), "a log-in failed");
        })?;
        let is_secure = self.settings.tls.is_some();
        self.log_out(headers);
        let login = self.sessions.begin(principal, is_secure, now)?;
        let csrf = Some(login.csrf.clone());
        Ok((login, Caller { csrf, ..caller }))
    }

    /// Ends the session of a request. Returns the value of the header `Set-Cookie` that removes the cookie.
    pub fn log_out(&self, headers: &HeaderMap) -> HeaderValue {
        let removed = self.sessions.end(headers, self.settings.tls.is_some());
        self.changed.notify_waiters();
        removed
    }

    fn principal(&self, token: &str) -> Result<(Principal, Caller), Problem> {
        let wrong = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail);
        if token.len() > LONGEST {
            return Err(wrong("the token is wrong"));
        }
        if token.starts_with(BEGINNING) {
            let caller = self.of_token(token.as_bytes()).map_err(|refusal| wrong(why(refusal)))?;
            let id = caller.token.clone().filter(|_| caller.role.includes(Role::Viewer));
            let id = id.ok_or_else(|| wrong("this token is for an agent, and cannot log in"))?;
            return Ok((Principal::Token(id), caller));
        }
        match &self.configured {
            (role, Some(configured)) if is_same(token.as_bytes(), configured) => {
                Ok((Principal::Configured, Caller::new(CONFIGURED, *role)))
            }
            _ => Err(wrong("the token is wrong")),
        }
    }
}
