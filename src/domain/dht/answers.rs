//! What a node answers to the questions of others: never more than three times the question, unless who asks has
//! proved that it is where it says; so nobody can turn us against another.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::Rng;

use super::routing::{BUCKET, RoutingTable};
use super::stored::StoredPeers;
use super::tokens::Tokens;
use crate::proto::dht::{Answer, Body, MAX_PACKET, Message, NodeId, Query, Question, Want};

/// How much longer than its question an answer may be.
const AMPLIFICATION: usize = 3;

/// BEP 5: a token or an argument that does not hold.
const PROTOCOL_ERROR: u16 = 203;

/// BEP 5: a question that is not known.
const METHOD_UNKNOWN: u16 = 204;

/// What answers are made of.
pub(super) struct Answers<'a> {
    pub(super) own: NodeId,
    pub(super) tables: &'a [RoutingTable; 2],
    pub(super) tokens: &'a Tokens,
    pub(super) stored: &'a mut StoredPeers,
    pub(super) uptime: Duration,
    pub(super) now: Instant,
}

impl Answers<'_> {
    /// The answer to a question.
    pub(super) fn to(&mut self, query: &Query, asker: SocketAddr, rng: &mut impl Rng) -> Body {
        let mut answer = Answer {
            asker: Some(asker),
            ..Answer::of(self.own)
        };
        let want = query.want.unwrap_or_else(|| Want {
            v4: asker.is_ipv4(),
            v6: asker.is_ipv6(),
        });
        match &query.question {
            Question::Ping => {}
            Question::FindNode(target) => self.add_nodes(&mut answer, target, want),
            Question::GetPeers(torrent) => {
                let is_wanted = |peer: SocketAddr| peer.is_ipv4() == asker.is_ipv4();
                answer.peers = self.stored.some(torrent, is_wanted, self.now, rng);
                answer.peers.truncate(MAX_PACKET / 8);
                let token = self.tokens.give(asker.ip(), self.uptime);
                answer.token = Some(token.to_vec().into());
                self.add_nodes(&mut answer, &(*torrent).into(), want);
            }
            Question::AnnouncePeer {
                info_hash,
                port,
                token,
            } => {
                if !self.tokens.holds(token, asker.ip(), self.uptime) {
                    return Body::Error(PROTOCOL_ERROR, "bad token".to_owned());
                }
                let port = port.map_or(asker.port(), Into::into);
                let peer = SocketAddr::new(asker.ip(), port);
                self.stored.announce(*info_hash, peer, self.now);
            }
            Question::Other => return Body::Error(METHOD_UNKNOWN, "method unknown".to_owned()),
        }
        Body::Answer(answer)
    }

    fn add_nodes(&self, answer: &mut Answer, target: &NodeId, want: Want) {
        for (table, is_wanted) in self.tables.iter().zip([want.v4, want.v6]) {
            if is_wanted {
                let nodes = table.closest(target, BUCKET);
                // Whoever asks knows of itself.
                let others = nodes
                    .into_iter()
                    .filter(|node| Some(node.address) != answer.asker);
                answer.nodes.extend(others);
            }
        }
    }
}

/// The packet of an answer, cut to the length that its asker may have.
pub(super) fn pack(mut message: Message, question: usize, has_proved: bool) -> Vec<u8> {
    let most = if has_proved {
        MAX_PACKET
    } else {
        MAX_PACKET.min(AMPLIFICATION * question)
    };
    loop {
        let packet = message.encode();
        let Body::Answer(answer) = &mut message.body else {
            return packet;
        };
        if packet.len() <= most || !shorten(answer) {
            return packet;
        }
    }
}

/// Takes out what takes more room: the last of the peers, or the farthest of the nodes. Says whether there was anything.
fn shorten(answer: &mut Answer) -> bool {
    if answer.nodes.len() * 3 > answer.peers.len() {
        answer.nodes.pop().is_some()
    } else {
        answer.peers.pop().is_some()
    }
}

/// Whether an address that somebody names may be told by him: nobody out in the world knows who is on our machine or in our
/// network, and whoever names addresses there means harm.
pub(super) fn may_name(source: SocketAddr, named: SocketAddr) -> bool {
    reach(named.ip()) >= reach(source.ip())
}

/// How far away an address may lie: on this machine, in this network, anywhere.
fn reach(ip: IpAddr) -> u8 {
    let is_near = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match (ip.is_loopback(), is_near) {
        (true, _) => 0,
        (_, true) => 1,
        _ => 2,
    }
}
