//! `sower edit`: changes torrent files around their `info` dictionary.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::show::{Shown, printable, written_node};
use super::source::{parse, read_file};
use super::{pour, say, tell};
use crate::ambient;
use crate::offline::choices::{BadNode, read_node, read_tier};
use crate::offline::limits::TorrentOptions;
use crate::offline::output::{self, Existing};
use crate::proto::metainfo::edit::{Change, Changes};
use crate::proto::metainfo::torrent_file::{TorrentFile, is_tracker_url, is_web_seed_url};

const EXAMPLES: &str = "Examples:
  sower edit *.torrent --remove-announce udp://old.example:69 --add-announce https://new.example/x
  sower edit a.torrent --announce https://a.example/x,https://b.example/x -a udp://c.example:69
  sower edit a.torrent --no-announce --no-created-by --no-date -o bare.torrent
  sower edit a.torrent --comment 'now with subtitles' --dry-run

The info dictionary is never touched, so the info-hash stays, and with it the name, the
files, and whether the torrent is private: another one of those is another torrent, which
`sower create` makes. Fields that are unknown stay byte for byte. A file is replaced in
one step, or not at all.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EditArgs {
    /// Torrent files; - for standard input, with -o
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write there instead of in place; - for standard output. For a single file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file that -o names
    #[arg(short, long, requires = "output")]
    force: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a file, with the fields of `sower show --json` as they are then
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trackers: TrackerFlags,
    #[command(flatten)]
    web_seeds: WebSeedFlags,
    #[command(flatten)]
    nodes: NodeFlags,
    #[command(flatten)]
    texts: TextFlags,
}

#[derive(Debug, Args)]
struct TrackerFlags {
    /// The trackers of one tier, with commas between them, instead of all that are there; one flag a tier
    #[arg(short, long, value_name = "URL,…")]
    announce: Vec<String>,
    /// One tier more, of those trackers that are not there yet
    #[arg(long, value_name = "URL,…")]
    add_announce: Vec<String>,
    /// A tracker that goes
    #[arg(long, value_name = "URL")]
    remove_announce: Vec<String>,
    /// All trackers go
    #[arg(long, conflicts_with_all = ["announce", "remove_announce"])]
    no_announce: bool,
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_field_names,
    reason = "they have the names of the flags"
)]
struct WebSeedFlags {
    /// A web seed, instead of all that are there
    #[arg(short, long, value_name = "URL")]
    web_seed: Vec<String>,
    /// One web seed more
    #[arg(long, value_name = "URL")]
    add_web_seed: Vec<String>,
    /// A web seed that goes
    #[arg(long, value_name = "URL")]
    remove_web_seed: Vec<String>,
    /// All web seeds go
    #[arg(long, conflicts_with_all = ["web_seed", "remove_web_seed"])]
    no_web_seed: bool,
}

#[derive(Debug, Args)]
struct NodeFlags {
    /// A DHT node, instead of all that are there
    #[arg(long, value_name = "HOST:PORT")]
    node: Vec<String>,
    /// One DHT node more
    #[arg(long, value_name = "HOST:PORT")]
    add_node: Vec<String>,
    /// A DHT node that goes
    #[arg(long, value_name = "HOST:PORT")]
    remove_node: Vec<String>,
    /// All DHT nodes go
    #[arg(long, conflicts_with_all = ["node", "remove_node"])]
    no_node: bool,
}

#[derive(Debug, Args)]
struct TextFlags {
    /// The comment
    #[arg(short, long, value_name = "TEXT")]
    comment: Option<String>,
    /// The comment goes
    #[arg(long, conflicts_with = "comment")]
    no_comment: bool,
    /// The program that made it
    #[arg(long, value_name = "TEXT")]
    created_by: Option<String>,
    /// The program's name goes
    #[arg(long, conflicts_with = "created_by")]
    no_created_by: bool,
    /// When it was made: seconds since 1970, a time such as 2026-11-23T04:00:00Z, or now
    #[arg(long, value_name = "TIME", value_parser = read_date)]
    date: Option<Date>,
    /// The date goes
    #[arg(long, conflicts_with = "date")]
    no_date: bool,
}

#[derive(Clone, Copy, Debug)]
enum Date {
    Now,
    At(i64),
}

/// A torrent file before and after, and what became of it.
struct Edited {
    bytes: Bytes,
    torrent: TorrentFile,
    /// Each field that changed, before and after, in words.
    differences: Vec<Difference>,
}

struct Difference {
    field: &'static str,
    before: String,
    after: String,
}

#[derive(Serialize)]
struct EditedJson<'a> {
    file: &'a Path,
    changed: bool,
    /// Where it was written; null if it was not.
    written: Option<&'a Path>,
    #[serde(flatten)]
    shown: Shown<'a>,
}

