//! The paths that the tracker is asked under: `/announce` and `/scrape`, and the same behind an account's passkey (BEP 27).

use crate::domain::passkey::Passkey;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// To join, stay in or leave a swarm.
    Announce,
    /// Swarms in numbers (BEP 48).
    Scrape,
}

/// A path of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The passkey in front of it; `None` where there is none, or what stands there cannot be one.
    pub passkey: Option<Passkey>,
}

impl Route {
    /// Reads a path; `None` where it is not the tracker's.
    pub fn of(path: &str) -> Option<Self> {
        let (before, last) = path.rsplit_once('/')?;
        let endpoint = match last {
            "announce" => Endpoint::Announce,
            "scrape" => Endpoint::Scrape,
            _ => return None,
        };
        let passkey = match before.strip_prefix('/') {
            None if before.is_empty() => None,
            Some(segment) if !segment.is_empty() && !segment.contains('/') => segment.parse().ok(),
            _ => return None,
        };
        Some(Self { endpoint, passkey })
    }

    /// Whether a path begins with what can be a passkey, whatever follows it.
    pub fn shows_passkey(path: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        first.parse::<Passkey>().is_ok()
    }

    /// Reads the path and query that an announce over UDP brings along (BEP 41).
    pub fn of_url_data(data: &[u8]) -> Option<Self> {
        let path = data.split(|byte| *byte == b'?').next()?;
        Self::of(std::str::from_utf8(path).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn a_passkey_may_stand_before_both() {
        for (path, endpoint, has_passkey) in [
            ("/announce", Endpoint::Announce, false),
            ("/scrape", Endpoint::Scrape, false),
            (&format!("/{TEXT}/announce"), Endpoint::Announce, true),
            (&format!("/{TEXT}/scrape"), Endpoint::Scrape, true),
            ("/not-a-passkey/announce", Endpoint::Announce, false),
        ] {
            let passkey = has_passkey.then(|| TEXT.parse().unwrap());
            assert_eq!(Route::of(path), Some(Route { endpoint, passkey }), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_the_trackers() {
        for path in [
            "/",
            "",
            "announce",
            "/announce/",
            "/announced",
            "//announce",
            "x/announce",
            &format!("/a/{TEXT}/announce"),
            &format!("/{TEXT}"),
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_passkey_is_seen_whatever_follows_it() {
        for rest in ["", "/", "/announce/more", "/x"] {
            assert!(Route::shows_passkey(&format!("/{TEXT}{rest}")), "{rest}");
        }
        for path in ["/", "", "/announce", "/p/abcdefghij"] {
            assert!(!Route::shows_passkey(path), "{path}");
        }
    }

    #[test]
    fn url_data_is_a_path_and_perhaps_a_query() {
        let data = format!("/{TEXT}/announce?x=/scrape");
        let route = Route::of_url_data(data.as_bytes()).unwrap();
        assert_eq!(route.passkey, TEXT.parse().ok());
        assert_eq!(route.endpoint, Endpoint::Announce);
        for data in [&b""[..], b"\xff/announce", b"?/announce"] {
            assert_eq!(Route::of_url_data(data), None);
        }
    }
}
