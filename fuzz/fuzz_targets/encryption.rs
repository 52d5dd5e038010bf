//! Message stream encryption: two sides agree however their bytes are cut, and no bytes from a stranger make either panic, keep much or agree.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sower::proto::id::InfoHash;
use sower::proto::wire::encryption::{
    Answering, Calling, KEY_LENGTH, MAX_FIRST_PAYLOAD, MAX_PAD, Methods, TorrentMark,
};

const METHODS: [Methods; 3] = [Methods::PreferPlain, Methods::PreferRc4, Methods::OnlyRc4];

fn torrent() -> InfoHash {
    InfoHash::from([7; 20])
}

fn find(mark: &TorrentMark) -> Option<InfoHash> {
    (*mark == TorrentMark::of(&torrent())).then(torrent)
}

/// Each side alone, with bytes that nobody encrypted. A verification is right by chance once in 2⁶⁴ times, so nobody agrees.
fn strangers(bytes: &[u8], methods: Methods) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut answering = Answering::new(methods, &mut rng);
    let mut calling = Calling::new(torrent(), methods, vec![], &mut Vec::new(), &mut rng);
    let (mut for_answering, mut for_calling) = (BytesMut::new(), BytesMut::new());
    let (mut is_answering, mut is_calling) = (true, true);
    for piece in bytes.chunks(97) {
        for_answering.extend_from_slice(piece);
        for_calling.extend_from_slice(piece);
        is_answering = is_answering
            && match answering.advance(&mut for_answering, &mut Vec::new(), find) {
                Ok(agreed) => agreed.is_none(),
                Err(_) => false,
            };
        is_calling = is_calling
            && match calling.advance(&mut for_calling, &mut Vec::new()) {
                Ok(agreed) => agreed.is_none(),
                Err(_) => false,
            };
        assert!(!is_answering || for_answering.len() < KEY_LENGTH + MAX_PAD);
        assert!(!is_calling || for_calling.len() < KEY_LENGTH + MAX_PAD);
    }
}

/// Both sides, with `changes` to what the caller sends: they agree where there are none, and else part or agree, but never panic.
fn acquaintances(payload: &[u8], cut: usize, methods: [Methods; 2], change: Option<(usize, u8)>) {
    let mut rng = StdRng::seed_from_u64(cut as u64);
    let (mut to_called, mut to_caller) = (Vec::new(), Vec::new());
    let mut calling = Calling::new(
        torrent(),
        methods[0],
        payload.to_vec(),
        &mut to_called,
        &mut rng,
    );
    let mut answering = Answering::new(methods[1], &mut rng);
    let (mut called_received, mut caller_received) = (BytesMut::new(), BytesMut::new());
    let (mut caller, mut called) = (None, None);
    let mut passed = 0;
    while !(to_called.is_empty() && to_caller.is_empty()) {
        let mut piece: Vec<u8> = to_called.drain(..cut.min(to_called.len())).collect();
        if let Some((at, with)) = change
            && let Some(byte) = at.checked_sub(passed).and_then(|at| piece.get_mut(at))
        {
            *byte ^= with;
        }
        passed += piece.len();
        called_received.extend_from_slice(&piece);
        if called.is_none() {
            match answering.advance(&mut called_received, &mut to_caller, find) {
                Ok(agreed) => called = agreed,
                Err(error) => return assert!(change.is_some(), "{error}"),
            }
        }
        caller_received.extend(to_caller.drain(..cut.min(to_caller.len())));
        if caller.is_none() {
            match calling.advance(&mut caller_received, &mut to_called) {
                Ok(agreed) => caller = agreed,
                Err(error) => return assert!(change.is_some(), "{error}"),
            }
        }
    }
    if change.is_none() {
        let (caller, called) = (caller.expect("they agree"), called.expect("they agree"));
        assert_eq!(caller.torrent, called.torrent);
        assert_eq!(caller.keystreams.is_some(), called.keystreams.is_some());
        let whole = payload.len().min(MAX_FIRST_PAYLOAD);
        assert_eq!(called_received[..], payload[..whole]);
        assert!(caller_received.is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[choice, cut, at, with], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let methods = [
        METHODS[usize::from(choice % 3)],
        METHODS[usize::from(choice / 3 % 3)],
    ];
    match choice / 9 % 3 {
        0 => strangers(rest, methods[0]),
        1 => acquaintances(rest, usize::from(cut).max(1) * 4, methods, None),
        _ => {
            let change = (usize::from(at) * 5, with.max(1));
            acquaintances(rest, usize::from(cut).max(1) * 4, methods, Some(change));
        }
    }
});
