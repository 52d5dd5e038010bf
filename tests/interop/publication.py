"""What is published and downloaded: three files in a folder, with names and sizes that clients get wrong."""

import hashlib
import random
from fnmatch import fnmatch

EMPTY = hashlib.sha256().hexdigest()
FOLDER = "Grüße aus Zürich – 日本語 ☕"
# In this order a hybrid torrent needs a padding file between the last two.
SIZES = {
    "an empty file ∅.txt": 0,
    "one byte – один байт.bin": 1,
    "vierzig MiB 音楽 & noise.flac": 40 << 20,
}


class Publication:
    """The files on disk, and what each must hash to."""

    def __init__(self, parent):
        """Writes the files into `parent`/FOLDER."""
        self.folder = parent / FOLDER
        self.folder.mkdir(parents=True)
        noise = random.Random(19)
        for name, size in SIZES.items():
            (self.folder / name).write_bytes(noise.randbytes(size))
        self.sums = checksums(parent)
        self.length = sum(SIZES.values())

    def differs(self, downloads, makes_empty_files=True, leaves=""):
        """How the files under `downloads` differ from the publication, or None.

        Padding files (BEP 47) are no difference, nor are empty files that are missing where the client makes none, nor
        files beside the publication that match the pattern `leaves`.
        """
        found = {
            path: digest
            for path, digest in checksums(downloads).items()
            if "/.pad/" not in path and not fnmatch(path, leaves)
        }
        if not makes_empty_files:
            found = {path: digest for path, digest in self.sums.items() if digest == EMPTY} | found
        if missing := sorted(self.sums.keys() - found.keys()):
            return f"{missing[0]!r} is missing; there are {sorted(found)}"
        if extra := sorted(found.keys() - self.sums.keys()):
            return f"{extra[0]!r} is not in the publication"
        if wrong := sorted(path for path in found if found[path] != self.sums[path]):
            return f"the SHA-256 of {wrong[0]!r} differs"
        return None


def checksums(folder):
    """SHA-256 of each file below the folder, by its path relative to it."""
    sums = {}
    for path in folder.rglob("*"):
        if path.is_file():
            sums[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums
