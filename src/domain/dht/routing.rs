//! The nodes that a node knows, of one family: many near itself, few far away (BEP 5, "routing table").
//!
//! Only who has answered a question of ours is listed, so nobody gets in under a false address. A bucket holds the nodes that have so many
//! first bits in common with us; who has been there longest stays, as long as it answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::proto::dht::{Contact, NodeId};

/// Nodes in a bucket, and in an answer: the `K` of BEP 5.
pub(super) const BUCKET: usize = 8;

/// Unanswered questions in a row after which a node makes room for another.
const BAD: u8 = 2;

/// Unanswered questions in a row after which a node is forgotten.
const GONE: u8 = 4;

/// How long a node that answered is taken to be there still.
pub(super) const FRESH: Duration = Duration::from_mins(15);

/// The nodes of one family.
#[derive(Debug)]
pub(super) struct RoutingTable {
    own: NodeId,
    /// By the number of first bits in common with `own`.
    buckets: Vec<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    contact: Contact,
    /// When it answered last.
    heard: Instant,
    /// When it was asked last because it had been silent.
    checked: Instant,
    failures: u8,
}

impl RoutingTable {
    pub(super) fn new(own: NodeId) -> Self {
        let buckets = std::iter::repeat_with(Vec::new);
        Self {
            own,
            buckets: buckets.take(NodeId::LENGTH * 8).collect(),
        }
    }

    /// Sorts the nodes anew around another id.
    pub(super) fn rename(&mut self, own: NodeId) {
        let known = std::mem::replace(self, Self::new(own)).buckets;
        for known in known.into_iter().flatten() {
            if let Some(bucket) = self.bucket(&known.contact.id)
                && bucket.len() < BUCKET
            {
                bucket.push(known);
            }
        }
    }

    /// Notes that a node has answered. BEP 42: where there is no room, one whose id does not go with its address makes room for one whose does;
    /// most of the world's nodes have none yet that does.
    pub(super) fn answered(&mut self, contact: Contact, now: Instant) {
        let Some(bucket) = self.bucket(&contact.id) else {
            return;
        };
        let same = |known: &Known| known.contact.id == contact.id;
        let place = match bucket.iter().position(same) {
            Some(at) if bucket[at].contact.address == contact.address => Some(at),
            // Whoever comes under a name that is taken has to wait until its bearer is silent.
            Some(at) => Some(at).filter(|at| bucket[*at].failures >= BAD),
            None if bucket.len() < BUCKET => return bucket.push(Known::new(contact, now)),
            None => bucket.iter().position(|known| known.yields_to(&contact)),
        };
        if let Some(known) = place.and_then(|at| bucket.get_mut(at)) {
            *known = Known::new(contact, now);
        }
    }

    /// Notes that a node has not answered.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        for bucket in &mut self.buckets {
            for known in bucket.iter_mut() {
                if known.contact.address == address {
                    known.failures = known.failures.saturating_add(1);
                }
            }
            bucket.retain(|known| known.failures < GONE);
        }
    }

    /// Whether a node that is not known yet would be listed if it answered.
    pub(super) fn has_room_for(&mut self, contact: &Contact) -> bool {
        self.bucket(&contact.id).is_some_and(|bucket| {
            let is_known = bucket.iter().any(|known| known.contact.id == contact.id);
            let has_room =
                bucket.len() < BUCKET || bucket.iter().any(|known| known.yields_to(contact));
            has_room && !is_known
        })
    }

    /// Whether whoever is at an address has answered there lately, so that packets to it reach who asks.
    pub(super) fn has_proved(&self, contact: &Contact, now: Instant) -> bool {
        self.all()
            .any(|known| known.contact == *contact && known.is_good(now))
    }

    /// The nodes nearest to an id that are not known to be silent, nearest first.
    pub(super) fn closest(&self, target: &NodeId, count: usize) -> Vec<Contact> {
        let there = self.all().filter(|known| known.failures < BAD);
        let mut nodes: Vec<_> = there.map(|known| known.contact).collect();
        nodes.sort_unstable_by_key(|node| node.id.distance(target));
        nodes.truncate(count);
        nodes
    }

    /// The node that has been silent for longest, where that is too long; it is to be asked now.
    pub(super) fn questionable(&mut self, now: Instant) -> Option<Contact> {
        let all = self.buckets.iter_mut().flatten();
        let silent = all.filter(|known| {
            !known.is_good(now)
                && now.saturating_duration_since(known.checked)
                    >= FRESH / (3 << known.failures.min(3))
        });
        let silent = silent.min_by_key(|known| known.heard)?;
        silent.checked = now;
        Some(silent.contact)
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Known> {
        self.buckets.iter().flatten()
    }

    /// `None` for our own id.
    fn bucket(&mut self, id: &NodeId) -> Option<&mut Vec<Known>> {
        self.buckets.get_mut(self.own.common_bits(id))
    }
}

