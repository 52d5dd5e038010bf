//! Proofs that hashes belong to a file's merkle tree (BEP 52, "hash request" and "hashes").
//!
//! Whoever knows a file's root and nothing else asks for a stretch of one row of its tree, and for the uncles: the hashes
//! beside the way from that stretch up to the root. If they add up to the root, the stretch is the file's.
//!
//! Rows are counted from the leaves, which are row 0: SHA-256 of 16 KiB blocks. What lies past a file's end is hashed from
//! leaves of zeros, up to the next power of two, and is not kept.

use super::merkle::{Hash, parent, zeros};

/// Hashes in one request, at most: what libtorrent asks for and answers.
pub const MAX_HASHES: u32 = 8_192;

/// Which hashes of a tree are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRequest {
    /// The row that the hashes are in, counted from the leaves (BEP 52: "base layer").
    pub row: u32,
    /// The first hash, counted from the row's beginning; a multiple of `length`.
    pub index: u32,
    /// How many hashes: a power of two from 2 to [`MAX_HASHES`].
    pub length: u32,
    /// How many rows above `row` are to be proven. Uncles in rows that the hashes themselves give are left out.
    pub proof_rows: u32,
}

/// Hashes of a row, and what proves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The hashes that were asked for.
    pub hashes: Vec<Hash>,
    /// The hash beside the way to the root in each row, the lowest first.
    pub uncles: Vec<Hash>,
}

/// A file's merkle tree from one of its rows up to the root.
///
/// ```
/// # use sower::proto::metainfo::proof::{HashRequest, Tree};
/// // The piece layer of a file with five pieces of 64 KiB: row 2 of a tree with three rows above it.
/// let tree = Tree::new(vec![[1; 32], [2; 32], [3; 32], [4; 32], [5; 32]], 2);
/// let request = HashRequest { row: 2, index: 2, length: 2, proof_rows: 2 };
/// let proof = tree.prove(&request).ok_or("no such hashes")?;
/// assert_eq!(proof.hashes, [[3; 32], [4; 32]]);
/// assert_eq!(proof.root(&request), Some(tree.root()));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The rows, the lowest first, each without the hashes past the file's end. The last one is the root alone.
    rows: Vec<Vec<Hash>>,
    /// Which row the lowest is, counted from the leaves.
    lowest: u32,
}

impl Tree {
    /// The tree over a row: the leaves (`lowest` = 0), or a piece layer, which lies
    /// [`piece_height`](super::merkle::piece_height) rows above them.
    pub fn new(row: Vec<Hash>, lowest: u32) -> Self {
        let mut rows = vec![row];
        let mut filler = zeros(lowest);
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = row
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => parent(left, right),
                    [left] => parent(left, &filler),
                    _ => filler,
                })
                .collect();
            rows.push(above);
            filler = parent(&filler, &filler);
        }
        Self { rows, lowest }
    }

    /// The root; that of a single leaf of zeros where the row was empty.
    pub fn root(&self) -> Hash {
        let root = self.rows.last().and_then(|row| row.first());
        root.copied().unwrap_or_else(|| zeros(self.lowest))
    }

    /// The hashes that are asked for, and the uncles above them.
    ///
    /// `None` where the request breaks a rule of [`HashRequest`], or asks for rows that are not there: below the lowest,
    /// or the root and above. BEP 52 answers those with `hash reject`.
    pub fn prove(&self, request: &HashRequest) -> Option<Proof> {
        let up = usize::try_from(request.row.checked_sub(self.lowest)?).ok()?;
        let steps = request.steps()?;
        let highest = up.checked_add(usize::try_from(request.proof_rows).ok()?)?;
        // The last row is the root itself, which whoever asks knows.
        if highest.checked_add(1)? >= self.rows.len() || !self.reaches(up, request) {
            return None;
        }
        let end = request.index.checked_add(request.length)?;
        let hashes = (request.index..end)
            .map(|index| self.at(up, index))
            .collect();
        let first = up.checked_add(steps)?;
        let index = request.index.checked_div(request.length)?;
        let uncles = (first..=highest)
            .zip(0_u32..)
            .map(|(row, above)| self.at(row, index.checked_shr(above).unwrap_or(0) ^ 1))
            .collect();
        Some(Proof { hashes, uncles })
    }

    /// As [`prove`](Self::prove), for rows below the lowest: `below` is the tree under the hash at `at` of the lowest row,
    /// with all its leaves, those past the file's end too.
    ///
    /// `None` besides where the hashes that are asked for are not all in `below`.
    pub fn prove_below(&self, request: &HashRequest, at: u32, below: &Self) -> Option<Proof> {
        let rows_between = self.lowest.checked_sub(request.row)?;
        let width = 1_u32.checked_shl(rows_between)?;
        let index = request.index.checked_sub(at.checked_mul(width)?)?;
        let inside = HashRequest {
            index,
            proof_rows: request.proof_rows.min(rows_between.checked_sub(1)?),
            ..*request
        };
        let mut proof = below.prove(&inside)?;
        let above = request.row.checked_add(request.proof_rows)?;
        let rows = above.saturating_add(1).saturating_sub(self.lowest);
        if usize::try_from(rows).ok()?.checked_add(1)? > self.rows.len() {
            return None;
        }
        let uncles = (0..rows).map(|row| {
            let up = usize::try_from(row).unwrap_or(usize::MAX);
            self.at(up, at.checked_shr(row).unwrap_or(0) ^ 1)
        });
        proof.uncles.extend(uncles);
        Some(proof)
    }

    /// Whether the stretch lies inside the row, filled up to a power of two.
    fn reaches(&self, up: usize, request: &HashRequest) -> bool {
        let width = self
            .rows
            .get(up)
            .map_or(0, |row| row.len().next_power_of_two());
        let end = u64::from(request.index).saturating_add(request.length.into());
        usize::try_from(end).is_ok_and(|end| end <= width)
    }

    /// The hash at `index` of the row that lies `up` above the lowest.
    fn at(&self, up: usize, index: u32) -> Hash {
        let row = self.rows.get(up).map_or(&[][..], Vec::as_slice);
        let there = usize::try_from(index).ok().and_then(|index| row.get(index));
        let height = u32::try_from(up).unwrap_or(u32::MAX);
        there
            .copied()
            .unwrap_or_else(|| zeros(self.lowest.saturating_add(height)))
    }
}

