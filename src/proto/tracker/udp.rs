//! The packets of the UDP tracker, written and read on both sides (BEP 15, 41).
//!
//! Every request but `connect` carries the connection id that the tracker gave to the asker's address, and every answer
//! the transaction id that the asker chose. Integers are big-endian. Peers in an answer are of the family that the
//! packets travel in. Clients send event 4 for BEP 21's `paused`, which BEP 15 does not name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use super::announce::{
    AnnounceAnswer, AnnounceRequest, Event, Failure, Peer, ScrapeAnswer, ScrapeCounts,
    ScrapeRequest, words,
};
use crate::proto::id::{InfoHash, PeerId};

/// What stands for a connection id in `connect`.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// Bytes of an answer, at most: what passes every path on the Internet in one piece.
pub const MAX_ANSWER: usize = 1_400;

/// Bytes that BEP 41's options may bring along, at most.
const MAX_URL_DATA: usize = 1_024;

/// What is left where a client does not know: the largest number that it can write.
const UNKNOWN_LEFT: [u64; 2] = [i64::MAX as u64, u64::MAX];

/// The secret of an address: proves that whoever asks can receive what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// A number that an asker finds its answer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub u32);

/// The family of addresses that packets travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4: peers take 6 bytes.
    V4,
    /// IPv6: peers take 18 bytes.
    V6,
}

impl Family {
    /// The family of an address; IPv4-mapped addresses are IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    const fn peer_length(self) -> usize {
        match self {
            Self::V4 => 6,
            Self::V6 => 18,
        }
    }

    /// Peers that fit into an answer.
    const fn most_peers(self) -> usize {
        const ROOM: usize = MAX_ANSWER - 20;
        match self {
            Self::V4 => ROOM / 6,
            Self::V6 => ROOM / 18,
        }
    }
}

/// What a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A connection id.
    Connect,
    /// To join, stay in or leave a swarm.
    Announce,
    /// Swarms in numbers.
    Scrape,
    /// In answers alone: what follows are words.
    Error,
}

impl Action {
    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Connect),
            1 => Some(Self::Announce),
            2 => Some(Self::Scrape),
            3 => Some(Self::Error),
            _ => None,
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Connect => 0,
            Self::Announce => 1,
            Self::Scrape => 2,
            Self::Error => 3,
        }
    }
}

/// The first 16 bytes of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Who asks; in `connect` nothing of meaning.
    pub connection: ConnectionId,
    /// What it asks for.
    pub action: Action,
    /// To be repeated in the answer.
    pub transaction: TransactionId,
}

impl RequestHead {
    /// Reads the head of a request; `None` where the packet is none.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader(packet);
        let connection = reader.u64()?;
        let action = Action::from_number(reader.u32()?)?;
        let transaction = TransactionId(reader.u32()?);
        if action == Action::Error || (action == Action::Connect && connection != PROTOCOL_ID) {
            return None;
        }
        Some(Self {
            connection: ConnectionId(connection),
            action,
            transaction,
        })
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.connection.0.to_be_bytes());
        out.extend_from_slice(&self.action.number().to_be_bytes());
        out.extend_from_slice(&self.transaction.0.to_be_bytes());
    }
}

/// Why a request cannot be answered. The text is for the person in front of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The packet ends too early.
    #[error("the packet is shorter than its kind; is the client broken?")]
    Short,
    /// Nobody can connect to port 0.
    #[error("port 0 cannot be connected to; set a port for incoming connections in the client")]
    NoPort,
    /// A scrape names nothing, or too much.
    #[error("a scrape names 1 to {} info-hashes", ScrapeRequest::MAX_SCRAPED)]
    ScrapeLength,
}

/// An announce, and what its client would have asked an HTTP tracker's URL for (BEP 41): path and query, in which a
/// private tracker's passkey is. Empty where it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpAnnounce {
    /// What the peer tells.
    pub request: AnnounceRequest,
    /// Path and query of the tracker's URL, as the client has it.
    pub url_data: Vec<u8>,
}

/// Reads an announce. The address that it claims is ignored.
///
/// # Errors
/// [`RequestError`], to be told to those alone who have a connection id.
pub fn decode_announce(packet: &[u8]) -> Result<UdpAnnounce, RequestError> {
    read_announce(packet).ok_or(RequestError::Short)?
}

