//! What is said of a publication beside its words, brought into one form and held against the limits.

use url::Url;

use super::Options;
use super::words::in_one_line;
use crate::domain::doi;
use crate::domain::particulars::{Link, Particulars};
use crate::proto::metainfo::torrent_file::{is_tracker_url, is_web_seed_url};

/// Why particulars are refused. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParticularsError {
    /// It is no digital object identifier.
    #[error("{0:?} is no DOI; write it as 10.5281/zenodo.1234")]
    Doi(String),
    /// There are too many links.
    #[error("there are more than {limit} links; keep those that matter most")]
    ManyLinks {
        /// `publish.max_links`.
        limit: usize,
    },
    /// The title of a link is too long.
    #[error("the title of a link is longer than {limit} characters; shorten it")]
    LongLink {
        /// `publish.max_title_length`.
        limit: usize,
    },
    /// A link leads nowhere that may be linked.
    #[error("{0:?} is no address to link; write one that begins with https:// or http://")]
    Link(String),
    /// There are too many trackers, or too many web seeds.
    #[error("there are more than {limit} {what}; keep those that work best")]
    ManySources {
        /// What there is too much of.
        what: &'static str,
        /// `publish.max_sources`.
        limit: usize,
    },
    /// No client would ask this tracker.
    #[error(
        "{0:?} is no tracker; write an address that begins with https://, http://, udp:// with a port, wss:// or ws://"
    )]
    Tracker(String),
    /// A private torrent has no other tracker.
    #[error(
        "a private torrent has the tracker of this server alone (BEP 27): peers from elsewhere would not be private any more; leave other trackers out"
    )]
    PrivateTracker,
    /// No client would ask this web seed.
    #[error("{0:?} is no web seed; write an address that begins with https:// or http://")]
    WebSeed(String),
}

impl ParticularsError {
    /// Whether there is too much of something good.
    pub const fn is_about_size(&self) -> bool {
        matches!(
            self,
            Self::ManyLinks { .. } | Self::LongLink { .. } | Self::ManySources { .. }
        )
    }
}

/// An address of a host, without a password for everybody to read.
fn is_open(address: &Url) -> bool {
    address.has_host() && address.username().is_empty() && address.password().is_none()
}

/// Whether clients would ask a tracker at this address.
pub(super) fn is_tracker(address: &str) -> bool {
    let url = Url::parse(address).ok();
    is_tracker_url(address)
        && url.is_some_and(|url| is_open(&url) && (url.scheme() != "udp" || url.port().is_some()))
}

/// Whether clients would ask a web seed at this address.
pub(super) fn is_web_seed(address: &str) -> bool {
    is_web_seed_url(address) && Url::parse(address).is_ok_and(|url| is_open(&url))
}

impl Options {
    /// Brings what a person typed into one form, and holds it against the limits.
    pub(super) fn tidy_particulars(
        &self,
        typed: &Particulars,
        is_private: bool,
    ) -> Result<Particulars, ParticularsError> {
        let doi = match typed.doi.trim() {
            "" => String::new(),
            doi => doi::tidy(doi).ok_or_else(|| ParticularsError::Doi(beginning(doi)))?,
        };
        let trackers = self.tidy_sources("trackers", &typed.trackers, |address| {
            is_tracker(address)
                .then_some(())
                .ok_or_else(|| ParticularsError::Tracker(beginning(address)))
        })?;
        if is_private && !trackers.is_empty() {
            return Err(ParticularsError::PrivateTracker);
        }
        let web_seeds = self.tidy_sources("web seeds", &typed.web_seeds, |address| {
            is_web_seed(address)
                .then_some(())
                .ok_or_else(|| ParticularsError::WebSeed(beginning(address)))
        })?;
        Ok(Particulars {
            unlisted: typed.unlisted,
            replaces: typed.replaces,
            doi,
            links: self.tidy_links(&typed.links)?,
            trackers,
            web_seeds,
        })
    }

    fn tidy_links(&self, typed: &[Link]) -> Result<Vec<Link>, ParticularsError> {
        let mut links: Vec<Link> = Vec::new();
        for link in typed {
            let address = link.url.trim();
            let url = Url::parse(address).ok();
            let url = url.filter(|url| is_web_seed_url(url.as_str()) && is_open(url));
            let url = url.ok_or_else(|| ParticularsError::Link(beginning(address)))?;
            let title = match in_one_line(&link.title) {
                title if title.is_empty() => url.to_string(),
                title => title,
            };
            let limit = self.max_title_length;
            if title != url.as_str() && title.chars().count() > limit {
                return Err(ParticularsError::LongLink { limit });
            }
            let url = url.into();
            if links.iter().any(|link| link.url == url) {
                continue;
            }
            if links.len() >= self.max_links {
                let limit = self.max_links;
                return Err(ParticularsError::ManyLinks { limit });
            }
            links.push(Link { title, url });
        }
        Ok(links)
    }

