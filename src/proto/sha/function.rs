//! The two functions.

use std::fmt::Debug;

use super::Block;
use super::lanes::Kernels;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// A hash function of the SHA family.
pub(crate) trait Function: Copy + Debug + 'static {
    /// What a block changes.
    type State: Copy + Debug;
    /// What comes out.
    type Digest: Copy + Debug;
    /// The state before the first block.
    const INITIAL: Self::State;

    /// Hashes the next blocks of one message, as the crate does it.
    fn compress(state: &mut Self::State, blocks: &[Block]);

    /// What this processor has for several messages.
    fn kernels() -> Kernels<Self>;

    /// The digest that the state is after the last block.
    fn digest(state: &Self::State) -> Self::Digest;
}

/// SHA-1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha1;

impl Function for Sha1 {
    type State = [u32; 5];
    type Digest = [u8; 20];
    const INITIAL: Self::State = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];

    fn compress(state: &mut Self::State, blocks: &[Block]) {
        sha1::block_api::compress(state, blocks);
    }

    #[cfg(target_arch = "x86_64")]
    fn kernels() -> Kernels<Self> {
        x86::sha1_kernels()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn kernels() -> Kernels<Self> {
        Kernels::NONE
    }

    fn digest(state: &Self::State) -> Self::Digest {
        let mut digest = [0; 20];
        write(state, &mut digest);
        digest
    }
}

/// SHA-256.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha256;

impl Function for Sha256 {
    type State = [u32; 8];
    type Digest = [u8; 32];
    const INITIAL: Self::State = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn compress(state: &mut Self::State, blocks: &[Block]) {
        sha2::block_api::compress256(state, blocks);
    }

    #[cfg(target_arch = "x86_64")]
    fn kernels() -> Kernels<Self> {
        x86::sha256_kernels()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn kernels() -> Kernels<Self> {
        Kernels::NONE
    }

    fn digest(state: &Self::State) -> Self::Digest {
        let mut digest = [0; 32];
        write(state, &mut digest);
        digest
    }
}

fn write(state: &[u32], digest: &mut [u8]) {
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
}
