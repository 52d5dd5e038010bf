//! `sower announce` and `sower scrape`: ask trackers, and print everything that they say.

use std::num::NonZeroU16;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use rand::RngExt;

use super::answers::{Asked, Outcome, Report, Words};
use super::pour;
use super::source::{self, Source};
use crate::ambient;
use crate::discovery::trackers::{self, AskError, Bounds, Speech, Told, Trackers};
use crate::offline::limits::TorrentOptions;
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes, PeerId};
use crate::proto::tracker::announce::{AnnounceRequest, Event, ScrapeRequest};
use crate::proto::tracker::http::{PeerFormat, answer};
use crate::proto::tracker::udp::Family;
use crate::proto::tracker::ws::reply;

/// Ports that no program keeps for itself (RFC 6335), so that the one we name is hardly that of a client at this address.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Bytes of an answer that are read, at most.
const ANSWER_BYTES: usize = 1024 * 1024;

const ANNOUNCE_EXAMPLES: &str = "Examples:
  sower announce debian.torrent
  sower announce udp://tracker.example:6969 --info-hash c12fe1c06bba254a9dc9f519b335aa7c1367a88a
  sower announce wss://tracker.example --info-hash c12fe1c06bba254a9dc9f519b335aa7c1367a88a --json
  sower announce debian.torrent --left 0 --event none

The trackers are asked as by a peer that has nothing yet and whose port nobody answers at. Then they are told that it
stopped, so that they forget it; those that speak WebSocket forget it when the connection ends. `--event completed`
adds to a tracker's count of downloads, and that stays. Exits with 1 if no tracker answered, or all refused.";

const SCRAPE_EXAMPLES: &str = "Examples:
  sower scrape debian.torrent
  sower scrape https://tracker.example/announce --info-hash c12fe1c06bba254a9dc9f519b335aa7c1367a88a

Exits with 1 if no tracker answered, or all refused.";

