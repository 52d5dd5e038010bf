//! Torrent files: the `info` dictionary and what stands around it (BEP 3, 5, 12, 19, 52).
//!
//! What stands around it may change from day to day; the `info` dictionary never does. So an [`Envelope`] is put together
//! when a torrent file is asked for, around bytes that are not touched.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::info::{self, Info, InfoError, InfoLimits};
use super::layers;
use super::merkle::{Hash, root_of_layer};
use super::path::FilePath;
use super::url::Purpose;
pub use super::url::{Warning, is_tracker_url, is_web_seed_url};
use crate::proto::bencode::scan::{self, Rule, ScanError};
use crate::proto::bencode::{Encoder, Value};

/// A torrent file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentFile {
    /// Tracker URLs in tiers, the first tier to be asked first (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// A remark of the publisher.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// DHT nodes to begin with, by host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// The content.
    pub info: Info,
    /// The bencoded `piece layers` dictionary, each checked against its root (BEP 52); empty in v1.
    ///
    /// Where a layer is missing, which [`warnings`](Self::warnings) tell, it has to be asked of peers.
    pub piece_layers: Bytes,
    /// What was odd, and was tolerated.
    pub warnings: Vec<Warning>,
}

/// Why bytes are no torrent file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorrentFileError {
    /// They are no bencoded value.
    #[error("this is not a torrent file, or it is damaged")]
    Bencode(#[source] ScanError),
    /// They are over a bound of [`Limits`](scan::Limits), and may be sound.
    #[error("the torrent is larger than the limits allow")]
    TooLarge(#[source] ScanError),
    /// They are bencode, but hold no `info` dictionary.
    #[error("this is not a torrent file: it has no `info` dictionary")]
    NoInfo,
    /// The `info` dictionary breaks a rule.
    #[error("the torrent cannot be used")]
    Info(#[from] InfoError),
    /// `piece layers` is something else than hashes for each file of several pieces (BEP 52).
    #[error("`piece layers` must be a dictionary of byte strings")]
    LayersNotHashes,
    /// A piece layer belongs to no file of several pieces.
    #[error(
        "`piece layers` holds hashes for a file that is not in the torrent, or that has one piece only"
    )]
    LayerOfNoFile,
    /// A piece layer does not hash to its file's root.
    #[error("the hashes for {path} in `piece layers` do not match its root")]
    LayerMismatch {
        /// The file.
        path: FilePath,
    },
}

impl TorrentFileError {
    pub(super) const fn of_scan(error: ScanError) -> Self {
        match error.rule {
            Rule::TooLong { .. } | Rule::TooManyElements { .. } => Self::TooLarge(error),
            _ => Self::Bencode(error),
        }
    }

    /// Whether it is the number of files that [`InfoLimits::of`] does not allow, or what is bounded along with it.
    pub const fn is_of_too_many_files(&self) -> bool {
        matches!(
            self,
            Self::TooLarge(_)
                | Self::Info(InfoError::TooManyFiles { .. } | InfoError::PathsTooLong { .. })
        )
    }
}

impl TorrentFile {
    /// Reads a torrent file. Fields around `info` that are broken are left out with a warning.
    ///
    /// # Errors
    /// [`TorrentFileError`] where the bytes, the `info` dictionary or the piece layers break a rule.
    pub fn parse(bytes: &[u8], limits: &InfoLimits) -> Result<Self, TorrentFileError> {
        Self::parse_shared(&Bytes::copy_from_slice(bytes), limits)
    }

    /// Reads a torrent file, of which it keeps what it needs without a copy: a large one is in memory once.
    ///
    /// # Errors
    /// [`TorrentFileError`] where the bytes, the `info` dictionary or the piece layers break a rule.
    pub fn parse_shared(bytes: &Bytes, limits: &InfoLimits) -> Result<Self, TorrentFileError> {
        let scanned = scan::lenient(bytes, &limits.scan).map_err(TorrentFileError::of_scan)?;
        let mut fields = Fields::of(scanned.root, limits);
        let (raw, info) = fields.info.take().ok_or(TorrentFileError::NoInfo)?;
        let info = Info::of_fields(bytes.slice_ref(raw), info?, limits)?;
        let mut warnings = Vec::new();
        let piece_layers = read_layers(&info, fields.piece_layers, bytes, &mut warnings)?;
        if scanned.has_trailing_newline {
            warnings.push(Warning::TrailingNewline);
        }
        if scanned.has_unsorted_keys {
            warnings.push(Warning::UnsortedKeys);
        }
        Ok(Self {
            trackers: fields.trackers(&mut warnings),
            web_seeds: fields.web_seeds(&mut warnings),
            comment: text("comment", fields.comment, &mut warnings),
            created_by: text("created by", fields.created_by, &mut warnings),
            creation_date: fields.creation_date(&mut warnings),
            nodes: fields.nodes(&mut warnings),
            info,
            piece_layers,
            warnings,
        })
    }

