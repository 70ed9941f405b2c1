//! Accepts keys of workloads with slashes in paths: folds the text between `/workloads/` or `/images/` and the name of a
//! resource into one segment, so that `/images/ghcr.io/org/app:1/scale` is routed as
//! `/images/ghcr.io%2Forg%2Fapp:1/scale`.
//!
//! If the last segment of a raw path is the name of a resource, the path addresses that resource of the image before it.
//! Any other path addresses the image itself. So an image whose own last part is such a name (`ghcr.io/org/health`) is
//! addressed with its slashes written as `%2F`; escapes are neither decoded nor encoded twice here. No path of this API
//! and no image reference ends in a slash, so a path that does is left as it is, and not found.

use axum::http::{Request, Uri};

/// The beginnings of the paths of workloads.
const BEGINNINGS: [&str; 2] = ["/workloads/", "/images/"];

/// Rewrites the path of a request, for [`tower::util::MapRequestLayer`] around the router. `resources` are the names of
/// the resources of a workload.
pub(crate) fn fold_key<B>(mut request: Request<B>, resources: &[String]) -> Request<B> {
    if let Some(uri) = folded(request.uri(), resources) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI with its key in one segment; `None` if it needs no change.
fn folded(uri: &Uri, resources: &[String]) -> Option<Uri> {
    let path = folded_path(uri.path(), resources)?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    // With `%2F` in place of `/` a valid path stays valid, unless it became too long.
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn folded_path(path: &str, resources: &[String]) -> Option<String> {
    let (beginning, rest) = BEGINNINGS.iter().find_map(|beginning| Some((beginning, path.strip_prefix(beginning)?)))?;
    let (before, last) = rest.rsplit_once('/')?;
    if last.is_empty() {
        return None;
    }
    if resources.iter().any(|resource| resource == last) {
        before.contains('/').then(|| format!("{beginning}{}/{last}", before.replace('/', "%2F")))
    } else {
        Some(format!("{beginning}{}", rest.replace('/', "%2F")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold(uri: &str) -> String {
        let request = Request::builder().uri(uri).body(()).expect("a valid URI");
        let resources = ["containers", "decisions", "health", "reconcile", "scale"].map(str::to_owned);
        fold_key(request, &resources).uri().to_string()
    }

    #[test]
    fn slashes_of_an_image_become_one_segment() {
        for (raw, routed) in [
            ("/images/ghcr.io/org/app:1/scale", "/images/ghcr.io%2Forg%2Fapp:1/scale"),
            ("/images/org/app/decisions?limit=5", "/images/org%2Fapp/decisions?limit=5"),
            ("/images/ghcr.io/org/app:1", "/images/ghcr.io%2Forg%2Fapp:1"),
            ("/images/ghcr.io%2Forg/app:1/health", "/images/ghcr.io%2Forg%2Fapp:1/health"),
            ("/images/a/b@sha256:00/containers", "/images/a%2Fb@sha256:00/containers"),
            ("http://host:1/images/a/b/scale?x=/y", "http://host:1/images/a%2Fb/scale?x=/y"),
            ("/images/127.0.0.1:5000/a/b/reconcile", "/images/127.0.0.1:5000%2Fa%2Fb/reconcile"),
            ("/workloads/ghcr.io/org/app:1/scale", "/workloads/ghcr.io%2Forg%2Fapp:1/scale"),
            ("/workloads/ghcr.io/org/app:1", "/workloads/ghcr.io%2Forg%2Fapp:1"),
        ] {
            assert_eq!(fold(raw), routed);
        }
    }

    #[test]
    fn paths_that_need_nothing_are_left_alone() {
        for path in [
            "/images",
            "/images/",
            "/images/nginx:alpine",
            "/images/nginx:alpine/scale",
            "/images/ghcr.io%2Forg%2Fapp:1/scale",
            "/images/ghcr.io%2Forg%2Fapp:1",
            "/containers/a/b",
            "/images/nginx/scale/",
            "/workloads",
            "/workloads/shop-web/scale",
            "/images/a/b/",
            "*",
        ] {
            assert_eq!(fold(path), path);
        }
    }

    #[test]
    fn an_image_named_like_a_resource_is_reached_percent_encoded() {
        // Raw, the last word is the resource.
        assert_eq!(fold("/images/ghcr.io/org/health"), "/images/ghcr.io%2Forg/health");
        // Encoded, it is the image; and the image's resource of the same name.
        assert_eq!(fold("/images/ghcr.io%2Forg%2Fhealth"), "/images/ghcr.io%2Forg%2Fhealth");
        assert_eq!(fold("/images/ghcr.io/org/health/health"), "/images/ghcr.io%2Forg%2Fhealth/health");
        // One word alone is an image, a word with a tag is no resource.
        assert_eq!(fold("/images/health"), "/images/health");
        assert_eq!(fold("/images/org/health:1"), "/images/org%2Fhealth:1");
    }

    #[test]
    fn escapes_are_neither_undone_nor_doubled() {
        assert_eq!(fold("/images/a%252Fb/c/scale"), "/images/a%252Fb%2Fc/scale");
        assert_eq!(fold("/images/a%zz/c/scale"), "/images/a%zz%2Fc/scale");
        assert_eq!(fold("/images/a//b/scale"), "/images/a%2F%2Fb/scale");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(path in "/(images|workloads)/[a-z%/.:@]{0,24}") {
            if let Ok(uri) = path.parse::<Uri>() {
                let once = fold(&uri.to_string());
                prop_assert_eq!(fold(&once), once.clone());
            }
        }
    }
}