/// Whom to ask, and how.
#[derive(Debug, Args)]
struct Whom {
    /// The address of a tracker (http, https, udp, ws, wss); or a torrent file, a magnet link, or - for standard input,
    /// whose trackers are all asked
    tracker_or_torrent: String,
    /// The torrent to ask about, as 40 hexadecimal digits, or 64 for v2; needed with the address of a tracker
    #[arg(long = "info-hash", value_name = "HEX", value_parser = info_hash)]
    info_hashes: Vec<InfoHash>,
    /// Seconds for a tracker to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
    /// Ask over IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Ask over IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ANNOUNCE_EXAMPLES)]
pub(super) struct AnnounceArgs {
    #[command(flatten)]
    whom: Whom,
    /// What to say has happened
    #[arg(long, value_enum, default_value = "started")]
    event: EventArg,
    /// Bytes to say are lacking; 0 for a seed [default: all of the torrent's, or 1]
    #[arg(long, value_name = "BYTES")]
    left: Option<u64>,
    /// Bytes to say were sent
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    uploaded: u64,
    /// Bytes to say were received
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    downloaded: u64,
    /// The port to say we listen at [default: a random one]. With that of a client at this address, the tracker takes us for it
    #[arg(long)]
    port: Option<NonZeroU16>,
    /// Peers to ask for
    #[arg(long, value_name = "COUNT")]
    numwant: Option<u32>,
    /// What to call ourselves: 20 characters, or 40 hexadecimal digits [default: a random one of Sower]
    #[arg(long, value_name = "ID", value_parser = peer_id, allow_hyphen_values = true)]
    peer_id: Option<PeerId>,
    /// Ask for the peers' ids too; only HTTP trackers tell them
    #[arg(long)]
    peer_ids: bool,
    /// Do not say that we stopped: the tracker lists us until it forgets us by itself
    #[arg(long)]
    stay: bool,
}

#[derive(Debug, Args)]
#[command(after_help = SCRAPE_EXAMPLES)]
pub(super) struct ScrapeArgs {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EventArg {
    None,
    Started,
    Completed,
    Stopped,
    Paused,
}

impl From<EventArg> for Event {
    fn from(event: EventArg) -> Self {
        match event {
            EventArg::None => Self::None,
            EventArg::Started => Self::Started,
            EventArg::Completed => Self::Completed,
            EventArg::Stopped => Self::Stopped,
            EventArg::Paused => Self::Paused,
        }
    }
}

/// What is to be asked.
struct Question {
    /// Tiers of trackers, most important first.
    tiers: Vec<Vec<String>>,
    info_hashes: Vec<InfoHash>,
    /// Bytes of the torrent, if it is at hand.
    length: Option<u64>,
    trackers: Trackers,
}

impl AnnounceArgs {
    pub(super) async fn run(self, bounds: &TorrentOptions) -> anyhow::Result<ExitCode> {
        let question = self.whom.question(bounds).await?;
        let [info_hash, ..] = question.info_hashes[..] else {
            bail!("name the torrent with --info-hash");
        };
        let mut rng = ambient::rng();
        let request = AnnounceRequest {
            info_hash,
            peer_id: self.peer_id.unwrap_or_else(|| PeerId::generate(&mut rng)),
            port: self
                .port
                .or_else(|| NonZeroU16::new(rng.random_range(PORTS)))
                .unwrap_or(NonZeroU16::MIN),
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            left: Some(self.left.or(question.length).unwrap_or(1)),
            event: self.event.into(),
            numwant: self.numwant,
            key: Some(rng.random()),
        };
        let format = if self.peer_ids {
            PeerFormat::Dictionaries
        } else {
            PeerFormat::Compact
        };
        let leaves = !self.stay && self.event != EventArg::Stopped;
        let asked = question.ask(async |url| {
            let told = question.trackers.announce(url, &request, format).await;
            let has_left = match (&told, leaves) {
                (Ok(_), true) => Some(question.leave(url, &request).await),
                _ => None,
            };
            (told, has_left)
        });
        let asked = asked.await;
        let report = Report {
            info_hashes: vec![info_hash],
            trackers: asked,
        };
        self.whom.tell(&report)
    }
}

impl ScrapeArgs {
    pub(super) async fn run(self, bounds: &TorrentOptions) -> anyhow::Result<ExitCode> {
        let question = self.whom.question(bounds).await?;
        if question.info_hashes.is_empty() {
            bail!("name the torrent with --info-hash; few trackers list all that they know");
        }
        let most = ScrapeRequest::MAX_SCRAPED;
        if question.info_hashes.len() > most {
            bail!("{most} torrents can be asked about at once");
        }
        let request = ScrapeRequest {
            info_hashes: question.info_hashes.clone(),
        };
        let asked = question.ask(async |url| (question.trackers.scrape(url, &request).await, None));
        let asked = asked.await;
        let report = Report {
            info_hashes: request.info_hashes.clone(),
            trackers: asked,
        };
        self.whom.tell(&report)
    }
}

impl Whom {
    async fn question(&self, bounds: &TorrentOptions) -> anyhow::Result<Question> {
        let named = self.info_hashes.clone();
        let (tiers, hashes, length) = if Speech::of(&self.tracker_or_torrent).is_some() {
            (vec![vec![self.tracker_or_torrent.clone()]], named, None)
        } else {
            let (tiers, hashes, length) =
                match source::read(&self.tracker_or_torrent, bounds).await? {
                    Source::Torrent(torrent) => {
                        let length = torrent.info.files.content_length();
                        (torrent.trackers, torrent.info.hashes, Some(length))
                    }
                    Source::Magnet(magnet) => {
                        // BEP 9: the trackers of a magnet link stand in no order, so each is a tier of its own.
                        let tiers = magnet.trackers.into_iter().map(|url| vec![url]);
                        (tiers.collect(), magnet.info_hashes, None)
                    }
                };
            (
                tiers,
                if named.is_empty() {
                    wire(&hashes)
                } else {
                    named
                },
                length,
            )
        };
        if tiers.iter().all(Vec::is_empty) {
            bail!("{} names no tracker", self.tracker_or_torrent);
        }
        Ok(Question {
            tiers,
            info_hashes: hashes,
            length,
            trackers: self.trackers()?,
        })
    }

