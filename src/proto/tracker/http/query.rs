//! The query string of an HTTP announce or scrape, read and written (BEP 3, 7, 21, 23, 48).
//!
//! Info-hashes and peer ids are raw bytes, percent-encoded as the client likes: nothing here takes them for text, and
//! `+` is a plus. The first of repeated keys counts, except for the `info_hash`es of a scrape. Unknown keys are passed
//! over, `ip`, `ipv4` and `ipv6` among them: a peer is listed where it announces from. Reading an announce allocates nothing.

use std::net::IpAddr;
use std::num::NonZeroU16;

use super::PeerFormat;
use crate::proto::id::InfoHash;
use crate::proto::tracker::announce::{AnnounceRequest, Event, ScrapeRequest};

/// Bytes of an info-hash or peer id.
const ID_LENGTH: usize = 20;

/// Why a query is no announce or scrape, in words for the person whose client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A key that must be there is not.
    #[error(
        "the announce lacks {0}: this address is for BitTorrent clients; open the torrent in one"
    )]
    Missing(&'static str),
    /// An info-hash or peer id is not twenty bytes, or not percent-encoded as RFC 3986 says.
    #[error("{0} must be exactly 20 bytes, percent-encoded; update your BitTorrent client")]
    NotAnId(&'static str),
    /// A number is none.
    #[error("{0} must be a whole number; update your BitTorrent client")]
    NotANumber(&'static str),
    /// The port is none that a peer could be reached at.
    #[error(
        "port must be a whole number from 1 to 65535; choose a listening port in your BitTorrent client"
    )]
    NotAPort,
    /// A scrape that names no torrent asks for all of them.
    #[error("name the torrents to scrape with info_hash; this tracker does not list all of them")]
    ScrapeOfEverything,
    /// A scrape names too many torrents.
    #[error("scrape at most {} torrents at once", ScrapeRequest::MAX_SCRAPED)]
    TooManyScraped,
}

/// Reads the query of an announce.
///
/// # Errors
/// [`QueryError`] names the key that is missing or makes no sense.
pub fn decode_announce(query: &[u8]) -> Result<(AnnounceRequest, PeerFormat), QueryError> {
    let mut raw = Raw::default();
    for (key, value) in pairs(query) {
        if let Some(slot) = raw.slot(key) {
            slot.get_or_insert(value);
        }
    }
    let request = AnnounceRequest {
        info_hash: id("info_hash", raw.info_hash)?.into(),
        peer_id: id("peer_id", raw.peer_id)?.into(),
        port: port(raw.port)?,
        uploaded: claim("uploaded", raw.uploaded)?,
        downloaded: claim("downloaded", raw.downloaded)?,
        left: number("left", raw.left)?,
        event: event(raw.event),
        numwant: number("numwant", raw.numwant)?
            .map(|wanted| u32::try_from(wanted).unwrap_or(u32::MAX)),
        key: raw.key.and_then(key),
    };
    let format = match (raw.compact, raw.no_peer_id) {
        (Some(b"0"), Some(b"1")) => PeerFormat::DictionariesWithoutIds,
        (Some(b"0"), _) => PeerFormat::Dictionaries,
        // BEP 23: compact is what a tracker gives unless it is asked not to.
        _ => PeerFormat::Compact,
    };
    Ok((request, format))
}

/// The address that an announce claims for its peer with `ip`; `None` where it claims none, or a name. It is no more than a claim.
pub fn claimed_ip(query: &[u8]) -> Option<IpAddr> {
    let (_, value) = pairs(query).find(|(key, _)| *key == b"ip")?;
    let value = percent_encoding::percent_decode(value).decode_utf8().ok()?;
    value.parse().ok()
}