    /// The layer of each file of several pieces, by the file's root: one SHA-256 (32 bytes) a piece. None in v1.
    pub fn layers(&self) -> BTreeMap<Hash, &[u8]> {
        layers::entries(&self.piece_layers).collect()
    }

    /// All of it, to be written again.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope {
            info: &self.info.raw,
            piece_layers: &self.piece_layers,
            trackers: &self.trackers,
            web_seeds: &self.web_seeds,
            comment: self.comment.as_deref(),
            created_by: self.created_by.as_deref(),
            creation_date: self.creation_date,
            nodes: &self.nodes,
        }
    }
}

/// What a torrent file is written from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    /// The raw `info` dictionary.
    pub info: &'a [u8],
    /// The bencoded `piece layers` dictionary; empty in v1.
    pub piece_layers: &'a [u8],
    /// Tracker URLs in tiers.
    pub trackers: &'a [Vec<String>],
    /// Web seeds. The URL of a folder ends with `/`, and clients append name and path to it (BEP 19).
    pub web_seeds: &'a [String],
    /// A remark of the publisher.
    pub comment: Option<&'a str>,
    /// The program that made it.
    pub created_by: Option<&'a str>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// DHT nodes to begin with, by host and port.
    pub nodes: &'a [(String, u16)],
}

impl Envelope<'_> {
    /// Writes the torrent file. The bytes of `info` and `piece_layers` go in as they are.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.begin_dict();
        let mut urls = self.trackers.iter().flatten();
        if let Some(first) = urls.next() {
            encoder.key("announce").text(first);
        }
        if urls.next().is_some() {
            write_tiers(encoder.key("announce-list"), self.trackers);
        }
        if let Some(comment) = self.comment {
            encoder.key("comment").text(comment);
        }
        if let Some(program) = self.created_by {
            encoder.key("created by").text(program);
        }
        if let Some(seconds) = self.creation_date {
            encoder.key("creation date").integer(seconds);
        }
        encoder.key("info").raw(self.info);
        if !self.nodes.is_empty() {
            write_nodes(encoder.key("nodes"), self.nodes);
        }
        if !self.piece_layers.is_empty() {
            encoder.key("piece layers").raw(self.piece_layers);
        }
        if !self.web_seeds.is_empty() {
            write_list(encoder.key("url-list"), self.web_seeds);
        }
        encoder.end();
        out
    }
}

pub(super) fn write_tiers(encoder: &mut Encoder<'_>, tiers: &[Vec<String>]) {
    encoder.begin_list();
    for tier in tiers.iter().filter(|tier| !tier.is_empty()) {
        write_list(encoder, tier);
    }
    encoder.end();
}

pub(super) fn write_list(encoder: &mut Encoder<'_>, texts: &[String]) {
    encoder.begin_list();
    for text in texts {
        encoder.text(text);
    }
    encoder.end();
}

pub(super) fn write_nodes(encoder: &mut Encoder<'_>, nodes: &[(String, u16)]) {
    encoder.begin_list();
    for (host, port) in nodes {
        encoder.begin_list().text(host).integer((*port).into());
        encoder.end();
    }
    encoder.end();
}

