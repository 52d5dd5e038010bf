//! A bounded walk over untrusted bencode (BEP 3), and cursors over what it found sound.
//!
//! One pass checks everything: syntax, nesting, counts, the order of keys and their being distinct. It does not recurse,
//! and nothing is allocated for a length that the input only claims. After it, a [`Value`] is proof: cursors slice the
//! same bytes again without checking, and no tree is built.
//!
//! Refused always: leading zeros, `-0`, `+`, integers beyond `i64`, keys that come twice, bytes after the end. In
//! [`strict`] mode keys must be sorted; [`lenient`] tolerates unsorted keys and a lone newline at the end, since
//! torrent files with both are about.

use std::cmp::Ordering;

use super::value::Value;

/// Bounds for what a scan accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in the whole input, at most.
    pub length: usize,
    /// How deep lists and dictionaries may nest.
    pub depth: usize,
    /// Values and keys in the whole input, at most. Memory for the check of keys is bounded by it.
    pub elements: usize,
}

impl Limits {
    /// For messages on the wire: 1 MiB, 64 deep, 100,000 elements.
    pub const MESSAGE: Self = Self {
        length: 1 << 20,
        depth: 64,
        elements: 100_000,
    };

    /// For torrent files: 48 MiB, 64 deep, six million elements (200,000 files in a hybrid with pads take five million).
    pub const TORRENT_FILE: Self = Self {
        length: 48 << 20,
        depth: 64,
        elements: 6_000_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::TORRENT_FILE
    }
}

/// Where a scan ended, and the rule that the bytes break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {rule}")]
pub struct ScanError {
    /// Bytes from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub rule: Rule,
}

/// The rules that a scan enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The input stops inside a value.
    #[error("the bencoded data ends too early")]
    Truncated,
    /// No value begins with this byte.
    #[error("no bencoded value begins like this")]
    UnexpectedByte,
    /// An integer without digits, with a leading zero, `-0`, a `+` or anything else that BEP 3 does not write.
    #[error("an integer is not written as bencode wants it")]
    BadInteger,
    /// An integer that 64 bits do not hold.
    #[error("an integer is too large")]
    IntegerOverflow,
    /// The length of a byte string has a leading zero, no colon after it or too many digits.
    #[error("the length of a byte string is not written as bencode wants it")]
    BadLength,
    /// A dictionary key that is no byte string.
    #[error("a dictionary key is not a byte string")]
    KeyNotBytes,
    /// A dictionary that ends after a key.
    #[error("a dictionary key has no value")]
    KeyWithoutValue,
    /// The same key twice in one dictionary.
    #[error("a dictionary has the same key twice")]
    DuplicateKey,
    /// Keys out of order, in strict mode.
    #[error("dictionary keys are not in order")]
    UnsortedKeys,
    /// Bytes after the value.
    #[error("there are bytes after the end")]
    TrailingBytes,
    /// Over [`Limits::length`].
    #[error("more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Over [`Limits::depth`].
    #[error("lists and dictionaries nest deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Over [`Limits::elements`].
    #[error("more than {limit} values")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },
}

/// What a lenient scan found.
#[derive(Clone, Copy, Debug)]
pub struct Lenient<'a> {
    /// The one value.
    pub root: Value<'a>,
    /// Some dictionary's keys are not in order.
    pub has_unsorted_keys: bool,
    /// One newline follows the value.
    pub has_trailing_newline: bool,
}

/// Scans bytes that must be one canonical value and nothing else.
///
/// # Errors
/// [`ScanError`] with the offset and the rule.
pub fn strict<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Value<'a>, ScanError> {
    let walked = Walk::over(bytes, limits, Order::Required)?;
    if walked.end < bytes.len() {
        return Err(Rule::TrailingBytes.at(walked.end));
    }
    Ok(walked.root(bytes))
}

