//! The node: takes packets and time, gives packets and events.
//!
//! What it remembers is bounded: nodes by the buckets, peers and searches by [`Bounds`], questions by the pace at which they are asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{Rng, RngExt};

use super::answers::{Answers, may_name, pack};
use super::figures::Figures;
use super::lookup::Lookup;
use super::routing::{BUCKET, FRESH, RoutingTable};
use super::search::{Aim, Search};
use super::stored::StoredPeers;
use super::tokens::Tokens;
use super::whereabouts::Whereabouts;
use crate::domain::rate::NetworkRate;
use crate::proto::dht::{Answer, Body, Contact, Message, NodeId, Query, Question, Want};
use crate::proto::id::InfoHash;

/// Questions that may be asked at once, beyond the pace.
const BURST: u32 = 16;

/// Questions that a network may send at once, beyond its rate.
const ASKER_BURST: u32 = 200;

/// Nodes that are asked whether they are there, at once.
const MAX_CHECKS: usize = 32;

/// How often silent nodes are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait before nodes are looked for again while there are hardly any.
const LONELY_INTERVAL: Duration = Duration::from_secs(10);

/// What a node may use.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The families of addresses that its socket reaches.
    pub families: Want,
    /// Whether it answers nobody (BEP 43).
    pub is_read_only: bool,
    /// Questions that it asks in a second over longer times.
    pub queries_per_second: u32,
    /// How long it waits for an answer.
    pub query_timeout: Duration,
    /// Questions that one network may ask it in a minute; zero: any number.
    pub queries_per_minute: u32,
    /// Searches at a time.
    pub searches: usize,
    /// Peers of others that it remembers, in all.
    pub stored_peers: usize,
    /// Peers of others that it remembers of one torrent.
    pub stored_peers_per_torrent: usize,
}

/// Names a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SearchId(u64);

/// What comes of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Peers that were not found before.
    Found(SearchId, Vec<SocketAddr>),
    /// It is over; so many nodes took the announce.
    Done(SearchId, usize),
}

/// A node of the DHT.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    bounds: Bounds,
    start: Instant,
    /// IPv4 and IPv6.
    tables: [RoutingTable; 2],
    /// Where to begin while hardly anybody is known.
    entries: Vec<SocketAddr>,
    tokens: Tokens,
    whereabouts: Whereabouts,
    stored: StoredPeers,
    askers: Option<NetworkRate>,
    /// Questions without an answer yet, by transaction.
    asked: HashMap<u32, Asked>,
    searches: BTreeMap<SearchId, Search>,
    next_search: u64,
    /// When all questions asked so far will have been earned.
    earned: Instant,
    is_held_back: bool,
    check_due: Instant,
    refresh_due: Instant,
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
    /// What is counted; what is there is looked up.
    counted: Figures,
}

#[derive(Debug)]
struct Asked {
    to: SocketAddr,
    due: Instant,
    /// `None`: only whether it is there.
    search: Option<SearchId>,
}

impl Node {
    /// A node that knows nobody yet.
    pub fn new(bounds: Bounds, now: Instant, rng: &mut impl Rng) -> Self {
        let id = NodeId::generate(rng);
        Self {
            id,
            start: now,
            tables: [RoutingTable::new(id), RoutingTable::new(id)],
            entries: Vec::new(),
            tokens: Tokens::default(),
            whereabouts: Whereabouts::default(),
            stored: StoredPeers::new(bounds.stored_peers, bounds.stored_peers_per_torrent),
            askers: NetworkRate::new(bounds.queries_per_minute, ASKER_BURST),
            asked: HashMap::new(),
            searches: BTreeMap::new(),
            next_search: 0,
            earned: now,
            is_held_back: false,
            check_due: now + CHECK_INTERVAL,
            refresh_due: now,
            packets: VecDeque::new(),
            events: VecDeque::new(),
            counted: Figures::default(),
            bounds,
        }
    }

    /// Says where other nodes may be.
    pub fn enter_by(&mut self, addresses: Vec<SocketAddr>, now: Instant) {
        self.entries = addresses;
        if self.known() < BUCKET {
            self.refresh_due = now;
        }
    }

    /// Somebody has a node at that address, and says so: it is asked, unless very many are, or its family is out of reach.
    pub fn hear_of(&mut self, address: SocketAddr, now: Instant, rng: &mut impl Rng) {
        if self.bounds.families.covers(address) && self.may_check() && self.may_ask(now) {
            self.check(address, now, rng);
        }
    }

    /// How many nodes are known.
    pub fn known(&self) -> usize {
        self.tables.iter().map(RoutingTable::len).sum()
    }

    /// What it knows and has done.
    pub fn figures(&self) -> Figures {
        let [v4, v6] = &self.tables;
        Figures {
            nodes_v4: v4.len(),
            nodes_v6: v6.len(),
            stored_peers: self.stored.len(),
            ..self.counted
        }
    }

    /// Whether another search may begin.
    pub fn has_room(&self) -> bool {
        self.searches.len() < self.bounds.searches
    }

