//! `sower publish`: sends files to a server, which publishes them, or publishes them straight into the data directory.
//!
//! An upload that was interrupted is gone on with by the same command. What was begun is written down for that, one small file for each unfinished
//! upload, in the folder that the system has for such things.

mod known;
mod local;
mod particulars;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use data_encoding::HEXLOWER;
use futures_util::{TryStreamExt, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::known::Known;
use self::local::Local;
use self::particulars::ParticularsArgs;
use super::progress::bar_of_bytes;
use super::{say, tell};
use crate::ambient;
use crate::client::{
    Client, ClientError, Manifest, ManifestFile, Options, Standing, StandingFile, Twin,
};
use crate::config::Config;
use crate::domain::publication::Words;
use crate::offline::choices::Choices;
use crate::offline::limits::TorrentOptions;
use crate::offline::selection::Selection;
use crate::proto::metainfo::info::{Format, Layout};
use crate::publish::{Details, Import};

const PUBLISHED_ALREADY: &str = "the same files are published already";

/// Files that are sent at the same time.
const FILES_AT_ONCE: usize = 4;

const EXAMPLES: &str = "Examples:
  sower publish film.mkv --title 'A film'
  sower publish /srv/archive/2026 --in-place
  sower publish data-2.0 --replaces https://files.example.org/p/4k2jabcdef --doi 10.5281/zenodo.1234
  sower publish film.mkv --to https://files.example.org --token sower_4k2j…
  SOWER_TO=https://files.example.org SOWER_TOKEN=… sower publish album --title 'An album'
  sower publish notes.pdf data --json | jq -r .page_url
  sower publish --torrent album.torrent Downloads/album

Without --to, it is published straight into the data directory of the configuration; a server
that runs on it serves it within a second. The token is made on the server, by `sower token
create`. An upload to a server that was interrupted goes on where it was when the same command
is given again.

With --torrent, the files are first held against that torrent, and its info-hash stays: whoever
has the old torrent finds this server's seed too. Its trackers and web seeds stay as well.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person gives or not"
)]
pub(super) struct PublishArgs {
    /// Files and folders; all together become one publication
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The server's address [default: none, into the data directory]
    #[arg(long, value_name = "URL", env = "SOWER_TO")]
    to: Option<String>,
    /// An API token of the server
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SOWER_TOKEN",
        hide_env_values = true,
        default_value = ""
    )]
    token: String,
    /// Leave the files where they lie instead of copying them; they must stay as they are
    #[arg(long, conflicts_with = "to")]
    in_place: bool,
    /// The torrent that the files have already, to be published under its info-hash. PATH is then the content, or the folder that holds it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "private", "exclude", "hidden"])]
    torrent: Option<PathBuf>,
    /// The title [default: the name of the file or folder]
    #[arg(long, default_value = "")]
    title: String,
    /// The description, in Markdown
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Who made it
    #[arg(long, value_name = "NAME", default_value = "")]
    creator: String,
    /// The licence, by its SPDX identifier, such as CC-BY-4.0
    #[arg(long, value_name = "SPDX", default_value = "")]
    licence: String,
    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// v1, which all clients read; hybrid; or v2
    #[arg(long, default_value_t = Format::V1)]
    format: Format,
    /// Let peers come from the server's own tracker alone (BEP 27)
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    particulars: ParticularsArgs,
    /// Files to leave out, as lines of a .gitignore; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take files and folders whose name begins with a dot, too
    #[arg(long)]
    hidden: bool,
    /// Print what was published as JSON
    #[arg(long)]
    json: bool,
}

/// A file and where it lies.
struct Sent {
    disk: PathBuf,
    file: ManifestFile,
}

