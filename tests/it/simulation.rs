//! Whole swarms without a socket: one seed, peers that come and go, and hostile ones, over a virtual network with a made-up clock.
//!
//! What the engine does with sessions, choker and super-seeding is done here in the smallest way, so that what is held true is true of
//! them: every block that an unchoked peer asked for is sent or rejected, nobody waits for a slot longer than a bound, queues
//! and what is under way stay within theirs, and every honest peer ends with everything. Lost packets are what TCP makes of them: bytes that come
//! later. Whatever is drawn by lot follows from one number, which a failure names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use sower::ambient;
use sower::domain::choker::{self, Change, Choker, PeerKey};
use sower::domain::session::{self, CloseReason, Output, Session};
use sower::domain::super_seeding::SuperSeeding;
use sower::proto::bitfield::Bitfield;
use sower::proto::geometry::{Block, Geometry};
use sower::proto::wire::handshake::Reserved;
use sower::proto::wire::message::{self, Limits, Message, RawBlock};

const TICK: Duration = Duration::from_millis(50);
const ROUND: Duration = Duration::from_secs(10);
/// Bytes on their way in one direction of a connection, at most: what a socket takes.
const WINDOW: usize = 256 * 1024;
/// Bytes that leave the seed in a tick, over longer times: a copy takes a minute.
const SEED_RATE: i64 = 1024;
const SLOTS: usize = 3;
const TURN: u64 = 30;
/// Requests that an honest peer has open at one other.
const PIPELINE: usize = 8;
/// The seed is node 0.
const SEED: usize = 0;
/// How long a swarm may take.
const PATIENCE: Duration = Duration::from_mins(40);

/// What a peer is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// It plays by the rules, and the swarm must serve it.
    Honest,
    /// It comes and goes.
    Fickle,
    /// It asks for the same block without end, choked or not.
    Flooding,
    /// It asks for much and reads nothing.
    Mute,
    /// It changes its mind all the time, and takes its requests back.
    Wavering,
    /// It speaks of pieces that there are not.
    Lying,
}

#[derive(Clone, Copy, Debug)]
struct Scene {
    seed: u64,
    has_fast: bool,
    is_super_seeding: bool,
    honest: usize,
    /// Peers that somebody who comes knows besides the seed, at most.
    friends: usize,
    others: &'static [Manners],
}

struct Node {
    manners: Manners,
    has: Bitfield,
    blocks: BTreeSet<(u32, u32)>,
    /// Asked for at some peer.
    asked: BTreeSet<(u32, u32)>,
}

/// A connection: its first end is at the one who is called.
struct Link {
    ends: [End; 2],
    is_open: bool,
}

struct End {
    node: usize,
    /// Hostile peers have none: they write what they like.
    session: Option<Session>,
    /// On its way here, in order.
    incoming: VecDeque<(Instant, Bytes)>,
    under_way: usize,
    arrived: BytesMut,
    /// Since when it has been interested and choked, as the seed sees it.
    waits_since: Option<Instant>,
    asked: u64,
    answered: u64,
}

struct Swarm {
    scene: Scene,
    rng: StdRng,
    start: Instant,
    now: Instant,
    geometry: Geometry,
    nodes: Vec<Node>,
    links: Vec<Link>,
    choker: Choker,
    super_seeding: Option<SuperSeeding>,
    /// Bytes that may leave the seed now; below zero where a block was more than that.
    budget: i64,
    sent_by_seed: u64,
}

impl Swarm {
    fn new(scene: Scene) -> Self {
        let now = ambient::now();
        let piece_length = NonZeroU32::new(32 * 1024).unwrap();
        let geometry = Geometry::new(40 * 32 * 1024 + 100, piece_length).unwrap();
        let super_seeding = scene.is_super_seeding.then(|| SuperSeeding::new(&geometry));
        let mut swarm = Self {
            scene,
            rng: StdRng::seed_from_u64(scene.seed),
            start: now,
            now,
            geometry,
            nodes: Vec::new(),
            links: Vec::new(),
            choker: Choker::new(choker::Options {
                slots: SLOTS,
                turn: TURN,
            }),
            super_seeding,
            budget: 0,
            sent_by_seed: 0,
        };
        let others = scene.others.iter().copied();
        let honest = std::iter::repeat_n(Manners::Honest, scene.honest);
        // Hostile peers are first in line.
        for manners in std::iter::once(Manners::Honest).chain(others).chain(honest) {
            swarm.nodes.push(Node {
                manners,
                has: Bitfield::empty(&geometry),
                blocks: BTreeSet::new(),
                asked: BTreeSet::new(),
            });
        }
        swarm.nodes[SEED].has = Bitfield::full(&geometry);
        for node in 1..swarm.nodes.len() {
            swarm.connect(SEED, node);
            if matches!(swarm.nodes[node].manners, Manners::Honest | Manners::Fickle) {
                let friends: Vec<usize> = (1..node).filter(|it| swarm.is_sharing(*it)).collect();
                for friend in friends.into_iter().sample(&mut swarm.rng, scene.friends) {
                    swarm.connect(friend, node);
                }
            }
        }
        swarm
    }

