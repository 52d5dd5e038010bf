//! Which block to ask which peer for, and what becomes of the blocks that come.
//!
//! Pieces are begun rarest first, by lot among equals, so that no piece dies out with the one peer that had it. Pieces that are begun are finished
//! first: only a whole piece can be checked. When every missing block has been asked for, a second peer is asked for
//! the same ones, so that one slow peer does not hold up the end (the "end game" of BEP 3).
//!
//! Blocks are kept as they came until their piece is whole; how many pieces that may be at a time is a bound, so memory is bounded too.
//!
//! A piece that fails its hash goes back. The peer that alone gave it is named as a poisoner. Where several gave to it, each becomes a suspect:
//! it gets pieces to itself from then on, until one of them proves it honest or a poisoner.
//!
//! BEP 47: blocks that lie wholly in pads are zeros, and nobody is asked for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;

use super::choker::PeerKey;
use super::rarity::Rarity;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};
use crate::proto::metainfo::files::FileKind;
use crate::proto::metainfo::info::Info;

/// A block of zeros, of which every block in a pad is a part.
static ZEROS: [u8; BLOCK_LENGTH as usize] = [0; BLOCK_LENGTH as usize];

/// The state of a download: what is there, what is asked of whom, and what is still to be asked for.
#[derive(Debug)]
pub struct Picker {
    info: Arc<Info>,
    /// How many pieces may be begun or collected at a time.
    max_pieces: usize,
    whole: Bitfield,
    waiting: Rarity,
    begun: BTreeMap<PieceIndex, Begun>,
    /// The begun pieces that have free blocks, in the order in which they came to have them.
    open: Vec<PieceIndex>,
    /// The pieces handed out as [`Collected`], with the peers that gave to them.
    collected: HashMap<PieceIndex, Vec<PeerKey>>,
    peers: HashMap<PeerKey, Peer>,
    /// Outlives a peer's connection, so that coming again clears nobody.
    suspects: HashSet<PeerKey>,
}

/// A peer that is connected.
#[derive(Debug)]
struct Peer {
    pieces: Bitfield,
    /// Told so all at once; such peers are not counted as owners.
    is_seed: bool,
}

/// A piece that is being collected.
#[derive(Debug)]
struct Begun {
    slots: Vec<Slot>,
    free: usize,
    /// No slot before this one is free.
    free_from: usize,
    missing: usize,
    /// The suspect that has this piece to itself.
    only: Option<PeerKey>,
}

/// One block of a begun piece.
#[derive(Debug)]
enum Slot {
    /// To be asked for.
    Free,
    /// Asked of one peer or, in the end game, of two.
    Asked(PeerKey, Option<PeerKey>),
    /// There. From nobody if it lies in a pad.
    Here(Option<PeerKey>, Bytes),
}

/// What a block that came leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Another peer that was asked for the same block and need not send it any more.
    pub cancel: Option<PeerKey>,
    /// The block's piece, if this was its last block.
    pub collected: Option<Collected>,
}

/// A piece whose blocks are all there and whose hash nobody has checked yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Collected {
    /// The piece.
    pub piece: PieceIndex,
    /// Its blocks in order.
    pub blocks: Vec<Bytes>,
}

impl Picker {
    /// A download that has the pieces in `whole` already and collects at most `max_pieces` (at least 1) at a time.
    pub fn new(info: Arc<Info>, whole: Bitfield, max_pieces: usize) -> Self {
        let mut waiting = Rarity::new(&info.geometry);
        info.geometry
            .pieces()
            .filter(|piece| !whole.contains(*piece))
            .for_each(|piece| waiting.insert(piece));
        Self {
            info,
            max_pieces: max_pieces.max(1),
            whole,
            waiting,
            begun: BTreeMap::new(),
            open: Vec::new(),
            collected: HashMap::new(),
            peers: HashMap::new(),
            suspects: HashSet::new(),
        }
    }

    /// The pieces that are there and match their hashes.
    pub const fn whole(&self) -> &Bitfield {
        &self.whole
    }

    /// Whether every piece is there.
    pub const fn is_complete(&self) -> bool {
        self.whole.is_full()
    }

    /// A peer has connected; it has told of no piece yet.
    pub fn add_peer(&mut self, peer: PeerKey) {
        let pieces = Bitfield::empty(&self.info.geometry);
        let is_seed = false;
        self.peers.insert(peer, Peer { pieces, is_seed });
    }

