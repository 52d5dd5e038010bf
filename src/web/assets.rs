//! The style sheet, the scripts and the icon, embedded in the program.
//!
//! Their names carry a hash of their content, so browsers keep them for ever and still see every change.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

use super::error::WebError;

/// A file that comes with the program.
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(bytes));
        let hash = hash.get(..12).unwrap_or_default();
        Self {
            path: format!("/static/{stem}.{hash}.{extension}"),
            kind,
            bytes,
        }
    }
}

/// How every page looks.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../static/style.css");
    Asset::new("style", "css", "text/css; charset=utf-8", bytes)
});

/// What makes pages handier where scripts run.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../static/script.js");
    Asset::new("script", "js", "text/javascript; charset=utf-8", bytes)
});

/// What makes the publish page send files one by one, and go on after an interruption.
pub(super) static PUBLISH: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../static/publish.js");
    Asset::new("publish", "js", "text/javascript; charset=utf-8", bytes)
});

/// tus-js-client 4.3.1, as it is published; its licence lies beside it.
pub(super) static TUS: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../static/tus-js-client/tus.min.js");
    Asset::new("tus", "js", "text/javascript; charset=utf-8", bytes)
});

/// The icon.
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let bytes = include_bytes!("../../static/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", bytes)
});

/// Serves one of them.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, WebError> {
    let assets = [&*STYLE, &*SCRIPT, &*PUBLISH, &*TUS, &*ICON];
    let asset = assets
        .into_iter()
        .find(|asset| asset.path.strip_prefix("/static/") == Some(name.as_str()))
        .ok_or_else(|| WebError::NotFound("There is no such file.".to_owned()))?;
    let headers = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.bytes).into_response())
}

/// Browsers ask for it by this name where a page names no icon, such as beside a download.
pub(super) async fn favicon() -> Redirect {
    Redirect::temporary(&ICON.path)
}
