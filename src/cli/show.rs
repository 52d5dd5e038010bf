//! `sower show`: everything that a torrent file or magnet link says.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::Args;
use humansize::{BINARY, format_size};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::pour;
use super::source::{Source, read};
use crate::offline::limits::TorrentOptions;
use crate::proto::id::InfoHashes;
use crate::proto::metainfo::files::{File, FileKind};
use crate::proto::metainfo::info::{Format, Layout};
use crate::proto::metainfo::magnet::Magnet;
use crate::proto::metainfo::review::review;
use crate::proto::metainfo::torrent_file::TorrentFile;

const EXAMPLES: &str = "Examples:
  sower show debian.torrent
  sower show https://example.org/debian.torrent
  sower show 'magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=x'
  sower show --json - <debian.torrent | jq -r '.files[].path'

Pads are not listed, but in the JSON object they are, with `pad` true.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// A torrent file, a magnet link, the address of a torrent file, or - for standard input
    source: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is shown; the fields of the JSON object. What a magnet link does not say is null or empty.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    name: Option<&'a str>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    format: Format,
    piece_length: Option<u32>,
    pieces: Option<u32>,
    total_length: Option<u64>,
    private: Option<bool>,
    #[serde(serialize_with = "list_files")]
    files: Vec<&'a File>,
    trackers: Cow<'a, [Vec<String>]>,
    web_seeds: &'a [String],
    nodes: Vec<String>,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    source: Option<&'a str>,
    warnings: Vec<String>,
    /// What only the text says; no field of the JSON object.
    #[serde(skip)]
    besides: Vec<(&'static str, String)>,
}

#[derive(Debug, Serialize)]
struct ShownFile<'a> {
    path: &'a str,
    length: u64,
    pad: bool,
}

impl ShowArgs {
    pub(super) async fn run(self, bounds: &TorrentOptions) -> anyhow::Result<()> {
        let source = read(&self.source, bounds).await?;
        let shown = match &source {
            Source::Torrent(torrent) => Shown::from(&**torrent),
            Source::Magnet(magnet) => Shown::from(magnet),
        };
        pour(|out| {
            if self.json {
                serde_json::to_writer(&mut *out, &shown)?;
                writeln!(out)
            } else {
                shown.write_text(out)
            }
        })?;
        Ok(())
    }
}

/// The files of the JSON object, written one by one: there may be hundreds of thousands.
fn list_files<S: Serializer>(files: &[&File], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(files.iter().map(|file| ShownFile {
        path: file.path.as_str(),
        length: file.length,
        pad: file.kind == FileKind::Pad,
    }))
}

const fn format_of(hashes: &InfoHashes) -> Format {
    match hashes {
        InfoHashes::V1(_) => Format::V1,
        InfoHashes::V2(_) => Format::V2,
        InfoHashes::Hybrid(..) => Format::Hybrid,
    }
}

impl<'a> From<&'a TorrentFile> for Shown<'a> {
    fn from(torrent: &'a TorrentFile) -> Self {
        let info = &torrent.info;
        let odd = torrent.warnings.iter().map(ToString::to_string);
        let remarks = review(torrent).into_iter().map(|it| it.to_string());
        let content = info.files.content().count();
        let folder = match info.layout {
            Layout::SingleFile => None,
            Layout::Folder => Some(("files", content.to_string())),
        };
        Self {
            name: Some(&info.name),
            info_hash_v1: info.hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: info.hashes.v2().map(|hash| hash.to_string()),
            format: format_of(&info.hashes),
            piece_length: Some(info.geometry.piece_length()),
            pieces: Some(info.geometry.piece_count()),
            total_length: Some(info.files.content_length()),
            private: Some(info.private),
            files: info.files.iter().collect(),
            trackers: Cow::Borrowed(&torrent.trackers),
            web_seeds: &torrent.web_seeds,
            nodes: torrent.nodes.iter().map(written_node).collect(),
            comment: torrent.comment.as_deref(),
            created_by: torrent.created_by.as_deref(),
            creation_date: torrent.creation_date,
            source: info.source.as_deref(),
            warnings: odd.chain(remarks).collect(),
            besides: folder.into_iter().collect(),
        }
    }
}

