//! `sower show`: everything that a torrent file or magnet link says.

use std::fmt::Write as _;

use anyhow::Context;
use clap::Args;
use humansize::{BINARY, format_size};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::say;
use super::source::{Source, read};
use crate::offline::limits::TorrentOptions;
use crate::proto::id::InfoHashes;
use crate::proto::metainfo::files::FileKind;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::magnet::Magnet;
use crate::proto::metainfo::torrent_file::TorrentFile;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A torrent file, a magnet link, the address of a torrent file, or - for standard input
    source: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is shown; the fields of the JSON object. What a magnet link does not say is null or empty.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    name: Option<String>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    format: Format,
    piece_length: Option<u32>,
    pieces: Option<u32>,
    total_length: Option<u64>,
    private: Option<bool>,
    files: Vec<ShownFile>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    nodes: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
    source: Option<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ShownFile {
    path: String,
    length: u64,
    pad: bool,
}

impl ShowArgs {
    pub(super) async fn run(self, bounds: &TorrentOptions) -> anyhow::Result<()> {
        let shown = match read(&self.source, bounds).await? {
            Source::Torrent(torrent) => Shown::from(*torrent),
            Source::Magnet(magnet) => Shown::from(magnet),
        };
        let text = if self.json {
            serde_json::to_string(&shown)?
        } else {
            shown.to_text().context("no text")?
        };
        say(text.trim_end())?;
        Ok(())
    }
}

fn format_of(hashes: &InfoHashes) -> Format {
    match hashes {
        InfoHashes::V1(_) => Format::V1,
        InfoHashes::V2(_) => Format::V2,
        InfoHashes::Hybrid(..) => Format::Hybrid,
    }
}

impl From<TorrentFile> for Shown {
    fn from(torrent: TorrentFile) -> Self {
        let info = torrent.info;
        Self {
            format: format_of(&info.hashes),
            info_hash_v1: info.hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: info.hashes.v2().map(|hash| hash.to_string()),
            piece_length: Some(info.geometry.piece_length()),
            pieces: Some(info.geometry.piece_count()),
            total_length: Some(info.files.content_length()),
            private: Some(info.private),
            files: info
                .files
                .iter()
                .map(|file| ShownFile {
                    path: file.path.to_string(),
                    length: file.length,
                    pad: file.kind == FileKind::Pad,
                })
                .collect(),
            name: Some(info.name),
            source: info.source,
            trackers: torrent.trackers,
            web_seeds: torrent.web_seeds,
            nodes: torrent
                .nodes
                .iter()
                .map(|(host, port)| format!("{host}:{port}"))
                .collect(),
            comment: torrent.comment,
            created_by: torrent.created_by,
            creation_date: torrent.creation_date,
            warnings: torrent.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<Magnet> for Shown {
    fn from(magnet: Magnet) -> Self {
        Self {
            format: format_of(&magnet.info_hashes),
            info_hash_v1: magnet.info_hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: magnet.info_hashes.v2().map(|hash| hash.to_string()),
            name: magnet.name,
            // BEP 9: the trackers of a magnet link stand in no order, so each is a tier of its own.
            trackers: magnet
                .trackers
                .into_iter()
                .map(|tracker| vec![tracker])
                .collect(),
            web_seeds: magnet.web_seeds,
            nodes: Vec::new(),
            warnings: magnet.warnings.iter().map(ToString::to_string).collect(),
            piece_length: None,
            pieces: None,
            total_length: None,
            private: None,
            files: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            source: None,
        }
    }
}

impl Shown {
    fn to_text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let mut line = |label: &str, value: Option<String>| match value {
            Some(value) => writeln!(out, "{label:<14}{}", printable(&value)),
            None => Ok(()),
        };
        line("name", self.name.clone())?;
        line("info-hash v1", self.info_hash_v1.clone())?;
        line("info-hash v2", self.info_hash_v2.clone())?;
        line("format", Some(self.format.to_string()))?;
        line(
            "size",
            self.total_length
                .map(|bytes| format!("{} ({bytes} bytes)", format_size(bytes, BINARY))),
        )?;
        if let (Some(pieces), Some(length)) = (self.pieces, self.piece_length) {
            line(
                "pieces",
                Some(format!("{pieces} of {}", format_size(length, BINARY))),
            )?;
        }
        line(
            "private",
            self.private
                .filter(|private| *private)
                .map(|_| "yes".to_owned()),
        )?;
        line("comment", self.comment.clone())?;
        line("created by", self.created_by.clone())?;
        let date = |seconds| {
            OffsetDateTime::from_unix_timestamp(seconds)
                .ok()?
                .format(&Rfc3339)
                .ok()
        };
        line("created", self.creation_date.and_then(date))?;
        line("source", self.source.clone())?;
        for (number, tier) in self.trackers.iter().enumerate() {
            line(&format!("tracker {}", number + 1), Some(tier.join(" ")))?;
        }
        for web_seed in &self.web_seeds {
            line("web seed", Some(web_seed.clone()))?;
        }
        for node in &self.nodes {
            line("node", Some(node.clone()))?;
        }
        for warning in &self.warnings {
            line("warning", Some(warning.clone()))?;
        }
        self.write_tree(&mut out)?;
        Ok(out)
    }

    /// The files as a tree: each folder once, with what is in it below.
    fn write_tree(&self, out: &mut String) -> std::fmt::Result {
        let mut folders: Vec<&str> = Vec::new();
        for file in self.files.iter().filter(|file| !file.pad) {
            let mut steps: Vec<&str> = file.path.split('/').collect();
            let Some(name) = steps.pop() else { continue };
            let shared = folders
                .iter()
                .zip(&steps)
                .take_while(|(a, b)| a == b)
                .count();
            folders.truncate(shared);
            for step in steps.into_iter().skip(shared) {
                writeln!(out, "{}{}/", indent(folders.len()), printable(step))?;
                folders.push(step);
            }
            let size = format_size(file.length, BINARY);
            writeln!(out, "{}{}  {size}", indent(folders.len()), printable(name))?;
        }
        Ok(())
    }
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth + 1)
}

/// Names and comments come from strangers: what would steer a terminal is shown, not obeyed.
pub(super) fn printable(text: &str) -> String {
    let is_steering = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if is_steering(c) {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steering_characters_are_shown_not_obeyed() {
        assert_eq!(
            printable("a\u{1b}[31mb\u{202e}c"),
            "a\\u{1b}[31mb\\u{202e}c"
        );
        assert_eq!(printable("Größe 日本"), "Größe 日本");
    }

    #[test]
    fn a_magnet_link_is_shown_as_far_as_it_goes() {
        let magnet: Magnet =
            "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&dn=x&tr=http%3A%2F%2Ft.example%2Fa".parse().unwrap();
        let text = Shown::from(magnet).to_text().unwrap();
        assert!(text.contains("tracker 1     http://t.example/a"), "{text}");
    }
}