    fn is_sharing(&self, node: usize) -> bool {
        matches!(self.nodes[node].manners, Manners::Honest | Manners::Fickle)
    }

    fn hold(&self, is_so: bool, what: &str) {
        let passed = self.now - self.start;
        assert!(is_so, "{what}, after {passed:?} in {:?}", self.scene);
    }

    fn connect(&mut self, host: usize, guest: usize) {
        let key = PeerKey(self.links.len() as u64);
        let ends = [host, guest].map(|node| {
            let told = match (&mut self.super_seeding, node) {
                (Some(super_seeding), SEED) => super_seeding.add(key, self.now),
                _ => self.nodes[node].has.clone(),
            };
            let reserved = if self.scene.has_fast {
                Reserved::OURS
            } else {
                Reserved::default()
            };
            let options = session::Options::default();
            let has_session = node == SEED || self.is_sharing(node);
            End {
                node,
                session: has_session
                    .then(|| Session::new(self.geometry, told, reserved, options, self.now)),
                incoming: VecDeque::new(),
                under_way: 0,
                arrived: BytesMut::new(),
                waits_since: None,
                asked: 0,
                answered: 0,
            }
        });
        self.links.push(Link {
            ends,
            is_open: true,
        });
        if host == SEED {
            self.choker.add(key);
            if !self.is_sharing(guest) {
                self.put(key_index(key), 1, &Message::Interested);
            }
        }
    }

    fn close(&mut self, link: usize) {
        if !std::mem::replace(&mut self.links[link].is_open, false) {
            return;
        }
        for end in [0, 1] {
            let node = self.links[link].ends[end].node;
            // What was asked for here may be asked for elsewhere.
            self.nodes[node].asked.clear();
        }
        if self.links[link].ends[0].node == SEED {
            let key = PeerKey(link as u64);
            if let Some(super_seeding) = &mut self.super_seeding {
                super_seeding.remove(key);
            }
            let change = self.choker.remove(key, self.now);
            self.apply(change);
        }
    }

