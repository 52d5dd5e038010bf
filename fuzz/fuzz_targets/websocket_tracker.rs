//! The WebSocket tracker's JSON: what peers say on one side, what trackers say on the other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::tracker::ws::{reply, request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(said) = request::decode(bytes) {
        let again = request::decode(request::encode(&said).as_bytes());
        assert_eq!(again, Ok(said), "our own message is sound");
    }
    if let Ok(said) = reply::decode(bytes) {
        let again = reply::decode(reply::encode(said.clone()).as_bytes());
        assert_eq!(again.expect("our own message is sound"), said);
    }
});
