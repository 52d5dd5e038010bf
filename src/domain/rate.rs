//! How often each network asks, without a table of networks.
//!
//! Each network is held to a rate with a burst by the generic cell rate algorithm, which keeps one number: when the network will have
//! earned what it used. The numbers are in a fixed table, two places to a network, chosen by a keyed hash so that nobody can aim at
//! another's; the better one counts. So memory does not grow with the crowd, and thousands of networks must be over
//! their rate before one suffers for sharing both its places with them.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const PLACES: usize = 1 << 16;

/// A rate that every network is held to: an IPv4 address, or an IPv6 /64, for one person has that many addresses.
#[derive(Debug)]
pub struct NetworkRate {
    /// Nanoseconds in which one question is earned.
    interval: u64,
    /// Nanoseconds of earnings that may be used in advance.
    burst: u64,
    /// Nanoseconds since the start, each.
    earned_at: Box<[AtomicU64]>,
    keys: RandomState,
}

impl NetworkRate {
    /// At most `per_minute` questions a minute over longer times, and `burst` at once. `None` where there is no bound: zero a minute.
    pub fn new(per_minute: u32, burst: u32) -> Option<Self> {
        const MINUTE: u64 = 60_000_000_000;
        let interval = MINUTE.checked_div(per_minute.into())?.max(1);
        Some(Self {
            interval,
            burst: interval.saturating_mul(burst.max(1).into()),
            earned_at: std::iter::repeat_with(AtomicU64::default)
                .take(PLACES)
                .collect(),
            keys: RandomState::new(),
        })
    }

    /// Counts a question of a network, `uptime` after the start.
    ///
    /// # Errors
    /// How long to wait until one more is earned; then this one is not counted.
    pub fn admit(&self, source: IpAddr, uptime: Duration) -> Result<(), Duration> {
        let now = u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX);
        let [one, other] = self.places(source);
        let earned_at = one.load(Relaxed).min(other.load(Relaxed));
        let next = earned_at.max(now).saturating_add(self.interval);
        let over = next.saturating_sub(now.saturating_add(self.burst));
        if over > 0 {
            return Err(Duration::from_nanos(over));
        }
        // Questions of one network at the very same moment may count as one: a bound this generous does not mind.
        one.fetch_max(next, Relaxed);
        other.fetch_max(next, Relaxed);
        Ok(())
    }

    fn places(&self, source: IpAddr) -> [&AtomicU64; 2] {
        let network = match source.to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits() >> 64 | 1 << 64,
        };
        let [a, b, c, d, ..] = self.keys.hash_one(network).to_le_bytes();
        [[a, b], [c, d]].map(|bytes| &self.earned_at[usize::from(u16::from_le_bytes(bytes))])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn admitted(rate: &NetworkRate, source: IpAddr, at: Duration, questions: usize) -> usize {
        (0..questions)
            .filter(|_| rate.admit(source, at).is_ok())
            .count()
    }

    #[test]
    fn a_burst_is_served_and_then_the_rate() {
        let rate = NetworkRate::new(60, 100).unwrap();
        assert_eq!(admitted(&rate, HERE, seconds(0), 500), 100);
        assert_eq!(rate.admit(HERE, seconds(0)), Err(seconds(1)));
        assert_eq!(admitted(&rate, HERE, seconds(10), 500), 10);
        assert_eq!(admitted(&rate, HERE, seconds(1_000), 500), 100);
    }

    #[test]
    fn who_is_refused_is_not_made_to_wait_longer() {
        let rate = NetworkRate::new(60, 1).unwrap();
        assert_eq!(admitted(&rate, HERE, seconds(5), 1_000), 1);
        assert_eq!(rate.admit(HERE, seconds(6)), Ok(()));
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64() {
        let rate = NetworkRate::new(1, 1).unwrap();
        let admit = |ip: &str| rate.admit(ip.parse().unwrap(), seconds(0)).is_ok();
        assert!(admit("2001:db8::1"));
        assert!(!admit("2001:db8::ffff:0:0:2"));
        assert!(admit("2001:db8:0:1::1"));
        assert!(admit("192.0.2.1") && admit("192.0.2.2"));
        assert!(!admit("::ffff:192.0.2.1"));
    }

    #[test]
    fn nobody_pays_for_the_crowd() {
        let rate = NetworkRate::new(1, 1).unwrap();
        let network = |n: u32| IpAddr::V4((0x0a00_0000 + n).into());
        assert!((0..2_000).all(|n| rate.admit(network(n), seconds(0)).is_ok() || n > 500));
        let strangers = (100_000..101_000).filter(|n| rate.admit(network(*n), seconds(0)).is_err());
        // (4,000 places of 65,536)², so four in a thousand.
        assert!(strangers.count() < 40);
    }

    #[test]
    fn no_rate_is_no_bound() {
        assert!(NetworkRate::new(0, 5).is_none());
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_are_admitted_and_no_less(
            gaps in proptest::collection::vec(0..5_000_u64, 1..300), burst in 1..50_u32,
        ) {
            let rate = NetworkRate::new(60, burst).unwrap();
            let (mut now, mut tokens) = (Duration::ZERO, u64::from(burst) * 1_000);
            for gap in gaps {
                now += Duration::from_millis(gap);
                // The same as a bucket of tokens, a thousandth earned each millisecond.
                tokens = (tokens + gap).min(u64::from(burst) * 1_000);
                let is_admitted = rate.admit(HERE, now).is_ok();
                prop_assert_eq!(is_admitted, tokens >= 1_000);
                tokens -= if is_admitted { 1_000 } else { 0 };
            }
        }
    }
}