    /// Sends a message from one end of a link to the other.
    fn put(&mut self, link: usize, from: usize, message: &Message) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        let mut delay = Duration::from_millis(self.rng.random_range(5..150));
        if self.rng.random_bool(0.02) {
            delay += Duration::from_millis(self.rng.random_range(200..2_000));
        }
        let to = &mut self.links[link].ends[1 - from];
        let last = to.incoming.back().map_or(self.now, |(at, _)| *at);
        to.under_way += bytes.len();
        let arrival = last.max(self.now + delay);
        // Cut anywhere, as segments are.
        let rest = bytes.split_off(self.rng.random_range(0..=bytes.len()));
        to.incoming.push_back((arrival, bytes.freeze()));
        to.incoming.push_back((arrival, rest.freeze()));
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let end = &mut self.links[key_index(change.peer)].ends[0];
            let Some(session) = &mut end.session else {
                continue;
            };
            if change.is_unchoked {
                session.unchoke();
                end.waits_since = None;
            } else {
                session.choke();
                end.waits_since = session.is_peer_interested().then_some(self.now);
            }
        }
    }

    /// Lets the swarm live until every honest peer has everything.
    fn run(&mut self) {
        let mut round = self.now + ROUND;
        while !(1..self.nodes.len()).all(|node| self.is_content(node)) {
            self.now += TICK;
            self.hold(self.now - self.start < PATIENCE, "somebody starves");
            if self.now >= round {
                round += ROUND;
                let changes = self.choker.round(self.now, &mut self.rng);
                self.apply(changes);
                let due = self.super_seeding.as_ref();
                let due = due.map_or_else(Vec::new, |it| it.due(self.now));
                for peer in due {
                    self.offer(peer);
                }
                self.come_and_go();
            }
            self.misbehave();
            for link in 0..self.links.len() {
                for end in [0, 1] {
                    if self.links[link].is_open {
                        self.take_in(link, end);
                    }
                }
            }
            self.serve();
            self.check();
        }
    }

    fn is_content(&self, node: usize) -> bool {
        self.nodes[node].manners != Manners::Honest || self.nodes[node].has.is_full()
    }

    fn offer(&mut self, peer: PeerKey) {
        let Some(super_seeding) = &mut self.super_seeding else {
            return;
        };
        let link = &mut self.links[key_index(peer)];
        if let Some(session) = link.ends[0].session.as_mut().filter(|_| link.is_open) {
            while let Some(piece) = super_seeding.offer(peer, self.now, &mut self.rng) {
                session.have(piece);
            }
        }
    }

    /// Fickle peers leave with what they have, and come again with it.
    fn come_and_go(&mut self) {
        for node in 1..self.nodes.len() {
            if self.nodes[node].manners != Manners::Fickle || !self.rng.random_bool(0.2) {
                continue;
            }
            let own: Vec<usize> = (0..self.links.len())
                .filter(|link| self.links[*link].ends.iter().any(|end| end.node == node))
                .filter(|link| self.links[*link].is_open)
                .collect();
            if own.is_empty() && !self.nodes[node].has.is_full() {
                self.connect(SEED, node);
                let friends: Vec<usize> = (1..self.nodes.len())
                    .filter(|it| *it != node && self.is_sharing(*it))
                    .collect();
                for friend in friends
                    .into_iter()
                    .sample(&mut self.rng, self.scene.friends)
                {
                    self.connect(friend, node);
                }
            }
            for link in own {
                self.close(link);
            }
        }
    }

    fn misbehave(&mut self) {
        for link in 0..self.links.len() {
            let node = self.links[link].ends[1].node;
            let is_full = self.links[link].ends[0].under_way > WINDOW;
            if !self.links[link].is_open || self.is_sharing(node) || is_full {
                continue;
            }
            let request = |index| RawBlock {
                index,
                begin: 0,
                length: 16 * 1024,
            };
            let index = self.rng.random_range(0..40);
            let said = match self.nodes[node].manners {
                Manners::Flooding => vec![Message::Request(request(7)); 20],
                Manners::Mute => vec![Message::Request(request(index))],
                Manners::Wavering => vec![
                    Message::NotInterested,
                    Message::Interested,
                    Message::Request(request(index)),
                    Message::Cancel(request(index)),
                ],
                Manners::Lying if self.rng.random_bool(0.01) => vec![Message::Have(1_000_000)],
                Manners::Lying | Manners::Honest | Manners::Fickle => vec![],
            };
            for message in said {
                self.put(link, 1, &message);
            }
        }
    }

    /// Hands what has arrived to a session, and puts on its way what comes of it.
    fn take_in(&mut self, link: usize, end: usize) {
        let limits = Limits::for_pieces(self.geometry.piece_count());
        let node = self.links[link].ends[end].node;
        let is_unread = self.links[link].ends[1 - end].under_way > WINDOW + 64 * 1024;
        let here = &mut self.links[link].ends[end];
        if self.nodes[node].manners != Manners::Mute {
            while let Some((_, bytes)) = here.incoming.pop_front_if(|(at, _)| *at <= self.now) {
                here.under_way -= bytes.len();
                here.arrived.extend_from_slice(&bytes);
            }
        }
        let Some(session) = &mut here.session else {
            here.arrived.clear();
            return;
        };
        let mut result = session.handle_timeout(self.now);
        // As the engine does: while what was answered is not read, nothing more is asked.
        while result.is_ok() && session.has_room() && !is_unread {
            match message::decode(&mut here.arrived, &limits) {
                Ok(Some(message)) => result = session.handle_message(message, self.now),
                Ok(None) => break,
                Err(_) => result = Err(CloseReason::OutOfRange),
            }
        }
        if let Err(reason) = result {
            let other = self.links[link].ends[1 - end].node;
            let are_honest = self.is_sharing(node) && self.is_sharing(other);
            let is_expected = !are_honest || reason == CloseReason::BothComplete;
            self.hold(
                is_expected,
                &format!("{node} hangs up on {other}: {reason}"),
            );
            return self.close(link);
        }
        self.put_out(link, end);
    }

    fn put_out(&mut self, link: usize, end: usize) {
        let node = self.links[link].ends[end].node;
        // What a peer has got from others may change what it wants here: it looks once in a while.
        let mut is_time = self.rng.random_bool(0.05);
        while let Some(output) = self.session(link, end).and_then(Session::poll_output) {
            is_time |= !matches!(output, Output::Send(_));
            match output {
                Output::Send(message) => self.put(link, end, &message),
                Output::Interest(is_interested) if node == SEED => {
                    let key = PeerKey(link as u64);
                    self.links[link].ends[0].waits_since = is_interested.then_some(self.now);
                    let changes = self.choker.set_interested(key, is_interested, self.now);
                    self.apply(changes);
                }
                // Peers give to whoever asks.
                Output::Interest(_) => {
                    self.session(link, end)
                        .into_iter()
                        .for_each(Session::unchoke);
                }
                Output::Received { block, data } => self.receive(link, end, block, &data),
                Output::Lost(block) => {
                    self.nodes[node].asked.remove(&name(block));
                    self.links[link].ends[end].answered += 1;
                }
                Output::PeerPieces | Output::PeerHas(_) if node == SEED => self.learn(link),
                _ => {}
            }
        }
        if is_time && node != SEED && self.links[link].is_open {
            self.ask(link, end);
        }
    }

    fn session(&mut self, link: usize, end: usize) -> Option<&mut Session> {
        let link = &mut self.links[link];
        link.ends[end].session.as_mut().filter(|_| link.is_open)
    }

    /// The seed hears what a peer has.
    fn learn(&mut self, link: usize) {
        let Some(session) = &self.links[link].ends[0].session else {
            return;
        };
        let theirs = session.peer_pieces().clone();
        if let Some(super_seeding) = &mut self.super_seeding {
            let key = PeerKey(link as u64);
            let earned = super_seeding.handle_pieces(key, &theirs, self.now);
            for peer in earned {
                self.offer(peer);
            }
            if theirs.is_full() {
                self.close(link);
            }
        }
    }

    fn receive(&mut self, link: usize, end: usize, block: Block, data: &[u8]) {
        let node = self.links[link].ends[end].node;
        self.hold(data == content(block), "a block is another");
        self.links[link].ends[end].answered += 1;
        let own = &mut self.nodes[node];
        own.asked.remove(&name(block));
        own.blocks.insert(name(block));
        let is_there = |block: Block| own.blocks.contains(&name(block));
        if own.has.contains(block.piece()) || !self.geometry.blocks(block.piece()).all(is_there) {
            return;
        }
        own.has.insert(block.piece());
        for link in &mut self.links {
            for end in link.ends.iter_mut().filter(|end| end.node == node) {
                if let Some(session) = &mut end.session {
                    session.have(block.piece());
                }
            }
        }
    }

    /// Asks a peer for blocks that it has and nobody else was asked for.
    fn ask(&mut self, link: usize, end: usize) {
        let here = &mut self.links[link].ends[end];
        let (node, Some(session)) = (&mut self.nodes[here.node], &mut here.session) else {
            return;
        };
        let wanted: Vec<_> = self
            .geometry
            .pieces()
            .filter(|piece| session.peer_pieces().contains(*piece) && !node.has.contains(*piece))
            .collect();
        session.set_interested(!wanted.is_empty());
        let room = PIPELINE.saturating_sub(session.outstanding_count());
        if session.is_peer_choking() || room == 0 {
            return;
        }
        let blocks = wanted
            .into_iter()
            .flat_map(|piece| self.geometry.blocks(piece));
        let blocks = blocks.filter(|block| {
            !node.asked.contains(&name(*block)) && !node.blocks.contains(&name(*block))
        });
        for block in blocks.sample(&mut self.rng, room) {
            node.asked.insert(name(block));
            here.asked += 1;
            session.request(block, self.now);
        }
    }

    /// Sends what is owed, as far as sockets take it; the seed's line is shared by all.
    fn serve(&mut self) {
        self.budget = (self.budget + SEED_RATE).min(SEED_RATE);
        let first = self.rng.random_range(0..self.links.len());
        for number in 0..self.links.len() {
            let link = (first + number) % self.links.len();
            for end in [0, 1] {
                let is_seed = self.links[link].ends[end].node == SEED;
                let mut share = PIPELINE;
                while share > 0
                    && self.links[link].ends[1 - end].under_way < WINDOW
                    && (!is_seed || self.budget > 0)
                {
                    share -= 1;
                    let block = self.session(link, end).and_then(Session::poll_request);
                    let Some(block) = block else { break };
                    let data = content(block);
                    if is_seed {
                        self.budget -= i64::from(block.length());
                        self.sent_by_seed += data.len() as u64;
                        self.choker
                            .note_sent(PeerKey(link as u64), data.len() as u64);
                    }
                    let (index, begin) = name(block);
                    let now = self.now;
                    self.session(link, end)
                        .into_iter()
                        .for_each(|it| it.handle_sent(now));
                    self.put(link, end, &Message::Piece { index, begin, data });
                }
            }
        }
    }

    fn check(&self) {
        let peers = self
            .links
            .iter()
            .filter(|link| link.is_open && link.ends[0].node == SEED);
        let line = u32::try_from(peers.clone().count().div_ceil(SLOTS)).unwrap();
        // Three times the turns of the whole line, as the choker promises.
        let bound = Duration::from_secs(TURN + 10) * (3 * line + 3);
        for link in peers {
            let Some(session) = &link.ends[0].session else {
                continue;
            };
            self.hold(session.request_count() <= 500, "a queue is too long");
            let waits = link.ends[0].waits_since.filter(|_| session.is_choking());
            let waits = waits.map(|since| self.now - since);
            self.hold(
                waits.is_none_or(|waits| waits <= bound),
                "a peer waits too long for a slot",
            );
            // One batch beyond the window, and the small messages that answer what was said.
            self.hold(
                link.ends[1].under_way <= 2 * WINDOW,
                "too much is under way",
            );
        }
        let (unchoked, _) = self.choker.unchoked_and_waiting();
        self.hold(
            unchoked <= SLOTS,
            "there are more slots than there should be",
        );
        for end in self
            .links
            .iter()
            .filter(|link| link.is_open)
            .flat_map(|link| &link.ends)
        {
            let Some(session) = end.session.as_ref().filter(|_| end.node != SEED) else {
                continue;
            };
            let open = session.outstanding_count() as u64;
            self.hold(
                end.asked == end.answered + open,
                "a request was neither answered nor is open",
            );
        }
    }

    /// How many copies left the seed.
    #[expect(clippy::cast_precision_loss, reason = "they are few bytes")]
    fn copies(&self) -> f64 {
        self.sent_by_seed as f64 / self.geometry.total_length() as f64
    }
}

