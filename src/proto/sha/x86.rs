//! What x86-64 has for several messages: the SHA instructions, in which they take turns, and where those are missing AVX2,
//! in whose lanes eight go side by side.
//!
//! This is the one module with `unsafe` in it, for two reasons. An instruction may be used only where the processor has
//! it: so a kernel is handed out only after the processor was asked. And vectors are loaded and stored through pointers: that is
//! done by functions that take arrays of a vector's size.

#![expect(unsafe_code, reason = "each block has its proof beside it")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "arrays by constants, blocks of parts by what the shortest has, and one index for many lanes"
)]
#![expect(
    clippy::many_single_char_names,
    reason = "the words of the state are called so in FIPS 180-4"
)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_alignr_epi8, _mm_loadu_si128, _mm_set_epi64x,
    _mm_set1_epi32, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
    _mm_sha1rnds4_epu32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128, _mm_xor_si128, _mm256_add_epi32,
    _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set_epi64x, _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};
use std::array;

use super::Block;
use super::function::{Sha1, Sha256};
use super::lanes::{Kernel, Kernels};

/// What this processor has for SHA-1. In seconds of CPU for a GiB, where one message alone takes 0.77: two in turns 0.44,
/// three 0.37, four 0.32, and eight side by side 0.40.
pub(super) fn sha1_kernels() -> Kernels<Sha1> {
    Kernels {
        two: sha1_of_two(),
        four: sha1_of_four(),
        eight: if has_sha() { None } else { sha1_of_eight() },
    }
}

/// What this processor has for SHA-256. In seconds of CPU for a GiB, where one message alone takes 0.84: two in turns 0.47,
/// three 0.55, four 0.6 or more.
pub(super) fn sha256_kernels() -> Kernels<Sha256> {
    Kernels {
        two: sha256_of_two(),
        ..Kernels::NONE
    }
}

fn sha1_of_two() -> Option<Kernel<Sha1, 2>> {
    // SAFETY: the processor was just asked for all that the function is compiled for.
    has_sha().then_some(|states, parts| unsafe { sha1_in_turns(states, parts) })
}

fn sha1_of_four() -> Option<Kernel<Sha1, 4>> {
    // SAFETY: the processor was just asked for all that the function is compiled for.
    has_sha().then_some(|states, parts| unsafe { sha1_in_turns(states, parts) })
}

pub(super) fn sha1_of_eight() -> Option<Kernel<Sha1, 8>> {
    let has_avx2 = is_x86_feature_detected!("avx2");
    // SAFETY: the processor was just asked for all that the function is compiled for.
    has_avx2.then_some(|states, parts| unsafe { sha1_side_by_side(states, parts) })
}

fn sha256_of_two() -> Option<Kernel<Sha256, 2>> {
    // SAFETY: the processor was just asked for all that the function is compiled for.
    has_sha().then_some(|states, parts| unsafe { sha256_in_turns(states, parts) })
}

fn has_sha() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// SHA-1 of `N` messages, four rounds of each in turn.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_in_turns<const N: usize>(states: &mut [[u32; 5]; N], parts: [&[Block]; N]) {
    // The instructions want the first word highest.
    let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let mut abcd = states.map(|[a, b, c, d, _]| vector([d, c, b, a]));
    let mut e = states.map(|[.., e]| vector([0, 0, 0, e]));
    for block in 0..blocks_in(&parts) {
        let (abcd_before, e_before) = (abcd, e);
        let mut words = [[_mm_set1_epi32(0); 4]; N];
        for n in 0..N {
            words[n] = load(&parts[n][block], order);
            e[n] = _mm_add_epi32(e[n], words[n][0]);
            let after = _mm_sha1rnds4_epu32::<0>(abcd[n], e[n]);
            (abcd[n], e[n]) = (after, abcd[n]);
        }
        for group in 1..4 {
            for n in 0..N {
                sha1_rounds::<0>(&mut abcd[n], &mut e[n], words[n][group]);
            }
        }
        sha1_next_rounds::<0, 1, N>(&mut abcd, &mut e, &mut words);
        sha1_next_rounds::<1, 5, N>(&mut abcd, &mut e, &mut words);
        sha1_next_rounds::<2, 5, N>(&mut abcd, &mut e, &mut words);
        sha1_next_rounds::<3, 5, N>(&mut abcd, &mut e, &mut words);
        for n in 0..N {
            abcd[n] = _mm_add_epi32(abcd[n], abcd_before[n]);
            e[n] = _mm_sha1nexte_epu32(e[n], e_before[n]);
        }
    }
    for n in 0..N {
        let ([d, c, b, a], [.., e]) = (words_of(abcd[n]), words_of(e[n]));
        states[n] = [a, b, c, d, e];
    }
}