    /// A peer has told of all its pieces at once.
    pub fn set_pieces(&mut self, peer: PeerKey, pieces: &Bitfield) {
        self.uncount(peer);
        let is_seed = pieces.is_full();
        if !is_seed {
            for piece in pieces_in(&self.info.geometry, pieces) {
                self.waiting.add_owner(piece);
            }
        }
        let pieces = pieces.clone();
        self.peers.insert(peer, Peer { pieces, is_seed });
    }

    /// A peer has told of one more piece.
    pub fn add_piece(&mut self, peer: PeerKey, piece: PieceIndex) {
        if let Some(peer) = self.peers.get_mut(&peer)
            && peer.pieces.insert(piece)
        {
            self.waiting.add_owner(piece);
        }
    }

    /// A peer has gone; what it was asked for goes back.
    pub fn remove_peer(&mut self, peer: PeerKey) {
        self.uncount(peer);
        self.peers.remove(&peer);
        for (piece, begun) in &mut self.begun {
            let was_open = begun.free > 0;
            begun.forget(peer);
            if !was_open && begun.free > 0 {
                self.open.push(*piece);
            }
        }
    }

    /// Whether a peer has a piece that is missing here.
    pub fn is_interesting(&self, peer: PeerKey) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.pieces.exceeds(&self.whole))
    }

    /// Up to `count` blocks to ask a peer for.
    pub fn pick(&mut self, peer: PeerKey, count: usize, rng: &mut impl Rng) -> Vec<Block> {
        let mut picked = Vec::new();
        if count == 0 || !self.is_interesting(peer) {
            return picked;
        }
        self.pick_from_open(peer, count, &mut picked);
        while picked.len() < count && self.begin_piece_for(peer, rng) {
            self.pick_from_open(peer, count, &mut picked);
        }
        // Slow peers may also hold every piece that there is room for, long before the end.
        let is_held_up = self.waiting.is_empty() || self.begun.len() >= self.max_pieces;
        if picked.len() < count && self.open.is_empty() && is_held_up {
            self.pick_again(peer, count, &mut picked);
        }
        picked
    }

    /// A block has come from a peer. `None` where it is not needed: it was not asked for, or it is there already.
    pub fn receive(&mut self, peer: PeerKey, block: Block, data: Bytes) -> Option<Receipt> {
        let begun = self.begun.get_mut(&block.piece())?;
        let slot = begun.slots.get_mut(ordinal(block))?;
        let Slot::Asked(first, second) = *slot else {
            return None;
        };
        let cancel = match second {
            _ if first == peer => second,
            Some(second) if second == peer => Some(first),
            _ => return None,
        };
        *slot = Slot::Here(Some(peer), data);
        begun.missing -= 1;
        let is_whole = begun.missing == 0;
        let collected = is_whole.then(|| self.collect(block.piece()));
        Some(Receipt { cancel, collected })
    }

    /// A block that a peer was asked for will not come from it.
    pub fn lose(&mut self, peer: PeerKey, block: Block) {
        let Some(begun) = self.begun.get_mut(&block.piece()) else {
            return;
        };
        let was_open = begun.free > 0;
        begun.release(ordinal(block), peer);
        if !was_open && begun.free > 0 {
            self.open.push(block.piece());
        }
    }

    /// A collected piece matched its hash and is written.
    pub fn keep(&mut self, piece: PieceIndex) {
        let Some(givers) = self.collected.remove(&piece) else {
            return;
        };
        self.whole.insert(piece);
        if let [alone] = givers.as_slice() {
            self.suspects.remove(alone);
        }
    }

    /// A collected piece did not match its hash: it goes back. Names the peer that alone gave it, whom nothing more should be asked of.
    pub fn reject(&mut self, piece: PieceIndex) -> Option<PeerKey> {
        let givers = self.collected.remove(&piece)?;
        self.waiting.insert(piece);
        if let [alone] = givers.as_slice() {
            return Some(*alone);
        }
        self.suspects.extend(givers);
        None
    }

    fn uncount(&mut self, peer: PeerKey) {
        let Some(peer) = self.peers.get(&peer).filter(|peer| !peer.is_seed) else {
            return;
        };
        for piece in pieces_in(&self.info.geometry, &peer.pieces) {
            self.waiting.remove_owner(piece);
        }
    }

    /// Takes free blocks of begun pieces, of those that have been open longest first.
    fn pick_from_open(&mut self, peer: PeerKey, count: usize, picked: &mut Vec<Block>) {
        let Some(pieces) = self.peers.get(&peer).map(|peer| &peer.pieces) else {
            return;
        };
        let is_suspect = self.suspects.contains(&peer);
        let (begun, geometry) = (&mut self.begun, &self.info.geometry);
        self.open.retain(|piece| {
            let Some(begun) = begun.get_mut(piece) else {
                return false;
            };
            if pieces.contains(*piece) && begun.is_for(peer, is_suspect) {
                let blocks = geometry.blocks(*piece);
                begun.take_free(peer, blocks, count, picked);
            }
            begun.free > 0
        });
    }

    /// Begins the rarest piece that a peer has and nobody was asked for; false where there is none, or no room for it.
    fn begin_piece_for(&mut self, peer: PeerKey, rng: &mut impl Rng) -> bool {
        let Some(piece) = self
            .peers
            .get(&peer)
            .and_then(|peer| self.waiting.rarest(&peer.pieces, rng))
        else {
            return false;
        };
        let is_full = self.begun.len() + self.collected.len() >= self.max_pieces;
        if is_full && !self.give_up_idle_piece() {
            return false;
        }
        let only = self.suspects.contains(&peer).then_some(peer);
        self.waiting.remove(piece);
        self.begun
            .insert(piece, Begun::new(&self.info, piece, only));
        self.open.push(piece);
        true
    }

    /// Gives up the begun piece of which least is there and nothing is asked for: whoever began it has gone or chokes us,
    /// and the others' way is not to be barred by it.
    fn give_up_idle_piece(&mut self) -> bool {
        let idle = self
            .begun
            .iter()
            .filter(|(_, begun)| begun.free == begun.missing)
            .max_by_key(|(_, begun)| begun.missing)
            .map(|(piece, _)| *piece);
        let Some(piece) = idle else {
            return false;
        };
        self.begun.remove(&piece);
        self.open.retain(|open| *open != piece);
        self.waiting.insert(piece);
        true
    }

    /// The end game: asks for blocks that one other peer was asked for already.
    fn pick_again(&mut self, peer: PeerKey, count: usize, picked: &mut Vec<Block>) {
        let Some(pieces) = self.peers.get(&peer).map(|peer| &peer.pieces) else {
            return;
        };
        // A suspect among other givers would prove nothing.
        if self.suspects.contains(&peer) {
            return;
        }
        for (piece, begun) in &mut self.begun {
            if !pieces.contains(*piece) {
                continue;
            }
            for (slot, block) in begun
                .slots
                .iter_mut()
                .zip(self.info.geometry.blocks(*piece))
            {
                if picked.len() >= count {
                    return;
                }
                if let Slot::Asked(first, second @ None) = slot
                    && *first != peer
                {
                    *second = Some(peer);
                    picked.push(block);
                }
            }
        }
    }

    /// Takes a begun piece out whose blocks are all there.
    fn collect(&mut self, piece: PieceIndex) -> Collected {
        let slots = self.begun.remove(&piece).map(|begun| begun.slots);
        let mut givers = Vec::new();
        let mut blocks = Vec::new();
        for slot in slots.into_iter().flatten() {
            if let Slot::Here(giver, data) = slot {
                givers.extend(giver);
                blocks.push(data);
            }
        }
        givers.sort_unstable();
        givers.dedup();
        self.collected.insert(piece, givers);
        Collected { piece, blocks }
    }
}