/// Scans bytes that must be one value, with keys in any order and perhaps a newline at the end.
///
/// # Errors
/// [`ScanError`] with the offset and the rule.
pub fn lenient<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Lenient<'a>, ScanError> {
    let walked = Walk::over(bytes, limits, Order::Any)?;
    let has_trailing_newline = match bytes.get(walked.end..) {
        None | Some([]) => false,
        Some(b"\n") => true,
        Some(_) => return Err(Rule::TrailingBytes.at(walked.end)),
    };
    Ok(Lenient {
        root: walked.root(bytes),
        has_unsorted_keys: walked.has_unsorted_keys,
        has_trailing_newline,
    })
}

/// Scans the value that `bytes` begin with, with keys in any order, and gives the bytes behind it.
///
/// # Errors
/// [`ScanError`] with the offset and the rule.
pub fn prefix<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Value<'a>, &'a [u8]), ScanError> {
    let walked = Walk::over(bytes, limits, Order::Any)?;
    Ok((
        walked.root(bytes),
        bytes.get(walked.end..).unwrap_or_default(),
    ))
}

/// Reads `4:` off the head of `4:spam`: the length of the content and of the header itself.
pub(super) fn byte_string_header(bytes: &[u8]) -> Result<(usize, usize), Rule> {
    // Nearly all are shorter than a hundred bytes.
    let digit = |byte: &u8| usize::from(byte & 0x0f);
    match bytes {
        [ones @ b'0'..=b'9', b':', ..] => return Ok((digit(ones), 2)),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b':', ..] => {
            let tens = digit(tens).saturating_mul(10);
            return Ok((tens.saturating_add(digit(ones)), 3));
        }
        _ => {}
    }
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b':' if index > 0 => return Ok((length, index.saturating_add(1))),
            // A length of more than one digit does not begin with a zero.
            b'0'..=b'9' if index == 0 || length > 0 => {
                length = length
                    .checked_mul(10)
                    .and_then(|tens| tens.checked_add(usize::from(byte & 0x0f)))
                    .ok_or(Rule::BadLength)?;
            }
            _ => return Err(Rule::BadLength),
        }
    }
    Err(Rule::Truncated)
}

/// Bytes of a positive integer that no 64 bits are too few for, with its `i` and `e`.
const MAX_SHORT_INTEGER: usize = 18;

/// Reads `i-3e` off the head of the input: how long it is.
fn integer_length(bytes: &[u8]) -> Result<usize, Rule> {
    // Nearly all are lengths: positive, without a zero before them, of fewer digits than could overflow.
    if let Some([b'i', b'1'..=b'9', rest @ ..]) = bytes.get(..MAX_SHORT_INTEGER) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if rest.get(digits) == Some(&b'e') {
            return Ok(digits.saturating_add(3));
        }
    }
    let end = bytes
        .iter()
        .position(|byte| !matches!(byte, b'i' | b'-' | b'0'..=b'9'))
        .ok_or(Rule::Truncated)?;
    let digits = bytes.get(1..end).unwrap_or_default();
    if bytes.get(end) != Some(&b'e') {
        return Err(Rule::BadInteger);
    }
    let magnitude = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_canonical = match magnitude {
        [] => false,
        [b'0'] => digits.len() == 1,
        [first, ..] => *first != b'0' && magnitude.iter().all(u8::is_ascii_digit),
    };
    if !is_canonical {
        return Err(Rule::BadInteger);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Rule::BadInteger)?;
    text.parse::<i64>().map_err(|_| Rule::IntegerOverflow)?;
    Ok(end.saturating_add(1))
}

impl Rule {
    const fn at(self, offset: usize) -> ScanError {
        ScanError { offset, rule: self }
    }
}

/// Whether keys must be sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Required,
    Any,
}

/// A list or dictionary that is not closed yet.
enum Open {
    List,
    Dict {
        /// Where its keys begin in [`Walk::keys`].
        first_key: usize,
        is_sorted: bool,
    },
}

