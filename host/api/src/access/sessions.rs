//! The sessions of people in a browser: a cookie in place of the token, for a short time.
//!
//! Sessions are in memory only: a restart ends them. Their identifiers are kept as hashes.

use crate::access::token_text::{hash, random_hex};
use crate::error::Problem;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use cookie::{Cookie, SameSite};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::Timestamp;

/// The name of the cookie.
const NAME: &str = "windlass_session";

/// The header of a request that a page makes by itself, without a person.
pub(crate) const BACKGROUND: HeaderName = HeaderName::from_static("x-windlass-background");

/// A session without a request by a person for this long ends.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The longest session.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// Most sessions. The one that is idle for the longest time ends for a new one.
const MOST: usize = 1_000;

/// The token that somebody logged in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The one of the configuration.
    Configured,
    /// A token with this identifier.
    Token(Arc<str>),
}

#[derive(Debug, Clone)]
struct Session {
    principal: Principal,
    csrf: Arc<str>,
    begun: Timestamp,
    last_used: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.begun) >= LONGEST || now.since(self.last_used) >= IDLE
    }
}

/// A new session.
#[derive(Debug)]
pub struct Login {
    /// The value of the header `Set-Cookie`.
    pub cookie: HeaderValue,
    /// The token that each change of the session must carry.
    pub csrf: Arc<str>,
    /// The latest end of the session.
    pub(crate) until: Timestamp,
}

/// The sessions by the hash of their identifiers.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Vec<u8>, Session>>);

impl Sessions {
    /// Begins a session. `is_secure` says whether the browser may send the cookie over TLS only.
    ///
    /// # Errors
    /// 500 if this machine has no random bytes.
    pub(crate) fn begin(&self, principal: Principal, is_secure: bool, now: Timestamp) -> Result<Login, Problem> {
        let (id, csrf) = (random_hex::<32>()?, Arc::<str>::from(random_hex::<32>()?));
        let session = Session { principal, csrf: Arc::clone(&csrf), begun: now, last_used: now };
        let mut sessions = self.0.lock();
        if sessions.len() >= MOST {
            sessions.retain(|_, session| !session.is_over(now));
            let idle = sessions.iter().min_by_key(|(_, session)| session.last_used).map(|(id, _)| id.clone());
            if let Some(idle) = idle.filter(|_| sessions.len() >= MOST) {
                sessions.remove(&idle);
            }
        }
        sessions.insert(hash(id.as_bytes()), session);
        let seconds = i64::try_from(LONGEST.as_secs()).unwrap_or(i64::MAX);
        let cookie = cookie(&id, seconds, is_secure);
        Ok(Login { cookie, csrf, until: now.plus(LONGEST) })
    }

    /// The principal and the CSRF token of the session whose cookie a request has. `None` without a running session. A request
    /// with the header [`BACKGROUND`] does not prolong it.
    pub(crate) fn find(&self, headers: &HeaderMap, now: Timestamp) -> Option<(Principal, Arc<str>)> {
        let id = identifier(headers)?;
        let mut sessions = self.0.lock();
        let key = hash(id.as_bytes());
        let session = sessions.get_mut(&key)?;
        if session.is_over(now) {
            sessions.remove(&key);
            return None;
        }
        if !headers.contains_key(BACKGROUND) {
            session.last_used = now;
        }
        Some((session.principal.clone(), Arc::clone(&session.csrf)))
    }

    /// Returns whether the session with this CSRF token is running. Unlike [`Self::find`], it does not prolong the session.
    pub(crate) fn is_running(&self, csrf: &str, now: Timestamp) -> bool {
        self.0.lock().values().any(|session| &*session.csrf == csrf && !session.is_over(now))
    }

    /// Ends the session of a request, if it has one. Returns the cookie that removes the browser's.
    pub(crate) fn end(&self, headers: &HeaderMap, is_secure: bool) -> HeaderValue {
        if let Some(id) = identifier(headers) {
            self.0.lock().remove(&hash(id.as_bytes()));
        }
        cookie("", 0, is_secure)
    }
}

