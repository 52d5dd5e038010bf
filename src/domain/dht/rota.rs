//! Whose turn it is to be announced: every torrent again and again, those that never were first.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::proto::id::InfoHash;

/// The torrents in the order of their turns.
#[derive(Debug)]
pub struct Rota {
    /// From one turn of a torrent to its next, at least.
    interval: Duration,
    /// When each is due; what was never announced is due at once, and stands in front.
    turns: VecDeque<(Option<Instant>, InfoHash)>,
    listed: HashSet<InfoHash>,
}

impl Rota {
    /// Nobody's turn yet.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            turns: VecDeque::new(),
            listed: HashSet::new(),
        }
    }

    /// Takes up torrents that are not listed yet.
    pub fn list(&mut self, torrents: impl IntoIterator<Item = InfoHash>) {
        for torrent in torrents {
            if self.listed.insert(torrent) {
                self.turns.push_front((None, torrent));
            }
        }
    }

    /// The torrent whose turn it is; its next one comes after the interval.
    pub fn take(&mut self, now: Instant) -> Option<InfoHash> {
        let (due, torrent) = *self.turns.front()?;
        if due.is_some_and(|due| now < due) {
            return None;
        }
        self.turns.pop_front();
        self.turns.push_back((Some(now + self.interval), torrent));
        Some(torrent)
    }

    /// Gives a torrent that had its turn in vain another one before all others.
    pub fn put_back(&mut self, torrent: InfoHash) {
        self.turns.retain(|(_, listed)| *listed != torrent);
        self.turns.push_front((None, torrent));
    }

    /// Takes the torrent that had the last turn off the list for good.
    pub fn strike(&mut self, torrent: &InfoHash) {
        self.turns.pop_back_if(|(_, last)| last == torrent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    #[test]
    fn everybody_has_a_turn_and_newcomers_are_first() {
        let interval = Duration::from_mins(1);
        let mut rota = Rota::new(interval);
        let now = ambient::now();
        let torrent = |byte: u8| InfoHash::from([byte; 20]);
        rota.list([torrent(1), torrent(2)]);
        assert_eq!(rota.take(now), Some(torrent(2)));
        assert_eq!(rota.take(now), Some(torrent(1)));
        assert_eq!(rota.take(now), None);
        rota.list([torrent(1), torrent(2), torrent(3)]);
        assert_eq!(rota.take(now), Some(torrent(3)));
        let later = now + interval;
        let round: Vec<_> = std::iter::from_fn(|| rota.take(later)).collect();
        assert_eq!(round, [torrent(2), torrent(1), torrent(3)]);
        rota.put_back(torrent(1));
        assert_eq!(rota.take(later), Some(torrent(1)));
        rota.strike(&torrent(1));
        rota.list([torrent(1)]);
        let round: Vec<_> = std::iter::from_fn(|| rota.take(later + interval)).collect();
        assert_eq!(round, [torrent(2), torrent(3)]);
    }
}