impl HashRequest {
    /// Rows from the hashes up to the one hash that stands for all of them; `None` where `length` or `index` breaks a rule.
    fn steps(&self) -> Option<usize> {
        let is_sound = (2..=MAX_HASHES).contains(&self.length)
            && self.length.is_power_of_two()
            && self.index.is_multiple_of(self.length);
        is_sound
            .then(|| self.length.ilog2())
            .and_then(|steps| usize::try_from(steps).ok())
    }

    /// How many uncles prove what is asked for.
    ///
    /// The row right above needs none where two hashes are asked for: they give it themselves, and so on.
    pub fn uncles(&self) -> usize {
        let rows = usize::try_from(self.proof_rows).unwrap_or(usize::MAX);
        self.steps()
            .map_or(0, |steps| rows.saturating_add(1).saturating_sub(steps))
    }
}

impl Proof {
    /// The hash that the proof adds up to: the file's root, if the request asked for all rows below it and the answer is
    /// right. `None` where there are not as many hashes and uncles as were asked for.
    pub fn root(&self, request: &HashRequest) -> Option<Hash> {
        let steps = request.steps()?;
        let is_whole = u32::try_from(self.hashes.len()) == Ok(request.length)
            && self.uncles.len() == request.uncles();
        if !is_whole {
            return None;
        }
        let mut row = self.hashes.clone();
        for _ in 0..steps {
            row = row
                .as_chunks()
                .0
                .iter()
                .map(|[left, right]| parent(left, right))
                .collect();
        }
        let mut index = request.index.checked_div(request.length)?;
        let mut hash = row.first().copied()?;
        for uncle in &self.uncles {
            hash = if index.is_multiple_of(2) {
                parent(&hash, uncle)
            } else {
                parent(uncle, &hash)
            };
            index /= 2;
        }
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merkle;
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (1..=count).map(|byte| [byte; 32]).collect()
    }

    const fn request(row: u32, index: u32, length: u32, proof_rows: u32) -> HashRequest {
        HashRequest {
            row,
            index,
            length,
            proof_rows,
        }
    }

    #[test]
    fn the_root_is_that_of_the_merkle_module() {
        for count in 1..40 {
            let tree = Tree::new(leaves(count), 3);
            assert_eq!(tree.root(), merkle::root(leaves(count), 3), "{count}");
        }
        assert_eq!(Tree::new(vec![], 0).root(), [0; 32]);
    }

