//! Who is admitted to which swarm: the tracker's mode, its deny list, passkeys, and the rate of each network.
//!
//! Asked first for every announce and scrape, from memory alone. Each refusal says in words what to do, and when to come back
//! (BEP 31): `never` where waiting changes nothing.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::deny::{DenyFileError, DenyList};
use super::gateway::{Gateways, own_gateway};
use super::options::Options;
use super::passkeys::Passkeys;
use super::service::Subject;
use crate::catalog::Catalog;
use crate::domain::networks::is_private;
use crate::domain::rate::NetworkRate;
use crate::proto::id::InfoHash;
use crate::proto::tracker::announce::{AnnounceRequest, Failure, Retry};

/// Minutes after which a client asks again for a torrent that is not published: it may be by then.
const RETRY_UNKNOWN: u32 = 60;

/// What the tracker is for (`tracker.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Torrents that are published here, for everybody.
    #[default]
    Published,
    /// Any torrent, for everybody.
    Open,
    /// Torrents that are published here, for those who show an account's passkey (BEP 27).
    Private,
}

/// Decides who is admitted. Shared by all doors.
#[derive(Debug)]
pub struct Admission {
    mode: Mode,
    accepts_claimed_addresses: bool,
    deny: DenyList,
    rate: Option<NetworkRate>,
    passkeys: Passkeys,
    gateways: Gateways,
    start: Instant,
}

impl Admission {
    /// An admission by these options, started at `now`. No passkey works before it was told some.
    pub(super) fn new(options: &Options, catalog: &Catalog, now: Instant) -> Self {
        let primary = |info_hash: &InfoHash| primary(catalog, info_hash);
        Self {
            mode: options.mode,
            accepts_claimed_addresses: options.ip_from_private_networks,
            deny: DenyList::new(&options.deny, &options.deny_file, primary),
            rate: NetworkRate::new(options.announces_per_minute, options.announce_burst),
            passkeys: Passkeys::default(),
            gateways: Gateways::new(options.gateway_peers, own_gateway()),
            start: now,
        }
    }

    /// Admits an announce.
    ///
    /// # Errors
    /// [`Failure`] in words.
    pub(super) fn admit(
        &self,
        request: &AnnounceRequest,
        subject: &Subject,
        asker: &Asker,
        now: Instant,
    ) -> Result<(), Failure> {
        self.admit_asker(asker, now)?;
        if self.is_denied(&request.info_hash, subject) {
            return Err(never(
                "This tracker does not serve this torrent. Ask its operator why.",
            ));
        }
        if !self.tracks(subject) {
            let unknown = "This tracker does not know this torrent. Ask its publisher, or try again later if it is new.";
            return Err(Failure::new(unknown).retry(Retry::InMinutes(RETRY_UNKNOWN)));
        }
        self.gateways.note(
            asker.ip,
            &request.info_hash,
            &request.peer_id,
            self.uptime(now),
        );
        Ok(())
    }

    /// Admits somebody who asks, whatever for; what a scrape needs besides is [`is_denied`](Self::is_denied).
    ///
    /// # Errors
    /// [`Failure`] in words.
    pub(super) fn admit_asker(&self, asker: &Asker, now: Instant) -> Result<(), Failure> {
        if self.deny.includes_network_of(asker.ip) {
            return Err(never(
                "This tracker does not serve your network. Ask its operator why.",
            ));
        }
        self.check_rate(asker, now)?;
        if self.mode != Mode::Private {
            return Ok(());
        }
        match &asker.passkey {
            Some(passkey) if self.passkeys.include(passkey) => Ok(()),
            Some(_) => Err(never(
                "The passkey in this tracker's address does not work any more. Log in on the tracker's web page and download the torrent again.",
            )),
            None => Err(never(
                "This tracker is private. Log in on its web page and download the torrent there: then it has your own passkey.",
            )),
        }
    }

    /// Whether a torrent was taken down, or is on the deny list by the name that was asked for or the one that stands for it.
    pub(super) fn is_denied(&self, asked: &InfoHash, subject: &Subject) -> bool {
        subject.is_taken_down
            || self.deny.includes_torrent(asked)
            || self.deny.includes_torrent(&subject.name)
    }

    /// Whether a torrent has a swarm here, if somebody comes.
    pub(super) fn tracks(&self, subject: &Subject) -> bool {
        self.mode == Mode::Open || subject.publication.is_some()
    }

    /// What the tracker is for.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The passkeys that work.
    pub fn passkeys(&self) -> &Passkeys {
        &self.passkeys
    }