    /// Begins to search for the peers of a torrent, and then announces a peer at our address with that port, if there is one.
    pub fn search(
        &mut self,
        torrent: InfoHash,
        announce: Option<NonZeroU16>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> SearchId {
        let id = self.begin(Aim::Peers(torrent, announce));
        let own = self.stored.some(&torrent, |_| true, now, rng);
        if let Some(search) = self.searches.get_mut(&id)
            && !own.is_empty()
        {
            self.events.push_back(Event::Found(id, search.found(own)));
        }
        self.go_on(now, rng);
        id
    }

    /// Ends a search whose result nobody wants any more.
    pub fn abandon(&mut self, search: SearchId) {
        self.searches.remove(&search);
    }

    /// Takes in a packet.
    pub fn handle_packet(
        &mut self,
        packet: &[u8],
        source: SocketAddr,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let taken = Message::decode(packet)
            .ok()
            .and_then(|message| self.take_message(message, source, packet.len(), now, rng));
        self.counted.dropped += u64::from(taken.is_none());
        self.handle_timeout(now, rng);
    }

    /// Does what time has come for: to be called when [`poll_timeout`](Self::poll_timeout) says, and after commands.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl Rng) {
        let overdue = self.asked.extract_if(|_, asked| asked.due <= now);
        for (_, asked) in overdue.collect::<Vec<_>>() {
            self.table(asked.to).failed(asked.to);
            self.handle_failure(asked.search, asked.to);
        }
        if self.refresh_due <= now {
            self.refresh(now, rng);
        }
        if self.check_due <= now {
            self.check_due = now + CHECK_INTERVAL;
            for family in 0..self.tables.len() {
                while self.may_check()
                    && let Some(silent) = self.tables[family].questionable(now)
                {
                    self.check(silent.address, now, rng);
                }
            }
        }
        self.go_on(now, rng);
    }

    /// The next packet to send.
    pub fn poll_packet(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.packets.pop_front()
    }

