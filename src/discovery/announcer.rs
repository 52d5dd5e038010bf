//! Announces a download to outside trackers over HTTP and UDP, and hands on the peers they name (BEP 3, 7, 12, 15, 23, 31).
//!
//! One task for a torrent: it asks, waits as long as the tracker said, and tells it when the download finishes and when it
//! ends. What comes back is bounded in size and time. Trackers that speak WebSocket are named once and left
//! out: their peers have no address.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::tiers::{Place, Step, Tiers};
use super::trackers::{AskError, Bounds, Speech, Trackers};
use crate::ambient;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceAnswer, AnnounceRequest, Event};
use crate::proto::tracker::http::PeerFormat;

/// How outside trackers are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Seconds for a tracker to answer.
    pub timeout: u32,
    /// Seconds between announces at least, whatever a tracker says.
    pub min_interval: u32,
    /// Seconds between announces at most, whatever a tracker says.
    pub max_interval: u32,
    /// Bytes of an answer that are read, at most 1 MiB.
    pub answer_bytes: usize,
    /// Peers of an answer that are handed on, at most.
    pub peers: usize,
    /// Trackers of a torrent that are asked, at most.
    pub trackers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: 20,
            min_interval: 30,
            max_interval: 2 * 60 * 60,
            answer_bytes: 1024 * 1024,
            peers: 1000,
            trackers: 50,
        }
    }
}

/// Seconds for all trackers together to hear that a download ends: nobody waits long for a program to stop.
const GOODBYE: Duration = Duration::from_secs(5);

/// Who announces what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What we call ourselves in handshakes.
    pub peer_id: PeerId,
    /// Where we listen for peers.
    pub port: NonZeroU16,
    /// A secret by which a tracker knows us again when our address changes (BEP 7).
    pub key: u32,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes received from peers.
    pub downloaded: u64,
    /// Bytes that are still lacking; `None` while the metadata of a magnet link is on its way.
    pub left: Option<u64>,
}

impl Progress {
    fn is_complete(&self) -> bool {
        self.left == Some(0)
    }
}

/// Announces one torrent to its trackers.
pub struct Announcer {
    tiers: Tiers,
    identity: Identity,
    options: Options,
    trackers: Trackers,
}

impl Announcer {
    /// An announcer for the trackers of a torrent: tiers of addresses, most important first (BEP 12).
    pub fn new(
        trackers: Vec<Vec<String>>,
        identity: Identity,
        options: Options,
        http: reqwest::Client,
    ) -> Self {
        let mut room = options.trackers;
        let spoken = trackers.into_iter().map(|tier| {
            let mut tier: Vec<_> = tier.into_iter().filter(|url| is_of_use(url)).collect();
            tier.truncate(room);
            room -= tier.len();
            tier
        });
        let bounds = Bounds {
            patience: Duration::from_secs(options.timeout.into()),
            answer_bytes: options.answer_bytes,
            family: None,
        };
        Self {
            tiers: Tiers::new(spoken.collect(), &mut ambient::rng()),
            trackers: Trackers::new(http, bounds),
            identity,
            options,
        }
    }

