//! The UDP tracker: decode, ask the service, encode, and nothing else (BEP 15, 41).
//!
//! It has a thread of its own, so that announces do not wait behind uploads and pages. Packets come in batches and are
//! answered in batches. Whoever has not shown a connection id of its address gets nothing but one, in a packet no longer than
//! its own, so nobody can be flooded through this tracker.

use std::io::{self, IoSliceMut, PipeReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::asker::{Asker, Door};
use super::connection_id::ConnectionIds;
use super::figures::Outcome;
use super::path::Route;
use super::replies::Replies;
use super::service::Tracker;
use crate::ambient;
use crate::proto::tracker::announce::Failure;
use crate::proto::tracker::udp::{
    Action, Family, RequestError, RequestHead, claimed_ip, decode_announce, decode_scrape,
    encode_announced, encode_connected, encode_failure, encode_scraped,
};
use crate::proto::wire::utp::is_utp;

/// Bytes that a batch of packets may bring from one sender: the kernel joins those that came together.
const MAX_BURST: usize = 16 * 1024;

/// Bytes that wait in the kernel each way, where it allows so many: announces come in waves.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// The UDP tracker on its socket.
pub struct UdpTracker {
    socket: UdpSocket,
    state: UdpSocketState,
    answers: Answers,
    /// Where the packets of uTP go; a full channel loses them.
    utp: Option<mpsc::Sender<(SocketAddr, Vec<u8>)>>,
}

/// What is said to packets, apart from the socket.
struct Answers {
    tracker: Arc<Tracker>,
    ids: ConnectionIds,
    start: Instant,
}

impl UdpTracker {
    /// Prepares a socket, which is bound and does not block.
    ///
    /// # Errors
    /// Whatever the operating system refuses.
    pub fn new(socket: UdpSocket, tracker: Arc<Tracker>) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // Smaller buffers than wished for still serve.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
        Ok(Self {
            socket,
            state,
            answers: Answers {
                tracker,
                ids: ConnectionIds::default(),
                start: ambient::now(),
            },
            utp: None,
        })
    }

    /// Hands the packets of uTP over, with where they came from; where the channel is full, they are lost.
    #[must_use]
    pub fn with_utp(self, packets: mpsc::Sender<(SocketAddr, Vec<u8>)>) -> Self {
        Self {
            utp: Some(packets),
            ..self
        }
    }

    /// Answers on a thread of its own until `shutdown`.
    ///
    /// # Errors
    /// Where the system has no thread or no pipe left.
    pub fn start(self, shutdown: CancellationToken) -> io::Result<impl Future<Output = ()>> {
        // The thread wakes when the other end of the pipe is gone.
        let (end, held_open) = io::pipe()?;
        let is_over = shutdown.clone();
        let serving = thread::Builder::new()
            .name("udp-tracker".to_owned())
            .spawn(move || self.serve(&end, &is_over))?;
        Ok(async move {
            shutdown.cancelled().await;
            drop(held_open);
            let _ = spawn_blocking(|| serving.join()).await;
        })
    }

    fn serve(self, end: &PipeReader, is_over: &CancellationToken) {
        let mut received = vec![0; BATCH_SIZE * MAX_BURST];
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut replies = match Replies::new(&self.socket) {
            Ok(replies) => replies,
            Err(error) => {
                tracing::error!(%error, "the UDP tracker does not serve");
                return;
            }
        };
        while !is_over.is_cancelled() {
            let mut slots: Vec<_> = received
                .chunks_exact_mut(MAX_BURST)
                .map(IoSliceMut::new)
                .collect();
            let count = self
                .state
                .recv((&self.socket).into(), &mut slots, &mut metas);
            let count = match count {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = [
                        PollFd::new(&self.socket, PollFlags::IN),
                        PollFd::new(end, PollFlags::IN),
                    ];
                    let _ = poll(&mut ready, None);
                    continue;
                }
                Err(error) => {
                    // An answer to somebody who is gone comes back as an error of the socket; the next packet is unharmed.
                    tracing::debug!(%error, "a packet could not be received");
                    continue;
                }
            };
            drop(slots);
            let now = ambient::now();
            for (burst, meta) in received.chunks_exact(MAX_BURST).zip(&metas).take(count) {
                let bytes = burst.get(..meta.len).unwrap_or_default();
                for packet in bytes.chunks(meta.stride.max(1)) {
                    if let Some(utp) = &self.utp
                        && is_utp(packet)
                    {
                        let _ = utp.try_send((meta.addr, packet.to_vec()));
                        continue;
                    }
                    replies.add(meta.addr, meta.dst_ip, |answer| {
                        self.answers.answer(packet, meta.addr.ip(), now, answer);
                    });
                }
            }
            replies.send();
        }
    }
}