/// A dictionary key, and where it stands.
#[derive(Clone, Copy)]
struct Key<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// The one validating pass.
struct Walk<'a, 'l> {
    bytes: &'a [u8],
    limits: &'l Limits,
    order: Order,
    at: usize,
    elements: usize,
    open: Vec<Open>,
    /// What comes next is a key, or the end, of the innermost dictionary.
    awaits_key: bool,
    /// The keys of all open dictionaries, the innermost last.
    keys: Vec<Key<'a>>,
    has_unsorted_keys: bool,
}

/// What the pass leaves behind.
struct Walked {
    end: usize,
    has_unsorted_keys: bool,
}

impl Walked {
    fn root<'a>(&self, bytes: &'a [u8]) -> Value<'a> {
        Value::of_scanned(bytes.get(..self.end).unwrap_or_default())
    }
}

impl<'a, 'l> Walk<'a, 'l> {
    fn over(bytes: &'a [u8], limits: &'l Limits, order: Order) -> Result<Walked, ScanError> {
        if bytes.len() > limits.length {
            let limit = limits.length;
            return Err(Rule::TooLong { limit }.at(limit));
        }
        let mut walk = Self {
            bytes,
            limits,
            order,
            at: 0,
            elements: 0,
            open: Vec::new(),
            awaits_key: false,
            keys: Vec::new(),
            has_unsorted_keys: false,
        };
        loop {
            walk.step()?;
            if walk.open.is_empty() {
                return Ok(Walked {
                    end: walk.at,
                    has_unsorted_keys: walk.has_unsorted_keys,
                });
            }
        }
    }

    /// Takes one token: a whole integer or byte string, or the beginning or end of a container.
    fn step(&mut self) -> Result<(), ScanError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(first) = rest.first() else {
            return Err(Rule::Truncated.at(self.at));
        };
        if *first == b'e' {
            return self.close();
        }
        self.count_element()?;
        if self.awaits_key {
            if !first.is_ascii_digit() {
                return Err(Rule::KeyNotBytes.at(self.at));
            }
            return self.key();
        }
        match first {
            b'l' => return self.begin(Open::List),
            b'd' => {
                return self.begin(Open::Dict {
                    first_key: self.keys.len(),
                    is_sorted: true,
                });
            }
            b'i' => {
                let length = integer_length(rest).map_err(|rule| rule.at(self.at))?;
                self.at = self.at.saturating_add(length);
            }
            b'0'..=b'9' => drop(self.byte_string()?),
            _ => return Err(Rule::UnexpectedByte.at(self.at)),
        }
        self.end_value();
        Ok(())
    }

    /// Behind a value in a dictionary comes a key.
    fn end_value(&mut self) {
        self.awaits_key = matches!(self.open.last(), Some(Open::Dict { .. }));
    }

    fn count_element(&mut self) -> Result<(), ScanError> {
        self.elements = self.elements.saturating_add(1);
        if self.elements > self.limits.elements {
            let limit = self.limits.elements;
            return Err(Rule::TooManyElements { limit }.at(self.at));
        }
        Ok(())
    }

    fn begin(&mut self, container: Open) -> Result<(), ScanError> {
        if self.open.len() >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(Rule::TooDeep { limit }.at(self.at));
        }
        self.awaits_key = matches!(container, Open::Dict { .. });
        self.open.push(container);
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    fn byte_string(&mut self) -> Result<&'a [u8], ScanError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (length, header) = byte_string_header(rest).map_err(|rule| rule.at(self.at))?;
        let end = header.saturating_add(length);
        let content = rest
            .get(header..end)
            .ok_or_else(|| Rule::Truncated.at(self.at))?;
        self.at = self.at.saturating_add(end);
        Ok(content)
    }

    fn key(&mut self) -> Result<(), ScanError> {
        let offset = self.at;
        let bytes = self.byte_string()?;
        if let Some(Open::Dict {
            first_key,
            is_sorted,
        }) = self.open.last_mut()
        {
            let last = self.keys.get(*first_key..).and_then(<[_]>::last);
            match last.map(|last| compare(last.bytes, bytes)) {
                Some(Ordering::Equal) => return Err(Rule::DuplicateKey.at(offset)),
                Some(Ordering::Greater) if self.order == Order::Required => {
                    return Err(Rule::UnsortedKeys.at(offset));
                }
                Some(Ordering::Greater) => *is_sorted = false,
                Some(Ordering::Less) | None => {}
            }
        }
        self.keys.push(Key { bytes, offset });
        self.awaits_key = false;
        Ok(())
    }

    fn close(&mut self) -> Result<(), ScanError> {
        match self.open.pop() {
            None => return Err(Rule::UnexpectedByte.at(self.at)),
            Some(Open::List) => {}
            Some(Open::Dict { .. }) if !self.awaits_key => {
                return Err(Rule::KeyWithoutValue.at(self.at));
            }
            Some(Open::Dict {
                first_key,
                is_sorted,
            }) => {
                if !is_sorted {
                    self.has_unsorted_keys = true;
                    self.refuse_duplicates(first_key)?;
                }
                self.keys.truncate(first_key);
            }
        }
        self.at = self.at.saturating_add(1);
        self.end_value();
        Ok(())
    }

    /// Finds equal keys that do not stand side by side.
    fn refuse_duplicates(&mut self, first_key: usize) -> Result<(), ScanError> {
        let keys = self.keys.get_mut(first_key..).unwrap_or_default();
        keys.sort_unstable_by(|a, b| a.bytes.cmp(b.bytes).then(a.offset.cmp(&b.offset)));
        for pair in keys.windows(2) {
            if let [first, second] = pair
                && first.bytes == second.bytes
            {
                return Err(Rule::DuplicateKey.at(second.offset));
            }
        }
        Ok(())
    }
}