    #[test]
    fn uncles_begin_above_what_the_hashes_give_themselves() {
        let tree = Tree::new(leaves(8), 0);
        let [ab, cd, ef, gh] = [0, 2, 4, 6].map(|i| parent(&leaves(8)[i], &leaves(8)[i + 1]));
        let uncles = |request| tree.prove(&request).unwrap().uncles;
        assert_eq!(uncles(request(0, 2, 2, 2)), [ab, parent(&ef, &gh)]);
        assert_eq!(uncles(request(0, 6, 2, 1)), [ef]);
        assert_eq!(uncles(request(0, 4, 4, 2)), [parent(&ab, &cd)]);
        assert!(uncles(request(0, 4, 4, 1)).is_empty());
        assert!(uncles(request(0, 0, 8, 2)).is_empty());
        assert_eq!(uncles(request(1, 2, 2, 1)), [parent(&ab, &cd)]);
    }

    #[test]
    fn refuses_what_is_not_there() {
        let tree = Tree::new(leaves(5), 1);
        for refused in [
            request(0, 0, 2, 0),
            request(1, 0, 1, 0),
            request(1, 0, 3, 0),
            request(1, 1, 2, 0),
            request(1, 8, 2, 0),
            request(1, 0, 16, 0),
            request(1, 0, 2, 3),
            request(4, 0, 2, 0),
            request(1, 0, 2, u32::MAX),
            request(u32::MAX, 0, 2, 0),
            request(1, u32::MAX - 1, 2, 0),
            request(1, 0, 1 << 31, 0),
        ] {
            assert_eq!(tree.prove(&refused), None, "{refused:?}");
        }
        assert!(
            tree.prove(&request(1, 6, 2, 2)).is_some(),
            "past the file's end"
        );
    }

    #[test]
    fn a_proof_of_another_length_is_none() {
        let tree = Tree::new(leaves(8), 0);
        let asked = request(0, 2, 2, 2);
        let proof = tree.prove(&asked).unwrap();
        let mut short = proof.clone();
        short.uncles.pop();
        let mut long = proof.clone();
        long.hashes.push([0; 32]);
        assert_eq!((short.root(&asked), long.root(&asked)), (None, None));
    }

    proptest! {
        #[test]
        fn proofs_lead_to_the_root_and_others_do_not(
            count in 2_u8..80,
            lowest in 0_u32..4,
            up in 0_u32..4,
            steps in 1_u32..5,
            place in 0_u32..80,
            flipped in any::<prop::sample::Index>(),
        ) {
            let tree = Tree::new(leaves(count), lowest);
            let height = u32::try_from(tree.rows.len()).unwrap() - 1;
            prop_assume!(up + steps <= height);
            let asked = HashRequest {
                row: lowest + up,
                index: (place << steps) % (1 << (height - up)),
                length: 1 << steps,
                proof_rows: height - up - 1,
            };
            let mut proof = tree.prove(&asked).unwrap();
            prop_assert_eq!(proof.uncles.len(), asked.uncles());
            prop_assert_eq!(proof.root(&asked), Some(tree.root()));
            let hashes = proof.hashes.len() + proof.uncles.len();
            let wrong = flipped.index(hashes);
            let hash = proof.hashes.iter_mut().chain(&mut proof.uncles).nth(wrong).unwrap();
            hash[7] ^= 1;
            prop_assert_ne!(proof.root(&asked), Some(tree.root()));
        }

        #[test]
        fn two_trees_one_on_the_other_prove_what_the_whole_one_does(
            count in 5_u8..80,
            row in 0_u32..3,
            place in 0_u32..80,
            steps in 1_u32..4,
            proof_rows in 0_u32..9,
        ) {
            let whole = Tree::new(leaves(count), 0);
            let stretches = u32::from(count).next_multiple_of(4) >> (row + steps);
            let index = place % stretches.max(1);
            let asked = HashRequest { row, index: index << steps, length: 1 << steps, proof_rows };
            // Pieces of four leaves.
            let at = (asked.index << row) / 4;
            let mut below: Vec<Hash> = leaves(count).into_iter().skip(at as usize * 4).take(4).collect();
            below.resize(4, [0; 32]);
            let above = Tree::new(whole.rows[2].clone(), 2);
            let proof = above.prove_below(&asked, at, &Tree::new(below, 0));
            if row + steps <= 2 {
                prop_assert_eq!(proof, whole.prove(&asked));
            } else {
                prop_assert_eq!(proof, None, "more than one piece");
            }
        }

        #[test]
        fn no_request_makes_it_panic(row: u32, index: u32, length: u32, proof_rows: u32) {
            let tree = Tree::new(leaves(9), 2);
            for length in [length, length.checked_next_power_of_two().unwrap_or(2), 2] {
                let asked = HashRequest { row: row % 9, index, length, proof_rows: proof_rows % 9 };
                if let Some(proof) = tree.prove(&asked) {
                    prop_assert!(proof.root(&asked).is_some());
                }
            }
        }
    }
}