impl Answers {
    /// Writes the answer to a packet from `source`; nothing where it deserves none.
    fn answer(&self, packet: &[u8], source: IpAddr, now: Instant, out: &mut Vec<u8>) {
        let count = |outcome| self.tracker.figures().add(Door::Udp, outcome);
        let Some(head) = RequestHead::decode(packet) else {
            return count(Outcome::Ignored);
        };
        let uptime = now.saturating_duration_since(self.start).as_secs();
        if head.action == Action::Connect {
            encode_connected(self.ids.give(source, uptime), head.transaction, out);
            return count(Outcome::Connected);
        }
        if !self.ids.holds(head.connection, source, uptime) {
            return count(Outcome::Ignored);
        }
        let asker = Asker::new(source, Door::Udp);
        let answered = match head.action {
            Action::Announce => self.announce(packet, head, &asker, now, out),
            _ => self.scrape(packet, head, &asker, now, out),
        };
        if let Err(failure) = answered {
            encode_failure(&failure, head.transaction, out);
        }
    }

    fn announce(
        &self,
        packet: &[u8],
        head: RequestHead,
        asker: &Asker,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let announce = decode_announce(packet).map_err(|error| self.not_understood(error))?;
        let route = Route::of_url_data(&announce.url_data);
        let asker = asker.with_passkey(route.and_then(|route| route.passkey));
        // A packet can only claim IPv4, and who asks over IPv6 must be answered with IPv6.
        let claimed = || claimed_ip(packet).filter(|_| asker.ip.is_ipv4());
        let asker = self.tracker.admission().place(&asker, claimed);
        let answer = self.tracker.announce(&announce.request, &asker, now)?;
        encode_announced(&answer, Family::of(asker.ip), head.transaction, out);
        Ok(())
    }

    fn scrape(
        &self,
        packet: &[u8],
        head: RequestHead,
        asker: &Asker,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let request = decode_scrape(packet).map_err(|error| self.not_understood(error))?;
        let answer = self.tracker.scrape(&request, asker, now)?;
        encode_scraped(&request, &answer, head.transaction, out);
        Ok(())
    }

    fn not_understood(&self, error: RequestError) -> Failure {
        self.tracker.not_understood(Door::Udp, &error)
    }
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU16;
    use std::time::Duration;