impl Known {
    const fn new(contact: Contact, now: Instant) -> Self {
        Self {
            contact,
            heard: now,
            checked: now,
            failures: 0,
        }
    }

    /// Whether it makes room for another that answered.
    fn yields_to(&self, other: &Contact) -> bool {
        let suits = |node: &Contact| node.id.suits(node.address.ip());
        self.failures >= BAD || !suits(&self.contact) && suits(other)
    }

    fn is_good(&self, now: Instant) -> bool {
        self.failures == 0 && now.saturating_duration_since(self.heard) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    fn node(first: u8, last: u8) -> Contact {
        let mut id = [0; 20];
        id[0] = first;
        id[19] = last;
        Contact {
            id: id.into(),
            address: SocketAddr::from(([192, 0, 2, last], 6881)),
        }
    }

    fn full_bucket() -> (RoutingTable, Instant) {
        let now = ambient::now();
        let mut table = RoutingTable::new([0; 20].into());
        for last in 1..=9 {
            table.answered(node(0x80, last), now);
        }
        (table, now)
    }

    #[test]
    fn whose_id_goes_with_its_address_comes_before_whose_does_not() {
        let (mut table, now) = full_bucket();
        let mut rng = ambient::rng();
        let address = node(0x80, 77).address;
        let ids = std::iter::repeat_with(|| NodeId::generate_for(address.ip(), &mut rng));
        let id = ids.into_iter().find(|id| id.as_bytes()[0] >= 0x80).unwrap();
        let suited = Contact { id, address };
        assert!(table.has_room_for(&suited));
        table.answered(suited, now);
        assert_eq!(table.len(), BUCKET);
        assert!(table.closest(&id, 1) == [suited]);
        assert!(!table.has_room_for(&node(0x80, 78)));
    }

    #[test]
    fn another_name_sorts_the_nodes_anew() {
        let (mut table, _) = full_bucket();
        table.rename([0xff; 20].into());
        assert_eq!(table.len(), BUCKET);
        assert_eq!(table.closest(&node(0x80, 1).id, 1), [node(0x80, 1)]);
    }

    #[test]
    fn who_was_first_stays_as_long_as_it_answers() {
        let (mut table, now) = full_bucket();
        assert_eq!(table.len(), BUCKET);
        assert!(!table.has_room_for(&node(0x80, 9)));
        let nearest = table.closest(&node(0x80, 9).id, 1);
        assert_eq!(nearest, [node(0x80, 8)]);

        table.failed(node(0x80, 3).address);
        table.answered(node(0x80, 9), now);
        assert!(!table.closest(&node(0x80, 9).id, 8).contains(&node(0x80, 9)));
        table.failed(node(0x80, 3).address);
        assert!(table.has_room_for(&node(0x80, 9)));
        table.answered(node(0x80, 9), now);
        let nodes = table.closest(&node(0x80, 9).id, 8);
        assert!(nodes[0] == node(0x80, 9) && !nodes.contains(&node(0x80, 3)));
    }

    #[test]
    fn buckets_near_us_take_what_far_ones_do_not() {
        let (mut table, now) = full_bucket();
        for last in 20..28 {
            table.answered(node(0x01, last), now);
        }
        assert_eq!(table.len(), 2 * BUCKET);
        table.answered(node(0, 0), now);
        assert_eq!(table.len(), 2 * BUCKET, "we are not in our own table");
    }

    #[test]
    fn nobody_takes_the_name_of_a_node_that_answers() {
        let (mut table, now) = full_bucket();
        let mut thief = node(0x80, 1);
        thief.address.set_port(1);
        table.answered(thief, now);
        assert_eq!(table.closest(&thief.id, 1), [node(0x80, 1)]);
        assert!(!table.has_proved(&thief, now));
        assert!(table.has_proved(&node(0x80, 1), now));
        assert!(!table.has_proved(&node(0x80, 1), now + FRESH));
    }

    #[test]
    fn silent_nodes_are_asked_and_then_forgotten() {
        let (mut table, now) = full_bucket();
        assert_eq!(table.questionable(now), None);
        let later = now + FRESH;
        let asked: Vec<_> = std::iter::from_fn(|| table.questionable(later)).collect();
        assert_eq!(asked.len(), BUCKET);
        for _ in 0..GONE {
            table.failed(asked[0].address);
        }
        table.answered(asked[1], later);
        assert_eq!(table.len(), BUCKET - 1);
        let again = later + FRESH / 2;
        assert_eq!(
            std::iter::from_fn(|| table.questionable(again)).count(),
            BUCKET - 2
        );
    }
}
