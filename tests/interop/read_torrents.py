"""What libtorrent finds in torrent files: one JSON line for each path that is given.

Runs by itself, on the Python that has libtorrent: `read_torrents.py FILE…`.
"""

import json
import sys
import warnings

import libtorrent as lt

warnings.simplefilter("ignore")


def read(path):
    """What `sower show --json` must say too, or the error."""
    try:
        info = lt.load_torrent_file(path).ti
    except RuntimeError as error:
        return {"error": str(error)}
    hashes, files = info.info_hashes(), info.layout()
    unlisted = lt.file_flags_t.flag_symlink | lt.file_flags_t.flag_pad_file
    content = [index for index in range(files.num_files()) if not files.file_flags(index) & unlisted]
    return {
        "name": info.name(),
        "info_hash_v1": str(hashes.v1) if hashes.has_v1() else None,
        "info_hash_v2": str(hashes.v2) if hashes.has_v2() else None,
        "piece_length": info.piece_length(),
        "pieces": info.num_pieces(),
        "total_length": sum(files.file_size(index) for index in content),
        # The torrent's name stands before the paths of a folder.
        "files": [[files.file_path(i).removeprefix(f"{info.name()}/"), files.file_size(i)] for i in content],
    }


for path in sys.argv[1:]:
    print(json.dumps(read(path)), flush=True)
