//! The `Range` header: ranges lie within the file, apart from each other, and are few.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::range::{MAX_RANGES, RangeOutcome, parse};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, header) = input;
    if let RangeOutcome::Ranges(ranges) = parse(header, length) {
        assert!((1..=MAX_RANGES).contains(&ranges.len()));
        let mut total = 0_u64;
        for (i, range) in ranges.iter().enumerate() {
            assert!(range.first <= range.last && range.last < length);
            assert!(
                ranges
                    .iter()
                    .take(i)
                    .all(|other| range.last < other.first || other.last < range.first)
            );
            total += range.length();
        }
        assert!(total <= length);
    }
});
