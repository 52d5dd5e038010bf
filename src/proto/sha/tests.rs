//! Every kernel against the crates, on every length class.

use proptest::prelude::*;
use sha1::Digest;

use super::lanes::{Kernels, compress_each};
use super::*;

/// A function, and the crate that is its oracle.
trait Known: Function {
    fn oracle(message: &[u8]) -> Self::Digest;
}

impl Known for Sha1 {
    fn oracle(message: &[u8]) -> Self::Digest {
        sha1::Sha1::digest(message).into()
    }
}

impl Known for Sha256 {
    fn oracle(message: &[u8]) -> Self::Digest {
        sha2::Sha256::digest(message).into()
    }
}

/// Bytes that differ from place to place and from seed to seed.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed | 1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn messages(lengths: &[usize]) -> Vec<Vec<u8>> {
    let seeds = 0_u64..;
    lengths
        .iter()
        .zip(seeds)
        .map(|(length, seed)| bytes(*length, seed))
        .collect()
}

fn assert_digests<F: Known>(lengths: &[usize]) {
    let messages = messages(lengths);
    let expected: Vec<_> = messages.iter().map(|message| F::oracle(message)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let found = digest_each::<F>(&messages);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{lengths:?}");
}

/// A function of which the processor may have ways that are not its fastest.
trait Ways: Known {
    fn eight() -> Option<lanes::Kernel<Self, 8>>;
}

impl Ways for Sha1 {
    fn eight() -> Option<lanes::Kernel<Self, 8>> {
        #[cfg(target_arch = "x86_64")]
        return x86::sha1_of_eight();
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }
}

impl Ways for Sha256 {
    fn eight() -> Option<lanes::Kernel<Self, 8>> {
        None
    }
}

/// All ways in which this processor can hash. One without the instructions has fewer.
fn ways<F: Ways>() -> [Kernels<F>; 5] {
    let of = |two, four, eight| Kernels { two, four, eight };
    let here = F::kernels();
    [
        Kernels::NONE,
        of(here.two, None, None),
        of(None, here.four, None),
        of(here.two, here.four, None),
        of(None, None, F::eight()),
    ]
}

fn assert_ways<F: Ways>(lengths: &[usize]) {
    let messages = messages(lengths);
    let parts: Vec<&[Block]> = messages
        .iter()
        .map(|message| message.as_chunks().0)
        .collect();
    let mut expected = vec![F::INITIAL; parts.len()];
    for (state, part) in expected.iter_mut().zip(&parts) {
        F::compress(state, part);
    }
    for kernels in ways::<F>() {
        let mut states = vec![F::INITIAL; parts.len()];
        compress_each(&kernels, states.iter_mut().zip(parts.iter().copied()));
        assert_eq!(
            format!("{states:?}"),
            format!("{expected:?}"),
            "{lengths:?}"
        );
    }
}

#[test]
fn digests_are_those_of_the_standard() {
    let [empty, abc] = [b"".as_slice(), b"abc"].map(|message| [message; 2]);
    let hex = |digest: &[u8]| data_encoding::HEXLOWER.encode(digest);
    assert_eq!(
        hex(&digest_each::<Sha1>(&abc)[1]),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    assert_eq!(
        hex(&digest_each::<Sha1>(&empty)[1]),
        "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    );
    assert_eq!(
        hex(&digest_each::<Sha256>(&abc)[1]),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn every_length_up_to_five_blocks_alone_and_in_company() {
    for length in 0..=300 {
        for company in [1, 2, 3, 7, 8, 9] {
            assert_digests::<Sha1>(&vec![length; company]);
            assert_digests::<Sha256>(&vec![length; company]);
        }
    }
}

#[test]
fn neighbours_of_every_length_around_the_borders_of_blocks() {
    let around = |blocks: usize| (blocks * 64).saturating_sub(10)..blocks * 64 + 3;
    let lengths: Vec<usize> = [0, 1, 2, 16, 256].into_iter().flat_map(around).collect();
    for lanes in [1, 2, 3, 8, 9] {
        for lengths in lengths.windows(lanes) {
            assert_digests::<Sha1>(lengths);
            assert_digests::<Sha256>(lengths);
        }
    }
}

#[test]
fn every_way_on_every_number_of_equal_messages() {
    for (blocks, most) in [(0, 17), (1, 17), (2, 17), (17, 9), (256, 9)] {
        for company in 0..=most {
            assert_ways::<Sha1>(&vec![blocks * 64; company]);
            assert_ways::<Sha256>(&vec![blocks * 64; company]);
        }
    }
}

#[test]
fn nothing_is_hashed_of_nothing() {
    assert!(digest_each::<Sha1>(&[]).is_empty());
    update_each::<Sha256>(&mut [], &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn unequal_messages_do_not_mix(lengths in prop::collection::vec(0_usize..3_000, 0..20)) {
        assert_digests::<Sha1>(&lengths);
        assert_digests::<Sha256>(&lengths);
        assert_ways::<Sha1>(&lengths);
        assert_ways::<Sha256>(&lengths);
    }

    #[test]
    fn a_message_may_come_in_parts(
        parts in prop::collection::vec(prop::collection::vec(0_usize..9, 3), 0..12),
        rest in 0_usize..200,
    ) {
        let lengths: Vec<usize> = parts.iter().map(|part| part.iter().sum::<usize>() * 64 + rest).collect();
        let messages = messages(&lengths);
        let mut left: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let mut running = vec![Running::<Sha1>::new(); messages.len()];
        for number in 0..3 {
            let (now, later): (Vec<&[u8]>, Vec<&[u8]>) =
                left.iter().zip(&parts).map(|(left, part)| left.split_at(part[number] * 64)).unzip();
            let now: Vec<&[Block]> = now.iter().map(|now| now.as_chunks().0).collect();
            update_each(&mut running, &now);
            left = later;
        }
        let expected: Vec<_> = messages.iter().map(|message| Sha1::oracle(message)).collect();
        prop_assert_eq!(finish_each(running, &left), expected);
    }
}
