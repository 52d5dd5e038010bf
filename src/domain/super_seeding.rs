//! Super-seeding: a seed that says of each piece to one peer alone that it has it, so that hardly more than one copy leaves it (BEP 16).
//!
//! To each peer the seed seems to have nothing at first, and then a few pieces that nobody else has or was told of. The peer is told of another
//! once one of those is seen at somebody else: who passes on gets more. While there are pieces that nobody has, everybody is told of others;
//! when there are none, peers have the rest from each other.
//!
//! Nobody starves: a peer that has all that it was told of, and for a minute got nothing from anybody, is told of everything, a bounded number of
//! pieces at a time. Once a peer has everything, there is no need to go on, and newcomers are told of everything at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::choker::PeerKey;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{Geometry, PieceIndex};

/// Pieces that a peer was told of and nobody else has: two, so that one is on its way while the other is passed on.
const OPEN_OFFERS: usize = 2;

/// The same of a peer that cannot get them elsewhere.
const OPEN_OFFERS_TO_THE_STRANDED: usize = 64;

/// How long a peer with nothing to fetch waits for others before it is taken to be stranded.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the peers of one torrent were told of.
#[derive(Debug)]
pub struct SuperSeeding {
    geometry: Geometry,
    members: BTreeMap<PeerKey, Member>,
    pieces: Vec<Copies>,
    is_over: bool,
}

/// Who has a piece, of those that are connected.
#[derive(Clone, Debug, Default)]
struct Copies {
    owners: u32,
    /// Whose open offers it is among. Few: it is offered twice only to the stranded.
    offered: Vec<PeerKey>,
}

#[derive(Debug)]
struct Member {
    has: Bitfield,
    told: Bitfield,
    /// Told, and not seen elsewhere since.
    open: Vec<PieceIndex>,
    is_stranded: bool,
    /// When it last got a piece or an offer.
    progress: Instant,
}

impl SuperSeeding {
    /// Nobody was told of anything.
    pub fn new(geometry: &Geometry) -> Self {
        Self {
            geometry: *geometry,
            members: BTreeMap::new(),
            pieces: vec![Copies::default(); geometry.piece_count() as usize],
            is_over: false,
        }
    }

    /// A peer has connected. Gives the pieces that it is told of at once: none, or all once another seed was seen.
    pub fn add(&mut self, peer: PeerKey, now: Instant) -> Bitfield {
        let told = if self.is_over {
            Bitfield::full(&self.geometry)
        } else {
            Bitfield::empty(&self.geometry)
        };
        let member = Member {
            has: Bitfield::empty(&self.geometry),
            told: told.clone(),
            open: Vec::new(),
            is_stranded: false,
            progress: now,
        };
        self.members.insert(peer, member);
        told
    }

    /// A peer has gone, and its copies with it.
    pub fn remove(&mut self, peer: PeerKey) {
        let Some(member) = self.members.remove(&peer) else {
            return;
        };
        for piece in member.open {
            self.close(peer, piece);
        }
        for piece in self.geometry.pieces() {
            if member.has.contains(piece) {
                self.count(piece, |owners| owners.saturating_sub(1));
            }
        }
    }