/// A cookie that no script can read, and that no page of another site makes the browser send.
fn cookie(id: &str, seconds: i64, is_secure: bool) -> HeaderValue {
    let age = cookie::time::Duration::seconds(seconds);
    let cookie =
        Cookie::build((NAME, id)).path("/").http_only(true).same_site(SameSite::Strict).secure(is_secure).max_age(age);
    HeaderValue::from_str(&cookie.build().to_string()).expect("the identifier has hexadecimal digits only")
}

fn identifier(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == NAME).map(|cookie| cookie.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// The headers of a browser with this cookie.
    fn headers(cookie: &HeaderValue) -> HeaderMap {
        let text = cookie.to_str().expect("text").split(';').next().expect("a pair").to_owned();
        HeaderMap::from_iter([(COOKIE, format!("a=b; {text}").parse().expect("a value"))])
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_its_owner() {
        let sessions = Sessions::default();
        let begin = || sessions.begin(Principal::Configured, false, NOW).expect("random bytes");
        let (idle, used, ended) = (begin(), begin(), begin());
        let is_there = |login: &Login, at| sessions.find(&headers(&login.cookie), at).is_some();
        sessions.end(&headers(&ended.cookie), false);
        assert!(!is_there(&ended, NOW));
        let mut at = NOW;
        while at < NOW.plus(LONGEST) {
            assert!(is_there(&used, at));
            at = at.plus(IDLE / 2);
        }
        assert!(!is_there(&used, at) && !is_there(&idle, NOW.plus(IDLE)) && !is_there(&idle, NOW), "it stays ended");
        assert!(sessions.find(&HeaderMap::new(), NOW).is_none() && sessions.0.lock().is_empty());
    }

    #[test]
    fn a_page_that_refreshes_by_itself_does_not_prolong_a_session() {
        let sessions = Sessions::default();
        let login = sessions.begin(Principal::Configured, false, NOW).expect("random bytes");
        let by_itself = {
            let mut headers = headers(&login.cookie);
            headers.insert(BACKGROUND, HeaderValue::from_static("1"));
            headers
        };
        assert!(sessions.find(&by_itself, NOW.plus(IDLE / 2)).is_some());
        assert!(sessions.find(&by_itself, NOW.plus(IDLE)).is_none(), "nobody used it for the whole time");
    }

    #[test]
    fn the_cookie_is_for_this_site_and_no_script() {
        let sessions = Sessions::default();
        let login = sessions.begin(Principal::Configured, true, NOW).expect("random bytes");
        let text = login.cookie.to_str().expect("text");
        for part in ["windlass_session=", "; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/", "; Max-Age=43200"]
        {
            assert!(text.contains(part), "{text}");
        }
        let plain = sessions.begin(Principal::Configured, false, NOW).expect("random bytes");
        assert!(!plain.cookie.to_str().expect("text").contains("Secure"));
        assert!(plain.csrf != login.csrf && plain.cookie != login.cookie);
        assert!(sessions.end(&HeaderMap::new(), true).to_str().expect("text").contains("Max-Age=0"));
        let kept = format!("{sessions:?}");
        let id = text.split(['=', ';']).nth(1).expect("an identifier");
        assert!(id.len() == 64 && !kept.contains(id), "the identifier itself is not kept");
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let sessions = Sessions::default();
        let begin = |at| sessions.begin(Principal::Configured, false, at).expect("random bytes");
        let first = begin(NOW);
        for _ in 0..MOST {
            begin(NOW.plus(Duration::from_secs(1)));
        }
        assert_eq!(sessions.0.lock().len(), MOST);
        assert!(sessions.find(&headers(&first.cookie), NOW.plus(Duration::from_secs(1))).is_none());
    }
}
