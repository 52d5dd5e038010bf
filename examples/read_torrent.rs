//! Reads a torrent file, and says what is in it and which bytes of which file each piece is.
//!
//! `cargo run --no-default-features --example read_torrent -- FILE.torrent`

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;

use sower::proto::metainfo::files::FileKind;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::review::review;
use sower::proto::metainfo::torrent_file::TorrentFile;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a torrent file")?;
    let bytes = std::fs::read(path)?.into();

    // Strangers write torrent files: the limits bound what they may cost.
    let torrent = TorrentFile::parse_shared(&bytes, &InfoLimits::default())?;
    let info = &torrent.info;
    println!("{} ({})", info.name, info.format());
    for hash in info.hashes.wire() {
        println!("info-hash on the wire: {hash}");
    }
    for (number, tier) in torrent.trackers.iter().enumerate() {
        println!("tier {number}: {}", tier.join(" "));
    }
    for (_, file) in info.files.content() {
        println!("{} {}", file.length, file.path);
    }

    let geometry = &info.geometry;
    for piece in geometry.pieces() {
        let length = geometry.length_of(piece).into();
        print!("piece {}:", piece.get());
        for span in info.files.spans(geometry.piece_offset(piece), length) {
            let Some(file) = info.files.get(span.file) else {
                continue;
            };
            match file.kind {
                FileKind::Content => print!(" {}+{}..{}", file.path, span.offset, span.length),
                FileKind::Pad => print!(" {} zeros", span.length),
            }
        }
        println!();
    }

    // Warnings tell what was tolerated, remarks what is sound and still worth a word.
    for warning in &torrent.warnings {
        println!("warning: {warning}");
    }
    for remark in review(&torrent) {
        println!("remark: {remark}");
    }
    Ok(())
}
