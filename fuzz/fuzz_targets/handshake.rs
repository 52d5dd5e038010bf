//! The handshake: 68 bytes that are read are written again as they were.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::wire::handshake::{Handshake, LENGTH, may_begin};

fuzz_target!(|bytes: &[u8]| {
    let Some(first) = bytes.first_chunk::<LENGTH>() else {
        let _any = may_begin(bytes);
        return;
    };
    match Handshake::decode(first) {
        Some(handshake) => {
            assert!(may_begin(bytes));
            assert_eq!(handshake.encode(), *first);
            let _any = handshake.reserved.has_fast() || handshake.reserved.has_extension_protocol();
        }
        None => assert!(!may_begin(bytes)),
    }
});
