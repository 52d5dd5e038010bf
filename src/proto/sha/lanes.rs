//! Which messages pass through which kernel together.

use super::{Block, Function};

/// Hashes as many blocks of each of `N` messages; their states and their blocks, which are equally many.
pub(crate) type Kernel<F, const N: usize> = fn(&mut [<F as Function>::State; N], [&[Block]; N]);

/// What a processor has for several messages at once. The widest that is there is the fastest.
pub(crate) struct Kernels<F: Function> {
    pub(super) two: Option<Kernel<F, 2>>,
    pub(super) four: Option<Kernel<F, 4>>,
    pub(super) eight: Option<Kernel<F, 8>>,
}

impl<F: Function> Kernels<F> {
    /// One message after another.
    pub(super) const NONE: Self = Self {
        two: None,
        four: None,
        eight: None,
    };
}

/// A message on its way: its state, and the blocks to come.
struct Lane<'a, F: Function> {
    state: &'a mut F::State,
    left: &'a [Block],
}

/// Hashes the blocks of every message, several at a time, however long each is.
pub(super) fn compress_each<'a, F: Function>(
    kernels: &Kernels<F>,
    messages: impl Iterator<Item = (&'a mut F::State, &'a [Block])>,
) {
    let mut waiting = messages.map(|(state, left)| Lane::<F> { state, left });
    let mut lanes: Vec<Lane<'a, F>> = Vec::with_capacity(8);
    loop {
        lanes.retain(|lane| !lane.left.is_empty());
        while lanes.len() < 8
            && let Some(next) = waiting.next()
        {
            if !next.left.is_empty() {
                lanes.push(next);
            }
        }
        if let Some(eight) = kernels.eight
            && lanes.len() > 1
        {
            pass(&mut lanes, eight);
        } else if let Some(four) = kernels.four
            && lanes.len() > 2
        {
            pass(&mut lanes, four);
        } else if let Some(two) = kernels.two
            && lanes.len() > 1
        {
            pass(&mut lanes, two);
        } else if let Some(lane) = lanes.first_mut() {
            F::compress(lane.state, std::mem::take(&mut lane.left));
        } else {
            return;
        }
    }
}

/// Hashes as many blocks of the first `N` lanes as all of them have.
fn pass<F: Function, const N: usize>(lanes: &mut [Lane<'_, F>], kernel: Kernel<F, N>) {
    let lengths = lanes.iter().take(N).map(|lane| lane.left.len());
    let blocks = lengths.min().unwrap_or(0);
    // Where there are fewer than `N`, the same ones pass again, and what becomes of them is not looked at.
    let mut each = lanes.iter().cycle();
    let (mut states, mut parts) = ([F::INITIAL; N], [&[][..]; N]);
    for ((state, part), lane) in states.iter_mut().zip(&mut parts).zip(&mut each) {
        *state = *lane.state;
        *part = lane.left.get(..blocks).unwrap_or_default();
    }
    kernel(&mut states, parts);
    for (lane, state) in lanes.iter_mut().zip(states) {
        *lane.state = state;
        lane.left = lane.left.get(blocks..).unwrap_or_default();
    }
}
