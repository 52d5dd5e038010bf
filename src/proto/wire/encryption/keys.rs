//! The keys of an encrypted connection: made together by two strangers (Diffie-Hellman), and by the torrent that both know.

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U192, U768, const_monty_params};
use rand::Rng;
use sha1::{Digest, Sha1};

use super::Keystream;
use crate::proto::id::InfoHash;

/// Bytes in a public key, and in the secret of two.
pub const KEY_LENGTH: usize = 96;

/// Bytes in a SHA-1.
pub(super) const HASH_LENGTH: usize = 20;

/// Bits of a private key: the specification finds 160 enough for a secret that guards nothing but what a connection is about. A fuzzer tries
/// what comes around the arithmetic, which would take nearly all of its time.
const PRIVATE_BITS: u32 = if cfg!(fuzzing) { 16 } else { 160 };

const_monty_params!(
    Prime,
    U768,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563",
    "The prime that all keys are numbers below of."
);

type Number = ConstMontyForm<Prime, { U768::LIMBS }>;

const GENERATOR: Number = Number::new(&U768::from_u8(2));

/// What a peer tells nobody.
pub(super) struct PrivateKey(U192);

impl PrivateKey {
    pub(super) fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; U192::BYTES];
        rng.fill_bytes(&mut bytes);
        Self(U192::from_be_slice(&bytes))
    }

    /// What the peer tells whoever it talks to.
    pub(super) fn public(&self) -> [u8; KEY_LENGTH] {
        number_bytes(&GENERATOR.pow_bounded_exp(&self.0, PRIVATE_BITS))
    }

    /// The secret that the two keys make. `None` for a public key that nobody draws: it would make a secret that anybody can guess.
    pub(super) fn agree(&self, theirs: &[u8; KEY_LENGTH]) -> Option<Secret> {
        let theirs = U768::from_be_slice(theirs);
        let minus_one = (-Number::ONE).retrieve();
        if theirs <= U768::ONE || theirs >= minus_one {
            return None;
        }
        let shared = Number::new(&theirs).pow_bounded_exp(&self.0, PRIVATE_BITS);
        Some(Secret(number_bytes(&shared)))
    }
}

fn number_bytes(number: &Number) -> [u8; KEY_LENGTH] {
    number.retrieve().to_be_bytes().into()
}

/// What two peers know and nobody between them.
pub(super) struct Secret([u8; KEY_LENGTH]);

impl Secret {
    /// What the calling peer's second message begins with: `HASH('req1', S)`.
    pub(super) fn start(&self) -> [u8; HASH_LENGTH] {
        hash(&[b"req1", &self.0])
    }

    /// A torrent's mark, hidden or shown: each is the other combined with `HASH('req3', S)`.
    pub(super) fn mask(&self, mark: [u8; HASH_LENGTH]) -> [u8; HASH_LENGTH] {
        let mut masked = hash(&[b"req3", &self.0]);
        for (byte, with) in masked.iter_mut().zip(mark) {
            *byte ^= with;
        }
        masked
    }

    /// What the calling peer encrypts with.
    pub(super) fn caller_keystream(&self, torrent: &InfoHash) -> Keystream {
        Keystream::new(&hash(&[b"keyA", &self.0, torrent.as_bytes()]))
    }

    /// What the called peer encrypts with.
    pub(super) fn called_keystream(&self, torrent: &InfoHash) -> Keystream {
        Keystream::new(&hash(&[b"keyB", &self.0, torrent.as_bytes()]))
    }
}

/// What stands for a torrent in an encrypted handshake, once unmasked: `HASH('req2', SKEY)`, where the info-hash is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TorrentMark(pub(super) [u8; HASH_LENGTH]);

impl TorrentMark {
    /// The mark of a torrent, by one of its names on the wire.
    pub fn of(torrent: &InfoHash) -> Self {
        Self(hash(&[b"req2", torrent.as_bytes()]))
    }
}

fn hash(parts: &[&[u8]]) -> [u8; HASH_LENGTH] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn key(number: u8) -> [u8; KEY_LENGTH] {
        U768::from_u8(number).to_be_bytes().into()
    }

    #[test]
    fn two_keys_make_one_secret() {
        let mut rng = StdRng::seed_from_u64(1);
        let (a, b) = (
            PrivateKey::generate(&mut rng),
            PrivateKey::generate(&mut rng),
        );
        let (ab, ba) = (a.agree(&b.public()), b.agree(&a.public()));
        assert_eq!(ab.unwrap().0, ba.unwrap().0);
        assert_ne!(a.public(), b.public());
    }

    #[test]
    fn powers_are_those_of_any_other_arithmetic() {
        // pow(2, 0x0123456789abcdef repeated to 160 bits, P), by Python.
        let exponent = U192::from_be_hex("000000000123456789abcdef0123456789abcdef01234567");
        let public = PrivateKey(exponent).public();
        assert_eq!(
            HEXLOWER.encode(&public),
            "6fd4bc7aa649593205ec30348a3ccc737b61fa01e9e1762c2c53eb69033afecbdf7c13b8ac3643af78d0760b0f42db009f2b96c970f009d060faf617f117d0f1c221cea0561b9a86e852fc70a6f09ad0f82378603aa5e56b811deb3f534bf276"
        );
    }

    #[test]
    fn keys_that_make_a_secret_for_everybody_are_refused() {
        let ours = PrivateKey::generate(&mut StdRng::seed_from_u64(2));
        let minus_one = number_bytes(&-Number::ONE);
        for weak in [key(0), key(1), minus_one, [0xff; KEY_LENGTH]] {
            assert!(ours.agree(&weak).is_none());
        }
        assert!(ours.agree(&key(2)).is_some());
    }
}
