//! Hashed content becomes an `info` dictionary (BEP 3, 27, 47, 52).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::hash::{HashedContent, HashedFile};
use super::info::{Format, Info, InfoError, InfoLimits, Layout};
use super::listing::pad_path;
use super::merkle::Hash;
use super::path::{FilePath, PathError, check_component, check_distinct};
use crate::proto::bencode::Encoder;

/// What an `info` dictionary says besides the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoOptions {
    /// The name of the single file, whatever path it was hashed under, or of the folder.
    pub name: String,
    /// Whether it is one or the other.
    ///
    /// v2 alone knows no folder with a single file right in it: that becomes the file, under the file's name.
    pub layout: Layout,
    /// Whether peers may only come from the torrent's own trackers (BEP 27).
    pub private: bool,
    /// A word that makes the info-hash one's own.
    pub source: Option<String>,
}

/// An `info` dictionary, and what a torrent file needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltInfo {
    /// The dictionary, read back from its own bytes.
    pub info: Info,
    /// The bencoded `piece layers` dictionary (BEP 52); empty in v1.
    pub piece_layers: Bytes,
    /// Content file *i* of the torrent, pads not counted, was the `order[i]`th to be hashed.
    pub order: Vec<usize>,
}

/// Why hashed content makes no torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Nothing was hashed.
    #[error("there are no files to make a torrent of")]
    NoFiles,
    /// One file is wanted, and there are more.
    #[error("a torrent of a single file cannot hold {0} files; put them into a folder")]
    NotOneFile(usize),
    /// A name is not safe, or files get in each other's way.
    #[error("a file name cannot be used")]
    Path(#[from] PathError),
    /// The torrent would break a rule or a limit.
    #[error("the torrent would not be valid")]
    Invalid(#[source] InfoError),
}

impl HashedContent {
    /// Writes the `info` dictionary, within the usual limits.
    ///
    /// v1 keeps the order in which files were hashed; v2 and hybrid have that of the file tree.
    ///
    /// # Errors
    /// [`BuildError`] where names conflict or the torrent would break a limit.
    pub fn into_info(self, options: InfoOptions) -> Result<BuiltInfo, BuildError> {
        self.into_info_within(options, &InfoLimits::default())
    }

    /// Writes the `info` dictionary, within limits: nothing is made here that could not be read again.
    ///
    /// # Errors
    /// [`BuildError`] where names conflict or the torrent would break a limit.
    pub fn into_info_within(
        self,
        options: InfoOptions,
        limits: &InfoLimits,
    ) -> Result<BuiltInfo, BuildError> {
        let draft = Draft::new(self, options)?;
        let raw = Bytes::from(draft.info());
        let info = Info::parse_within(raw, limits).map_err(BuildError::Invalid)?;
        Ok(BuiltInfo {
            info,
            piece_layers: draft.content.piece_layers(),
            order: draft.order,
        })
    }

    /// The bencoded `piece layers` dictionary (BEP 52); empty in v1.
    ///
    /// One entry for each root of more than one piece; files alike share it.
    pub fn piece_layers(&self) -> Bytes {
        if !self.format.has_v2() {
            return Bytes::new();
        }
        let layers: BTreeMap<Hash, &[u8]> = self
            .files
            .iter()
            .filter_map(|file| file.tree.as_ref())
            .filter(|tree| !tree.layer.is_empty())
            .map(|tree| (tree.root, tree.layer.as_slice()))
            .collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.begin_dict();
        for (root, layer) in layers {
            encoder.key(root).bytes(layer);
        }
        encoder.end();
        out.into()
    }
}

/// Content put in its order under its final names, ready to be written.
struct Draft {
    content: HashedContent,
    options: InfoOptions,
    order: Vec<usize>,
}

impl Draft {
    fn new(mut content: HashedContent, mut options: InfoOptions) -> Result<Self, BuildError> {
        check_component(&options.name)?;
        let name = FilePath::from_components([options.name.as_str()])?;
        let has_v2 = content.format.has_v2();
        match content.files.as_mut_slice() {
            [] => return Err(BuildError::NoFiles),
            [only] if options.layout == Layout::SingleFile => only.path = name,
            [only] if content.format == Format::V2 && only.path.is_bare() => {
                only.path.file_name().clone_into(&mut options.name);
                options.layout = Layout::SingleFile;
            }
            files if options.layout == Layout::SingleFile => {
                return Err(BuildError::NotOneFile(files.len()));
            }
            _ => {}
        }
        check_distinct(content.files.iter().map(|file| &file.path))?;
        let mut files: Vec<(usize, HashedFile)> = content.files.into_iter().enumerate().collect();
        if has_v2 {
            // BEP 52: the order of the file tree, that is of the raw bytes of each component.
            files.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        }
        let order = files.iter().map(|(hashed_as, _)| *hashed_as).collect();
        content.files = files.into_iter().map(|(_, file)| file).collect();
        Ok(Self {
            content,
            options,
            order,
        })
    }

    /// The dictionary, with its keys in order.
    fn info(&self) -> Vec<u8> {
        let format = self.content.format;
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.begin_dict();
        if format.has_v2() {
            self.write_file_tree(encoder.key("file tree"));
        }
        if format.has_v1() {
            self.write_file_list(&mut encoder);
        }
        if format.has_v2() {
            encoder.key("meta version").integer(2);
        }
        encoder.key("name").text(&self.options.name);
        let piece_length = u64::from(self.content.piece_length.get());
        encoder.key("piece length").unsigned(piece_length);
        if format.has_v1() {
            encoder.key("pieces").bytes(&self.v1_pieces());
        }
        if self.options.private {
            encoder.key("private").integer(1);
        }
        if let Some(source) = &self.options.source {
            encoder.key("source").text(source);
        }
        encoder.end();
        out
    }

    /// v1: `length` of the only file, or `files`.
    fn write_file_list(&self, encoder: &mut Encoder<'_>) {
        if let ([only], Layout::SingleFile) = (self.content.files.as_slice(), self.options.layout) {
            encoder.key("length").unsigned(only.length);
            return;
        }
        encoder.key("files").begin_list();
        for file in &self.content.files {
            encoder.begin_dict();
            encoder.key("length").unsigned(file.length);
            write_path(encoder.key("path"), &file.path);
            encoder.end();
            if self.is_padded() {
                self.write_pad(encoder, file.length);
            }
        }
        encoder.end();
    }

    /// Whether a pad follows every file, the last one included.
    ///
    /// BEP 52 leaves open whether the last file of a hybrid has one. Its reference implementation pads it, and so does
    /// libtorrent since 2.0.4, unless it is the only one (pull requests 6153 and 7078 there).
    fn is_padded(&self) -> bool {
        self.content.format == Format::Hybrid && self.content.files.len() > 1
    }

    fn write_pad(&self, encoder: &mut Encoder<'_>, length: u64) {
        let padding = self.content.piece_length.padding_after(length);
        let Ok(path) = pad_path(padding) else {
            return;
        };
        if padding > 0 {
            encoder.begin_dict();
            encoder.key("attr").text("p");
            encoder.key("length").unsigned(padding);
            write_path(encoder.key("path"), &path);
            encoder.end();
        }
    }

    fn v1_pieces(&self) -> Vec<u8> {
        let is_padded = self.is_padded();
        let mut pieces = self.content.pieces.clone();
        for aligned in self
            .content
            .files
            .iter()
            .filter_map(|file| file.pieces.as_ref())
        {
            if is_padded {
                pieces.extend_from_slice(&aligned.padded);
            } else {
                pieces.extend_from_slice(&aligned.bare());
            }
        }
        pieces
    }

    /// v2: folders as nested dictionaries, each file under its name and an empty key. Files are in tree order.
    fn write_file_tree(&self, encoder: &mut Encoder<'_>) {
        encoder.begin_dict();
        let mut open: Vec<&str> = Vec::new();
        for file in &self.content.files {
            let mut folders = file.path.components();
            let Some(name) = folders.next_back() else {
                continue;
            };
            let shared = open
                .iter()
                .zip(folders.clone())
                .take_while(|(ours, theirs)| *ours == theirs)
                .count();
            for _ in open.drain(shared..) {
                encoder.end();
            }
            for folder in folders.skip(shared) {
                encoder.key(folder).begin_dict();
                open.push(folder);
            }
            write_tree_file(encoder.key(name), file);
        }
        for _ in open {
            encoder.end();
        }
        encoder.end();
    }
}

fn write_path(encoder: &mut Encoder<'_>, path: &FilePath) {
    encoder.begin_list();
    for component in path.components() {
        encoder.text(component);
    }
    encoder.end();
}

fn write_tree_file(encoder: &mut Encoder<'_>, file: &HashedFile) {
    encoder.begin_dict();
    encoder.key("").begin_dict();
    encoder.key("length").unsigned(file.length);
    if let Some(tree) = &file.tree {
        encoder.key("pieces root").bytes(&tree.root);
    }
    encoder.end().end();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::hash::TorrentHasher;
    use super::super::info::Format;
    use super::super::merkle::root_of_layer;
    use super::super::piece_length::PieceLength;
    use super::*;
    use crate::proto::bencode::scan::{Limits, strict};

    /// Bytes that `tests/data/libtorrent/make.py` makes likewise.
    fn pseudo(length: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            state.to_be_bytes()[1]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn options(name: &str, layout: Layout) -> InfoOptions {
        InfoOptions {
            name: name.to_owned(),
            layout,
            private: false,
            source: None,
        }
    }

    fn hashed<B: AsRef<[u8]>>(
        format: Format,
        piece_length: u32,
        files: &[(&str, B)],
    ) -> HashedContent {
        let mut hasher = TorrentHasher::new(format, PieceLength::new(piece_length).unwrap());
        for (path, bytes) in files {
            hasher.begin_file(FilePath::parse(path).unwrap());
            hasher.update(bytes.as_ref());
            hasher.end_file();
        }
        hasher.finish()
    }

    /// The folder that libtorrent was given, in the order in which it lists it for v1.
    fn folder() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("b.bin", pseudo(40_000, 1)),
            ("z.bin", pseudo(131_072, 5)),
            ("empty", Vec::new()),
            ("sub/c.bin", pseudo(65_536, 4)),
            ("sub/d é.bin", pseudo(65_537, 5)),
            ("a.txt", pseudo(1, 2)),
        ]
    }

    /// The info-hashes that libtorrent 2.1.1 gave the same files.
    #[test]
    fn info_hashes_are_those_of_libtorrent() {
        let single = [("whatever", pseudo(100_000, 6))];
        let one = [("one.bin", pseudo(50_000, 7))];
        let folder = folder();
        let (single, one) = (&single[..], &one[..]);
        for (files, name, layout, piece_length, expected) in [
            (
                folder.as_slice(),
                "folder",
                Layout::Folder,
                16_384,
                [
                    "4778a90dba6528209a1a38a043f575ca28c5926a",
                    "3fe189157c902a97503185dbab9ebe8aec5a70dbaac222a842dc9ce0b19f602a",
                    "62796104c18f7887f26bd856173473da62f249d7",
                    "48f5dbc1f92af48825b5fb9275bd1a22ac30973d8eec17147ef05115cab026d3",
                ],
            ),
            (
                single,
                "single.bin",
                Layout::SingleFile,
                16_384,
                [
                    "9449fe17a409f503ba0ed9b4d759f1293d5274a6",
                    "7074dfd0322037bd8711e2a71b9ab8acfcfa12fdfc437aa69a4809947f8c7615",
                    "f6aa4f2b97550ceb374b259e003c771813bfc525",
                    "9614131b48c87a23514ed34748b5e472e6b11978e623318c0534a20e89dc1981",
                ],
            ),
            (
                single,
                "single.bin",
                Layout::SingleFile,
                32_768,
                [
                    "6651af7dea7f87e3d473fd2c46820ed028d552e1",
                    "e2e55c18a7442683b4d5fac2443a132421dc072eb9f5ca3cc4c3f3137030b9ca",
                    "8eea862518dad7a52b8d4a2fd6b04146d8f77462",
                    "439d47d60817183c708a9a2dc67b5f27a24f504de6c112ef2a7972b2e16dfb82",
                ],
            ),
            (
                one,
                "one",
                Layout::Folder,
                32_768,
                [
                    "9d29a1b5aa0c5d1bcd62f8d16052267fb7728c7d",
                    // Under the name of the file, as libtorrent itself reads it: the folder is not kept.
                    "",
                    "253124dacc9e62ac6f596cc63c9182f90765c5b9",
                    "3bb4347594cd2b40691255c72509625d26c7c9a55ade42b691bebbf2d2612171",
                ],
            ),
        ] {
            let built = |format| {
                let options = options(name, layout);
                let content = hashed(format, piece_length, files);
                content.into_info(options).unwrap().info.hashes
            };
            let v1 = built(Format::V1).v1().unwrap().to_string();
            let v2 = built(Format::V2).v2().unwrap().to_string();
            let hybrid = built(Format::Hybrid);
            let hybrid = [
                hybrid.v1().unwrap().to_string(),
                hybrid.v2().unwrap().to_string(),
            ];
            let [v1_expected, v2_expected, ..] = expected;
            assert_eq!(v1, v1_expected, "{name} {piece_length} v1");
            if !v2_expected.is_empty() {
                assert_eq!(v2, v2_expected, "{name} {piece_length} v2");
            }
            assert_eq!(hybrid, expected[2..], "{name} {piece_length} hybrid");
        }
    }

    #[test]
    fn v1_keeps_the_order_and_v2_has_that_of_the_tree() {
        let v1 = hashed(Format::V1, 16_384, &folder())
            .into_info(options("folder", Layout::Folder))
            .unwrap();
        assert_eq!(v1.order, [0, 1, 2, 3, 4, 5]);
        assert!(v1.piece_layers.is_empty());
        for format in [Format::V2, Format::Hybrid] {
            let built = hashed(format, 16_384, &folder())
                .into_info(options("folder", Layout::Folder))
                .unwrap();
            assert_eq!(built.order, [5, 0, 2, 3, 4, 1]);
            let paths: Vec<_> = built
                .info
                .files
                .content()
                .map(|(_, file)| file.path.to_string())
                .collect();
            assert_eq!(
                paths,
                [
                    "a.txt",
                    "b.bin",
                    "empty",
                    "sub/c.bin",
                    "sub/d é.bin",
                    "z.bin"
                ]
            );
        }
    }

    #[test]
    fn a_folder_sorts_by_its_name_and_not_by_its_slash() {
        // libtorrent 2.1.1 compares whole paths here, and cannot load the hybrid it then makes.
        let files = [("sub-x", b"1"), ("sub/c", b"2"), ("sub.d/e", b"3")];
        let built = hashed(Format::Hybrid, 16_384, &files)
            .into_info(options("folder", Layout::Folder))
            .unwrap();
        assert_eq!(built.order, [1, 0, 2]);
    }

    #[test]
    fn piece_layers_hold_each_root_of_more_than_one_piece_once() {
        let mut files = folder();
        files.push(("z-again.bin", pseudo(131_072, 5)));
        let built = hashed(Format::Hybrid, 65_536, &files)
            .into_info(options("folder", Layout::Folder))
            .unwrap();
        let layers = strict(&built.piece_layers, &Limits::default()).unwrap();
        let lengths: Vec<_> = layers
            .dict()
            .unwrap()
            .map(|(root, layer)| {
                let layer = layer.as_bytes().unwrap();
                let expected = root_of_layer(layer, 65_536);
                assert_eq!(expected.unwrap(), root);
                layer.len() / 32
            })
            .collect();
        assert_eq!(lengths, [2, 2], "d é.bin, and z.bin with its double");
    }

    #[test]
    fn a_folder_of_one_file_becomes_that_file_in_v2_alone() {
        for (format, name, layout) in [
            (Format::V1, "one", Layout::Folder),
            (Format::V2, "one.bin", Layout::SingleFile),
            (Format::Hybrid, "one", Layout::Folder),
        ] {
            let content = hashed(format, 16_384, &[("one.bin", b"x")]);
            let info = content
                .into_info(options("one", Layout::Folder))
                .unwrap()
                .info;
            assert_eq!((info.name.as_str(), info.layout), (name, layout));
        }
    }

    #[test]
    fn the_only_file_takes_the_name_of_the_torrent() {
        let content = hashed(Format::V1, 16_384, &[("folder/upload.tmp", b"x")]);
        let info = content
            .into_info(options("debian.iso", Layout::SingleFile))
            .unwrap()
            .info;
        assert_eq!(info.files.get(0).unwrap().path.to_string(), "debian.iso");
    }

    #[test]
    fn private_and_source_are_in_the_info_dictionary() {
        let content = hashed(Format::V1, 16_384, &[("a", b"x")]);
        let info = content
            .into_info(InfoOptions {
                private: true,
                source: Some("SOWER".to_owned()),
                ..options("a", Layout::SingleFile)
            })
            .unwrap()
            .info;
        assert!(info.private);
        assert_eq!(info.source.as_deref(), Some("SOWER"));
        assert!(info.raw.ends_with(b"7:privatei1e6:source5:SOWERe"));
    }

    #[test]
    fn empty_content_is_a_torrent_without_pieces() {
        for format in [Format::V1, Format::V2, Format::Hybrid] {
            let content = hashed(format, 16_384, &[("empty", b"")]);
            let info = content
                .into_info(options("empty", Layout::SingleFile))
                .unwrap()
                .info;
            assert_eq!(info.geometry.piece_count(), 0);
        }
    }

    #[test]
    fn refuses_what_is_no_torrent() {
        let build = |files: &[(&str, &str)], name, layout| {
            hashed(Format::Hybrid, 16_384, files).into_info(options(name, layout))
        };
        assert_eq!(build(&[], "a", Layout::Folder), Err(BuildError::NoFiles));
        assert_eq!(
            build(&[("a", ""), ("b", "")], "a", Layout::SingleFile),
            Err(BuildError::NotOneFile(2))
        );
        assert!(matches!(
            build(&[("a", ""), ("A", "")], "x", Layout::Folder),
            Err(BuildError::Path(PathError::Collision { .. }))
        ));
        assert!(matches!(
            build(&[("a", "")], "..", Layout::SingleFile),
            Err(BuildError::Path(PathError::Dots(_)))
        ));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
    fn thousands_of_small_files_are_padded_in_linear_time() {
        let names: Vec<_> = (0..5_000).map(|i| format!("{i}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"x")).collect();
        let before = std::time::Instant::now();
        let built = hashed(Format::Hybrid, 16_384, &files)
            .into_info(options("many", Layout::Folder))
            .unwrap();
        assert_eq!(built.info.files.len(), 10_000);
        assert!(before.elapsed() < Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn bytes_may_come_in_any_cuts(
            bytes in prop::collection::vec(any::<u8>(), 0..100_000),
            cuts in prop::collection::vec(1_usize..40_000, 1..8),
            step in 0_u32..3,
        ) {
            for format in [Format::V1, Format::Hybrid] {
                let piece_length = PieceLength::new(16_384 << step).unwrap();
                let mut hasher = TorrentHasher::new(format, piece_length);
                hasher.begin_file(FilePath::parse("first").unwrap());
                hasher.update(b"shifts what follows");
                hasher.begin_file(FilePath::parse("second").unwrap());
                let mut rest = bytes.as_slice();
                for cut in cuts.iter().cycle() {
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    hasher.update(now);
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                let whole = hashed(format, 16_384 << step, &[("first", &b"shifts what follows"[..]), ("second", &bytes)]);
                prop_assert_eq!(hasher.finish(), whole);
            }
        }
    }
}
