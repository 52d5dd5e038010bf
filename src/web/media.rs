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

/// How a page shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preview {
    /// As a picture.
    Image,
    /// With a player.
    Audio,
    /// With a player and a screen.
    Video,
    /// Its first part as it is written, whatever language that is in: nothing of it runs.
    Text,
    /// With the browser's own viewer.
    Pdf,
}

/// Ends of names of pictures that browsers show. Not SVG, which is a document with scripts.
const IMAGES: &[&str] = &["avif", "bmp", "gif", "ico", "jpeg", "jpg", "png", "webp"];
const AUDIO: &[&str] = &[
    "aac", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav", "weba",
];
const VIDEOS: &[&str] = &["m4v", "mov", "mp4", "ogv", "webm"];
const TEXTS: &[&str] = &[
    "asc", "bib", "c", "cfg", "cff", "conf", "cpp", "css", "csv", "diff", "go", "h", "htm", "html",
    "ini", "java", "js", "json", "jsonl", "log", "lua", "markdown", "md", "nfo", "patch", "pl",
    "py", "r", "rb", "rs", "rst", "sh", "sha1", "sha256", "sql", "srt", "svg", "tex", "toml",
    "tsv", "txt", "vtt", "xml", "yaml", "yml",
];
/// Whole names of texts.
const NAMED_TEXTS: &[&str] = &[
    "authors",
    "changelog",
    "changes",
    "citation",
    "copying",
    "license",
    "licence",
    "makefile",
    "md5sums",
    "news",
    "notice",
    "readme",
    "sha256sums",
    "todo",
];

impl Preview {
    /// How a file of this name can be shown, if it can.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let Some((_, end)) = name.rsplit_once('.') else {
            return NAMED_TEXTS.contains(&&*name).then_some(Self::Text);
        };
        let kinds = [
            (IMAGES, Self::Image),
            (AUDIO, Self::Audio),
            (VIDEOS, Self::Video),
            (TEXTS, Self::Text),
            (&["pdf"], Self::Pdf),
        ];
        let mut kinds = kinds.into_iter();
        kinds.find_map(|(ends, kind)| ends.contains(&end).then_some(kind))
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
    fn what_is_shown_goes_by_the_end_of_its_name() {
        for (name, preview) in [
            ("a.PNG", Some(Preview::Image)),
            ("a.svg", Some(Preview::Text)),
            ("a.html", Some(Preview::Text)),
            ("README", Some(Preview::Text)),
            ("png", None),
            ("a.flac", Some(Preview::Audio)),
            ("a.tar.webm", Some(Preview::Video)),
            ("a.pdf", Some(Preview::Pdf)),
            ("a.pdf.exe", None),
        ] {
            assert_eq!(Preview::of(name), preview, "{name}");
        }
        // What is loaded as a picture, a sound or a film is what its answer says too.
        for end in [IMAGES, AUDIO, VIDEOS].concat() {
            let kind = media_type(&format!("a.{end}"));
            assert!(is_harmless(&kind), "{end} is {kind}");
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
