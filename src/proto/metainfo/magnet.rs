//! Magnet links (BEP 9 "magnet URI format", BEP 52 for `btmh`, BEP 53 for `so`).

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use data_encoding::BASE32;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::url::{Purpose, Warning};
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};

/// Bytes in a magnet link, at most.
pub const MAX_MAGNET_LENGTH: usize = 64 << 10;

/// All that RFC 3986 section 2.3 does not call unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for an address. libtorrent does not decode those, so `[::1]:6881` has to stay as it is.
const ESCAPED_IN_ADDRESS: &AsciiSet = &ESCAPED.remove(b':').remove(b'[').remove(b']');

/// The multihash prefix of a SHA-256: its code, and its 32 bytes (BEP 52).
const SHA256_MULTIHASH: &str = "1220";

/// What a magnet link says. Displays as the link.
///
/// ```
/// # use sower::proto::{id::{InfoHash, InfoHashes}, metainfo::magnet::Magnet};
/// let mut magnet = Magnet::new(InfoHashes::V1(InfoHash::from([0xab; 20])));
/// magnet.name = Some("a name".to_owned());
/// assert_eq!(magnet.to_string(), format!("magnet:?xt=urn:btih:{}&dn=a%20name", "ab".repeat(20)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// Which torrent it is (`xt`): both info-hashes for a hybrid.
    pub info_hashes: InfoHashes,
    /// What to call it until its metadata is there (`dn`).
    pub name: Option<String>,
    /// Tracker URLs (`tr`).
    pub trackers: Vec<String>,
    /// Web seeds (`ws`).
    pub web_seeds: Vec<String>,
    /// Peers to ask first, as `host:port` or `[v6]:port` (`x.pe`).
    pub peers: Vec<String>,
    /// Which files to download (`so`, BEP 53), by their places in the torrent, pads counted; all of them where it is empty.
    pub select_only: Vec<RangeInclusive<u32>>,
    /// What was odd, and was left out.
    pub warnings: Vec<Warning>,
}

/// Why a text is no magnet link of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It does not begin with `magnet:?`.
    #[error("this is not a magnet link; those begin with `magnet:?`")]
    NotMagnet,
    /// Over [`MAX_MAGNET_LENGTH`].
    #[error("a magnet link of more than {MAX_MAGNET_LENGTH} bytes")]
    TooLong,
    /// No `xt` names a torrent.
    #[error("the magnet link names no torrent: it has no `xt=urn:btih:` and no `xt=urn:btmh:`")]
    NoInfoHash,
    /// An `xt` that should be an info-hash is not.
    #[error(
        "the info-hash {0:?} in the magnet link is neither 40 hexadecimal digits, nor 32 characters of base32, nor 1220 and 64 hexadecimal digits"
    )]
    BadInfoHash(String),
}

