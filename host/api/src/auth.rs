//! Checks the bearer token, and rejects web pages that send requests to a Windlass without one.
//!
//! Public are `/health` and `/ready` (probes send no token; `/ready` returns no reasons without one), and the description
//! of the API with its page, which contain nothing about this installation.
//!
//! A caller of the Unix socket needs no token: the permissions of the socket's file say who may connect. `api.local` says
//! what a caller on the loopback may do without a token.
//!
//! A Windlass without a token listens on loopback, where every web page in a browser on the same machine can reach it.
//! Such a page cannot send JSON without a preflight request, nor hide its origin. `refuse_web_pages` closes the two ways
//! that remain.

use crate::error::Problem;
use crate::limits::Peer;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use windlass_core::settings::{ApiSettings, LocalAccess};

/// The caller; an extension of every request that [`admit`] accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// May do everything: sent the token, needs none, or uses the Unix socket.
    Trusted,
    /// Is on this machine and sent no token: may read.
    Reader,
    /// Sent no valid token; only public resources are available.
    Stranger,
}

/// Accepts a request, or answers 401 or 403.
pub(crate) async fn admit(State(settings): State<Arc<ApiSettings>>, mut request: Request, next: Next) -> Response {
    match caller(&settings, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn caller<B>(settings: &ApiSettings, request: &axum::http::Request<B>) -> Result<Caller, Problem> {
    let peer = Peer::among(request.extensions());
    let is_public = is_open(request.method(), request.uri().path());
    match (&settings.token, bearer(request.headers())) {
        // The permissions of the file admitted this caller.
        _ if matches!(peer, Peer::User(_)) => return Ok(Caller::Trusted),
        (Some(token), Some(shown)) if is_same(shown, token) => return Ok(Caller::Trusted),
        (Some(_), Some(_)) if is_public => return Ok(Caller::Stranger),
        (Some(_), Some(_)) => {
            let challenge = "Bearer realm=\"windlass\", error=\"invalid_token\"";
            return Err(Problem::unauthorized("the bearer token is wrong", challenge));
        }
        _ => {}
    }
    let access = match peer {
        Peer::Loopback(_) => settings.local_access(),
        _ if settings.token.is_some() => LocalAccess::Off,
        _ => LocalAccess::Full,
    };
    if access != LocalAccess::Off {
        refuse_web_pages(settings, request.method(), request.headers())?;
    }
    match access {
        LocalAccess::Full => Ok(Caller::Trusted),
        LocalAccess::ReadOnly if !is_change(request.method()) => Ok(Caller::Reader),
        _ if is_public => Ok(Caller::Stranger),
        _ if settings.token.is_some() => {
            let detail = "a token is required: send the header `authorization: Bearer <token>`";
            Err(Problem::unauthorized(detail, "Bearer realm=\"windlass\""))
        }
        LocalAccess::ReadOnly => {
            Err(forbidden("callers on this machine may only read (`api.local`); use the Unix socket"))
        }
        LocalAccess::Off => {
            Err(forbidden("callers on this machine may not use this address (`api.local`); use the Unix socket"))
        }
    }
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_open(method: &Method, path: &str) -> bool {
    let open = matches!(path, "/health" | "/ready" | "/openapi.json" | "/docs") || path.starts_with("/docs/");
    open && matches!(*method, Method::GET | Method::HEAD)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares in a time that depends neither on the token nor on its length.
fn is_same(shown: &[u8], token: &str) -> bool {
    Sha256::digest(shown).ct_eq(&Sha256::digest(token.as_bytes())).into()
}

/// Rejects requests that only a web page sends to a Windlass without a token: those with a foreign host name that
/// resolves to this machine (DNS rebinding), and changes from a page of another origin.
fn refuse_web_pages(settings: &ApiSettings, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail| Err(forbidden(detail));
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST);
    // Without a token, any name is accepted at an address that other machines can reach.
    let names_only_this = settings.listen.is_local() || settings.token.is_some();
    if names_only_this && host.is_some_and(|host| !is_local(host)) {
        return refuse(
            "without a token, windlass answers to `localhost` and addresses only, not to other host names; set a token",
        );
    }
    if is_change(method)
        && let Some(origin) = text(ORIGIN)
    {
        let from = origin.split_once("://").map(|(_, authority)| authority);
        if from.is_none() || from != host {
            return refuse("without a token, windlass accepts no changes from web pages of other origins; set a token");
        }
    }
    Ok(())
}

/// Whether a `Host` is an address, or a name that always means this machine.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(settings: &ApiSettings, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Caller, u16> {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        caller(settings, &request).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn only_the_token_opens_what_is_closed() {
        let settings = ApiSettings { token: Some("0123456789abcdef".into()), ..ApiSettings::default() };
        let with = |value: &str| ask(&settings, "GET", "/images", &[("authorization", value)]);
        assert_eq!(with("Bearer 0123456789abcdef"), Ok(Caller::Trusted));
        assert_eq!(with("bearer  0123456789abcdef"), Ok(Caller::Trusted));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic eDp5"] {
            assert_eq!(with(wrong), Err(401), "{wrong:?}");
        }
        assert_eq!(ask(&settings, "GET", "/health/", &[]), Err(401));
        assert_eq!(ask(&settings, "GET", "/images/x/health", &[]), Err(401));
        assert_eq!(ask(&settings, "POST", "/health", &[]), Err(401));
        for open in ["/health", "/ready", "/openapi.json", "/docs", "/docs/index.css"] {
            assert_eq!(ask(&settings, "GET", open, &[]), Ok(Caller::Stranger), "{open}");
        }
        // With the token, host and origin do not matter.
        let headers = [("authorization", "Bearer 0123456789abcdef"), ("host", "windlass.example"), ("origin", "null")];
        assert_eq!(ask(&settings, "POST", "/start/container", &headers), Ok(Caller::Trusted));
    }

    #[test]
    fn web_pages_do_not_reach_a_windlass_without_a_token() {
        let settings = ApiSettings::default();
        let post = |headers: &[(&str, &str)]| ask(&settings, "POST", "/images/x/reconcile", headers);
        for host in ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST", "10.1.2.3"] {
            assert_eq!(post(&[("host", host)]), Ok(Caller::Trusted), "{host}");
        }
        for host in ["evil.example:8000", "localhost.evil.example", "", "a b"] {
            assert_eq!(post(&[("host", host)]), Err(403), "{host}");
        }
        let own = [("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:8000")];
        assert_eq!(post(&own), Ok(Caller::Trusted));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:3000"] {
            assert_eq!(post(&[("host", "127.0.0.1:8000"), ("origin", origin)]), Err(403), "{origin}");
        }
        let insecure = ApiSettings { listen: "0.0.0.0:8000".parse().expect("a place"), ..settings };
        assert_eq!(ask(&insecure, "GET", "/images", &[("host", "windlass.example")]), Ok(Caller::Trusted));
    }

    fn ask_from(
        settings: &ApiSettings,
        peer: Peer,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<Caller, u16> {
        let mut request = axum::http::Request::builder().method(method).uri(path).extension(peer);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(()).expect("a request");
        caller(settings, &request).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn callers_on_the_loopback_without_a_token_have_the_configured_rights() {
        const TOKEN: &str = "0123456789abcdef";
        let [loopback, other] = ["127.0.0.1", "10.0.0.1"].map(|address| Peer::of(address.parse().expect("an address")));
        let settings =
            |token: bool, local| ApiSettings { token: token.then(|| TOKEN.into()), local, ..ApiSettings::default() };
        let rights = |settings: &ApiSettings, peer| {
            [("GET", "/images"), ("POST", "/start/container"), ("GET", "/ready")]
                .map(|(method, path)| ask_from(settings, peer, method, path, None))
        };
        use Caller::{Reader, Stranger, Trusted};
        use LocalAccess::{Full, Off, ReadOnly};
        for (token, local, expected) in [
            (false, None, [Ok(Trusted), Ok(Trusted), Ok(Trusted)]),
            (false, Some(ReadOnly), [Ok(Reader), Err(403), Ok(Reader)]),
            (false, Some(Off), [Err(403), Err(403), Ok(Stranger)]),
            (true, None, [Err(401), Err(401), Ok(Stranger)]),
            (true, Some(Full), [Ok(Trusted), Ok(Trusted), Ok(Trusted)]),
            (true, Some(ReadOnly), [Ok(Reader), Err(401), Ok(Reader)]),
        ] {
            let settings = settings(token, local);
            assert_eq!(rights(&settings, loopback), expected, "{token} {local:?}");
            // The right token allows everything, and a wrong one is an error, whatever the loopback may do.
            if token {
                assert_eq!(ask_from(&settings, loopback, "POST", "/start/container", Some(TOKEN)), Ok(Trusted));
                assert_eq!(ask_from(&settings, loopback, "GET", "/images", Some("wrong")), Err(401));
                assert_eq!(rights(&settings, other), [Err(401), Err(401), Ok(Stranger)], "{local:?}");
            }
            // The permissions of the socket's file admitted this caller.
            assert_eq!(rights(&settings, Peer::User(Some(1_000))), [Ok(Trusted), Ok(Trusted), Ok(Trusted)]);
        }
    }

    #[test]
    fn web_pages_do_not_reach_a_windlass_whose_loopback_needs_no_token() {
        let local = Some(LocalAccess::Full);
        let settings = ApiSettings { token: Some("0123456789abcdef".into()), local, ..ApiSettings::default() };
        let request = axum::http::Request::builder().uri("/images").header("host", "evil.example");
        let request = request.extension(Peer::of("127.0.0.1".parse().expect("an address"))).body(());
        let problem = caller(&settings, &request.expect("a request")).expect_err("refused");
        assert_eq!(problem.status().as_u16(), 403);
    }
}
