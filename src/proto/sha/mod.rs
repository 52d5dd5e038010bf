//! SHA-1 and SHA-256 of several messages at once (FIPS 180-4).
//!
//! One message keeps a core waiting, for each round of SHA needs the one before it. Pieces (BEP 3) and merkle leaves
//! (BEP 52) do not need each other, so their rounds can take turns: two or four messages in the processor's SHA instructions,
//! or eight in the lanes of AVX2. What is left over is for the crates `sha1` and `sha2`, and so is every other processor.

mod function;
mod lanes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use function::{Function, Sha1, Sha256};

/// What SHA takes at once: 64 bytes.
pub(crate) type Block = [u8; 64];

/// A message of which the first blocks are hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running<F: Function> {
    state: F::State,
    blocks: u64,
}

impl<F: Function> Running<F> {
    /// A message before its first byte.
    pub(crate) const fn new() -> Self {
        Self {
            state: F::INITIAL,
            blocks: 0,
        }
    }
}

impl<F: Function> Default for Running<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// Hashes the next blocks of each message. `parts` has one entry for each of `messages`; they need not be equally long.
pub(crate) fn update_each<F: Function>(messages: &mut [Running<F>], parts: &[&[Block]]) {
    for (message, part) in messages.iter_mut().zip(parts) {
        // usize is at most 64 bits wide on every platform that Rust knows.
        let blocks = u64::try_from(part.len()).unwrap_or(u64::MAX);
        message.blocks = message.blocks.saturating_add(blocks);
    }
    let states = messages.iter_mut().map(|message| &mut message.state);
    lanes::compress_each::<F>(&F::kernels(), states.zip(parts.iter().copied()));
}

/// Hashes what is left of each message. `rests` has one entry for each of `messages`.
pub(crate) fn finish_each<F: Function>(
    mut messages: Vec<Running<F>>,
    rests: &[&[u8]],
) -> Vec<F::Digest> {
    let (parts, rests): (Vec<_>, Vec<_>) = rests.iter().map(|rest| rest.as_chunks()).unzip();
    update_each(&mut messages, &parts);
    let ends = messages.iter().zip(rests);
    let ends: Vec<End> = ends
        .map(|(message, rest)| End::of(message.blocks, rest))
        .collect();
    let ends: Vec<&[Block]> = ends.iter().map(End::blocks).collect();
    update_each(&mut messages, &ends);
    let digests = messages.iter().map(|message| F::digest(&message.state));
    digests.collect()
}

/// The digest of each message.
pub(crate) fn digest_each<F: Function>(messages: &[&[u8]]) -> Vec<F::Digest> {
    finish_each(vec![Running::<F>::new(); messages.len()], messages)
}

/// The end of a message as it is hashed: its last bytes, a one, zeros, and the length of all in bits.
struct End {
    blocks: [Block; 2],
    is_long: bool,
}

impl End {
    /// The end of a message of `blocks` and `rest`, which is shorter than a block.
    fn of(blocks: u64, rest: &[u8]) -> Self {
        let mut end = Self {
            blocks: [[0; 64]; 2],
            is_long: rest.len() >= 56,
        };
        let last_bytes = rest.iter().chain(&[0x80]);
        for (to, from) in end.blocks.as_flattened_mut().iter_mut().zip(last_bytes) {
            *to = *from;
        }
        let [first, second] = &mut end.blocks;
        let last = if end.is_long { second } else { first };
        let rest = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let bits = blocks.wrapping_mul(512).wrapping_add(rest.wrapping_mul(8));
        if let Some(length) = last.last_chunk_mut() {
            *length = bits.to_be_bytes();
        }
        end
    }

    fn blocks(&self) -> &[Block] {
        let [first, _] = &self.blocks;
        if self.is_long {
            &self.blocks
        } else {
            std::slice::from_ref(first)
        }
    }
}
