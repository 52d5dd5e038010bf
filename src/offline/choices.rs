//! What a person chooses for a torrent: by flags, in a preset of the configuration, or both.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::create::Recipe;
use super::globs::Patterns;
use super::selection::{Hidden, SelectionOptions, Symlinks};
use super::sizing::PieceLengthWish;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::piece_length::PieceLength;

/// What `created by` says of us.
const PROGRAM: &str = concat!("Sower/", env!("CARGO_PKG_VERSION"));

/// Choices as they are written. Each has the name of its flag, with `_` for `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that a person gives or not"
)]
pub struct Choices {
    /// v1, v2 or hybrid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Trackers, one text a tier, a comma between trackers of one tier.
    pub announce: Vec<String>,
    /// Web seeds.
    pub web_seed: Vec<String>,
    /// DHT nodes, each as `HOST:PORT`.
    pub node: Vec<String>,
    /// The piece length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub piece_length: Option<PieceLength>,
    /// Pieces, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_pieces: Option<NonZeroU32>,
    /// Whether peers may only come from the trackers.
    pub private: bool,
    /// A word that makes the info-hash one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the time is left out.
    pub no_date: bool,
    /// Whether the program's name is left out.
    pub no_created_by: bool,
    /// Patterns of files to take.
    pub include: Vec<String>,
    /// Patterns of files and folders to leave out.
    pub exclude: Vec<String>,
    /// Files of patterns to leave out.
    pub ignore_file: Vec<PathBuf>,
    /// Whether hidden files are taken.
    pub hidden: bool,
    /// Whether symbolic links are followed.
    pub follow_symlinks: bool,
}

/// A text is no DHT node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no DHT node; write a host and a port, such as router.example.org:6881")]
pub struct BadNode(pub String);

impl Choices {
    /// These choices where there are any, and those of a preset for the rest.
    #[must_use]
    pub fn over(self, preset: Self) -> Self {
        // One wish for the piece length is in the other's way.
        let is_sized = self.piece_length.is_some() || self.target_pieces.is_some();
        let sized = if is_sized { &self } else { &preset };
        let (piece_length, target_pieces) = (sized.piece_length, sized.target_pieces);
        Self {
            format: self.format.or(preset.format),
            announce: first_of(self.announce, preset.announce),
            web_seed: first_of(self.web_seed, preset.web_seed),
            node: first_of(self.node, preset.node),
            piece_length,
            target_pieces,
            private: self.private || preset.private,
            source: self.source.or(preset.source),
            comment: self.comment.or(preset.comment),
            no_date: self.no_date || preset.no_date,
            no_created_by: self.no_created_by || preset.no_created_by,
            include: first_of(self.include, preset.include),
            exclude: first_of(self.exclude, preset.exclude),
            ignore_file: first_of(self.ignore_file, preset.ignore_file),
            hidden: self.hidden || preset.hidden,
            follow_symlinks: self.follow_symlinks || preset.follow_symlinks,
        }
    }

    /// What the torrent says besides its files. `unix_now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`BadNode`] for a node without a host or a port.
    pub fn recipe(&self, unix_now: i64) -> Result<Recipe, BadNode> {
        let tiers = self.announce.iter().map(|tier| read_tier(tier));
        let nodes = self.node.iter().map(|node| read_node(node));
        Ok(Recipe {
            format: self.format.unwrap_or_default(),
            piece_length: match (self.piece_length, self.target_pieces) {
                (Some(length), _) => PieceLengthWish::Exactly(length),
                (None, Some(pieces)) => PieceLengthWish::AtMostPieces(pieces),
                (None, None) => PieceLengthWish::Suitable,
            },
            private: self.private,
            source: self.source.clone(),
            trackers: tiers
                .filter(|tier: &Vec<String>| !tier.is_empty())
                .collect(),
            web_seeds: self.web_seed.clone(),
            nodes: nodes.collect::<Result<_, _>>()?,
            comment: self.comment.clone(),
            created_by: (!self.no_created_by).then(|| PROGRAM.to_owned()),
            creation_date: (!self.no_date).then_some(unix_now),
        })
    }

