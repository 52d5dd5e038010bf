//! The handshake: 68 bytes that are read are written again as they were.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::wire::handshake::{Handshake, LENGTH, PROTOCOL, may_begin};

fn check(bytes: &[u8; LENGTH]) {
    match Handshake::decode(bytes) {
        Some(handshake) => {
            assert!(may_begin(bytes));
            assert_eq!(handshake.encode(), *bytes);
            let _any = handshake.reserved.has_fast() || handshake.reserved.has_extension_protocol();
        }
        None => assert!(!may_begin(bytes)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _any = may_begin(bytes);
    if let Some(first) = bytes.first_chunk() {
        check(first);
    }
    if let Some(behind_protocol) = bytes.first_chunk::<{ LENGTH - PROTOCOL.len() }>() {
        let whole = [PROTOCOL.as_slice(), behind_protocol].concat();
        let whole = whole.as_slice().try_into().expect("the parts add up");
        assert!(Handshake::decode(whole).is_some());
        check(whole);
    }
});