/// Four times `GROUPS` rounds with the function and constant `F`, whose words come from the four vectors of words before.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_next_rounds<const F: i32, const GROUPS: usize, const N: usize>(
    abcd: &mut [__m128i; N],
    e: &mut [__m128i; N],
    words: &mut [[__m128i; 4]; N],
) {
    for _ in 0..GROUPS {
        for n in 0..N {
            let [first, second, third, fourth] = words[n];
            let next = _mm_xor_si128(_mm_sha1msg1_epu32(first, second), third);
            let next = _mm_sha1msg2_epu32(next, fourth);
            words[n] = [second, third, fourth, next];
            sha1_rounds::<F>(&mut abcd[n], &mut e[n], next);
        }
    }
}

/// Four rounds. Between rounds `e` is what `abcd` was four rounds ago: the instructions make the fifth word of it.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha1_rounds<const F: i32>(abcd: &mut __m128i, e: &mut __m128i, words: __m128i) {
    let sum = _mm_sha1nexte_epu32(*e, words);
    *e = *abcd;
    *abcd = _mm_sha1rnds4_epu32::<F>(*abcd, sum);
}

/// SHA-256 of `N` messages, four rounds of each in turn.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_in_turns<const N: usize>(states: &mut [[u32; 8]; N], parts: [&[Block]; N]) {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut abef = states.map(|[a, b, _, _, e, f, _, _]| vector([f, e, b, a]));
    let mut cdgh = states.map(|[_, _, c, d, _, _, g, h]| vector([h, g, d, c]));
    for block in 0..blocks_in(&parts) {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut words = [[_mm_set1_epi32(0); 4]; N];
        for n in 0..N {
            words[n] = load(&parts[n][block], order);
        }
        for group in 0..4 {
            for n in 0..N {
                sha256_rounds(&mut abef[n], &mut cdgh[n], words[n][group], group);
            }
        }
        for group in 4..16 {
            for n in 0..N {
                words[n] = sha256_next_words(words[n]);
                sha256_rounds(&mut abef[n], &mut cdgh[n], words[n][3], group);
            }
        }
        for n in 0..N {
            abef[n] = _mm_add_epi32(abef[n], abef_before[n]);
            cdgh[n] = _mm_add_epi32(cdgh[n], cdgh_before[n]);
        }
    }
    for n in 0..N {
        let ([f, e, b, a], [h, g, d, c]) = (words_of(abef[n]), words_of(cdgh[n]));
        states[n] = [a, b, c, d, e, f, g, h];
    }
}

/// Four rounds.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_rounds(abef: &mut __m128i, cdgh: &mut __m128i, words: __m128i, group: usize) {
    let sums = _mm_add_epi32(words, vector(SHA256_CONSTANTS[group]));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sums);
    let sums = _mm_shuffle_epi32::<0b1110>(sums);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, sums);
}

/// The last three of four vectors of words, and the one that follows.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha256_next_words([first, second, third, fourth]: [__m128i; 4]) -> [__m128i; 4] {
    let next = _mm_sha256msg1_epu32(first, second);
    let next = _mm_add_epi32(next, _mm_alignr_epi8::<4>(fourth, third));
    [second, third, fourth, _mm_sha256msg2_epu32(next, fourth)]
}

/// SHA-1 of eight messages, one in each lane of the vectors.
#[target_feature(enable = "avx2")]
fn sha1_side_by_side(states: &mut [[u32; 5]; 8], parts: [&[Block]; 8]) {
    // The compiler unrolls no loop of eighty, and the rounds are twice as fast when it knows which one each is.
    macro_rules! rounds {
        ($state:ident, $words:ident: $($round:literal)+) => {
            $(sha1_eight_round::<$round>(&mut $state, &mut $words);)+
        };
    }
    let mut sum: [__m256i; 5] =
        array::from_fn(|word| vector_of_eight(array::from_fn(|lane| states[lane][word])));
    for block in 0..blocks_in(&parts) {
        let mut words = load_eight(parts.map(|part| &part[block]));
        let mut state = sum;
        rounds!(state, words:  0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19);
        rounds!(state, words: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        rounds!(state, words: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
        rounds!(state, words: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
        for (sum, word) in sum.iter_mut().zip(state) {
            *sum = _mm256_add_epi32(*sum, word);
        }
    }
    for (word, vector) in sum.into_iter().enumerate() {
        for (state, lane) in states.iter_mut().zip(words_of_eight(vector)) {
            state[word] = lane;
        }
    }
}

/// One round. `words` are the sixteen last words, word *t* at *t* modulo 16.
#[inline]
#[target_feature(enable = "avx2")]
fn sha1_eight_round<const ROUND: usize>(state: &mut [__m256i; 5], words: &mut [__m256i; 16]) {
    let [a, b, c, d, e] = *state;
    if ROUND >= 16 {
        let next = _mm256_xor_si256(
            _mm256_xor_si256(words[(ROUND + 13) % 16], words[(ROUND + 8) % 16]),
            _mm256_xor_si256(words[(ROUND + 2) % 16], words[ROUND % 16]),
        );
        words[ROUND % 16] = rotate::<1, 31>(next);
    }
    let (mixed, constant) = match ROUND {
        0..20 => {
            let choice = _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)));
            (choice, 0x5a82_7999_u32)
        }
        40..60 => {
            let both = _mm256_and_si256(b, c);
            let either = _mm256_and_si256(d, _mm256_xor_si256(b, c));
            // No bit is in both, so adding is as good as or.
            (_mm256_add_epi32(both, either), 0x8f1b_bcdc)
        }
        20..40 => (_mm256_xor_si256(_mm256_xor_si256(b, c), d), 0x6ed9_eba1),
        _ => (_mm256_xor_si256(_mm256_xor_si256(b, c), d), 0xca62_c1d6),
    };
    let constant = _mm256_set1_epi32(constant.cast_signed());
    let sum = _mm256_add_epi32(_mm256_add_epi32(words[ROUND % 16], constant), e);
    let sum = _mm256_add_epi32(_mm256_add_epi32(sum, mixed), rotate::<5, 27>(a));
    *state = [sum, a, rotate::<30, 2>(b), c, d];
}

