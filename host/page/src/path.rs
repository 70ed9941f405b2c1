//! Paths of the page and of the API, with the names in them escaped.

use url::form_urlencoded::byte_serialize;

/// A name as one segment of a path, or as a value in a query. No name of a workload, container or policy has a space.
pub(crate) fn segment(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect()
}

/// The page of a workload.
pub(crate) fn workload(name: &str) -> String {
    format!("/ui/workloads/{}", segment(name))
}

/// The page on which other policies are tried for a workload.
pub(crate) fn try_it(name: &str) -> String {
    format!("/ui/try/{}", segment(name))
}

/// A resource of a workload in the API.
pub(crate) fn api_workload(name: &str, resource: &str) -> String {
    format!("/workloads/{}{resource}", segment(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_is_one_segment() {
        assert_eq!(workload("ghcr.io/org/app:1"), "/ui/workloads/ghcr.io%2Forg%2Fapp%3A1");
        assert_eq!(api_workload("a/b?c#d", "/scale"), "/workloads/a%2Fb%3Fc%23d/scale");
        assert_eq!(segment("../x\"<>"), "..%2Fx%22%3C%3E");
    }
}