    /// Whether the deny list has a file that may change.
    pub const fn has_deny_file(&self) -> bool {
        self.deny.has_file()
    }

    /// Reads the deny list anew if its file changed, and says whether it did. Waits for the disk.
    ///
    /// # Errors
    /// [`DenyFileError`], once for each change; then the list stays as it was.
    pub(super) fn refresh_deny_list(&self, catalog: &Catalog) -> Result<bool, DenyFileError> {
        self.deny.refresh(|info_hash| primary(catalog, info_hash))
    }

    /// Words for the operator where many peers lately came from one address that seems to stand for all of them.
    pub fn gateway_warning(&self, now: Instant) -> Option<String> {
        self.gateways.warning(self.uptime(now))
    }

    /// Whoever asks, at the address that it claims, if it may: on a private network, where the configuration lets it. Everybody else
    /// could have others connect to a victim.
    pub(super) fn place(&self, asker: &Asker, claimed: impl FnOnce() -> Option<IpAddr>) -> Asker {
        if !self.accepts_claimed_addresses || !is_private(asker.ip) {
            return *asker;
        }
        let claimed = claimed().map(|ip| ip.to_canonical());
        let usable =
            claimed.filter(|ip| !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()));
        usable.map_or(*asker, |ip| asker.at(ip))
    }

    fn check_rate(&self, asker: &Asker, now: Instant) -> Result<(), Failure> {
        let Some(rate) = self.rate.as_ref().filter(|_| !asker.ip.is_loopback()) else {
            return Ok(());
        };
        rate.admit(asker.ip, self.uptime(now)).map_err(|wait| {
            let minutes = u32::try_from(wait.as_secs().div_ceil(60).max(1)).unwrap_or(u32::MAX);
            Failure::new("Your network asks this tracker too often. Wait a little; with very many torrents, stop some of them.")
                .retry(Retry::InMinutes(minutes))
        })
    }

    fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

/// The name that stands for a torrent that is published here.
fn primary(catalog: &Catalog, info_hash: &InfoHash) -> Option<InfoHash> {
    Some(catalog.listed(info_hash)?.primary)
}

