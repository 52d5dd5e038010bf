//! Bencode: the encoding of torrent files, tracker answers and extension messages (BEP 3, "bencoding").
//!
//! [`scan`] walks untrusted bytes once, within bounds; a [`value`] is a cursor that borrows from them; [`encode`] writes.
//! Typed dictionaries go through [`from_bytes`], so that no recursive decoder ever sees bytes that were not walked.

use serde::de::DeserializeOwned;

pub use encode::Encoder;
pub use scan::{Limits, ScanError};
pub use value::Value;

pub mod encode;
pub mod scan;
pub mod value;

/// Why bytes did not become a typed dictionary.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no bencode, or over a limit.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The bytes are bencode, but a field is missing or of another type.
    #[error("a bencoded message whose fields are not what they should be")]
    Fields(#[source] serde_bencode::Error),
}

/// Decodes one value into a type, after the scanner has found it sound.
///
/// Unsorted keys and a lone newline at the end are tolerated.
///
/// # Errors
/// [`DecodeError`] where the scanner refuses the bytes or a field does not fit `T`.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, DecodeError> {
    from_value(scan::lenient(bytes, limits)?.root)
}

/// Decodes one value into a type, and gives what lies behind it: `ut_metadata` puts a piece there (BEP 9).
///
/// Unsorted keys are tolerated.
///
/// # Errors
/// [`DecodeError`] where the scanner refuses the value or a field does not fit `T`.
pub fn from_prefix<'a, T: DeserializeOwned>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<(T, &'a [u8]), DecodeError> {
    let (root, rest) = scan::prefix(bytes, limits)?;
    Ok((from_value(root)?, rest))
}

/// Decodes a scanned value into a type.
///
/// # Errors
/// [`DecodeError::Fields`] where a field does not fit `T`.
pub fn from_value<T: DeserializeOwned>(value: Value<'_>) -> Result<T, DecodeError> {
    serde_bencode::from_bytes(value.raw()).map_err(DecodeError::Fields)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Message {
        msg_type: u8,
        piece: u32,
    }

    const EXPECTED: Message = Message {
        msg_type: 1,
        piece: 7,
    };

    #[test]
    fn decodes_a_typed_dictionary_and_passes_unknown_keys_over() {
        let bytes = b"d8:msg_typei1e5:piecei7e5:otherlee";
        assert_eq!(
            from_bytes::<Message>(bytes, &Limits::default()).unwrap(),
            EXPECTED
        );
    }

    #[test]
    fn gives_what_lies_behind_a_message() {
        let bytes = b"d8:msg_typei1e5:piecei7eebinary";
        let (message, rest): (Message, _) = from_prefix(bytes, &Limits::default()).unwrap();
        assert_eq!(message, EXPECTED);
        assert_eq!(rest, b"binary");
    }

    #[test]
    fn tells_broken_bencode_from_wrong_fields() {
        let limits = Limits::default();
        assert!(matches!(
            from_bytes::<Message>(b"d8:msg", &limits),
            Err(DecodeError::Scan(_))
        ));
        assert!(matches!(
            from_bytes::<Message>(b"d5:piecei7ee", &limits),
            Err(DecodeError::Fields(_))
        ));
        assert!(matches!(
            from_bytes::<Message>(b"d8:msg_typei300e5:piecei7ee", &limits),
            Err(DecodeError::Fields(_))
        ));
    }

    #[test]
    fn nesting_that_would_overflow_a_recursive_decoder_never_reaches_it() {
        let bomb = [b'l'].repeat(1_000_000);
        assert!(matches!(
            from_bytes::<Message>(&bomb, &Limits::default()),
            Err(DecodeError::Scan(_))
        ));
    }
}
