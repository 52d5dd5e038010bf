//! All swarms as bytes: written at intervals and at the end, read at the start, so that peers that come back after a restart
//! find each other at once.
//!
//! The form: [`BEGINNING`], the time in seconds since 1970, then for each swarm a one, its info-hash, its finished
//! downloads in 64 bits and the swarm as [`Swarm::save`] writes it; a zero, and the SHA-256 of everything before. Numbers are little-endian.

use std::io::{self, Write};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::service::{Finished, Tracker};
use crate::domain::swarm::crowd::Crowd;
use crate::domain::swarm::{Damaged, Swarm};
use crate::proto::id::InfoHash;

/// How the file begins; another form will begin otherwise.
const BEGINNING: &[u8] = b"sower swarms 1\n";

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

impl Tracker {
    /// Writes all swarms to `out`. Each part of them is held for the time that copying it takes, and no longer.
    ///
    /// # Errors
    /// What `out` says.
    pub fn save(&self, now: Instant, unix_now: i64, out: &mut impl Write) -> io::Result<()> {
        let now = self.uptime(now);
        let mut checksum = Sha256::new();
        let mut part = BEGINNING.to_vec();
        part.extend(unix_now.to_le_bytes());
        for shard in &self.shards {
            {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                for (name, tracked) in &shard.swarms {
                    part.push(1);
                    part.extend(name.as_bytes());
                    part.extend(tracked.finished.count().to_le_bytes());
                    tracked.swarm.save(now, &mut part);
                }
            }
            checksum.update(&part);
            out.write_all(&part)?;
            part.clear();
        }
        checksum.update([0]);
        out.write_all(&[0])?;
        out.write_all(&checksum.finalize())
    }

    /// Fills an empty tracker with the swarms of torrents that are still tracked here; answers how many peers came back.
    ///
    /// # Errors
    /// [`Damaged`]; then it is as empty as before.
    pub fn restore(&self, saved: &[u8], now: Instant, unix_now: i64) -> Result<usize, Damaged> {
        let (mut bytes, checksum) = saved.split_last_chunk::<CHECKSUM>().ok_or(Damaged)?;
        if Sha256::digest(bytes).as_slice() != checksum {
            return Err(Damaged);
        }
        bytes = bytes.strip_prefix(BEGINNING).ok_or(Damaged)?;
        let saved_at = i64::from_le_bytes(take(&mut bytes)?);
        // A clock that was set back since makes peers no younger than they were.
        let passed = u32::try_from(unix_now.saturating_sub(saved_at).max(0)).unwrap_or(u32::MAX);
        let (now, lifetime) = (self.uptime(now), self.options.lifetime());
        let (mut swarms, nobody) = (Vec::new(), Crowd::default());
        while take(&mut bytes)? != [0] {
            let subject = self.subject(&InfoHash::from(take(&mut bytes)?));
            let completed = u64::from_le_bytes(take(&mut bytes)?);
            let is_tracked = self.admission().tracks(&subject);
            // Who was in a swarm that is no more is counted aside.
            let crowd = if is_tracked { &self.crowd } else { &nobody };
            let swarm = Swarm::restore(&mut bytes, now, passed, lifetime, crowd)?;
            if is_tracked && !swarm.is_empty() {
                swarms.push((subject, completed, swarm));
            }
        }
        let mut restored = 0;
        for (subject, completed, swarm) in swarms {
            restored += swarm.len();
            let mut tracked = self.track(&subject, swarm);
            // The totals of publications are in the database.
            let mut shard = self.shard(&subject.name);
            if let Finished::Unpublished(count) = &mut tracked.finished {
                *count = completed;
                shard.unpublished += 1;
            }
            shard.swarms.insert(subject.name, tracked);
        }
        self.peers.fetch_add(restored, Relaxed);
        Ok(restored)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::asker::{Asker, Door};
    use super::super::options::Options;
    use super::super::tests::{Fixture, START, request};
    use super::*;
    use crate::proto::id::InfoHashes;
    use crate::proto::tracker::announce::{AnnounceRequest, Event};

    const SAVED_AT: i64 = 1_800_000_000;

    fn source(n: u8) -> IpAddr {
        if n.is_multiple_of(2) {
            [198, 51, 100, n].into()
        } else {
            [0x2001, 0xdb8, u16::from(n), 0, 0, 0, 0, 1].into()
        }
    }

    /// Seeds, downloaders and one partial seed over both families.
    async fn busy() -> Fixture {
        let t = Fixture::new(Options::default()).await;
        for n in 0..10 {
            let request = AnnounceRequest {
                left: Some(if n < 4 { 0 } else { 5 }),
                event: if n == 9 {
                    Event::Paused
                } else {
                    Event::Started
                },
                ..request(n.into(), t.v2)
            };
            t.tracker
                .announce(&request, &Asker::new(source(n), Door::Udp), *START)
                .unwrap();
        }
        t
    }

    fn save(t: &Fixture) -> Vec<u8> {
        let mut saved = Vec::new();
        t.tracker.save(*START, SAVED_AT, &mut saved).unwrap();
        saved
    }

    fn numbers(t: &Fixture) -> (u32, u32) {
        let counts = t.tracker.counts(&InfoHashes::V1(t.v1));
        (counts.seeders, counts.leechers)
    }

    #[tokio::test]
    async fn a_restart_empties_no_swarm() {
        let (before, after) = (busy().await, Fixture::new(Options::default()).await);
        let restored = after.tracker.restore(&save(&before), *START, SAVED_AT + 60);
        assert_eq!(restored, Ok(10));
        assert_eq!(after.tracker.peers(), 10);
        assert_eq!(numbers(&after), numbers(&before));
        // One that comes back is the peer that it was, and is handed the others.
        let completed = AnnounceRequest {
            left: Some(0),
            event: Event::Completed,
            ..request(4, after.v1)
        };
        let asker = Asker::new(source(4), Door::Http);
        let answer = after.tracker.announce(&completed, &asker, *START).unwrap();
        assert_eq!(
            (answer.complete, answer.incomplete, answer.downloaded),
            (Some(6), Some(5), Some(1))
        );
        assert!(!answer.peers.is_empty());
    }

    #[tokio::test]
    async fn time_passes_while_the_server_is_down() {
        let (before, after) = (busy().await, Fixture::new(Options::default()).await);
        let lifetime = i64::from(Options::default().lifetime());
        let restored = after
            .tracker
            .restore(&save(&before), *START, SAVED_AT + lifetime + 60);
        assert_eq!((restored, after.tracker.peers()), (Ok(0), 0));
        let after = Fixture::new(Options::default()).await;
        after
            .tracker
            .restore(&save(&before), *START, SAVED_AT + lifetime - 60)
            .unwrap();
        after.tracker.sweep(*START);
        assert_eq!(after.tracker.peers(), 10);
        after.tracker.sweep(*START + Duration::from_mins(2));
        assert_eq!(after.tracker.peers(), 0);
    }

    #[tokio::test]
    async fn what_is_damaged_is_refused_whole() {
        let before = busy().await;
        let saved = save(&before);
        let after = Fixture::new(Options::default()).await;
        for at in 0..saved.len() {
            let mut damaged = saved.clone();
            damaged[at] ^= 1;
            assert_eq!(
                after.tracker.restore(&damaged, *START, SAVED_AT),
                Err(Damaged)
            );
            assert_eq!(
                after.tracker.restore(&saved[..at], *START, SAVED_AT),
                Err(Damaged)
            );
        }
        assert_eq!(after.tracker.peers(), 0);
        assert_eq!(after.tracker.restore(&saved, *START, SAVED_AT), Ok(10));
    }
}
