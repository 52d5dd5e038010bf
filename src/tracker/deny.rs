//! Torrents and networks that the tracker does not serve, from the configuration and from a file that may change while it runs.
//!
//! A line of the file is an info-hash or a network; what follows `#` is a remark. A file that cannot be read as a whole changes
//! nothing: half a list would let in what the other half keeps out.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::domain::networks::{Network, Networks};
use crate::proto::id::{InfoHash, InfoHashV2};

/// Bytes of the file, at most: a million lines.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Something that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Denial {
    /// A torrent, by one of its names on the wire.
    Torrent(InfoHash),
    /// Everybody in a network.
    Network(Network),
}

/// A text is nothing that could be denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an info-hash of 40 or 64 hexadecimal digits nor a network such as 192.0.2.0/24"
)]
pub struct NotADenial(pub String);

impl FromStr for Denial {
    type Err = NotADenial;

    fn from_str(text: &str) -> Result<Self, NotADenial> {
        let torrent = match text.len() {
            40 => InfoHash::from_hex(text),
            64 => InfoHashV2::from_hex(text).map(|hash| hash.truncated()),
            _ => None,
        };
        torrent
            .map(Self::Torrent)
            .or_else(|| text.parse().ok().map(Self::Network))
            .ok_or_else(|| NotADenial(text.to_owned()))
    }
}

impl TryFrom<String> for Denial {
    type Error = NotADenial;

    fn try_from(text: String) -> Result<Self, NotADenial> {
        text.parse()
    }
}

