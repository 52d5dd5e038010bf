//! A search: walks through both families towards a torrent, and then the announce to those that are nearest.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use bytes::Bytes;

use super::lookup::Lookup;
use crate::proto::dht::{Answer, Contact, NodeId, Question};
use crate::proto::id::InfoHash;

/// Peers that one search finds, at most.
const MOST_FOUND: usize = 2000;

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// Nodes near an id.
    Nodes(NodeId),
    /// Peers of a torrent, to be announced to with the port, if there is one.
    Peers(InfoHash, Option<NonZeroU16>),
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    aim: Aim,
    /// IPv4 and IPv6.
    walks: [Lookup; 2],
    found: HashSet<SocketAddr>,
    /// Our own address, as the last node said that answered.
    seen_at: [Option<IpAddr>; 2],
    announce: Option<Announce>,
}

/// The end of a search.
#[derive(Debug, Default)]
struct Announce {
    to: VecDeque<(SocketAddr, Bytes)>,
    unanswered: usize,
    accepted: usize,
}

/// A question to be asked.
pub(super) struct Step {
    pub(super) to: SocketAddr,
    pub(super) question: Question,
}

impl Search {
    pub(super) fn new(aim: Aim, walks: [Lookup; 2]) -> Self {
        Self {
            aim,
            walks,
            found: HashSet::new(),
            seen_at: [None; 2],
            announce: None,
        }
    }

    /// The next question, if one is to be asked now.
    pub(super) fn next(&mut self) -> Option<Step> {
        let question = match self.aim {
            Aim::Nodes(id) => Question::FindNode(id),
            Aim::Peers(torrent, _) => Question::GetPeers(torrent),
        };
        if let Some(to) = self.walks.iter_mut().find_map(Lookup::next) {
            return Some(Step { to, question });
        }
        if !self.walks.iter().all(Lookup::is_done) {
            return None;
        }
        let Aim::Peers(info_hash, Some(port)) = self.aim else {
            return None;
        };
        let announce = self.announce.get_or_insert_with(|| Announce {
            to: self.walks.iter().flat_map(Lookup::holders).collect(),
            ..Announce::default()
        });
        let (to, token) = announce.to.pop_front()?;
        announce.unanswered += 1;
        let question = Question::AnnouncePeer {
            info_hash,
            port: Some(port),
            token,
        };
        Some(Step { to, question })
    }

    /// Takes in the answer to a question, and gives the peers that were not known before.
    pub(super) fn answered(&mut self, from: SocketAddr, answer: Answer) -> Vec<SocketAddr> {
        if let Some(announce) = &mut self.announce {
            announce.unanswered = announce.unanswered.saturating_sub(1);
            announce.accepted += 1;
            return Vec::new();
        }
        if let Some(asker) = answer.asker {
            self.seen_at[usize::from(from.is_ipv6())] = Some(asker.ip());
        }
        let (v4, v6): (Vec<Contact>, Vec<Contact>) =
            answer.nodes.iter().partition(|node| node.address.is_ipv4());
        let [walk_v4, walk_v6] = &mut self.walks;
        if from.is_ipv4() {
            walk_v4.answered(from, answer.id, &v4, answer.token);
            walk_v6.offer(&v6);
        } else {
            walk_v6.answered(from, answer.id, &v6, answer.token);
            walk_v4.offer(&v4);
        }
        self.found(answer.peers)
    }

    /// Takes in peers, and gives those that were not known before.
    pub(super) fn found(&mut self, peers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let room = MOST_FOUND.saturating_sub(self.found.len());
        let peers = peers.into_iter().take(room);
        peers.filter(|peer| self.found.insert(*peer)).collect()
    }

    /// Notes that a question was not answered.
    pub(super) fn failed(&mut self, to: SocketAddr) {
        match &mut self.announce {
            Some(announce) => announce.unanswered = announce.unanswered.saturating_sub(1),
            None => self.walks.iter_mut().for_each(|walk| walk.failed(to)),
        }
    }

    /// Whether nothing is left to ask or to wait for. To be asked after [`next`](Self::next) gave nothing.
    pub(super) fn is_done(&self) -> bool {
        let announces = matches!(self.aim, Aim::Peers(_, Some(_)));
        let is_announced = |announce: &Announce| announce.to.is_empty() && announce.unanswered == 0;
        self.walks.iter().all(Lookup::is_done)
            && (!announces || self.announce.as_ref().is_some_and(is_announced))
    }

    /// The torrent and the peer that were announced, in each family where we are among the nearest nodes ourselves: then
    /// we remember it as the others do.
    pub(super) fn to_remember(&self, own: &NodeId) -> impl Iterator<Item = (InfoHash, SocketAddr)> {
        let announced = match self.aim {
            Aim::Peers(torrent, Some(port)) => Some((torrent, port)),
            _ => None,
        };
        let families = self.walks.iter().zip(self.seen_at);
        families.filter_map(move |(walk, seen_at)| {
            let (torrent, port) = announced?;
            let peer = SocketAddr::new(seen_at?, port.get());
            walk.is_beaten_by(own).then_some((torrent, peer))
        })
    }

    /// How many nodes took the announce.
    pub(super) fn accepted(&self) -> usize {
        self.announce
            .as_ref()
            .map_or(0, |announce| announce.accepted)
    }
}