/// Each lane rotated to the left by `LEFT` bits; `RIGHT` is the rest of 32.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(vector: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_slli_epi32::<LEFT>(vector),
        _mm256_srli_epi32::<RIGHT>(vector),
    )
}

/// The sixteen words of a block of each lane: vector *t* holds word *t* of all eight.
#[inline]
#[target_feature(enable = "avx2")]
fn load_eight(blocks: [&Block; 8]) -> [__m256i; 16] {
    let order = _mm256_set_epi64x(
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
    );
    let mut words = [_mm256_set1_epi32(0); 16];
    for half in [0, 8] {
        let rows = &mut words[half..half + 8];
        for (row, block) in rows.iter_mut().zip(blocks) {
            let bytes = block[half * 4..].first_chunk().unwrap_or(&[0; 32]);
            *row = _mm256_shuffle_epi8(load_half(bytes), order);
        }
        transpose(rows);
    }
    words
}

/// Eight rows of eight words become eight columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &mut [__m256i]) {
    // Each step brings together words that were twice as far apart: of two rows, of four, of eight.
    for at in [0, 2, 4, 6] {
        let (one, other) = (rows[at], rows[at + 1]);
        rows[at] = _mm256_unpacklo_epi32(one, other);
        rows[at + 1] = _mm256_unpackhi_epi32(one, other);
    }
    for at in [0, 4] {
        let [a, b, c, d] = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
        rows[at] = _mm256_unpacklo_epi64(a, c);
        rows[at + 1] = _mm256_unpackhi_epi64(a, c);
        rows[at + 2] = _mm256_unpacklo_epi64(b, d);
        rows[at + 3] = _mm256_unpackhi_epi64(b, d);
    }
    for at in 0..4 {
        let (one, other) = (rows[at], rows[at + 4]);
        rows[at] = _mm256_permute2x128_si256::<0x20>(one, other);
        rows[at + 4] = _mm256_permute2x128_si256::<0x31>(one, other);
    }
}

/// How many blocks all parts have.
fn blocks_in(parts: &[&[Block]]) -> usize {
    parts.iter().map(|part| part.len()).min().unwrap_or(0)
}

/// A block as four vectors, their bytes put into `order`.
#[inline]
#[target_feature(enable = "ssse3")]
fn load(block: &Block, order: __m128i) -> [__m128i; 4] {
    let mut words = [order; 4];
    for (words, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: it points to 16 bytes, and the instruction wants no alignment.
        let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        *words = _mm_shuffle_epi8(bytes, order);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: it points to 32 bytes, and the instruction wants no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Four words, the first one lowest.
#[inline]
#[target_feature(enable = "sse2")]
fn vector(words: [u32; 4]) -> __m128i {
    // SAFETY: it points to 16 bytes, and the instruction wants no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn words_of(vector: __m128i) -> [u32; 4] {
    let mut words = [0; 4];
    // SAFETY: it points to 16 bytes that are ours, and the instruction wants no alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), vector) };
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector_of_eight(words: [u32; 8]) -> __m256i {
    // SAFETY: it points to 32 bytes, and the instruction wants no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn words_of_eight(vector: __m256i) -> [u32; 8] {
    let mut words = [0; 8];
    // SAFETY: it points to 32 bytes that are ours, and the instruction wants no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

/// The constants of SHA-256, those of four rounds each.
static SHA256_CONSTANTS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
