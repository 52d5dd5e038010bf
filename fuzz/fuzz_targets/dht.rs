//! Packets of the DHT: what is read is written so that it is read again as the same message, and never longer than a packet by much.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::dht::{Body, Message};

fuzz_target!(|packet: &[u8]| {
    let Ok(message) = Message::decode(packet) else {
        return;
    };
    if let Body::Query(query) = &message.body {
        assert!(query.id.common_bits(&query.id) == 160);
    }
    let written = message.encode();
    // An announce with an implied port, and addresses in IPv6 clothes, are written in one way only.
    assert!(written.len() <= packet.len() + 200, "{} > {}", written.len(), packet.len());
    let again = Message::decode(&written).expect("what we write can be read");
    match (message.body, again.body) {
        // A question that is not known has no name to write.
        (Body::Query(one), Body::Query(other)) => assert_eq!(one, other),
        (Body::Answer(mut one), Body::Answer(mut other)) => {
            one.nodes.sort_by_key(|node| (node.address, node.id));
            other.nodes.sort_by_key(|node| (node.address, node.id));
            assert_eq!(one, other);
        }
        (one, other) => assert_eq!(one, other),
    }
});
