//! The merkle trees of v2 torrents (BEP 52, "pieces root" and "piece layers").
//!
//! The leaves of a file's tree are the SHA-256 of its 16 KiB blocks. Leaves that lie past the file's end are zeros, up to
//! the next power of two. A piece layer is the row of that tree in which one hash stands for one piece.

use sha2::Digest;

use crate::proto::geometry::BLOCK_LENGTH;
use crate::proto::sha::{Sha256, digest_each};

/// A node of the tree: a SHA-256, or zeros for a leaf past the file's end.
pub type Hash = [u8; HASH_LENGTH];

/// Bytes in a [`type@Hash`].
pub const HASH_LENGTH: usize = 32;

/// Rows from the leaves up to the row in which one hash stands for one piece of so many bytes: a power of two from 16 KiB.
pub fn piece_height(piece_length: u32) -> u32 {
    (piece_length / BLOCK_LENGTH).checked_ilog2().unwrap_or(0)
}

/// The leaves of bytes that begin on a block: SHA-256 of each 16 KiB, and of what is left.
pub fn leaves(bytes: &[u8]) -> Vec<Hash> {
    let length = usize::try_from(BLOCK_LENGTH).unwrap_or(usize::MAX);
    let blocks: Vec<&[u8]> = bytes.chunks(length).collect();
    digest_each::<Sha256>(&blocks)
}

/// The root over `row`, which lies `height` rows above the leaves.
///
/// The row is filled up with what a tree of zero leaves has there, to the next power of two.
pub fn root(row: Vec<Hash>, height: u32) -> Hash {
    let rows = row.len().next_power_of_two().ilog2();
    subtree(row, height, rows)
}

/// The hash `rows` rows above `row`, of which not all need to be there.
pub fn subtree(mut row: Vec<Hash>, height: u32, rows: u32) -> Hash {
    let mut filler = zeros(height);
    for _ in 0..rows {
        if !row.len().is_multiple_of(2) {
            row.push(filler);
        }
        let pairs: Vec<&[u8]> = row.as_flattened().chunks(2 * HASH_LENGTH).collect();
        row = digest_each::<Sha256>(&pairs);
        filler = parent(&filler, &filler);
    }
    row.first().copied().unwrap_or(filler)
}

/// The root over a piece layer as it stands in a torrent file; `None` where it is not whole hashes, or none.
pub fn root_of_layer(layer: &[u8], piece_length: u32) -> Option<Hash> {
    let (hashes, rest) = layer.as_chunks::<HASH_LENGTH>();
    (rest.is_empty() && !hashes.is_empty())
        .then(|| root(hashes.to_vec(), piece_height(piece_length)))
}

/// The root of a tree of 2^`height` zero leaves.
pub(super) fn zeros(height: u32) -> Hash {
    (0..height).fold([0; HASH_LENGTH], |hash, _| parent(&hash, &hash))
}

pub(super) fn parent(left: &Hash, right: &Hash) -> Hash {
    let both = [*left, *right];
    sha2::Sha256::digest(both.as_flattened()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_leaf_is_its_own_root() {
        assert_eq!(root(vec![[7; 32]], 0), [7; 32]);
    }

    #[test]
    fn leaves_past_the_end_are_zeros() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        let expected = parent(&parent(&a, &b), &parent(&c, &[0; 32]));
        assert_eq!(root(vec![a, b, c], 0), expected);
    }

    #[test]
    fn an_empty_subtree_is_one_of_zeros() {
        assert_eq!(subtree(Vec::new(), 0, 2), zeros(2));
        assert_eq!(zeros(1), parent(&[0; 32], &[0; 32]));
    }

    #[test]
    fn a_layer_is_whole_hashes() {
        assert_eq!(root_of_layer(&[], 16_384), None);
        assert_eq!(root_of_layer(&[0; 33], 16_384), None);
        assert_eq!(root_of_layer(&[9; 32], 16_384), Some([9; 32]));
    }

    proptest! {
        #[test]
        fn a_layer_has_the_root_of_its_leaves(leaves in prop::collection::vec(any::<Hash>(), 1..70), step in 0_u32..4) {
            let piece_length = BLOCK_LENGTH << step;
            let pieces = leaves.chunks(1 << step);
            prop_assume!(pieces.len() > 1);
            let layer: Vec<u8> = pieces.flat_map(|piece| subtree(piece.to_vec(), 0, step)).collect();
            prop_assert_eq!(root_of_layer(&layer, piece_length), Some(root(leaves, 0)));
        }
    }
}