impl EditArgs {
    pub(super) fn run(self, bounds: &TorrentOptions) -> anyhow::Result<()> {
        ensure!(
            self.output.is_none() || self.files.len() == 1,
            "-o names one file, and {} are to be changed; leave it out to change them in place",
            self.files.len()
        );
        let wanted = self.wanted()?;
        for file in &self.files {
            let unchanged = || format!("{} was not changed", file.display());
            let edited = self.edit(file, &wanted, bounds).with_context(unchanged)?;
            let written = self.write(file, &edited).with_context(unchanged)?;
            self.report(file, written, &edited)?;
        }
        Ok(())
    }

    /// The flags read and checked, before any file is.
    fn wanted(&self) -> anyhow::Result<Wanted> {
        let (trackers, web_seeds, nodes) = (&self.trackers, &self.web_seeds, &self.nodes);
        let trackers = Wish {
            instead: read_tiers(&trackers.announce)?,
            more: read_tiers(&trackers.add_announce)?,
            less: trackers.remove_announce.clone(),
            is_emptied: trackers.no_announce,
        };
        let web_seeds = Wish {
            instead: check_web_seeds(&web_seeds.web_seed)?,
            more: check_web_seeds(&web_seeds.add_web_seed)?,
            less: web_seeds.remove_web_seed.clone(),
            is_emptied: web_seeds.no_web_seed,
        };
        let nodes = Wish {
            instead: read_nodes(&nodes.node)?,
            more: read_nodes(&nodes.add_node)?,
            less: read_nodes(&nodes.remove_node)?,
            is_emptied: nodes.no_node,
        };
        Ok(Wanted {
            trackers,
            web_seeds,
            nodes,
        })
    }

    fn edit(
        &self,
        file: &Path,
        wanted: &Wanted,
        bounds: &TorrentOptions,
    ) -> anyhow::Result<Edited> {
        let name = file.display().to_string();
        let bytes = read_file(file, bounds)?;
        let before = parse(&bytes, &name, bounds)?;
        let changes = self.changes(wanted, &before);
        let bytes = changes.apply(&bytes, &bounds.info_limits().scan)?.into();
        let torrent = parse(&bytes, &name, bounds)?;
        ensure!(
            torrent.info.raw == before.info.raw,
            "the change would reach the info dictionary; please report this"
        );
        Ok(Edited {
            differences: differences(&before, &torrent),
            bytes,
            torrent,
        })
    }

    fn changes(&self, wanted: &Wanted, torrent: &TorrentFile) -> Changes {
        let texts = &self.texts;
        Changes {
            trackers: unless_equal(wanted.tiers(&torrent.trackers), &torrent.trackers),
            web_seeds: unless_equal(wanted.web_seeds.of(&torrent.web_seeds), &torrent.web_seeds),
            nodes: unless_equal(wanted.nodes.of(&torrent.nodes), &torrent.nodes),
            comment: change(texts.comment.clone(), texts.no_comment),
            created_by: change(texts.created_by.clone(), texts.no_created_by),
            creation_date: change(
                texts.date.map(|date| match date {
                    Date::Now => ambient::unix_now(),
                    Date::At(seconds) => seconds,
                }),
                texts.no_date,
            ),
        }
    }

    /// Where the file was written, if it was.
    fn write<'a>(&'a self, file: &'a Path, edited: &Edited) -> anyhow::Result<Option<&'a Path>> {
        let stdout = Path::new("-");
        let target = self.output.as_deref().unwrap_or(file);
        if self.dry_run || (self.output.is_none() && edited.differences.is_empty()) {
            return Ok(None);
        }
        if target == stdout {
            ensure!(
                self.output.is_some() && !self.json,
                "standard input cannot be changed in place; name a file with -o"
            );
            pour(|out| out.write_all(&edited.bytes))?;
        } else if self.output.is_some() {
            let existing = if self.force {
                Existing::Overwrite
            } else {
                Existing::Keep
            };
            output::write(target, &edited.bytes, existing)
                .context("use -f to overwrite what is there")?;
        } else {
            // A symbolic link stays one, and the file that it leads to is replaced.
            let target = target.canonicalize()?;
            output::write(&target, &edited.bytes, Existing::Overwrite)?;
        }
        Ok(Some(target))
    }

    fn report(&self, file: &Path, written: Option<&Path>, edited: &Edited) -> anyhow::Result<()> {
        if self.json {
            let object = EditedJson {
                file,
                changed: !edited.differences.is_empty(),
                written,
                shown: Shown::from(&edited.torrent),
            };
            say(serde_json::to_string(&object)?)?;
            return Ok(());
        }
        // Standard output may be the torrent itself.
        let name = printable(&file.display().to_string());
        match (edited.differences.is_empty(), written) {
            (true, _) => tell(format_args!("{name}: nothing to change")),
            (false, None) => tell(format_args!("{name} would change:")),
            (false, Some(_)) => tell(format_args!("{name} changed:")),
        }
        for it in &edited.differences {
            let (before, after) = (printable(&it.before), printable(&it.after));
            tell(format_args!("  {}: {before} -> {after}", it.field));
        }
        Ok(())
    }
}

