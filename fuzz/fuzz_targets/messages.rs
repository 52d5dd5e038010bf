//! Wire messages: however the bytes are cut, the same messages come out, and they are written again as they were read.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sower::proto::wire::extension::{ExtensionHandshake, MetadataMessage};
use sower::proto::wire::message::{Limits, Message, MessageError, decode};
use sower::proto::wire::peer_exchange::PeerExchange;

fn drain(
    buffer: &mut BytesMut,
    limits: &Limits,
    messages: &mut Vec<Message>,
) -> Result<(), MessageError> {
    while let Some(message) = decode(buffer, limits)? {
        messages.push(message);
    }
    Ok(())
}

fn check_extended(payload: &[u8]) {
    if let Some(handshake) = ExtensionHandshake::decode(payload) {
        let again = ExtensionHandshake::decode(&handshake.encode());
        assert_eq!(again, Some(handshake));
    }
    if let Some(message) = PeerExchange::decode(payload) {
        assert_eq!(PeerExchange::decode(&message.encode()), Some(message));
    }
    if let Some(message) = MetadataMessage::decode(payload) {
        assert_eq!(MetadataMessage::decode(&message.encode()), Some(message));
    }
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (cut, pieces, bytes) = input;
    let limits = Limits::for_pieces(pieces.into());

    let mut whole = Vec::new();
    let mut left = BytesMut::from(bytes);
    let end = drain(&mut left, &limits, &mut whole);

    let mut in_parts = Vec::new();
    let mut buffer = BytesMut::new();
    let mut parts = bytes.chunks(usize::from(cut).max(1));
    let end_in_parts = parts.try_for_each(|part| {
        buffer.extend_from_slice(part);
        drain(&mut buffer, &limits, &mut in_parts)
    });
    // The kind of a frame that is too long may not be there yet when its length is refused.
    assert_eq!(end.is_err(), end_in_parts.is_err());
    assert_eq!(whole, in_parts);

    for message in whole {
        if let Message::Extended { payload, .. } = &message {
            check_extended(payload);
        }
        if matches!(message, Message::Unknown(_)) {
            continue;
        }
        let mut wire = BytesMut::new();
        message.encode(&mut wire);
        assert_eq!(decode(&mut wire, &limits), Ok(Some(message)));
        assert!(wire.is_empty());
    }
    check_extended(bytes);
});