/// How two keys are ordered, which their first bytes nearly always tell.
fn compare(first: &[u8], second: &[u8]) -> Ordering {
    match (first.first(), second.first()) {
        (Some(a), Some(b)) if a != b => a.cmp(b),
        _ => first.cmp(second),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Encoder;
    use super::*;

    fn rule(bytes: &[u8]) -> (usize, Rule) {
        let error = lenient(bytes, &Limits::default()).unwrap_err();
        assert_eq!(
            strict(bytes, &Limits::default()),
            Err(error),
            "strict and lenient agree"
        );
        (error.offset, error.rule)
    }

    fn root(bytes: &[u8]) -> Value<'_> {
        strict(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn reads_the_examples_of_bep_3() {
        assert_eq!(root(b"4:spam").as_bytes(), Some(&b"spam"[..]));
        assert_eq!(root(b"i3e").as_integer(), Some(3));
        assert_eq!(root(b"i-3e").as_integer(), Some(-3));
        assert_eq!(root(b"i0e").as_integer(), Some(0));
        let list: Vec<_> = root(b"l4:spam4:eggse")
            .list()
            .unwrap()
            .map(|value| value.as_text().unwrap())
            .collect();
        assert_eq!(list, ["spam", "eggs"]);
        let dict = root(b"d3:cow3:moo4:spaml1:a1:bee");
        assert_eq!(dict.get("cow").unwrap().as_text(), Some("moo"));
        assert_eq!(dict.get("spam").unwrap().raw(), b"l1:a1:be");
        assert_eq!(dict.get("pig"), None);
    }

    #[test]
    fn refuses_integers_that_bep_3_does_not_write() {
        for bytes in [
            "i03e", "i-0e", "i00e", "ie", "i-e", "i+1e", "i--1e", "i1-e", "i1.5e", "i 1e", "i-01e",
            "ii1ee", "i1i2e",
        ] {
            assert_eq!(rule(bytes.as_bytes()), (0, Rule::BadInteger), "{bytes}");
        }
    }

    #[test]
    fn refuses_integers_beyond_64_bits() {
        assert_eq!(root(b"i9223372036854775807e").as_integer(), Some(i64::MAX));
        assert_eq!(root(b"i-9223372036854775808e").as_integer(), Some(i64::MIN));
        assert_eq!(rule(b"i9223372036854775808e"), (0, Rule::IntegerOverflow));
        assert_eq!(rule(b"i-9223372036854775809e"), (0, Rule::IntegerOverflow));
    }

    #[test]
    fn refuses_lengths_that_bep_3_does_not_write() {
        assert_eq!(rule(b"04:spam"), (0, Rule::BadLength));
        assert_eq!(rule(b"00:"), (0, Rule::BadLength));
        assert_eq!(rule(b"4spam"), (0, Rule::BadLength));
        assert_eq!(rule(b"99999999999999999999999:x"), (0, Rule::BadLength));
        assert_eq!(rule(b"-4:spam"), (0, Rule::UnexpectedByte));
        assert_eq!(rule(b"l18446744073709551615:xe"), (1, Rule::Truncated));
        assert_eq!(rule(b"5:spam"), (0, Rule::Truncated));
    }

    #[test]
    fn refuses_keys_that_are_no_byte_strings_or_have_no_value() {
        assert_eq!(rule(b"di1ei2ee"), (1, Rule::KeyNotBytes));
        assert_eq!(rule(b"dlei2ee"), (1, Rule::KeyNotBytes));
        assert_eq!(rule(b"d1:ae"), (4, Rule::KeyWithoutValue));
        assert_eq!(rule(b"e"), (0, Rule::UnexpectedByte));
        assert_eq!(rule(b"x"), (0, Rule::UnexpectedByte));
    }

    #[test]
    fn refuses_a_key_that_comes_twice() {
        assert_eq!(rule(b"d1:ai1e1:ai2ee"), (7, Rule::DuplicateKey));
    }

    #[test]
    fn finds_a_key_that_comes_twice_among_unsorted_ones() {
        let bytes = b"d1:bi1e1:ai2e1:cde1:bi3ee";
        assert_eq!(
            lenient(bytes, &Limits::default()).unwrap_err(),
            Rule::DuplicateKey.at(18)
        );
    }

    #[test]
    fn keys_of_different_dictionaries_do_not_meet() {
        let bytes = b"d1:ad1:ai1e1:bi2ee1:bd1:ai3eee";
        assert!(strict(bytes, &Limits::default()).is_ok());
    }

    #[test]
    fn unsorted_keys_are_for_lenient_readers_only() {
        let bytes = b"d1:bi1e1:ai2ee";
        assert_eq!(
            strict(bytes, &Limits::default()),
            Err(Rule::UnsortedKeys.at(7))
        );
        let scanned = lenient(bytes, &Limits::default()).unwrap();
        assert!(scanned.has_unsorted_keys);
        assert_eq!(scanned.root.get("a").unwrap().as_integer(), Some(2));
    }

    #[test]
    fn one_newline_at_the_end_is_for_lenient_readers_only() {
        assert_eq!(
            strict(b"i1e\n", &Limits::default()),
            Err(Rule::TrailingBytes.at(3))
        );
        let scanned = lenient(b"i1e\n", &Limits::default()).unwrap();
        assert!(scanned.has_trailing_newline);
        assert_eq!(scanned.root.raw(), b"i1e");
        assert_eq!(rule(b"i1e\n\n"), (3, Rule::TrailingBytes));
        assert_eq!(rule(b"i1ei2e"), (3, Rule::TrailingBytes));
    }

    #[test]
    fn a_prefix_leaves_what_follows() {
        let (value, rest) = prefix(b"d1:ai1eetail", &Limits::default()).unwrap();
        assert_eq!((value.raw(), rest), (&b"d1:ai1ee"[..], &b"tail"[..]));
    }

    #[test]
    fn refuses_what_is_over_a_limit() {
        let limits = Limits {
            length: 20,
            depth: 2,
            elements: 4,
        };
        assert!(strict(b"lleli1eee", &limits).is_ok());
        assert_eq!(
            strict(b"lllleeee", &limits),
            Err(Rule::TooDeep { limit: 2 }.at(2))
        );
        assert_eq!(
            strict(b"li1ei2ei3ei4ee", &limits),
            Err(Rule::TooManyElements { limit: 4 }.at(10))
        );
        assert_eq!(
            strict(b"20:xxxxxxxxxxxxxxxxxxxx", &limits),
            Err(Rule::TooLong { limit: 20 }.at(20))
        );
    }

    #[test]
    fn a_depth_bomb_of_a_megabyte_is_refused_at_its_65th_byte() {
        for unit in [&b"l"[..], b"d1:a", b"d0:"] {
            let bomb = unit.repeat(1 << 20 >> (unit.len() / 2));
            let error = lenient(&bomb, &Limits::default()).unwrap_err();
            assert_eq!(error, Rule::TooDeep { limit: 64 }.at(64 * unit.len()));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
    fn unsorted_keys_nested_as_deep_as_allowed_cost_no_more_than_a_sort() {
        // Wide dictionaries of unsorted keys, each inside the last: the check of each must not walk the others again.
        let mut bytes = Vec::new();
        for _ in 0..50 {
            bytes.push(b'd');
            for key in (0..4_000).rev() {
                bytes.extend_from_slice(format!("5:{key:05}0:").as_bytes());
            }
            bytes.extend_from_slice(b"1:a");
        }
        bytes.extend_from_slice(b"0:");
        bytes.extend([b'e'].repeat(50));
        let before = std::time::Instant::now();
        assert!(
            lenient(&bytes, &Limits::default())
                .unwrap()
                .has_unsorted_keys
        );
        assert!(before.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn every_truncation_is_refused_as_one() {
        let whole = b"d4:infod6:lengthi-12e4:name3:abce1:lli1e2:xyleee";
        root(whole);
        for end in 0..whole.len() {
            let error = strict(&whole[..end], &Limits::default()).unwrap_err();
            assert_eq!(error.rule, Rule::Truncated, "{end}");
            assert!(error.offset <= end);
        }
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Tree {
        Integer(i64),
        Bytes(Vec<u8>),
        List(Vec<Self>),
        Dict(std::collections::BTreeMap<Vec<u8>, Self>),
    }

    impl Tree {
        fn encode(&self, encoder: &mut Encoder<'_>) {
            match self {
                Self::Integer(value) => encoder.integer(*value),
                Self::Bytes(value) => encoder.bytes(value),
                Self::List(values) => {
                    encoder.begin_list();
                    for value in values {
                        value.encode(encoder);
                    }
                    encoder.end()
                }
                Self::Dict(values) => {
                    encoder.begin_dict();
                    for (key, value) in values {
                        value.encode(encoder.key(key));
                    }
                    encoder.end()
                }
            };
        }

        fn read(value: Value<'_>) -> Self {
            None.or_else(|| value.as_integer().map(Self::Integer))
                .or_else(|| value.as_bytes().map(|bytes| Self::Bytes(bytes.to_vec())))
                .or_else(|| Some(Self::List(value.list()?.map(Self::read).collect())))
                .or_else(|| {
                    let pairs = value.dict()?;
                    Some(Self::Dict(
                        pairs.map(|(k, v)| (k.to_vec(), Self::read(v))).collect(),
                    ))
                })
                .expect("a value is one of the four")
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Tree::Integer),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Bytes),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
                prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..5), inner, 0..6)
                    .prop_map(Tree::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn trees_round_trip(tree in tree()) {
            let mut bytes = Vec::new();
            tree.encode(&mut Encoder::new(&mut bytes));
            let value = strict(&bytes, &Limits::default()).unwrap();
            prop_assert_eq!(value.raw(), bytes.as_slice());
            prop_assert_eq!(Tree::read(value), tree);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in "[ilde0-9:a-]{0,40}") {
            if let Ok(scanned) = lenient(bytes.as_bytes(), &Limits::default()) {
                Tree::read(scanned.root);
            }
        }
    }
}