/// Reads the query of a scrape.
///
/// # Errors
/// [`QueryError`] where it names no torrent, too many, or one that makes no sense.
pub fn decode_scrape(query: &[u8]) -> Result<ScrapeRequest, QueryError> {
    let mut info_hashes = Vec::new();
    for (_, value) in pairs(query).filter(|(key, _)| *key == b"info_hash") {
        if info_hashes.len() == ScrapeRequest::MAX_SCRAPED {
            return Err(QueryError::TooManyScraped);
        }
        info_hashes.push(InfoHash::from(id("info_hash", Some(value))?));
    }
    if info_hashes.is_empty() {
        return Err(QueryError::ScrapeOfEverything);
    }
    Ok(ScrapeRequest { info_hashes })
}

/// The address that announces to the tracker at `tracker`, which may have a query of its own.
pub fn announce_url(tracker: &str, request: &AnnounceRequest, format: PeerFormat) -> String {
    let mut url = Url::extend(tracker);
    url.id("info_hash", request.info_hash.as_bytes());
    url.id("peer_id", request.peer_id.as_bytes());
    url.pair("port", request.port);
    url.pair("uploaded", request.uploaded);
    url.pair("downloaded", request.downloaded);
    if let Some(left) = request.left {
        url.pair("left", left);
    }
    match request.event {
        Event::None => {}
        Event::Started => url.pair("event", "started"),
        Event::Completed => url.pair("event", "completed"),
        Event::Stopped => url.pair("event", "stopped"),
        Event::Paused => url.pair("event", "paused"),
    }
    if let Some(numwant) = request.numwant {
        url.pair("numwant", numwant);
    }
    if let Some(key) = request.key {
        url.pair("key", format_args!("{key:08X}"));
    }
    url.pair("compact", u8::from(format == PeerFormat::Compact));
    if format == PeerFormat::DictionariesWithoutIds {
        url.pair("no_peer_id", 1);
    }
    url.0
}

/// The address that scrapes the tracker at `tracker`; `None` where BEP 48 gives it none.
pub fn scrape_url(tracker: &str, request: &ScrapeRequest) -> Option<String> {
    let path_end = tracker.find(['?', '#']).unwrap_or(tracker.len());
    let (path, rest) = tracker.split_at_checked(path_end)?;
    let (folder, file) = path.rsplit_once('/')?;
    // BEP 48: the last part of the path must begin with `announce`, and that word is replaced.
    let suffix = file.strip_prefix("announce")?;
    let mut url = Url::extend(&format!("{folder}/scrape{suffix}{rest}"));
    for info_hash in &request.info_hashes {
        url.id("info_hash", info_hash.as_bytes());
    }
    Some(url.0)
}

/// The values of an announce as they stand in the query.
#[derive(Default)]
struct Raw<'a> {
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    uploaded: Option<&'a [u8]>,
    downloaded: Option<&'a [u8]>,
    left: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    numwant: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
    no_peer_id: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn slot(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            b"info_hash" => &mut self.info_hash,
            b"peer_id" => &mut self.peer_id,
            b"port" => &mut self.port,
            b"uploaded" => &mut self.uploaded,
            b"downloaded" => &mut self.downloaded,
            b"left" => &mut self.left,
            b"event" => &mut self.event,
            b"numwant" => &mut self.numwant,
            b"compact" => &mut self.compact,
            b"no_peer_id" => &mut self.no_peer_id,
            b"key" => &mut self.key,
            _ => return None,
        })
    }
}

/// The `key=value` pairs of a query. A pair without `=` has an empty value.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        )
    })
}

/// Exactly twenty bytes, each as it is or as `%` and two hexadecimal digits.
fn id(name: &'static str, value: Option<&[u8]>) -> Result<[u8; ID_LENGTH], QueryError> {
    let mut encoded = value.ok_or(QueryError::Missing(name))?;
    let mut id = [0; ID_LENGTH];
    for slot in &mut id {
        (*slot, encoded) = decoded_byte(encoded).ok_or(QueryError::NotAnId(name))?;
    }
    if encoded.is_empty() {
        Ok(id)
    } else {
        Err(QueryError::NotAnId(name))
    }
}

