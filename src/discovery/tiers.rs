//! Which tracker is asked next, and when (BEP 12).
//!
//! Trackers stand in tiers. Within a tier their order is random, and one that answers moves to its front; a later tier is
//! asked only where every tracker before it failed. One that failed is left alone for a while, longer each time.
//! Nothing here asks a clock or a tracker.

use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::proto::tracker::announce::{Event, Retry};

/// How long a tracker is left alone after its first failure; twice that after the second, and so on.
const FIRST_BACK_OFF: Duration = Duration::from_secs(15);

/// How long a tracker is left alone at most, however often it failed.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(30);

/// The trackers of a torrent.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: Vec<Vec<Tracker>>,
    /// When the next regular announce is due.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Tracker {
    url: String,
    failures: u32,
    /// It is left alone until then.
    rests_until: Option<Instant>,
    /// It asked never to be asked again (BEP 31).
    is_dismissed: bool,
    knows: Knows,
}

/// What a tracker was told of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knows {
    Nothing,
    Downloader,
    Seed,
}

/// Where a tracker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    tier: usize,
    index: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Announce to the tracker at this place.
    Announce(Place, Event),
    /// Nothing before then.
    WaitUntil(Instant),
    /// Nothing ever: no tracker is left.
    GiveUp,
}

impl Tiers {
    /// Tiers of tracker addresses, most important first.
    pub(super) fn new(tiers: Vec<Vec<String>>, rng: &mut impl Rng) -> Self {
        let tiers = tiers.into_iter().map(|urls| {
            let mut tier: Vec<_> = urls.into_iter().map(Tracker::new).collect();
            // BEP 12: within a tier, not between tiers.
            tier.shuffle(rng);
            tier
        });
        Self {
            tiers: tiers.collect(),
            due: None,
        }
    }

    /// What is to be done at `now`, for a download that `is_complete` or not.
    pub(super) fn poll(&self, now: Instant, is_complete: bool) -> Step {
        let trackers = || self.all().filter(|(_, tracker)| !tracker.is_dismissed);
        let is_news = |tracker: &Tracker| is_complete && tracker.knows == Knows::Downloader;
        if let Some((place, _)) =
            trackers().find(|(_, tracker)| is_news(tracker) && !tracker.rests(now))
        {
            return Step::Announce(place, Event::Completed);
        }
        if let Some(due) = self.due.filter(|due| *due > now) {
            let news = trackers()
                .filter(|(_, tracker)| is_news(tracker))
                .filter_map(|(_, tracker)| tracker.rests_until);
            return Step::WaitUntil(news.chain([due]).min().unwrap_or(due));
        }
        if let Some((place, tracker)) = trackers().find(|(_, tracker)| !tracker.rests(now)) {
            let event = match tracker.knows {
                Knows::Nothing => Event::Started,
                Knows::Downloader | Knows::Seed => Event::None,
            };
            return Step::Announce(place, event);
        }
        let earliest = trackers().filter_map(|(_, tracker)| tracker.rests_until);
        earliest.min().map_or(Step::GiveUp, Step::WaitUntil)
    }

    /// The address of the tracker at a place.
    pub(super) fn url(&self, place: Place) -> &str {
        &self.tiers[place.tier][place.index].url
    }

    /// The tracker at `place` answered: it moves to the front, and the next announce is due at `due`.
    pub(super) fn succeeded(&mut self, place: Place, is_complete: bool, due: Instant) {
        let tier = &mut self.tiers[place.tier];
        let tracker = &mut tier[place.index];
        tracker.failures = 0;
        tracker.rests_until = None;
        tracker.knows = if is_complete {
            Knows::Seed
        } else {
            Knows::Downloader
        };
        tier[..=place.index].rotate_right(1);
        self.due = Some(due);
    }

    /// The tracker at `place` failed or refused; answers how long it is left alone, `None` for ever.
    pub(super) fn failed(
        &mut self,
        place: Place,
        retry: Option<Retry>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        let tracker = &mut self.tiers[place.tier][place.index];
        tracker.failures = tracker.failures.saturating_add(1);
        let asked_for = match retry {
            Some(Retry::Never) => {
                tracker.is_dismissed = true;
                return None;
            }
            Some(Retry::InMinutes(minutes)) => Duration::from_mins(minutes.min(24 * 60).into()),
            None => Duration::ZERO,
        };
        let doublings = tracker.failures.saturating_sub(1).min(16);
        let back_off = FIRST_BACK_OFF
            .saturating_mul(1 << doublings)
            .min(LONGEST_BACK_OFF);
        // Some chance, so that the peers of a tracker that was away do not all come back at once.
        let rest = back_off.max(asked_for) + back_off.mul_f64(rng.random_range(0.0..0.25));
        tracker.rests_until = now.checked_add(rest);
        Some(rest)
    }

    /// The addresses of the trackers that list us.
    pub(super) fn told(&self) -> impl Iterator<Item = &str> {
        let told = self.all().filter(|(_, it)| it.knows != Knows::Nothing);
        told.map(|(_, tracker)| tracker.url.as_str())
    }

    /// Whether the tracker at an address takes us for a downloader still.
    pub(super) fn takes_for_downloader(&self, url: &str) -> bool {
        self.all()
            .any(|(_, it)| it.url == url && it.knows == Knows::Downloader)
    }

    fn all(&self) -> impl Iterator<Item = (Place, &Tracker)> {
        self.tiers.iter().enumerate().flat_map(|(tier, trackers)| {
            let places = (0..).map(move |index| Place { tier, index });
            places.zip(trackers)
        })
    }
}