impl Magnet {
    /// A link with nothing but the info-hashes.
    pub const fn new(info_hashes: InfoHashes) -> Self {
        Self {
            info_hashes,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            select_only: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("magnet:?")?;
        let mut separator = "";
        if let Some(v1) = self.info_hashes.v1() {
            write!(f, "xt=urn:btih:{v1}")?;
            separator = "&";
        }
        if let Some(v2) = self.info_hashes.v2() {
            write!(f, "{separator}xt=urn:btmh:{SHA256_MULTIHASH}{v2}")?;
        }
        for (key, values, escaped) in [
            ("dn", self.name.as_slice(), ESCAPED),
            ("tr", &self.trackers, ESCAPED),
            ("ws", &self.web_seeds, ESCAPED),
            ("x.pe", &self.peers, ESCAPED_IN_ADDRESS),
        ] {
            for value in values {
                write!(f, "&{key}={}", utf8_percent_encode(value, escaped))?;
            }
        }
        let mut separator = "&so=";
        for range in &self.select_only {
            write!(f, "{separator}{}", range.start())?;
            if range.end() > range.start() {
                write!(f, "-{}", range.end())?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        if link.len() > MAX_MAGNET_LENGTH {
            return Err(MagnetError::TooLong);
        }
        let (scheme, query) = link.trim().split_once(":?").ok_or(MagnetError::NotMagnet)?;
        if !scheme.eq_ignore_ascii_case("magnet") {
            return Err(MagnetError::NotMagnet);
        }
        let (mut v1, mut v2) = (None, None);
        let mut warnings = Vec::new();
        let (mut name, mut trackers, mut web_seeds, mut peers) = (None, vec![], vec![], vec![]);
        let mut select_only = Vec::new();
        for parameter in query.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let bytes: Cow<'_, [u8]> = percent_decode_str(value).into();
            match without_number(key) {
                "xt" => match topic(&String::from_utf8_lossy(&bytes))? {
                    Some(Topic::V1(hash)) => v1 = v1.or(Some(hash)),
                    Some(Topic::V2(hash)) => v2 = v2.or(Some(hash)),
                    None => {}
                },
                "dn" if name.is_none() && !value.is_empty() => name = Some(display_name(value)),
                "tr" => trackers.extend(Purpose::Tracker.check("tr", &bytes, &mut warnings)),
                "ws" => web_seeds.extend(Purpose::WebSeed.check("ws", &bytes, &mut warnings)),
                "x.pe" => match address(&bytes) {
                    Some(peer) => peers.push(peer),
                    None => warnings.push(Warning::FieldIgnored { field: "x.pe" }),
                },
                "so" if !value.is_empty() => match selection(&bytes) {
                    Some(ranges) => select_only.extend(ranges),
                    None => warnings.push(Warning::FieldIgnored { field: "so" }),
                },
                _ => {}
            }
        }
        let info_hashes = match (v1, v2) {
            (Some(v1), Some(v2)) => InfoHashes::Hybrid(v1, v2),
            (Some(v1), None) => InfoHashes::V1(v1),
            (None, Some(v2)) => InfoHashes::V2(v2),
            (None, None) => return Err(MagnetError::NoInfoHash),
        };
        Ok(Self {
            info_hashes,
            name,
            trackers,
            web_seeds,
            peers,
            select_only,
            warnings,
        })
    }
}

/// Joins places in rising order to what [`Magnet::select_only`] holds.
pub fn ranges_of(places: impl IntoIterator<Item = u32>) -> Vec<RangeInclusive<u32>> {
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(place) => {
                *last = *last.start()..=place;
            }
            _ => ranges.push(place..=place),
        }
    }
    ranges
}

/// What an `xt` names, if it is a torrent.
enum Topic {
    V1(InfoHash),
    V2(InfoHashV2),
}

/// `None` for what is no torrent, such as a hash of another network.
fn topic(xt: &str) -> Result<Option<Topic>, MagnetError> {
    let mut parts = xt.splitn(3, ':');
    let (Some(urn), Some(kind), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    if !urn.eq_ignore_ascii_case("urn") {
        return Ok(None);
    }
    let topic = match kind.to_ascii_lowercase().as_str() {
        "btih" => InfoHash::from_hex(hash)
            .or_else(|| from_base32(hash))
            .map(Topic::V1),
        "btmh" => hash
            .strip_prefix(SHA256_MULTIHASH)
            .and_then(InfoHashV2::from_hex)
            .map(Topic::V2),
        _ => return Ok(None),
    };
    topic
        .map(Some)
        .ok_or_else(|| MagnetError::BadInfoHash(hash.chars().take(80).collect()))
}

/// BEP 9: clients should also read the 32 characters of base32 that old links have.
fn from_base32(hash: &str) -> Option<InfoHash> {
    let bytes = BASE32.decode(hash.to_ascii_uppercase().as_bytes()).ok()?;
    InfoHash::try_from(bytes.as_slice()).ok()
}

/// Parameters that come more than once may be numbered: `tr.1`.
fn without_number(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((key, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => key,
        _ => key,
    }
}

/// Some programs write a blank as `+` here.
fn display_name(value: &str) -> String {
    let value = value.replace('+', "%20");
    percent_decode_str(&value).decode_utf8_lossy().into_owned()
}

/// BEP 53: places and ranges of places with commas between them; `None` where one is neither.
fn selection(bytes: &[u8]) -> Option<Vec<RangeInclusive<u32>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let place = |text: &str| {
        let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = place(first)?..=place(last)?;
            (!range.is_empty()).then_some(range)
        })
        .collect()
}

