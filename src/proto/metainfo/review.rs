//! What is sound in a torrent, and still worth a word to whoever publishes or downloads it.
//!
//! What a reader tolerated is told by [`TorrentFile::warnings`] instead.

use std::fmt;

use super::files::FileKind;
use super::torrent_file::TorrentFile;

/// The longest piece that common clients take without complaint: 16 MiB.
const LONGEST_COMMON: u32 = 16 << 20;

/// The shortest: one block, 16 KiB.
const SHORTEST_COMMON: u32 = 16 << 10;

/// A remark on a torrent. Displays as a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A private torrent names DHT nodes, which clients may not ask (BEP 27).
    PrivateWithNodes,
    /// A private torrent has no tracker, so that nobody finds a peer (BEP 27).
    PrivateWithoutTracker,
    /// Trackers are asked without encryption: how many, and the first.
    PlainTrackers {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The piece length is no power of two, or shorter than 16 KiB or longer than 16 MiB.
    OddPieceLength(u32),
    /// Pads stand among the files of the torrent (BEP 47).
    Pads {
        /// How many.
        count: usize,
        /// Bytes in them.
        bytes: u64,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateWithNodes => f.write_str(
                "the torrent is private and names DHT nodes, which clients may not ask in private torrents",
            ),
            Self::PrivateWithoutTracker => f.write_str(
                "the torrent is private and has no tracker, so nobody can find a peer",
            ),
            Self::PlainTrackers { count: 1, first } => write!(
                f,
                "the tracker {first} is asked over plain http, which others on the way can read and change"
            ),
            Self::PlainTrackers { count, first } => write!(
                f,
                "{count} trackers, {first} the first, are asked over plain http, which others on the way can read and change"
            ),
            Self::OddPieceLength(length) => write!(
                f,
                "pieces of {length} bytes are unusual: some programs take only powers of two from 16 KiB to 16 MiB"
            ),
            Self::Pads { count, bytes } => write!(
                f,
                "{count} pads with {bytes} bytes stand among the files: programs that do not know BEP 47 download them"
            ),
        }
    }
}

/// Looks through a torrent.
pub fn review(torrent: &TorrentFile) -> Vec<Remark> {
    let info = &torrent.info;
    let mut remarks = Vec::new();
    if info.private && !torrent.nodes.is_empty() {
        remarks.push(Remark::PrivateWithNodes);
    }
    if info.private && torrent.trackers.is_empty() {
        remarks.push(Remark::PrivateWithoutTracker);
    }
    let mut plain = torrent.trackers.iter().flatten().filter(|url| {
        url.split_once(':')
            .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http"))
    });
    if let Some(first) = plain.next() {
        remarks.push(Remark::PlainTrackers {
            count: plain.count().saturating_add(1),
            first: first.clone(),
        });
    }
    let length = info.geometry.piece_length();
    if !length.is_power_of_two() || !(SHORTEST_COMMON..=LONGEST_COMMON).contains(&length) {
        remarks.push(Remark::OddPieceLength(length));
    }
    // In v2 alone pads are not written, and nobody sees them.
    let is_written = info.format().has_v1();
    let pads = info
        .files
        .iter()
        .filter(|file| is_written && file.kind == FileKind::Pad);
    let (count, bytes) = pads.fold((0_usize, 0_u64), |(count, bytes), pad| {
        (count.saturating_add(1), bytes.saturating_add(pad.length))
    });
    if count > 0 {
        remarks.push(Remark::Pads { count, bytes });
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::super::info::InfoLimits;
    use super::*;

    /// A torrent of one empty file with these fields around its `info`, this piece length and this at the end of `info`.
    fn remarks(before: &str, behind: &str, piece_length: u32, more: &str) -> Vec<Remark> {
        let info = format!("d6:lengthi0e4:name1:a12:piece lengthi{piece_length}e6:pieces0:{more}e");
        let torrent = format!("d{before}4:info{info}{behind}e");
        review(&TorrentFile::parse(torrent.as_bytes(), &InfoLimits::default()).unwrap())
    }

    #[test]
    fn has_nothing_to_say_of_a_plain_torrent() {
        assert_eq!(remarks("8:announce9:https://a", "", 16_384, ""), []);
        assert_eq!(remarks("", "5:nodesll1:ai1eee", 16 << 20, ""), []);
    }

    #[test]
    fn speaks_of_private_torrents_that_nobody_can_join() {
        assert_eq!(
            remarks("", "5:nodesll1:ai1eee", 16_384, "7:privatei1e"),
            [Remark::PrivateWithNodes, Remark::PrivateWithoutTracker]
        );
        let tracker = "8:announce9:https://a";
        assert_eq!(remarks(tracker, "", 16_384, "7:privatei1e"), []);
    }

    #[test]
    fn speaks_of_trackers_without_encryption() {
        let list = "13:announce-listll8:HTTP://a9:https://bel7:udp://c8:http://dee";
        let first = "HTTP://a".to_owned();
        assert_eq!(
            remarks(list, "", 16_384, ""),
            [Remark::PlainTrackers { count: 2, first }]
        );
    }

    #[test]
    fn speaks_of_odd_piece_lengths() {
        for length in [1, 8_192, 20_000, 32 << 20] {
            assert_eq!(
                remarks("", "", length, ""),
                [Remark::OddPieceLength(length)]
            );
        }
    }

    #[test]
    fn speaks_of_pads_where_they_are_written() {
        let of = |bytes: &[u8]| review(&TorrentFile::parse(bytes, &InfoLimits::default()).unwrap());
        let is_pads = |remark: &Remark| matches!(remark, Remark::Pads { .. });
        let hybrid = include_bytes!("../../../tests/data/libtorrent/folder-hybrid.torrent");
        assert!(of(hybrid).iter().any(is_pads));
        let v2 = include_bytes!("../../../tests/data/libtorrent/folder-v2.torrent");
        assert!(!of(v2).iter().any(is_pads));
    }

    #[test]
    fn says_it_in_one_sentence() {
        let first = "http://a".to_owned();
        for remark in [
            Remark::PrivateWithNodes,
            Remark::PrivateWithoutTracker,
            Remark::PlainTrackers {
                count: 1,
                first: first.clone(),
            },
            Remark::PlainTrackers { count: 2, first },
            Remark::OddPieceLength(3),
            Remark::Pads { count: 2, bytes: 3 },
        ] {
            assert!(!remark.to_string().ends_with('.') && !remark.to_string().contains('\n'));
        }
    }
}
