//! The style sheet, and the files of the page: the script and the icon, served from memory. The digest in a name lets browsers
//! keep the file for ever.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file of the page.
pub(crate) struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = hex::encode(&Sha256::digest(text)[..8]);
        Self { name: format!("{stem}.{digest}.{extension}"), kind, text }
    }

    /// Its path.
    pub(crate) fn path(&self) -> String {
        format!("/ui/assets/{}", self.name)
    }
}

/// The style sheet. It is a part of each page: a browser paints nothing before it has the style, and a file of its own would
/// take a third of the time until the first paint.
pub(crate) const STYLE: &str = include_str!("../assets/page.css");

/// The style sheet as a source of a content policy: this text, and no other style in a page.
pub(crate) fn style_source() -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)))
}

/// The script.
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "js", "text/javascript; charset=utf-8", include_str!("../assets/page.js")));
/// The icon.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

/// `GET /ui/assets/{file}`.
pub(crate) async fn serve(Path(file): Path<String>) -> Response {
    match [&*SCRIPT, &*ICON].into_iter().find(|asset| asset.name == file) {
        Some(asset) => {
            let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.text).into_response()
        }
        // Another version of Windlass had it: the page that names it is outdated.
        None => {
            (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "no-store")], "no such file; reload the page\n").into_response()
        }
    }
}
