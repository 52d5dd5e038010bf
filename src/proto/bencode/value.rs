//! Cursors over bencode that was scanned: they borrow, copy nothing and build no tree.

use std::fmt;

use super::scan::byte_string_header;

/// One bencoded value: a cursor on bytes that were scanned. Copying it costs nothing.
///
/// Questions of the wrong type are answered `None`, so that a chain of `?` reads a nested field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The caller has scanned `raw`, and it is one whole value.
    pub(in crate::proto) const fn of_scanned(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The bytes of this value, as they stood in the input.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The integer, if it is one.
    pub fn as_integer(self) -> Option<i64> {
        let digits = self.raw.strip_prefix(b"i")?.strip_suffix(b"e")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The byte string's content, if it is one.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        self.raw.first().filter(|first| first.is_ascii_digit())?;
        let colon = self.raw.iter().position(|byte| *byte == b':')?;
        self.raw.get(colon.saturating_add(1)..)
    }

    /// The byte string's content, if it is one and is UTF-8.
    pub fn as_text(self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The elements in order, if it is a list.
    pub fn list(self) -> Option<List<'a>> {
        let rest = self.raw.strip_prefix(b"l")?;
        Some(List { rest })
    }

    /// The keys and values in the order of the input, if it is a dictionary.
    pub fn dict(self) -> Option<Dict<'a>> {
        let rest = self.raw.strip_prefix(b"d")?;
        Some(Dict {
            elements: List { rest },
        })
    }

    /// A walk through nested lists and dictionaries, beginning before this value.
    pub const fn walk(self) -> Walk<'a> {
        Walk { rest: self.raw }
    }

    /// The value at `key`, if it is a dictionary and has the key.
    ///
    /// It walks the dictionary: to read many keys of a large one, iterate over [`dict`](Self::dict).
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Self> {
        let key = key.as_ref();
        self.dict()?
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.raw.escape_ascii())
    }
}

/// The elements of a list, in order.
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let length = value_length(self.rest)?;
        let (raw, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Value { raw })
    }
}

/// The keys and values of a dictionary, in the order of the input.
#[derive(Clone, Debug)]
pub struct Dict<'a> {
    elements: List<'a>,
}

impl<'a> Iterator for Dict<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.elements.next()?.as_bytes()?;
        Some((key, self.elements.next()?))
    }
}

/// A walk through lists and dictionaries within each other that passes each byte once, however deep they nest.
///
/// [`List`] and [`Dict`] have to find the end of a value before they give it, so that reading a tree level by level passes
/// the innermost bytes once a level.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Steps into the dictionary that comes next; false, without a step, if it is none.
    pub fn enter_dict(&mut self) -> bool {
        self.step_over(b"d")
    }

    /// Steps into the list that comes next; false, without a step, if it is none.
    pub fn enter_list(&mut self) -> bool {
        self.step_over(b"l")
    }

    /// Steps out of the list or dictionary at its end; false, without a step, where more is in it.
    pub fn leave(&mut self) -> bool {
        self.step_over(b"e")
    }

    /// Takes the next key of the dictionary; at its end steps out of it and gives `None`.
    pub fn key(&mut self) -> Option<&'a [u8]> {
        if self.leave() {
            return None;
        }
        self.bytes()
    }

    /// Steps over the bytes that come next if they are `bencode`: keys and values, or where some begin and end. False, without
    /// a step, if others come.
    #[inline]
    pub fn step_over<const N: usize>(&mut self, bencode: &[u8; N]) -> bool {
        match self.rest.split_first_chunk() {
            Some((next, behind)) if next == bencode => {
                self.rest = behind;
                true
            }
            _ => false,
        }
    }

    /// Takes the integer that comes next, if it is one from 0 of fewer digits than 64 bits might not hold; `None`, without a
    /// step, if it is not.
    pub fn small_integer(&mut self) -> Option<u64> {
        let digits = self.rest.strip_prefix(b"i")?;
        let mut value = 0_u64;
        for (index, byte) in digits
            .iter()
            .take(MAX_SMALL_DIGITS.saturating_add(1))
            .enumerate()
        {
            match byte {
                b'0'..=b'9' => {
                    value = value
                        .saturating_mul(10)
                        .saturating_add(u64::from(byte & 0x0f));
                }
                b'e' => {
                    self.rest = digits.get(index.saturating_add(1)..)?;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    /// Takes the byte string that comes next; `None`, without a step, if it is none.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, header) = byte_string_header(self.rest).ok()?;
        let (content, behind) = self.rest.get(header..)?.split_at_checked(length)?;
        self.rest = behind;
        Some(content)
    }

    /// How many bytes are not passed yet.
    pub const fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that were passed since the walk was where `earlier` is.
    pub fn passed_since(&self, earlier: &Self) -> &'a [u8] {
        let passed = earlier.rest.len().saturating_sub(self.rest.len());
        earlier.rest.get(..passed).unwrap_or_default()
    }

    /// Reads the value that comes next step by step. Where that fails the value is passed over whole, so that the walk
    /// goes on behind it.
    ///
    /// # Errors
    /// Whatever `read` fails with.
    pub fn attempt<T, E>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let mut inside = self.clone();
        let outcome = read(&mut inside);
        if outcome.is_ok() {
            *self = inside;
        } else {
            self.value();
        }
        outcome
    }

    /// Takes the value that comes next, whole.
    pub fn value(&mut self) -> Option<Value<'a>> {
        let mut list = List { rest: self.rest };
        let value = list.next();
        self.rest = list.rest;
        value
    }
}

