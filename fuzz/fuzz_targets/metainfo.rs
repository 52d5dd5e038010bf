//! Torrent files and info dictionaries: what is read holds together, and is written again as it was.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sower::proto::metainfo::files::FileKind;
use sower::proto::metainfo::info::{Info, InfoLimits, Layout};
use sower::proto::metainfo::torrent_file::TorrentFile;

fn check(info: &Info) {
    let geometry = info.geometry;
    assert_eq!(geometry.total_length(), info.files.total_length());
    let hashes = if info.format().has_v1() {
        geometry.piece_count() as usize
    } else {
        0
    };
    assert_eq!(info.pieces.len(), hashes * 20);
    assert!(info.files.content().next().is_some());
    if info.layout == Layout::SingleFile {
        let (_, only) = info.files.content().next().expect("it was just there");
        assert_eq!(only.path.to_string(), info.name);
    }
    let mut at = 0;
    for file in &info.files {
        assert_eq!(file.offset, at);
        at += file.length;
        if file.kind == FileKind::Content && info.format().has_v2() && file.length > 0 {
            assert!(file.pieces_root.is_some());
            assert!(file.offset.is_multiple_of(geometry.piece_length().into()));
        }
    }
    for piece in geometry.pieces().take(3) {
        let length = u64::from(geometry.length_of(piece));
        let spans = info.files.spans(geometry.piece_offset(piece), length);
        assert_eq!(spans.map(|span| span.length).sum::<u64>(), length);
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = Info::parse(Bytes::copy_from_slice(bytes)) {
        assert_eq!(info.raw, bytes);
        check(&info);
    }
    let limits = InfoLimits::default();
    if let Ok(torrent) = TorrentFile::parse(bytes, &limits) {
        check(&torrent.info);
        let again = TorrentFile::parse(&torrent.envelope().encode(), &limits)
            .expect("what we write can be read");
        assert_eq!(again.info, torrent.info);
        assert_eq!(again.piece_layers, torrent.piece_layers);
        assert_eq!(again.trackers, torrent.trackers);
        assert_eq!(again.web_seeds, torrent.web_seeds);
        assert_eq!(again.nodes, torrent.nodes);
        assert_eq!(again.comment, torrent.comment);
    }
});
