//! The style sheet, the script and the icon, in the binary.
//!
//! Their paths contain their digests, so browsers keep them for as long as they
//! like, and a new version has new paths.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;

use hoth_core::domain::Digest;

/// A file that pages refer to.
pub struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    digest: LazyLock<String>,
}

macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset {
            name: $name,
            media_type: $media_type,
            content: include_str!(concat!("assets/", $name)),
            digest: LazyLock::new(|| {
                Digest::of(include_str!(concat!("assets/", $name)).as_bytes()).short()
            }),
        }
    };
}

pub static STYLE: Asset = asset!("style.css", "text/css; charset=utf-8");
pub static SCRIPT: Asset = asset!("script.js", "text/javascript; charset=utf-8");
pub static ICON: Asset = asset!("icon.svg", "image/svg+xml");

impl Asset {
    /// Returns the path for pages.
    pub fn path(&self) -> String {
        format!("/console/assets/{}/{}", *self.digest, self.name)
    }
}

/// Handles `GET /console/assets/{digest}/{name}`.
pub async fn serve(Path((digest, name)): Path<(String, String)>) -> Response {
    let found = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name);
    match found {
        // A page of another version, whose other files are gone as well.
        Some(asset) if *asset.digest != digest => StatusCode::NOT_FOUND.into_response(),
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.media_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
