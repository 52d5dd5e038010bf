//! A swarm as bytes, so that a restart does not empty it.
//!
//! Three counts of 32 bits each (downloaders, partial seeds, seeds), IPv4 and then IPv6, each followed by that many peers:
//! address, port, silence in moments, mark. Numbers are little-endian.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use super::entry::{Entry, Mark, Moment};
use super::members::{Address, Members, Role};
use super::{Crowd, Swarm, Uptime};

/// What was saved is cut short or says what no swarm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a saved swarm is damaged")]
pub struct Damaged;

const ROLES: [Role; 3] = [Role::Downloader, Role::PartialSeed, Role::Seed];

impl Swarm {
    /// Writes the swarm at the end of `out`.
    pub fn save(&self, now: Uptime, out: &mut Vec<u8>) {
        save(&self.v4, now.into(), |ip| ip.octets(), out);
        save(&self.v6, now.into(), |ip| ip.octets(), out);
    }

    /// Reads a swarm from the beginning of `bytes`, which is moved behind it. Peers that were silent for longer than `lifetime`
    /// seconds are left out; `passed` seconds count as silence, for they passed since it was saved.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn restore(
        bytes: &mut &[u8],
        now: Uptime,
        passed: u32,
        lifetime: u32,
        crowd: &Crowd,
    ) -> Result<Self, Damaged> {
        let clock = Clock {
            now: now.into(),
            passed: Moment::lasting(passed) - 1,
            lifetime: Moment::lasting(lifetime),
        };
        Ok(Self {
            v4: restore(bytes, &clock, Ipv4Addr::from_octets, crowd)?,
            v6: restore(bytes, &clock, Ipv6Addr::from_octets, crowd)?,
        })
    }
}

struct Clock {
    now: Moment,
    passed: u16,
    lifetime: u16,
}

fn save<A: Address, const N: usize>(
    members: &Members<A>,
    now: Moment,
    octets: impl Fn(A) -> [u8; N],
    out: &mut Vec<u8>,
) {
    for role in ROLES {
        let count = members.iter().filter(|(of, _)| *of == role).count();
        out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    // The vector lies in the order of the roles.
    for (_, entry) in members.iter() {
        out.extend(octets(entry.ip));
        out.extend(entry.port.get().to_le_bytes());
        out.extend(entry.seen.silence(now).to_le_bytes());
        out.extend(entry.mark.tag);
        out.extend(entry.mark.state.to_le_bytes());
    }
}

fn restore<A: Address, const N: usize>(
    bytes: &mut &[u8],
    clock: &Clock,
    from_octets: impl Fn([u8; N]) -> A,
    crowd: &Crowd,
) -> Result<Members<A>, Damaged> {
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = u32::from_le_bytes(take(bytes)?);
    }
    let mut members = Members::default();
    for (role, count) in ROLES.into_iter().zip(counts) {
        for _ in 0..count {
            let ip = from_octets(take(bytes)?);
            let port = NonZeroU16::new(u16::from_le_bytes(take(bytes)?)).ok_or(Damaged)?;
            let silence = u16::from_le_bytes(take(bytes)?).saturating_add(clock.passed);
            let mark = Mark {
                tag: take(bytes)?,
                state: u16::from_le_bytes(take(bytes)?),
            };
            if silence <= clock.lifetime {
                let seen = clock.now.before(silence);
                let entry = Entry {
                    ip,
                    port,
                    seen,
                    mark,
                };
                members.restore(entry, role, crowd);
            }
        }
    }
    Ok(members)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
    *bytes = rest;
    Ok(*taken)
}
