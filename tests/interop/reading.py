"""Where Sower and libtorrent differ about a torrent file, and why: what corpora.py allows, and docs/interop.md says."""

# Torrents that libtorrent loads under names that it makes up.
UNSAFE_NAMES = {
    "absolute_filename.torrent",
    "backslash_path.torrent",
    "duplicate_files.torrent",
    "empty_path.torrent",
    "empty_path_multi.torrent",
    "hidden_parent_path.torrent",
    "invalid_directory_name.torrent",
    "invalid_filename.torrent",
    "invalid_filename2.torrent",
    "invalid_name2.torrent",
    "long_name.torrent",
    "parent_path.torrent",
    "slash_path.torrent",
    "slash_path2.torrent",
    "slash_path3.torrent",
    "symlink_filtered_path.torrent",
    "v2_invalid_filename.torrent",
    "v2_invalid_filename2.torrent",
}
# Torrents that libtorrent refuses since their files have no bytes.
EMPTY = {"zero.torrent", "zero2.torrent"}

# Torrents with more than a newline behind their end, which libtorrent does not look at.
TRAILING = {"88.torrent"}

# What our error says of each torrent that libtorrent's own test expects to fail.
ERRORS = {
    "bad_name.torrent": "the same key twice",
    "duplicate_files2.torrent": "the same name",
    "invalid_file_size.torrent": "`length`",
    "invalid_info.torrent": "`info` must be a dictionary",
    "invalid_name.torrent": "`name`",
    "invalid_path_list.torrent": "`path`",
    "invalid_piece_len.torrent": "`piece length`",
    "invalid_pieces.torrent": "`pieces`",
    "invalid_symlink.torrent": "`symlink path`",
    "many_pieces.torrent": "more than 4194304 pieces",
    "missing_path_list.torrent": "no `path`",
    "missing_piece_len.torrent": "no `piece length`",
    "negative_file_size.torrent": "`length`",
    "negative_piece_len.torrent": "piece length of -16384",
    "negative_size.torrent": "`length`",
    "no_files.torrent": "no files",
    "no_name.torrent": "no `name`",
    "string.torrent": "no `info` dictionary",
    "unaligned_pieces.torrent": "no multiple of 20",
    "v2_bad_file_alignment.torrent": "does not begin on a piece",
    "v2_deep_recursion.torrent": "deeper than 64",
    "v2_empty_filename.torrent": "bytes after the end",
    "v2_invalid_file.torrent": "`file tree`",
    "v2_invalid_pad_file.torrent": "`attr`",
    "v2_invalid_piece_layer.torrent": "`piece layers`",
    "v2_invalid_piece_layer_root.torrent": "do not match its root",
    "v2_invalid_piece_layer_size.torrent": "do not match its root",
    "v2_large_file.torrent": "`piece layers`",
    "v2_large_offset.torrent": "more than 4194304 pieces",
    "v2_mismatching_metadata.torrent": "file name that cannot be used",
    "v2_missing_file_root_invalid_symlink.torrent": "`pieces root`",
    "v2_no_power2_piece.torrent": "a power of two",
    "v2_non_multiple_piece_layer.torrent": "do not match its root",
    "v2_overlong_integer.torrent": "an integer",
    "v2_piece_layer_invalid_file_hash.torrent": "`piece layers`",
    "v2_piece_size.torrent": "piece length of 2147483647",
    "v2_unknown_piece_layer_entry.torrent": "`piece layers`",
    "v2_unordered_files.torrent": "sorted by name",
    "v2_zero_root.torrent": "`pieces root`",
    "v2_zero_root_small.torrent": "`pieces root`",
}

SECTION = f"""\
## Reading torrent files

`tests/interop/corpora.py` reads every torrent in the test suites of libtorrent, Transmission, Deluge and aria2 (from the
sources that Debian keeps), of WebTorrent and parse-torrent (from npm) and of torrentool (from PyPI), and holds
`sower show --json` against libtorrent 2.1: what libtorrent loads has the same info-hashes, name, files, lengths, piece
length and number of pieces here; what it refuses is refused, with an error that names the field and the rule. The torrents
of anacrolix/torrent and torrenttools are in no package; they were read once by hand, with the same result. dottorrent has
none. The differences are wanted:

- **Names that lead elsewhere are refused** ({len(UNSAFE_NAMES)} torrents, each made to attack a reader). libtorrent loads them under names of its
  own: `..` and an empty name become `_`, slashes go, two files alike get numbers, long names are cut. Others rename
  otherwise, so the same torrent is other files for each of them: a web seed answers 404, a second client does not find
  the data of the first, and what a page listed is not what lies on the disk. No torrent in these suites that was made
  to be downloaded has such a name. So the error says which name it is, and nothing is guessed. The same holds for
  names that are one name where case or Unicode form does not count, and in v2 for names that are not UTF-8 (BEP 52).
  Names in other encodings are read in v1, from `name.utf-8` and `path.utf-8` if they are there.
- **Bytes behind the end are refused** ({len(TRAILING)} torrent, to which a web site's error message was appended), but for a newline. A file
  that says more than its torrent was damaged on its way or put together by mistake, and the error says where it ends.
- **Torrents of no bytes are read** ({len(EMPTY)} torrents). libtorrent refuses a torrent whose files are all empty; torrenttools makes
  such torrents, and so does Sower, for a folder may hold nothing but an empty file. Clients with libtorrent cannot load it."""
