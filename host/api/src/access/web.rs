//! Rejects web pages of other origins. Such a page cannot send JSON without a preflight request, nor hide its origin; two ways
//! remain: a foreign host name that resolves to this machine (DNS rebinding), and changes that need no preflight request.

use crate::error::Problem;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use std::net::IpAddr;

/// The browser's own word about the origin of a request; no page can change it.
pub(crate) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a method may change something.
pub(crate) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Accepts only hosts that always mean this machine, or are addresses.
///
/// # Errors
/// 403 for another host name.
pub(crate) fn check_host(headers: &HeaderMap) -> Result<(), Problem> {
    if text(headers, &HOST).is_none_or(is_local) {
        return Ok(());
    }
    refuse("without a token, windlass answers to `localhost` and addresses only, not to other host names; set a token")
}

/// Rejects a change from a web page of another origin. `who` begins the message.
///
/// # Errors
/// 403.
pub(crate) fn check_origin(method: &Method, headers: &HeaderMap, who: &str) -> Result<(), Problem> {
    if !is_change(method) {
        return Ok(());
    }
    let site = text(headers, &FETCH_SITE);
    let is_foreign = matches!(site, Some(site) if !matches!(site, "same-origin" | "none"));
    let is_other_origin = text(headers, &ORIGIN).is_some_and(|origin| {
        let from = origin.split_once("://").map(|(_, authority)| authority);
        // A page that sends no referrer has the origin `null`, also for itself.
        let is_own_without_name = origin == "null" && site == Some("same-origin");
        !is_own_without_name && (from.is_none() || from != text(headers, &HOST))
    });
    if is_foreign || is_other_origin {
        return refuse(&format!("{who}, windlass accepts no changes from web pages of other origins"));
    }
    Ok(())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn refuse(detail: &str) -> Result<(), Problem> {
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
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

    #[test]
    fn only_a_page_of_the_same_origin_changes_something() {
        let is_refused = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(HeaderName::from_static(name), value.parse().expect("a value"));
            }
            assert_eq!(check_origin(&Method::GET, &map, "without a token"), Ok(()), "reading is no change");
            check_origin(&Method::POST, &map, "without a token").is_err()
        };
        let host = ("host", "127.0.0.1:8000");
        for accepted in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:8000")],
            &[host, ("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")],
            &[host, ("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!is_refused(accepted), "{accepted:?}");
        }
        for refused in [
            &[host, ("origin", "null")][..],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("origin", "null"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(is_refused(refused), "{refused:?}");
        }
    }
}
