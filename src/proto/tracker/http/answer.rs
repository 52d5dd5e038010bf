//! The bencoded answers of an HTTP tracker, written and read (BEP 3, 7, 23, 24, 31, 48).
//!
//! Answers come from anybody, so they are read through the bounded scanner: at most a mebibyte. Peers that cannot be
//! connected to (port 0, no address, a host name) are left out rather than failing the rest.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::PeerFormat;
use crate::proto::bencode::{Encoder, Limits, ScanError, Value, scan};
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{
    AnnounceAnswer, Failure, Peer, Retry, ScrapeAnswer, ScrapeCounts, words,
};

/// Seconds between announces where a tracker does not say: what nearly all of them say.
const USUAL_INTERVAL: u32 = 30 * 60;

/// Bytes of an IPv4 peer in a compact answer.
const COMPACT_V4: usize = 6;

/// Bytes of an IPv6 peer in a compact answer.
const COMPACT_V6: usize = 18;

/// Why a tracker's answer gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The tracker refused, in its own words.
    #[error("the tracker says: {0}")]
    Refused(Failure),
    /// The answer is not bencode: often a web page.
    #[error("the answer is not a tracker's")]
    NotBencode(#[from] ScanError),
    /// The answer is bencode, but not what was asked for.
    #[error("the tracker's answer lacks {0}")]
    Lacks(&'static str),
}

/// Writes the answer to an announce.
pub fn encode_announce(answer: &AnnounceAnswer, format: PeerFormat) -> Vec<u8> {
    let mut out = Vec::with_capacity(size_hint(answer, format));
    let mut encoder = Encoder::new(&mut out);
    encoder.begin_dict();
    if let Some(complete) = answer.complete {
        encoder.key("complete").unsigned(complete.into());
    }
    if let Some(downloaded) = answer.downloaded {
        encoder.key("downloaded").unsigned(downloaded);
    }
    match answer.external_ip {
        Some(IpAddr::V4(ip)) => _ = encoder.key("external ip").bytes(&ip.octets()),
        Some(IpAddr::V6(ip)) => _ = encoder.key("external ip").bytes(&ip.octets()),
        None => {}
    }
    if let Some(incomplete) = answer.incomplete {
        encoder.key("incomplete").unsigned(incomplete.into());
    }
    encoder.key("interval").unsigned(answer.interval.into());
    if let Some(min_interval) = answer.min_interval {
        encoder.key("min interval").unsigned(min_interval.into());
    }
    match format {
        PeerFormat::Compact => encode_compact(&mut encoder, &answer.peers),
        PeerFormat::Dictionaries | PeerFormat::DictionariesWithoutIds => {
            encode_dictionaries(&mut encoder, &answer.peers, format);
        }
    }
    if let Some(warning) = &answer.warning {
        encoder.key("warning message").text(warning);
    }
    encoder.end();
    out
}

/// Writes the answer to a scrape. Files come sorted, each once.
pub fn encode_scrape(answer: &ScrapeAnswer) -> Vec<u8> {
    let mut files: Vec<_> = answer.files.iter().collect();
    files.sort_unstable_by_key(|(info_hash, _)| *info_hash);
    files.dedup_by_key(|(info_hash, _)| *info_hash);
    let mut out = Vec::with_capacity(files.len().saturating_mul(128).saturating_add(64));
    let mut encoder = Encoder::new(&mut out);
    encoder.begin_dict();
    encoder.key("files").begin_dict();
    for (info_hash, counts) in files {
        encoder.key(info_hash.as_bytes()).begin_dict();
        encoder.key("complete").unsigned(counts.complete.into());
        encoder.key("downloaded").unsigned(counts.downloaded);
        if let Some(downloaders) = counts.downloaders {
            encoder.key("downloaders").unsigned(downloaders.into());
        }
        encoder.key("incomplete").unsigned(counts.incomplete.into());
        encoder.end();
    }
    encoder.end();
    if let Some(seconds) = answer.min_request_interval {
        encoder.key("flags").begin_dict();
        encoder.key("min_request_interval").unsigned(seconds.into());
        encoder.end();
    }
    encoder.end();
    out
}

/// Writes a refusal, for an announce or a scrape.
pub fn encode_failure(failure: &Failure) -> Vec<u8> {
    let mut out = Vec::with_capacity(failure.reason.len().saturating_add(64));
    let mut encoder = Encoder::new(&mut out);
    encoder.begin_dict();
    encoder.key("failure reason").text(&failure.reason);
    match failure.retry {
        Some(Retry::InMinutes(minutes)) => _ = encoder.key("retry in").unsigned(minutes.into()),
        Some(Retry::Never) => _ = encoder.key("retry in").text("never"),
        None => {}
    }
    encoder.end();
    out
}

/// Reads the answer to an announce.
///
/// # Errors
/// [`AnswerError`] where the tracker refused or the answer is none.
pub fn decode_announce(body: &[u8]) -> Result<AnnounceAnswer, AnswerError> {
    let root = scan::lenient(body, &Limits::MESSAGE)?.root;
    let mut answer = AnnounceAnswer {
        interval: USUAL_INTERVAL,
        ..AnnounceAnswer::default()
    };
    let mut refusal = Refusal::default();
    let mut is_answer = false;
    for (key, value) in root.dict().ok_or(AnswerError::Lacks("a dictionary"))? {
        match key {
            b"failure reason" => refusal.reason = Some(value),
            b"retry in" => refusal.retry_in = Some(value),
            b"interval" => answer.interval = bounded(value).unwrap_or(USUAL_INTERVAL),
            b"min interval" => answer.min_interval = bounded(value),
            b"complete" => answer.complete = bounded(value),
            b"incomplete" => answer.incomplete = bounded(value),
            b"downloaded" => answer.downloaded = value.as_integer().and_then(|n| n.try_into().ok()),
            b"external ip" => answer.external_ip = value.as_bytes().and_then(ip),
            b"warning message" => answer.warning = value.as_bytes().map(words),
            b"peers" => {
                is_answer = true;
                match value.as_bytes() {
                    Some(compact) => push_compact_v4(&mut answer.peers, compact),
                    None => push_dictionaries(&mut answer.peers, value),
                }
            }
            b"peers6" => {
                is_answer = true;
                push_compact_v6(&mut answer.peers, value.as_bytes().unwrap_or_default());
            }
            _ => continue,
        }
        is_answer |= key == b"interval";
    }
    refusal.check()?;
    if is_answer {
        Ok(answer)
    } else {
        Err(AnswerError::Lacks("peers"))
    }
}

/// Reads the answer to a scrape.
///
/// # Errors
/// [`AnswerError`] where the tracker refused or the answer is none.
pub fn decode_scrape(body: &[u8]) -> Result<ScrapeAnswer, AnswerError> {
    let root = scan::lenient(body, &Limits::MESSAGE)?.root;
    Refusal {
        reason: root.get("failure reason"),
        retry_in: root.get("retry in"),
    }
    .check()?;
    let files = root.get("files").and_then(Value::dict);
    let files = files
        .ok_or(AnswerError::Lacks("files"))?
        .filter_map(|(info_hash, counts)| {
            let counts = ScrapeCounts {
                complete: counts.get("complete").and_then(bounded).unwrap_or(0),
                incomplete: counts.get("incomplete").and_then(bounded).unwrap_or(0),
                downloaded: counts
                    .get("downloaded")
                    .and_then(Value::as_integer)
                    .and_then(|n| n.try_into().ok())
                    .unwrap_or(0),
                downloaders: counts.get("downloaders").and_then(bounded),
            };
            Some((InfoHash::try_from(info_hash).ok()?, counts))
        })
        .collect();
    let flags = root.get("flags");
    Ok(ScrapeAnswer {
        files,
        min_request_interval: flags
            .and_then(|flags| flags.get("min_request_interval"))
            .and_then(bounded),
    })
}

/// The fields of an answer that no specification names, in the order in which they came, as a person reads them; empty
/// where the answer is none.
pub fn other_fields(body: &[u8]) -> Vec<(String, String)> {
    let scanned = scan::lenient(body, &Limits::MESSAGE).ok();
    let fields = scanned.and_then(|scanned| scanned.root.dict());
    let others = fields.into_iter().flatten().filter(|(key, _)| {
        !matches!(
            *key,
            b"failure reason"
                | b"retry in"
                | b"warning message"
                | b"interval"
                | b"min interval"
                | b"complete"
                | b"incomplete"
                | b"downloaded"
                | b"external ip"
                | b"peers"
                | b"peers6"
                | b"files"
        )
    });
    others
        .map(|(key, value)| (readable(key), readable_value(value)))
        .collect()
}

fn readable_value(value: Value<'_>) -> String {
    match (value.as_integer(), value.as_bytes()) {
        (Some(number), _) => number.to_string(),
        (None, Some(bytes)) => readable(bytes),
        (None, None) => readable(value.raw()),
    }
}

/// Text where it is text, else with escapes.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// The bytes that an answer will take, or a little more.
fn size_hint(answer: &AnnounceAnswer, format: PeerFormat) -> usize {
    let each = match format {
        PeerFormat::Compact => COMPACT_V6,
        PeerFormat::Dictionaries => 100,
        PeerFormat::DictionariesWithoutIds => 60,
    };
    let warning = answer.warning.as_ref().map_or(0, String::len);
    answer
        .peers
        .len()
        .saturating_mul(each)
        .saturating_add(warning)
        .saturating_add(192)
}

fn encode_compact(encoder: &mut Encoder<'_>, peers: &[Peer]) {
    // BEP 23: IPv4 peers are in `peers`; BEP 7: IPv6 peers are in `peers6`.
    let v4_count = peers.iter().filter(|peer| peer.address.is_ipv4()).count();
    encoder
        .key("peers")
        .bytes_header(v4_count.saturating_mul(COMPACT_V4));
    for peer in peers {
        if let SocketAddr::V4(address) = peer.address {
            encoder.raw(&address.ip().octets());
            encoder.raw(&address.port().to_be_bytes());
        }
    }
    let v6_count = peers.len().saturating_sub(v4_count);
    if v6_count == 0 {
        return;
    }
    encoder
        .key("peers6")
        .bytes_header(v6_count.saturating_mul(COMPACT_V6));
    for peer in peers {
        if let SocketAddr::V6(address) = peer.address {
            encoder.raw(&address.ip().octets());
            encoder.raw(&address.port().to_be_bytes());
        }
    }
}

fn encode_dictionaries(encoder: &mut Encoder<'_>, peers: &[Peer], format: PeerFormat) {
    let mut text = Vec::with_capacity(40);
    encoder.key("peers").begin_list();
    for peer in peers {
        text.clear();
        let written = write!(text, "{}", peer.address.ip());
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        encoder.begin_dict();
        encoder.key("ip").bytes(&text);
        if let (PeerFormat::Dictionaries, Some(id)) = (format, peer.id) {
            encoder.key("peer id").bytes(id.as_bytes());
        }
        encoder.key("port").unsigned(peer.address.port().into());
        encoder.end();
    }
    encoder.end();
}

/// What a refusal is made of.
#[derive(Default)]
struct Refusal<'a> {
    reason: Option<Value<'a>>,
    retry_in: Option<Value<'a>>,
}

