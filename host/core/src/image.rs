//! Image references: `name`, `name:tag`, `registry/path/name:tag`, `name@sha256:…`.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The registry of a reference without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Longest name in bytes, with the registry, as the registries' own grammar limits it.
const MAX_NAME: usize = 255;

/// A checked image reference, as the user wrote it. [`ImageRef::is_same`] says whether two of them lead to the same image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageRef(String);

impl ImageRef {
    /// A reference read from storage, unchecked: an earlier version accepted more.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reference in full: `docker.io/library/nginx:latest` for `nginx`. References that lead to the same image are
    /// equal in this form.
    pub fn canonical(&self) -> String {
        let Parts { tag, digest, .. } = Parts::of(&self.0);
        match digest {
            Some(digest) => format!("{}@{digest}", self.repository()),
            None => format!("{}:{}", self.repository(), tag.unwrap_or("latest")),
        }
    }

    /// The repository in full, without tag and digest: `docker.io/library/nginx` for `nginx:1`.
    pub fn repository(&self) -> String {
        let Parts { registry, path, .. } = Parts::of(&self.0);
        let registry = match registry {
            None | Some("index.docker.io") => DEFAULT_REGISTRY,
            Some(registry) => registry,
        };
        let library = if registry == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
        format!("{registry}/{library}{path}")
    }

    /// Whether another reference leads to the same image.
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.canonical() == other.canonical()
    }

    /// The last component of the path, without tag and digest: `app` for `ghcr.io/org/app:1`.
    pub fn short_name(&self) -> &str {
        let path = self.0.split('@').next().unwrap_or(&self.0);
        let last = path.rsplit('/').next().unwrap_or(path);
        last.split(':').next().unwrap_or(last)
    }
}

/// The parts of a reference.
struct Parts<'a> {
    registry: Option<&'a str>,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let last_slash = named.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match named[last_slash..].find(':') {
            Some(colon) => (&named[..last_slash + colon], Some(&named[last_slash + colon + 1..])),
            None => (named, None),
        };
        // The first component is a registry if it looks like a host.
        let is_host = |first: &str| first == "localhost" || first.contains(['.', ':']);
        match name.split_once('/').filter(|(first, _)| is_host(first)) {
            Some((registry, path)) => Self { registry: Some(registry), path, tag, digest },
            None => Self { registry: None, path: name, tag, digest },
        }
    }
}

/// Whether a text is a registry: a host name, an IPv4 address or `[…]`, with a port if need be.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_label = |label: &str| {
        let is_edge = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(is_edge)
            && label.ends_with(is_edge)
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    is_host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a text is a component of a path: lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(is_plain).filter(|between| !between.is_empty());
    text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && separators.into_iter().all(|it| matches!(it, "." | "_" | "__") || it.bytes().all(|b| b == b'-'))
}

impl FromStr for ImageRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| {
            Err(Invalid::new(format!(
                "`{}` is not an image reference: {why}; expected `[registry/]name[:tag][@sha256:digest]`",
                text.escape_debug()
            )))
        };
        if text.is_empty() {
            return invalid("it is empty");
        }
        let Parts { registry, path, tag, digest } = Parts::of(text);
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                return invalid("the digest is not `sha256:` and 64 lower-case hexadecimal digits");
            }
        }
        if let Some(tag) = tag {
            let valid = !tag.is_empty()
                && tag.len() <= 128
                && !tag.starts_with(['.', '-'])
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
            if !valid {
                return invalid("the tag is not 1 to 128 letters, digits, `_`, `.` or `-`");
            }
        }
        if registry.is_some_and(|registry| !is_registry(registry)) {
            return invalid("the registry is not a host name");
        }
        if !path.split('/').all(is_component) {
            return invalid(
                "each part of the name is lower-case letters and digits, joined by `.`, `_`, `__` or hyphens",
            );
        }
        if registry.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
            return invalid("64 hexadecimal digits are the identifier of an image, not its name");
        }
        let library = if path.contains('/') { "" } else { "library/" };
        let prefix = registry.map_or(DEFAULT_REGISTRY.len() + library.len(), str::len);
        let length = prefix + 1 + path.len();
        if length > MAX_NAME {
            return Err(Invalid::new(format!(
                "the name of an image has at most {MAX_NAME} bytes with its registry, this one has {length}"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_every_shape_are_kept_as_written() {
        let digest = format!("app@sha256:{}", "0a".repeat(32));
        for text in [
            "nginx",
            "nginx:alpine",
            "library/nginx:1.27",
            "ghcr.io/org/app:1",
            "localhost/app",
            "127.0.0.1:5000/team/app:v1.2_3",
            "my--app",
            "my__app",
            "[::1]:5000/app",
            "My-Registry.example:443/app",
            &"a".repeat(237),
            &digest,
        ] {
            assert_eq!(text.parse::<ImageRef>().map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_no_engine_would_take_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("Nginx", "lower-case"),
            ("nginx:", "tag"),
            ("nginx:-a", "tag"),
            ("a//b", "lower-case"),
            ("a b", "lower-case"),
            ("../etc", "registry"),
            ("a.b./etc", "registry"),
            ("app@sha256:12", "digest"),
            ("app\n", "lower-case"),
            ("a..b", "lower-case"),
            ("a._b", "lower-case"),
            ("a___b", "lower-case"),
            ("a-_b", "lower-case"),
            ("a:1:2", "tag"),
            ("host:port/app", "registry"),
            ("a_b.c/app", "registry"),
            ("a..b/app", "registry"),
            ("[::1/app", "registry"),
            (&"0a".repeat(32), "identifier"),
            (&"a".repeat(238), "at most 255 bytes with its registry, this one has 256"),
            (&format!("ghcr.io/{}", "a".repeat(248)), "this one has 256"),
            (&format!("app:{}", "a".repeat(129)), "tag"),
        ] {
            let refused = text.parse::<ImageRef>().expect_err(text);
            assert!(refused.0.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn one_image_has_one_form_however_it_is_written() {
        let full = |text: &str| text.parse::<ImageRef>().map(|image| image.canonical());
        for text in
            ["nginx", "nginx:latest", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx:latest"]
        {
            assert_eq!(full(text).as_deref(), Ok("docker.io/library/nginx:latest"), "{text}");
        }
        assert_eq!(full("org/app:1").as_deref(), Ok("docker.io/org/app:1"));
        assert_eq!(full("localhost/app").as_deref(), Ok("localhost/app:latest"));
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(full(&format!("app:1@{digest}")), Ok(format!("docker.io/library/app@{digest}")));
        let image = |text: &str| text.parse::<ImageRef>().expect(text);
        assert!(image("docker.io/library/x").is_same(&image("x")) && !image("x:1").is_same(&image("x")));
    }

    #[test]
    fn a_reference_that_an_earlier_version_stored_is_read() {
        let stored: ImageRef = serde_json::from_str("\"a..b\"").expect("stored");
        assert_eq!((stored.as_str(), stored.canonical().as_str()), ("a..b", "docker.io/library/a..b:latest"));
    }

    #[test]
    fn the_short_name_is_the_last_part_without_tag_and_digest() {
        let short = |text: &str| text.parse::<ImageRef>().map(|image| image.short_name().to_owned());
        assert_eq!(short("ghcr.io/org/app:1"), Ok("app".to_owned()));
        assert_eq!(short("127.0.0.1:5000/app"), Ok("app".to_owned()));
        assert_eq!(short("nginx"), Ok("nginx".to_owned()));
    }
}