impl Begun {
    fn new(info: &Info, piece: PieceIndex, only: Option<PeerKey>) -> Self {
        let mut slots: Vec<Slot> = info
            .geometry
            .blocks(piece)
            .map(|block| pad(info, block).map_or(Slot::Free, |zeros| Slot::Here(None, zeros)))
            .collect();
        let mut missing = count_free(&slots);
        if missing == 0 {
            // A piece of pads alone is found whole when the folder is checked. If it was not, its pads are no zeros, and only a peer can say what they are.
            slots.fill_with(|| Slot::Free);
            missing = slots.len();
        }
        Self {
            slots,
            free: missing,
            free_from: 0,
            missing,
            only,
        }
    }

    /// Whether `peer` may give to this piece: a suspect has its pieces to itself and gives to no other's. But a piece that
    /// nobody else is asked for is anybody's, lest it wait for ever.
    fn is_for(&self, peer: PeerKey, is_suspect: bool) -> bool {
        let is_asked_of_others = || {
            self.slots
                .iter()
                .any(|slot| matches!(slot, Slot::Asked(first, second) if *first != peer || second.is_some()))
        };
        match self.only {
            Some(only) if only == peer => true,
            None if !is_suspect => true,
            _ => !is_asked_of_others(),
        }
    }

    fn take_free(
        &mut self,
        peer: PeerKey,
        blocks: impl Iterator<Item = Block>,
        count: usize,
        picked: &mut Vec<Block>,
    ) {
        let slots = self.slots.iter_mut().enumerate().zip(blocks);
        for ((place, slot), block) in slots.skip(self.free_from) {
            if self.free == 0 || picked.len() >= count {
                return;
            }
            self.free_from = place;
            if matches!(slot, Slot::Free) {
                *slot = Slot::Asked(peer, None);
                self.free -= 1;
                self.free_from += 1;
                picked.push(block);
            }
        }
    }

