//! `sower create`: torrent files of files and folders.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use humansize::{BINARY, format_size};
use serde::Serialize;

use super::progress::bar_of_bytes;
use super::show::{Shown, printable};
use super::{say, tell};
use crate::ambient;
use crate::config::Config;
use crate::offline::choices::Choices;
use crate::offline::create::{Made, Plan};
use crate::offline::output::{self, Existing};
use crate::offline::selection::{LeftOut, Selection, SelectionError, name_of};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::proto::metainfo::torrent_file::TorrentFile;

const EXAMPLES: &str = "Examples:
  sower create debian.iso                            writes debian.iso.torrent here
  sower create Album --format hybrid --announce https://t.example/announce
  sower create Album -a udp://a.example:6969,udp://b.example:6969 -a https://c.example/announce
  sower create *.iso -o torrents --preset ours       a torrent of each, into a folder
  sower create project --ignore-file project/.gitignore --exclude '*.log' --dry-run
  sower create Album --no-date --no-created-by -o -  the same bytes on every machine

Patterns are lines of a .gitignore: without a slash they match a name at any depth,
with one a path from the top of the folder. Files are in the order of the bytes of
their names, folder by folder. Every format is read by some clients only: v1 by all,
hybrid not by aria2 1.36 and Transmission 3, v2 by still fewer.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person gives or not"
)]
pub(super) struct CreateArgs {
    /// Files and folders, each of which becomes a torrent of its own
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The torrent file, a folder to put it in, or - for standard output [default: NAME.torrent]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite torrent files that are there
    #[arg(short, long)]
    force: bool,
    /// The torrent's name [default: that of the file or folder]
    #[arg(long)]
    name: Option<String>,
    /// Take what no flag says from [create.presets.NAME] of the configuration
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Only show what the torrent would hold; nothing is hashed or written
    #[arg(long)]
    dry_run: bool,
    /// Say how the piece length came about, and what others would come to
    #[arg(long)]
    explain: bool,
    /// Print one JSON object a torrent, with the fields of `sower show --json`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// What the torrent says, and which files are taken.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person gives or not"
)]
struct Flags {
    /// v1, v2 or hybrid (both in one) [default: v1]
    #[arg(long)]
    format: Option<Format>,
    /// A tracker; again for the next tier, a comma between trackers of one tier
    #[arg(short, long, value_name = "URL")]
    announce: Vec<String>,
    /// A web seed; that of a folder ends with a slash. May be repeated
    #[arg(short, long, value_name = "URL")]
    web_seed: Vec<String>,
    /// A DHT node to begin with; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    node: Vec<String>,
    /// The piece length, such as 1MiB [default: what suits the size]
    #[arg(
        short = 'l',
        long,
        value_name = "LENGTH",
        conflicts_with = "target_pieces"
    )]
    piece_length: Option<PieceLength>,
    /// Take the shortest piece length that gives at most so many pieces
    #[arg(long, value_name = "PIECES")]
    target_pieces: Option<NonZeroU32>,
    /// Let peers come from the trackers alone
    #[arg(short, long)]
    private: bool,
    /// A word inside the info dictionary, which makes the info-hash one's own
    #[arg(short, long, value_name = "WORD")]
    source: Option<String>,
    /// A remark
    #[arg(short, long, value_name = "TEXT")]
    comment: Option<String>,
    /// Leave out when it was made
    #[arg(long)]
    no_date: bool,
    /// Leave out what program made it
    #[arg(long)]
    no_created_by: bool,
    /// Take only files that match, or lie in a folder that does; may be repeated
    #[arg(short, long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files and folders that match; may be repeated
    #[arg(short = 'x', long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Leave out what a file of patterns says, as a .gitignore does; may be repeated
    #[arg(long, value_name = "FILE")]
    ignore_file: Vec<PathBuf>,
    /// Take files and folders whose names begin with a dot
    #[arg(long)]
    hidden: bool,
    /// Take what symbolic links lead to
    #[arg(long)]
    follow_symlinks: bool,
}

/// Where a torrent file goes.
#[derive(Clone, Debug)]
enum Target {
    File(PathBuf),
    StandardOutput,
}

/// A torrent that was made, as JSON.
#[derive(Serialize)]
struct MadeJson<'a> {
    torrent: &'a Path,
    #[serde(flatten)]
    shown: Shown<'a>,
    #[serde(flatten)]
    remarks: Remarks,
}

/// A torrent that would be made, as JSON.
#[derive(Serialize)]
struct PlannedJson<'a> {
    name: &'a str,
    format: Format,
    piece_length: u32,
    pieces: u64,
    total_length: u64,
    files: Vec<PlannedFile>,
    #[serde(flatten)]
    remarks: Remarks,
}

#[derive(Serialize)]
struct PlannedFile {
    path: String,
    length: u64,
}

/// What is said besides of a torrent that is made.
#[derive(Serialize)]
struct Remarks {
    left_out: LeftOut,
    advice: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
}

