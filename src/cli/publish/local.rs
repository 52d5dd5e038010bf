//! Publishing straight into the data directory, whether a server runs on it or not.

use std::io;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use bytes::BytesMut;
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::known::Known;
use super::{PUBLISHED_ALREADY, PublishArgs, Sent};
use crate::ambient;
use crate::app::Workbench;
use crate::cli::progress::bar_of_bytes;
use crate::cli::signals::stop_on_signal;
use crate::cli::tell;
use crate::config::Config;
use crate::domain::publication::{Publication, PublicationId};
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::publish::{Expected, Import, Ingest, IngestError, Placed, Upload};

/// Bytes that are read in one go.
const READ_BYTES: usize = 256 * 1024;

/// What is published, and how.
pub(super) struct Local<'a> {
    args: &'a PublishArgs,
    known: Option<Known>,
}

/// Files of one publication.
struct Set<'a> {
    args: &'a PublishArgs,
    /// In the order of the torrent that they have, or else of their paths, so that the same files are the same torrent however they were
    /// named.
    files: Vec<Sent>,
    import: Option<Import>,
}

impl<'a> Local<'a> {
    pub(super) const fn new(args: &'a PublishArgs, known: Option<Known>) -> Self {
        Self { args, known }
    }

    pub(super) async fn publish(&self, config: &Config) -> anyhow::Result<()> {
        let mut config = config.clone();
        // The bound on forms is for browsers, which send them in one go.
        config.publish.max_form_files = config.publish.max_files;
        let bench = Workbench::open(&config).await?;
        let told = match self.publish_at(&bench, &config).await {
            Ok(publication) => self.tell_end(&bench, publication.id, false),
            Err(error) => match error.downcast_ref() {
                Some(IngestError::AlreadyPublished(twin)) => {
                    tell(PUBLISHED_ALREADY);
                    self.tell_end(&bench, *twin, true)
                }
                _ => Err(error),
            },
        };
        bench.close().await;
        told
    }

    /// What can be refused before any file is read.
    async fn check(&self, ingest: &Ingest, import: Option<Import>) -> anyhow::Result<()> {
        let details = self.args.details(import);
        ingest.check_words(&details)?;
        if let Some(older) = details.words.particulars.replaces
            && ingest.catalog().store().publication(older).await?.is_none()
        {
            bail!(
                "there is no publication {older} here that a newer version could replace; give the address of the older version's page, or leave --replaces out"
            );
        }
        Ok(())
    }

    async fn publish_at(&self, bench: &Workbench, config: &Config) -> anyhow::Result<Publication> {
        let ingest = bench.ingest();
        let known = self.known.as_ref();
        // Asked before anything is read: it may be published already.
        let import = known.map(|known| ingest.import(&known.torrent));
        let import = import.transpose()?;
        self.check(ingest, import.clone()).await?;
        let mut files = self.args.files(known, config)?;
        if import.is_none() {
            files.sort_by_cached_key(|sent| {
                let components = sent.file.path.split('/').map(str::to_owned);
                components.collect::<Vec<_>>()
            });
        }
        let set = Set {
            args: self.args,
            files,
            import,
        };
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        let publishing = async {
            if self.args.in_place {
                set.publish_in_place(ingest, config).await
            } else {
                set.publish_copies(ingest).await
            }
        };
        tokio::select! {
            published = publishing => published,
            () = shutdown.cancelled() => Err(anyhow!("stopped; nothing was published")),
        }
    }

    fn tell_end(
        &self,
        bench: &Workbench,
        id: PublicationId,
        was_there: bool,
    ) -> anyhow::Result<()> {
        let page = bench.page(id);
        self.args.say(id.as_str(), page.as_deref(), was_there)
    }
}

impl Set<'_> {
    /// Copies the files into the data directory, and hashes them on the way.
    async fn publish_copies(&self, ingest: &Ingest) -> anyhow::Result<Publication> {
        let format = self.args.format;
        let lengths: Vec<u64> = self.files.iter().map(|sent| sent.file.length).collect();
        let bar = self.bar();
        let expected = Expected {
            total_length: bar.length(),
            format,
            piece_length: Some(PieceLength::for_files(format, &lengths)),
            import: self.import.clone(),
        };
        let mut upload = ingest.begin(expected, ambient::unix_now())?;
        for sent in &self.files {
            upload.begin_file(&sent.file.path).await?;
            copy(sent, &mut upload, &bar).await?;
        }
        let published = upload
            .finish(
                self.args.details(self.import.clone()),
                None,
                ambient::unix_now(),
            )
            .await;
        bar.finish_and_clear();
        Ok(published?)
    }

    /// Hashes the files where they lie, and leaves them there.
    async fn publish_in_place(
        &self,
        ingest: &Ingest,
        config: &Config,
    ) -> anyhow::Result<Publication> {
        let data_dir = config.data_dir.0.canonicalize()?;
        let placed = self.files.iter().map(|sent| {
            let shown = sent.disk.display();
            let place = sent.disk.canonicalize();
            let place = place.with_context(|| format!("{shown} cannot be read"))?;
            if place.starts_with(&data_dir) {
                bail!("{shown} lies in the data directory, which is the server's own; publish it from elsewhere");
            }
            Ok(Placed {
                path: FilePath::parse(&sent.file.path).map_err(IngestError::Name)?,
                place,
                length: sent.file.length,
            })
        });
        let placed = placed.collect::<anyhow::Result<_>>()?;
        let bar = self.bar();
        let hashed = bar.clone();
        let published = ingest
            .publish_in_place(
                placed,
                self.args.details(self.import.clone()),
                ambient::unix_now(),
                move |bytes| {
                    hashed.inc(bytes);
                },
            )
            .await;
        bar.finish_and_clear();
        Ok(published?)
    }

    fn bar(&self) -> ProgressBar {
        let lengths = self.files.iter().map(|sent| sent.file.length);
        let total_length = lengths.fold(0, u64::saturating_add);
        bar_of_bytes(total_length, "publishing".to_owned())
    }
}

async fn copy(sent: &Sent, upload: &mut Upload, bar: &ProgressBar) -> anyhow::Result<()> {
    let path = sent.disk.display();
    let unreadable = || format!("{path} cannot be read");
    let mut file = File::open(&sent.disk).await.with_context(unreadable)?;
    let before = modified(&file).await.with_context(unreadable)?;
    let mut length = 0_u64;
    loop {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        if file.read_buf(&mut buffer).await.with_context(unreadable)? == 0 {
            break;
        }
        let read = buffer.len() as u64;
        length = length.saturating_add(read);
        bar.inc(read);
        upload.write(buffer.freeze()).await?;
    }
    let after = modified(&file).await.with_context(unreadable)?;
    if length != sent.file.length || after != before {
        bail!("{path} changed while it was read; publish it again when nothing writes to it");
    }
    Ok(())
}

async fn modified(file: &File) -> io::Result<SystemTime> {
    file.metadata().await?.modified()
}