    /// The block at `place` is no longer asked of `peer`.
    fn release(&mut self, place: usize, peer: PeerKey) {
        let Some(slot) = self.slots.get_mut(place) else {
            return;
        };
        match *slot {
            Slot::Asked(first, None) if first == peer => {
                *slot = Slot::Free;
                self.free += 1;
                self.free_from = self.free_from.min(place);
            }
            Slot::Asked(first, Some(second)) if first == peer => *slot = Slot::Asked(second, None),
            Slot::Asked(first, Some(second)) if second == peer => *slot = Slot::Asked(first, None),
            _ => {}
        }
    }

    /// Nothing is asked of `peer` any more.
    fn forget(&mut self, peer: PeerKey) {
        if self.only == Some(peer) {
            self.only = None;
        }
        for place in 0..self.slots.len() {
            self.release(place, peer);
        }
    }
}

fn count_free(slots: &[Slot]) -> usize {
    slots
        .iter()
        .filter(|slot| matches!(slot, Slot::Free))
        .count()
}

/// The zeros of a block that lies wholly in pads.
fn pad(info: &Info, block: Block) -> Option<Bytes> {
    let mut spans = info
        .files
        .spans(info.geometry.offset(block), u64::from(block.length()));
    let is_pad = |file: usize| {
        info.files
            .get(file)
            .is_some_and(|file| file.kind == FileKind::Pad)
    };
    spans
        .all(|span| is_pad(span.file))
        .then(|| Bytes::from_static(&ZEROS).slice(..block.length() as usize))
}

/// The place of a block in its piece. Only blocks that were picked come back, and those begin at multiples of the block length.
const fn ordinal(block: Block) -> usize {
    (block.begin() / BLOCK_LENGTH) as usize
}