fn read_announce(packet: &[u8]) -> Option<Result<UdpAnnounce, RequestError>> {
    let mut reader = Reader(packet.get(16..)?);
    let info_hash = InfoHash::from(reader.array()?);
    let peer_id = PeerId::from(reader.array()?);
    let downloaded = reader.u64()?;
    let left = reader.u64()?;
    let uploaded = reader.u64()?;
    let event = match reader.u32()? {
        1 => Event::Completed,
        2 => Event::Started,
        3 => Event::Stopped,
        4 => Event::Paused,
        _ => Event::None,
    };
    let _claimed_address = reader.u32()?;
    let key = reader.u32()?;
    // -1 stands for "as you like"; clients write other negative numbers for it too.
    let numwant = Some(reader.u32()?).filter(|wanted| i32::try_from(*wanted).is_ok());
    let Some(port) = NonZeroU16::new(reader.u16()?) else {
        return Some(Err(RequestError::NoPort));
    };
    Some(Ok(UdpAnnounce {
        request: AnnounceRequest {
            info_hash,
            peer_id,
            port,
            uploaded,
            downloaded,
            left: Some(left).filter(|left| !UNKNOWN_LEFT.contains(left)),
            event,
            numwant,
            key: Some(key),
        },
        url_data: url_data(reader.0),
    }))
}

/// The address that an announce claims for its peer; `None` where it claims none. It is no more than a claim.
pub fn claimed_ip(announce: &[u8]) -> Option<IpAddr> {
    /// Head, info-hash, peer id, three counts, event.
    const BEFORE: usize = 16 + 20 + 20 + 24 + 4;
    let octets: [u8; 4] = *announce.get(BEFORE..)?.first_chunk()?;
    let claimed = Ipv4Addr::from(octets);
    (!claimed.is_unspecified()).then_some(claimed.into())
}

/// What the options behind an announce say of the URL; those that are cut off or unknown are skipped.
fn url_data(mut options: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        match options {
            [0, ..] | [] | [_] => return data,
            [1, rest @ ..] => options = rest,
            [kind, length, rest @ ..] => {
                let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                    return data;
                };
                if *kind == 2 && data.len().saturating_add(value.len()) <= MAX_URL_DATA {
                    data.extend_from_slice(value);
                }
                options = rest;
            }
        }
    }
}

/// Reads a scrape.
///
/// # Errors
/// [`RequestError`], to be told to those alone who have a connection id.
pub fn decode_scrape(packet: &[u8]) -> Result<ScrapeRequest, RequestError> {
    let hashes = packet.get(16..).unwrap_or_default();
    let (hashes, rest) = hashes.as_chunks::<{ InfoHash::LENGTH }>();
    if !rest.is_empty() || hashes.is_empty() || hashes.len() > ScrapeRequest::MAX_SCRAPED {
        return Err(RequestError::ScrapeLength);
    }
    Ok(ScrapeRequest {
        info_hashes: hashes.iter().copied().map(InfoHash::from).collect(),
    })
}

/// Writes `connect`.
pub fn encode_connect(transaction: TransactionId, out: &mut Vec<u8>) {
    let head = RequestHead {
        connection: ConnectionId(PROTOCOL_ID),
        action: Action::Connect,
        transaction,
    };
    head.encode(out);
}