    fn trackers(&self) -> anyhow::Result<Trackers> {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::V4),
            (_, true) => Some(Family::V6),
            _ => None,
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("Sower/", env!("CARGO_PKG_VERSION")))
            .local_address(family.map(trackers::any_address))
            .build()?;
        let bounds = Bounds {
            patience: Duration::from_secs(self.timeout.into()),
            answer_bytes: ANSWER_BYTES,
            family,
        };
        Ok(Trackers::new(http, bounds))
    }

    /// Prints a report; the exit code says whether anybody answered.
    fn tell<T: Words>(&self, report: &Report<T>) -> anyhow::Result<ExitCode> {
        pour(|out| {
            if self.json {
                serde_json::to_writer(&mut *out, &report.to_json())?;
                writeln!(out)
            } else {
                report.write_text(out)
            }
        })?;
        Ok(if report.has_answer() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

impl Question {
    /// Asks all trackers at once; gives what came of it in their order.
    async fn ask<T>(
        &self,
        ask: impl AsyncFn(&str) -> (Result<Told<T>, AskError>, Option<bool>),
    ) -> Vec<Asked<T>> {
        let numbered = self.tiers.iter().zip(1..);
        let trackers = numbered.flat_map(|(urls, tier)| urls.iter().map(move |url| (tier, url)));
        let asked = trackers.map(async |(tier, url)| {
            let began = ambient::now();
            let (told, has_left) = ask(url).await;
            Asked {
                tier,
                url: url.clone(),
                took: ambient::now().saturating_duration_since(began),
                has_left,
                outcome: outcome(url, told),
            }
        });
        join_all(asked).await
    }

    /// Says that we stopped; gives whether the tracker has heard it.
    async fn leave(&self, url: &str, request: &AnnounceRequest) -> bool {
        if Speech::of(url) == Some(Speech::WebSocket) {
            return true;
        }
        let stopped = AnnounceRequest {
            event: Event::Stopped,
            numwant: Some(0),
            ..request.clone()
        };
        let told = self.trackers.announce(url, &stopped, PeerFormat::Compact);
        told.await.is_ok()
    }
}

fn outcome<T>(url: &str, told: Result<Told<T>, AskError>) -> Outcome<T> {
    match told {
        Ok(told) => Outcome::Answered {
            others: match Speech::of(url) {
                Some(Speech::WebSocket) => reply::other_fields(&told.body),
                _ => answer::other_fields(&told.body),
            },
            answer: told.answer,
            address: told.address,
        },
        Err(error) => Outcome::Failed(error),
    }
}

/// Every name of the torrent that a tracker may know it by.
fn wire(hashes: &InfoHashes) -> Vec<InfoHash> {
    hashes.wire().collect()
}

fn info_hash(text: &str) -> Result<InfoHash, String> {
    let v2 = || InfoHashV2::from_hex(text).map(|hash| hash.truncated());
    InfoHash::from_hex(text)
        .or_else(v2)
        .ok_or_else(|| "an info-hash has 40 hexadecimal digits, or 64 for v2".to_owned())
}

fn peer_id(text: &str) -> Result<PeerId, String> {
    let of_hex = || InfoHash::from_hex(text).map(|id| PeerId::from(*id.as_bytes()));
    PeerId::try_from(text.as_bytes())
        .ok()
        .or_else(of_hex)
        .ok_or_else(|| "a peer id has 20 characters, or 40 hexadecimal digits".to_owned())
}