impl Refusal<'_> {
    /// An error, if there is a reason.
    fn check(self) -> Result<(), AnswerError> {
        let Some(reason) = self.reason else {
            return Ok(());
        };
        let reason = reason.as_bytes().map(words).unwrap_or_default();
        let retry = self.retry_in.and_then(|value| match value.as_bytes() {
            Some(b"never") => Some(Retry::Never),
            // BEP 31 writes an integer; some trackers write its digits.
            Some(digits) => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .map(Retry::InMinutes),
            None => bounded(value).map(Retry::InMinutes),
        });
        Err(AnswerError::Refused(Failure {
            reason: reason.into(),
            retry,
        }))
    }
}

/// An integer as near as 32 bits come to it.
fn bounded(value: Value<'_>) -> Option<u32> {
    let value = value.as_integer()?.max(0);
    Some(u32::try_from(value).unwrap_or(u32::MAX))
}

/// An address of BEP 24: four or sixteen bytes.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

fn push_compact_v4(peers: &mut Vec<Peer>, compact: &[u8]) {
    let (all, _) = compact.as_chunks::<COMPACT_V4>();
    peers.extend(all.iter().filter_map(|[a, b, c, d, high, low]| {
        let ip = Ipv4Addr::new(*a, *b, *c, *d);
        reachable(ip.into(), u16::from_be_bytes([*high, *low]), None)
    }));
}

