"""Makes a torrent with libtorrent. Runs on a Python that has it.

make_torrent.py CONTENT v1|v2|hybrid PIECE_LENGTH OUT.torrent FILE...    the FILEs of CONTENT in this order; none: it is a file
"""

import sys
from pathlib import Path

import libtorrent

content, form, piece_length, out, *names = sys.argv[1:]
flags = {"v1": libtorrent.create_torrent.v1_only, "v2": libtorrent.create_torrent.v2_only, "hybrid": 0}[form]
root = Path(content)
paths = [root / name for name in names] or [root]
files = [libtorrent.create_file_entry(str(path.relative_to(root.parent)), path.stat().st_size) for path in paths]
torrent = libtorrent.create_torrent(files, int(piece_length), flags)
libtorrent.set_piece_hashes(torrent, str(root.parent))
Path(out).write_bytes(libtorrent.bencode(torrent.generate()))
