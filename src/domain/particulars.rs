//! What may be said of a publication beside its words: who finds it, which version it is, where more of it is told, and who else gives it.

use serde::{Deserialize, Serialize};

use super::publication::PublicationId;

/// Particulars of a publication. They may change, and never change an info-hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Particulars {
    /// Whether only those find it who have its link: it is left out of the catalogue, of feeds, and of what crawlers are told.
    pub unlisted: bool,
    /// The publication that it is a newer version of.
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub replaces: Option<PublicationId>,
    /// Its digital object identifier, in the form that [`doi::tidy`](super::doi::tidy) gives it; may be empty.
    pub doi: String,
    /// Pages about it.
    pub links: Vec<Link>,
    /// Trackers that torrents and magnet links name after this server's own.
    pub trackers: Vec<String>,
    /// Web seeds that they name after this server's own (BEP 19).
    pub web_seeds: Vec<String>,
}

/// A page about a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What people read; never empty once it is kept.
    #[serde(default)]
    pub title: String,
    /// Its address, http or https.
    pub url: String,
}

impl Link {
    /// Reads a link as people type it: a title, if it has one of its own, and behind a space the address.
    pub fn from_line(line: &str) -> Self {
        let line = line.trim();
        let (title, url) = match line.rsplit_once(char::is_whitespace) {
            Some((title, url)) if url.contains("://") => (title.trim_end(), url),
            _ => ("", line),
        };
        Self {
            title: title.to_owned(),
            url: url.to_owned(),
        }
    }

    /// The line that [`from_line`](Self::from_line) reads.
    pub fn to_line(&self) -> String {
        if self.title == self.url {
            return self.url.clone();
        }
        format!("{} {}", self.title, self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_what_it_writes() {
        let link = |title: &str, url: &str| Link {
            title: title.to_owned(),
            url: url.to_owned(),
        };
        let paper = link("The paper, in full", "https://example.org/paper");
        let bare = link("", "https://example.org/");
        for link in [paper, bare] {
            assert_eq!(Link::from_line(&link.to_line()), link);
        }
        assert_eq!(Link::from_line("no address"), link("", "no address"));
    }
}