impl Tracker {
    fn new(url: String) -> Self {
        Self {
            url,
            failures: 0,
            rests_until: None,
            is_dismissed: false,
            knows: Knows::Nothing,
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    fn tiers(tiers: &[&[&str]], seed: u64) -> Tiers {
        let tiers = tiers
            .iter()
            .map(|tier| tier.iter().map(|&url| url.to_owned()).collect())
            .collect();
        Tiers::new(tiers, &mut StdRng::seed_from_u64(seed))
    }

    fn next(tiers: &Tiers, now: Instant) -> (Place, String, Event) {
        match tiers.poll(now, false) {
            Step::Announce(place, event) => (place, tiers.url(place).to_owned(), event),
            other => panic!("{other:?}"),
        }
    }

    const INTERVAL: Duration = Duration::from_mins(30);

    #[test]
    fn a_tier_is_shuffled_and_tiers_are_not() {
        let mut first = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let tiers = tiers(&[&["a", "b", "c"], &["d"]], seed);
            let urls: Vec<_> = tiers
                .all()
                .map(|(_, tracker)| tracker.url.clone())
                .collect();
            assert_eq!(urls[3], "d");
            first.insert(urls[0].clone());
        }
        assert_eq!(first.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_tracker_that_answers_moves_to_the_front_of_its_tier() {
        let now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut tiers = tiers(&[&["a", "b", "c"]], 1);
        let order: Vec<_> = tiers.all().map(|(_, it)| it.url.clone()).collect();
        for url in &order[..2] {
            let (place, asked, event) = next(&tiers, now);
            assert_eq!((&asked, event), (url, Event::Started));
            tiers.failed(place, None, now, &mut rng);
        }
        let (place, asked, _) = next(&tiers, now);
        assert_eq!(asked, order[2]);
        tiers.succeeded(place, false, now + INTERVAL);
        let after: Vec<_> = tiers.all().map(|(_, it)| it.url.clone()).collect();
        assert_eq!(after, [&*order[2], &order[0], &order[1]]);
        assert_eq!(tiers.poll(now, false), Step::WaitUntil(now + INTERVAL));
        let (_, again, event) = next(&tiers, now + INTERVAL);
        assert_eq!((again, event), (order[2].clone(), Event::None));
    }

    #[test]
    fn a_later_tier_is_asked_only_after_all_before_it_failed() {
        let now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut tiers = tiers(&[&["a"], &["b"]], 1);
        let (place, url, _) = next(&tiers, now);
        assert_eq!(url, "a");
        tiers.failed(place, None, now, &mut rng);
        let (place, url, _) = next(&tiers, now);
        assert_eq!(url, "b");
        tiers.succeeded(place, false, now + INTERVAL);
        // By the next announce the first tier may be back: it is asked first again, and knows nothing yet.
        let (_, url, event) = next(&tiers, now + INTERVAL);
        assert_eq!((&*url, event), ("a", Event::Started));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_rests() {
        let now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut tiers = tiers(&[&["a"]], 1);
        let place = Place { tier: 0, index: 0 };
        for seconds in [15, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800] {
            let rest = tiers.failed(place, None, now, &mut rng).unwrap();
            let least = Duration::from_secs(seconds);
            assert!(least <= rest && rest < least * 5 / 4, "{rest:?}");
            assert_eq!(tiers.poll(now, false), Step::WaitUntil(now + rest));
            assert_eq!(next(&tiers, now + rest).0, place);
        }
        tiers.succeeded(place, false, now);
        let rest = tiers.failed(place, None, now, &mut rng).unwrap();
        assert!(rest < Duration::from_secs(20), "an answer makes up for it");
    }

    #[test]
    fn a_tracker_says_itself_when_to_come_back() {
        let now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut tiers = tiers(&[&["a"]], 1);
        let place = Place { tier: 0, index: 0 };
        let hour = tiers.failed(place, Some(Retry::InMinutes(60)), now, &mut rng);
        assert!(hour.unwrap() >= Duration::from_hours(1));
        let most = tiers.failed(place, Some(Retry::InMinutes(u32::MAX)), now, &mut rng);
        assert!(most.unwrap() < Duration::from_hours(25));
        assert_eq!(tiers.failed(place, Some(Retry::Never), now, &mut rng), None);
        assert_eq!(
            tiers.poll(now + Duration::from_hours(100), false),
            Step::GiveUp
        );
    }

    #[test]
    fn completion_is_told_at_once_and_once() {
        let now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut tiers = tiers(&[&["a"], &["b"]], 1);
        let place = Place { tier: 0, index: 0 };
        tiers.succeeded(place, false, now + INTERVAL);
        assert_eq!(
            tiers.poll(now, true),
            Step::Announce(place, Event::Completed)
        );
        // It is told again where that failed, long before the next regular announce.
        let rest = tiers.failed(place, None, now, &mut rng).unwrap();
        assert_eq!(tiers.poll(now, true), Step::WaitUntil(now + rest));
        assert_eq!(
            tiers.poll(now + rest, true),
            Step::Announce(place, Event::Completed)
        );
        tiers.succeeded(place, true, now + INTERVAL);
        assert_eq!(tiers.poll(now, true), Step::WaitUntil(now + INTERVAL));
        assert_eq!(tiers.told().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn no_trackers_are_nothing_to_wait_for() {
        assert_eq!(tiers(&[], 1).poll(ambient::now(), false), Step::GiveUp);
        assert_eq!(tiers(&[&[]], 1).poll(ambient::now(), false), Step::GiveUp);
    }
}