    /// Addresses that pass the check, each once.
    fn tidy_sources(
        &self,
        what: &'static str,
        typed: &[String],
        check: impl Fn(&str) -> Result<(), ParticularsError>,
    ) -> Result<Vec<String>, ParticularsError> {
        let mut sources: Vec<String> = Vec::new();
        for address in typed.iter().map(|address| address.trim()) {
            if address.is_empty() || sources.iter().any(|known| known == address) {
                continue;
            }
            check(address)?;
            if sources.len() >= self.max_sources {
                let limit = self.max_sources;
                return Err(ParticularsError::ManySources { what, limit });
            }
            sources.push(address.to_owned());
        }
        Ok(sources)
    }
}

/// As much of a text as a message repeats.
fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidy(typed: &Particulars) -> Result<Particulars, ParticularsError> {
        let options = Options {
            max_links: 2,
            max_sources: 2,
            ..Options::default()
        };
        options.tidy_particulars(typed, false)
    }

    fn link(title: &str, url: &str) -> Link {
        Link {
            title: title.to_owned(),
            url: url.to_owned(),
        }
    }

    fn links(typed: &[Link]) -> Result<Vec<Link>, ParticularsError> {
        let links = typed.to_vec();
        let typed = Particulars {
            links,
            ..Particulars::default()
        };
        Ok(tidy(&typed)?.links)
    }

    #[test]
    fn a_link_leads_to_a_web_page_and_to_nothing_else() {
        let kept = links(&[link(" The\n paper ", " https://Example.org/a b ")]);
        assert_eq!(
            kept.unwrap(),
            [link("The paper", "https://example.org/a%20b")]
        );
        let untitled = links(&[
            link("", "http://example.org"),
            link("x", "http://example.org/"),
        ]);
        assert_eq!(
            untitled.unwrap(),
            [link("http://example.org/", "http://example.org/")]
        );
        for url in [
            "",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "//example.org",
            "https://",
            "https://user:secret@example.org/",
            "ftp://example.org/",
        ] {
            assert_eq!(
                links(&[link("x", url)]),
                Err(ParticularsError::Link(url.to_owned())),
                "{url}"
            );
        }
        let three = ["a", "b", "c"].map(|path| link("x", &format!("http://example.org/{path}")));
        assert_eq!(links(&three), Err(ParticularsError::ManyLinks { limit: 2 }));
        let long = link(&"x".repeat(201), "http://example.org");
        assert_eq!(
            links(&[long]),
            Err(ParticularsError::LongLink { limit: 200 })
        );
    }

    #[test]
    fn trackers_and_web_seeds_are_what_clients_would_ask() {
        let of = |trackers: &[&str], web_seeds: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
            tidy(&Particulars {
                trackers: owned(trackers),
                web_seeds: owned(web_seeds),
                ..Particulars::default()
            })
        };
        let good = of(
            &[" udp://[::1]:6969/announce", "wss://a", "", "wss://a"],
            &["https://example.org/a%20b/"],
        )
        .unwrap();
        assert_eq!(good.trackers, ["udp://[::1]:6969/announce", "wss://a"]);
        assert_eq!(good.web_seeds, ["https://example.org/a%20b/"]);
        for bad in [
            "udp://example.org",
            "a",
            "file:///x",
            "http://a b",
            "http://u:p@a/",
        ] {
            let refusal = of(&[bad], &[]);
            assert_eq!(refusal, Err(ParticularsError::Tracker(bad.to_owned())));
        }
        for bad in ["udp://example.org:1", "ftp://a/", "https://a/ b"] {
            let refusal = of(&[], &[bad]);
            assert_eq!(refusal, Err(ParticularsError::WebSeed(bad.to_owned())));
        }
        let many = ParticularsError::ManySources {
            what: "web seeds",
            limit: 2,
        };
        assert_eq!(of(&[], &["http://a", "http://b", "http://c"]), Err(many));
    }

    #[test]
    fn a_private_torrent_has_one_tracker_and_may_have_web_seeds() {
        let mut typed = Particulars {
            web_seeds: vec!["https://example.org/".to_owned()],
            ..Particulars::default()
        };
        let options = Options::default();
        assert_eq!(options.tidy_particulars(&typed, true), Ok(typed.clone()));
        typed.trackers.push("wss://a".to_owned());
        let refusal = options.tidy_particulars(&typed, true);
        assert_eq!(refusal, Err(ParticularsError::PrivateTracker));
    }

    #[test]
    fn an_identifier_is_kept_bare() {
        let doi = |doi: &str| {
            let doi = doi.to_owned();
            tidy(&Particulars {
                doi,
                ..Particulars::default()
            })
            .map(|tidy| tidy.doi)
        };
        assert_eq!(doi("https://doi.org/10.5281/x"), Ok("10.5281/x".to_owned()));
        assert_eq!(doi(" "), Ok(String::new()));
        let refusal = ParticularsError::Doi("zenodo".to_owned());
        assert_eq!(doi("zenodo"), Err(refusal));
    }
}