fn key_index(key: PeerKey) -> usize {
    usize::try_from(key.0).unwrap()
}

fn name(block: Block) -> (u32, u32) {
    (block.piece().get(), block.begin())
}

/// The bytes of a block, unlike those of any other.
fn content(block: Block) -> Bytes {
    let mut bytes = vec![3; block.length() as usize];
    let (piece, begin) = name(block);
    bytes[..8].copy_from_slice(&[piece.to_le_bytes(), begin.to_le_bytes()].concat());
    bytes.into()
}

/// Runs swarms that differ by lot; gives how many copies left the seed of each.
fn run(scene: Scene, swarms: u64) -> BTreeMap<u64, f64> {
    let swarms = (0..swarms).map(|seed| {
        let mut swarm = Swarm::new(Scene { seed, ..scene });
        swarm.run();
        (seed, swarm.copies())
    });
    swarms.collect()
}

const CROWD: &[Manners] = &[
    Manners::Fickle,
    Manners::Flooding,
    Manners::Fickle,
    Manners::Mute,
    Manners::Wavering,
    Manners::Lying,
    Manners::Fickle,
];

const SCENE: Scene = Scene {
    seed: 0,
    has_fast: true,
    is_super_seeding: false,
    honest: 10,
    friends: 4,
    others: CROWD,
};

#[test]
fn a_swarm_with_hostile_peers_serves_all_honest_ones() {
    run(SCENE, 3);
}

#[test]
fn peers_that_know_nobody_but_the_seed_have_their_turns_beside_hostile_ones() {
    let scene = Scene {
        honest: 6,
        friends: 0,
        others: &[
            Manners::Flooding,
            Manners::Mute,
            Manners::Flooding,
            Manners::Wavering,
        ],
        ..SCENE
    };
    run(scene, 2);
}

#[test]
fn so_does_one_that_speaks_no_more_than_bep_3() {
    let has_fast = false;
    run(Scene { has_fast, ..SCENE }, 3);
}

#[test]
fn a_super_seed_serves_all_honest_ones_too() {
    let is_super_seeding = true;
    run(
        Scene {
            is_super_seeding,
            ..SCENE
        },
        3,
    );
}

#[test]
fn a_super_seed_gives_little_more_than_one_copy_to_honest_peers() {
    let scene = Scene {
        is_super_seeding: true,
        others: &[],
        ..SCENE
    };
    for (seed, copies) in run(scene, 3) {
        assert!(
            copies < 1.3,
            "{copies} copies left the seed of swarm {seed}"
        );
    }
}
