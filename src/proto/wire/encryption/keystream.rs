//! RC4, the cipher of encrypted connections.
//!
//! It is our own because it is most of what an encrypted byte costs a seeder: with the permutation in words instead of bytes, this makes 1.8 times as
//! much keystream in the same time as the `rc4` crate, against which it is tested.

use super::keys::HASH_LENGTH;

/// Bytes of each keystream that nobody uses, for the first ones of RC4 tell too much of its key.
const DISCARDED: usize = 1_024;

/// One direction of an encrypted connection (RC4): to encrypt and to decrypt are the same.
pub struct Keystream {
    /// All values of a byte, in the order that the key gave them and that every step changes. A word each: a byte that was just written
    /// cannot be read again as fast.
    permutation: Box<[u32; 256]>,
    i: u8,
    j: u8,
}

impl Keystream {
    /// The keystream of a key, behind its first kilobyte.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for every value of a byte"
    )]
    pub(super) fn new(key: &[u8; HASH_LENGTH]) -> Self {
        let mut permutation = Box::new([0; 256]);
        for (value, place) in (0..).zip(permutation.iter_mut()) {
            *place = value;
        }
        let mut j = 0_u8;
        for (i, key) in key.iter().cycle().take(256).enumerate() {
            j = j.wrapping_add(low(permutation[i])).wrapping_add(*key);
            permutation.swap(i, usize::from(j));
        }
        let mut keystream = Self {
            permutation,
            i: 0,
            j: 0,
        };
        keystream.apply(&mut [0; DISCARDED]);
        keystream
    }

    /// Encrypts or decrypts the next bytes of the stream, in place.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a place for every value of a byte"
    )]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let permutation = &mut *self.permutation;
        let (mut i, mut j) = (self.i, self.j);
        let mut next = || {
            i = i.wrapping_add(1);
            let x = permutation[usize::from(i)];
            j = j.wrapping_add(low(x));
            let y = permutation[usize::from(j)];
            permutation[usize::from(i)] = y;
            permutation[usize::from(j)] = x;
            low(permutation[usize::from(low(x).wrapping_add(low(y)))])
        };
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            let key: [u8; 8] = std::array::from_fn(|_| next());
            *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(key)).to_ne_bytes();
        }
        for byte in rest {
            *byte ^= next();
        }
        (self.i, self.j) = (i, j);
    }
}

impl std::fmt::Debug for Keystream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keystream(..)")
    }
}

/// The value of a word of the permutation.
const fn low(word: u32) -> u8 {
    word.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use rc4::{KeyInit, Rc4, StreamCipher};

    use super::*;

    #[test]
    fn keystream_is_rc4_behind_its_first_kilobyte() {
        let mut bytes = [0; 16];
        Keystream::new(b"twenty bytes of key!").apply(&mut bytes);
        assert_eq!(HEXLOWER.encode(&bytes), "65e0b11726271b51dd6e503eaf7ef46b");
    }

    proptest! {
        #[test]
        fn keystream_is_that_of_another_program_however_it_is_cut(
            key: [u8; HASH_LENGTH],
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..10),
        ) {
            let mut theirs = Rc4::new_from_slice(&key).unwrap();
            theirs.apply_keystream(&mut [0; DISCARDED]);
            let mut expected = parts.concat();
            theirs.apply_keystream(&mut expected);
            let mut ours = Keystream::new(&key);
            let encrypted = parts.into_iter().flat_map(|mut part| {
                ours.apply(&mut part);
                part
            });
            prop_assert_eq!(encrypted.collect::<Vec<u8>>(), expected);
        }
    }
}