    /// What has come of a search.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn poll_timeout(&self) -> Instant {
        let due = self.asked.values().map(|asked| asked.due);
        let due = due.chain([self.check_due, self.refresh_due]);
        let due = due.chain(self.is_held_back.then_some(self.earned));
        due.min().unwrap_or(self.check_due)
    }

    /// `None` where nothing came of it.
    fn take_message(
        &mut self,
        message: Message,
        source: SocketAddr,
        length: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<()> {
        match message.body {
            Body::Query(query) => {
                self.handle_query(&query, message.transaction, source, length, now, rng)?;
            }
            Body::Answer(answer) => {
                let asked = self.take_asked(&message.transaction, source)?;
                if let Some(seen) = answer.asker {
                    self.take_place(source, seen, now, rng);
                }
                self.handle_answer(asked.search, answer, source, now);
            }
            Body::Error(..) => {
                let asked = self.take_asked(&message.transaction, source)?;
                self.handle_failure(asked.search, source);
            }
        }
        Some(())
    }

    fn begin(&mut self, aim: Aim) -> SearchId {
        let target = match aim {
            Aim::Nodes(id) => id,
            Aim::Peers(torrent, _) => torrent.into(),
        };
        let walks = [(true, 0), (false, 1)].map(|(is_v4, family)| {
            let known = self.tables[family].closest(&target, BUCKET);
            let entries = self.entries.iter().filter(|it| it.is_ipv4() == is_v4);
            let entries = entries.copied().filter(|_| known.len() < BUCKET);
            Lookup::new(target, &known, &entries.collect::<Vec<_>>())
        });
        let id = SearchId(self.next_search);
        self.next_search += 1;
        self.searches.insert(id, Search::new(aim, walks));
        id
    }

    /// Asks the next questions of all searches, as far as the pace allows, and ends those that are done.
    fn go_on(&mut self, now: Instant, rng: &mut impl Rng) {
        self.is_held_back = false;
        let mut done = Vec::new();
        let mut searches = std::mem::take(&mut self.searches);
        for (id, search) in &mut searches {
            loop {
                if !self.may_ask(now) {
                    self.is_held_back = true;
                    break;
                }
                let Some(step) = search.next() else { break };
                self.ask(step.to, step.question, Some(*id), now, rng);
            }
            if !self.is_held_back && search.is_done() {
                done.push(*id);
            }
        }
        for id in done {
            let Some(search) = searches.remove(&id) else {
                continue;
            };
            for (torrent, peer) in search.to_remember(&self.id) {
                self.stored.announce(torrent, peer, now);
            }
            let accepted = search.accepted();
            self.counted.announced += u64::try_from(accepted).unwrap_or(0);
            self.events.push_back(Event::Done(id, accepted));
        }
        self.searches = searches;
    }

    fn handle_query(
        &mut self,
        query: &Query,
        transaction: Bytes,
        source: SocketAddr,
        length: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<()> {
        let uptime = now.saturating_duration_since(self.start);
        let admits = |askers: &NetworkRate| askers.admit(source.ip(), uptime).is_ok();
        if self.bounds.is_read_only
            || query.id == self.id
            || !self.askers.as_ref().is_none_or(admits)
        {
            return None;
        }
        let asker = Contact {
            id: query.id,
            address: source,
        };
        let body = Answers {
            own: self.id,
            tables: &self.tables,
            tokens: &self.tokens,
            stored: &mut self.stored,
            uptime,
            now,
        }
        .to(query, source, rng);
        let is_announce = matches!(query.question, Question::AnnouncePeer { .. });
        self.counted.took += u64::from(is_announce && matches!(body, Body::Answer(_)));
        self.counted.answered += 1;
        let has_proved = self.table(source).has_proved(&asker, now);
        let message = Message { transaction, body };
        self.packets
            .push_back((source, pack(message, length, has_proved)));
        if !query.is_read_only && self.may_check() && self.table(source).has_room_for(&asker) {
            self.check(source, now, rng);
        }
        Some(())
    }

    fn handle_answer(
        &mut self,
        search: Option<SearchId>,
        mut answer: Answer,
        source: SocketAddr,
        now: Instant,
    ) {
        let node = Contact {
            id: answer.id,
            address: source,
        };
        self.table(source).answered(node, now);
        let Some((id, search)) = search.and_then(|id| Some((id, self.searches.get_mut(&id)?)))
        else {
            return;
        };
        let families = self.bounds.families;
        answer.nodes.retain(|node| {
            families.covers(node.address) && may_name(source, node.address) && node.id != self.id
        });
        answer.peers.retain(|peer| may_name(source, *peer));
        let found = search.answered(source, answer);
        if !found.is_empty() {
            self.events.push_back(Event::Found(id, found));
        }
    }

    /// Takes another id where ours does not go with our address, once that is known (BEP 42).
    fn take_place(
        &mut self,
        witness: SocketAddr,
        seen: SocketAddr,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let own = self.id;
        let is_new = |ip| !own.suits(ip);
        if let Some(ip) = self.whereabouts.hear(witness, seen, now, is_new) {
            self.id = NodeId::generate_for(ip, rng);
            for table in &mut self.tables {
                table.rename(self.id);
            }
            self.refresh_due = now;
        }
    }

    fn handle_failure(&mut self, search: Option<SearchId>, node: SocketAddr) {
        if let Some(search) = search.and_then(|id| self.searches.get_mut(&id)) {
            search.failed(node);
        }
    }

    /// Learns who is near us, and who is anywhere.
    fn refresh(&mut self, now: Instant, rng: &mut impl Rng) {
        let is_lonely = self.known() < BUCKET;
        self.refresh_due = now + if is_lonely { LONELY_INTERVAL } else { FRESH };
        if self.entries.is_empty() && self.known() == 0 || !self.has_room() {
            return;
        }
        self.begin(Aim::Nodes(self.id));
        if !is_lonely {
            self.begin(Aim::Nodes(NodeId::generate(rng)));
        }
    }

    /// Asks a node whether it is there.
    fn check(&mut self, address: SocketAddr, now: Instant, rng: &mut impl Rng) {
        if !self.asked.values().any(|asked| asked.to == address) {
            self.ask(address, Question::Ping, None, now, rng);
        }
    }

    fn may_check(&self) -> bool {
        let checks = self.asked.values().filter(|asked| asked.search.is_none());
        checks.count() < MAX_CHECKS
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.earned <= now + self.interval() * BURST
    }

    /// Between two questions.
    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.bounds.queries_per_second.max(1)
    }

    fn ask(
        &mut self,
        to: SocketAddr,
        question: Question,
        search: Option<SearchId>,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        self.counted.asked += 1;
        self.earned = self.earned.max(now) + self.interval();
        let transaction: u32 = rng.random();
        let families = self.bounds.families;
        let message = Message {
            transaction: Bytes::copy_from_slice(&transaction.to_be_bytes()),
            body: Body::Query(Query {
                id: self.id,
                is_read_only: self.bounds.is_read_only,
                want: (families.v4 && families.v6).then_some(families),
                question,
            }),
        };
        self.packets.push_back((to, message.encode()));
        let due = now + self.bounds.query_timeout;
        self.asked.insert(transaction, Asked { to, due, search });
    }

    /// The question that a packet answers; `None` where it answers none that was put to its sender.
    fn take_asked(&mut self, transaction: &[u8], source: SocketAddr) -> Option<Asked> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        let is_from_asked = self.asked.get(&transaction)?.to == source;
        is_from_asked.then(|| self.asked.remove(&transaction))?
    }

    #[cfg(test)]
    pub(super) const fn id(&self) -> NodeId {
        self.id
    }

    #[cfg(test)]
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        let all = self
            .tables
            .iter()
            .flat_map(|table| table.closest(&self.id, usize::MAX));
        all.into_iter().any(|node| node.address == address)
    }

    fn table(&mut self, address: SocketAddr) -> &mut RoutingTable {
        &mut self.tables[usize::from(address.is_ipv6())]
    }
}