/// The first byte of a percent-encoded value, and what follows it.
fn decoded_byte(encoded: &[u8]) -> Option<(u8, &[u8])> {
    match encoded {
        [b'%', high, low, rest @ ..] => {
            let byte = hex_digit(*high)?.wrapping_shl(4) | hex_digit(*low)?;
            Some((byte, rest))
        }
        [b'%', ..] | [] => None,
        [byte, rest @ ..] => Some((*byte, rest)),
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn port(value: Option<&[u8]>) -> Result<NonZeroU16, QueryError> {
    let value = value.ok_or(QueryError::Missing("port"))?;
    digits(value)
        .and_then(|port| u16::try_from(port).ok())
        .and_then(NonZeroU16::new)
        .ok_or(QueryError::NotAPort)
}

/// A count of bytes that nothing depends on: not there, empty or below zero is nothing.
fn claim(name: &'static str, value: Option<&[u8]>) -> Result<u64, QueryError> {
    number(name, value).map(Option::unwrap_or_default)
}

/// A whole number; `None` where it is not there, empty, or below zero, which clients send for "unknown".
fn number(name: &'static str, value: Option<&[u8]>) -> Result<Option<u64>, QueryError> {
    match value {
        None | Some([]) => Ok(None),
        Some([b'-', negative @ ..]) if digits(negative).is_some() => Ok(None),
        Some(value) => digits(value).map(Some).ok_or(QueryError::NotANumber(name)),
    }
}

/// One or more decimal digits; a number too great for 64 bits is as great as they hold.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(digit.into()))
    })
}

/// An event of BEP 3 or BEP 21. Others are no events: a client that knows more than we do still belongs to the swarm.
fn event(value: Option<&[u8]>) -> Event {
    match value {
        Some(b"started") => Event::Started,
        Some(b"completed") => Event::Completed,
        Some(b"stopped") => Event::Stopped,
        Some(b"paused") => Event::Paused,
        _ => Event::None,
    }
}

/// A key of at most eight hexadecimal digits, as most clients write it; others are passed over.
fn key(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    u32::from_str_radix(text, 16).ok()
}

/// An address that grows by pairs.
struct Url(String);

impl Url {
    /// Takes the address of a tracker. A fragment never leaves the client, so it goes.
    fn extend(tracker: &str) -> Self {
        let end = tracker.find('#').unwrap_or(tracker.len());
        Self(tracker.get(..end).unwrap_or_default().to_owned())
    }

    fn pair(&mut self, key: &str, value: impl std::fmt::Display) {
        let separator = match self.0.find('?') {
            None => "?",
            Some(_) if self.0.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        self.0 = format!("{}{separator}{key}={value}", self.0);
    }

    fn id(&mut self, key: &str, id: &[u8; ID_LENGTH]) {
        self.pair(key, percent_encoding::percent_encode(id, RESERVED));
    }
}

/// All but the unreserved characters of RFC 3986.
const RESERVED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO_HASH: [u8; 20] =
        *b"\xa0\xa4\xb2\x93\x20\xda\xea\xe1\x9f\xb6\x09\x3b\x27\x19\x8b\x37\x8a\x52\xfe\xea";

    const ESCAPED: &str = "%a0%a4%b2%93%20%da%ea%e1%9f%b6%09%3b%27%19%8b7%8aR%fe%ea";

    fn decode(query: &str) -> Result<AnnounceRequest, QueryError> {
        decode_announce(query.as_bytes()).map(|(request, _)| request)
    }

    fn with(rest: &str) -> Result<(AnnounceRequest, PeerFormat), QueryError> {
        let query = format!("info_hash={ESCAPED}&peer_id=-SW0100-abcdefghijkl&port=6881{rest}");
        decode_announce(query.as_bytes())
    }