/// The fields of a torrent file that mean something to us, found in one walk.
#[derive(Default)]
struct Fields<'a> {
    announce: Option<Value<'a>>,
    announce_list: Option<Value<'a>>,
    comment: Option<Value<'a>>,
    created_by: Option<Value<'a>>,
    creation_date: Option<Value<'a>>,
    /// Its bytes, and what is in it.
    info: Option<(&'a [u8], Result<info::Fields<'a>, InfoError>)>,
    nodes: Option<Value<'a>>,
    piece_layers: Option<Value<'a>>,
    url_list: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn of(root: Value<'a>, limits: &InfoLimits) -> Self {
        let mut fields = Self::default();
        let mut walk = root.walk();
        if !walk.enter_dict() {
            return fields;
        }
        while let Some(key) = walk.key() {
            let field = match key {
                b"info" => {
                    let before = walk.clone();
                    let info = info::Fields::take(&mut walk, limits);
                    if info.is_err() {
                        walk.value();
                    }
                    fields.info = Some((walk.passed_since(&before), info));
                    continue;
                }
                b"announce" => &mut fields.announce,
                b"announce-list" => &mut fields.announce_list,
                // Old torrents hold `comment` in the publisher's local encoding, and its UTF-8 beside it. The latter sorts
                // behind the former, and so takes its place.
                b"comment" | b"comment.utf-8" => &mut fields.comment,
                b"created by" => &mut fields.created_by,
                b"creation date" => &mut fields.creation_date,
                b"nodes" => &mut fields.nodes,
                b"piece layers" => &mut fields.piece_layers,
                b"url-list" => &mut fields.url_list,
                _ => &mut None,
            };
            *field = walk.value();
        }
        fields
    }

    fn trackers(&self, warnings: &mut Vec<Warning>) -> Vec<Vec<String>> {
        let field = "announce-list";
        let mut tiers = Vec::new();
        for tier in list(field, self.announce_list, warnings) {
            // Some programs write one URL where a tier should be.
            let urls = tier.as_bytes().is_some().then_some(tier);
            let tier: Vec<String> = urls
                .into_iter()
                .chain(tier.list().into_iter().flatten())
                .filter_map(|url| Purpose::Tracker.check(field, url.as_bytes()?, warnings))
                .collect();
            if !tier.is_empty() {
                tiers.push(tier);
            }
        }
        // BEP 12: `announce` counts only where there is no list.
        if tiers.is_empty()
            && let Some(url) = text("announce", self.announce, warnings).filter(|it| !it.is_empty())
        {
            let url = Purpose::Tracker.check("announce", url.as_bytes(), warnings);
            tiers.extend(url.map(|url| vec![url]));
        }
        tiers
    }

    /// BEP 19: one URL, or a list of them.
    fn web_seeds(&self, warnings: &mut Vec<Warning>) -> Vec<String> {
        let field = "url-list";
        let single = self.url_list.filter(|value| value.as_bytes().is_some());
        let several = self.url_list.filter(|_| single.is_none());
        single
            .into_iter()
            .chain(list(field, several, warnings))
            .filter_map(Value::as_bytes)
            .filter(|url| !url.is_empty())
            .filter_map(|url| Purpose::WebSeed.check(field, url, warnings))
            .collect()
    }

    fn creation_date(&self, warnings: &mut Vec<Warning>) -> Option<i64> {
        let field = "creation date";
        let date = self.creation_date?.as_integer();
        if date.is_none() {
            warnings.push(Warning::FieldIgnored { field });
        }
        date
    }

    fn nodes(&self, warnings: &mut Vec<Warning>) -> Vec<(String, u16)> {
        let field = "nodes";
        let mut nodes = Vec::new();
        for node in list(field, self.nodes, warnings) {
            match read_node(node) {
                Some(node) => nodes.push(node),
                None => warnings.push(Warning::FieldIgnored { field }),
            }
        }
        nodes
    }
}

/// BEP 5: a list of host and port.
fn read_node(node: Value<'_>) -> Option<(String, u16)> {
    let mut pair = node.list()?;
    let host = pair.next()?.as_text().filter(|host| !host.is_empty())?;
    let port = u16::try_from(pair.next()?.as_integer()?).ok()?;
    (port != 0).then(|| (host.to_owned(), port))
}

/// The elements of a list; none, with a warning, where the field is something else.
fn list<'a>(
    field: &'static str,
    value: Option<Value<'a>>,
    warnings: &mut Vec<Warning>,
) -> impl Iterator<Item = Value<'a>> + use<'a> {
    if value.is_some_and(|value| value.list().is_none()) {
        warnings.push(Warning::FieldIgnored { field });
    }
    value.and_then(Value::list).into_iter().flatten()
}

