#!/usr/bin/python3
"""Holds `sower create` and `sower verify` against libtorrent.

libtorrent reads what `sower create` makes, and makes the same torrents of the same files; `sower verify` checks the files
against libtorrent's torrents, and finds the bit that was flipped. `tests/setup libtorrent` installs it.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from clients.libtorrent import PYTHON
from corpora import READ_TORRENTS, options

MAKE_TORRENT = Path(__file__).with_name("make_torrent.py")
FORMATS = ("v1", "v2", "hybrid")
PIECE = 16 << 10

# The files of each content by their lengths; a length alone is a content of one file.
CONTENTS = {
    "a file of less than a block": 100,
    "a file of one piece": PIECE,
    "a file of many pieces": 9 * PIECE + 1,
    "a folder": {"a": 3 * PIECE + 5, "b/c": 1, "b/d é.bin": 2 * PIECE, "bb": PIECE - 1, "e": 70_000},
    "a folder and a file that sorts before its slash": {"b/c": 1, "b!": PIECE - 1},
    "empty files among others": {"a": 0, "b": PIECE + 1, "c": 0, "d/e": 5, "f": 0},
    "files alike": {"a": 5 * PIECE, "b": 5 * PIECE, "c/a": 5 * PIECE},
    "a folder of a folder of a file": {"a/b/c": 50_000},
    "many small files": {f"{number % 7}/{number:03}": number * 131 for number in range(300)},
}


def main():
    chosen = options()
    if chosen.sower is None:
        sys.exit("making: there is no build of sower; run `cargo build --release`, or name one with --sower")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for name, files in CONTENTS.items():
        for form in FORMATS:
            outcome, faults = attempt(files, form, chosen.sower.resolve())
            counts[outcome] += 1
            print(f"{outcome:10}  {form:6}  {name}", *faults, sep="\n    ", flush=True)
    if chosen.require_all:
        counts["failed"] += counts.pop("skipped")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts.get('skipped', 0)} skipped")
    sys.exit(1 if counts["failed"] else 0)


def attempt(files, form, sower):
    """What came of one content in one format, and what is wrong."""
    if not PYTHON.exists():
        return "skipped", ["libtorrent is not installed (run tests/setup)"]
    with tempfile.TemporaryDirectory(prefix="sower-making-") as folder:
        faults = list(check(files, form, Path(folder), sower))
    return ("failed" if faults else "passed"), faults


def check(files, form, folder, sower):
    """What is wrong, a line for each fault."""
    content = folder / "content"
    write(content, files)
    ours, theirs = folder / "ours.torrent", folder / "theirs.torrent"
    arguments = ["--format", form, "--piece-length", str(PIECE), "--announce", "http://t.example/announce"]
    made = subprocess.run([sower, "create", content, "-o", ours, "--json", *arguments], capture_output=True, text=True)
    if made.returncode != 0:
        yield f"it is not made: {made.stderr}"
        return
    made = json.loads(made.stdout)
    order = [file["path"] for file in made["files"] if not file["pad"]] if isinstance(files, dict) else []
    subprocess.run([PYTHON, "-I", MAKE_TORRENT, content, form, str(PIECE), theirs, *order], check=True)
    read = subprocess.run([PYTHON, "-I", READ_TORRENTS, ours, theirs], capture_output=True, text=True, check=True)
    of_ours, of_theirs = map(json.loads, read.stdout.splitlines())
    if "error" in of_ours:
        yield f"libtorrent refuses it: {of_ours['error']}"
        return
    made["files"] = [[file["path"], file["length"]] for file in made["files"] if not file["pad"]]
    yield from (f"libtorrent reads {different}" for different in compare(of_ours, made))
    if "error" in of_theirs:
        # Of a folder `b` and a file `b!` it makes hybrids whose halves are in different orders, and refuses them itself.
        yield from verify(content, ours, sower)
    else:
        yield from (f"libtorrent makes {different}" for different in compare(of_theirs, made))
        yield from verify(content, theirs, sower)


def compare(theirs, ours):
    """The fields in which two torrents differ."""
    return (f"another {field}: {value}, not {ours[field]}" for field, value in theirs.items() if value != ours[field])


def write(content, files):
    """Writes the same bytes on every run; files of one length are alike."""
    for name, length in files.items() if isinstance(files, dict) else [("", files)]:
        path = content / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(length).randbytes(length))


def verify(content, torrent, sower):
    """What is wrong with our look at the files by libtorrent's torrent."""

    def look():
        looked = subprocess.run([sower, "verify", torrent, content, "--json"], capture_output=True, text=True)
        return looked.returncode, json.loads(looked.stdout)

    code, report = look()
    if code != 0 or not report["right"]:
        yield f"what is right is not found right: {report}"
    largest = max((path for path in (content, *content.rglob("*")) if path.is_file()), key=lambda it: it.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[-1] ^= 1
    largest.write_bytes(data)
    code, report = look()
    name = largest.relative_to(content).as_posix() if largest != content else content.name
    states = {file["path"]: file["state"] for file in report["files"]}
    if code != 1 or report["wrong_pieces"] != 1 or states[name] != "bad":
        yield f"the bit that was flipped in {name} is not found: {report}"


if __name__ == "__main__":
    main()