    /// A peer has told which pieces it has. Gives the peers that may be told of more for it.
    pub fn handle_pieces(
        &mut self,
        peer: PeerKey,
        pieces: &Bitfield,
        now: Instant,
    ) -> Vec<PeerKey> {
        let Some(member) = self.members.get_mut(&peer) else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut member.has, Bitfield::empty(&self.geometry));
        for piece in self.geometry.pieces() {
            if before.contains(piece) {
                self.count(piece, |owners| owners.saturating_sub(1));
            }
        }
        let mut earned = vec![peer];
        for piece in self.geometry.pieces() {
            if pieces.contains(piece) {
                earned.extend(self.handle_have(peer, piece, now));
            }
        }
        earned.sort_unstable();
        earned.dedup();
        earned
    }

    /// A peer has one more piece. Gives the peers that may be told of more for it.
    pub fn handle_have(&mut self, peer: PeerKey, piece: PieceIndex, now: Instant) -> Vec<PeerKey> {
        let Some(member) = self.members.get_mut(&peer) else {
            return Vec::new();
        };
        if !member.has.insert(piece) {
            return Vec::new();
        }
        member.progress = now;
        self.is_over |= member.has.is_full();
        self.count(piece, |owners| owners.saturating_add(1));
        let copies = self.pieces.get(piece.as_usize());
        copies.map_or_else(Vec::new, |copies| copies.offered.clone())
    }

    /// The next piece that a peer is told of; `None` where it has to wait. To be asked until it does.
    pub fn offer(&mut self, peer: PeerKey, now: Instant, rng: &mut impl Rng) -> Option<PieceIndex> {
        self.close_done(peer);
        if self.is_stuck(peer, now) {
            self.members.get_mut(&peer)?.is_stranded = true;
        }
        let member = self.members.get(&peer)?;
        if member.open.len() >= member.open_offers() {
            return None;
        }
        let piece = self.choose(member, rng)?;
        let member = self.members.get_mut(&peer)?;
        member.told.insert(piece);
        member.open.push(piece);
        member.progress = now;
        if let Some(copies) = self.pieces.get_mut(piece.as_usize()) {
            copies.offered.push(peer);
        }
        Some(piece)
    }

    /// The peers that may be told of more, because of the passing of time or because others have gone.
    pub fn due(&self, now: Instant) -> Vec<PeerKey> {
        let due = self.members.iter().filter(|(peer, member)| {
            let open = member.open.iter();
            let open = open.filter(|piece| !self.is_done(**peer, member, **piece));
            open.count() < member.open_offers() || self.is_stuck(**peer, now)
        });
        due.map(|(peer, _)| *peer).collect()
    }

    /// A piece that nobody has or was told of, by lot; for the stranded otherwise the rarest.
    fn choose(&self, member: &Member, rng: &mut impl Rng) -> Option<PieceIndex> {
        let is_new =
            |piece: &PieceIndex| !member.told.contains(*piece) && !member.has.contains(*piece);
        let untold = self.geometry.pieces().filter(is_new);
        let rarest = untold.min_by_key(|piece| (self.copies(*piece), rng.random::<u32>()));
        rarest.filter(|piece| member.is_stranded || self.copies(*piece) == 0)
    }

    fn copies(&self, piece: PieceIndex) -> usize {
        let copies = self.pieces.get(piece.as_usize());
        copies.map_or(0, |copies| copies.owners as usize + copies.offered.len())
    }

    fn count(&mut self, piece: PieceIndex, change: impl Fn(u32) -> u32) {
        if let Some(copies) = self.pieces.get_mut(piece.as_usize()) {
            copies.owners = change(copies.owners);
        }
    }

    /// Closes the offers of a peer that have served their end.
    fn close_done(&mut self, peer: PeerKey) {
        let Some(member) = self.members.get(&peer) else {
            return;
        };
        let open = member.open.iter().copied();
        let (done, open): (Vec<_>, Vec<_>) =
            open.partition(|piece| self.is_done(peer, member, *piece));
        for piece in done {
            self.close(peer, piece);
        }
        if let Some(member) = self.members.get_mut(&peer) {
            member.open = open;
        }
    }

    fn close(&mut self, peer: PeerKey, piece: PieceIndex) {
        if let Some(copies) = self.pieces.get_mut(piece.as_usize()) {
            copies.offered.retain(|other| *other != peer);
        }
    }

    /// Whether an offer has served its end: somebody else has the piece, or the peer has it and cannot be asked to pass it on.
    fn is_done(&self, peer: PeerKey, member: &Member, piece: PieceIndex) -> bool {
        let owners = self.pieces.get(piece.as_usize()).map_or(0, |it| it.owners);
        let has = member.has.contains(piece);
        let is_alone = self.members.len() == 1 && self.members.contains_key(&peer);
        owners > u32::from(has) || (has && (member.is_stranded || is_alone))
    }

    /// Whether a peer has nothing to fetch from us and gets nothing from others.
    fn is_stuck(&self, peer: PeerKey, now: Instant) -> bool {
        self.members.get(&peer).is_some_and(|member| {
            !member.is_stranded
                && !member.told.exceeds(&member.has)
                && now.saturating_duration_since(member.progress) >= PATIENCE
        })
    }
}

