//! Follows the redirects that the caller's rule allows.

use http::header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderName, Method};
use reqwest::{Request, Response, Url};
use windlass_core::Origin;
use windlass_core::net::{Reach, RedirectRule, SendError};

/// The most redirects of one request.
pub(crate) const MAX_HOPS: usize = 5;

/// Headers that only the host of the first request receives.
const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The host of an address.
pub(crate) fn origin(url: &Url) -> Option<Origin> {
    Origin::new(url.scheme(), url.host_str().unwrap_or_default(), url.port()).ok()
}

/// The request that follows a redirect, and the addresses that it may reach. `None` if the response is no redirect.
pub(crate) fn next(
    mut request: Request,
    response: &Response,
    rule: &dyn RedirectRule,
) -> Result<Option<(Request, Reach)>, SendError> {
    let location = response.headers().get(LOCATION);
    let Some(location) = location.filter(|_| response.status().is_redirection() && *request.method() == Method::GET)
    else {
        return Ok(None);
    };
    let from = request.url();
    let target = location.to_str().ok().and_then(|location| from.join(location).ok());
    let target = target.and_then(|target| Some((origin(&target)?, target)));
    let Some((host, mut target)) = target else {
        return Err(SendError::Failed("the response is a redirect to an invalid address".to_owned()));
    };
    let refused = |why: &str| SendError::Failed(format!("the redirect to {host} is not followed: {why}"));
    if from.scheme() == "https" && target.scheme() != "https" {
        return Err(refused("it leads from HTTPS to HTTP"));
    }
    let reach = rule.follow(&host).map_err(|why| refused(&why))?;
    // These fail only for addresses without a host.
    let _ = (target.set_username(""), target.set_password(None));
    if origin(from).as_ref() != Some(&host) {
        for secret in &SECRETS {
            request.headers_mut().remove(secret);
        }
    }
    *request.url_mut() = target;
    Ok(Some((request, reach)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that follows every redirect.
    struct Everywhere;

    impl RedirectRule for Everywhere {
        fn follow(&self, _: &Origin) -> Result<Reach, String> {
            Ok(Reach::Public)
        }
    }

    /// The address that a redirect leads to.
    fn led(from: &str, to: &str) -> Result<Option<String>, String> {
        let request = Request::new(Method::GET, from.parse().expect("an address"));
        let response = http::Response::builder().status(302).header(LOCATION, to).body("").expect("a response");
        let next = next(request, &response.into(), &Everywhere).map_err(|error| error.to_string())?;
        Ok(next.map(|(request, _)| request.url().to_string()))
    }

    #[test]
    fn no_rule_leads_from_https_to_http() {
        let refused = led("https://a.example/", "http://b.example/").expect_err("it is not encrypted");
        assert!(refused.ends_with("http://b.example:80 is not followed: it leads from HTTPS to HTTP"), "{refused}");
        for (from, to) in [("https://a.example/", "https://b.example/x"), ("http://a.example/", "http://b.example/x")] {
            assert_eq!(led(from, to), Ok(Some(to.to_owned())));
        }
    }
}
