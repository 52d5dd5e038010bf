//! What kind of file a name speaks of, and whether a browser may show it: whatever it might run as a page of this site is saved.

use http::HeaderValue;
use mime_guess::{Mime, mime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What an extended parameter may hold as itself (RFC 8187, section 3.2.1: `attr-char`).
const EXTENDED_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The media type that a name speaks of.
pub(super) fn media_type(name: &str) -> Mime {
    let guessed = mime_guess::from_path(name).first_or_octet_stream();
    if guessed == mime::TEXT_PLAIN {
        mime::TEXT_PLAIN_UTF_8
    } else {
        guessed
    }
}

/// Whether a browser shows a file of this type without running anything in it.
fn is_harmless(kind: &Mime) -> bool {
    match (kind.type_(), kind.subtype()) {
        (mime::AUDIO | mime::VIDEO, _) | (mime::TEXT, mime::PLAIN) => true,
        (mime::IMAGE, subtype) => {
            // Not SVG, which is a document with scripts.
            matches!(
                subtype.as_str(),
                "avif" | "bmp" | "gif" | "jpeg" | "png" | "webp" | "x-icon"
            )
        }
        _ => false,
    }
}

/// What makes browsers save an answer under `name`.
pub(super) fn attachment(name: &str) -> HeaderValue {
    disposition(name, &mime::APPLICATION_OCTET_STREAM)
}

/// RFC 6266: the name in plain ASCII for old readers, and in full (RFC 8187) for all others.
pub(super) fn disposition(name: &str, kind: &Mime) -> HeaderValue {
    let how = if is_harmless(kind) {
        "inline"
    } else {
        "attachment"
    };
    // Backslash, quote and percent mislead readers of the plain form, so they do not stand in it.
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let full = utf8_percent_encode(name, EXTENDED_VALUE);
    header_value(&format!(
        "{how}; filename=\"{plain}\"; filename*=UTF-8''{full}"
    ))
}

/// A header value of visible ASCII, which all that comes here is.
pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_as_a_page_is_an_attachment() {
        for name in [
            "a.html",
            "a.HTM",
            "a.xhtml",
            "a.svg",
            "a.xml",
            "a.pdf",
            "a.js",
            "a.mjs",
            "a.css",
            "a.swf",
            "a",
            "a.unknown",
            "a.iso",
            "a.shtml",
            "a.mht",
        ] {
            let kind = media_type(name);
            assert!(
                disposition(name, &kind)
                    .to_str()
                    .unwrap()
                    .starts_with("attachment"),
                "{name} is {kind}"
            );
        }
        for name in ["a.png", "a.jpg", "a.mp4", "a.flac", "a.txt"] {
            let kind = media_type(name);
            assert!(
                disposition(name, &kind)
                    .to_str()
                    .unwrap()
                    .starts_with("inline"),
                "{name} is {kind}"
            );
        }
    }

    #[test]
    fn names_survive_the_header_in_full() {
        assert_eq!(
            disposition("Größe \"1\"\\%.iso", &mime::APPLICATION_OCTET_STREAM),
            "attachment; filename=\"Gr__e _1___.iso\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22%5C%25.iso"
        );
    }
}