    /// Announces until `shutdown`, until nobody takes peers any more, or until no tracker is left to ask.
    ///
    /// Each answer's peers go into `peers` as one batch. Where that channel is full, the announcer waits: then there are
    /// more peers than anybody could use.
    pub async fn run(
        mut self,
        mut progress: watch::Receiver<Progress>,
        peers: mpsc::Sender<Vec<SocketAddr>>,
        shutdown: CancellationToken,
    ) {
        let ended = async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = peers.closed() => {}
            }
        };
        tokio::pin!(ended);
        loop {
            let is_complete = progress.borrow().is_complete();
            match self.tiers.poll(ambient::now(), is_complete) {
                Step::Announce(place, event) => {
                    let now = *progress.borrow();
                    tokio::select! {
                        // What the goodbye will say need not be begun.
                        biased;
                        () = &mut ended => break,
                        () = self.announce(place, event, now, &peers) => {}
                    }
                }
                Step::WaitUntil(due) => tokio::select! {
                    biased;
                    () = &mut ended => break,
                    () = completion(&mut progress), if !is_complete => {}
                    () = sleep_until(due.into()) => {}
                },
                Step::GiveUp => break,
            }
        }
        let last = *progress.borrow();
        self.say_goodbye(last).await;
    }

    /// Announces to one tracker, notes how that went, and hands on the peers it named.
    async fn announce(
        &mut self,
        place: Place,
        event: Event,
        progress: Progress,
        peers: &mpsc::Sender<Vec<SocketAddr>>,
    ) {
        let answered = self.ask(self.tiers.url(place), event, progress).await;
        let tracker = host(self.tiers.url(place)).to_owned();
        match answered {
            Ok(answer) => {
                if let Some(warning) = &answer.warning {
                    warn!(%tracker, "the tracker warns: {warning}");
                }
                let found = self.usable(&answer);
                debug!(%tracker, peers = found.len(), interval = answer.interval, "announced");
                let due = self.due(&answer, progress.is_complete());
                self.tiers.succeeded(place, progress.is_complete(), due);
                if !found.is_empty() {
                    // Where nobody takes them any more, the announcer is about to end.
                    let _ = peers.send(found).await;
                }
            }
            Err(error) => {
                let now = ambient::now();
                let rest = self
                    .tiers
                    .failed(place, error.retry(), now, &mut ambient::rng());
                let error = error.in_words();
                if let Some(rest) = rest {
                    info!(%tracker, "{error}; asking again in {} s", rest.as_secs());
                } else {
                    info!(%tracker, "{error}; not asking again");
                }
            }
        }
    }

    /// When the next announce is due, within our own bounds.
    fn due(&self, answer: &AnnounceAnswer, is_complete: bool) -> Instant {
        let seconds = match answer.min_interval {
            // Nobody there yet, or only just: whoever comes should be found before half an hour is over.
            Some(soonest) if answer.peers.is_empty() && !is_complete => soonest,
            _ => answer.interval,
        };
        let seconds = seconds
            .min(self.options.max_interval)
            .max(self.options.min_interval);
        ambient::now() + Duration::from_secs(seconds.into())
    }

    fn usable(&self, answer: &AnnounceAnswer) -> Vec<SocketAddr> {
        let others = answer
            .peers
            .iter()
            .filter(|peer| peer.id != Some(self.identity.peer_id));
        others
            .map(|peer| peer.address)
            .take(self.options.peers)
            .collect()
    }

    /// Tells the trackers that list us that we leave, all at once.
    async fn say_goodbye(&self, progress: Progress) {
        let goodbyes = self.tiers.told().map(|tracker| async move {
            // A program that leaves as soon as it has everything still says that it has.
            if progress.is_complete() && self.tiers.takes_for_downloader(tracker) {
                let _ = self.ask(tracker, Event::Completed, progress).await;
            }
            self.ask(tracker, Event::Stopped, progress).await
        });
        // It is no matter if one does not hear it: it forgets us in time.
        let _ = timeout(GOODBYE, join_all(goodbyes)).await;
    }

    async fn ask(
        &self,
        tracker: &str,
        event: Event,
        progress: Progress,
    ) -> Result<AnnounceAnswer, AskError> {
        let wants_none = progress.is_complete() || event == Event::Stopped;
        let request = AnnounceRequest {
            info_hash: self.identity.info_hash,
            peer_id: self.identity.peer_id,
            port: self.identity.port,
            uploaded: progress.uploaded,
            downloaded: progress.downloaded,
            left: progress.left,
            event,
            numwant: wants_none.then_some(0),
            key: Some(self.identity.key),
        };
        let asked = self
            .trackers
            .announce(tracker, &request, PeerFormat::Compact);
        Ok(asked.await?.answer)
    }
}

