//! How often each network asks, without a table of networks; and how many bytes leave in a second.
//!
//! Each network is held to a rate with a burst by the generic cell rate algorithm, which keeps one number: when the network will have
//! earned what it used. The numbers are in a fixed table, two places to a network, chosen by a keyed hash so that nobody can aim at
//! another's; the better one counts. So memory does not grow with the crowd, and thousands of networks must be over
//! their rate before one suffers for sharing both its places with them.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::OnceLock;
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
    table: Table,
}

/// When each network will have earned what it used.
#[derive(Debug)]
struct Table {
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
            table: Table::new(),
        })
    }

    /// Counts a question of a network, `uptime` after the start.
    ///
    /// # Errors
    /// How long to wait until one more is earned; then this one is not counted.
    pub fn admit(&self, source: IpAddr, uptime: Duration) -> Result<(), Duration> {
        let now = nanoseconds(uptime);
        let [one, other] = self.table.places(source);
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
}

impl Table {
    fn new() -> Self {
        Self {
            earned_at: std::iter::repeat_with(AtomicU64::default)
                .take(PLACES)
                .collect(),
            keys: RandomState::new(),
        }
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

/// Bytes a second that leave, for all who share them. Each asks for its next bytes and is told when they may leave, in the order of
/// asking, so that nobody is passed over and nobody asks twice.
#[derive(Debug)]
pub struct ByteRate {
    /// Zero where there is no bound.
    per_second: AtomicU64,
    /// When what was asked for so far will have been earned, in nanoseconds since the start.
    earned_at: AtomicU64,
}

impl ByteRate {
    /// So many bytes a second; zero for no bound.
    pub fn new(per_second: u64) -> Self {
        Self {
            per_second: AtomicU64::new(per_second),
            earned_at: AtomicU64::new(0),
        }
    }

    /// Bytes a second; `None` where there is no bound.
    pub fn per_second(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.per_second.load(Relaxed))
    }

    /// So many bytes a second from now on. Whoever waits should ask anew: what was asked for so far is forgotten.
    pub fn set(&self, per_second: u64) {
        if self.per_second.swap(per_second, Relaxed) != per_second {
            self.earned_at.store(0, Relaxed);
        }
    }

    /// Asks for bytes, `uptime` after the start: how long until they may leave.
    pub fn reserve(&self, bytes: u64, uptime: Duration) -> Duration {
        let Some(per_second) = self.per_second() else {
            return Duration::ZERO;
        };
        let (now, cost) = (nanoseconds(uptime), time_for(bytes, per_second));
        let mut free_at = 0;
        // The closure always gives a value, so this is no error.
        let _ = self.earned_at.fetch_update(Relaxed, Relaxed, |earned_at| {
            free_at = earned_at.max(now.saturating_sub(SLACK));
            Some(free_at.saturating_add(cost))
        });
        Duration::from_nanos(free_at.saturating_sub(now))
    }
}

/// Bytes a second that leave for each network: an IPv4 address, or an IPv6 /64.
#[derive(Debug)]
pub struct NetworkByteRate {
    /// Zero where there is no bound.
    per_second: AtomicU64,
    /// Made when there is a bound for the first time.
    table: OnceLock<Table>,
}

impl NetworkByteRate {
    /// So many bytes a second for each; zero for no bound.
    pub const fn new(per_second: u64) -> Self {
        Self {
            per_second: AtomicU64::new(per_second),
            table: OnceLock::new(),
        }
    }

    /// Bytes a second for each; `None` where there is no bound.
    pub fn per_second(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.per_second.load(Relaxed))
    }

    /// So many bytes a second for each from now on. Whoever waits should ask anew: what was asked for so far is forgotten.
    pub fn set(&self, per_second: u64) {
        if self.per_second.swap(per_second, Relaxed) != per_second
            && let Some(table) = self.table.get()
        {
            table.earned_at.iter().for_each(|it| it.store(0, Relaxed));
        }
    }