impl PublishArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let known = self.known(&config.torrent)?;
        match self.to.as_deref().filter(|server| !server.is_empty()) {
            Some(server) => {
                let files = self.files(known.as_ref(), config)?;
                self.send(server, known, &files).await
            }
            None => Local::new(&self, known).publish(config).await,
        }
    }

    /// The torrent that the files have already.
    fn known(&self, bounds: &TorrentOptions) -> anyhow::Result<Option<Known>> {
        let Some(torrent) = &self.torrent else {
            return Ok(None);
        };
        let [path] = self.paths.as_slice() else {
            bail!(
                "with --torrent goes one path: that of its content, or of the folder that holds it"
            );
        };
        Known::read(torrent, path, bounds).map(Some)
    }

    /// What is published: files that a torrent has, all found right, or those that are found.
    fn files(&self, known: Option<&Known>, config: &Config) -> anyhow::Result<Vec<Sent>> {
        match known {
            Some(known) => known.verify(&config.hashing.hash_options()),
            None => self.select(&config.torrent),
        }
    }

    async fn send(&self, server: &str, known: Option<Known>, files: &[Sent]) -> anyhow::Result<()> {
        let client = Client::new(server, &self.token, Options::default())?;
        let (torrent, listed) = match known {
            Some(known) => (known.bytes, Vec::new()),
            None => (
                Bytes::new(),
                files.iter().map(|sent| sent.file.clone()).collect(),
            ),
        };
        let manifest = Manifest {
            title: self.title.clone(),
            description: self.description.clone(),
            creator: self.creator.clone(),
            licence: self.licence.clone(),
            tags: self.tags.clone(),
            format: self.format.as_str().to_owned(),
            private: self.private,
            particulars: self.particulars.read(),
            torrent,
            files: listed,
        };
        let mut note = Note::of(server, &manifest, files)?;
        let draft = match resumed(&client, &mut note).await? {
            Some(draft) => draft,
            None => match begin(&client, &manifest, &mut note).await {
                Err(ClientError::AlreadyPublished(twin)) => return self.tell_twin(&twin),
                begun => begun?,
            },
        };
        if draft.state == "draft" {
            send(&client, &draft, files).await?;
        }
        let ended = client.ended(&draft.id).await?;
        note.remove();
        self.tell_end(ended)
    }

    fn select(&self, bounds: &TorrentOptions) -> anyhow::Result<Vec<Sent>> {
        let choices = Choices {
            exclude: self.exclude.clone(),
            hidden: self.hidden,
            ..Choices::default()
        };
        let options = choices.selection_options(bounds.max_files, None, None);
        let mut files = Vec::new();
        for path in &self.paths {
            let Selection {
                name,
                layout,
                files: found,
                left_out,
            } = Selection::of(path, &options)?;
            if !left_out.is_nothing() {
                tell(format_args!("left out of {}: {left_out}", path.display()));
            }
            files.extend(found.into_iter().map(|file| Sent {
                file: ManifestFile {
                    path: match layout {
                        Layout::SingleFile => name.clone(),
                        Layout::Folder => format!("{name}/{}", file.path.as_str()),
                    },
                    length: file.length,
                },
                disk: file.disk,
            }));
        }
        Ok(files)
    }

    fn tell_end(&self, ended: Option<Standing>) -> anyhow::Result<()> {
        let Some(ended) = ended else {
            bail!("the server does not know of this upload any more; give the same command again");
        };
        if let Some(twin) = ended.same_as {
            return self.tell_twin(&twin);
        }
        match (ended.page_url, ended.failure) {
            (Some(page), _) => self.say(&ended.id, Some(&page), false),
            (None, Some(failure)) => bail!("{failure}"),
            (None, None) => Err(ClientError::NotUnderstood.into()),
        }
    }

    fn tell_twin(&self, twin: &Twin) -> anyhow::Result<()> {
        tell(PUBLISHED_ALREADY);
        self.say(&twin.id, Some(&twin.page_url), true)
    }

    /// What is said of the files when they are published here.
    fn details(&self, import: Option<Import>) -> Details {
        Details {
            words: Words {
                title: self.title.clone(),
                description: self.description.clone(),
                creator: self.creator.clone(),
                licence: self.licence.clone(),
                tags: self.tags.clone(),
                particulars: self.particulars.read(),
            },
            format: self.format,
            private: self.private,
            publisher: String::new(),
            import,
        }
    }

    /// Prints the address of the publication's page, or where nobody knows it the publication's id.
    fn say(&self, id: &str, page: Option<&str>, was_there: bool) -> anyhow::Result<()> {
        if self.json {
            say(json!({ "id": id, "page_url": page, "was_published_already": was_there }))?;
        } else {
            say(page.unwrap_or(id))?;
        }
        Ok(())
    }
}