/// Digits of an integer that 64 bits hold, whatever they are.
const MAX_SMALL_DIGITS: usize = 18;

/// Bytes in the value that sound bencode begins with; `None` at the end of a list or dictionary.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    let mut depth = 0_usize;
    loop {
        let rest = bytes.get(at..)?;
        let step = match rest.first()? {
            b'i' => rest.iter().position(|byte| *byte == b'e')?.checked_add(1)?,
            b'l' | b'd' => {
                depth = depth.checked_add(1)?;
                1
            }
            b'e' => {
                depth = depth.checked_sub(1)?;
                1
            }
            _ => {
                let (length, header) = byte_string_header(rest).ok()?;
                header.checked_add(length)?
            }
        };
        at = at.checked_add(step)?;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Limits, strict};
    use super::*;

    fn root(bytes: &[u8]) -> Value<'_> {
        strict(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn answers_none_where_the_type_is_another() {
        let value = root(b"i3e");
        assert!(value.as_bytes().is_none() && value.list().is_none() && value.dict().is_none());
        assert!(value.get("a").is_none());
        assert_eq!(root(b"1:3").as_integer(), None);
        assert_eq!(root(b"0:").as_bytes(), Some(&b""[..]));
        assert_eq!(root(b"le").list().unwrap().count(), 0);
        assert_eq!(root(b"de").dict().unwrap().count(), 0);
    }

    #[test]
    fn a_walk_steps_in_and_out() {
        let mut walk = root(b"d1:ad1:bi1e1:clee1:di2ee").walk();
        assert!(walk.enter_dict());
        assert_eq!(walk.key(), Some(&b"a"[..]));
        assert!(walk.enter_dict());
        assert_eq!(walk.key(), Some(&b"b"[..]));
        assert!(!walk.enter_dict() && !walk.enter_list() && !walk.leave());
        assert_eq!(walk.value().unwrap().as_integer(), Some(1));
        assert_eq!(walk.key(), Some(&b"c"[..]));
        assert!(walk.bytes().is_none() && walk.enter_list() && walk.leave());
        assert_eq!(walk.key(), None);
        assert_eq!(walk.key(), Some(&b"d"[..]));
        assert_eq!(walk.value().unwrap().as_integer(), Some(2));
        assert_eq!(walk.key(), None);
        assert!(!walk.enter_dict() && walk.key().is_none() && walk.value().is_none());
    }

    #[test]
    fn elements_are_their_own_bytes() {
        let list = root(b"li1e1:xd1:al1:beelee");
        let raw: Vec<_> = list.list().unwrap().map(Value::raw).collect();
        assert_eq!(raw, [&b"i1e"[..], b"1:x", b"d1:al1:bee", b"le"]);
        let dict = root(b"d1:ai1e2:bc1:xe");
        let pairs: Vec<_> = dict.dict().unwrap().map(|(k, v)| (k, v.raw())).collect();
        assert_eq!(pairs, [(&b"a"[..], &b"i1e"[..]), (b"bc", b"1:x")]);
    }
}
