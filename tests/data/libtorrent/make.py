"""Makes the torrents beside this file with libtorrent 2.1.1 (`pip install libtorrent==2.1.1`).

The unit tests of `metainfo` read them, and compare the info-hashes that are printed here with those of our own torrents of
the same bytes. Run it as `python make.py FOLDER`.
"""
import os
import sys
import tempfile
import warnings

import libtorrent as lt

warnings.simplefilter("ignore")

# Path: length and seed.
FILES = {
    "folder/b.bin": (40_000, 1),
    "folder/a.txt": (1, 2),
    "folder/empty": (0, 3),
    "folder/sub/c.bin": (65_536, 4),
    "folder/sub/d é.bin": (65_537, 5),
    "folder/z.bin": (131_072, 5),
    "single.bin": (100_000, 6),
    "one/one.bin": (50_000, 7),
}
FORMATS = {"hybrid": 0, "v2": lt.create_torrent.v2_only, "v1": lt.create_torrent.v1_only}


def pseudo(length, seed):
    """Bytes that the tests make likewise."""
    out, state = bytearray(), seed
    while len(out) < length:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append((state >> 16) & 255)
    return bytes(out)


def main(out):
    os.chdir(tempfile.mkdtemp())
    for path, (length, seed) in FILES.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(pseudo(length, seed))
    for name, flags in FORMATS.items():
        for root in ("folder", "single.bin", "one"):
            for piece_length in (16_384, 32_768):
                torrent = lt.create_torrent(lt.list_files(root), piece_length, flags)
                torrent.set_creation_date(0)
                if root == "folder" and piece_length == 32_768:
                    torrent.add_tracker("http://tracker.example/announce", 0)
                    torrent.add_tracker("udp://tracker.example:6969", 1)
                    torrent.add_url_seed("http://seed.example/files/")
                    torrent.add_node("node.example", 6881)
                    torrent.set_comment("a comment")
                    torrent.set_creator("libtorrent " + lt.__version__)
                    torrent.set_creation_date(1_700_000_000)
                    torrent.set_priv(True)
                lt.set_piece_hashes(torrent, ".")
                raw = lt.bencode(torrent.generate())
                hashes = lt.torrent_info(raw).info_hashes()
                print(name, root, piece_length, hashes.v1, hashes.v2)
                if piece_length == 32_768:
                    with open(f"{out}/{root.removesuffix('.bin')}-{name}.torrent", "wb") as file:
                        file.write(raw)


main(os.path.abspath(sys.argv[1]))
