//! The `Range` header of web seeds and downloads (RFC 9110 section 14.2).
//!
//! Only byte ranges are known. What cannot be read is ignored, as the RFC wants: then the whole file is the answer. So are
//! ranges that are many or overlap, by which a few bytes could ask for a thousand times the file (section 17.15).

/// Ranges in one header, at most; more are answered by the whole file.
pub const MAX_RANGES: usize = 16;

/// Bytes `first` to `last` of a file, both included, both within the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte, counted from zero.
    pub first: u64,
    /// The last byte; not before `first`.
    pub last: u64,
}

impl ByteRange {
    /// Bytes in the range; never 0.
    pub const fn length(self) -> u64 {
        // A range of all 2⁶⁴ bytes cannot be: `last` is less than a file's length.
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Whether the two have a byte in common.
    const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What a `Range` header asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Answer 200 with the whole file: the header is of another unit, wrong, or asks for too much.
    Whole,
    /// Answer 206 with these, in the order asked for: from one to [`MAX_RANGES`], none overlapping another.
    Ranges(Vec<ByteRange>),
    /// Answer 416 with `Content-Range: bytes */length`: no range lies in the file.
    NotSatisfiable,
}

/// Reads the value of a `Range` header, for a file of `file_length` bytes.
///
/// ```
/// # use sower::proto::range::{ByteRange, RangeOutcome, parse};
/// let first_half = ByteRange { first: 0, last: 499 };
/// assert_eq!(parse(b"bytes=0-499", 1_000), RangeOutcome::Ranges(vec![first_half]));
/// assert_eq!(parse(b"bytes=1000-", 1_000), RangeOutcome::NotSatisfiable);
/// assert_eq!(parse(b"lines=1-2", 1_000), RangeOutcome::Whole);
/// ```
pub fn parse(header: &[u8], file_length: u64) -> RangeOutcome {
    read(header, file_length).unwrap_or(RangeOutcome::Whole)
}

/// `None` where the header is to be ignored.
fn read(header: &[u8], file_length: u64) -> Option<RangeOutcome> {
    let equals = header.iter().position(|byte| *byte == b'=')?;
    let (unit, set) = header.split_at_checked(equals)?;
    // Section 14.1: names of units are case-insensitive.
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for spec in set.get(1..)?.split(|byte| *byte == b',') {
        // Section 5.6.1: a list may have blanks around its elements, and empty elements.
        let spec = trim(spec);
        if spec.is_empty() {
            continue;
        }
        if specs.len() >= MAX_RANGES {
            return None;
        }
        specs.push(Spec::read(spec)?);
    }
    if specs.is_empty() {
        return None;
    }
    let mut ranges: Vec<ByteRange> = Vec::new();
    for spec in specs {
        match spec.within(file_length) {
            Found::Range(range) if ranges.iter().any(|other| range.overlaps(*other)) => {
                return None;
            }
            Found::Range(range) => ranges.push(range),
            Found::Nothing => {}
            Found::AllOfNothing => return None,
        }
    }
    Some(if ranges.is_empty() {
        RangeOutcome::NotSatisfiable
    } else {
        RangeOutcome::Ranges(ranges)
    })
}

/// One range as it is written.
enum Spec {
    /// `first-` or `first-last`.
    From(u64, Option<u64>),
    /// `-length`: the last bytes.
    Suffix(u64),
}

/// What a [`Spec`] means for a file.
enum Found {
    Range(ByteRange),
    /// It is not satisfiable.
    Nothing,
    /// The last bytes of an empty file: satisfiable (section 14.1.2), but no `Content-Range` can say it.
    AllOfNothing,
}

impl Spec {
    fn read(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|byte| *byte == b'-')?;
        let (first, last) = spec.split_at_checked(dash)?;
        let last = last.get(1..)?;
        match (first, last) {
            ([], length) => number(length).map(Self::Suffix),
            (first, []) => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                // Section 14.1.2: a range that ends before it begins is invalid.
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    fn within(&self, file_length: u64) -> Found {
        let Some(end) = file_length.checked_sub(1) else {
            return match self {
                Self::Suffix(1..) => Found::AllOfNothing,
                _ => Found::Nothing,
            };
        };
        match *self {
            Self::From(first, last) if first <= end => Found::Range(ByteRange {
                first,
                last: last.map_or(end, |last| last.min(end)),
            }),
            Self::Suffix(length @ 1..) => Found::Range(ByteRange {
                first: file_length.saturating_sub(length),
                last: end,
            }),
            Self::From(..) | Self::Suffix(0) => Found::Nothing,
        }
    }
}

/// Reads one digit or more. A number that 64 bits do not hold lies past every file's end all the same.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// Section 5.6.3: optional whitespace is spaces and tabs.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(header: &str, length: u64) -> RangeOutcome {
        parse(header.as_bytes(), length)
    }

    fn ranges<const N: usize>(pairs: [(u64, u64); N]) -> RangeOutcome {
        RangeOutcome::Ranges(
            pairs
                .map(|(first, last)| ByteRange { first, last })
                .to_vec(),
        )
    }

