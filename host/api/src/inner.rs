//! Requests that the pages for people send to the API within the process, in the name of their caller. So a page neither checks
//! a change nor decides who may make it.

use crate::access::guard::CSRF;
use crate::access::sessions::BACKGROUND;
use crate::access::web::FETCH_SITE;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, FROM, HOST, HeaderName, ORIGIN};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;

/// The headers of the caller that a request to the API repeats.
const REPEATED: [HeaderName; 7] = [AUTHORIZATION, COOKIE, FROM, HOST, ORIGIN, FETCH_SITE, BACKGROUND];

/// The caller of a page, as the API knows it: an extension of every request to a page.
#[derive(Debug, Clone, Default)]
pub struct Inner {
    /// The extensions before routing, because the parameters of the page's path are not those of the API's.
    extensions: Extensions,
    headers: HeaderMap,
}

impl Inner {
    fn of(request: &Request) -> Self {
        let repeated =
            REPEATED.into_iter().filter_map(|name| Some((name.clone(), request.headers().get(name)?.clone())));
        Self { extensions: request.extensions().clone(), headers: repeated.collect() }
    }

    /// A request of this caller to the API. `csrf` is the CSRF token of its session.
    pub fn request(&self, method: Method, uri: Uri, kind: &'static str, csrf: Option<&str>, body: Body) -> Request {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.extensions_mut().clone_from(&self.extensions);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // A text that is no value of a header is no CSRF token either.
        if let Some(csrf) = csrf.and_then(|csrf| HeaderValue::from_str(csrf).ok()) {
            request.headers_mut().insert(CSRF, csrf);
        }
        request
    }
}

/// A service that has pages: each of its requests gets the extension [`Inner`].
pub fn with_inner(service: Router) -> Router {
    let keep = MapRequestLayer::new(|mut request: Request| {
        let inner = Inner::of(&request);
        request.extensions_mut().insert(inner);
        request
    });
    Router::new().fallback_service(ServiceBuilder::new().layer(keep).service(service))
}
