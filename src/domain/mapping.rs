//! When a port mapping is asked for, renewed and asked for again: the lease of one port at a router (RFC 6886 section 3.3, RFC 6887 section
//! 11.2.1). How a router is spoken to is not known here.

use std::time::{Duration, Instant};

/// The shortest time between two questions to a router, whatever it grants.
const LEAST_WAIT: Duration = Duration::from_secs(5);

/// How soon is asked again where nothing is mapped; it doubles each time.
const FIRST_RETRY: Duration = Duration::from_mins(1);

/// The longest time between two questions where nothing is mapped.
const LONGEST_RETRY: Duration = Duration::from_mins(30);

/// What is worth telling of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The port is mapped, and was not before, or elsewhere.
    Mapped,
    /// The port is not mapped, for the first time since it was or since the start.
    NotMapped,
    /// Nothing changed.
    Nothing,
}

/// The lease of one port. `At` says where the world finds it.
#[derive(Debug)]
pub struct Lease<At> {
    /// What is asked for.
    lifetime: Duration,
    held: Option<Held<At>>,
    /// Questions in a row that brought nothing.
    failures: u32,
    due: Instant,
}

#[derive(Debug)]
struct Held<At> {
    at: At,
    ends: Instant,
}

impl<At: PartialEq> Lease<At> {
    /// Nothing is mapped yet, and the router is to be asked at once. A lease that lasts longer than `lifetime` is renewed as if it did not: a
    /// router that was restarted has forgotten it.
    pub const fn new(lifetime: Duration, now: Instant) -> Self {
        Self {
            lifetime,
            held: None,
            failures: 0,
            due: now,
        }
    }

    /// When the router is to be asked next.
    pub const fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Where the port is mapped to, as far as is known.
    pub fn at(&self) -> Option<&At> {
        self.held.as_ref().map(|held| &held.at)
    }

    /// The router mapped the port for `granted`.
    pub fn handle_granted(&mut self, at: At, granted: Duration, now: Instant) -> News {
        let is_news = self.held.as_ref().is_none_or(|held| held.at != at);
        let lasts = granted.min(self.lifetime).max(LEAST_WAIT);
        self.held = Some(Held {
            at,
            ends: now + lasts,
        });
        self.failures = 0;
        self.due = now + (lasts / 2).max(LEAST_WAIT);
        if is_news { News::Mapped } else { News::Nothing }
    }

    /// No router mapped the port. One that is mapped stays so until its lease ends: until then is asked at ever shorter intervals.
    pub fn handle_refused(&mut self, now: Instant) -> News {
        if let Some(held) = &self.held {
            let left = held.ends.saturating_duration_since(now);
            if !left.is_zero() {
                self.due = now + (left / 2).clamp(LEAST_WAIT, left.max(LEAST_WAIT));
                return News::Nothing;
            }
        }
        let is_news = self.held.take().is_some() || self.failures == 0;
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.due = now + wait.min(LONGEST_RETRY);
        if is_news {
            News::NotMapped
        } else {
            News::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn it_asks_at_once_and_renews_after_half_the_lease() {
        let now = ambient::now();
        let mut lease = Lease::new(HOUR, now);
        assert_eq!(lease.poll_timeout(), now);
        assert_eq!(lease.handle_granted(1, HOUR, now), News::Mapped);
        assert_eq!(lease.poll_timeout(), now + HOUR / 2);
        let later = now + HOUR / 2;
        assert_eq!(lease.handle_granted(1, HOUR, later), News::Nothing);
        assert_eq!(lease.poll_timeout(), now + HOUR);
        assert_eq!(lease.handle_granted(2, HOUR, now + HOUR), News::Mapped);
        assert_eq!(lease.at(), Some(&2));
    }

    #[test]
    fn a_lease_without_end_is_renewed_and_a_short_one_not_at_once() {
        let now = ambient::now();
        let mut lease = Lease::new(HOUR, now);
        lease.handle_granted((), Duration::MAX, now);
        assert_eq!(lease.poll_timeout(), now + HOUR / 2);
        lease.handle_granted((), Duration::ZERO, now);
        assert_eq!(lease.poll_timeout(), now + LEAST_WAIT);
    }

    #[test]
    fn a_refused_renewal_is_news_when_the_lease_has_ended() {
        let start = ambient::now();
        let mut lease = Lease::new(HOUR, start);
        lease.handle_granted((), HOUR, start);
        let mut news = Vec::new();
        while lease.at().is_some() {
            let now = lease.poll_timeout();
            assert!(now > start);
            news.push(lease.handle_refused(now));
            assert!(lease.poll_timeout() >= now + LEAST_WAIT);
        }
        let retried = lease.poll_timeout().duration_since(start + HOUR);
        assert!((FIRST_RETRY..=FIRST_RETRY + LEAST_WAIT).contains(&retried));
        assert_eq!(news.pop(), Some(News::NotMapped));
        assert!(news.len() > 5 && news.iter().all(|news| *news == News::Nothing));
    }

    #[test]
    fn a_router_that_never_maps_is_asked_less_and_less_and_told_of_once() {
        let mut now = ambient::now();
        let mut lease = Lease::<()>::new(HOUR, now);
        assert_eq!(lease.handle_refused(now), News::NotMapped);
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push((lease.poll_timeout() - now).as_secs() / 60);
            now = lease.poll_timeout();
            assert_eq!(lease.handle_refused(now), News::Nothing);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(lease.handle_granted((), HOUR, now), News::Mapped);
        assert_eq!(lease.handle_refused(now + HOUR), News::NotMapped);
    }
}