fn pieces_in<'a>(
    geometry: &Geometry,
    pieces: &'a Bitfield,
) -> impl Iterator<Item = PieceIndex> + use<'a> {
    geometry.pieces().filter(|piece| pieces.contains(*piece))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::proto::id::{InfoHash, InfoHashes};
    use crate::proto::metainfo::files::{File, Files};
    use crate::proto::metainfo::info::Layout;
    use crate::proto::metainfo::path::FilePath;

    const PIECE: u32 = 4 * BLOCK_LENGTH;
    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);

    fn info_of(files: &[(u64, FileKind)]) -> Arc<Info> {
        let files = files.iter().enumerate().map(|(at, (length, kind))| File {
            path: FilePath::parse(&format!("f{at}")).unwrap(),
            length: *length,
            offset: 0,
            listed_at: 0,
            kind: *kind,
            pieces_root: None,
        });
        let files = Files::lay_out(files).unwrap();
        Arc::new(Info {
            raw: Bytes::new(),
            hashes: InfoHashes::V1(InfoHash::from([0; 20])),
            name: "t".to_owned(),
            layout: Layout::Folder,
            geometry: Geometry::new(files.total_length(), NonZeroU32::new(PIECE).unwrap()).unwrap(),
            files,
            pieces: Bytes::new(),
            private: false,
            source: None,
        })
    }

    fn info(pieces: u32) -> Arc<Info> {
        info_of(&[(u64::from(pieces * PIECE) - 100, FileKind::Content)])
    }

    fn picker(info: &Arc<Info>, max_pieces: usize) -> Picker {
        let nothing = Bitfield::empty(&info.geometry);
        Picker::new(Arc::clone(info), nothing, max_pieces)
    }

    fn seed(picker: &mut Picker, peer: PeerKey) {
        let all = Bitfield::full(&picker.info.geometry);
        picker.add_peer(peer);
        picker.set_pieces(peer, &all);
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn data(block: Block) -> Bytes {
        Bytes::from(vec![1; block.length() as usize])
    }

    /// One peer gives one whole piece.
    fn give_piece(picker: &mut Picker, peer: PeerKey) -> PieceIndex {
        let blocks = picker.pick(peer, 4, &mut rng());
        let receipts = blocks
            .iter()
            .map(|block| picker.receive(peer, *block, data(*block)));
        receipts.last().unwrap().unwrap().collected.unwrap().piece
    }

    #[test]
    fn asks_for_the_rarest_piece_first() {
        let info = info(3);
        let mut picker = picker(&info, 10);
        seed(&mut picker, A);
        for (key, common) in [(10, 0), (11, 2)] {
            picker.add_peer(PeerKey(key));
            picker.add_piece(PeerKey(key), info.geometry.piece(common).unwrap());
        }
        let first = picker.pick(A, 1, &mut rng());
        assert_eq!(first[0].piece().get(), 1);
    }

    #[test]
    fn finishes_a_begun_piece_before_it_begins_another() {
        let mut picker = picker(&info(5), 10);
        seed(&mut picker, A);
        seed(&mut picker, B);
        let a = picker.pick(A, 2, &mut rng());
        let b = picker.pick(B, 2, &mut rng());
        let pieces: HashSet<_> = a.iter().chain(&b).map(|block| block.piece()).collect();
        let blocks: HashSet<_> = a.iter().chain(&b).collect();
        assert_eq!((pieces.len(), blocks.len()), (1, 4));
    }

    #[test]
    fn asks_no_peer_for_a_piece_that_it_does_not_have() {
        let info = info(3);
        let mut picker = picker(&info, 10);
        picker.add_peer(A);
        assert!(!picker.is_interesting(A) && picker.pick(A, 9, &mut rng()).is_empty());
        picker.add_piece(A, info.geometry.piece(2).unwrap());
        let asked = picker.pick(A, 9, &mut rng());
        assert!(asked.iter().all(|block| block.piece().get() == 2));
        assert_eq!(asked.len(), 4);
    }

    #[test]
    fn what_a_peer_owes_goes_back_when_it_goes() {
        let mut picker = picker(&info(1), 10);
        seed(&mut picker, A);
        seed(&mut picker, B);
        let asked = picker.pick(A, 4, &mut rng());
        picker.receive(A, asked[1], data(asked[1])).unwrap();
        picker.lose(A, asked[0]);
        assert_eq!(picker.pick(B, 1, &mut rng()), asked[..1]);
        picker.remove_peer(A);
        assert_eq!(picker.pick(B, 4, &mut rng()), asked[2..]);
    }

    #[test]
    fn end_game_asks_a_second_peer_and_cancels_at_the_first() {
        let mut picker = picker(&info(1), 10);
        for peer in [A, B, PeerKey(3)] {
            seed(&mut picker, peer);
        }
        let asked = picker.pick(A, 4, &mut rng());
        assert_eq!(picker.pick(B, 4, &mut rng()), asked);
        assert!(picker.pick(PeerKey(3), 4, &mut rng()).is_empty());
        assert!(picker.pick(A, 4, &mut rng()).is_empty());
        let receipt = picker.receive(B, asked[0], data(asked[0])).unwrap();
        assert_eq!(receipt.cancel, Some(A));
        assert_eq!(picker.receive(A, asked[0], data(asked[0])), None);
    }

    #[test]
    fn takes_no_block_that_it_did_not_ask_for() {
        let info = info(2);
        let mut picker = picker(&info, 10);
        seed(&mut picker, A);
        seed(&mut picker, B);
        let unasked = info.geometry.block(0, 0, BLOCK_LENGTH).unwrap();
        assert_eq!(picker.receive(A, unasked, data(unasked)), None);
        let asked = picker.pick(A, 1, &mut rng());
        assert_eq!(picker.receive(B, asked[0], data(asked[0])), None);
    }

    #[test]
    fn whoever_alone_gave_a_bad_piece_is_named() {
        let mut picker = picker(&info(2), 10);
        seed(&mut picker, A);
        let piece = give_piece(&mut picker, A);
        assert_eq!(picker.reject(piece), Some(A));
        assert_eq!(picker.whole().count(), 0);
    }

    #[test]
    fn suspects_get_pieces_to_themselves_until_one_proves_them_honest() {
        let mut picker = picker(&info(4), 10);
        seed(&mut picker, A);
        seed(&mut picker, B);
        let (a, b) = (picker.pick(A, 2, &mut rng()), picker.pick(B, 2, &mut rng()));
        for (peer, blocks) in [(A, a), (B, b)] {
            for block in blocks {
                picker.receive(peer, block, data(block)).unwrap();
            }
        }
        let shared = *picker.collected.keys().next().unwrap();
        assert_eq!(picker.reject(shared), None);

        let (a, b) = (picker.pick(A, 1, &mut rng()), picker.pick(B, 1, &mut rng()));
        assert_ne!(a[0].piece(), b[0].piece());
        picker.lose(A, a[0]);
        picker.lose(B, b[0]);
        let (a, b) = (give_piece(&mut picker, A), give_piece(&mut picker, B));
        picker.keep(a);
        assert_eq!(picker.reject(b), Some(B));
        assert_eq!(picker.suspects, HashSet::from([B]));
    }

    #[test]
    fn nobody_is_asked_for_pads() {
        let content = u64::from(BLOCK_LENGTH) + 5;
        let pad = u64::from(PIECE) - content;
        let info = info_of(&[
            (content, FileKind::Content),
            (pad, FileKind::Pad),
            (9, FileKind::Content),
        ]);
        let mut picker = picker(&info, 10);
        seed(&mut picker, A);
        let asked = picker.pick(A, 9, &mut rng());
        let first: Vec<_> = asked
            .iter()
            .filter(|block| block.piece().get() == 0)
            .collect();
        assert_eq!(first.len(), 2);
        let collected = first
            .iter()
            .map(|block| picker.receive(A, **block, data(**block)));
        let collected = collected.last().unwrap().unwrap().collected.unwrap();
        assert_eq!(collected.blocks.concat().len(), PIECE as usize);
        assert!(collected.blocks.concat().ends_with(&ZEROS));
    }

    #[test]
    fn collects_no_more_pieces_at_a_time_than_it_may() {
        let mut picker = picker(&info(5), 2);
        seed(&mut picker, A);
        assert_eq!(picker.pick(A, 100, &mut rng()).len(), 8);
        let piece = picker.begun.keys().next().copied().unwrap();
        for block in picker.info.geometry.blocks(piece).collect::<Vec<_>>() {
            picker.receive(A, block, data(block));
        }
        assert!(picker.pick(A, 100, &mut rng()).is_empty());
        picker.keep(piece);
        assert_eq!(picker.pick(A, 100, &mut rng()).len(), 4);
    }

    #[test]
    fn a_piece_that_nobody_sends_does_not_bar_the_way() {
        let info = info(2);
        let mut picker = picker(&info, 1);
        for (peer, piece) in [(A, 0), (B, 1)] {
            picker.add_peer(peer);
            picker.add_piece(peer, info.geometry.piece(piece).unwrap());
        }
        let a = picker.pick(A, 4, &mut rng());
        assert!(picker.pick(B, 4, &mut rng()).is_empty());
        for block in a {
            picker.lose(A, block);
        }
        assert_eq!(picker.pick(B, 4, &mut rng()).len(), 4);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(u64),
        Leave(u64),
        Pick(u64),
        Give(u64),
        Lose(u64),
        Check,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let peer = 0_u64..6;
        let step = prop_oneof![
            peer.clone().prop_map(Step::Join),
            peer.clone().prop_map(Step::Leave),
            peer.clone().prop_map(Step::Pick),
            peer.clone().prop_map(Step::Give),
            peer.prop_map(Step::Lose),
            Just(Step::Check),
        ];
        prop::collection::vec(step, 0..400)
    }

    /// Peers 0 and 1 send false data; whoever is named as a poisoner stays away.
    struct Swarm {
        picker: Picker,
        rng: StdRng,
        owed: HashMap<PeerKey, Vec<Block>>,
        banned: HashSet<PeerKey>,
        to_check: Vec<Collected>,
    }

    impl Swarm {
        fn take(&mut self, step: Step) {
            match step {
                Step::Join(peer) => self.join(PeerKey(peer)),
                Step::Leave(peer) => self.leave(PeerKey(peer)),
                Step::Pick(peer) => {
                    let peer = PeerKey(peer);
                    if let Some(owed) = self.owed.get_mut(&peer) {
                        let picked = self.picker.pick(peer, 3, &mut self.rng);
                        assert!(
                            picked.iter().all(|block| !owed.contains(block)),
                            "asked twice of one peer"
                        );
                        owed.extend(picked);
                    }
                }
                Step::Give(peer) => self.give(PeerKey(peer)),
                Step::Lose(peer) => {
                    if let Some(block) = self.owed.get_mut(&PeerKey(peer)).and_then(Vec::pop) {
                        self.picker.lose(PeerKey(peer), block);
                    }
                }
                Step::Check => self.check(),
            }
        }

        fn join(&mut self, peer: PeerKey) {
            if self.banned.contains(&peer) || self.owed.contains_key(&peer) {
                return;
            }
            self.owed.insert(peer, Vec::new());
            let geometry = self.picker.info.geometry;
            self.picker.add_peer(peer);
            if peer.0 % 2 == 1 {
                return self.picker.set_pieces(peer, &Bitfield::full(&geometry));
            }
            let pieces: Vec<_> = geometry.pieces().collect();
            let piece = *pieces.choose(&mut self.rng).unwrap();
            self.picker.add_piece(peer, piece);
        }

        fn leave(&mut self, peer: PeerKey) {
            if self.owed.remove(&peer).is_some() {
                self.picker.remove_peer(peer);
            }
        }

        fn give(&mut self, peer: PeerKey) {
            let Some(owed) = self.owed.get_mut(&peer).filter(|owed| !owed.is_empty()) else {
                return;
            };
            let block = owed.swap_remove(self.rng.random_range(0..owed.len()));
            let byte = u8::from(peer.0 >= 2);
            let data = Bytes::from(vec![byte; block.length() as usize]);
            if let Some(receipt) = self.picker.receive(peer, block, data) {
                if let Some(owed) = receipt.cancel.and_then(|other| self.owed.get_mut(&other)) {
                    owed.retain(|other| *other != block);
                }
                self.to_check.extend(receipt.collected);
            }
        }

        fn check(&mut self) {
            for collected in std::mem::take(&mut self.to_check) {
                let piece = collected.piece;
                let bytes = collected.blocks.concat();
                assert_eq!(
                    bytes.len(),
                    self.picker.info.geometry.length_of(piece) as usize
                );
                if bytes.iter().all(|byte| *byte == 1) {
                    self.picker.keep(piece);
                } else if let Some(poisoner) = self.picker.reject(piece) {
                    assert!(poisoner.0 < 2, "an honest peer was named");
                    self.banned.insert(poisoner);
                    self.leave(poisoner);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_download_ends_whole_and_no_honest_peer_is_named(
            steps in steps(), pieces in 1_u32..6, max_pieces in 1_usize..4, seed: u64,
        ) {
            let mut swarm = Swarm {
                picker: picker(&info(pieces), max_pieces),
                rng: StdRng::seed_from_u64(seed),
                owed: HashMap::new(),
                banned: HashSet::new(),
                to_check: Vec::new(),
            };
            for step in steps {
                swarm.take(step);
                let held = swarm.picker.begun.len() + swarm.picker.collected.len();
                prop_assert!(held <= max_pieces);
            }
            // From here on one honest seed goes on giving.
            for peer in 0..6 {
                swarm.leave(PeerKey(peer));
            }
            swarm.join(PeerKey(5));
            for _ in 0..pieces * 20 {
                for step in [Step::Pick(5), Step::Give(5), Step::Give(5), Step::Give(5), Step::Check] {
                    swarm.take(step);
                }
            }
            prop_assert!(swarm.picker.is_complete());
        }
    }
}