/// Writes an announce.
pub fn encode_announce(
    announce: &UdpAnnounce,
    connection: ConnectionId,
    transaction: TransactionId,
    out: &mut Vec<u8>,
) {
    let request = &announce.request;
    let head = RequestHead {
        connection,
        action: Action::Announce,
        transaction,
    };
    head.encode(out);
    out.extend_from_slice(request.info_hash.as_bytes());
    out.extend_from_slice(request.peer_id.as_bytes());
    out.extend_from_slice(&request.downloaded.to_be_bytes());
    out.extend_from_slice(&request.left.unwrap_or(i64::MAX as u64).to_be_bytes());
    out.extend_from_slice(&request.uploaded.to_be_bytes());
    let event: u32 = match request.event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
        Event::Paused => 4,
    };
    out.extend_from_slice(&event.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&request.key.unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&request.numwant.unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&request.port.get().to_be_bytes());
    for part in announce.url_data.chunks(usize::from(u8::MAX)) {
        out.extend_from_slice(&[2, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(part);
    }
}

/// Writes a scrape, of [`ScrapeRequest::MAX_SCRAPED`] torrents at most.
pub fn encode_scrape(
    request: &ScrapeRequest,
    connection: ConnectionId,
    transaction: TransactionId,
    out: &mut Vec<u8>,
) {
    let head = RequestHead {
        connection,
        action: Action::Scrape,
        transaction,
    };
    head.encode(out);
    let scraped = request.info_hashes.iter().take(ScrapeRequest::MAX_SCRAPED);
    for info_hash in scraped {
        out.extend_from_slice(info_hash.as_bytes());
    }
}

/// Writes the answer to `connect`.
pub fn encode_connected(connection: ConnectionId, transaction: TransactionId, out: &mut Vec<u8>) {
    encode_answer_head(Action::Connect, transaction, out);
    out.extend_from_slice(&connection.0.to_be_bytes());
}

/// Writes the answer to an announce, with as many peers of the family as fit into one packet.
pub fn encode_announced(
    answer: &AnnounceAnswer,
    family: Family,
    transaction: TransactionId,
    out: &mut Vec<u8>,
) {
    encode_answer_head(Action::Announce, transaction, out);
    out.extend_from_slice(&answer.interval.to_be_bytes());
    out.extend_from_slice(&answer.incomplete.unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&answer.complete.unwrap_or_default().to_be_bytes());
    let peers = answer
        .peers
        .iter()
        .filter(|peer| Family::of(peer.address.ip()) == family);
    for peer in peers.take(family.most_peers()) {
        match peer.address.ip().to_canonical() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
        out.extend_from_slice(&peer.address.port().to_be_bytes());
    }
}

/// Writes the answer to a scrape: the torrents in the order in which they were asked for, zeros for those that are not
/// known.
pub fn encode_scraped(
    request: &ScrapeRequest,
    answer: &ScrapeAnswer,
    transaction: TransactionId,
    out: &mut Vec<u8>,
) {
    encode_answer_head(Action::Scrape, transaction, out);
    let mut known = answer.files.iter().peekable();
    for info_hash in &request.info_hashes {
        let counts = known
            .next_if(|(known, _)| known == info_hash)
            .map(|(_, counts)| *counts)
            .unwrap_or_default();
        out.extend_from_slice(&counts.complete.to_be_bytes());
        let downloaded = u32::try_from(counts.downloaded).unwrap_or(u32::MAX);
        out.extend_from_slice(&downloaded.to_be_bytes());
        out.extend_from_slice(&counts.incomplete.to_be_bytes());
    }
}

/// Writes a refusal, cut to fit into one packet.
pub fn encode_failure(failure: &Failure, transaction: TransactionId, out: &mut Vec<u8>) {
    encode_answer_head(Action::Error, transaction, out);
    let reason = failure.reason.as_bytes();
    out.extend_from_slice(reason.get(..MAX_ANSWER - 8).unwrap_or(reason));
}

fn encode_answer_head(action: Action, transaction: TransactionId, out: &mut Vec<u8>) {
    out.extend_from_slice(&action.number().to_be_bytes());
    out.extend_from_slice(&transaction.0.to_be_bytes());
}

/// What a tracker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `connect`.
    Connected(ConnectionId),
    /// To an announce.
    Announced(AnnounceAnswer),
    /// To a scrape: the torrents' numbers, in the order in which they were asked for.
    Scraped(Vec<ScrapeCounts>),
    /// A refusal, in the tracker's words.
    Refused(Failure),
}

/// Reads an answer that came from an address of this family. `None` where the packet is no answer: it may be anybody's, and is dropped.
///
/// The transaction id must be compared before anything else is believed.
pub fn decode_answer(packet: &[u8], family: Family) -> Option<(TransactionId, Answer)> {
    let mut reader = Reader(packet);
    let action = Action::from_number(reader.u32()?)?;
    let transaction = TransactionId(reader.u32()?);
    let answer = match action {
        Action::Connect => Answer::Connected(ConnectionId(reader.u64()?)),
        Action::Announce => Answer::Announced(AnnounceAnswer {
            interval: reader.u32()?,
            incomplete: Some(reader.u32()?),
            complete: Some(reader.u32()?),
            peers: read_peers(reader.0, family),
            ..AnnounceAnswer::default()
        }),
        Action::Scrape => {
            let (counts, _) = reader.0.as_chunks::<12>();
            Answer::Scraped(
                counts
                    .iter()
                    .filter_map(|counts| read_counts(counts))
                    .collect(),
            )
        }
        Action::Error => Answer::Refused(Failure::new(words(reader.0))),
    };
    Some((transaction, answer))
}

/// Peers that can be connected to; a rest that is no whole peer is ignored.
fn read_peers(bytes: &[u8], family: Family) -> Vec<Peer> {
    let peers = bytes.chunks_exact(family.peer_length()).filter_map(|peer| {
        let mut reader = Reader(peer);
        let ip: IpAddr = match family {
            Family::V4 => Ipv4Addr::from(reader.array::<4>()?).into(),
            Family::V6 => Ipv6Addr::from(reader.array::<16>()?).into(),
        };
        let port = reader.u16().filter(|port| *port != 0)?;
        (!ip.is_unspecified()).then_some(Peer {
            address: SocketAddr::new(ip, port),
            id: None,
        })
    });
    peers.collect()
}