/// Waits until the download is complete; for ever where nobody reports on it any more.
async fn completion(progress: &mut watch::Receiver<Progress>) {
    if progress.wait_for(Progress::is_complete).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The part of a tracker's address that goes into the log: the rest may hold somebody's passkey.
fn host(tracker: &str) -> &str {
    let after_scheme = tracker.find("://").map_or(0, |scheme| scheme + 3);
    let rest = tracker.get(after_scheme..).unwrap_or_default();
    let host_length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest.get(..host_length).unwrap_or_default();
    // A name and password may stand before the host.
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// Whether such a tracker names peers that we can call; says so where it does not.
fn is_of_use(tracker: &str) -> bool {
    let speech = Speech::of(tracker);
    let tracker = host(tracker);
    match speech {
        Some(Speech::Http | Speech::Udp) => return true,
        Some(Speech::WebSocket) => {
            info!(%tracker, "the peers of a WebSocket tracker cannot be called; it is left out");
        }
        None => info!(%tracker, "this is no tracker's address; it is left out"),
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A tracker that gives the answers it was given, one a connection, and tells what it was asked.
    struct ScriptedTracker {
        url: String,
        asked: mpsc::Receiver<HashMap<String, String>>,
        _tasks: JoinSet<()>,
    }

    impl ScriptedTracker {
        async fn answering(answers: Vec<Vec<u8>>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!(
                "http://{}/announce?secret=1",
                listener.local_addr().unwrap()
            );
            let (tell, asked) = mpsc::channel(10);
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                for answer in answers {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let target = head.split(' ').nth(1).unwrap();
                    let (_, query) = target.split_once('?').unwrap();
                    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
                    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    tell.send(pairs.collect()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            });
            Self {
                url,
                asked,
                _tasks: tasks,
            }
        }

        async fn next(&mut self) -> HashMap<String, String> {
            timeout(DEADLINE, self.asked.recv()).await.unwrap().unwrap()
        }

        async fn next_event(&mut self) -> String {
            self.next().await.remove("event").unwrap_or_default()
        }
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        // Each answer has a connection of its own, and the client must not take it for one that stays.
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn one_peer() -> Vec<u8> {
        ok(b"d8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe1e")
    }

    struct Running {
        progress: watch::Sender<Progress>,
        peers: mpsc::Receiver<Vec<SocketAddr>>,
        shutdown: CancellationToken,
        task: JoinSet<()>,
    }

    impl Running {
        fn start(trackers: Vec<Vec<String>>, options: Options) -> Self {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let identity = Identity {
                info_hash: [0xA0; 20].into(),
                peer_id: (*b"-SW0100-abcdefghijkl").into(),
                port: NonZeroU16::new(6881).unwrap(),
                key: 0xBEEF,
            };
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let (progress, reports) = watch::channel(Progress {
                left: Some(100),
                ..Progress::default()
            });
            let (found, peers) = mpsc::channel(10);
            let shutdown = CancellationToken::new();
            let announcer = Announcer::new(trackers, identity, options, http);
            let mut task = JoinSet::new();
            task.spawn(announcer.run(reports, found, shutdown.clone()));
            Self {
                progress,
                peers,
                shutdown,
                task,
            }
        }

        async fn batch(&mut self) -> Vec<String> {
            let batch = timeout(DEADLINE, self.peers.recv()).await.unwrap().unwrap();
            batch.iter().map(ToString::to_string).collect()
        }

        async fn ends(&mut self) {
            let end = timeout(DEADLINE, self.task.join_next()).await.unwrap();
            end.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn completion_is_told_before_the_goodbye() {
        let mut tracker = ScriptedTracker::answering(vec![one_peer(); 3]).await;
        let mut running = Running::start(vec![vec![tracker.url.clone()]], Options::default());
        running.batch().await;
        let complete = |progress: &mut Progress| progress.left = Some(0);
        running.progress.send_modify(complete);
        running.shutdown.cancel();
        running.ends().await;
        let mut events = Vec::new();
        while let Ok(mut asked) = tracker.asked.try_recv() {
            events.push(asked.remove("event").unwrap_or_default());
        }
        assert_eq!(events, ["started", "completed", "stopped"]);
    }

    #[test]
    fn the_log_shows_no_passkeys() {
        for (tracker, shown) in [
            ("https://t.example/passkey/announce", "t.example"),
            ("http://t.example:80?passkey=1", "t.example:80"),
            ("http://me:secret@[2001:db8::1]:80/a", "[2001:db8::1]:80"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(host(tracker), shown);
        }
    }

    #[tokio::test]
    async fn tells_of_start_completion_and_end() {
        let mut tracker =
            ScriptedTracker::answering(vec![one_peer(), one_peer(), one_peer()]).await;
        let mut running = Running::start(vec![vec![tracker.url.clone()]], Options::default());
        let started = tracker.next().await;
        for (key, value) in [
            ("secret", "1"),
            ("event", "started"),
            ("left", "100"),
            ("port", "6881"),
            ("compact", "1"),
            ("key", "0000BEEF"),
            ("peer_id", "-SW0100-abcdefghijkl"),
        ] {
            assert_eq!(started[key], value, "{key}");
        }
        assert_eq!(running.batch().await, ["127.0.0.1:6881"]);
        running.progress.send_modify(|progress| {
            progress.downloaded = 100;
            progress.left = Some(0);
        });
        let completed = tracker.next().await;
        assert_eq!(
            (
                &*completed["event"],
                &*completed["left"],
                &*completed["numwant"]
            ),
            ("completed", "0", "0")
        );
        running.batch().await;
        running.shutdown.cancel();
        assert_eq!(tracker.next_event().await, "stopped");
        running.ends().await;
    }

    #[tokio::test]
    async fn the_interval_is_held_within_our_bounds() {
        let impatient = ok(b"d8:intervali0e5:peers6:\x7f\0\0\x01\x1a\xe1e");
        let lazy = ok(b"d8:intervali999999999e5:peers6:\x7f\0\0\x01\x1a\xe2e");
        let mut tracker = ScriptedTracker::answering(vec![impatient, lazy, one_peer()]).await;
        let options = Options {
            min_interval: 1,
            max_interval: 1,
            ..Options::default()
        };
        let began = ambient::now();
        let mut running = Running::start(vec![vec![tracker.url.clone()]], options);
        for event in ["started", "", ""] {
            assert_eq!(tracker.next_event().await, event);
            running.batch().await;
        }
        assert!(ambient::now() - began >= Duration::from_secs(2));
    }

    #[tokio::test]
    async fn the_next_tier_is_asked_where_the_first_fails() {
        let refusal = ok(b"d14:failure reason2:noe");
        let mut bad = ScriptedTracker::answering(vec![refusal]).await;
        let mut good = ScriptedTracker::answering(vec![one_peer()]).await;
        let tiers = vec![vec![bad.url.clone()], vec![good.url.clone()]];
        let mut running = Running::start(tiers, Options::default());
        assert_eq!(bad.next_event().await, "started");
        assert_eq!(good.next_event().await, "started");
        assert_eq!(running.batch().await.len(), 1);
    }

    #[tokio::test]
    async fn long_garbled_and_missing_answers_are_failures() {
        let long = ok(&[b'x'; 2000]);
        let web_page = ok(b"<!doctype html>");
        let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
        let mut tiers = Vec::new();
        let mut bad = Vec::new();
        for answer in [long, web_page, missing, Vec::new()] {
            let tracker = ScriptedTracker::answering(vec![answer]).await;
            tiers.push(vec![tracker.url.clone()]);
            bad.push(tracker);
        }
        let good = ScriptedTracker::answering(vec![one_peer()]).await;
        tiers.push(vec![good.url.clone()]);
        let options = Options {
            answer_bytes: 1000,
            ..Options::default()
        };
        let mut running = Running::start(tiers, options);
        assert_eq!(running.batch().await, ["127.0.0.1:6881"]);
        for mut tracker in bad {
            assert_eq!(tracker.next_event().await, "started");
        }
    }

    #[tokio::test]
    async fn ends_where_no_tracker_is_left() {
        let trackers = ["ws://t.example", "WSS://t.example", "nonsense"];
        let tier = trackers.map(str::to_owned).to_vec();
        Running::start(vec![tier], Options::default()).ends().await;
        let never = ok(b"d14:failure reason2:no8:retry in5:nevere");
        let tracker = ScriptedTracker::answering(vec![never]).await;
        Running::start(vec![vec![tracker.url.clone()]], Options::default())
            .ends()
            .await;
    }

    #[tokio::test]
    async fn ends_where_nobody_takes_peers() {
        let mut tracker = ScriptedTracker::answering(vec![one_peer(), one_peer()]).await;
        let mut running = Running::start(vec![vec![tracker.url.clone()]], Options::default());
        running.batch().await;
        running.peers.close();
        assert_eq!(tracker.next_event().await, "started");
        assert_eq!(tracker.next_event().await, "stopped");
        running.ends().await;
    }

    #[tokio::test]
    async fn a_silent_tracker_is_given_up_in_time() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/announce", silent.local_addr().unwrap());
        let good = ScriptedTracker::answering(vec![one_peer()]).await;
        let options = Options {
            timeout: 1,
            ..Options::default()
        };
        let mut running = Running::start(vec![vec![url], vec![good.url.clone()]], options);
        assert_eq!(running.batch().await.len(), 1);
    }
}