/// Whether a text is what `x.pe` names: `host:port`, with brackets around an IPv6 address.
pub fn is_peer_address(text: &str) -> bool {
    address(text.as_bytes()).is_some()
}

/// `host:port`, if the port is one.
fn address(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (host, port) = text.rsplit_once(':')?;
    let is_host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 253
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    let is_port = port.bytes().all(|digit| digit.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    (is_host && is_port).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V1: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    const V2: &str = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";

    fn parse(link: &str) -> Magnet {
        link.parse().unwrap()
    }

    fn v1() -> InfoHashes {
        InfoHashes::V1(InfoHash::from_hex(V1).unwrap())
    }

    fn hybrid() -> InfoHashes {
        InfoHashes::Hybrid(
            InfoHash::from_hex(V1).unwrap(),
            InfoHashV2::from_hex(V2).unwrap(),
        )
    }

    #[test]
    fn writes_all_it_knows() {
        let magnet = Magnet {
            name: Some("Übung & more+".to_owned()),
            trackers: vec!["http://a/announce?x=1&y".to_owned()],
            web_seeds: vec!["http://a/web seed/".to_owned()],
            peers: vec!["1.2.3.4:5".to_owned(), "[::1]:6881".to_owned()],
            ..Magnet::new(hybrid())
        };
        assert_eq!(
            magnet.to_string(),
            format!(
                "magnet:?xt=urn:btih:{V1}&xt=urn:btmh:1220{V2}&dn=%C3%9Cbung%20%26%20more%2B\
                 &tr=http%3A%2F%2Fa%2Fannounce%3Fx%3D1%26y&ws=http%3A%2F%2Fa%2Fweb%20seed%2F\
                 &x.pe=1.2.3.4:5&x.pe=[::1]:6881"
            )
        );
    }

    #[test]
    fn a_link_of_v2_alone_has_no_btih() {
        let magnet = Magnet::new(InfoHashes::V2(InfoHashV2::from_hex(V2).unwrap()));
        let link = magnet.to_string();
        assert_eq!(link, format!("magnet:?xt=urn:btmh:1220{V2}"));
        assert_eq!(parse(&link), magnet);
    }

    #[test]
    fn reads_hexadecimal_and_base32_in_any_case() {
        let base32 = BASE32.encode(InfoHash::from_hex(V1).unwrap().as_bytes());
        for link in [
            format!("magnet:?xt=urn:btih:{V1}"),
            format!("MAGNET:?xt=URN:BTIH:{}", V1.to_uppercase()),
            format!("magnet:?xt=urn:btih:{base32}"),
            format!("magnet:?xt.1=urn:btih:{}", base32.to_lowercase()),
            format!("magnet:?dn=&xt=urn%3Abtih%3A{V1}&xt=urn:sha1:whatever&so="),
            format!("  magnet:?xt=urn:btih:{V1}\n"),
        ] {
            assert_eq!(parse(&link), Magnet::new(v1()), "{link}");
        }
    }

    #[test]
    fn reads_numbered_parameters_and_blanks_written_as_plus() {
        let link = format!(
            "magnet:?xt.1=urn:btih:{V1}&xt.2=urn:btmh:1220{V2}&dn=a+b%2Bc\
             &tr.1=udp%3A%2F%2Fa%3A1&tr.2=http://b&ws=http://c/%20d&x.pe=a.example:1"
        );
        assert_eq!(
            parse(&link),
            Magnet {
                info_hashes: hybrid(),
                name: Some("a b+c".to_owned()),
                trackers: vec!["udp://a:1".to_owned(), "http://b".to_owned()],
                web_seeds: vec![],
                peers: vec!["a.example:1".to_owned()],
                select_only: vec![],
                warnings: vec![Warning::UrlDropped {
                    field: "ws",
                    url: "http://c/ d".to_owned()
                }],
            }
        );
    }

    #[test]
    fn leaves_out_what_is_no_tracker_or_address() {
        let magnet = parse(&format!(
            "magnet:?xt=urn:btih:{V1}&tr=file:///a&tr=%ff&x.pe=a&x.pe=a:0&x.pe=a:65536&x.pe=:1\
             &x.pe=[x]:1&x.pe=::1:5&x.pe=a:+5&x.pe=a%20b:1&x.pe=[::1]:5"
        ));
        assert_eq!(magnet.trackers, [""; 0]);
        assert_eq!(magnet.peers, ["[::1]:5"]);
        assert_eq!(magnet.warnings.len(), 10);
    }

    #[test]
    fn selects_files_by_place_and_range() {
        let so = |value: &str| parse(&format!("magnet:?xt=urn:btih:{V1}&so={value}"));
        let magnet = so("0,2,4-6%2C9");
        assert_eq!(magnet.select_only, [0..=0, 2..=2, 4..=6, 9..=9]);
        assert!(magnet.to_string().ends_with("&so=0,2,4-6,9"), "{magnet}");
        for bad in ["a", "1,", "6-4", "1-2-3", "-1", "+1", "1-", "4294967296"] {
            let magnet = so(bad);
            assert_eq!(magnet.select_only, [], "{bad}");
            assert_eq!(
                magnet.warnings,
                [Warning::FieldIgnored { field: "so" }],
                "{bad}"
            );
        }
        assert_eq!(ranges_of([0, 1, 2, 5, 7, 8]), [0..=2, 5..=5, 7..=8]);
        assert_eq!(ranges_of([]), []);
    }

    #[test]
    fn refuses_what_names_no_torrent() {
        let error = |link: &str| link.parse::<Magnet>().unwrap_err();
        assert_eq!(error("http://a/?xt=urn:btih:"), MagnetError::NotMagnet);
        assert_eq!(error(""), MagnetError::NotMagnet);
        assert_eq!(error("magnet:?dn=a"), MagnetError::NoInfoHash);
        assert_eq!(error("magnet:?xt=urn:sha1:abc"), MagnetError::NoInfoHash);
        for bad in [
            "btih:",
            "btih:abc",
            "btmh:1220abc",
            &format!("btmh:1114{V1}"),
            &format!("btih:{V1}00"),
        ] {
            let error = error(&format!("magnet:?xt=urn:{bad}"));
            assert!(matches!(error, MagnetError::BadInfoHash(_)), "{bad}");
        }
        let long = format!("magnet:?xt=urn:btih:{V1}&dn={}", "a".repeat(70_000));
        assert_eq!(error(&long), MagnetError::TooLong);
    }

    proptest! {
        #[test]
        fn links_round_trip(
            name in "\\PC{1,30}",
            path in "[!-~]{0,30}",
            port in 1_u16..,
            hashes in prop_oneof![
                any::<[u8; 20]>().prop_map(|v1| InfoHashes::V1(v1.into())),
                any::<[u8; 32]>().prop_map(|v2| InfoHashes::V2(v2.into())),
                any::<([u8; 20], [u8; 32])>().prop_map(|(v1, v2)| InfoHashes::Hybrid(v1.into(), v2.into())),
            ],
            places in prop::collection::btree_set(any::<u32>(), 0..9),
        ) {
            let magnet = Magnet {
                name: Some(name),
                trackers: vec![format!("http://a/{path}"), "udp://b:1".to_owned()],
                web_seeds: vec![format!("https://c/{path}/")],
                peers: vec![format!("d.example:{port}"), format!("[::1]:{port}")],
                select_only: ranges_of(places),
                ..Magnet::new(hashes)
            };
            prop_assert_eq!(parse(&magnet.to_string()), magnet);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _any = text.parse::<Magnet>();
            let _any = format!("magnet:?{text}").parse::<Magnet>();
        }
    }
}
