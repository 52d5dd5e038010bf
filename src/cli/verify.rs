//! `sower verify`: files of this machine held against torrents.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use humansize::{BINARY, format_size};
use serde::Serialize;
use serde_json::json;

use super::progress::bar_of_bytes;
use super::show::printable;
use super::source::{self, Source};
use super::{say, tell};
use crate::config::Config;
use crate::offline::verify::{FileReport, FileState, PieceRanges, Report, verify};
use crate::proto::metainfo::torrent_file::TorrentFile;

const EXAMPLES: &str = "Examples:
  sower verify debian.iso.torrent debian.iso         the content itself
  sower verify debian.iso.torrent Downloads          or the folder that holds it
  sower verify *.torrent Downloads                   many torrents, whose content lies in one folder
  sower verify Torrents Downloads                    all torrents of a folder
  sower verify */*.torrent                           each torrent's content lies beside it
  sower verify Album.torrent Downloads --json        one JSON object a torrent

The last word is the place of the content. If it is the only one, or a file whose name ends in
.torrent, the content of each torrent is looked for in the folder that the torrent lies in.

It exits with 1 if anything is not right, missing or too long. A file is `unproven` where
nothing is wrong with it, but a piece that it shares with a missing file cannot be checked.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "sower verify [OPTIONS] <TORRENT>... [PATH]")]
pub(super) struct VerifyArgs {
    /// Torrent files, folders of some, addresses of some, or - for one on standard input; and last the content, or the
    /// folder that it lies in
    #[arg(required = true, value_name = "TORRENT")]
    words: Vec<String>,
    /// Print one JSON object a torrent
    #[arg(long)]
    json: bool,
}

/// What was found of a torrent's content, as JSON.
#[derive(Serialize)]
struct ReportJson<'a> {
    torrent: &'a str,
    path: &'a Path,
    name: &'a str,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    right: bool,
    percent: f64,
    right_length: u64,
    total_length: u64,
    pieces: u32,
    wrong_pieces: u32,
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    path: String,
    state: &'static str,
    length: u64,
    /// Bytes that are there, where they are more or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The first and the last piece of each range.
    bad_pieces: Vec<(u32, u32)>,
    unproven_pieces: Vec<(u32, u32)>,
}

impl VerifyArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (words, place) = split(&self.words);
        let mut is_right = true;
        for word in words {
            let torrents = torrents_of(word)?;
            for torrent in &torrents {
                match self.verify(torrent, place, config).await {
                    Ok(right) => is_right &= right,
                    Err(error) => {
                        is_right = false;
                        self.say_error(torrent, &error)?;
                    }
                }
            }
        }
        Ok(if is_right {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Checks one torrent and says what was found; whether all is right.
    async fn verify(
        &self,
        source: &str,
        place: Option<&Path>,
        config: &Config,
    ) -> anyhow::Result<bool> {
        let place = match place {
            Some(place) => place,
            None => beside(source)?,
        };
        let torrent = match source::read(source, &config.torrent).await? {
            Source::Torrent(torrent) => torrent,
            Source::Magnet(_) => bail!("a magnet link holds no hashes; give the torrent file"),
        };
        let info = &torrent.info;
        let bar = bar_of_bytes(info.files.total_length(), printable(&info.name));
        let hashing = config.hashing.hash_options();
        let report = verify(&torrent, place, &hashing, &|bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let report = report?;
        if self.json {
            let json = ReportJson::of(source, &torrent, &report);
            say(serde_json::to_string(&json)?)?;
        } else {
            say(in_words(source, &report))?;
        }
        Ok(report.is_right())
    }

    fn say_error(&self, torrent: &str, error: &anyhow::Error) -> anyhow::Result<()> {
        tell(format_args!("sower: {torrent}: {error:#}"));
        if self.json {
            say(json!({ "torrent": torrent, "right": false, "error": format!("{error:#}") }))?;
        }
        Ok(())
    }
}

/// The ending that tells a torrent file from content.
const TORRENT: &str = "torrent";

/// The torrents and the place of their content; `None` where each lies beside its torrent.
fn split(words: &[String]) -> (&[String], Option<&Path>) {
    match words {
        [torrents @ .., last] if !torrents.is_empty() => {
            let place = Path::new(last);
            if place.is_dir() || !is_named_torrent(place) {
                (torrents, Some(place))
            } else {
                (words, None)
            }
        }
        _ => (words, None),
    }
}

fn is_named_torrent(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case(TORRENT))
}

/// The torrents that a word stands for: all in a folder, by name, or the one that it is.
fn torrents_of(word: &str) -> anyhow::Result<Vec<String>> {
    let folder = Path::new(word);
    if !folder.is_dir() {
        return Ok(vec![word.to_owned()]);
    }
    let mut torrents = Vec::new();
    for entry in folder.read_dir().with_context(|| word.to_owned())? {
        let path = entry?.path();
        if is_named_torrent(&path) {
            let path = path.into_os_string().into_string();
            let path = path.map_err(|path| anyhow!("{} is no name in UTF-8", path.display()));
            torrents.push(path?);
        }
    }
    ensure!(
        !torrents.is_empty(),
        "{word} is a folder without .torrent files"
    );
    torrents.sort_unstable();
    Ok(torrents)
}

/// The folder that a torrent file lies in.
fn beside(torrent: &str) -> anyhow::Result<&Path> {
    let folder = Path::new(torrent)
        .parent()
        .filter(|_| Path::new(torrent).is_file());
    let folder = folder.context("it lies in no folder; name the place of its content behind it")?;
    if folder.as_os_str().is_empty() {
        return Ok(Path::new("."));
    }
    Ok(folder)
}

/// A line for the torrent, and one for each file that is not right.
pub(super) fn in_words(source: &str, report: &Report) -> String {
    let source = printable(source);
    let size = format_size(report.total_bytes, BINARY);
    let (files, faults) = (report.files.len(), report.faults().count());
    let share = report.share();
    if report.is_right() {
        let noun = if files == 1 { "file" } else { "files" };
        return format!("{source}: {share} of {size} is right, {files} {noun}");
    }
    let place = printable(&report.root.display().to_string());
    let mut lines = vec![format!(
        "{source}: {share} of {size} is right, {faults} of {files} files in {place} not:"
    )];
    lines.extend(report.faults().map(fault_in_words));
    lines.join("\n")
}

fn fault_in_words(file: &FileReport) -> String {
    let path = printable(&file.path.to_string());
    let mut words = vec![format!("  {:<11} {path}", file.state.as_str())];
    match &file.state {
        FileState::Short(found) | FileState::Long(found) => {
            words.push(format!("{found} bytes instead of {}", file.length));
        }
        FileState::Unreadable(error) => words.push(error.to_string()),
        FileState::Right | FileState::Bad | FileState::Missing | FileState::Unproven => {}
    }
    if !file.bad_pieces.is_empty() {
        words.push(format!("bad pieces {}", file.bad_pieces));
    }
    if !file.unproven_pieces.is_empty() {
        words.push(format!(
            "bytes shared with a missing file in pieces {}",
            file.unproven_pieces
        ));
    }
    words.join("; ")
}

impl<'a> ReportJson<'a> {
    fn of(source: &'a str, torrent: &'a TorrentFile, report: &'a Report) -> Self {
        let info = &torrent.info;
        Self {
            torrent: source,
            path: &report.root,
            name: &info.name,
            info_hash_v1: info.hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: info.hashes.v2().map(|hash| hash.to_string()),
            right: report.is_right(),
            percent: report.share().percent(),
            right_length: report.right_bytes,
            total_length: report.total_bytes,
            pieces: info.geometry.piece_count(),
            wrong_pieces: report.wrong_pieces,
            files: report.files.iter().map(FileJson::of).collect(),
        }
    }
}

impl FileJson {
    fn of(file: &FileReport) -> Self {
        let (found_length, error) = match &file.state {
            FileState::Short(found) | FileState::Long(found) => (Some(*found), None),
            FileState::Unreadable(error) => (None, Some(error.to_string())),
            _ => (None, None),
        };
        Self {
            path: file.path.to_string(),
            state: file.state.as_str(),
            length: file.length,
            found_length,
            error,
            bad_pieces: pairs(&file.bad_pieces),
            unproven_pieces: pairs(&file.unproven_pieces),
        }
    }
}

fn pairs(pieces: &PieceRanges) -> Vec<(u32, u32)> {
    let ranges = pieces.ranges().iter();
    ranges
        .map(|range: &RangeInclusive<u32>| (*range.start(), *range.end()))
        .collect()
}