    /// Asks for bytes for somebody in a network, `uptime` after the start: how long until they may leave.
    pub fn reserve(&self, to: IpAddr, bytes: u64, uptime: Duration) -> Duration {
        let Some(per_second) = self.per_second() else {
            return Duration::ZERO;
        };
        let (now, cost) = (nanoseconds(uptime), time_for(bytes, per_second));
        let [one, other] = self.table.get_or_init(Table::new).places(to);
        let earned_at = one.load(Relaxed).min(other.load(Relaxed));
        let free_at = earned_at.max(now.saturating_sub(SLACK));
        let next = free_at.saturating_add(cost);
        // What one network asks for at the very same moment may count as one.
        one.fetch_max(next, Relaxed);
        other.fetch_max(next, Relaxed);
        Duration::from_nanos(free_at.saturating_sub(now))
    }
}

/// Nanoseconds of earnings that are not lost while nobody asks.
const SLACK: u64 = 100_000_000;

fn time_for(bytes: u64, per_second: NonZeroU64) -> u64 {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(per_second.get());
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

fn nanoseconds(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX)
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
        // As long as so few places are taken, two strangers share both of theirs once in 25,000 runs.
        assert!((0..2_000).all(|n| rate.admit(network(n), seconds(0)).is_ok() || n > 50));
        let strangers = (100_000..101_000).filter(|n| rate.admit(network(*n), seconds(0)).is_err());
        // (4,000 places of 65,536)², so four in a thousand.
        assert!(strangers.count() < 40);
    }

    #[test]
    fn bytes_leave_in_the_order_of_asking_and_at_the_rate() {
        let rate = ByteRate::new(1_000_000);
        let now = seconds(10);
        let waits: Vec<u128> = (0..5)
            .map(|_| rate.reserve(100_000, now).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 100, 200, 300]);
        assert_eq!(rate.reserve(1, seconds(60)), Duration::ZERO);
    }

    #[test]
    fn each_network_has_bytes_of_its_own() {
        let rate = NetworkByteRate::new(1_000);
        let reserve = |ip: &str| rate.reserve(ip.parse().unwrap(), 1_000, seconds(10));
        assert_eq!(reserve("192.0.2.1"), Duration::ZERO);
        assert_eq!(reserve("192.0.2.1"), Duration::from_millis(900));
        assert_eq!(reserve("192.0.2.2"), Duration::ZERO);
        assert_eq!(reserve("2001:db8::1"), Duration::ZERO);
        assert_eq!(reserve("2001:db8::2"), Duration::from_millis(900));
    }

    #[test]
    fn no_rate_is_no_bound() {
        for _ in 0..3 {
            assert_eq!(
                ByteRate::new(0).reserve(u64::MAX, seconds(1)),
                Duration::ZERO
            );
            let per_network = NetworkByteRate::new(0);
            assert_eq!(
                per_network.reserve(HERE, u64::MAX, seconds(1)),
                Duration::ZERO
            );
        }
        assert!(NetworkRate::new(0, 5).is_none());
    }

    #[test]
    fn a_rate_may_be_set_anew_and_nobody_waits_for_the_old_one() {
        let (rate, per_network) = (ByteRate::new(1), NetworkByteRate::new(1));
        rate.reserve(1_000, seconds(10));
        per_network.reserve(HERE, 1_000, seconds(10));
        assert!(rate.reserve(1, seconds(10)) > seconds(900));
        rate.set(1_000);
        per_network.set(1_000);
        assert_eq!(rate.reserve(1_000, seconds(10)), Duration::ZERO);
        assert_eq!(rate.reserve(1_000, seconds(10)), Duration::from_millis(900));
        assert_eq!(
            per_network.reserve(HERE, 1_000, seconds(10)),
            Duration::ZERO
        );
        rate.set(0);
        assert_eq!(rate.reserve(1_000, seconds(10)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn never_more_leaves_than_the_rate_allows(
            asks in proptest::collection::vec((0..300_u64, 1..300_000_u32), 1..200), per_second in 10_000..10_000_000_u32,
        ) {
            let rate = ByteRate::new(per_second.into());
            let (start, mut now, mut sent) = (seconds(1), seconds(1), 0.0);
            for (gap, bytes) in asks {
                now += Duration::from_millis(gap);
                let leaves_at = now + rate.reserve(bytes.into(), now);
                // All that was asked for before has been earned by then, but for the slack.
                let earned = (leaves_at.saturating_sub(start) + Duration::from_millis(101)).as_secs_f64() * f64::from(per_second);
                prop_assert!(sent <= earned, "{sent} bytes where {earned} were earned");
                sent += f64::from(bytes);
            }
        }
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
