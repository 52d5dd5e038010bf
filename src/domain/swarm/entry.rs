//! What a swarm keeps of a peer: as little as it must be known by.

use std::num::NonZeroU16;

use super::Uptime;
use crate::proto::id::PeerId;

/// A peer in a swarm: 14 bytes for IPv4, 26 for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<A> {
    pub(super) ip: A,
    pub(super) port: NonZeroU16,
    /// When it was last heard of.
    pub(super) seen: Moment,
    pub(super) mark: Mark,
}

/// A coarse time: eight seconds of [`Uptime`], going round once in six days. Peers are forgotten long before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment(u16);

impl Moment {
    /// Seconds in one.
    pub(super) const SECONDS: u32 = 8;

    /// Two threads may read the clock in one order and enter in the other: what lies so little ahead is now.
    const AHEAD: u16 = u16::MAX - 64;

    /// How long ago this was, in moments.
    pub(super) const fn silence(self, now: Self) -> u16 {
        match now.0.wrapping_sub(self.0) {
            Self::AHEAD.. => 0,
            silence => silence,
        }
    }

    /// So many moments earlier; it may lie before the start.
    pub(super) const fn before(self, silence: u16) -> Self {
        Self(self.0.wrapping_sub(silence))
    }

    /// As many moments as pass within `seconds`, and one more, so that nobody is forgotten early.
    pub(super) fn lasting(seconds: u32) -> u16 {
        let moments = (seconds / Self::SECONDS).saturating_add(1);
        u16::try_from(moments)
            .unwrap_or(u16::MAX)
            .min(Self::AHEAD - 1)
    }
}

impl From<Uptime> for Moment {
    fn from(Uptime(seconds): Uptime) -> Self {
        let [_, _, high, low] = (seconds / Self::SECONDS).to_be_bytes();
        Self(u16::from_be_bytes([high, low]))
    }
}

/// How a peer is known again, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// 32 bits in place of the peer's id.
    pub(super) tag: [u8; 4],
    /// The lowest 15 bits: what the peer lacks; the highest: it told that its download finished.
    pub(super) state: u16,
}

impl Mark {
    const COMPLETED: u16 = 1 << 15;

    /// The mark of a peer that has told nothing yet.
    pub(super) fn of(id: PeerId) -> Self {
        // Not for safety: ids are claims. All twenty bytes count, for clients differ in which of them are random.
        let (words, _) = id.as_bytes().as_chunks();
        let tag = words.iter().fold(0_u32, |tag, word| {
            (tag.rotate_left(5) ^ u32::from_le_bytes(*word)).wrapping_mul(0x9E37_79B1)
        });
        Self {
            tag: tag.to_le_bytes(),
            state: Share::UNKNOWN.0,
        }
    }

    #[must_use]
    pub(super) const fn lacking(self, share: Share) -> Self {
        Self {
            state: (self.state & Self::COMPLETED) | share.0,
            ..self
        }
    }

    #[must_use]
    pub(super) const fn completed(self) -> Self {
        Self {
            state: self.state | Self::COMPLETED,
            ..self
        }
    }

    pub(super) const fn has_completed(self) -> bool {
        self.state & Self::COMPLETED != 0
    }

    /// What the peer lacks.
    pub(super) const fn lacks(self) -> Share {
        Share(self.state & !Self::COMPLETED)
    }

    pub(super) fn is_same_peer(self, other: Self) -> bool {
        self.tag == other.tag
    }
}

/// A share of a torrent's content, in 32,766ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u16);

impl Share {
    const WHOLE: u16 = 32_766;
    pub(super) const UNKNOWN: Self = Self(Self::WHOLE + 1);

    /// The share that `bytes` are of `length`; the whole where they are more, and never nothing where they are some.
    pub(super) fn of(bytes: u64, length: u64) -> Self {
        let share = u128::from(bytes.min(length)) * u128::from(Self::WHOLE);
        let share = share.div_ceil(u128::from(length.max(1)));
        Self(u16::try_from(share).unwrap_or(Self::WHOLE))
    }

    /// The bytes of `length` by which this is more than `now`; none where it grew, or either is unknown: then a client
    /// did not know before what it lacks.
    pub(super) fn decrease(self, now: Self, length: u64) -> u64 {
        if self == Self::UNKNOWN || now == Self::UNKNOWN {
            return 0;
        }
        let share = u128::from(self.0.saturating_sub(now.0));
        let bytes = share * u128::from(length) / u128::from(Self::WHOLE);
        u64::try_from(bytes).unwrap_or(length)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn moment(seconds: u64) -> Moment {
        Uptime::from(Duration::from_secs(seconds)).into()
    }

    #[test]
    fn an_entry_is_as_small_as_is_said() {
        assert_eq!(size_of::<Entry<Ipv4Addr>>(), 14);
        assert_eq!(size_of::<Entry<Ipv6Addr>>(), 26);
    }

    #[test]
    fn silence_is_right_when_time_goes_round() {
        let day = 24 * 60 * 60;
        for start in [0, 6 * day, 7 * day, 400 * day] {
            assert_eq!(moment(start).silence(moment(start + 4_000)), 500);
            assert_eq!(moment(start + 80).silence(moment(start)), 0, "just ahead");
            assert_eq!(moment(start).before(500).silence(moment(start)), 500);
        }
        assert!(Moment::lasting(u32::MAX) < Moment::AHEAD);
    }

    #[test]
    fn a_mark_keeps_its_parts_apart() {
        let share = Share::of(5, 10);
        let mark = Mark::of([7; 20].into()).completed().lacking(share);
        assert!(mark.has_completed() && mark.lacks() == share);
        assert!(mark.is_same_peer(Mark::of([7; 20].into())));
        assert!(!mark.is_same_peer(Mark::of([8; 20].into())));
        assert_eq!(Mark::of([7; 20].into()).lacks(), Share::UNKNOWN);
    }

    #[test]
    fn only_what_is_known_to_have_come_counts() {
        let share = |left| Share::of(left, 1_000_000);
        assert_eq!(share(1_000_000).decrease(share(0), 1_000_000), 1_000_000);
        assert_eq!(share(u64::MAX).decrease(share(0), 1_000_000), 1_000_000);
        assert_eq!(share(10).decrease(share(1_000), 1_000_000), 0);
        assert_eq!(Share::UNKNOWN.decrease(share(0), 1_000_000), 0);
        assert_eq!(share(10).decrease(Share::UNKNOWN, 1_000_000), 0);
        assert_ne!(Share::of(1, u64::MAX), Share::of(0, u64::MAX));
    }

    proptest! {
        #[test]
        fn what_comes_in_parts_adds_up_to_the_whole(length in 1_u64.., mut lefts in proptest::collection::vec(any::<u64>(), 0..20)) {
            for left in &mut lefts {
                *left %= length;
            }
            lefts.sort_unstable_by(|a, b| b.cmp(a));
            let mut last = Share::of(length, length);
            let mut come = 0_u64;
            for left in lefts.into_iter().chain([0]) {
                let now = Share::of(left, length);
                come += last.decrease(now, length);
                last = now;
            }
            prop_assert!(come <= length && length - come <= 21, "each part is rounded down");
        }
    }
}