    /// The rules by which files are taken: at most so many, under a name of their own if one is given, without `output`.
    pub fn selection_options(
        &self,
        max_files: usize,
        name: Option<String>,
        output: Option<PathBuf>,
    ) -> SelectionOptions {
        SelectionOptions {
            name,
            patterns: Patterns {
                include: self.include.clone(),
                exclude: self.exclude.clone(),
                ignore_files: self.ignore_file.clone(),
            },
            hidden: if self.hidden {
                Hidden::Take
            } else {
                Hidden::LeaveOut
            },
            symlinks: if self.follow_symlinks {
                Symlinks::Follow
            } else {
                Symlinks::LeaveOut
            },
            max_files,
            output,
        }
    }
}

fn first_of<T>(ours: Vec<T>, theirs: Vec<T>) -> Vec<T> {
    if ours.is_empty() { theirs } else { ours }
}

/// The trackers of one tier, which stand with commas between them.
pub fn read_tier(tier: &str) -> Vec<String> {
    let urls = tier.split(',').map(str::trim);
    urls.filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A DHT node's host and port; an IPv6 address stands in brackets.
///
/// # Errors
/// [`BadNode`] where one of them is missing or is none.
pub fn read_node(node: &str) -> Result<(String, u16), BadNode> {
    host_and_port(node).ok_or_else(|| BadNode(node.to_owned()))
}

fn host_and_port(node: &str) -> Option<(String, u16)> {
    let (host, port) = node.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '[' | ']');
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(':') && !host.contains(is_strange),
    };
    is_host.then(|| (bare.unwrap_or(host).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn a_flag_takes_the_place_of_what_the_preset_says() {
        let preset = Choices {
            format: Some(Format::Hybrid),
            announce: texts(&["http://a.example/announce"]),
            target_pieces: NonZeroU32::new(100),
            private: true,
            source: Some("A".to_owned()),
            exclude: texts(&["*.tmp"]),
            ..Choices::default()
        };
        let flags = Choices {
            announce: texts(&["udp://b.example:1"]),
            piece_length: Some(PieceLength::MIN),
            comment: Some("x".to_owned()),
            ..Choices::default()
        };
        let expected = Choices {
            announce: flags.announce.clone(),
            piece_length: flags.piece_length,
            target_pieces: None,
            comment: flags.comment.clone(),
            ..preset.clone()
        };
        assert_eq!(flags.over(preset.clone()), expected);
        assert_eq!(Choices::default().over(preset.clone()), preset);
    }

    #[test]
    fn commas_part_the_trackers_of_a_tier() {
        let choices = Choices {
            announce: texts(&[
                "http://a.example/x, udp://b.example:1",
                "",
                "ws://c.example",
            ]),
            node: texts(&[
                "router.example.org:6881",
                "192.0.2.1:1",
                "[2001:db8::1]:65535",
            ]),
            no_date: true,
            ..Choices::default()
        };
        let recipe = choices.recipe(7).unwrap();
        assert_eq!(
            recipe.trackers,
            [
                texts(&["http://a.example/x", "udp://b.example:1"]),
                texts(&["ws://c.example"])
            ]
        );
        let nodes = recipe
            .nodes
            .iter()
            .map(|(host, port)| (host.as_str(), *port));
        let expected = [
            ("router.example.org", 6881),
            ("192.0.2.1", 1),
            ("2001:db8::1", 65535),
        ];
        assert_eq!(nodes.collect::<Vec<_>>(), expected);
        assert_eq!(
            (recipe.created_by.as_deref(), recipe.creation_date),
            (Some(PROGRAM), None)
        );
    }

    #[test]
    fn a_node_has_a_host_and_a_port() {
        for node in [
            "",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a b:1",
            "2001:db8::1:1",
            "[a]:1",
            "http://a:1",
        ] {
            let choices = Choices {
                node: texts(&[node]),
                ..Choices::default()
            };
            assert_eq!(choices.recipe(0), Err(BadNode(node.to_owned())), "{node}");
        }
    }
}
