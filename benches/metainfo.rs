//! How long does it take to read a torrent of 200,000 files, and how much memory?
//!
//! Files of a name of 14 letters in folders of 100, v1 and hybrid, made once. A round reads the torrent from memory, as it
//! came from a disk: the bytes are scanned, every rule is checked and every file has its path and place. Prints the median
//! of the rounds with their spread, the processor's time for a round, and the peak of memory, the file's own bytes
//! included, as a multiple of the file.
//!
//! `cargo bench --bench metainfo -- [v1] [hybrid]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use sower::ambient;
use sower::proto::metainfo::build::InfoOptions;
use sower::proto::metainfo::hash::TorrentHasher;
use sower::proto::metainfo::info::{Format, InfoLimits, Layout};
use sower::proto::metainfo::path::FilePath;
use sower::proto::metainfo::piece_length::PieceLength;
use sower::proto::metainfo::torrent_file::{Envelope, TorrentFile};

const FILES: usize = 200_000;
const ROUNDS: usize = 21;

/// How this program calls itself for the part that is measured.
const MEASURE: &str = "--measure";

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path] = words.as_slice()
        && flag == MEASURE
    {
        return measure(Path::new(path));
    }
    for format in [Format::V1, Format::Hybrid] {
        // Cargo adds `--bench`.
        let mut wanted = words.iter().filter(|word| !word.starts_with("--"));
        if wanted.clone().next().is_some() && !wanted.any(|word| *word == format.to_string()) {
            continue;
        }
        let path = std::env::temp_dir().join(format!("sower-{format}-{}", std::process::id()));
        std::fs::write(&path, torrent(format)?)?;
        print!("{format}: ");
        std::io::stdout().flush()?;
        // A process of its own, whose memory no making of torrents has touched.
        let measured = Command::new(std::env::current_exe()?)
            .args([MEASURE.as_ref(), path.as_os_str()])
            .status();
        std::fs::remove_file(&path)?;
        anyhow::ensure!(measured?.success());
    }
    Ok(())
}

/// Reads one torrent many times, and prints what came of it.
fn measure(path: &Path) -> anyhow::Result<()> {
    let before = status("VmRSS:")?;
    let bytes = Bytes::from(std::fs::read(path)?);
    let limits = InfoLimits::default();
    let mut rounds = Vec::new();
    let busy_before = processor_time()?;
    for _ in 0..ROUNDS {
        let began = ambient::now();
        let torrent = TorrentFile::parse_shared(&bytes, &limits)?;
        rounds.push(ambient::now().duration_since(began));
        anyhow::ensure!(torrent.info.files.content().count() == FILES);
    }
    let busy = processor_time()?.saturating_sub(busy_before) / u32::try_from(ROUNDS)?;
    let peak = status("VmHWM:")?.saturating_sub(before);
    rounds.sort_unstable();
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
    let round = |at: usize| rounds.get(at).map_or(0.0, milliseconds);
    let length = megabytes(bytes.len() as u64);
    println!(
        "{FILES} files in {length:.1} MB: {:.1} ms ({:.1}-{:.1}), {:.1} ms of processor time, peak {:.2} times the file",
        round(ROUNDS / 2),
        round(0),
        round(ROUNDS - 1),
        milliseconds(&busy),
        megabytes(peak) / length,
    );
    Ok(())
}

/// A torrent of many files, without the content: every piece has the same hash.
fn torrent(format: Format) -> anyhow::Result<Vec<u8>> {
    let mut hasher = TorrentHasher::new(format, PieceLength::MIN);
    for file in 0..FILES {
        let path = format!("folder{:04}/file{file:06}.jpg", file / 100);
        hasher.begin_file(FilePath::parse(&path)?);
        hasher.update(&[7; 100]);
        hasher.end_file();
    }
    let built = hasher.finish().into_info(InfoOptions {
        name: "many".to_owned(),
        layout: Layout::Folder,
        private: false,
        source: None,
    })?;
    let envelope = Envelope {
        info: &built.info.raw,
        piece_layers: &built.piece_layers,
        ..Envelope::default()
    };
    Ok(envelope.encode())
}

/// How long this process has run on a processor.
fn processor_time() -> anyhow::Result<Duration> {
    let spent = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = spent.split(' ').next().context("/proc has no times")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn status(field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .context("/proc has no such field")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
