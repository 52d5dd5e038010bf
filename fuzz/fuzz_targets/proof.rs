//! Proofs of hashes: those of a tree lead to its root, and no other hashes do.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::metainfo::proof::{HashRequest, Proof, Tree};

/// Rows above the leaves in which a piece layer may lie.
const MAX_LOWEST: u32 = 16;

fn hashes(bytes: &[u8]) -> Vec<[u8; 32]> {
    // A byte for each, since a hash of its own for each would make inputs long and trees small.
    bytes.iter().map(|byte| [*byte; 32]).collect()
}

fn check(tree: &Tree, request: &HashRequest, rows: u32, lowest: u32, at: usize) {
    let Some(proof) = tree.prove(request) else {
        return;
    };
    assert_eq!(proof.hashes.len(), request.length as usize);
    assert_eq!(proof.uncles.len(), request.uncles());
    let top = proof.root(request).expect("it is as long as it must be");
    if request.row - lowest + request.proof_rows + 2 != rows {
        return;
    }
    assert_eq!(top, tree.root());
    let mut forged = proof;
    let (hashes, uncles) = (&mut forged.hashes, &mut forged.uncles);
    let count = hashes.len() + uncles.len();
    let mut all = hashes.iter_mut().chain(uncles);
    let hash = all.nth(at % count).expect("there are so many");
    hash[at % 32] ^= 1 << (at % 8);
    assert_ne!(forged.root(request), Some(tree.root()));
}

fuzz_target!(|input: (u32, [u32; 4], u16, &[u8])| {
    let (lowest, [row, index, length, proof_rows], at, bytes) = input;
    let request = HashRequest {
        row,
        index,
        length,
        proof_rows,
    };
    let split = bytes.len().min(at.into());
    let (first, second) = bytes.split_at(split);
    let made_up = Proof {
        hashes: hashes(first),
        uncles: hashes(second),
    };
    let _any = made_up.root(&request);

    let lowest = lowest % (MAX_LOWEST + 1);
    let tree = Tree::new(hashes(bytes), lowest);
    // From the lowest row to the root.
    let rows = bytes.len().max(1).next_power_of_two().ilog2() + 1;
    check(&tree, &request, rows, lowest, at.into());

    // The same numbers, made to ask for what is there.
    let up = row % rows;
    let length = 2 << (length % rows);
    let request = HashRequest {
        row: lowest + up,
        index: index % (bytes.len().max(1) as u32) / length * length,
        length,
        proof_rows: proof_rows % rows,
    };
    check(&tree, &request, rows, lowest, at.into());
});
