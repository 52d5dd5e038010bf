//! One connection of the WebSocket tracker: decode, ask the service, encode, and nothing else (RFC 6455; WebTorrent).
//!
//! Offers and answers are passed on at once or lost; nothing of them is kept. When the connection ends, for whatever
//! reason, its peers have left their swarms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::Options;
use super::line::{self, Inbox, Line};
use super::rooms::Closed;
use crate::ambient;
use crate::domain::swarm::Progress;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceAnswer, Event, Failure, Retry};
use crate::proto::tracker::ws::Action;
use crate::proto::tracker::ws::reply::{self, Introduction, Reply};
use crate::proto::tracker::ws::request::{self, Request, WsAnnounce, WsAnswer};
use crate::tracker::asker::{Asker, Door};
use crate::tracker::service::{Finished, Subject, Tracker};

/// Bytes that are read at once: a message, as a rule.
const READ_BUFFER: usize = 4 * 1024;

/// How long a connection that ends waits for the other side's last words.
const GOODBYE: Duration = Duration::from_secs(1);

/// The WebSocket tracker. Cheap to clone.
#[derive(Clone)]
pub struct WsTracker {
    tracker: Arc<Tracker>,
    options: Options,
}

impl WsTracker {
    /// The WebSocket door of a tracker.
    pub const fn new(tracker: Arc<Tracker>, options: Options) -> Self {
        Self { tracker, options }
    }

    /// Its bounds.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Talks with whoever is behind a stream that has become a WebSocket, until either side ends it or `shutdown` comes.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        asker: Asker,
        shutdown: impl Future<Output = ()>,
    ) {
        let most = self.options.message_bytes;
        let bounds = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(bounds)).await;
        let (line, mut inbox) = line::lay(asker.ip, self.options.queue_bytes);
        let mut guest = Guest {
            house: self,
            asker,
            line,
            swarms: HashMap::new(),
        };
        let end = tokio::select! {
            biased;
            () = shutdown => End::Said(CloseCode::Away, "this server is being stopped or restarted"),
            end = guest.talk(&mut socket, &mut inbox) => end,
        };
        drop(guest);
        if let End::Said(code, reason) = end {
            // Whoever does not listen any more is not waited for.
            let _ = timeout(GOODBYE, say_goodbye(&mut socket, code, reason)).await;
        }
    }
}

/// How a connection ended.
enum End {
    /// The other side ended it, or it broke.
    Gone,
    /// We end it, and say why.
    Said(CloseCode, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Said(CloseCode::Size, "the message is too long"),
            Error::Utf8(_) => Self::Said(CloseCode::Invalid, "the text is not UTF-8"),
            Error::Protocol(_) => Self::Said(CloseCode::Protocol, "this is not RFC 6455"),
            _ => Self::Gone,
        }
    }
}

/// Ends the connection, and reads what was under way: otherwise the system would take our last words back.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    code: CloseCode,
    reason: &'static str,
) {
    use tokio::io::AsyncReadExt as _;

    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    if socket.close(Some(frame)).await.is_ok() {
        let mut rest = [0; READ_BUFFER];
        while matches!(socket.get_mut().read(&mut rest).await, Ok(1..)) {}
    }
}

/// Whoever is behind a socket. Leaves all swarms when dropped.
struct Guest<'w> {
    house: &'w WsTracker,
    asker: Asker,
    line: Line,
    /// The swarms that it is in, by the name that it uses.
    swarms: HashMap<InfoHash, Membership>,
}

/// What a guest is called in a swarm.
struct Membership {
    /// The name under which the swarm is kept.
    name: InfoHash,
    peer_id: PeerId,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        for membership in self.swarms.values() {
            self.leave(membership);
        }
    }
}

