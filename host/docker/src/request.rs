//! The final change to each request before it is sent.

use bollard::BollardRequest;
use http::HeaderValue;
use http::header::USER_AGENT;

/// Sets the `User-Agent`, adds the negotiated API version to the path, and re-encodes registry credentials.
///
/// bollard omits the version. It also encodes credentials in the base64 alphabet of RFC 4648 section 4, while engines
/// expect that of section 5 and treat credentials they cannot decode as absent.
pub(crate) fn prepare(mut request: BollardRequest, api_minor: usize) -> BollardRequest {
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION"))));
    if let Some(credentials) = request.headers_mut().get_mut("X-Registry-Auth") {
        let translated: Vec<u8> = credentials
            .as_bytes()
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut value) = HeaderValue::from_bytes(&translated) {
            value.set_sensitive(true);
            *credentials = value;
        }
    }
    if api_minor > 0 {
        let mut parts = request.uri().clone().into_parts();
        let versioned = parts.path_and_query.as_ref().map(|path| format!("/v1.{api_minor}{path}"));
        if let Some(Ok(path)) = versioned.map(|text| text.parse()) {
            parts.path_and_query = Some(path);
            if let Ok(uri) = http::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn requests_bear_the_version_and_credentials_engines_can_read() {
        let body = bollard::body_full(Bytes::new());
        let request = http::Request::builder()
            .uri("unix://2f/containers/json?all=true")
            .header("X-Registry-Auth", "a+b/c=")
            .body(body)
            .unwrap();
        let request = prepare(request, 41);
        assert_eq!(request.uri(), "unix://2f/v1.41/containers/json?all=true");
        assert_eq!(request.headers()["X-Registry-Auth"], "a-b_c=");
        let untouched = http::Request::builder().uri("unix://2f/_ping").body(bollard::body_full(Bytes::new())).unwrap();
        assert_eq!(prepare(untouched, 0).uri(), "unix://2f/_ping");
    }
}
