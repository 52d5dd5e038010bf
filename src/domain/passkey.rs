//! Passkeys: what a private tracker knows its peers' owners by (BEP 27).
//!
//! One stands in the path of the tracker addresses in its owner's torrents. Whoever has it announces in that name, so it is
//! never written anywhere else: it has no `Display`, and `Debug` keeps it to itself.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use rand::Rng;

/// A secret of 128 random bits.
///
/// It can be compared, but is meant to be looked up under a keyed hash: then the time that it takes tells a guesser nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passkey([u8; Self::LENGTH]);

impl Passkey {
    /// Bytes of a passkey.
    pub const LENGTH: usize = 16;

    /// A fresh one; `rng` must be good enough for secrets.
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; Self::LENGTH];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Its bytes, to be kept.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The 32 digits that stand in addresses, for its owner alone.
    pub fn reveal(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }
}

impl From<[u8; Self::LENGTH]> for Passkey {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

/// A text is no passkey. It does not say which, for it may be nearly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passkey is 32 hexadecimal digits")]
pub struct NotAPasskey;

impl FromStr for Passkey {
    type Err = NotAPasskey;

    fn from_str(text: &str) -> Result<Self, NotAPasskey> {
        let mut bytes = [0; Self::LENGTH];
        if text.len() != 2 * Self::LENGTH {
            return Err(NotAPasskey);
        }
        HEXLOWER_PERMISSIVE
            .decode_mut(text.as_bytes(), &mut bytes)
            .map_err(|_| NotAPasskey)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkey(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn reads_what_it_reveals_and_says_it_nowhere_else() {
        let passkey = Passkey::generate(&mut StdRng::seed_from_u64(7));
        let text = passkey.reveal();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(passkey));
        assert_eq!(text.to_uppercase().parse(), Ok(passkey));
        assert!(!format!("{passkey:?}").contains(&text[..4]));
        assert_ne!(Passkey::generate(&mut StdRng::seed_from_u64(8)), passkey);
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "announce",
            &"a".repeat(31),
            &"a".repeat(33),
            &"g".repeat(32),
            &"é".repeat(16),
        ] {
            assert_eq!(text.parse::<Passkey>(), Err(NotAPasskey), "{text}");
        }
    }
}
