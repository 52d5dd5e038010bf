//! How long somebody has to wait after wrong passwords.
//!
//! Failures are counted per account name and per address (an IPv6 address by its /64, for one person has that many).
//! The first few are free; then the wait doubles with each, up to a bound. The table is bounded too: it forgets those
//! who failed longest ago.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::networks::household;

/// Failures that cost no wait.
const FREE_FAILURES: u32 = 5;

/// Names and addresses that are remembered, at most.
const MAX_ENTRIES: usize = 10_000;

/// Who failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Culprit {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Counts failed log-ins.
#[derive(Debug)]
pub(super) struct Backoff {
    longest_wait: Duration,
    /// Never held over an await.
    failures: Mutex<HashMap<Culprit, Failures>>,
}

impl Backoff {
    /// Counts from nothing; nobody ever waits longer than `longest_wait`.
    pub(super) fn new(longest_wait: Duration) -> Self {
        Self {
            longest_wait,
            failures: Mutex::default(),
        }
    }

    /// Begins a try, which counts as a failure until it [succeeds](Self::succeeded): many tries at once must not all be
    /// free.
    ///
    /// # Errors
    /// How long to wait yet.
    pub(super) fn begin(&self, account: &str, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let culprits = culprits(account, from);
        let wait = culprits
            .iter()
            .filter_map(|culprit| failures.get(culprit))
            .map(|failure| self.wait_left(failure, now))
            .max()
            .unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        for culprit in culprits {
            let entry = failures.entry(culprit).or_insert(Failures {
                count: 0,
                last: now,
            });
            // After a long quiet time the count begins anew.
            if now.saturating_duration_since(entry.last) > self.longest_wait.saturating_mul(2) {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
        }
        self.forget_oldest(&mut failures, now);
        Ok(())
    }

    /// The try was good: the account begins anew. The address is only given this one try back, for whoever owns one
    /// account may still be guessing others.
    pub(super) fn succeeded(&self, account: &str, from: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let [account, address] = culprits(account, from);
        failures.remove(&account);
        if let Some(entry) = failures.get_mut(&address) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn wait_left(&self, failures: &Failures, now: Instant) -> Duration {
        let Some(doublings) = failures.count.checked_sub(FREE_FAILURES) else {
            return Duration::ZERO;
        };
        let wait = Duration::from_secs(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
        wait.min(self.longest_wait)
            .saturating_sub(now.saturating_duration_since(failures.last))
    }

    fn forget_oldest(&self, failures: &mut HashMap<Culprit, Failures>, now: Instant) {
        if failures.len() <= MAX_ENTRIES {
            return;
        }
        let quiet = self.longest_wait.saturating_mul(2);
        failures.retain(|_, entry| now.saturating_duration_since(entry.last) <= quiet);
        if failures.len() <= MAX_ENTRIES {
            return;
        }
        // A tenth at once, so that the search is not paid for by every try.
        let mut times: Vec<Instant> = failures.values().map(|entry| entry.last).collect();
        let (_, tenth, _) = times.select_nth_unstable(MAX_ENTRIES / 10);
        let oldest = *tenth;
        failures.retain(|_, entry| entry.last > oldest);
    }
}

fn culprits(account: &str, from: IpAddr) -> [Culprit; 2] {
    [
        Culprit::Account(account.to_lowercase()),
        Culprit::Address(household(from)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn elsewhere(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn minute() -> Backoff {
        Backoff::new(Duration::from_mins(1))
    }

    #[test]
    fn waits_double_after_the_free_failures_up_to_the_bound() {
        let (backoff, start) = (minute(), crate::ambient::now());
        for _ in 0..FREE_FAILURES {
            assert_eq!(backoff.begin("ada", HERE, start), Ok(()));
        }
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(backoff.begin("ada", HERE, now), Err(wait));
            now += wait;
            assert_eq!(backoff.begin("ada", HERE, now), Ok(()));
        }
    }

    #[test]
    fn an_account_is_guarded_from_many_addresses_and_whatever_its_case() {
        let (backoff, now) = (minute(), crate::ambient::now());
        for n in 0..5 {
            assert_eq!(backoff.begin("Ada", elsewhere(n), now), Ok(()));
        }
        assert!(backoff.begin("ada", elsewhere(9), now).is_err());
        assert_eq!(backoff.begin("bob", elsewhere(10), now), Ok(()));
    }

    #[test]
    fn an_address_is_slowed_over_many_accounts_and_its_whole_network() {
        let (backoff, now) = (minute(), crate::ambient::now());
        for n in 0..5 {
            let from = format!("2001:db8::{n}").parse().unwrap();
            assert_eq!(backoff.begin(&format!("user{n}"), from, now), Ok(()));
        }
        assert!(
            backoff
                .begin("user9", "2001:db8::ffff".parse().unwrap(), now)
                .is_err()
        );
        assert!(
            backoff
                .begin("user9", "2001:db8:0:1::1".parse().unwrap(), now)
                .is_ok()
        );
    }

    #[test]
    fn success_clears_the_account_but_not_what_its_address_did_elsewhere() {
        let (backoff, now) = (minute(), crate::ambient::now());
        for n in 0..4 {
            assert_eq!(backoff.begin(&format!("user{n}"), HERE, now), Ok(()));
        }
        assert_eq!(backoff.begin("ada", HERE, now), Ok(()));
        backoff.succeeded("ada", HERE);
        assert_eq!(backoff.begin("bob", HERE, now), Ok(()));
        assert!(backoff.begin("cid", HERE, now).is_err());
    }

    #[test]
    fn the_table_stays_bounded() {
        let (backoff, now) = (minute(), crate::ambient::now());
        for n in 0..20_000_u32 {
            let at = now + Duration::from_millis(n.into());
            assert_eq!(
                backoff.begin(&format!("user{n}"), IpAddr::V4(n.into()), at),
                Ok(())
            );
        }
        assert!(backoff.failures.lock().unwrap().len() <= MAX_ENTRIES);
    }
}