    /// The first announce of real clients, recorded on loopback: same torrent, 100,000 bytes left.
    #[test]
    fn reads_what_real_clients_send() {
        type Recorded<'a> = (&'a str, &'a [u8; 20], u16, Option<u32>, Option<u32>);
        let recorded: [Recorded<'_>; 7] = [
            (
                // qBittorrent 4.5.2
                "info_hash=%a0%a4%b2%93%20%da%ea%e1%9f%b6%09%3b%27%19%8b7%8aR%fe%ea&peer_id=-qB4520-9yrBJ_x*qUk.&port=1408&uploaded=0&downloaded=0&left=100000&corrupt=0&key=E4FA06AC&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
                b"-qB4520-9yrBJ_x*qUk.",
                1408,
                Some(200),
                Some(0xE4FA_06AC),
            ),
            (
                // libtorrent 2.1.1
                "info_hash=%a0%a4%b2%93%20%da%ea%e1%9f%b6%09%3b%27%19%8b7%8aR%fe%ea&peer_id=-LT2110-4AWVNmE)w7LT&port=21005&uploaded=0&downloaded=0&left=100000&corrupt=0&key=C774C11D&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
                b"-LT2110-4AWVNmE)w7LT",
                21005,
                Some(200),
                Some(0xC774_C11D),
            ),
            (
                // Transmission 3.00
                "info_hash=%a0%a4%b2%93%20%da%ea%e1%9f%b6%09%3b%27%19%8b7%8aR%fe%ea&peer_id=-TR3000-jsdm7kizb46x&port=21002&uploaded=0&downloaded=0&left=100000&numwant=80&key=26114214&compact=1&supportcrypto=1&event=started",
                b"-TR3000-jsdm7kizb46x",
                21002,
                Some(80),
                Some(0x2611_4214),
            ),
            (
                // rTorrent 0.9.8: a peer id of arbitrary bytes, no numwant
                "info_hash=%A0%A4%B2%93%20%DA%EA%E1%9F%B6%09%3B%27%19%8B7%8AR%FE%EA&peer_id=-lt0D80-%9E%04%3E5b%AC%DD%95A%C6%E71&key=14520c89&compact=1&port=21003&uploaded=0&downloaded=0&left=100000&event=started",
                b"-lt0D80-\x9e\x04\x3e5b\xac\xdd\x95A\xc6\xe71",
                21003,
                None,
                Some(0x1452_0C89),
            ),
            (
                // aria2 1.36.0: a zero byte in the peer id, a key that is no number
                "info_hash=%A0%A4%B2%93%20%DA%EA%E1%9F%B6%09%3B%27%19%8B7%8AR%FE%EA&peer_id=A2-1-36-0-%E0%00%13%C8%AA%15%5E%3B%CCO&uploaded=0&downloaded=0&left=100000&compact=1&key=%13%C8%AA%15%5E%3B%CCO&numwant=50&no_peer_id=1&port=21001&event=started&supportcrypto=1",
                b"A2-1-36-0-\xe0\x00\x13\xc8\xaa\x15\x5e\x3b\xccO",
                21001,
                Some(50),
                None,
            ),
            (
                // BiglyBT 3.2.0.0
                "info_hash=%A0%A4%B2%93%20%DA%EA%E1%9F%B6%09%3B%27%19%8B7%8AR%FE%EA&peer_id=-BI3200-6hqgrknvFYu6&supportcrypto=1&port=61673&azudp=61673&uploaded=0&downloaded=0&left=100000&corrupt=0&event=started&numwant=100&no_peer_id=1&compact=1&key=KL2mnzjQ&azver=3",
                b"-BI3200-6hqgrknvFYu6",
                61673,
                Some(100),
                None,
            ),
            (
                // BitTornado 0.4.0, put together by its rules
                "info_hash=%A0%A4%B2%93%20%DA%EA%E1%9F%B6%09%3B%27%19%8B7%8AR%FE%EA&peer_id=T03I-----MjxMhfWFkWO&supportcrypto=1&port=21006&uploaded=0&downloaded=0&left=100000&no_peer_id=1&compact=1&event=started",
                b"T03I-----MjxMhfWFkWO",
                21006,
                None,
                None,
            ),
        ];
        for (query, peer_id, port, numwant, key) in recorded {
            let expected = AnnounceRequest {
                info_hash: INFO_HASH.into(),
                peer_id: (*peer_id).into(),
                port: NonZeroU16::new(port).unwrap(),
                uploaded: 0,
                downloaded: 0,
                left: Some(100_000),
                event: Event::Started,
                numwant,
                key,
            };
            assert_eq!(
                decode_announce(query.as_bytes()),
                Ok((expected, PeerFormat::Compact)),
                "{query}"
            );
        }
    }