/// The draft of the last try, where the server still has it.
async fn resumed(client: &Client, note: &mut Note) -> anyhow::Result<Option<Standing>> {
    let Some(id) = &note.begun.id else {
        return Ok(None);
    };
    let standing = client.standing(id).await?;
    let standing = standing.filter(|standing| standing.state != "failed");
    if standing.is_none() {
        note.begun = Begun::new();
    }
    Ok(standing)
}

async fn begin(
    client: &Client,
    manifest: &Manifest,
    note: &mut Note,
) -> Result<Standing, ClientError> {
    // The key is written down first: whoever misses the answer asks again under the same one, and gets the same draft.
    note.write();
    let draft = client.begin(manifest, &note.begun.key).await;
    let draft = draft.inspect_err(|error| {
        if !error.leaves_doubt() {
            note.remove();
        }
    })?;
    note.begun.id = Some(draft.id.clone());
    note.write();
    Ok(draft)
}

async fn send(client: &Client, draft: &Standing, files: &[Sent]) -> anyhow::Result<()> {
    if draft.files.len() != files.len() {
        return Err(ClientError::NotUnderstood.into());
    }
    let total = files.iter().map(|sent| sent.file.length).sum();
    let there: u64 = draft.files.iter().map(|file| file.offset).sum();
    let bar = bar_of_bytes(total, "sending".to_owned());
    bar.set_position(there);
    bar.reset_eta();
    let done = AtomicU64::new(there);
    let moved = |from: u64, to: u64| {
        let moved = to.wrapping_sub(from);
        bar.set_position(done.fetch_add(moved, Relaxed).wrapping_add(moved));
    };
    let uploads = draft.files.iter().zip(files);
    let uploads = uploads.filter(|(file, _)| file.offset < file.length);
    let sending = stream::iter(uploads.map(Ok))
        .try_for_each_concurrent(FILES_AT_ONCE, |(file, sent): (&StandingFile, &Sent)| {
            client.upload(file, &sent.disk, moved)
        });
    let sent = sending.await;
    bar.finish_and_clear();
    sent.context("what was sent is kept; the same command goes on where it was")
}

/// What is written down of an unfinished upload, in a file whose name is a hash of the server and of what is sent: files that have changed since are
/// another upload.
struct Note {
    /// `None` where the system has no folder for such notes.
    path: Option<PathBuf>,
    begun: Begun,
}

/// An upload that was begun, or is about to be.
#[derive(Serialize, Deserialize)]
struct Begun {
    /// The `Idempotency-Key` of the request that begins it.
    key: String,
    /// What that request has made, once it is known.
    id: Option<String>,
}

impl Begun {
    fn new() -> Self {
        let mut key = [0; 16];
        ambient::rng().fill_bytes(&mut key);
        Self {
            key: HEXLOWER.encode(&key),
            id: None,
        }
    }
}

impl Note {
    /// The note of the last try, or a new one.
    fn of(server: &str, manifest: &Manifest, files: &[Sent]) -> anyhow::Result<Self> {
        let mut hasher = Sha256::new();
        hasher.update(serde_json::to_vec(&(server, manifest))?);
        for sent in files {
            let metadata = fs::metadata(&sent.disk)
                .with_context(|| format!("{} cannot be read", sent.disk.display()))?;
            let modified = metadata.modified()?;
            let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
            hasher.update(modified.as_nanos().to_be_bytes());
        }
        let name = HEXLOWER.encode(&hasher.finalize());
        let path = folder().map(|folder| folder.join(name));
        let written = path.as_ref().and_then(|path| fs::read(path).ok());
        let begun = written.and_then(|written| serde_json::from_slice(&written).ok());
        Ok(Self {
            path,
            begun: begun.unwrap_or_else(Begun::new),
        })
    }

    fn write(&self) {
        let Some(path) = &self.path else {
            return;
        };
        if let Err(error) = self.write_to(path) {
            tell(format_args!(
                "this upload could not be resumed if it was interrupted: {} cannot be written: {error}",
                path.display()
            ));
        }
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &self.begun)?;
        file.persist(path)?;
        Ok(())
    }

    fn remove(&self) {
        if let Some(path) = &self.path {
            // One that stays leads to a publication that is there, and is passed over.
            let _ = fs::remove_file(path);
        }
    }
}

/// The folder for what a program wants to find again, by the XDG Base Directory Specification.
fn folder() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    Some(
        state
            .map(PathBuf::from)
            .or_else(home)?
            .join("sower/uploads"),
    )
}