/// A text, whatever its encoding was; a warning where the field is something else.
fn text(
    field: &'static str,
    value: Option<Value<'_>>,
    warnings: &mut Vec<Warning>,
) -> Option<String> {
    let bytes = value?.as_bytes();
    if bytes.is_none() {
        warnings.push(Warning::FieldIgnored { field });
    }
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The layers of the files of several pieces, each checked. Those that are missing are told by a warning.
fn read_layers(
    info: &Info,
    layers: Option<Value<'_>>,
    bytes: &Bytes,
    warnings: &mut Vec<Warning>,
) -> Result<Bytes, TorrentFileError> {
    if !info.format().has_v2() {
        return Ok(Bytes::new());
    }
    let given = layers.map_or(Ok(BTreeMap::new()), entries_of_layers)?;
    let mut checked: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    let mut missing: Option<(usize, &FilePath)> = None;
    let piece_length = info.geometry.piece_length();
    for (_, file) in info.files.content() {
        let Some(root) = &file.pieces_root else {
            continue;
        };
        if file.length <= u64::from(piece_length) {
            continue;
        }
        let path = &file.path;
        let Some(layer) = given.get(root.as_slice()) else {
            let (count, first) = missing.unwrap_or((0, path));
            missing = Some((count.saturating_add(1), first));
            continue;
        };
        let mismatch = || TorrentFileError::LayerMismatch { path: path.clone() };
        let pieces = file.length.div_ceil(u64::from(piece_length));
        if u64::try_from(layer.len()) != Ok(pieces.saturating_mul(32)) {
            return Err(mismatch());
        }
        // Files alike share a layer: it is hashed once.
        if let Entry::Vacant(unchecked) = checked.entry(root) {
            if root_of_layer(layer, piece_length) != Some(*root) {
                return Err(mismatch());
            }
            unchecked.insert(layer);
        }
    }
    if checked.len() < given.len() {
        return Err(TorrentFileError::LayerOfNoFile);
    }
    if let Some((files, path)) = missing {
        let path = path.clone();
        warnings.push(Warning::LayersMissing { files, path });
    }
    Ok(canonical_layers(layers, &checked, bytes))
}

fn entries_of_layers(layers: Value<'_>) -> Result<BTreeMap<&[u8], &[u8]>, TorrentFileError> {
    layers
        .dict()
        .ok_or(TorrentFileError::LayersNotHashes)?
        .map(|(root, layer)| Some((root, layer.as_bytes()?)))
        .collect::<Option<_>>()
        .ok_or(TorrentFileError::LayersNotHashes)
}

/// The dictionary as it stands in the file, if its keys are in order; else written again.
fn canonical_layers(
    layers: Option<Value<'_>>,
    checked: &BTreeMap<&[u8], &[u8]>,
    bytes: &Bytes,
) -> Bytes {
    let keys = || layers.and_then(Value::dict).into_iter().flatten();
    if let Some(layers) = layers
        && keys().map(|(key, _)| key).is_sorted()
    {
        return bytes.slice_ref(layers.raw());
    }
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    encoder.begin_dict();
    for (root, layer) in checked {
        encoder.key(root).bytes(layer);
    }
    encoder.end();
    out.into()
}

#[cfg(test)]
mod tests {
    use super::super::info::{Format, Layout};
    use super::*;
    use crate::proto::bencode::scan::Rule;

    macro_rules! made_by_libtorrent {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/data/libtorrent/",
                $name,
                ".torrent"
            ))
        };
    }

    const V1: &[u8] = made_by_libtorrent!("folder-v1");
    const V2: &[u8] = made_by_libtorrent!("folder-v2");
    const HYBRID: &[u8] = made_by_libtorrent!("folder-hybrid");
    const ALL: [&[u8]; 9] = [
        V1,
        V2,
        HYBRID,
        made_by_libtorrent!("single-v1"),
        made_by_libtorrent!("single-v2"),
        made_by_libtorrent!("single-hybrid"),
        made_by_libtorrent!("one-v1"),
        made_by_libtorrent!("one-v2"),
        made_by_libtorrent!("one-hybrid"),
    ];

    fn parse(bytes: &[u8]) -> Result<TorrentFile, TorrentFileError> {
        TorrentFile::parse(bytes, &InfoLimits::default())
    }

    /// A torrent of one empty file, with something before and behind its `info`.
    fn with(before: &str, behind: &str) -> Result<TorrentFile, TorrentFileError> {
        let info = "d6:lengthi0e4:name1:a12:piece lengthi16384e6:pieces0:e";
        parse(format!("d{before}4:info{info}{behind}e").as_bytes())
    }

    #[test]
    fn reads_what_libtorrent_writes() {
        for (bytes, format) in [(V1, Format::V1), (V2, Format::V2), (HYBRID, Format::Hybrid)] {
            let torrent = parse(bytes).unwrap();
            assert_eq!(
                torrent.trackers,
                [
                    ["http://tracker.example/announce"],
                    ["udp://tracker.example:6969"]
                ]
            );
            assert_eq!(torrent.web_seeds, ["http://seed.example/files/"]);
            assert_eq!(torrent.comment.as_deref(), Some("a comment"));
            assert_eq!(torrent.created_by.as_deref(), Some("libtorrent 2.1.1.0"));
            assert_eq!(torrent.creation_date, Some(1_700_000_000));
            assert_eq!(torrent.nodes, [("node.example".to_owned(), 6881)]);
            assert_eq!(torrent.warnings, []);
            assert_eq!(torrent.info.format(), format);
            assert_eq!(torrent.info.name, "folder");
            assert_eq!(torrent.info.layout, Layout::Folder);
            assert!(torrent.info.private);
            assert_eq!(torrent.info.files.content_length(), 302_146);
            assert_eq!(torrent.info.files.content().count(), 6);
        }
    }

    #[test]
    fn puts_together_what_libtorrent_wrote() {
        for bytes in ALL {
            let torrent = parse(bytes).unwrap();
            let again = torrent.envelope().encode();
            assert_eq!(parse(&again).unwrap(), torrent);
            let raw = |bytes| {
                let root = scan::strict(bytes, &scan::Limits::default()).unwrap();
                let field = |name| root.get(name).map(|value: Value<'_>| value.raw().to_vec());
                (field("info"), field("piece layers"))
            };
            assert_eq!(raw(&again).0, raw(bytes).0);
            assert_eq!(
                raw(&again).1.unwrap_or_default(),
                torrent.piece_layers.as_ref()
            );
        }
    }

    #[test]
    fn what_is_over_a_limit_is_not_called_damaged() {
        let limits = |scan| InfoLimits {
            scan,
            ..InfoLimits::default()
        };
        let usual = scan::Limits::default();
        let few = scan::Limits {
            elements: 10,
            ..usual
        };
        let short = scan::Limits {
            length: 10,
            ..usual
        };
        for scan in [few, short] {
            let error = TorrentFile::parse(V1, &limits(scan)).unwrap_err();
            assert!(matches!(error, TorrentFileError::TooLarge(_)), "{error}");
            assert!(error.is_of_too_many_files());
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for bytes in ALL {
            for end in 0..bytes.len() {
                assert!(matches!(
                    parse(&bytes[..end]),
                    Err(TorrentFileError::Bencode(_))
                ));
            }
        }
    }

    #[test]
    fn no_changed_bit_makes_it_panic() {
        for bytes in [V1, HYBRID] {
            for at in 0..bytes.len() {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << (at % 8);
                let _any = parse(&bytes);
            }
        }
    }

    #[test]
    fn layers_must_be_there_and_hash_to_their_roots() {
        let root = scan::strict(V2, &scan::Limits::default()).unwrap();
        let layers = root.get("piece layers").unwrap().raw();
        let info = root.get("info").unwrap().raw();
        let file = |layers: &[u8]| {
            parse(
                &Envelope {
                    info,
                    piece_layers: layers,
                    ..Envelope::default()
                }
                .encode(),
            )
        };
        assert_eq!(file(layers).unwrap().piece_layers, layers);
        let mut wrong = layers.to_vec();
        *wrong.iter_mut().nth_back(5).unwrap() ^= 1;
        assert!(matches!(
            file(&wrong),
            Err(TorrentFileError::LayerMismatch { .. })
        ));
        for (wrong, expected) in [
            (&b"le"[..], TorrentFileError::LayersNotHashes),
            (
                b"d32:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxi1ee",
                TorrentFileError::LayersNotHashes,
            ),
            (b"d1:x0:e", TorrentFileError::LayerOfNoFile),
        ] {
            assert_eq!(file(wrong), Err(expected));
        }
        let more = [&layers[..layers.len() - 1], b"32:", &[0xff; 32], b"0:e"].concat();
        assert_eq!(file(&more), Err(TorrentFileError::LayerOfNoFile));
    }

    #[test]
    fn layers_that_are_missing_are_warned_of() {
        let root = scan::strict(V2, &scan::Limits::default()).unwrap();
        let info = root.get("info").unwrap().raw();
        for layers in [&b""[..], b"de"] {
            let envelope = Envelope {
                info,
                piece_layers: layers,
                ..Envelope::default()
            };
            let torrent = parse(&envelope.encode()).unwrap();
            assert_eq!(torrent.piece_layers, "de");
            assert_eq!(
                torrent.warnings,
                [Warning::LayersMissing {
                    files: 4,
                    path: FilePath::parse("b.bin").unwrap()
                }]
            );
        }
    }

    #[test]
    fn a_list_of_tiers_takes_the_place_of_announce() {
        let tiers = |before: &str| with(before, "").unwrap().trackers;
        assert_eq!(tiers("8:announce8:http://a"), [["http://a"]]);
        assert_eq!(
            tiers("8:announce8:http://a13:announce-listll8:http://b8:http://cel7:udp://dee"),
            [vec!["http://b", "http://c"], vec!["udp://d"]]
        );
        assert_eq!(
            tiers("8:announce8:http://a13:announce-listle"),
            [["http://a"]]
        );
        assert_eq!(
            tiers("13:announce-listl8:http://bleli1eel8:http://cee"),
            [["http://b"], ["http://c"]]
        );
    }

    #[test]
    fn web_seeds_are_one_or_a_list() {
        let seeds = |behind: &str| with("", behind).unwrap().web_seeds;
        assert_eq!(seeds("8:url-list8:http://a"), ["http://a"]);
        assert_eq!(
            seeds("8:url-listl8:http://a9:https://be"),
            ["http://a", "https://b"]
        );
        assert_eq!(seeds("8:url-list0:"), [""; 0]);
    }

    #[test]
    fn odd_fields_are_left_out_with_a_warning() {
        let torrent = with(
            "8:announce11:file:///etc13:announce-listi1e7:commenti1e10:created byle13:creation date1:x",
            "5:nodesll1:ai0eel1:bi1eee8:url-listl6:ftp://8:http://ae",
        )
        .unwrap();
        assert_eq!(torrent.trackers, [[""; 0]; 0]);
        assert_eq!(torrent.web_seeds, ["http://a"]);
        assert_eq!(torrent.nodes, [("b".to_owned(), 1)]);
        assert_eq!(torrent.warnings.len(), 7, "{:?}", torrent.warnings);
    }

    #[test]
    fn a_newline_and_unsorted_keys_are_tolerated_with_a_warning() {
        let torrent = parse(
            b"d4:infod4:name1:a6:lengthi0e12:piece lengthi16384e6:pieces0:e8:announce8:http://ae\n",
        )
        .unwrap();
        assert_eq!(
            torrent.warnings,
            [Warning::TrailingNewline, Warning::UnsortedKeys]
        );
        assert!(torrent.info.raw.starts_with(b"d4:name1:a6:length"));
    }

    #[test]
    fn tells_what_is_no_torrent_file() {
        assert!(matches!(
            parse(b"<!DOCTYPE html>"),
            Err(TorrentFileError::Bencode(ScanError {
                offset: 0,
                rule: Rule::UnexpectedByte
            }))
        ));
        assert_eq!(parse(b"de"), Err(TorrentFileError::NoInfo));
        assert_eq!(parse(b"le"), Err(TorrentFileError::NoInfo));
        assert!(matches!(
            parse(b"d4:infoi1ee"),
            Err(TorrentFileError::Info(InfoError::NotADictionary))
        ));
    }
}