impl CreateArgs {
    pub(super) fn run(self, config: &Config) -> anyhow::Result<()> {
        self.check_usage();
        let choices = self.choices(config)?;
        let mut targets = BTreeSet::new();
        if let [only] = self.paths.as_slice() {
            return self.create(only, &choices, config, &mut targets);
        }
        let mut failed = 0_usize;
        for path in &self.paths {
            if let Err(error) = self.create(path, &choices, config, &mut targets) {
                failed += 1;
                tell(format_args!("sower: {error:#}"));
            }
        }
        if failed > 0 {
            bail!("{failed} of {} torrents were not made", self.paths.len());
        }
        Ok(())
    }

    /// Ends the program where flags do not go together.
    fn check_usage(&self) {
        let several = self.paths.len() > 1;
        let to_stdout = self.is_to_stdout();
        let is_folder = self.output.as_deref().is_none_or(Path::is_dir);
        let refused = if several && self.name.is_some() {
            "--name is for a single PATH"
        } else if several && !is_folder && !self.dry_run {
            "of several PATHs, the torrents go into a folder; make it, and name it with -o"
        } else if to_stdout && self.json {
            "with -o - the torrent itself is the output; leave out --json"
        } else {
            return;
        };
        let mut command = super::Args::command();
        command.error(ErrorKind::ArgumentConflict, refused).exit()
    }

    fn is_to_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    fn choices(&self, config: &Config) -> anyhow::Result<Choices> {
        let presets = &config.create.presets;
        let preset = match &self.preset {
            None => Choices::default(),
            Some(name) => presets.get(name).cloned().with_context(|| {
                let known: Vec<&str> = presets.keys().map(String::as_str).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                format!("the configuration has no [create.presets.{name}]; it has: {known}")
            })?,
        };
        Ok(self.flags.choices().over(preset))
    }