    #[test]
    fn all_byte_values_survive_encoded_and_unencoded() {
        for byte in 0..=u8::MAX {
            let id = [byte; 20];
            let encoded = format!("%{byte:02x}").repeat(20);
            let query = format!(
                "info_hash={encoded}&peer_id={}&port=1",
                encoded.to_uppercase()
            );
            let request = decode(&query).unwrap();
            assert_eq!(request.info_hash.as_bytes(), &id);
            assert_eq!(request.peer_id.as_bytes(), &id);
            if !matches!(byte, b'%' | b'&') {
                let query = [b"info_hash=", id.as_slice(), b"&peer_id=", &id, b"&port=1"].concat();
                let (request, _) = decode_announce(&query).unwrap();
                assert_eq!(request.info_hash.as_bytes(), &id);
            }
        }
    }

    #[test]
    fn a_claimed_address_is_read_where_somebody_asks_for_it() {
        for (query, claimed) in [
            ("port=1&ip=192.0.2.7", Some("192.0.2.7")),
            ("ip=2001%3Adb8%3A%3A7&ip=192.0.2.7", Some("2001:db8::7")),
            ("ip=peer.example", None),
            ("ip=", None),
            ("ipv4=192.0.2.7", None),
        ] {
            let claimed = claimed.map(|ip| ip.parse().unwrap());
            assert_eq!(claimed_ip(query.as_bytes()), claimed, "{query}");
        }
    }

    #[test]
    fn a_plus_is_a_plus() {
        let query = "info_hash=++++++++++++++++++++&peer_id=%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B&port=1";
        let request = decode(query).unwrap();
        assert_eq!(request.info_hash.as_bytes(), &[b'+'; 20]);
        assert_eq!(request.peer_id.as_bytes(), &[b'+'; 20]);
    }

    #[test]
    fn refuses_ids_of_any_other_length() {
        let expected = Err(QueryError::NotAnId("info_hash"));
        for id in [
            "",
            "a",
            &"a".repeat(19),
            &"a".repeat(21),
            &"%aa".repeat(21),
            &"ab".repeat(20),
        ] {
            let query = format!("info_hash={id}&peer_id=-SW0100-abcdefghijkl&port=1");
            assert_eq!(decode(&query), expected, "{id}");
        }
        for id in [
            "%",
            "%a",
            "%zz",
            "%+1",
            "% 1",
            "aaaaaaaaaaaaaaaaaaaa%",
            "aaaaaaaaaaaaaaaaaaa%4",
        ] {
            let query = format!("info_hash={id}&peer_id=-SW0100-abcdefghijkl&port=1");
            assert_eq!(decode(&query), expected, "{id}");
        }
        assert_eq!(
            decode(&format!("info_hash={ESCAPED}&peer_id=short&port=1")),
            Err(QueryError::NotAnId("peer_id"))
        );
    }

    #[test]
    fn refuses_what_is_no_port() {
        for port in [
            "",
            "0",
            "65536",
            "1.5",
            "-1",
            "+80",
            " 80",
            "0x50",
            "six",
            "99999999999999999999999",
        ] {
            let query = format!("info_hash={ESCAPED}&peer_id=-SW0100-abcdefghijkl&port={port}");
            assert_eq!(decode(&query), Err(QueryError::NotAPort), "{port}");
        }
        for port in ["1", "65535", "06881"] {
            let query = format!("info_hash={ESCAPED}&peer_id=-SW0100-abcdefghijkl&port={port}");
            assert!(decode(&query).is_ok(), "{port}");
        }
    }

