//! Asks an outside tracker over UDP (BEP 15).
//!
//! Packets get lost, so each is sent again until its answer is there; what is no answer to it is not even looked at. The
//! whole takes no longer than its caller's patience.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::trackers::{Bounds, Told};
use crate::ambient;

use crate::proto::tracker::announce::{
    AnnounceAnswer, AnnounceRequest, Failure, ScrapeAnswer, ScrapeCounts, ScrapeRequest,
};
use crate::proto::tracker::udp::{
    Answer, ConnectionId, Family, TransactionId, UdpAnnounce, decode_answer, encode_announce,
    encode_connect, encode_scrape,
};

/// The part of all patience that the first packet gets; each after it gets twice as much. BEP 15 would wait 15 seconds,
/// which is long for a packet that was lost.
const FIRST_WAIT: u32 = 8;

/// Bytes of an answer that are read: more than fits into a packet of any network.
const MAX_PACKET: usize = 8 * 1024;

/// Why a tracker was of no use.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The address has no host or no port.
    #[error("the tracker's address needs a host and a port")]
    Address,
    /// The name is not known, or the network is not there.
    #[error("the tracker cannot be reached")]
    Unreachable(#[from] io::Error),
    /// The tracker refused, in its own words.
    #[error("the tracker says: {0}")]
    Refused(Failure),
    /// No answer came in time.
    #[error("the tracker is silent")]
    Silent,
    /// The tracker answered something else than it was asked.
    #[error("the answer is not what the tracker was asked")]
    OutOfPlace,
}

/// Announces to the tracker at `url`.
pub(super) async fn announce(
    url: &str,
    request: &AnnounceRequest,
    bounds: Bounds,
) -> Result<Told<AnnounceAnswer>, UdpError> {
    let asked = async {
        let url = Url::parse(url).map_err(|_| UdpError::Address)?;
        let connected = Connected::to(&url, bounds).await?;
        let answer = connected.announce(&url, request).await?;
        Ok(connected.told(answer))
    };
    timeout(bounds.patience, asked)
        .await
        .unwrap_or(Err(UdpError::Silent))
}

/// Scrapes the tracker at `url`. A torrent that it does not know has zeros in its answer.
pub(super) async fn scrape(
    url: &str,
    request: &ScrapeRequest,
    bounds: Bounds,
) -> Result<Told<ScrapeAnswer>, UdpError> {
    let asked = async {
        let url = Url::parse(url).map_err(|_| UdpError::Address)?;
        let connected = Connected::to(&url, bounds).await?;
        let counts = connected.scrape(request).await?;
        let names = request.info_hashes.iter().copied();
        Ok(connected.told(ScrapeAnswer {
            files: names.zip(counts).collect(),
            min_request_interval: None,
        }))
    };
    timeout(bounds.patience, asked)
        .await
        .unwrap_or(Err(UdpError::Silent))
}

/// A tracker that has given us a connection id.
struct Connected {
    asker: Asker,
    connection: ConnectionId,
}

impl Connected {
    /// Connects to the first of the tracker's addresses to which there is a way.
    async fn to(url: &Url, bounds: Bounds) -> Result<Self, UdpError> {
        let (Some(host), Some(port)) = (url.host_str(), url.port()) else {
            return Err(UdpError::Address);
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let first_wait = bounds.patience / FIRST_WAIT;
        let mut error = io::Error::from(io::ErrorKind::NotFound);
        for address in lookup_host((host, port)).await? {
            if bounds
                .family
                .is_some_and(|family| family != Family::of(address.ip()))
            {
                continue;
            }
            match Asker::connect(address, first_wait).await {
                Ok(asker) => {
                    return match asker.ask(encode_connect).await? {
                        Answer::Connected(connection) => Ok(Self { asker, connection }),
                        other => Err(out_of_place(other)),
                    };
                }
                Err(refused) => error = refused,
            }
        }
        Err(error.into())
    }

    async fn announce(
        &self,
        url: &Url,
        request: &AnnounceRequest,
    ) -> Result<AnnounceAnswer, UdpError> {
        let url_data = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let announce = UdpAnnounce {
            request: request.clone(),
            url_data: url_data.into(),
        };
        let write = |id, out: &mut Vec<u8>| encode_announce(&announce, self.connection, id, out);
        match self.asker.ask(write).await? {
            Answer::Announced(answer) => Ok(answer),
            other => Err(out_of_place(other)),
        }
    }

    async fn scrape(&self, request: &ScrapeRequest) -> Result<Vec<ScrapeCounts>, UdpError> {
        let write = |id, out: &mut Vec<u8>| encode_scrape(request, self.connection, id, out);
        match self.asker.ask(write).await? {
            Answer::Scraped(counts) => Ok(counts),
            other => Err(out_of_place(other)),
        }
    }

    fn told<T>(&self, answer: T) -> Told<T> {
        Told {
            answer,
            body: Vec::new(),
            address: self.asker.socket.peer_addr().ok(),
        }
    }
}

/// A socket that hears one tracker only.
struct Asker {
    socket: UdpSocket,
    family: Family,
    first_wait: Duration,
}

impl Asker {
    async fn connect(tracker: SocketAddr, first_wait: Duration) -> io::Result<Self> {
        let family = Family::of(tracker.ip());
        let any: SocketAddr = match family {
            Family::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Family::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(tracker).await?;
        Ok(Self {
            socket,
            family,
            first_wait,
        })
    }

    /// Sends a packet, waiting twice as long each time, until its answer comes.
    async fn ask(&self, write: impl Fn(TransactionId, &mut Vec<u8>)) -> io::Result<Answer> {
        let transaction = TransactionId(ambient::rng().random());
        let mut packet = Vec::new();
        write(transaction, &mut packet);
        let mut wait = self.first_wait;
        loop {
            self.socket.send(&packet).await?;
            if let Ok(answer) = timeout(wait, self.answer(transaction)).await {
                return answer;
            }
            wait = wait.saturating_mul(2);
        }
    }

    async fn answer(&self, wanted: TransactionId) -> io::Result<Answer> {
        let mut received = [0; MAX_PACKET];
        loop {
            let length = self.socket.recv(&mut received).await?;
            let packet = received.get(..length).unwrap_or_default();
            match decode_answer(packet, self.family) {
                Some((transaction, answer)) if transaction == wanted => return Ok(answer),
                _ => {}
            }
        }
    }
}

fn out_of_place(answer: Answer) -> UdpError {
    match answer {
        Answer::Refused(failure) => UdpError::Refused(failure),
        _ => UdpError::OutOfPlace,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::proto::tracker::announce::{Event, Peer};
    use crate::proto::tracker::udp::{
        Action, RequestHead, decode_announce, encode_announced, encode_connected, encode_failure,
    };

    const ID: ConnectionId = ConnectionId(0x1234);

    const BOUNDS: Bounds = Bounds {
        patience: Duration::from_secs(1),
        answer_bytes: 0,
        family: None,
    };

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: [7; 20].into(),
            peer_id: [8; 20].into(),
            port: NonZeroU16::MIN,
            uploaded: 0,
            downloaded: 0,
            left: None,
            event: Event::Started,
            numwant: None,
            key: Some(3),
        }
    }