    #[test]
    fn reads_the_examples_of_the_rfc() {
        // Section 14.1.2, for a representation of 10,000 bytes.
        assert_eq!(asked("bytes=0-499", 10_000), ranges([(0, 499)]));
        assert_eq!(asked("bytes=500-999", 10_000), ranges([(500, 999)]));
        assert_eq!(asked("bytes=-500", 10_000), ranges([(9_500, 9_999)]));
        assert_eq!(asked("bytes=9500-", 10_000), ranges([(9_500, 9_999)]));
        assert_eq!(
            asked("bytes=0-0,-1", 10_000),
            ranges([(0, 0), (9_999, 9_999)])
        );
        assert_eq!(
            asked("bytes= 0-999, 4500-5499, -1000", 10_000),
            ranges([(0, 999), (4_500, 5_499), (9_000, 9_999)])
        );
        assert_eq!(asked("bytes=500-700,601-999", 10_000), RangeOutcome::Whole);
    }

    #[test]
    fn cuts_ranges_at_the_end_of_the_file() {
        assert_eq!(asked("bytes=0-", 1), ranges([(0, 0)]));
        assert_eq!(asked("bytes=5-1000", 10), ranges([(5, 9)]));
        assert_eq!(asked("bytes=-1000", 10), ranges([(0, 9)]));
        assert_eq!(asked("bytes=9-9", 10), ranges([(9, 9)]));
    }

    #[test]
    fn nothing_within_the_file_is_not_satisfiable() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=10-,-0"] {
            assert_eq!(asked(header, 10), RangeOutcome::NotSatisfiable, "{header}");
        }
        assert_eq!(asked("bytes=10-,3-4", 10), ranges([(3, 4)]));
    }

    #[test]
    fn of_an_empty_file_there_is_no_range() {
        assert_eq!(asked("bytes=0-", 0), RangeOutcome::NotSatisfiable);
        assert_eq!(asked("bytes=-0", 0), RangeOutcome::NotSatisfiable);
        assert_eq!(asked("bytes=-5", 0), RangeOutcome::Whole);
    }

    #[test]
    fn ignores_other_units_and_broken_headers() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-3",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=1-2;3-4",
            "lines=1-2",
            "bytes 0-1",
            "bytes=0-1,x",
            "bytes =0-1",
            " bytes=0-1",
        ] {
            assert_eq!(asked(header, 10), RangeOutcome::Whole, "{header:?}");
        }
        assert_eq!(parse(b"bytes=\xff-1", 10), RangeOutcome::Whole);
    }

    #[test]
    fn the_unit_may_be_in_any_case_and_the_list_may_have_gaps() {
        assert_eq!(asked("BYTES=0-1", 10), ranges([(0, 1)]));
        assert_eq!(asked("bytes=,0-1,\t ,3-4 ,", 10), ranges([(0, 1), (3, 4)]));
    }

    #[test]
    fn numbers_beyond_64_bits_lie_past_the_end() {
        let huge = "9".repeat(5_000);
        assert_eq!(asked(&format!("bytes=0-{huge}"), 10), ranges([(0, 9)]));
        assert_eq!(asked(&format!("bytes=-{huge}"), 10), ranges([(0, 9)]));
        assert_eq!(
            asked(&format!("bytes={huge}-"), u64::MAX),
            RangeOutcome::NotSatisfiable
        );
        assert_eq!(asked("bytes=0-", u64::MAX), ranges([(0, u64::MAX - 1)]));
    }

    #[test]
    fn many_ranges_are_answered_by_the_whole_file() {
        let header = |count: u64| {
            let list: Vec<_> = (0..count).map(|i| format!("{}-{}", i * 2, i * 2)).collect();
            format!("bytes={}", list.join(","))
        };
        assert!(
            matches!(asked(&header(16), 1_000), RangeOutcome::Ranges(list) if list.len() == 16)
        );
        assert_eq!(asked(&header(17), 1_000), RangeOutcome::Whole);
        assert_eq!(asked("bytes=0-,0-,0-", 1_000), RangeOutcome::Whole);
    }

    proptest! {
        #[test]
        fn ranges_lie_in_the_file_and_apart(header in "bytes=[0-9,-]{0,30}", length: u64) {
            if let RangeOutcome::Ranges(ranges) = asked(&header, length) {
                prop_assert!(!ranges.is_empty() && ranges.len() <= MAX_RANGES);
                for (i, range) in ranges.iter().enumerate() {
                    prop_assert!(range.first <= range.last && range.last < length);
                    prop_assert!(ranges[..i].iter().all(|other| !other.overlaps(*range)));
                }
            }
        }

        #[test]
        fn a_range_within_the_file_is_what_was_asked_for(first in 0_u64..1_000, more in 0_u64..1_000) {
            let last = first + more;
            let header = format!("bytes={first}-{last}");
            prop_assert_eq!(asked(&header, last + 1), ranges([(first, last)]));
        }
    }
}
