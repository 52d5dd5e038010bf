//! `SHA256SUMS`: the SHA-256 of every file of a publication, as `sha256sum -c` reads it where the content lies beside it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use mime_guess::mime;

use super::conditions::{Begun, begin};
use super::error::WebError;
use super::media::{attachment, header_value};
use super::shelf::Shelved;

/// The name of the list, beside the content.
pub(super) const NAME: &str = "SHA256SUMS";

/// Lines in a frame: a list of a hundred thousand does not lie in memory as a whole.
const LINES: usize = 256;

/// Answers with the list of a publication. It is short, so there is none but the whole of it.
pub(super) fn list(
    shelved: Arc<Shelved>,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, WebError> {
    let length = frames(&shelved).map(|frame| frame.len() as u64).sum();
    let etag = format!("\"{}-{NAME}\"", shelved.publication.id);
    let mut asked = asked.clone();
    asked.remove(http::header::RANGE);
    let mut response = match begin(method, &asked, &etag, length)? {
        Begun::Done(response) | Begun::Bytes(response, _) => response,
    };
    let headers = response.headers_mut();
    headers.insert(
        http::header::ACCEPT_RANGES,
        HeaderValue::from_static("none"),
    );
    headers.insert(CONTENT_TYPE, header_value(mime::TEXT_PLAIN_UTF_8.as_ref()));
    headers.insert(CONTENT_DISPOSITION, attachment(NAME));
    let has_body = method == Method::GET && response.status() == http::StatusCode::OK;
    if has_body {
        let frames = (0_usize..).map(move |frame| lines(&shelved, frame * LINES));
        let frames = frames.take_while(|frame| !frame.is_empty());
        let frames = frames.map(|frame| Ok::<_, std::convert::Infallible>(Bytes::from(frame)));
        *response.body_mut() = Body::from_stream(stream::iter(frames));
    }
    Ok(response)
}

fn frames(shelved: &Shelved) -> impl Iterator<Item = String> {
    let frames = (0_usize..).map(|frame| lines(shelved, frame * LINES));
    frames.take_while(|frame| !frame.is_empty())
}

/// [`LINES`] lines, from that of the file at `first` on.
fn lines(shelved: &Shelved, first: usize) -> String {
    let mut out = String::new();
    for file in shelved.publication.files.iter().skip(first).take(LINES) {
        line(&mut out, &file.sha256, &shelved.download_path(file));
    }
    out
}

/// A line as coreutils write it: where a name has characters that would break it, they are escaped, and a backslash in front says so.
fn line(out: &mut String, sha256: &[u8; 32], name: &str) {
    let is_odd = name.contains(['\\', '\n', '\r']);
    let escaped = is_odd.then(|| {
        let name = name.replace('\\', "\\\\").replace('\n', "\\n");
        name.replace('\r', "\\r")
    });
    let mark = if is_odd { "\\" } else { "" };
    let name = escaped.as_deref().unwrap_or(name);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{mark}{}  {name}", HEXLOWER.encode(sha256));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::web::testing::{folder, single_file};

    #[test]
    fn coreutils_read_odd_names() {
        let place = tempfile::tempdir().unwrap();
        let mut list = String::new();
        for name in ["plain.txt", " two  spaces", "*star", "a\nb\\c\rd", "größe"] {
            std::fs::write(place.path().join(name), name).unwrap();
            line(&mut list, &Sha256::digest(name).into(), name);
        }
        let checking = Command::new("sha256sum")
            .args(["--check", "--strict"])
            .current_dir(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut checking = checking.unwrap();
        let mut stdin = checking.stdin.take().unwrap();
        stdin.write_all(list.as_bytes()).unwrap();
        drop(stdin);
        let checked = checking.wait_with_output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(checked.stdout.split(|byte| *byte == b'\n').count(), 6);
    }

    #[test]
    fn names_are_those_of_the_download() {
        let box_ = Shelved::new(folder("box", &[("a/b.txt", 1)]));
        assert!(lines(&box_, 0).ends_with("07  box/a/b.txt\n"));
        let only = Shelved::new(single_file("a.iso", 1));
        assert!(lines(&only, 0).ends_with("07  a.iso\n"));
        assert_eq!(lines(&only, LINES), "");
    }
}