    use super::super::options::Options;
    use super::super::tests::{Fixture, START};
    use super::*;
    use crate::proto::id::InfoHash;
    use crate::proto::tracker::announce::{AnnounceAnswer, AnnounceRequest, Event, ScrapeRequest};
    use crate::proto::tracker::udp::{
        Answer, ConnectionId, TransactionId, UdpAnnounce, decode_answer, encode_announce,
        encode_connect, encode_scrape,
    };

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8));
    const TRANSACTION: TransactionId = TransactionId(7);

    struct Asker {
        answers: Answers,
        v1: InfoHash,
        v2: InfoHash,
    }

    impl Asker {
        async fn new() -> Self {
            let fixture = Fixture::new(Options::default()).await;
            Self {
                v1: fixture.v1,
                v2: fixture.v2,
                answers: Answers {
                    tracker: Arc::new(fixture.tracker),
                    ids: ConnectionIds::default(),
                    start: *START,
                },
            }
        }

        fn ask_at(&self, packet: &[u8], source: IpAddr, seconds: u64) -> Vec<u8> {
            let mut out = Vec::new();
            let now = *START + Duration::from_secs(seconds);
            self.answers.answer(packet, source, now, &mut out);
            out
        }

        fn ask(&self, packet: &[u8], source: IpAddr) -> Answer {
            let answer = self.ask_at(packet, source, 0);
            let (transaction, answer) = decode_answer(&answer, Family::of(source)).unwrap();
            assert_eq!(transaction, TRANSACTION);
            answer
        }

        fn connect(&self, source: IpAddr) -> ConnectionId {
            let mut packet = Vec::new();
            encode_connect(TRANSACTION, &mut packet);
            match self.ask(&packet, source) {
                Answer::Connected(id) => id,
                other => panic!("{other:?}"),
            }
        }

        fn announce(
            &self,
            info_hash: InfoHash,
            port: u16,
            left: u64,
            source: IpAddr,
        ) -> AnnounceAnswer {
            let packet = announce(info_hash, port, left, self.connect(source));
            match self.ask(&packet, source) {
                Answer::Announced(answer) => answer,
                other => panic!("{other:?}"),
            }
        }
    }

    fn announce(info_hash: InfoHash, port: u16, left: u64, connection: ConnectionId) -> Vec<u8> {
        let mut packet = Vec::new();
        let announce = UdpAnnounce {
            request: AnnounceRequest {
                info_hash,
                peer_id: [port.to_be_bytes()[0]; 20].into(),
                port: NonZeroU16::new(port).unwrap(),
                uploaded: 0,
                downloaded: 0,
                left: Some(left),
                event: Event::Started,
                numwant: None,
                key: Some(1),
            },
            url_data: Vec::new(),
        };
        encode_announce(&announce, connection, TRANSACTION, &mut packet);
        packet
    }

    #[tokio::test]
    async fn both_hashes_of_a_hybrid_are_one_swarm() {
        let asker = Asker::new().await;
        let first = asker.announce(asker.v1, 5_000, 5, SOURCE);
        assert_eq!((first.complete, first.incomplete), (Some(1), Some(1)));
        let second = asker.announce(asker.v2, 6_000, 5, OTHER);
        let addresses: Vec<_> = second
            .peers
            .iter()
            .map(|peer| peer.address.to_string())
            .collect();
        assert_eq!(addresses, ["203.0.113.5:6881", "198.51.100.7:5000"]);
    }

    #[tokio::test]
    async fn peers_are_of_the_family_that_asks() {
        let asker = Asker::new().await;
        let source = "2001:db8::9".parse().unwrap();
        let answer = asker.announce(asker.v1, 5_000, 5, source);
        let addresses: Vec<_> = answer
            .peers
            .iter()
            .map(|peer| peer.address.to_string())
            .collect();
        assert_eq!(addresses, ["[2001:db8::5]:6881"]);
    }

    #[tokio::test]
    async fn nobody_is_answered_without_an_id_of_its_own() {
        let asker = Asker::new().await;
        let id = asker.connect(SOURCE);
        let packet = announce(asker.v1, 5_000, 5, id);
        assert!(asker.ask_at(&packet, OTHER, 0).is_empty());
        assert!(asker.ask_at(&packet, SOURCE, 200).is_empty());
        assert!(!asker.ask_at(&packet, SOURCE, 119).is_empty());
        let forged = announce(asker.v1, 5_000, 5, ConnectionId(id.0 ^ 1));
        assert!(asker.ask_at(&forged, SOURCE, 0).is_empty());
    }

    #[tokio::test]
    async fn connect_is_not_answered_with_more_than_it_asked() {
        let asker = Asker::new().await;
        let mut packet = Vec::new();
        encode_connect(TRANSACTION, &mut packet);
        assert_eq!(asker.ask_at(&packet, SOURCE, 0).len(), packet.len());
        // Cut short, it is not a packet at all.
        assert!(asker.ask_at(&packet[..15], SOURCE, 0).is_empty());
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_to_those_with_an_id() {
        let asker = Asker::new().await;
        let id = asker.connect(SOURCE);
        let unknown = announce([9; 20].into(), 5_000, 5, id);
        let cut = &announce(asker.v1, 5_000, 5, id)[..90];
        let mut empty = Vec::new();
        encode_scrape(&ScrapeRequest::default(), id, TRANSACTION, &mut empty);
        for (packet, word) in [
            (&unknown[..], "does not know"),
            (cut, "shorter"),
            (&empty, "1 to 74"),
        ] {
            let Answer::Refused(failure) = asker.ask(packet, SOURCE) else {
                panic!("{word}");
            };
            assert!(failure.reason.contains(word), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_scrape_tells_the_numbers_of_what_is_published() {
        let asker = Asker::new().await;
        asker.announce(asker.v1, 5_000, 5, SOURCE);
        let request = ScrapeRequest {
            info_hashes: vec![[9; 20].into(), asker.v1],
        };
        let mut packet = Vec::new();
        encode_scrape(&request, asker.connect(SOURCE), TRANSACTION, &mut packet);
        let Answer::Scraped(counts) = asker.ask(&packet, SOURCE) else {
            panic!("no scrape's answer");
        };
        let numbers: Vec<_> = counts
            .iter()
            .map(|counts| (counts.complete, counts.incomplete))
            .collect();
        assert_eq!(numbers, [(0, 0), (1, 1)]);
    }
}
