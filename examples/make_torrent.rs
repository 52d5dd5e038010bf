//! Makes a hybrid torrent of one file, from its bytes, without touching a disk twice.
//!
//! `cargo run --no-default-features --example make_torrent -- FILE TRACKER > FILE.torrent`

use std::error::Error;
use std::io::{Read, Write};
use std::path::PathBuf;

use sower::proto::metainfo::build::InfoOptions;
use sower::proto::metainfo::hash::TorrentHasher;
use sower::proto::metainfo::info::{Format, Layout};
use sower::proto::metainfo::path::FilePath;
use sower::proto::metainfo::piece_length::PieceLength;
use sower::proto::metainfo::torrent_file::Envelope;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("name a file")?);
    let tracker = arguments.next().ok_or("name a tracker")?;
    let name = path.file_name().ok_or("the path ends with no name")?;
    let name = name.to_str().ok_or("the name is not UTF-8")?;

    // The hasher takes bytes as they come: from a file, a socket, an upload.
    let mut file = std::fs::File::open(&path)?;
    let piece_length = PieceLength::for_total(file.metadata()?.len());
    let mut hasher = TorrentHasher::new(Format::Hybrid, piece_length);
    hasher.begin_file(FilePath::from_components([name])?);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    hasher.end_file();

    // What is built is the info dictionary, whose bytes never change again.
    let options = InfoOptions {
        name: name.to_owned(),
        layout: Layout::SingleFile,
        private: false,
        source: None,
    };
    let built = hasher.finish().into_info(options)?;

    // The envelope around it may change from day to day.
    let torrent = Envelope {
        info: &built.info.raw,
        piece_layers: &built.piece_layers,
        trackers: &[vec![tracker]],
        ..Envelope::default()
    };
    std::io::stdout().write_all(&torrent.encode())?;
    Ok(())
}
