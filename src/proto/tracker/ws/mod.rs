//! What WebTorrent peers and a tracker say to each other over a WebSocket: JSON, in which raw bytes are strings.
//!
//! No BEP describes it; the clients of WebTorrent and libtorrent 2.1 are what counts. A string of raw bytes has one
//! character for each byte, from U+0000 to U+00FF (Latin-1). Peers of this kind have no address: they meet by offers
//! and answers (session descriptions of WebRTC), which the tracker passes on. Unknown fields are passed over; of a
//! description only its type and text are passed on, so nobody sends another peer more than that.
//!
//! | module | what |
//! |---|---|
//! | [`request`] | what a peer says |
//! | [`reply`] | what a tracker says |

use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::proto::id::{InfoHash, PeerId};

pub mod reply;
pub mod request;

/// By this an offer's answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OfferId(pub [u8; 20]);

/// A session description on its way from one peer to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The number that the offering peer gave it.
    pub offer_id: OfferId,
    /// The description itself (SDP), which is nobody's business but the two peers'.
    pub sdp: String,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To join, stay in or leave a swarm, or to meet somebody in it.
    #[default]
    Announce,
    /// Swarms in numbers.
    Scrape,
}

/// A session description as JSON has it.
#[derive(Debug, Deserialize, Serialize)]
struct Session<S> {
    r#type: SessionType,
    sdp: S,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum SessionType {
    Offer,
    Answer,
}

/// Twenty raw bytes as a string of twenty characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Raw([u8; 20]);

impl Raw {
    /// `None` where there are other than twenty characters, or one above U+00FF.
    fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        let mut characters = text.chars();
        for byte in &mut bytes {
            *byte = u8::try_from(characters.next()?).ok()?;
        }
        characters.next().is_none().then_some(Self(bytes))
    }
}

impl From<InfoHash> for Raw {
    fn from(info_hash: InfoHash) -> Self {
        Self(*info_hash.as_bytes())
    }
}

impl From<PeerId> for Raw {
    fn from(peer_id: PeerId) -> Self {
        Self(*peer_id.as_bytes())
    }
}

impl From<OfferId> for Raw {
    fn from(OfferId(bytes): OfferId) -> Self {
        Self(bytes)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.into_iter().map(char::from).collect();
        serializer.serialize_str(&text)
    }
}

/// A string that should be twenty raw bytes, and `None` where it is another.
#[derive(Clone, Copy, Debug)]
struct MaybeRaw(Option<Raw>);

impl<'de> Deserialize<'de> for MaybeRaw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = MaybeRaw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<MaybeRaw, E> {
                Ok(MaybeRaw(Raw::read(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let MaybeRaw(raw) = MaybeRaw::deserialize(deserializer)?;
        raw.ok_or_else(|| D::Error::custom("not twenty raw bytes"))
    }
}

/// A number as JavaScript writes it: perhaps with a fraction, as digits in a string, or `null` where it is infinite.
#[derive(Clone, Copy, Debug, Default)]
struct Number(Option<u64>);

impl Number {
    /// As near as 32 bits come to it.
    fn narrow(self) -> Option<u32> {
        self.0
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(u64::try_from(number).unwrap_or(0))))
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast from a float saturates, which is what is wanted"
            )]
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number as u64)))
            }

            fn visit_str<E>(self, digits: &str) -> Result<Number, E> {
                Ok(Number(digits.parse().ok()))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_byte_values_survive() {
        for first in (0..=u8::MAX).step_by(20) {
            let raw = Raw(std::array::from_fn(|n| {
                first.wrapping_add(u8::try_from(n).unwrap())
            }));
            let json = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<Raw>(&json).unwrap(), raw, "{json}");
        }
    }

    #[test]
    fn only_twenty_characters_below_256_are_an_id() {
        assert_eq!(Raw::read(&"ÿ".repeat(20)), Some(Raw([255; 20])));
        for text in [
            "",
            &"a".repeat(19),
            &"a".repeat(21),
            &"Ā".repeat(20),
            &"ÿ".repeat(10),
        ] {
            assert_eq!(Raw::read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_come_as_javascript_writes_them() {
        for (json, number) in [
            ("5", Some(5)),
            ("-5", Some(0)),
            ("5.9", Some(5)),
            ("1e30", Some(u64::MAX)),
            ("-1e30", Some(0)),
            ("\"7\"", Some(7)),
            ("\"many\"", None),
            ("null", None),
        ] {
            let Number(read) = serde_json::from_str(json).unwrap();
            assert_eq!(read, number, "{json}");
        }
        assert!(serde_json::from_str::<Number>("[]").is_err());
    }
}