fn never(reason: &'static str) -> Failure {
    Failure::new(reason).retry(Retry::Never)
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use super::super::asker::Door;
    use super::super::tests::{Fixture, START, request};
    use super::*;
    use crate::domain::passkey::Passkey;
    use crate::proto::tracker::announce::ScrapeRequest;

    const UNKNOWN: [u8; 20] = [9; 20];

    fn asker(ip: &str) -> Asker {
        Asker::new(ip.parse().unwrap(), Door::Http)
    }

    fn stranger() -> Asker {
        asker("198.51.100.7")
    }

    fn with_mode(mode: Mode) -> Options {
        Options {
            mode,
            ..Options::default()
        }
    }

    impl Fixture {
        fn ask(&self, info_hash: InfoHash, asker: &Asker) -> Result<(), Failure> {
            let request = request(1, info_hash);
            self.tracker.announce(&request, asker, *START).map(|_| ())
        }

        fn scraped(&self, info_hash: InfoHash, asker: &Asker) -> Result<usize, Failure> {
            let request = ScrapeRequest {
                info_hashes: vec![info_hash],
            };
            let answer = self.tracker.scrape(&request, asker, *START)?;
            Ok(answer.files.len())
        }
    }

    #[tokio::test]
    async fn by_default_what_is_published_is_tracked_for_everybody() {
        let t = Fixture::new(Options::default()).await;
        let any = stranger().with_passkey(Some(Passkey::from([1; 16])));
        assert!(t.ask(t.v1, &stranger()).is_ok() && t.ask(t.v2, &any).is_ok());
        let refusal = t.ask(UNKNOWN.into(), &stranger()).unwrap_err();
        assert_eq!(refusal.retry, Some(Retry::InMinutes(60)));
    }

    #[tokio::test]
    async fn an_open_tracker_takes_any_torrent() {
        let t = Fixture::new(with_mode(Mode::Open)).await;
        assert_eq!(t.scraped(UNKNOWN.into(), &stranger()), Ok(0));
        assert!(t.ask(UNKNOWN.into(), &stranger()).is_ok());
        assert_eq!(t.scraped(UNKNOWN.into(), &stranger()), Ok(1));
    }

    #[tokio::test]
    async fn a_private_tracker_serves_those_whose_passkey_works() {
        let t = Fixture::new(with_mode(Mode::Private)).await;
        let [hers, his] = [[1; 16], [2; 16]].map(Passkey::from);
        let ada = stranger().with_passkey(Some(hers));
        let bob = stranger().with_passkey(Some(his));
        let admission = t.tracker.admission();
        admission.passkeys().replace([hers]);
        assert!(t.ask(t.v1, &ada).is_ok() && t.scraped(t.v1, &ada) == Ok(1));
        for (asker, words) in [(&stranger(), "is private"), (&bob, "any more")] {
            let refusals = [
                t.ask(t.v1, asker).unwrap_err(),
                t.scraped(t.v1, asker).unwrap_err(),
            ];
            for refusal in refusals {
                assert!(refusal.reason.contains(words), "{refusal}");
                assert_eq!(refusal.retry, Some(Retry::Never));
            }
        }
        // Only what is published, here as well.
        assert!(t.ask(UNKNOWN.into(), &ada).is_err());
        admission.passkeys().replace([his]);
        assert!(t.ask(t.v1, &ada).is_err() && t.ask(t.v1, &bob).is_ok());
    }

    #[tokio::test]
    async fn what_is_denied_is_not_served_by_either_of_its_names() {
        let v2 = Fixture::new(Options::default()).await.v2;
        let options = Options {
            deny: vec![
                v2.to_string().parse().unwrap(),
                "203.0.113.0/24".parse().unwrap(),
            ],
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        for info_hash in [t.v1, t.v2] {
            let refusal = t.ask(info_hash, &stranger()).unwrap_err();
            assert!(refusal.reason.contains("this torrent"), "{refusal}");
            assert_eq!(refusal.retry, Some(Retry::Never));
            assert_eq!(t.scraped(info_hash, &stranger()), Ok(0));
        }
        let refusal = t.ask(UNKNOWN.into(), &asker("203.0.113.9")).unwrap_err();
        assert!(refusal.reason.contains("your network"), "{refusal}");
        assert!(t.scraped(t.v1, &asker("203.0.113.9")).is_err());
    }

    #[tokio::test]
    async fn a_network_that_asks_too_often_is_told_when_to_come_back() {
        let options = Options {
            announces_per_minute: 1,
            announce_burst: 3,
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        for _ in 0..3 {
            assert!(t.ask(t.v1, &stranger()).is_ok());
        }
        for refusal in [
            t.ask(t.v1, &stranger()).unwrap_err(),
            t.scraped(t.v1, &stranger()).unwrap_err(),
        ] {
            assert!(refusal.reason.contains("too often"), "{refusal}");
            assert_eq!(refusal.retry, Some(Retry::InMinutes(1)));
        }
        for _ in 0..10 {
            assert!(t.ask(t.v1, &asker("127.0.0.1")).is_ok());
        }
        assert!(t.ask(t.v1, &asker("198.51.100.8")).is_ok());
    }

    #[tokio::test]
    async fn twenty_thousand_torrents_may_start_at_once() {
        let t = Fixture::new(Options::default()).await;
        let refused = (0..40_000).filter(|_| t.ask(t.v1, &stranger()).is_err());
        assert_eq!(refused.count(), 0);
    }

    #[tokio::test]
    async fn a_claimed_address_counts_on_private_networks_where_the_configuration_lets_it() {
        let claimed = |text: &str| Some(text.parse().unwrap());
        let allowing = Options {
            ip_from_private_networks: true,
            ..Options::default()
        };
        let t = Fixture::new(allowing).await;
        let place = |ip: &str, claim: &str| {
            let placed = t.tracker.admission().place(&asker(ip), || claimed(claim));
            placed.ip.to_string()
        };
        assert_eq!(place("192.168.1.5", "203.0.113.9"), "203.0.113.9");
        assert_eq!(place("fd00::5", "2001:db8::9"), "2001:db8::9");
        for claim in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(place("192.168.1.5", claim), "192.168.1.5", "{claim}");
        }
        assert_eq!(place("198.51.100.7", "203.0.113.9"), "198.51.100.7");
        let t = Fixture::new(Options::default()).await;
        let home = asker("192.168.1.5");
        let placed = t
            .tracker
            .admission()
            .place(&home, || claimed("203.0.113.9"));
        assert_eq!(placed, home);
    }

    #[tokio::test]
    async fn a_gateway_that_stands_for_many_is_told_of() {
        let t = Fixture::new(Options::default()).await;
        for n in 0..20 {
            let request = request(n, t.v1);
            let asker = asker("172.17.0.1");
            t.tracker.announce(&request, &asker, *START).unwrap();
        }
        let warning = t.tracker.admission().gateway_warning(*START);
        assert!(warning.unwrap().contains("172.17.0.1"));
    }
}
