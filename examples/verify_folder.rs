//! Checks what lies on a disk against a torrent, and names what is wrong. Ends with 1 if anything is.
//!
//! `cargo run --no-default-features --features offline --example verify_folder -- FILE.torrent FOLDER`

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use sower::offline::hashing::HashOptions;
use sower::offline::verify::verify;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let torrent = arguments.next().ok_or("name a torrent file")?;
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let torrent = TorrentFile::parse(&std::fs::read(torrent)?, &InfoLimits::default())?;

    // Several threads hash, and each tells how far it is.
    let looked_at = AtomicU64::new(0);
    let progress = |bytes| {
        looked_at.fetch_add(bytes, Ordering::Relaxed);
    };
    let report = verify(&torrent, &folder, &HashOptions::default(), &progress)?;

    println!("{} bytes looked at", looked_at.into_inner());
    for file in &report.files {
        println!("{}: {:?} {}", file.path, file.state, file.bad_pieces);
    }
    println!(
        "{} of {} bytes are right",
        report.right_bytes, report.total_bytes
    );
    Ok(if report.is_right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
