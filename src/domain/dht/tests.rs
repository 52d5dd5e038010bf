//! Nodes on a made-up network: packets travel in made-up time, and some are lost.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::node::{Bounds, Event, Node, SearchId};
use crate::ambient;
use crate::proto::dht::{Answer, Body, Contact, Message, Query, Question, Want};
use crate::proto::id::InfoHash;

const PORT: NonZeroU16 = NonZeroU16::new(8080).unwrap();

fn bounds() -> Bounds {
    Bounds {
        families: Want { v4: true, v6: true },
        is_read_only: false,
        queries_per_second: 100,
        query_timeout: Duration::from_secs(2),
        queries_per_minute: 6000,
        searches: 8,
        stored_peers: 1000,
        stored_peers_per_torrent: 100,
    }
}

/// Nodes that reach each other by their addresses.
struct World {
    nodes: BTreeMap<SocketAddr, Node>,
    /// What is on its way, in the order of arriving.
    packets: VecDeque<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    events: Vec<(SocketAddr, Event)>,
    sent: BTreeMap<SocketAddr, usize>,
    loss: f64,
    now: Instant,
    rng: StdRng,
}

fn v4(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 6881))
}

fn v6(number: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 6881))
}

impl World {
    fn new(seed: u64, loss: f64) -> Self {
        println!("seed {seed}");
        let now = ambient::now();
        Self {
            nodes: BTreeMap::new(),
            packets: VecDeque::new(),
            events: Vec::new(),
            sent: BTreeMap::new(),
            loss,
            now,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn add(&mut self, address: SocketAddr, bounds: Bounds, entry: Option<SocketAddr>) {
        let mut node = Node::new(bounds, self.now, &mut self.rng);
        node.enter_by(entry.into_iter().collect(), self.now);
        node.handle_timeout(self.now, &mut self.rng);
        self.nodes.insert(address, node);
    }

    /// Nodes that have all met, each through the first one.
    fn of(count: u16, seed: u64, loss: f64, address: impl Fn(u16) -> SocketAddr) -> Self {
        let mut world = Self::new(seed, loss);
        for number in 0..count {
            world.add(address(number), bounds(), (number > 0).then(|| address(0)));
        }
        world.run(Duration::from_mins(1));
        world
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.collect();
            let arrival = self.packets.front().map(|(at, ..)| *at);
            let timeout = self.nodes.values().map(Node::poll_timeout).min();
            let next = arrival.into_iter().chain(timeout).min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            let arrives = |(at, ..): &mut (Instant, SocketAddr, SocketAddr, Vec<u8>)| *at <= next;
            while let Some((_, from, to, packet)) = self.packets.pop_front_if(arrives) {
                if let Some(node) = self.nodes.get_mut(&to) {
                    node.handle_packet(&packet, from, self.now, &mut self.rng);
                }
            }
            for node in self.nodes.values_mut() {
                if node.poll_timeout() <= self.now {
                    node.handle_timeout(self.now, &mut self.rng);
                }
            }
        }
    }

    fn collect(&mut self) {
        for (address, node) in &mut self.nodes {
            while let Some((to, packet)) = node.poll_packet() {
                *self.sent.entry(*address).or_default() += 1;
                if !self.rng.random_bool(self.loss) {
                    let arrival = self.now + Duration::from_millis(20);
                    self.packets.push_back((arrival, *address, to, packet));
                }
            }
            while let Some(event) = node.poll_event() {
                self.events.push((*address, event));
            }
        }
    }

    fn search(&mut self, at: SocketAddr, torrent: InfoHash, port: Option<NonZeroU16>) -> SearchId {
        let node = self.nodes.get_mut(&at).unwrap();
        node.search(torrent, port, self.now, &mut self.rng)
    }

    /// The peers that a search found and how many nodes took its announce, once it is over.
    fn result(&mut self, at: SocketAddr, search: SearchId) -> (HashSet<SocketAddr>, usize) {
        self.run(Duration::from_mins(1));
        let mut found = HashSet::new();
        for (node, event) in &self.events {
            match event {
                Event::Found(id, peers) if (*node, *id) == (at, search) => found.extend(peers),
                Event::Done(id, accepted) if (*node, *id) == (at, search) => {
                    return (found, *accepted);
                }
                _ => {}
            }
        }
        panic!("the search does not end");
    }

    /// What a node answers to a stranger who says to be at an address.
    fn ask(
        &mut self,
        node: SocketAddr,
        from: SocketAddr,
        question: Question,
    ) -> Option<(Vec<u8>, usize)> {
        let packet = packet(question);
        let to = self.nodes.get_mut(&node).unwrap();
        to.handle_packet(&packet, from, self.now, &mut self.rng);
        let answer = std::iter::from_fn(|| to.poll_packet()).find(|(to, packet)| {
            *to == from && !matches!(Message::decode(packet).unwrap().body, Body::Query(_))
        });
        answer.map(|(_, answer)| (answer, packet.len()))
    }
}

fn packet(question: Question) -> Vec<u8> {
    Message {
        transaction: Bytes::from_static(b"x"),
        body: Body::Query(Query {
            id: (*b"abcdefghij0123456789").into(),
            is_read_only: true,
            want: None,
            question,
        }),
    }
    .encode()
}

fn torrent(byte: u8) -> InfoHash {
    [byte; 20].into()
}

fn at_port(node: SocketAddr) -> SocketAddr {
    SocketAddr::new(node.ip(), PORT.get())
}

#[test]
fn two_nodes_find_each_others_torrents() {
    let mut world = World::of(2, 1, 0.0, v4);
    for (announcer, seeker, torrent) in [(v4(0), v4(1), torrent(1)), (v4(1), v4(0), torrent(2))] {
        let search = world.search(announcer, torrent, Some(PORT));
        assert_eq!(world.result(announcer, search).1, 1);
        let search = world.search(seeker, torrent, None);
        assert_eq!(world.result(seeker, search).0, [at_port(announcer)].into());
    }
}

#[test]
fn sixty_nodes_find_what_any_of_them_announced() {
    for (seed, loss, address) in [
        (1, 0.0, v4 as fn(u16) -> SocketAddr),
        (2, 0.1, v4),
        (3, 0.05, v6),
    ] {
        let mut world = World::of(60, seed, loss, address);
        for number in 1..5_u8 {
            let announcer = address(u16::from(number) * 7);
            let search = world.search(announcer, torrent(number), Some(PORT));
            let (_, accepted) = world.result(announcer, search);
            assert!(accepted >= 4, "{accepted}");
            let seeker = address(u16::from(number) * 9 + 2);
            let search = world.search(seeker, torrent(number), None);
            let (found, _) = world.result(seeker, search);
            assert_eq!(found, [at_port(announcer)].into());
        }
    }
}

#[test]
fn nodes_take_ids_that_go_with_their_addresses() {
    // Each in a network of its own.
    let address = |number: u16| SocketAddr::from(([198, 51, number.to_be_bytes()[1], 7], 6881));
    let mut world = World::of(30, 6, 0.0, address);
    world.run(Duration::from_mins(2));
    let suited = world.nodes.iter();
    let suited = suited.filter(|(address, node)| node.id().suits(address.ip()));
    assert!(suited.count() >= 25);
    let search = world.search(address(3), torrent(3), Some(PORT));
    assert!(world.result(address(3), search).1 >= 4);
    let search = world.search(address(20), torrent(3), None);
    assert_eq!(
        world.result(address(20), search).0,
        [at_port(address(3))].into()
    );
}

#[test]
fn searches_end_where_most_nodes_are_gone() {
    let mut world = World::of(60, 4, 0.0, v4);
    for number in 1..50 {
        world.nodes.remove(&v4(number));
    }
    let search = world.search(v4(55), torrent(9), Some(PORT));
    let (_, accepted) = world.result(v4(55), search);
    assert!(accepted > 0);
    world.run(Duration::from_hours(1));
    let known = world.nodes[&v4(55)].known();
    assert!(known <= 10, "{known} nodes are known, and 11 are there");
}

#[test]
fn questions_keep_their_pace() {
    let mut world = World::of(50, 5, 0.0, v4);
    world.nodes.remove(&v4(1));
    let slow = Bounds {
        queries_per_second: 5,
        ..bounds()
    };
    world.add(v4(1), slow, Some(v4(0)));
    world.run(Duration::from_mins(1));
    let before = world.sent[&v4(1)];
    let mut announced = 0;
    for number in 0..8 {
        world.search(v4(1), torrent(number), Some(PORT));
        announced += 1;
    }
    assert!(!world.nodes[&v4(1)].has_room());
    let began = world.now;
    world.run(Duration::from_secs(10));
    let questions = world.sent[&v4(1)] - before;
    assert!(
        (40..110).contains(&questions),
        "{questions} packets in {:?}",
        world.now - began
    );
    world.run(Duration::from_mins(2));
    let done = |(node, event): &&(SocketAddr, Event)| {
        *node == v4(1) && matches!(event, Event::Done(_, 1..))
    };
    assert_eq!(world.events.iter().filter(done).count(), announced);
}

#[test]
fn strangers_get_no_more_than_three_times_what_they_sent() {
    let mut world = World::of(50, 6, 0.0, v4);
    let victim = v4(5_000);
    let node = world.nodes.get_mut(&v4(0)).unwrap();
    for number in 0..80 {
        let peer = SocketAddr::from(([203, 0, 113, 1], 1000 + number));
        let token = token(node, peer, world.now, &mut world.rng);
        let announce = packet(Question::AnnouncePeer {
            info_hash: torrent(1),
            port: None,
            token,
        });
        node.handle_packet(&announce, peer, world.now, &mut world.rng);
        while node.poll_packet().is_some() {}
    }
    for question in [
        Question::Ping,
        Question::FindNode([7; 20].into()),
        Question::GetPeers(torrent(1)),
        Question::GetPeers(torrent(2)),
        Question::Other,
    ] {
        let (answer, length) = world.ask(v4(0), victim, question).unwrap();
        assert!(
            answer.len() <= 3 * length,
            "{} bytes for {length}",
            answer.len()
        );
    }
    let (answer, _) = world
        .ask(v4(0), victim, Question::GetPeers(torrent(1)))
        .unwrap();
    let Body::Answer(answer) = Message::decode(&answer).unwrap().body else {
        panic!()
    };
    assert!(!answer.peers.is_empty() && !answer.nodes.is_empty());
}

/// The token that a node gives to an address.
fn token(node: &mut Node, from: SocketAddr, now: Instant, rng: &mut StdRng) -> Bytes {
    node.handle_packet(&packet(Question::GetPeers(torrent(1))), from, now, rng);
    let answers = std::iter::from_fn(|| node.poll_packet());
    let mut tokens =
        answers.filter_map(|(_, packet)| match Message::decode(&packet).unwrap().body {
            Body::Answer(answer) => answer.token,
            _ => None,
        });
    tokens.next().unwrap()
}

#[test]
fn nobody_is_told_of_itself() {
    let mut world = World::of(3, 13, 0.0, v4);
    let question = Question::FindNode([7; 20].into());
    let (answer, _) = world.ask(v4(0), v4(1), question).unwrap();
    let Body::Answer(answer) = Message::decode(&answer).unwrap().body else {
        panic!()
    };
    let nodes: Vec<_> = answer.nodes.iter().map(|node| node.address).collect();
    assert_eq!(nodes, [v4(2)]);
}

#[test]
fn tokens_are_of_one_address() {
    let mut world = World::of(3, 7, 0.0, v4);
    let node = world.nodes.get_mut(&v4(0)).unwrap();
    let (honest, other) = (v4(2_000), v4(2_001));
    let token = token(node, honest, world.now, &mut world.rng);
    let announce = |token: &Bytes| Question::AnnouncePeer {
        info_hash: torrent(1),
        port: Some(PORT),
        token: token.clone(),
    };
    for (from, token) in [(other, &token), (honest, &Bytes::new())] {
        let (answer, _) = world.ask(v4(0), from, announce(token)).unwrap();
        let refusal = Message::decode(&answer).unwrap().body;
        assert!(matches!(refusal, Body::Error(203, _)), "{refusal:?}");
    }
    let (answer, _) = world.ask(v4(0), honest, announce(&token)).unwrap();
    assert!(matches!(
        Message::decode(&answer).unwrap().body,
        Body::Answer(_)
    ));
    let (answer, _) = world
        .ask(v4(0), other, Question::GetPeers(torrent(1)))
        .unwrap();
    let Body::Answer(answer) = Message::decode(&answer).unwrap().body else {
        panic!()
    };
    assert_eq!(answer.peers, [at_port(honest)]);
}

#[test]
fn what_others_announce_is_bounded() {
    let mut world = World::of(3, 8, 0.0, v4);
    let node = world.nodes.get_mut(&v4(0)).unwrap();
    for number in 0..3_000_u16 {
        let peer = v4(10_000 + number);
        let token = token(node, peer, world.now, &mut world.rng);
        let [high, low] = number.to_be_bytes();
        let mut info_hash = [high; 20];
        info_hash[19] = low;
        let announce = packet(Question::AnnouncePeer {
            info_hash: info_hash.into(),
            port: Some(PORT),
            token,
        });
        node.handle_packet(&announce, peer, world.now, &mut world.rng);
        while node.poll_packet().is_some() {}
    }
    assert_eq!(node.figures().stored_peers, bounds().stored_peers);
    let (answer, _) = world.ask(v4(0), v4(9), Question::Ping).unwrap();
    assert!(matches!(
        Message::decode(&answer).unwrap().body,
        Body::Answer(_)
    ));
}

#[test]
fn who_asks_too_much_goes_unanswered_and_others_do_not() {
    let mut world = World::of(3, 9, 0.0, v4);
    let (greedy, modest) = (v4(3_000), v4(3_001));
    let answered = (0..10_000).filter(|_| world.ask(v4(0), greedy, Question::Ping).is_some());
    let answered = answered.count();
    assert!((100..=400).contains(&answered), "{answered}");
    assert!(world.ask(v4(0), modest, Question::Ping).is_some());
}

#[test]
fn nobody_out_in_the_world_names_addresses_at_home() {
    let mut world = World::new(10, 0.0);
    world.add(v4(0), bounds(), Some(v4(1)));
    world.collect();
    let (_, _, _, packet) = world.packets.pop_front().unwrap();
    let transaction = Message::decode(&packet).unwrap().transaction;
    let named: [SocketAddr; 3] = ["127.0.0.1:53", "192.168.1.1:53", "203.0.113.9:6881"]
        .map(|address| address.parse().unwrap());
    let answer = Message {
        transaction,
        body: Body::Answer(Answer {
            nodes: named
                .iter()
                .map(|address| Contact {
                    id: [address.port().to_be_bytes()[1]; 20].into(),
                    address: *address,
                })
                .collect(),
            peers: named.to_vec(),
            ..Answer::of([1; 20].into())
        }),
    };
    let node = world.nodes.get_mut(&v4(0)).unwrap();
    node.handle_packet(&answer.encode(), v4(1), world.now, &mut world.rng);
    let asked: Vec<_> = std::iter::from_fn(|| node.poll_packet())
        .map(|(to, _)| to)
        .collect();
    assert_eq!(asked, [named[2]]);
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut world = World::new(11, 0.0);
    world.add(v4(0), bounds(), Some(v4(1)));
    world.collect();
    let (_, _, _, packet) = world.packets.pop_front().unwrap();
    let transaction = Message::decode(&packet).unwrap().transaction;
    let body = Body::Answer(Answer::of([1; 20].into()));
    let answer = |transaction| {
        Message {
            transaction,
            body: body.clone(),
        }
        .encode()
    };
    let node = world.nodes.get_mut(&v4(0)).unwrap();
    for (packet, from) in [
        (answer(transaction.clone()), v4(2)),
        (answer(Bytes::from_static(b"1234")), v4(1)),
    ] {
        node.handle_packet(&packet, from, world.now, &mut world.rng);
        assert_eq!(node.known(), 0);
    }
    node.handle_packet(&answer(transaction), v4(1), world.now, &mut world.rng);
    assert_eq!(node.known(), 1);
}

#[test]
fn who_only_reads_answers_nobody_and_is_not_remembered() {
    let mut world = World::of(20, 12, 0.0, v4);
    let reader = v4(100);
    let read_only = Bounds {
        is_read_only: true,
        ..bounds()
    };
    world.add(reader, read_only, Some(v4(0)));
    world.run(Duration::from_secs(30));
    let search = world.search(v4(3), torrent(1), Some(PORT));
    world.result(v4(3), search);
    let search = world.search(reader, torrent(1), None);
    assert_eq!(world.result(reader, search).0, [at_port(v4(3))].into());
    assert!(world.ask(reader, v4(101), Question::Ping).is_none());
    assert!(
        world
            .nodes
            .iter()
            .all(|(address, node)| *address == reader || !node.knows(reader))
    );
}

proptest! {
    #[test]
    fn no_packets_make_a_node_panic(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut rng = StdRng::seed_from_u64(1);
        let now = ambient::now();
        let mut node = Node::new(bounds(), now, &mut rng);
        for packet in packets {
            node.handle_packet(&packet, v4(1), now, &mut rng);
        }
    }
}