impl From<Denial> for String {
    fn from(denial: Denial) -> Self {
        denial.to_string()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torrent(info_hash) => info_hash.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// Why the file is no list. What was denied before still is.
#[derive(Debug, thiserror::Error)]
pub enum DenyFileError {
    /// It cannot be read.
    #[error(
        "the deny list {path} cannot be read; make it readable, or set tracker.deny_file to another"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is longer than is read.
    #[error("the deny list {path} is longer than {MAX_FILE} bytes; shorten it")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A line is nothing that could be denied.
    #[error("line {line} of the deny list {path}: {error}")]
    BadLine {
        /// The file.
        path: PathBuf,
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        error: NotADenial,
    },
}

/// What is not served.
#[derive(Debug)]
pub(super) struct DenyList {
    configured: Vec<Denial>,
    file: Option<PathBuf>,
    /// How the file looked when it was last read, whatever came of it.
    seen: Mutex<Option<Stamp>>,
    /// Whether nothing is denied, as on most servers: then no announce waits for the lock.
    is_empty: AtomicBool,
    /// Never held over an await.
    denied: RwLock<Denied>,
}

#[derive(Debug, Default)]
struct Denied {
    torrents: HashSet<InfoHash>,
    networks: Networks,
}

/// What changes with a file.
type Stamp = (SystemTime, u64, u64);

impl DenyList {
    /// A list of what is configured, and of what stands in `file` once that was [read](Self::refresh); empty for none. `primary`
    /// gives the name that stands for a torrent that is published here: it is denied by that one as well.
    pub(super) fn new(
        configured: &[Denial],
        file: &str,
        primary: impl Fn(&InfoHash) -> Option<InfoHash>,
    ) -> Self {
        let denied = Denied::new(configured.iter().copied(), primary);
        Self {
            configured: configured.to_owned(),
            file: (!file.is_empty()).then(|| PathBuf::from(file)),
            seen: Mutex::default(),
            is_empty: AtomicBool::new(denied.is_empty()),
            denied: RwLock::new(denied),
        }
    }

    /// Whether there is a file that may change.
    pub(super) const fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Reads the file if it is not as it was; says whether it did. Waits for the disk.
    pub(super) fn refresh(
        &self,
        primary: impl Fn(&InfoHash) -> Option<InfoHash>,
    ) -> Result<bool, DenyFileError> {
        let Some(path) = &self.file else {
            return Ok(false);
        };
        let stamp = stamp(path).ok();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if stamp.is_some() && *seen == stamp {
                return Ok(false);
            }
            *seen = stamp;
        }
        let listed = read(path)?;
        let denials = self.configured.iter().copied().chain(listed);
        let denied = Denied::new(denials, primary);
        let is_empty = denied.is_empty();
        *self.denied.write().unwrap_or_else(PoisonError::into_inner) = denied;
        self.is_empty.store(is_empty, Relaxed);
        Ok(true)
    }

    pub(super) fn includes_network_of(&self, ip: IpAddr) -> bool {
        self.with(|denied| denied.networks.contain(ip))
    }

    pub(super) fn includes_torrent(&self, info_hash: &InfoHash) -> bool {
        self.with(|denied| denied.torrents.contains(info_hash))
    }

    fn with(&self, ask: impl FnOnce(&Denied) -> bool) -> bool {
        !self.is_empty.load(Relaxed)
            && ask(&self.denied.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Denied {
    fn new(
        denials: impl Iterator<Item = Denial>,
        primary: impl Fn(&InfoHash) -> Option<InfoHash>,
    ) -> Self {
        let mut torrents = HashSet::new();
        let networks = denials.filter_map(|denial| match denial {
            Denial::Network(network) => Some(network),
            Denial::Torrent(info_hash) => {
                torrents.extend([info_hash].into_iter().chain(primary(&info_hash)));
                None
            }
        });
        Self {
            networks: networks.collect(),
            torrents,
        }
    }

    fn is_empty(&self) -> bool {
        self.torrents.is_empty() && self.networks.is_empty()
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let file = fs::metadata(path)?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&file);
    #[cfg(not(unix))]
    let number = 0;
    Ok((file.modified()?, file.len(), number))
}

fn read(path: &Path) -> Result<Vec<Denial>, DenyFileError> {
    let unreadable = |source| DenyFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = file
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if length as u64 > MAX_FILE {
        return Err(DenyFileError::TooLong {
            path: path.to_owned(),
        });
    }
    let lines = text.lines().zip(1..).filter_map(|(text, line)| {
        let entry = text.split('#').next().unwrap_or_default().trim();
        (!entry.is_empty()).then_some((entry, line))
    });
    lines
        .map(|(entry, line)| {
            entry.parse().map_err(|error| DenyFileError::BadLine {
                path: path.to_owned(),
                line,
                error,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "a0a4b29320daeae19fb6093b2719 8b378a52feea";

    fn v1() -> String {
        V1.replace(' ', "")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_is_an_info_hash_or_a_network() {
        let v2 = "ab".repeat(32);
        assert_eq!(v2.parse(), Ok(Denial::Torrent([0xab; 20].into())));
        assert_eq!(v1().parse::<Denial>().unwrap().to_string(), v1());
        let network: Denial = "192.0.2.7/24".parse().unwrap();
        assert_eq!(network.to_string(), "192.0.2.0/24");
        for text in ["", "evil.example", &"g".repeat(40), &"a".repeat(39)] {
            assert!(text.parse::<Denial>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_changed_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deny");
        let configured = ["2001:db8::/32".parse().unwrap()];
        let list = DenyList::new(&configured, path.to_str().unwrap(), |_| None);
        let refresh = || list.refresh(|_| None);
        assert!(matches!(refresh(), Err(DenyFileError::Unreadable { .. })));
        assert!(list.includes_network_of(ip("2001:db8::1")));

        fs::write(
            &path,
            format!("# ours\n\n{} # a court says so\n  192.0.2.0/24\n", v1()),
        )
        .unwrap();
        assert!(refresh().unwrap());
        assert!(!refresh().unwrap(), "it did not change");
        let info_hash = InfoHash::from_hex(&v1()).unwrap();
        assert!(list.includes_torrent(&info_hash) && list.includes_network_of(ip("192.0.2.9")));
        assert!(
            list.includes_network_of(ip("2001:db8::1")),
            "configured ones stay"
        );

        fs::write(&path, "198.51.100.0/24\nnonsense\n").unwrap();
        let refusal = refresh().unwrap_err().to_string();
        assert!(
            refusal.contains("line 2") && refusal.contains("nonsense"),
            "{refusal}"
        );
        assert!(list.includes_torrent(&info_hash) && !list.includes_network_of(ip("198.51.100.9")));
        assert!(!refresh().unwrap(), "a bad file is named once");

        fs::write(&path, "").unwrap();
        assert!(refresh().unwrap());
        assert!(!list.includes_torrent(&info_hash) && !list.includes_network_of(ip("192.0.2.9")));
    }

    #[test]
    fn a_torrent_of_two_names_is_denied_by_either() {
        let [one, other] = [[1; 20], [2; 20]].map(InfoHash::from);
        let primary = |hash: &InfoHash| (*hash == other).then_some(one);
        let list = DenyList::new(&[Denial::Torrent(other)], "", primary);
        assert!(list.includes_torrent(&one) && list.includes_torrent(&other));
    }
}
