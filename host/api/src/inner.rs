//! Requests that the pages for people send to the API within the process, in the name of their caller. So a page neither checks
//! a change nor decides who may make it.

use crate::access::caller::Caller;
use crate::access::web::{CSRF, FETCH_SITE};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, FROM, HOST, HeaderName, ORIGIN};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri};

/// The headers of the caller that a request to the API repeats.
const REPEATED: [HeaderName; 6] = [AUTHORIZATION, COOKIE, FROM, HOST, ORIGIN, FETCH_SITE];

/// The caller of a page, as the API knows it: an extension of every request to a page.
#[derive(Debug, Clone, Default)]
pub struct Inner {
    /// The extensions before routing, because the parameters of the page's path are not those of the API's.
    extensions: Extensions,
    headers: HeaderMap,
}

impl Inner {
    fn of<B>(request: &Request<B>) -> Self {
        let repeated =
            REPEATED.into_iter().filter_map(|name| Some((name.clone(), request.headers().get(name)?.clone())));
        let mut headers: HeaderMap = repeated.collect();
        // The guard has checked the token of the form, except that of an upload, which checks it itself.
        let csrf = request.extensions().get::<Caller>().and_then(Caller::csrf);
        if let Some(csrf) = csrf.and_then(|csrf| HeaderValue::from_str(csrf).ok()) {
            headers.insert(CSRF, csrf);
        }
        Self { extensions: request.extensions().clone(), headers }
    }

    /// A request of this caller to the API.
    pub fn request(&self, method: Method, uri: Uri, kind: &'static str, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.extensions_mut().clone_from(&self.extensions);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        request
    }
}

/// The path at which the page takes a component in a form.
pub const PAGE_UPLOAD: &str = "/ui/policies";

/// Whether a path is that of a page.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with("/ui/")
}

/// Keeps the caller of a page for the requests of the page, before routing.
pub(crate) fn keep<B>(mut request: Request<B>) -> Request<B> {
    if is_page(request.uri().path()) {
        let inner = Inner::of(&request);
        request.extensions_mut().insert(inner);
    }
    request
}
