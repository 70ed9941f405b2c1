//! The identity of callers, by token, address and origin.

use crate::access::Access;
use crate::access::admit::Identity;
use crate::limits::Peer;
use crate::router::endpoints;
use axum::http::{Extensions, HeaderMap, HeaderName, Method};
use std::sync::Arc;
use windlass_core::Timestamp;
use windlass_core::access::Role;
use windlass_core::access::Role::{Admin, Viewer};
use windlass_core::settings::{ApiSettings, LocalAccess};

/// Whether a stranger may send this request.
fn is_public(method: &str, path: &str) -> bool {
    let is_page = method == "GET" && (path == "/docs" || path.starts_with("/docs/"));
    let mut endpoints = endpoints().into_iter();
    is_page
        || endpoints.any(|it| it.method.as_str() == method && it.path == path && it.need == crate::access::Need::Public)
}

/// The role of a caller, `None` for a stranger whose request needs none, or the status of the refusal.
fn ask_from(
    settings: &ApiSettings,
    peer: Option<Peer>,
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Option<Role>, u16> {
    let access = Access::new(Arc::new(settings.clone()), Admin, Timestamp::default);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().expect("a value"));
    }
    let mut extensions = Extensions::new();
    if let Some(peer) = peer {
        extensions.insert(peer);
    }
    let parsed: Method = method.parse().expect("a method");
    match access.identify(&parsed, &map, &extensions) {
        Ok(Identity::Known(caller)) => Ok(Some(caller.role)),
        Ok(Identity::Stranger(_)) if is_public(method, path) => Ok(None),
        Ok(Identity::Stranger(stranger)) => Err(stranger.0.status().as_u16()),
        Err(problem) => Err(problem.status().as_u16()),
    }
}

fn ask(
    settings: &ApiSettings,
    method: &str,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Option<Role>, u16> {
    ask_from(settings, None, method, path, headers)
}

#[test]
fn only_the_token_opens_what_is_closed() {
    let settings = ApiSettings { token: Some("0123456789abcdef".into()), ..ApiSettings::default() };
    let with = |value: &str| ask(&settings, "GET", "/images", &[("authorization", value)]);
    assert_eq!(with("Bearer 0123456789abcdef"), Ok(Some(Admin)));
    assert_eq!(with("bearer  0123456789abcdef"), Ok(Some(Admin)));
    for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic eDp5"] {
        assert_eq!(with(wrong), Err(401), "{wrong:?}");
    }
    assert_eq!(ask(&settings, "GET", "/health/", &[]), Err(401));
    assert_eq!(ask(&settings, "GET", "/images/x/health", &[]), Err(401));
    assert_eq!(ask(&settings, "POST", "/health", &[]), Err(401));
    for open in ["/health", "/ready", "/openapi.json", "/docs", "/docs/index.css"] {
        assert_eq!(ask(&settings, "GET", open, &[]), Ok(None), "{open}");
    }
    // With the token, host and origin do not matter.
    let headers = [("authorization", "Bearer 0123456789abcdef"), ("host", "windlass.example"), ("origin", "null")];
    assert_eq!(ask(&settings, "POST", "/start/container", &headers), Ok(Some(Admin)));
}

#[test]
fn web_pages_do_not_reach_a_windlass_without_a_token() {
    let settings = ApiSettings::default();
    let post = |headers: &[(&'static str, &str)]| ask(&settings, "POST", "/images/x/reconcile", headers);
    for host in ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST", "10.1.2.3"] {
        assert_eq!(post(&[("host", host)]), Ok(Some(Admin)), "{host}");
    }
    for host in ["evil.example:8000", "localhost.evil.example", "", "a b"] {
        assert_eq!(post(&[("host", host)]), Err(403), "{host}");
    }
    let own = [("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:8000")];
    assert_eq!(post(&own), Ok(Some(Admin)));
    for origin in ["http://evil.example", "null", "http://127.0.0.1:3000"] {
        assert_eq!(post(&[("host", "127.0.0.1:8000"), ("origin", origin)]), Err(403), "{origin}");
    }
    let insecure = ApiSettings { listen: "0.0.0.0:8000".parse().expect("a place"), ..settings };
    assert_eq!(ask(&insecure, "GET", "/images", &[("host", "windlass.example")]), Ok(Some(Admin)));
}

#[test]
fn callers_on_the_loopback_without_a_token_have_the_configured_rights() {
    const TOKEN: &str = "0123456789abcdef";
    let [loopback, other] = ["127.0.0.1", "10.0.0.1"].map(|address| Peer::of(address.parse().expect("an address")));
    let settings =
        |token: bool, local| ApiSettings { token: token.then(|| TOKEN.into()), local, ..ApiSettings::default() };
    let ask_with = |settings: &ApiSettings, peer, method, path, token: &str| {
        ask_from(settings, Some(peer), method, path, &[("authorization", &format!("Bearer {token}"))])
    };
    let rights = |settings: &ApiSettings, peer| {
        [("GET", "/images"), ("POST", "/start/container"), ("GET", "/ready")]
            .map(|(method, path)| ask_from(settings, Some(peer), method, path, &[]))
    };
    use LocalAccess::{Full, Off, ReadOnly};
    let (admin, viewer, stranger) = (Ok(Some(Admin)), Ok(Some(Viewer)), Ok(None));
    for (token, local, expected) in [
        (false, None, [admin, admin, admin]),
        (false, Some(ReadOnly), [viewer, Err(403), viewer]),
        (false, Some(Off), [Err(403), Err(403), stranger]),
        (true, None, [Err(401), Err(401), stranger]),
        (true, Some(Full), [admin, admin, admin]),
        (true, Some(ReadOnly), [viewer, Err(401), viewer]),
    ] {
        let settings = settings(token, local);
        assert_eq!(rights(&settings, loopback), expected, "{token} {local:?}");
        // The right token allows everything, and a wrong one is an error, whatever the loopback may do.
        if token {
            assert_eq!(ask_with(&settings, loopback, "POST", "/start/container", TOKEN), admin);
            assert_eq!(ask_with(&settings, loopback, "GET", "/images", "wrong"), Err(401));
            assert_eq!(rights(&settings, other), [Err(401), Err(401), stranger], "{local:?}");
        }
        // A token of a store is an error if it is wrong, also where none is needed.
        assert_eq!(ask_with(&settings, loopback, "GET", "/images", "wl_a_b"), Err(401));
        assert_eq!(ask_with(&settings, Peer::User(None), "GET", "/images", "wl_a_b"), Err(401));
        // The permissions of the socket's file admitted this caller.
        assert_eq!(rights(&settings, Peer::User(Some(1_000))), [admin, admin, admin]);
    }
}

#[test]
fn web_pages_do_not_reach_a_windlass_whose_loopback_needs_no_token() {
    let local = Some(LocalAccess::Full);
    let settings = ApiSettings { token: Some("0123456789abcdef".into()), local, ..ApiSettings::default() };
    let peer = Some(Peer::of("127.0.0.1".parse().expect("an address")));
    assert_eq!(ask_from(&settings, peer, "GET", "/images", &[("host", "evil.example")]), Err(403));
}