    #[test]
    fn names_the_key_that_is_missing() {
        let error = |query: &str| decode(query).unwrap_err();
        assert_eq!(error(""), QueryError::Missing("info_hash"));
        assert_eq!(error("&&&=&="), QueryError::Missing("info_hash"));
        assert_eq!(
            error(&format!("info_hash={ESCAPED}")),
            QueryError::Missing("peer_id")
        );
        assert_eq!(
            error(&format!("info_hash={ESCAPED}&peer_id=-SW0100-abcdefghijkl")),
            QueryError::Missing("port")
        );
    }

    #[test]
    fn the_first_of_repeated_keys_counts() {
        let (request, _) = with("&port=1&left=5&left=0&info_hash=x").unwrap();
        assert_eq!((request.port.get(), request.left), (6881, Some(5)));
    }

    #[test]
    fn counters_saturate_and_below_zero_is_unknown() {
        let (request, _) = with("&uploaded=99999999999999999999999&downloaded=-7&left=-1").unwrap();
        assert_eq!(request.uploaded, u64::MAX);
        assert_eq!(request.downloaded, 0);
        assert_eq!(request.left, None);
        assert_eq!(with("&left=").unwrap().0.left, None);
        for (rest, name) in [
            ("&left=x", "left"),
            ("&uploaded=1e9", "uploaded"),
            ("&numwant=-", "numwant"),
        ] {
            assert_eq!(with(rest), Err(QueryError::NotANumber(name)), "{rest}");
        }
    }

    #[test]
    fn numwant_zero_is_not_the_default() {
        for (rest, numwant) in [
            ("", None),
            ("&numwant=", None),
            ("&numwant=-1", None),
            ("&numwant=0", Some(0)),
            ("&numwant=99999999999", Some(u32::MAX)),
        ] {
            assert_eq!(with(rest).unwrap().0.numwant, numwant, "{rest}");
        }
    }

    #[test]
    fn knows_the_events_and_passes_others_over() {
        for (text, event) in [
            ("started", Event::Started),
            ("completed", Event::Completed),
            ("stopped", Event::Stopped),
            ("paused", Event::Paused),
            ("", Event::None),
            ("empty", Event::None),
            ("resumed", Event::None),
        ] {
            assert_eq!(
                with(&format!("&event={text}")).unwrap().0.event,
                event,
                "{text}"
            );
        }
    }

    #[test]
    fn peers_are_compact_unless_asked_otherwise() {
        for (rest, format) in [
            ("", PeerFormat::Compact),
            ("&compact=1", PeerFormat::Compact),
            ("&no_peer_id=1", PeerFormat::Compact),
            ("&compact=0", PeerFormat::Dictionaries),
            ("&compact=0&no_peer_id=0", PeerFormat::Dictionaries),
            (
                "&no_peer_id=1&compact=0",
                PeerFormat::DictionariesWithoutIds,
            ),
        ] {
            assert_eq!(with(rest).unwrap().1, format, "{rest}");
        }
    }

