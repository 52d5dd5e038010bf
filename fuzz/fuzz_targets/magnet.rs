//! Magnet links: what is read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::metainfo::magnet::Magnet;

fuzz_target!(|link: &str| {
    if let Ok(mut magnet) = link.parse::<Magnet>() {
        magnet.warnings.clear();
        match magnet.to_string().parse::<Magnet>() {
            Ok(again) => assert_eq!(again, magnet),
            // Escapes make a link longer, and so perhaps too long.
            Err(error) => assert!(link.len() > 20_000, "{error}"),
        }
    }
});