impl Member {
    const fn open_offers(&self) -> usize {
        if self.is_stranded {
            OPEN_OFFERS_TO_THE_STRANDED
        } else {
            OPEN_OFFERS
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    const ONE: PeerKey = PeerKey(1);
    const OTHER: PeerKey = PeerKey(2);

    struct Torrent {
        seed: SuperSeeding,
        rng: StdRng,
        now: Instant,
    }

    impl Torrent {
        fn of(pieces: u32, peers: &[PeerKey]) -> Self {
            let geometry =
                Geometry::new(u64::from(pieces) * 16_384, NonZeroU32::new(16_384).unwrap());
            let mut seed = SuperSeeding::new(&geometry.unwrap());
            let now = ambient::now();
            for peer in peers {
                assert_eq!(seed.add(*peer, now).count(), 0);
            }
            Self {
                seed,
                rng: StdRng::seed_from_u64(5),
                now,
            }
        }

        fn told(&mut self, peer: PeerKey) -> Vec<PieceIndex> {
            std::iter::from_fn(|| self.seed.offer(peer, self.now, &mut self.rng)).collect()
        }

        fn has(&mut self, peer: PeerKey, piece: PieceIndex) -> Vec<PeerKey> {
            self.seed.handle_have(peer, piece, self.now)
        }

        fn wait(&mut self) {
            self.now += PATIENCE;
        }
    }

    #[test]
    fn each_is_told_of_two_pieces_that_no_other_was_told_of() {
        let mut torrent = Torrent::of(100, &[ONE, OTHER]);
        let (one, other) = (torrent.told(ONE), torrent.told(OTHER));
        assert_eq!((one.len(), other.len()), (2, 2));
        assert!(one.iter().all(|piece| !other.contains(piece)));
        assert!(torrent.seed.due(torrent.now).is_empty());
    }

    #[test]
    fn who_passes_a_piece_on_is_told_of_another() {
        let mut torrent = Torrent::of(100, &[ONE, OTHER]);
        let first = torrent.told(ONE)[0];
        assert_eq!(torrent.has(ONE, first), [ONE]);
        assert!(torrent.told(ONE).is_empty(), "it has passed on nothing yet");
        assert_eq!(torrent.has(OTHER, first), [ONE]);
        assert_eq!(torrent.told(ONE).len(), 1);
    }

    #[test]
    fn pieces_that_somebody_has_are_left_to_the_swarm() {
        let mut torrent = Torrent::of(3, &[ONE, OTHER]);
        let told = torrent.told(ONE);
        let last = torrent.told(OTHER);
        assert_eq!((told.len(), last.len()), (2, 1));
        for piece in told.iter().chain(&last) {
            torrent.has(ONE, *piece);
        }
        assert!(torrent.told(OTHER).is_empty());
    }

    #[test]
    fn who_is_alone_is_told_of_one_after_the_other() {
        let mut torrent = Torrent::of(10, &[ONE]);
        for _ in 0..10 {
            let piece = torrent.told(ONE).first().copied();
            let piece = piece.unwrap_or_else(|| {
                let member = &torrent.seed.members[&ONE];
                member.open[0]
            });
            torrent.has(ONE, piece);
        }
        assert!(torrent.seed.is_over);
    }

    #[test]
    fn who_gets_nothing_from_others_is_told_of_everything_in_the_end() {
        let mut torrent = Torrent::of(200, &[ONE, OTHER]);
        let told = torrent.told(ONE);
        torrent.wait();
        assert!(torrent.told(ONE).is_empty(), "it has not fetched them");
        for piece in told {
            torrent.has(ONE, piece);
        }
        assert!(torrent.told(ONE).is_empty());
        torrent.wait();
        assert!(torrent.seed.due(torrent.now).contains(&ONE));
        let mut seen = 2;
        loop {
            let told = torrent.told(ONE);
            if told.is_empty() {
                break;
            }
            assert!(told.len() <= 64);
            seen += told.len();
            for piece in told {
                torrent.has(ONE, piece);
            }
        }
        assert_eq!(seen, 200);
    }

    #[test]
    fn what_went_with_a_peer_is_told_again() {
        let mut torrent = Torrent::of(2, &[ONE, OTHER]);
        let told = torrent.told(ONE);
        torrent.has(ONE, told[0]);
        assert!(torrent.told(OTHER).is_empty());
        torrent.seed.remove(ONE);
        assert_eq!(torrent.seed.due(torrent.now), [OTHER]);
        assert_eq!(torrent.told(OTHER).len(), 2);
    }

    #[test]
    fn once_another_seed_was_seen_newcomers_are_told_of_everything() {
        let mut torrent = Torrent::of(20, &[ONE, OTHER]);
        let all = Bitfield::full(&torrent.seed.geometry);
        torrent.seed.handle_pieces(OTHER, &all, torrent.now);
        let newcomer = PeerKey(3);
        assert!(torrent.seed.add(newcomer, torrent.now).is_full());
        assert_eq!(
            torrent.seed.offer(newcomer, torrent.now, &mut torrent.rng),
            None
        );
    }

    #[test]
    fn pieces_may_be_told_anew() {
        let mut torrent = Torrent::of(20, &[ONE, OTHER]);
        let piece = torrent.told(ONE)[0];
        let mut some = Bitfield::empty(&torrent.seed.geometry);
        some.insert(piece);
        assert_eq!(
            torrent.seed.handle_pieces(OTHER, &some, torrent.now),
            [ONE, OTHER]
        );
        let none = Bitfield::empty(&torrent.seed.geometry);
        torrent.seed.handle_pieces(OTHER, &none, torrent.now);
        assert_eq!(torrent.seed.pieces[piece.as_usize()].owners, 0);
    }
}
