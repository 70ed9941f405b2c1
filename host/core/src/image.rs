//! Image references: `name`, `name:tag`, `registry/path/name:tag`, `name@sha256:…`.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest accepted reference in bytes. The engine itself limits a name to 255 bytes; a tag adds 128, a digest up to
/// 136.
const MAX_LENGTH: usize = 512;

/// A checked image reference, as the user wrote it: `nginx` and `nginx:latest` are different.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(String);

impl ImageRef {
    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component of the path, without tag and digest: `app` for `ghcr.io/org/app:1`.
    pub fn short_name(&self) -> &str {
        let path = self.0.split('@').next().unwrap_or(&self.0);
        let last = path.rsplit('/').next().unwrap_or(path);
        last.split(':').next().unwrap_or(last)
    }
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
        if text.len() > MAX_LENGTH {
            return Err(Invalid::new(format!(
                "an image reference has at most {MAX_LENGTH} bytes, this one has {}",
                text.len()
            )));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                return invalid("the digest is not `sha256:` and 64 lower-case hexadecimal digits");
            }
        }
        let last_slash = named.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match named[last_slash..].rfind(':') {
            Some(colon) => (&named[..last_slash + colon], Some(&named[last_slash + colon + 1..])),
            None => (named, None),
        };
        if let Some(tag) = tag {
            let valid = !tag.is_empty()
                && tag.len() <= 128
                && !tag.starts_with(['.', '-'])
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
            if !valid {
                return invalid("the tag is not 1 to 128 letters, digits, `_`, `.` or `-`");
            }
        }
        let mut components: Vec<&str> = path.split('/').collect();
        // The first component is a registry if it looks like a host. A registry may have a port and capital letters.
        if components.len() > 1 {
            let first = components[0];
            if first == "localhost" || first.contains(['.', ':']) {
                let valid = first.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                    && first.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ']')
                    && first
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'));
                if !valid {
                    return invalid("the registry is not a host name");
                }
                components.remove(0);
            }
        }
        let component_is_valid = |component: &str| {
            !component.is_empty()
                && component.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && component.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && component
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
        };
        if !components.iter().all(|component| component_is_valid(component)) {
            return invalid("each part of the name is lower-case letters and digits, joined by `.`, `_` or `-`");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ImageRef {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
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
        ] {
            let refused = text.parse::<ImageRef>().expect_err(text);
            assert!(refused.0.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn the_short_name_is_the_last_part_without_tag_and_digest() {
        let short = |text: &str| text.parse::<ImageRef>().map(|image| image.short_name().to_owned());
        assert_eq!(short("ghcr.io/org/app:1"), Ok("app".to_owned()));
        assert_eq!(short("127.0.0.1:5000/app"), Ok("app".to_owned()));
        assert_eq!(short("nginx"), Ok("nginx".to_owned()));
    }
}