/// What the flags say of the lists.
struct Wanted {
    trackers: Wish<Vec<String>, String>,
    web_seeds: Wish<String>,
    nodes: Wish<(String, u16)>,
}

/// What is wanted of a list of `T`, from which `L` are taken.
struct Wish<T, L = T> {
    instead: Vec<T>,
    more: Vec<T>,
    less: Vec<L>,
    is_emptied: bool,
}

impl<T: Clone, L> Wish<T, L> {
    /// The list to begin with.
    fn base(&self, current: &[T]) -> Vec<T> {
        if self.is_emptied || !self.instead.is_empty() {
            self.instead.clone()
        } else {
            current.to_vec()
        }
    }
}

impl<T: Clone + PartialEq> Wish<T> {
    fn of(&self, current: &[T]) -> Vec<T> {
        let mut list = self.base(current);
        list.retain(|one| !self.less.contains(one));
        for one in &self.more {
            if !list.contains(one) {
                list.push(one.clone());
            }
        }
        list
    }
}

impl Wanted {
    fn tiers(&self, current: &[Vec<String>]) -> Vec<Vec<String>> {
        let wish = &self.trackers;
        let mut tiers = wish.base(current);
        for tier in &mut tiers {
            tier.retain(|url| !wish.less.contains(url));
        }
        for tier in &wish.more {
            let is_new = |url: &&String| !tiers.iter().flatten().any(|there| there == *url);
            tiers.push(tier.iter().filter(is_new).cloned().collect());
        }
        tiers.retain(|tier| !tier.is_empty());
        tiers
    }
}

fn unless_equal<T: PartialEq>(wanted: Vec<T>, current: &[T]) -> Change<Vec<T>> {
    if wanted == current {
        Change::Keep
    } else {
        Change::Set(wanted)
    }
}

fn change<T>(to: Option<T>, is_removed: bool) -> Change<T> {
    match to {
        Some(value) => Change::Set(value),
        None if is_removed => Change::Remove,
        None => Change::Keep,
    }
}

fn read_tiers(flags: &[String]) -> anyhow::Result<Vec<Vec<String>>> {
    let mut tiers: Vec<Vec<String>> = flags.iter().map(|tier| read_tier(tier)).collect();
    tiers.retain(|tier| !tier.is_empty());
    match tiers.iter().flatten().find(|url| !is_tracker_url(url)) {
        Some(url) => {
            bail!("{url:?} is no tracker; write a URL that begins with http, https, udp, ws or wss")
        }
        None => Ok(tiers),
    }
}

fn check_web_seeds(urls: &[String]) -> anyhow::Result<Vec<String>> {
    match urls.iter().find(|url| !is_web_seed_url(url)) {
        Some(url) => {
            bail!("{url:?} is no web seed; write a URL that begins with http or https")
        }
        None => Ok(urls.to_vec()),
    }
}

fn read_nodes(flags: &[String]) -> Result<Vec<(String, u16)>, BadNode> {
    flags.iter().map(|node| read_node(node)).collect()
}

fn read_date(text: &str) -> Result<Date, String> {
    if text == "now" {
        return Ok(Date::Now);
    }
    if let Ok(seconds) = text.parse() {
        return Ok(Date::At(seconds));
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .map(|date| Date::At(date.unix_timestamp()))
        .map_err(|_| {
            "write seconds since 1970, a time such as 2026-11-23T04:00:00Z, or now".to_owned()
        })
}

/// The fields that are not the same, in words.
fn differences(before: &TorrentFile, after: &TorrentFile) -> Vec<Difference> {
    let none = || "none".to_owned();
    let text = |text: &Option<String>| text.as_ref().map_or_else(none, |it| format!("{it:?}"));
    let list = |items: Vec<String>| {
        if items.is_empty() {
            none()
        } else {
            items.join(" | ")
        }
    };
    let fields = |torrent: &TorrentFile| {
        let tiers = torrent.trackers.iter().map(|tier| tier.join(", "));
        [
            ("trackers", list(tiers.collect())),
            ("web seeds", list(torrent.web_seeds.clone())),
            (
                "nodes",
                list(torrent.nodes.iter().map(written_node).collect()),
            ),
            ("comment", text(&torrent.comment)),
            ("created by", text(&torrent.created_by)),
            (
                "creation date",
                torrent.creation_date.map_or_else(none, |it| it.to_string()),
            ),
        ]
    };
    fields(before)
        .into_iter()
        .zip(fields(after))
        .filter(|(before, after)| before != after)
        .map(|((field, before), (_, after))| Difference {
            field,
            before,
            after,
        })
        .collect()
}
