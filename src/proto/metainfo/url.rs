//! Which URLs of a torrent or magnet link are kept, and what a reader is told of those that are not.

use super::path::FilePath;

/// A URL, at most so many bytes.
const MAX_URL_LENGTH: usize = 2_048;

/// Something odd in a torrent or magnet link that it was read in spite of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A newline follows the torrent.
    #[error("there is a newline after the end")]
    TrailingNewline,
    /// Some dictionary's keys are out of order: programs that encode it again get another info-hash.
    #[error("dictionary keys are not in order, so other programs may see another info-hash")]
    UnsortedKeys,
    /// A URL of a scheme that is never opened, or no URL at all.
    #[error(
        "the URL {url:?} in `{field}` is left out: trackers are http, https, udp, ws or wss, and web seeds http or https"
    )]
    UrlDropped {
        /// Where it stood.
        field: &'static str,
        /// Its beginning.
        url: String,
    },
    /// Files of several pieces have no hashes in `piece layers` (BEP 52), as in a torrent made of a magnet link.
    #[error(
        "`piece layers` has no hashes for {files} of the files, {path} the first; they have to be asked of peers"
    )]
    LayersMissing {
        /// How many files.
        files: usize,
        /// The first of them.
        path: FilePath,
    },
    /// A field that is not of the type that it must be.
    #[error("`{field}` is not what it should be, and is left out")]
    FieldIgnored {
        /// The field.
        field: &'static str,
    },
}

/// Whether a tracker of this URL would be asked: `http`, `https`, `udp`, `ws` or `wss`, a host, and no spaces.
pub fn is_tracker_url(url: &str) -> bool {
    Purpose::Tracker.accepts(url)
}

/// Whether a web seed of this URL would be asked: `http` or `https`, a host, and no spaces.
pub fn is_web_seed_url(url: &str) -> bool {
    Purpose::WebSeed.accepts(url)
}

/// What a URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Tracker,
    WebSeed,
}

impl Purpose {
    const fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Tracker => &["http", "https", "udp", "ws", "wss"],
            Self::WebSeed => &["http", "https"],
        }
    }

    /// Keeps `url` if it is one that we would open; else there is a warning.
    pub(super) fn check(
        self,
        field: &'static str,
        url: &[u8],
        warnings: &mut Vec<Warning>,
    ) -> Option<String> {
        let text = std::str::from_utf8(url)
            .ok()
            .filter(|url| self.accepts(url));
        if text.is_none() {
            let beginning = url.get(..80).unwrap_or(url);
            warnings.push(Warning::UrlDropped {
                field,
                url: String::from_utf8_lossy(beginning).into_owned(),
            });
        }
        text.map(str::to_owned)
    }

    fn accepts(self, url: &str) -> bool {
        let Some((scheme, rest)) = url.split_once("://") else {
            return false;
        };
        self.schemes()
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme))
            && !rest.is_empty()
            && !rest.starts_with(['/', '?', '#'])
            && url.len() <= MAX_URL_LENGTH
            && !url.chars().any(|c| c.is_whitespace() || c.is_control())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_schemes_that_are_opened() {
        for url in [
            "http://a/announce",
            "HTTPS://a",
            "udp://[::1]:6969",
            "ws://a",
            "wss://a:1/x?y",
        ] {
            assert!(Purpose::Tracker.accepts(url), "{url}");
        }
        assert!(Purpose::WebSeed.accepts("https://a/b c".replace(' ', "%20").as_str()));
    }

    #[test]
    fn drops_others_with_a_warning_that_is_short() {
        let mut warnings = Vec::new();
        for url in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "ftp://a",
            "http://",
            "http:///a",
            "http://a b",
            "http://a\n",
            "",
            "a",
        ] {
            let kept = Purpose::Tracker.check("announce", url.as_bytes(), &mut warnings);
            assert_eq!(kept, None, "{url:?}");
        }
        let long = format!("http://{}", "a".repeat(5_000));
        assert_eq!(
            Purpose::WebSeed.check("url-list", long.as_bytes(), &mut warnings),
            None
        );
        assert_eq!(
            Purpose::WebSeed.check("url-list", b"udp://a", &mut warnings),
            None
        );
        assert_eq!(
            Purpose::WebSeed.check("url-list", b"http://\xff", &mut warnings),
            None
        );
        assert_eq!(warnings.len(), 12);
        assert!(
            warnings
                .iter()
                .all(|warning| warning.to_string().len() < 250)
        );
    }
}
