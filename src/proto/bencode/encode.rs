//! A writer of canonical bencode (BEP 3), for answers on hot paths and for torrent files.
//!
//! It allocates nothing but what the output needs. Keys must be written in the order of their raw bytes: that is the
//! caller's duty, and debug builds check it.

/// Digits in the longest `u64`.
const MAX_DIGITS: usize = 20;

/// Writes bencoded values, one after another, to the end of a byte vector.
///
/// ```
/// # use sower::proto::bencode::Encoder;
/// let mut answer = Vec::new();
/// let mut encoder = Encoder::new(&mut answer);
/// encoder.begin_dict();
/// encoder.key("interval").integer(1800);
/// encoder.key("peers").bytes(&[127, 0, 0, 1, 0x1a, 0xe1]);
/// encoder.end();
/// assert_eq!(answer, b"d8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe1e");
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where the last key of each open container lies in `out`; kept to check the order in debug builds.
    #[cfg(debug_assertions)]
    keys: Vec<std::ops::Range<usize>>,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            #[cfg(debug_assertions)]
            keys: Vec::new(),
        }
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        self.out.push(b'i');
        if value < 0 {
            self.out.push(b'-');
        }
        self.digits(value.unsigned_abs());
        self.out.push(b'e');
        self
    }

    /// Writes an integer that is never negative: a length or a count.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.out.push(b'i');
        self.digits(value);
        self.out.push(b'e');
        self
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.bytes_header(value.len());
        self.out.extend_from_slice(value);
        self
    }

    /// Writes a text as the byte string of its UTF-8.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Begins a byte string of `length` bytes, which the caller appends with [`raw`](Self::raw).
    pub fn bytes_header(&mut self, length: usize) -> &mut Self {
        // usize is at most 64 bits wide on every platform that Rust knows.
        self.digits(u64::try_from(length).unwrap_or(u64::MAX));
        self.out.push(b':');
        self
    }

    /// Appends bytes as they are: a value that is bencoded already, or the content of a byte string begun before.
    pub fn raw(&mut self, bencoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bencoded);
        self
    }

    /// Begins a list.
    pub fn begin_list(&mut self) -> &mut Self {
        self.begin(b'l')
    }

    /// Begins a dictionary.
    pub fn begin_dict(&mut self) -> &mut Self {
        self.begin(b'd')
    }

    /// Writes a dictionary key; its value comes next.
    pub fn key(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        let key = key.as_ref();
        self.bytes(key);
        self.check_order(key.len());
        self
    }

    /// Ends the innermost list or dictionary.
    pub fn end(&mut self) -> &mut Self {
        #[cfg(debug_assertions)]
        self.keys.pop();
        self.out.push(b'e');
        self
    }

    fn begin(&mut self, tag: u8) -> &mut Self {
        self.out.push(tag);
        #[cfg(debug_assertions)]
        self.keys.push(0..0);
        self
    }

    #[cfg(debug_assertions)]
    fn check_order(&mut self, key_length: usize) {
        let end = self.out.len();
        let key = end.saturating_sub(key_length)..end;
        if let Some(last) = self.keys.last_mut() {
            let is_first = last.end == 0;
            debug_assert!(
                is_first || self.out.get(last.clone()) < self.out.get(key.clone()),
                "dictionary keys must be written in order, each once"
            );
            *last = key;
        }
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "the debug build's twin uses it")]
    fn check_order(&self, _key_length: usize) {}

    fn digits(&mut self, mut value: u64) {
        let mut digits = [0; MAX_DIGITS];
        let mut used = 0_usize;
        for (slot, place) in digits.iter_mut().rev().zip(1..) {
            // A remainder of ten fits a byte.
            *slot = b'0' | u8::try_from(value % 10).unwrap_or_default();
            value /= 10;
            used = place;
            if value == 0 {
                break;
            }
        }
        let first = MAX_DIGITS.saturating_sub(used);
        self.out
            .extend_from_slice(digits.get(first..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scan::{Limits, strict};
    use super::*;

    fn encoded(
        write: impl for<'a, 'b> FnOnce(&'a mut Encoder<'b>) -> &'a mut Encoder<'b>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Encoder::new(&mut out));
        out
    }

    #[test]
    fn writes_the_examples_of_bep_3() {
        assert_eq!(encoded(|e| e.text("spam")), b"4:spam");
        assert_eq!(encoded(|e| e.integer(3)), b"i3e");
        assert_eq!(encoded(|e| e.integer(-3)), b"i-3e");
        assert_eq!(
            encoded(|e| e.begin_list().text("spam").text("eggs").end()),
            b"l4:spam4:eggse"
        );
        assert_eq!(
            encoded(|e| {
                e.begin_dict();
                e.key("cow").text("moo");
                e.key("spam").text("eggs");
                e.end()
            }),
            b"d3:cow3:moo4:spam4:eggse"
        );
    }

    #[test]
    #[should_panic(expected = "dictionary keys must be written in order")]
    #[cfg(debug_assertions)]
    fn notices_keys_out_of_order() {
        encoded(|e| {
            e.begin_dict();
            e.key("spam").integer(1);
            e.key("cow").integer(1)
        });
    }

    #[test]
    fn orders_keys_by_dictionary_not_by_document() {
        let bytes = encoded(|e| {
            e.begin_dict();
            e.key("m").begin_dict().key("z").integer(1).end();
            e.key("n").begin_list().begin_dict().key("a").integer(2);
            e.end().end().end()
        });
        assert_eq!(bytes, b"d1:md1:zi1ee1:nld1:ai2eeee");
    }

    proptest! {
        #[test]
        fn integers_read_back(value: i64) {
            let bytes = encoded(|e| e.integer(value));
            prop_assert_eq!(strict(&bytes, &Limits::default()).unwrap().as_integer(), Some(value));
        }

        #[test]
        fn unsigned_integers_are_plain_decimals(value: u64) {
            prop_assert_eq!(encoded(|e| e.unsigned(value)), format!("i{value}e").into_bytes());
        }

        #[test]
        fn byte_strings_read_back(value: Vec<u8>) {
            let bytes = encoded(|e| e.bytes(&value));
            let scanned = strict(&bytes, &Limits::default()).unwrap();
            prop_assert_eq!(scanned.as_bytes(), Some(value.as_slice()));
        }
    }
}