fn push_compact_v6(peers: &mut Vec<Peer>, compact: &[u8]) {
    let (all, _) = compact.as_chunks::<COMPACT_V6>();
    peers.extend(all.iter().filter_map(|bytes| {
        let (octets, port) = bytes.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        reachable(Ipv6Addr::from(*octets).into(), port, None)
    }));
}

fn push_dictionaries(peers: &mut Vec<Peer>, value: Value<'_>) {
    let all = value.list().into_iter().flatten();
    peers.extend(all.filter_map(|peer| {
        let ip = peer.get("ip")?.as_text()?.parse().ok()?;
        let port = peer.get("port")?.as_integer()?.try_into().ok()?;
        let id = peer.get("peer id").and_then(Value::as_bytes);
        reachable(ip, port, id.and_then(|id| PeerId::try_from(id).ok()))
    }));
}

fn reachable(ip: IpAddr, port: u16, id: Option<PeerId>) -> Option<Peer> {
    let ip = ip.to_canonical();
    let could_be = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    could_be.then(|| Peer {
        address: SocketAddr::new(ip, port),
        id,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_nobody_specified_is_told_as_it_is() {
        let body = b"d8:intervali9e1:\xff2:ok10:tracker id3:abc1:xi5e1:yli1ei2ee1:z2:a\ne";
        let others = other_fields(body);
        let others: Vec<_> = others
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            others,
            [
                ("\\xff", "ok"),
                ("tracker id", "abc"),
                ("x", "5"),
                ("y", "li1ei2ee"),
                ("z", "a\\n")
            ]
        );
        assert_eq!(other_fields(b"<html>"), []);
    }

    use proptest::prelude::*;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer {
            address: address.parse().unwrap(),
            id: None,
        }
    }

    fn answer() -> AnnounceAnswer {
        AnnounceAnswer {
            interval: 1800,
            min_interval: Some(300),
            complete: Some(3),
            incomplete: Some(1),
            downloaded: Some(12),
            peers: vec![peer("192.0.2.1:6881"), peer("[2001:db8::1]:51413")],
            external_ip: Some([198, 51, 100, 7].into()),
            warning: None,
        }
    }

    #[test]
    fn compact_answers_have_both_families_apart() {
        let bytes = encode_announce(&answer(), PeerFormat::Compact);
        let expected: &[u8] = b"d8:completei3e10:downloadedi12e11:external ip4:\xc6\x33\x64\x07\
            10:incompletei1e8:intervali1800e12:min intervali300e\
            5:peers6:\xc0\x00\x02\x01\x1a\xe1\
            6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xc8\xd5e";
        assert_eq!(
            bytes.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn dictionaries_carry_peer_ids_unless_told_not_to() {
        let mut answer = AnnounceAnswer {
            interval: 1800,
            peers: vec![peer("192.0.2.1:6881"), peer("[2001:db8::1]:51413")],
            ..AnnounceAnswer::default()
        };
        answer.peers[0].id = Some((*b"-TR3000-jsdm7kizb46x").into());
        assert_eq!(
            encode_announce(&answer, PeerFormat::Dictionaries)
                .escape_ascii()
                .to_string(),
            "d8:intervali1800e5:peersld2:ip9:192.0.2.17:peer id20:-TR3000-jsdm7kizb46x4:porti6881ee\
             d2:ip11:2001:db8::14:porti51413eeee"
        );
        assert_eq!(
            encode_announce(&answer, PeerFormat::DictionariesWithoutIds)
                .escape_ascii()
                .to_string(),
            "d8:intervali1800e5:peersld2:ip9:192.0.2.14:porti6881ee\
             d2:ip11:2001:db8::14:porti51413eeee"
        );
        answer.peers[1].id = None;
        let back = decode_announce(&encode_announce(&answer, PeerFormat::Dictionaries));
        assert_eq!(back, Ok(answer));
    }

    #[test]
    fn nobody_is_an_empty_string_not_a_missing_key() {
        let answer = AnnounceAnswer {
            interval: 60,
            ..AnnounceAnswer::default()
        };
        assert_eq!(
            encode_announce(&answer, PeerFormat::Compact),
            b"d8:intervali60e5:peers0:e"
        );
    }

    #[test]
    fn refusals_say_when_to_come_back() {
        let failure = Failure::new("not now");
        assert_eq!(
            encode_failure(&failure),
            b"d14:failure reason7:not nowe".as_slice()
        );
        for (retry, text) in [(Retry::InMinutes(60), "i60e"), (Retry::Never, "5:never")] {
            let failure = failure.clone().retry(retry);
            let bytes = encode_failure(&failure);
            assert!(bytes.ends_with(format!("8:retry in{text}e").as_bytes()));
            let refused = AnswerError::Refused(failure);
            assert_eq!(decode_announce(&bytes), Err(refused.clone()));
            assert_eq!(decode_scrape(&bytes), Err(refused));
        }
    }

    #[test]
    fn scrapes_list_files_sorted_and_once() {
        let counts = ScrapeCounts {
            complete: 5,
            incomplete: 10,
            downloaded: 50,
            downloaders: Some(9),
        };
        let answer = ScrapeAnswer {
            files: vec![
                ([0xff; 20].into(), counts),
                ([0; 20].into(), counts),
                ([0xff; 20].into(), counts),
            ],
            min_request_interval: Some(300),
        };
        let bytes = encode_scrape(&answer);
        let file = b"d8:completei5e10:downloadedi50e11:downloadersi9e10:incompletei10ee".as_slice();
        let expected = [
            b"d5:filesd20:".as_slice(),
            &[0; 20],
            file,
            b"20:",
            &[0xff; 20],
            file,
            b"e5:flagsd20:min_request_intervali300eee",
        ]
        .concat();
        assert_eq!(
            bytes.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        let back = decode_scrape(&bytes).unwrap();
        assert_eq!(
            back.files,
            answer.files[..2].iter().rev().copied().collect::<Vec<_>>()
        );
        assert_eq!(back.min_request_interval, Some(300));
    }

    #[test]
    fn reads_the_example_of_bep_48() {
        let bytes =
            b"d5:filesd20:....................d8:completei5e10:downloadedi50e10:incompletei10eeee";
        let counts = ScrapeCounts {
            complete: 5,
            downloaded: 50,
            incomplete: 10,
            downloaders: None,
        };
        assert_eq!(
            decode_scrape(bytes).unwrap().files,
            [([b'.'; 20].into(), counts)]
        );
    }

    /// What opentracker answered on loopback to the second peer of a swarm, which it hands to itself.
    #[test]
    fn reads_an_answer_of_opentracker() {
        let bytes =
            b"d8:completei1e10:downloadedi0e10:incompletei1e8:intervali1708e12:min intervali854e\
            5:peers12:\x7f\0\0\x01\x1a\xe2\x7f\0\0\x01\x1a\xe1e";
        let answer = decode_announce(bytes).unwrap();
        assert_eq!((answer.interval, answer.min_interval), (1708, Some(854)));
        assert_eq!((answer.complete, answer.incomplete), (Some(1), Some(1)));
        assert_eq!(
            answer.peers,
            [peer("127.0.0.1:6882"), peer("127.0.0.1:6881")]
        );
    }

    #[test]
    fn reads_a_scrape_of_opentracker() {
        let bytes =
            b"d5:filesd20:\xa0\xa4\xb2\x93\x20\xda\xea\xe1\x9f\xb6\x09;'\x19\x8b7\x8aR\xfe\xea\
            d8:completei1e10:downloadedi0e10:incompletei1eeee";
        let files = decode_scrape(bytes).unwrap().files;
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].1.complete, files[0].1.incomplete), (1, 1));
    }

    #[test]
    fn peers_that_nobody_can_reach_are_left_out() {
        let compact = b"d5:peers18:\0\0\0\0\x1a\xe1\x7f\0\0\x01\0\0\xe0\0\0\x01\x1a\xe1e";
        assert_eq!(decode_announce(compact).unwrap().peers, []);
        let dictionaries = b"d5:peersld2:ip11:example.com4:porti80eed2:ip9:192.0.2.14:porti70000ee\
            d2:ip9:192.0.2.1ei5ed2:ip9:192.0.2.24:porti6881eeee";
        assert_eq!(
            decode_announce(dictionaries).unwrap().peers,
            [peer("192.0.2.2:6881")]
        );
    }

    #[test]
    fn a_torn_compact_peer_does_not_cost_the_others() {
        let bytes = b"d5:peers8:\x7f\0\0\x01\x1a\xe1\x7f\0e";
        assert_eq!(
            decode_announce(bytes).unwrap().peers,
            [peer("127.0.0.1:6881")]
        );
    }

    #[test]
    fn intervals_are_held_within_32_bits() {
        for (written, read) in [("-5", 0), ("99999999999", u32::MAX), ("900", 900)] {
            let bytes = format!("d8:intervali{written}e5:peers0:e");
            assert_eq!(decode_announce(bytes.as_bytes()).unwrap().interval, read);
        }
        assert_eq!(
            decode_announce(b"d5:peers0:e").unwrap().interval,
            USUAL_INTERVAL
        );
    }

    #[test]
    fn a_web_page_is_no_answer() {
        assert!(matches!(
            decode_announce(b"<!doctype html>"),
            Err(AnswerError::NotBencode(_))
        ));
        assert_eq!(decode_announce(b"de"), Err(AnswerError::Lacks("peers")));
        assert_eq!(
            decode_announce(b"le"),
            Err(AnswerError::Lacks("a dictionary"))
        );
        assert_eq!(decode_scrape(b"de"), Err(AnswerError::Lacks("files")));
    }

    #[test]
    fn words_for_the_terminal_hold_no_control_characters() {
        let bytes = b"d14:failure reason10:no\x1b[2Jway\xffe";
        let Err(AnswerError::Refused(failure)) = decode_announce(bytes) else {
            panic!("not refused");
        };
        assert_eq!(failure.reason, "no [2Jway\u{fffd}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = encode_announce(&answer(), PeerFormat::Compact);
        for length in 0..bytes.len() {
            assert!(decode_announce(&bytes[..length]).is_err(), "{length}");
        }
    }

    fn any_peer() -> impl Strategy<Value = Peer> {
        let ip = prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::from),
            any::<Ipv6Addr>().prop_map(IpAddr::from)
        ];
        (ip, 1..=u16::MAX).prop_filter_map("reachable", |(ip, port)| reachable(ip, port, None))
    }

    proptest! {
        #[test]
        fn compact_answers_round_trip(
            interval: u32,
            min_interval: Option<u32>,
            complete: Option<u32>,
            incomplete: Option<u32>,
            downloaded in proptest::option::of(0..u64::MAX / 2),
            mut peers in proptest::collection::vec(any_peer(), 0..20),
            warning in proptest::option::of("[a-z ü]{0,20}"),
        ) {
            // Compact answers hold the families apart.
            peers.sort_by_key(|peer| peer.address.is_ipv6());
            let external_ip = peers.first().map(|peer| peer.address.ip());
            let answer = AnnounceAnswer {
                interval, min_interval, complete, incomplete, downloaded, peers, external_ip, warning,
            };
            for format in [PeerFormat::Compact, PeerFormat::DictionariesWithoutIds] {
                let bytes = encode_announce(&answer, format);
                prop_assert_eq!(decode_announce(&bytes), Ok(answer.clone()));
            }
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes: Vec<u8>) {
            let _ = decode_announce(&bytes);
            let _ = decode_scrape(&bytes);
        }
    }
}
