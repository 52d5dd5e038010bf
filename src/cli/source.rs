//! Where a torrent comes from on the command line: a file, an address, a magnet link or standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::offline::limits::TorrentOptions;
use crate::proto::metainfo::magnet::Magnet;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// How long fetching a torrent file may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a source has turned out to be.
#[derive(Debug)]
pub(super) enum Source {
    /// A torrent file.
    Torrent(Box<TorrentFile>),
    /// A magnet link.
    Magnet(Magnet),
}

/// Reads a torrent file, the address of one, a magnet link, or standard input (`-`), within bounds.
pub(super) async fn read(source: &str, bounds: &TorrentOptions) -> anyhow::Result<Source> {
    if begins_with(source, "magnet:") {
        return Ok(Source::Magnet(source.parse()?));
    }
    let bytes = if begins_with(source, "http://") || begins_with(source, "https://") {
        fetch(source, bounds.max_bytes).await?
    } else {
        read_file(Path::new(source), bounds)?
    };
    let torrent = parse(&bytes, source, bounds)?;
    Ok(Source::Torrent(Box::new(torrent)))
}

/// Reads the bytes of a torrent file, or of standard input (`-`), within bounds.
pub(super) fn read_file(path: &Path, bounds: &TorrentOptions) -> anyhow::Result<Bytes> {
    let longest = bounds.max_bytes;
    if path == Path::new("-") {
        return bounded(std::io::stdin().lock(), longest).context("standard input cannot be read");
    }
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} cannot be opened"))?;
    // What is too long is not read at all, where its length is known.
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    check_length(length, longest)
        .and_then(|()| bounded(file, longest))
        .with_context(|| format!("{name} cannot be read"))
}

/// Reads a torrent that came from `source`.
pub(super) fn parse(
    bytes: &Bytes,
    source: &str,
    bounds: &TorrentOptions,
) -> anyhow::Result<TorrentFile> {
    TorrentFile::parse_shared(bytes, &bounds.info_limits()).map_err(|error| {
        if error.is_of_too_many_files() {
            anyhow::Error::from(error).context(format!(
                "{source} holds too much; `torrent.max_files` in the configuration allows more"
            ))
        } else {
            anyhow::Error::from(error).context(format!("{source} is no usable torrent file"))
        }
    })
}

fn begins_with(source: &str, scheme: &str) -> bool {
    source
        .get(..scheme.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
}

fn bounded(from: impl Read, longest: usize) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let enough = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    from.take(enough).read_to_end(&mut bytes)?;
    check_length(bytes.len() as u64, longest)?;
    Ok(bytes.into())
}

async fn fetch(url: &str, longest: usize) -> anyhow::Result<Bytes> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let asked = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let mut answer = asked.with_context(|| format!("{url} cannot be fetched"))?;
    let refused = || format!("{url} cannot be read");
    check_length(answer.content_length().unwrap_or(0), longest).with_context(refused)?;
    let mut bytes = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .with_context(|| format!("{url} broke off"))?
    {
        bytes.extend_from_slice(&part);
        check_length(bytes.len() as u64, longest).with_context(refused)?;
    }
    Ok(bytes.into())
}

fn check_length(length: u64, longest: usize) -> anyhow::Result<()> {
    if usize::try_from(length).is_ok_and(|length| length <= longest) {
        return Ok(());
    }
    bail!("it is longer than {longest} bytes; `torrent.max_bytes` in the configuration allows more")
}
