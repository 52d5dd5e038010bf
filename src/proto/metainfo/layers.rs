//! The piece layers of a v2 torrent, which stand beside its `info` dictionary (BEP 52).
//!
//! A layer is the row of a file's merkle tree in which one hash stands for one piece. Files of one piece have none. What is
//! read here was held against the roots when it came, or was made by this program: it is only taken apart.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::merkle::{HASH_LENGTH, Hash};
use crate::proto::bencode::Value;
use crate::proto::bencode::scan;

/// The layer of each file of several pieces, by the file's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PieceLayers {
    raw: Bytes,
    by_root: BTreeMap<Hash, Bytes>,
}

impl PieceLayers {
    /// Takes a bencoded `piece layers` dictionary apart; there is none in v1, and no bytes.
    pub fn new(raw: Bytes) -> Self {
        let by_root = entries(&raw)
            .map(|(root, layer)| (root, raw.slice_ref(layer)))
            .collect();
        Self { raw, by_root }
    }

    /// The dictionary as it goes into the torrent file; empty in v1.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The hashes of a file's pieces in order; `None` for a file of one piece, or of another torrent.
    pub fn of(&self, root: &Hash) -> Option<&[Hash]> {
        let (hashes, _) = self.by_root.get(root)?.as_chunks::<HASH_LENGTH>();
        Some(hashes)
    }
}

/// Roots and layers of a dictionary that went through a scan within limits.
pub(super) fn entries(raw: &[u8]) -> impl Iterator<Item = (Hash, &[u8])> {
    let limits = scan::Limits {
        length: raw.len(),
        depth: 2,
        elements: usize::MAX,
    };
    let scanned = scan::strict(raw, &limits).ok();
    let entries = scanned.and_then(Value::dict).into_iter().flatten();
    entries.filter_map(|(root, layer)| Some((root.try_into().ok()?, layer.as_bytes()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_its_layer_by_its_root() {
        let mut raw = b"d32:".to_vec();
        raw.extend([7; 32]);
        raw.extend(b"64:");
        raw.extend([[1; 32], [2; 32]].concat());
        raw.extend(b"e");
        let layers = PieceLayers::new(Bytes::from(raw.clone()));
        assert_eq!(layers.of(&[7; 32]), Some(&[[1; 32], [2; 32]][..]));
        assert_eq!(layers.of(&[8; 32]), None);
        assert_eq!(layers.raw()[..], raw);
    }

    #[test]
    fn a_v1_torrent_has_none() {
        assert_eq!(PieceLayers::new(Bytes::new()), PieceLayers::default());
        assert_eq!(PieceLayers::default().of(&[0; 32]), None);
    }
}