    #[test]
    fn a_scrape_names_one_to_seventy_four_torrents() {
        let one = format!("info_hash={ESCAPED}");
        let scrape = decode_scrape(one.as_bytes()).unwrap();
        assert_eq!(scrape.info_hashes, [INFO_HASH.into()]);
        let many = vec![one.as_str(); 74].join("&");
        assert_eq!(
            decode_scrape(many.as_bytes()).unwrap().info_hashes.len(),
            74
        );
        let too_many = format!("{many}&{one}");
        assert_eq!(
            decode_scrape(too_many.as_bytes()),
            Err(QueryError::TooManyScraped)
        );
        assert_eq!(decode_scrape(b""), Err(QueryError::ScrapeOfEverything));
        assert_eq!(
            decode_scrape(b"info_hash=x"),
            Err(QueryError::NotAnId("info_hash"))
        );
    }

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: INFO_HASH.into(),
            peer_id: (*b"-SW0100-abc~._-+/ &%").into(),
            port: NonZeroU16::MIN,
            uploaded: 1,
            downloaded: 2,
            left: None,
            event: Event::Started,
            numwant: None,
            key: Some(0xBEEF),
        }
    }

    #[test]
    fn announces_to_a_tracker_with_a_query_of_its_own() {
        let tail = "info_hash=%A0%A4%B2%93%20%DA%EA%E1%9F%B6%09%3B%27%19%8B7%8AR%FE%EA&peer_id=-SW0100-abc~._-%2B%2F%20%26%25&port=1&uploaded=1&downloaded=2&event=started&key=0000BEEF&compact=1";
        for (tracker, head) in [
            ("http://t.example/announce", "http://t.example/announce?"),
            ("http://t.example/announce?", "http://t.example/announce?"),
            (
                "http://t.example/a?passkey=1",
                "http://t.example/a?passkey=1&",
            ),
            (
                "http://t.example/a?passkey=1&#top",
                "http://t.example/a?passkey=1&",
            ),
        ] {
            assert_eq!(
                announce_url(tracker, &request(), PeerFormat::Compact),
                format!("{head}{tail}")
            );
        }
    }

    #[test]
    fn scrapes_where_bep_48_says() {
        let scrape = ScrapeRequest {
            info_hashes: vec![[b'a'; 20].into(), [0; 20].into()],
        };
        let tail = format!(
            "info_hash={}&info_hash={}",
            "a".repeat(20),
            "%00".repeat(20)
        );
        for (tracker, head) in [
            (
                "http://t.example/announce",
                Some("http://t.example/scrape?"),
            ),
            (
                "http://t.example/x/announce",
                Some("http://t.example/x/scrape?"),
            ),
            (
                "http://t.example/announce.php",
                Some("http://t.example/scrape.php?"),
            ),
            (
                "http://t.example/announce?x2%0644",
                Some("http://t.example/scrape?x2%0644&"),
            ),
            ("http://t.example/a", None),
            (
                "http://t.example/announce?x=2/4",
                Some("http://t.example/scrape?x=2/4&"),
            ),
            ("http://t.example/x%064announce", None),
        ] {
            assert_eq!(
                scrape_url(tracker, &scrape),
                head.map(|head| format!("{head}{tail}")),
                "{tracker}"
            );
        }
    }

    #[test]
    fn no_truncation_makes_the_decoders_panic() {
        let url = announce_url("", &request(), PeerFormat::Compact);
        for end in 0..url.len() {
            let _ = decode_announce(&url.as_bytes()[..end]);
            let _ = decode_scrape(&url.as_bytes()[..end]);
        }
    }

    proptest! {
        #[test]
        fn announces_round_trip(
            info_hash: [u8; 20],
            peer_id: [u8; 20],
            port: NonZeroU16,
            counts: (u64, u64, Option<u64>),
            numwant: Option<u32>,
            key: Option<u32>,
            event in proptest::sample::select(vec![Event::None, Event::Started, Event::Completed, Event::Stopped, Event::Paused]),
            format in proptest::sample::select(vec![PeerFormat::Compact, PeerFormat::Dictionaries, PeerFormat::DictionariesWithoutIds]),
        ) {
            let (uploaded, downloaded, left) = counts;
            let request = AnnounceRequest {
                info_hash: info_hash.into(), peer_id: peer_id.into(),
                port, uploaded, downloaded, left, event, numwant, key,
            };
            let url = announce_url("http://t.example/announce", &request, format);
            let (_, query) = url.split_once('?').unwrap();
            prop_assert_eq!(decode_announce(query.as_bytes()), Ok((request, format)));
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(query: Vec<u8>) {
            let _ = decode_announce(&query);
            let _ = decode_scrape(&query);
        }
    }
}
