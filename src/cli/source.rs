//! Where a torrent comes from on the command line: a file, an address, a magnet link or standard input.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

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
    if source.starts_with("magnet:") {
        return Ok(Source::Magnet(source.parse()?));
    }
    let longest = bounds.max_bytes;
    let bytes = match source {
        "-" => {
            bounded(std::io::stdin().lock(), longest).context("standard input cannot be read")?
        }
        url if url.starts_with("http://") || url.starts_with("https://") => {
            fetch(url, longest).await?
        }
        path => {
            let file = std::fs::File::open(Path::new(path))
                .with_context(|| format!("{path} cannot be opened"))?;
            bounded(file, longest).with_context(|| format!("{path} cannot be read"))?
        }
    };
    let torrent = TorrentFile::parse(&bytes, &bounds.info_limits())
        .with_context(|| format!("{source} is no usable torrent file"))?;
    Ok(Source::Torrent(Box::new(torrent)))
}

fn bounded(from: impl Read, longest: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let enough = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    from.take(enough).read_to_end(&mut bytes)?;
    check_length(bytes.len(), longest)?;
    Ok(bytes)
}

async fn fetch(url: &str, longest: usize) -> anyhow::Result<Vec<u8>> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let asked = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let mut answer = asked.with_context(|| format!("{url} cannot be fetched"))?;
    let mut bytes = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .with_context(|| format!("{url} broke off"))?
    {
        bytes.extend_from_slice(&part);
        check_length(bytes.len(), longest)?;
    }
    Ok(bytes)
}

fn check_length(length: usize, longest: usize) -> anyhow::Result<()> {
    if length > longest {
        bail!(
            "it is longer than {longest} bytes; `torrent.max_bytes` in the configuration allows more"
        );
    }
    Ok(())
}