impl Guest<'_> {
    /// Answers what comes in, and writes what others send.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut WebSocketStream<S>,
        inbox: &mut Inbox,
    ) -> End {
        let options = &self.house.options;
        let patience = Duration::from_secs(options.idle_timeout.max(1).into());
        let pause = Duration::from_secs(options.ping_interval.max(1).into());
        let mut ticks = interval(pause.min(patience));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard: Instant = ambient::now();
        loop {
            let said = tokio::select! {
                message = socket.next() => match message {
                    None | Some(Ok(Message::Close(_))) => return End::Gone,
                    Some(Err(error)) => return error.into(),
                    Some(Ok(Message::Text(text))) => {
                        heard = ambient::now();
                        self.hear(text.as_bytes()).map(Message::text)
                    }
                    // Some clients send their JSON as bytes.
                    Some(Ok(Message::Binary(bytes))) => {
                        heard = ambient::now();
                        self.hear(&bytes).map(Message::text)
                    }
                    // Pings are answered below us.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
                },
                message = inbox.next() => message.map(Message::text),
                _ = ticks.tick() => {
                    if ambient::now().saturating_duration_since(heard) >= patience {
                        return End::Said(CloseCode::Policy, "nothing was announced for too long");
                    }
                    Some(Message::Ping(Vec::new().into()))
                }
            };
            let writing = async {
                if let Some(message) = said {
                    socket.feed(message).await?;
                }
                while let Some(message) = inbox.try_next() {
                    socket.feed(Message::text(message)).await?;
                }
                socket.flush().await
            };
            match timeout(patience, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return End::Gone,
            }
        }
    }

    /// Takes in a message; gives what is to be said to it.
    fn hear(&mut self, message: &[u8]) -> Option<String> {
        let request = match request::decode(message) {
            Ok(request) => request,
            Err(misunderstood) => {
                let tracker = &self.house.tracker;
                return Some(refusal(
                    misunderstood.action,
                    misunderstood.info_hash,
                    tracker.not_understood(Door::WebSocket, &misunderstood.error),
                ));
            }
        };
        match request {
            Request::Announce(announce) => {
                let info_hash = announce.request.info_hash;
                let answered = self.announce(announce);
                self.house.tracker.count(Door::WebSocket, &answered);
                Some(match answered {
                    Ok(answer) => reply::encode(Reply::Announced(info_hash, answer)),
                    Err(failure) => refusal(Action::Announce, Some(info_hash), failure),
                })
            }
            Request::Answer(answer) => {
                let info_hash = answer.info_hash;
                let refused = self.pass_on(answer).err()?;
                Some(refusal(Action::Announce, Some(info_hash), refused))
            }
            Request::Scrape(scrape) => {
                let tracker = &self.house.tracker;
                Some(match tracker.scrape(&scrape, &self.asker, ambient::now()) {
                    Ok(answer) => reply::encode(Reply::Scraped(answer)),
                    Err(failure) => refusal(Action::Scrape, None, failure),
                })
            }
        }
    }

    fn announce(&mut self, announce: WsAnnounce) -> Result<AnnounceAnswer, Failure> {
        let WsAnnounce { request, offers } = announce;
        let (tracker, options) = (&self.house.tracker, &self.house.options);
        let admitted = tracker.admit(&request, &self.asker, ambient::now());
        if let Err(failure) = &admitted
            && failure.retry == Some(Retry::Never)
            && let Some(before) = self.swarms.remove(&request.info_hash)
        {
            // A passkey that was replaced stops working at once.
            self.leave(&before);
        }
        let subject = admitted?;
        let name = subject.name;
        let known = self.swarms.remove(&request.info_hash);
        if let Some(before) = known.as_ref()
            && (request.event == Event::Stopped || before.peer_id != request.peer_id)
        {
            self.leave(before);
        }
        if request.event != Event::Stopped {
            if known.is_none() && self.swarms.len() >= options.torrents_per_socket {
                return Err(Failure::new(
                    "too many torrents are active over this connection; stop some of them",
                ));
            }
            let wanted = request.numwant.map_or(usize::MAX, |wanted| {
                usize::try_from(wanted).unwrap_or(usize::MAX)
            });
            let wanted = wanted.min(offers.len()).min(options.offers);
            let rng = &mut ambient::rng();
            let meeting = tracker.rooms.announce(
                &subject,
                &request,
                &self.line,
                wanted,
                ambient::now(),
                rng,
            )?;
            let membership = Membership {
                name,
                peer_id: request.peer_id,
            };
            self.swarms.insert(request.info_hash, membership);
            tracker.count_progress(&subject, request.peer_id, meeting.progress);
            for (contact, description) in meeting.introduced.iter().zip(offers) {
                // What is lost to a full line is offered to somebody again with the next announce.
                contact.line.send(reply::encode(Reply::Offer(Introduction {
                    info_hash: contact.info_hash,
                    from: request.peer_id,
                    description,
                })));
            }
        }
        let counts = tracker.numbers(&subject).unwrap_or_default();
        let jitter = ambient::rng().random_range(0..=options.interval / 10);
        Ok(AnnounceAnswer {
            interval: options.interval.saturating_add(jitter),
            complete: Some(counts.complete),
            incomplete: Some(counts.incomplete),
            downloaded: Some(counts.downloaded),
            ..AnnounceAnswer::default()
        })
    }

    /// Passes an answer on to the peer that made the offer, if it is still there.
    fn pass_on(&self, answer: WsAnswer) -> Result<(), Failure> {
        let membership = self.swarms.get(&answer.info_hash);
        let Some(membership) = membership.filter(|it| it.peer_id == answer.peer_id) else {
            return Err(Failure::new(
                "announce to this torrent with this peer_id before answering an offer in it",
            ));
        };
        let rooms = &self.house.tracker.rooms;
        if let Some(contact) = rooms.contact(&membership.name, answer.to) {
            contact.line.send(reply::encode(Reply::Answer(Introduction {
                info_hash: contact.info_hash,
                from: answer.peer_id,
                description: answer.answer,
            })));
        }
        Ok(())
    }

    fn leave(&self, membership: &Membership) {
        let rooms = &self.house.tracker.rooms;
        rooms.leave(&membership.name, membership.peer_id, &self.line);
    }
}

impl Tracker {
    /// Counts what a peer tells of its download over a WebSocket, unless it tells the same at another door.
    fn count_progress(&self, subject: &Subject, peer: PeerId, progress: Progress) {
        if progress == Progress::default() {
            return;
        }
        let (mut is_finished, mut is_elsewhere) = (progress.is_finished, false);
        if let Some(tracked) = self.shard(&subject.name).swarms.get_mut(&subject.name) {
            is_finished &= !tracked.swarm.has_completed(peer);
            is_elsewhere = tracked.swarm.has(peer);
            if let Finished::Unpublished(count) = &mut tracked.finished {
                *count += u64::from(is_finished);
            }
        }
        let Some(listed) = subject.publication else {
            return;
        };
        let tally = self.catalog.tally(listed.id);
        if is_finished {
            tally.add_completed();
        }
        if !is_elsewhere {
            tally.add_delivered_bytes(progress.delivered);
        }
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        Self::new(closed.to_string())
    }
}

fn refusal(action: Action, info_hash: Option<InfoHash>, failure: Failure) -> String {
    reply::encode(Reply::Refused {
        action,
        info_hash,
        failure,
    })
}