/// A node as `host:port`, with brackets around an IPv6 address.
pub(super) fn written_node((host, port): &(String, u16)) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl<'a> From<&'a Magnet> for Shown<'a> {
    fn from(magnet: &'a Magnet) -> Self {
        let hashes = &magnet.info_hashes;
        // BEP 9: the trackers of a magnet link stand in no order, so each is a tier of its own.
        let trackers = magnet.trackers.iter().map(|url| vec![url.clone()]);
        let peers = magnet.peers.iter().map(|peer| ("peer", peer.clone()));
        let selected = magnet.select_only.iter().map(|places| {
            let (first, last) = (places.start(), places.end());
            let text = if first == last {
                format!("number {first}")
            } else {
                format!("numbers {first} to {last}")
            };
            ("only files", text)
        });
        Self {
            name: magnet.name.as_deref(),
            info_hash_v1: hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: hashes.v2().map(|hash| hash.to_string()),
            format: format_of(hashes),
            piece_length: None,
            pieces: None,
            total_length: None,
            private: None,
            files: Vec::new(),
            trackers: trackers.collect(),
            web_seeds: &magnet.web_seeds,
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            source: None,
            warnings: magnet.warnings.iter().map(ToString::to_string).collect(),
            besides: peers.chain(selected).collect(),
        }
    }
}

impl Shown<'_> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |label: &str, value: &str| writeln!(out, "{label:<14}{}", printable(value));
        let mut known = |label: &str, value: Option<&str>| match value {
            Some(value) => line(label, value),
            None => Ok(()),
        };
        known("name", self.name)?;
        known("info-hash v1", self.info_hash_v1.as_deref())?;
        known("info-hash v2", self.info_hash_v2.as_deref())?;
        known("format", Some(self.format.as_str()))?;
        if let Some(bytes) = self.total_length {
            let size = format_size(bytes, BINARY);
            line("size", &format!("{size} ({bytes} bytes)"))?;
        }
        if let (Some(pieces), Some(length)) = (self.pieces, self.piece_length) {
            let length = format_size(length, BINARY);
            line("pieces", &format!("{pieces} of {length}"))?;
        }
        for (label, value) in &self.besides {
            line(label, value)?;
        }
        if self.private == Some(true) {
            line("private", "yes, peers come from its trackers alone")?;
        }
        for (label, value) in [
            ("comment", self.comment),
            ("created by", self.created_by),
            ("created", self.creation_date.and_then(date).as_deref()),
            ("source", self.source),
        ] {
            if let Some(value) = value {
                line(label, value)?;
            }
        }
        for (number, tier) in self.trackers.iter().enumerate() {
            line(&format!("tracker {}", number + 1), &tier.join(" "))?;
        }
        for (label, values) in [
            ("web seed", self.web_seeds),
            ("node", &self.nodes),
            ("warning", &self.warnings),
        ] {
            for value in values {
                line(label, value)?;
            }
        }
        self.write_tree(out)
    }

    /// The files as a tree: each folder with what is in it below, in the order of the torrent.
    fn write_tree(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut open: Vec<&str> = Vec::new();
        for file in self
            .files
            .iter()
            .filter(|file| file.kind == FileKind::Content)
        {
            let mut folders = file.path.components();
            let Some(name) = folders.next_back() else {
                continue;
            };
            let shared = open
                .iter()
                .zip(folders.clone())
                .take_while(|(a, b)| *a == b)
                .count();
            open.truncate(shared);
            for folder in folders.skip(shared) {
                writeln!(out, "{}{}/", indent(open.len()), printable(folder))?;
                open.push(folder);
            }
            let size = format_size(file.length, BINARY);
            writeln!(out, "{}{}  {size}", indent(open.len()), printable(name))?;
        }
        Ok(())
    }
}

fn date(seconds: i64) -> Option<String> {
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    date.format(&Rfc3339).ok()
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
    fn a_node_is_written_as_people_write_addresses() {
        assert_eq!(written_node(&("a.example".to_owned(), 1)), "a.example:1");
        assert_eq!(written_node(&("::1".to_owned(), 2)), "[::1]:2");
    }
}
