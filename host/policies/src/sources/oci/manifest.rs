//! Parses manifests and indexes.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde_json::Value;

/// Media type of the component's layer in the CNCF's layout.
pub(super) const LAYER: &str = "application/wasm";

/// Media type of an artifact's manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Size of the largest accepted manifest in bytes.
pub(super) const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// The layer with the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) digest: String,
    /// The size in bytes that the manifest states.
    pub(super) size: u64,
}

/// A parsed manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// The manifest of one artifact: its layer with the component, or why it has none.
    Image(Result<Layer, String>),
    /// The digests of the artifacts' manifests in an index. Entries of other types are left out.
    Index(Vec<String>),
}

/// Parses a document.
///
/// # Errors
/// If it is neither a manifest nor an index.
pub(super) fn parse(raw: &[u8]) -> Result<Manifest, String> {
    let unreadable = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
    let value: Value = serde_json::from_slice(raw).map_err(unreadable)?;
    if value.get("manifests").is_none() {
        let manifest: ImageManifest = serde_json::from_value(value).map_err(unreadable)?;
        return Ok(Manifest::Image(layer(&manifest)));
    }
    let index: ImageIndex = serde_json::from_value(value).map_err(unreadable)?;
    let artifacts = index.manifests().iter().filter(|entry| entry.media_type().to_string() == MANIFEST);
    Ok(Manifest::Index(artifacts.map(digest).collect::<Result<_, _>>()?))
}

fn layer(manifest: &ImageManifest) -> Result<Layer, String> {
    let [layer] = manifest.layers().as_slice() else {
        return Err(format!("it has {} layers; a policy has one, of type {LAYER}", manifest.layers().len()));
    };
    let media_type = layer.media_type().to_string();
    if media_type != LAYER {
        return Err(format!("its layer is of type `{}`; a policy's is `{LAYER}`", media_type.escape_debug()));
    }
    Ok(Layer { digest: digest(layer)?, size: layer.size() })
}

/// A digest becomes a part of a path, and is compared with the received bytes.
fn digest(descriptor: &Descriptor) -> Result<String, String> {
    let digest = descriptor.digest().to_string();
    let is_sha256 = digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    if is_sha256 {
        return Ok(digest);
    }
    Err(format!("its manifest names the digest `{}`; expected `sha256:` and 64 digits", digest.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(value: &Value) -> Result<Manifest, String> {
        parse(value.to_string().as_bytes())
    }

    fn image(digest: &str, size: i64) -> Value {
        let config = json!({"mediaType": "application/vnd.wasm.config.v0+json", "size": 2, "digest": format!("sha256:{}", "0".repeat(64))});
        json!({"schemaVersion": 2, "config": config, "layers": [{"mediaType": LAYER, "size": size, "digest": digest}]})
    }

    #[test]
    fn a_digest_is_no_way_to_another_path() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let layer = Layer { digest: digest.clone(), size: 7 };
        assert_eq!(parsed(&image(&digest, 7)), Ok(Manifest::Image(Ok(layer))));
        for digest in ["sha256:../../v2/other", "sha512:ab", "sha256:", "/etc", ""] {
            let found = parsed(&image(digest, 7));
            assert!(!matches!(found, Ok(Manifest::Image(Ok(_)))), "{digest}: {found:?}");
            let entry = json!({"mediaType": MANIFEST, "size": 1, "digest": digest});
            let index = parsed(&json!({"schemaVersion": 2, "manifests": [entry]}));
            assert!(index.is_err(), "{digest}: {index:?}");
        }
        assert!(parsed(&image(&digest, -1)).is_err());
        assert!(parsed(&json!([])).is_err());
    }
}