    /// Makes a torrent of `path`. `targets` are the files that this run has written.
    fn create(
        &self,
        path: &Path,
        choices: &Choices,
        config: &Config,
        targets: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        let name = self.name.clone().map_or_else(|| name_of(path), Ok)?;
        let target = self.target(&name);
        if let Target::File(file) = &target
            && !self.dry_run
        {
            if !targets.insert(file.clone()) {
                bail!(
                    "{} would be written twice; give -o another folder",
                    file.display()
                );
            }
            output::check(file, self.existing()).map_err(hint_at_force)?;
        }
        let plan = plan(path, name, &target, choices, config)?;
        let remarks = self.remarks(&plan);
        if self.dry_run {
            return self.say_plan(&plan, remarks);
        }
        let total = plan.selection.total_length();
        let bar = bar_of_bytes(total, printable(&plan.selection.name));
        let made = plan.make(&config.hashing.hash_options(), &|bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let made = made?;
        let torrent = self.write(&made, &target)?;
        self.say_made(&torrent, &target, remarks)
    }

    fn target(&self, name: &str) -> Target {
        let file = format!("{name}.torrent");
        match &self.output {
            _ if self.is_to_stdout() => Target::StandardOutput,
            None => Target::File(file.into()),
            Some(folder) if folder.is_dir() => Target::File(folder.join(file)),
            Some(file) => Target::File(file.clone()),
        }
    }

    const fn existing(&self) -> Existing {
        if self.force {
            Existing::Overwrite
        } else {
            Existing::Keep
        }
    }

    /// Writes the torrent file, reads it back and looks at what came back.
    fn write(&self, made: &Made, target: &Target) -> anyhow::Result<TorrentFile> {
        match target {
            Target::StandardOutput => {
                let torrent = made.check(&made.bytes)?;
                if io::stdout().is_terminal() {
                    bail!("a torrent file is not for a terminal; send it to a file or a program");
                }
                let mut stdout = io::stdout();
                let written = stdout.write_all(&made.bytes).and_then(|()| stdout.flush());
                written.context("standard output cannot be written")?;
                Ok(torrent)
            }
            Target::File(path) => {
                output::write(path, &made.bytes, self.existing()).map_err(hint_at_force)?;
                let written = std::fs::read(path)
                    .with_context(|| format!("{} cannot be read back", path.display()))?;
                made.check(&written).with_context(|| {
                    format!("{} is not to be trusted; make it again", path.display())
                })
            }
        }
    }

    fn remarks(&self, plan: &Plan) -> Remarks {
        Remarks {
            left_out: plan.selection.left_out,
            advice: plan.advice().iter().map(ToString::to_string).collect(),
            explanation: self.explain.then(|| plan.sizing.to_string()),
        }
    }

    fn say_plan(&self, plan: &Plan, remarks: Remarks) -> anyhow::Result<()> {
        let selection = &plan.selection;
        let files = selection.files.iter().map(|file| PlannedFile {
            path: file.path.to_string(),
            length: file.length,
        });
        let planned = PlannedJson {
            name: &selection.name,
            format: plan.recipe.format,
            piece_length: plan.sizing.piece_length.get(),
            pieces: plan.sizing.pieces,
            total_length: selection.total_length(),
            files: files.collect(),
            remarks,
        };
        if self.json {
            say(serde_json::to_string(&planned)?)?;
            return Ok(());
        }
        let mut text = String::new();
        for file in &planned.files {
            writeln!(
                text,
                "{}  {}",
                printable(&file.path),
                format_size(file.length, BINARY)
            )?;
        }
        line(&mut text, "name", planned.name)?;
        line(&mut text, "format", planned.format.as_str())?;
        let count = planned.files.len() as u64;
        amounts(
            &mut text,
            planned.total_length,
            count,
            planned.pieces,
            planned.piece_length,
        )?;
        planned.remarks.write(&mut text)?;
        say(text.trim_end())?;
        planned.remarks.tell();
        Ok(())
    }

    fn say_made(
        &self,
        torrent: &TorrentFile,
        target: &Target,
        remarks: Remarks,
    ) -> anyhow::Result<()> {
        let path = match target {
            Target::File(path) => path,
            Target::StandardOutput => Path::new("-"),
        };
        if self.json {
            let shown = Shown::from(torrent);
            let made = MadeJson {
                torrent: path,
                shown,
                remarks,
            };
            say(serde_json::to_string(&made)?)?;
            return Ok(());
        }
        let info = &torrent.info;
        let mut text = String::new();
        line(&mut text, "torrent", &path.display().to_string())?;
        line(&mut text, "name", &info.name)?;
        for (label, hash) in [
            (
                "info-hash v1",
                info.hashes.v1().map(|hash| hash.to_string()),
            ),
            (
                "info-hash v2",
                info.hashes.v2().map(|hash| hash.to_string()),
            ),
        ] {
            if let Some(hash) = hash {
                line(&mut text, label, &hash)?;
            }
        }
        amounts(
            &mut text,
            info.files.content_length(),
            info.files.content().count() as u64,
            info.geometry.piece_count().into(),
            info.geometry.piece_length(),
        )?;
        remarks.write(&mut text)?;
        match target {
            Target::File(_) => say(text.trim_end())?,
            Target::StandardOutput => tell(text.trim_end()),
        }
        remarks.tell();
        Ok(())
    }
}

impl Flags {
    fn choices(&self) -> Choices {
        Choices {
            format: self.format,
            announce: self.announce.clone(),
            web_seed: self.web_seed.clone(),
            node: self.node.clone(),
            piece_length: self.piece_length,
            target_pieces: self.target_pieces,
            private: self.private,
            source: self.source.clone(),
            comment: self.comment.clone(),
            no_date: self.no_date,
            no_created_by: self.no_created_by,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            ignore_file: self.ignore_file.clone(),
            hidden: self.hidden,
            follow_symlinks: self.follow_symlinks,
        }
    }
}

impl Remarks {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        if !self.left_out.is_nothing() {
            line(text, "left out", &self.left_out.to_string())?;
        }
        match &self.explanation {
            Some(explanation) => write!(text, "{explanation}"),
            None => Ok(()),
        }
    }

    fn tell(&self) {
        for advice in &self.advice {
            tell(format_args!("warning: {}", printable(advice)));
        }
    }
}

fn plan(
    path: &Path,
    name: String,
    target: &Target,
    choices: &Choices,
    config: &Config,
) -> anyhow::Result<Plan> {
    let output = match target {
        Target::File(file) => Some(file.clone()),
        Target::StandardOutput => None,
    };
    let options = choices.selection_options(config.torrent.max_files, Some(name), output);
    let selection = Selection::of(path, &options).map_err(|error| match error {
        SelectionError::TooManyFiles { .. } => anyhow::Error::from(error)
            .context("`torrent.max_files` in the configuration allows more"),
        _ => error.into(),
    })?;
    let recipe = choices.recipe(ambient::unix_now())?;
    Ok(Plan::new(selection, recipe, config.torrent.info_limits())?)
}

fn hint_at_force(error: output::OutputError) -> anyhow::Error {
    match error {
        output::OutputError::Exists { .. } => {
            anyhow::anyhow!("{error}; -f overwrites it, and -o gives another name")
        }
        _ => error.into(),
    }
}

fn line(text: &mut String, label: &str, value: &str) -> std::fmt::Result {
    writeln!(text, "{label:<14}{}", printable(value))
}

fn amounts(
    text: &mut String,
    bytes: u64,
    files: u64,
    pieces: u64,
    piece_length: u32,
) -> std::fmt::Result {
    let noun = if files == 1 { "file" } else { "files" };
    let size = format_size(bytes, BINARY);
    line(
        text,
        "size",
        &format!("{size} ({bytes} bytes) in {files} {noun}"),
    )?;
    let piece_length = format_size(piece_length, BINARY);
    line(text, "pieces", &format!("{pieces} of {piece_length}"))
}
