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