    fn answer() -> AnnounceAnswer {
        AnnounceAnswer {
            interval: 900,
            complete: Some(1),
            incomplete: Some(2),
            peers: vec![Peer {
                address: "192.0.2.1:6881".parse().unwrap(),
                id: None,
            }],
            ..AnnounceAnswer::default()
        }
    }

    /// What a tracker says to each announce.
    enum Says {
        Nothing,
        Refusal,
        Answer,
    }

    /// A tracker that hears only every second packet, and puts a stranger's answer before each of its own.
    async fn tracker(says: Says) -> (String, impl Future<Output = ()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("udp://{}/announce?key=x", socket.local_addr().unwrap());
        let serve = async move {
            let mut packet = [0; 2_048];
            loop {
                socket.recv_from(&mut packet).await.unwrap();
                let (length, asker) = socket.recv_from(&mut packet).await.unwrap();
                let packet = &packet[..length];
                let head = RequestHead::decode(packet).unwrap();
                let write = |id: TransactionId| {
                    let mut out = Vec::new();
                    match (head.action, &says) {
                        (Action::Connect, _) => encode_connected(ID, id, &mut out),
                        (_, Says::Nothing) => {}
                        (_, Says::Refusal) => encode_failure(&Failure::new("no"), id, &mut out),
                        (_, Says::Answer) => {
                            let announce = decode_announce(packet).unwrap();
                            assert_eq!(head.connection, ID);
                            assert_eq!(announce.request, request());
                            assert_eq!(announce.url_data, b"/announce?key=x");
                            encode_announced(&answer(), Family::V4, id, &mut out);
                        }
                    }
                    out
                };
                let TransactionId(id) = head.transaction;
                for id in [TransactionId(!id), TransactionId(id)] {
                    socket.send_to(&write(id), asker).await.unwrap();
                }
            }
        };
        (url, serve)
    }

    async fn announced(says: Says) -> Result<AnnounceAnswer, UdpError> {
        let (url, serve) = tracker(says).await;
        let request = request();
        tokio::select! {
            () = serve => unreachable!("a tracker serves for ever"),
            announced = announce(&url, &request, BOUNDS) => announced.map(|told| told.answer),
        }
    }

    #[tokio::test]
    async fn lost_packets_are_sent_again_and_strangers_are_not_heard() {
        assert_eq!(announced(Says::Answer).await.unwrap(), answer());
    }

    #[tokio::test]
    async fn refusals_and_silence_are_told_apart() {
        let refused = announced(Says::Refusal).await;
        assert!(matches!(refused, Err(UdpError::Refused(_))), "{refused:?}");
        let silent = announced(Says::Nothing).await;
        assert!(matches!(silent, Err(UdpError::Silent)), "{silent:?}");
    }

    #[tokio::test]
    async fn an_address_needs_a_host_and_a_port() {
        for url in ["udp://t.example", "udp:", "nonsense"] {
            let refused = announce(url, &request(), BOUNDS).await;
            assert!(
                matches!(refused, Err(UdpError::Address)),
                "{url}: {refused:?}"
            );
        }
    }
}
