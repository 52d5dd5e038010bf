//! `sower magnet`: the magnet link of a torrent.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use super::say;
use super::source::{Source, read};
use crate::offline::globs::{Globs, Patterns};
use crate::offline::limits::TorrentOptions;
use crate::proto::id::InfoHashes;
use crate::proto::metainfo::info::{Format, Info};
use crate::proto::metainfo::magnet::{Magnet, is_peer_address, ranges_of};
use crate::proto::metainfo::torrent_file::{TorrentFile, is_tracker_url, is_web_seed_url};

const EXAMPLES: &str = "Examples:
  sower magnet debian.torrent
  sower magnet *.torrent --no-web-seed
  sower magnet season.torrent --only '*E03*' --peer 192.0.2.7:6881
  sower magnet hybrid.torrent --format v1        for rTorrent, which takes no link of a hybrid";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person gives or not"
)]
pub(super) struct MagnetArgs {
    /// Torrent files, addresses of torrent files, magnet links to write anew, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    sources: Vec<String>,
    /// Only download files that match, a pattern as in a .gitignore; may be repeated
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// A peer to ask first; may be repeated
    #[arg(long = "peer", value_name = "HOST:PORT")]
    peers: Vec<String>,
    /// A tracker besides those of the torrent; may be repeated
    #[arg(short, long, value_name = "URL")]
    announce: Vec<String>,
    /// A web seed besides those of the torrent; may be repeated
    #[arg(short, long, value_name = "URL")]
    web_seed: Vec<String>,
    /// Leave out the torrent's own trackers
    #[arg(long)]
    no_announce: bool,
    /// Leave out the torrent's own web seeds
    #[arg(long)]
    no_web_seed: bool,
    /// Leave out the name
    #[arg(long)]
    no_name: bool,
    /// Of a hybrid, name one info-hash only: v1 or v2
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Print one JSON object a link
    #[arg(long)]
    json: bool,
}

impl MagnetArgs {
    pub(super) async fn run(self, bounds: &TorrentOptions) -> anyhow::Result<()> {
        self.check()?;
        for source in &self.sources {
            let magnet = match read(source, bounds).await? {
                Source::Torrent(torrent) => self.of_torrent(&torrent),
                Source::Magnet(magnet) => self.of_magnet(magnet),
            };
            let mut magnet = magnet.with_context(|| format!("{source} gets no such link"))?;
            self.add_to(&mut magnet);
            self.print(&magnet)?;
        }
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        if let Some(url) = self.announce.iter().find(|url| !is_tracker_url(url)) {
            bail!(
                "{url:?} is no tracker; write a URL that begins with http, https, udp, ws or wss"
            );
        }
        if let Some(url) = self.web_seed.iter().find(|url| !is_web_seed_url(url)) {
            bail!("{url:?} is no web seed; write a URL that begins with http or https");
        }
        if let Some(peer) = self.peers.iter().find(|peer| !is_peer_address(peer)) {
            bail!("{peer:?} is no peer; write a host and a port, such as 192.0.2.7:6881");
        }
        Ok(())
    }

    fn of_torrent(&self, torrent: &TorrentFile) -> anyhow::Result<Magnet> {
        let info = &torrent.info;
        Ok(Magnet {
            name: Some(info.name.clone()),
            trackers: torrent.trackers.concat(),
            web_seeds: torrent.web_seeds.clone(),
            select_only: if self.only.is_empty() {
                Vec::new()
            } else {
                ranges_of(self.places_in(info)?)
            },
            ..Magnet::new(self.hashes(&info.hashes)?)
        })
    }

    fn of_magnet(&self, mut magnet: Magnet) -> anyhow::Result<Magnet> {
        ensure!(
            self.only.is_empty(),
            "a magnet link lists no files for --only to choose from; give the torrent file"
        );
        magnet.info_hashes = self.hashes(&magnet.info_hashes)?;
        Ok(magnet)
    }

    fn hashes(&self, hashes: &InfoHashes) -> anyhow::Result<InfoHashes> {
        let wanted = match self.format {
            None => Some(*hashes),
            Some(Format::V1) => hashes.v1().map(InfoHashes::V1),
            Some(Format::V2) => hashes.v2().map(InfoHashes::V2),
            Some(Format::Hybrid) => match (hashes.v1(), hashes.v2()) {
                (Some(v1), Some(v2)) => Some(InfoHashes::Hybrid(v1, v2)),
                _ => None,
            },
        };
        wanted.context("it has no info-hash of that format")
    }

    /// BEP 53: the places of the files that are wanted in the torrent's list.
    fn places_in(&self, info: &Info) -> anyhow::Result<Vec<u32>> {
        let globs = Globs::new(&Patterns {
            include: self.only.clone(),
            ..Patterns::default()
        })?;
        let content = info.files.content().map(|(_, file)| file);
        let wanted = content.filter(|file| globs.include(Path::new(file.path.as_str())));
        let places: Vec<u32> = wanted.map(|file| file.listed_at).collect();
        ensure!(
            !places.is_empty(),
            "no file in it matches {}; `sower show` lists them",
            self.only.join(" ")
        );
        Ok(places)
    }

    /// Takes away and adds what the flags say.
    fn add_to(&self, magnet: &mut Magnet) {
        if self.no_announce {
            magnet.trackers.clear();
        }
        if self.no_web_seed {
            magnet.web_seeds.clear();
        }
        if self.no_name {
            magnet.name = None;
        }
        for (list, more) in [
            (&mut magnet.trackers, &self.announce),
            (&mut magnet.web_seeds, &self.web_seed),
            (&mut magnet.peers, &self.peers),
        ] {
            for one in more {
                if !list.contains(one) {
                    list.push(one.clone());
                }
            }
        }
    }

    fn print(&self, magnet: &Magnet) -> anyhow::Result<()> {
        if self.json {
            let hashes = &magnet.info_hashes;
            say(json!({
                "magnet": magnet.to_string(),
                "name": magnet.name,
                "info_hash_v1": hashes.v1().map(|hash| hash.to_string()),
                "info_hash_v2": hashes.v2().map(|hash| hash.to_string()),
            }))?;
        } else {
            say(magnet)?;
        }
        Ok(())
    }
}