fn read_counts(bytes: &[u8]) -> Option<ScrapeCounts> {
    let mut reader = Reader(bytes);
    Some(ScrapeCounts {
        complete: reader.u32()?,
        downloaded: reader.u32()?.into(),
        incomplete: reader.u32()?,
        downloaders: None,
    })
}

/// What is still to be read of a packet.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRANSACTION: TransactionId = TransactionId(0x0102_0304);
    const CONNECTION: ConnectionId = ConnectionId(0x1122_3344_5566_7788);

    fn announce() -> UdpAnnounce {
        UdpAnnounce {
            request: AnnounceRequest {
                info_hash: [0xaa; 20].into(),
                peer_id: [0xbb; 20].into(),
                port: NonZeroU16::new(6881).unwrap(),
                uploaded: 3,
                downloaded: 1,
                left: Some(2),
                event: Event::Started,
                numwant: Some(30),
                key: Some(9),
            },
            url_data: Vec::new(),
        }
    }

    fn written(announce: &UdpAnnounce) -> Vec<u8> {
        let mut packet = Vec::new();
        encode_announce(announce, CONNECTION, TRANSACTION, &mut packet);
        packet
    }

    #[test]
    fn an_announce_has_its_fields_where_bep_15_puts_them() {
        let packet = written(&announce());
        assert_eq!(packet.len(), 98);
        assert_eq!(packet[..8], CONNECTION.0.to_be_bytes());
        assert_eq!(packet[8..16], [0, 0, 0, 1, 1, 2, 3, 4]);
        assert_eq!(packet[16..36], [0xaa; 20]);
        assert_eq!(packet[36..56], [0xbb; 20]);
        assert_eq!((packet[63], packet[71], packet[79]), (1, 2, 3));
        assert_eq!(packet[83], 2);
        assert_eq!(packet[84..88], [0; 4]);
        assert_eq!((packet[91], packet[95]), (9, 30));
        assert_eq!(packet[96..], 6881_u16.to_be_bytes());
    }

    #[test]
    fn a_claimed_address_is_read_where_somebody_asks_for_it() {
        let mut packet = written(&announce());
        assert_eq!(claimed_ip(&packet), None);
        packet[84..88].copy_from_slice(&[203, 0, 113, 9]);
        assert_eq!(claimed_ip(&packet), Some([203, 0, 113, 9].into()));
        assert_eq!(claimed_ip(&packet[..87]), None);
    }

    #[test]
    fn what_a_client_does_not_know_is_unknown() {
        let mut packet = written(&announce());
        packet[64..72].copy_from_slice(&[0x7f, 255, 255, 255, 255, 255, 255, 255]);
        packet[92..96].copy_from_slice(&[255; 4]);
        let read = decode_announce(&packet).unwrap().request;
        assert_eq!((read.left, read.numwant), (None, None));
        packet[80..84].copy_from_slice(&[0, 0, 0, 4]);
        assert_eq!(
            decode_announce(&packet).unwrap().request.event,
            Event::Paused
        );
        packet[80..84].copy_from_slice(&[9; 4]);
        assert_eq!(decode_announce(&packet).unwrap().request.event, Event::None);
    }

    #[test]
    fn a_port_that_nobody_can_connect_to_is_refused() {
        let mut packet = written(&announce());
        packet[96..98].copy_from_slice(&[0, 0]);
        assert_eq!(decode_announce(&packet), Err(RequestError::NoPort));
        assert_eq!(decode_announce(&packet[..97]), Err(RequestError::Short));
    }

    #[test]
    fn the_url_is_read_past_options_that_nobody_knows() {
        let mut packet = written(&announce());
        packet.extend([1, 1, 7, 2, 0, 0, 2, 3]);
        packet.extend(b"/an");
        packet.extend([2, 5]);
        packet.extend(b"nounc");
        assert_eq!(decode_announce(&packet).unwrap().url_data, b"/announc");
        // The end of options, and one that is cut off.
        for tail in [&[0, 2, 1, b'x'][..], &[2, 9, b'x'], &[2], &[7]] {
            let packet = [packet.as_slice(), tail].concat();
            assert_eq!(
                decode_announce(&packet).unwrap().url_data,
                b"/announc",
                "{tail:?}"
            );
        }
    }

    #[test]
    fn a_scrape_names_one_to_seventy_four_torrents() {
        for count in [0, 1, 74, 75] {
            let mut packet = vec![0; 16];
            packet.extend(vec![7; 20 * count]);
            let read = decode_scrape(&packet).map(|request| request.info_hashes.len());
            let expected = (1..=74).contains(&count).then_some(count);
            assert_eq!(read.ok(), expected, "{count}");
        }
        assert_eq!(decode_scrape(&[0; 17]), Err(RequestError::ScrapeLength));
    }

    #[test]
    fn connect_needs_the_protocol_id() {
        let mut packet = Vec::new();
        encode_connect(TRANSACTION, &mut packet);
        let head = RequestHead::decode(&packet).unwrap();
        assert_eq!(
            (head.action, head.transaction),
            (Action::Connect, TRANSACTION)
        );
        packet[7] ^= 1;
        assert_eq!(RequestHead::decode(&packet), None);
    }

    #[test]
    fn an_answer_has_the_peers_of_its_family_and_fits_into_a_packet() {
        let v4 = |n: u16| Peer {
            address: SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), n),
            id: None,
        };
        let v6 = |n: u16| Peer {
            address: SocketAddr::new(Ipv6Addr::LOCALHOST.into(), n),
            id: None,
        };
        let answer = AnnounceAnswer {
            interval: 1800,
            complete: Some(5),
            incomplete: Some(6),
            peers: (1..=300).flat_map(|n| [v4(n), v6(n)]).collect(),
            ..AnnounceAnswer::default()
        };
        for (family, most) in [(Family::V4, 230), (Family::V6, 76)] {
            let mut packet = Vec::new();
            encode_announced(&answer, family, TRANSACTION, &mut packet);
            assert!(packet.len() <= MAX_ANSWER);
            let Some((TRANSACTION, Answer::Announced(read))) = decode_answer(&packet, family)
            else {
                panic!("no announce's answer");
            };
            assert_eq!(read.peers.len(), most);
            assert!(
                read.peers
                    .iter()
                    .all(|peer| Family::of(peer.address.ip()) == family)
            );
            assert_eq!(
                (read.interval, read.complete, read.incomplete),
                (1800, Some(5), Some(6))
            );
        }
    }

    #[test]
    fn scraped_torrents_keep_their_order_and_unknown_ones_are_zeros() {
        let hash = |n: u8| InfoHash::from([n; 20]);
        let counts = |n| ScrapeCounts {
            complete: n,
            incomplete: n + 1,
            downloaded: u64::MAX,
            downloaders: None,
        };
        let request = ScrapeRequest {
            info_hashes: vec![hash(1), hash(2), hash(3)],
        };
        let answer = ScrapeAnswer {
            files: vec![(hash(1), counts(10)), (hash(3), counts(30))],
            min_request_interval: None,
        };
        let mut packet = Vec::new();
        encode_scraped(&request, &answer, TRANSACTION, &mut packet);
        let Some((_, Answer::Scraped(read))) = decode_answer(&packet, Family::V4) else {
            panic!("no scrape's answer");
        };
        let numbers: Vec<_> = read
            .iter()
            .map(|counts| (counts.complete, counts.downloaded))
            .collect();
        assert_eq!(
            numbers,
            [(10, u32::MAX.into()), (0, 0), (30, u32::MAX.into())]
        );
    }

    #[test]
    fn refusals_arrive_in_words() {
        let mut packet = Vec::new();
        encode_failure(&Failure::new("no\x1b[2Jway"), TRANSACTION, &mut packet);
        let (_, answer) = decode_answer(&packet, Family::V6).unwrap();
        assert_eq!(answer, Answer::Refused(Failure::new("no [2Jway")));
    }

    proptest! {
        #[test]
        fn announces_come_back_as_they_went(
            left in prop::option::of(0..1_u64 << 60),
            numwant in prop::option::of(0..200_u32),
            port in 1..=u16::MAX,
            url_data in prop::collection::vec(any::<u8>(), 0..900),
        ) {
            let mut announce = announce();
            announce.request.left = left;
            announce.request.numwant = numwant;
            announce.request.port = NonZeroU16::new(port).unwrap();
            announce.url_data = url_data;
            let packet = written(&announce);
            prop_assert_eq!(RequestHead::decode(&packet).unwrap().connection, CONNECTION);
            prop_assert_eq!(decode_announce(&packet), Ok(announce));
        }

        #[test]
        fn no_packet_confuses_the_readers(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestHead::decode(&packet);
            let _ = decode_announce(&packet);
            let _ = decode_scrape(&packet);
            for family in [Family::V4, Family::V6] {
                let _ = decode_answer(&packet, family);
            }
        }
    }
}
