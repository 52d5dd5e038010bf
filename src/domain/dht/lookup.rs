//! One walk towards an id through the nodes of one family: from those that are known to those that are nearest (BEP 5, after Kademlia).
//!
//! It asks few at once, the nearest first, and is done when the nearest that are alive have all answered. What nodes claim is
//! bounded: only the nearest of all that were named are kept.

use std::net::SocketAddr;

use bytes::Bytes;

use super::routing::BUCKET;
use crate::proto::dht::{Contact, NodeId};

/// Questions on their way at once.
const ASKED_AT_ONCE: usize = 4;

/// Nodes that are kept, at most.
const KEPT: usize = 64;

/// The walk.
#[derive(Debug)]
pub(super) struct Lookup {
    target: NodeId,
    /// Nearest first; those whose ids are not known yet before all others.
    nodes: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    id: Option<NodeId>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    Answered(Option<Bytes>),
    Failed,
}

impl Lookup {
    /// Begins with nodes that are known, and addresses where there may be one.
    pub(super) fn new(target: NodeId, known: &[Contact], addresses: &[SocketAddr]) -> Self {
        let mut lookup = Self {
            target,
            nodes: Vec::new(),
        };
        for address in addresses {
            lookup.add(*address, None);
        }
        for node in known {
            lookup.add(node.address, Some(node.id));
        }
        lookup
    }

    /// The next node to ask, if one is to be asked now.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let asked = self.nodes.iter().filter(|node| node.state == State::Asked);
        if asked.count() >= ASKED_AT_ONCE {
            return None;
        }
        let next = self
            .nearest()
            .find(|at| self.nodes[*at].state == State::Fresh)?;
        self.nodes[next].state = State::Asked;
        Some(self.nodes[next].address)
    }

    /// Takes in an answer.
    pub(super) fn answered(
        &mut self,
        address: SocketAddr,
        id: NodeId,
        named: &[Contact],
        token: Option<Bytes>,
    ) {
        let Some(node) = self.asked(address) else {
            return;
        };
        node.state = State::Answered(token);
        node.id = Some(id);
        self.offer(named);
    }

    /// Takes in nodes that somebody named.
    pub(super) fn offer(&mut self, named: &[Contact]) {
        for node in named {
            self.add(node.address, Some(node.id));
        }
        self.nodes
            .sort_by_key(|node| node.id.map(|id| id.distance(&self.target)));
        self.nodes.truncate(KEPT);
    }

    /// Notes that a node has not answered.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        if let Some(node) = self.asked(address) {
            node.state = State::Failed;
        }
    }

    /// Whether nobody is left to ask or to wait for.
    pub(super) fn is_done(&self) -> bool {
        !self
            .nearest()
            .any(|at| matches!(self.nodes[at].state, State::Fresh | State::Asked))
    }

    /// The nearest nodes that have answered, with the tokens they gave.
    pub(super) fn holders(&self) -> impl Iterator<Item = (SocketAddr, Bytes)> {
        let nearest = self.nearest().map(|at| &self.nodes[at]);
        nearest.filter_map(|node| match &node.state {
            State::Answered(Some(token)) => Some((node.address, token.clone())),
            _ => None,
        })
    }

    /// Whether a node is nearer than the last of the nearest, or there is room among them.
    pub(super) fn is_beaten_by(&self, id: &NodeId) -> bool {
        let last = self.nearest().nth(BUCKET - 1);
        let last = last.and_then(|at| self.nodes[at].id);
        last.is_none_or(|last| id.distance(&self.target) < last.distance(&self.target))
    }

    /// The nearest that have not failed, and whoever's distance is not known.
    fn nearest(&self) -> impl Iterator<Item = usize> {
        let alive = self.nodes.iter().enumerate();
        let alive = alive.filter(|(_, node)| node.state != State::Failed);
        let mut count = 0;
        alive
            .take_while(move |(_, node)| {
                count += usize::from(node.id.is_some());
                count <= BUCKET
            })
            .map(|(at, _)| at)
    }

    fn asked(&mut self, address: SocketAddr) -> Option<&mut Candidate> {
        self.nodes
            .iter_mut()
            .find(|node| node.address == address && node.state == State::Asked)
    }

    /// A node counts once, whatever names it is given: an address is what costs a cheat something.
    fn add(&mut self, address: SocketAddr, id: Option<NodeId>) {
        if !self.nodes.iter().any(|node| node.address == address) {
            self.nodes.push(Candidate {
                address,
                id,
                state: State::Fresh,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(first: u8) -> Contact {
        let mut id = [0; 20];
        id[0] = first;
        Contact {
            id: id.into(),
            address: SocketAddr::from(([192, 0, 2, first], 6881)),
        }
    }

    #[test]
    fn it_asks_few_at_once_and_the_nearest_first() {
        let known: Vec<_> = (1..=20).rev().map(node).collect();
        let mut lookup = Lookup::new([0; 20].into(), &[], &[node(200).address]);
        assert_eq!(lookup.next(), Some(node(200).address));
        assert_eq!(lookup.next(), None);
        assert!(!lookup.is_done());
        lookup.answered(node(200).address, node(200).id, &known, None);
        let asked: Vec<_> = std::iter::from_fn(|| lookup.next()).collect();
        assert_eq!(asked, [1, 2, 3, 4].map(|first| node(first).address));
        lookup.failed(node(3).address);
        assert_eq!(lookup.next(), Some(node(5).address));
    }

    #[test]
    fn it_is_done_when_the_nearest_have_answered() {
        let known: Vec<_> = (1..=20).map(node).collect();
        let mut lookup = Lookup::new([0; 20].into(), &known, &[]);
        let mut asked = 0;
        while let Some(address) = lookup.next() {
            asked += 1;
            let SocketAddr::V4(v4) = address else {
                panic!()
            };
            match v4.ip().octets()[3] {
                2 => lookup.failed(address),
                first => {
                    let token = Some(Bytes::copy_from_slice(&[first]));
                    lookup.answered(address, node(first).id, &[], token);
                }
            }
        }
        assert!(lookup.is_done());
        assert_eq!(asked, 9);
        let holders: Vec<u8> = lookup.holders().map(|(_, token)| token[0]).collect();
        assert_eq!(holders, [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_nodes_claim_is_bounded() {
        let mut lookup = Lookup::new([0; 20].into(), &[node(255)], &[]);
        for round in 0..40_u16 {
            let Some(address) = lookup.next() else { break };
            let claimed: Vec<_> = (0..32_u16)
                .map(|number| Contact {
                    address: SocketAddr::from(([198, 51, 100, 1], 1 + round * 32 + number)),
                    ..node(100)
                })
                .collect();
            lookup.answered(address, node(100).id, &claimed, None);
        }
        assert!(lookup.nodes.len() <= KEPT);
    }
}
