#!/usr/bin/python3
"""Reads the torrents of other projects' test suites, and holds what `sower show` says against libtorrent.

`tests/setup corpora libtorrent` fetches the torrents and libtorrent. Where both may differ stands in reading.py.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from clients.libtorrent import PYTHON
from network import cache
from reading import EMPTY, ERRORS, TRAILING, UNSAFE_NAMES
from run import newest_build

# The corpora, and how many torrents each has at least.
CORPORA = {
    "libtorrent-rasterbar": 111,
    "transmission": 15,
    "deluge": 11,
    "aria2": 6,
    "webtorrent-fixtures": 9,
    "parse-torrent": 5,
    "torrentool": 5,
}
READ_TORRENTS = Path(__file__).with_name("read_torrents.py")
EXPECTED_TO_FAIL = re.compile(r'"([^"]+\.torrent)",\s*(?:bdecode_)?errors::')


def main():
    chosen = options()
    if chosen.sower is None:
        sys.exit("corpora: there is no build of sower; run `cargo build --release`, or name one with --sower")
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for name in CORPORA:
        outcome, faults = read_all(name, chosen.sower)
        counts[outcome] += 1
        print(f"{outcome:10}  {name}: {len(torrents(name))} torrents", *faults, sep="\n    ", flush=True)
    if chosen.require_all:
        counts["failed"] += counts.pop("skipped")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts.get('skipped', 0)} skipped")
    sys.exit(1 if counts["failed"] else 0)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sower",
        type=Path,
        default=os.environ.get("SOWER") or newest_build(),
        help="the program under test (default: $SOWER, else the newest build)",
    )
    parser.add_argument("--require-all", action="store_true", help="what cannot be tried here is a failure")
    return parser.parse_args()


def torrents(corpus):
    return sorted((cache() / "corpora" / corpus).rglob("*.torrent"))


def read_all(corpus, sower):
    """What came of a corpus, and what is wrong with it."""
    missing = [what for what, is_there in (("libtorrent", PYTHON.exists()), (corpus, torrents(corpus))) if not is_there]
    if missing:
        return "skipped", [f"{' and '.join(missing)} is not installed (run tests/setup)"]
    faults = list(check(corpus, sower))
    return ("failed" if faults else "passed"), faults


def check(corpus, sower):
    """What is wrong with the reading of a corpus, a line for each fault."""
    paths = torrents(corpus)
    if len(paths) < CORPORA[corpus]:
        yield f"it has {len(paths)} torrents, and {CORPORA[corpus]} are expected"
    theirs = subprocess.run([PYTHON, "-I", READ_TORRENTS, *paths], capture_output=True, text=True, check=True)
    for path, line in zip(paths, theirs.stdout.splitlines(), strict=True):
        fault = compare(path, json.loads(line), sower)
        if fault:
            yield f"{path.name}: {fault}"
    for name in expected_to_fail(corpus) - ERRORS.keys() - EMPTY:
        yield f"{name}: libtorrent's own test expects an error, and reading.py names none"


def expected_to_fail(corpus):
    """The torrents that libtorrent's own test expects to fail."""
    sources = (cache() / "corpora" / corpus).rglob("test_torrent_info.cpp")
    return {name for source in sources for name in EXPECTED_TO_FAIL.findall(source.read_text())}


def compare(path, theirs, sower):
    """How we differ from libtorrent where we may not; `None` where all is well."""
    shown = subprocess.run([sower, "show", "--json", path], capture_output=True, text=True)
    if shown.returncode not in (0, 1):
        return f"sower ended with {shown.returncode}: {shown.stderr}"
    is_read = shown.returncode == 0
    if path.name in UNSAFE_NAMES:
        return "it is read, and its names are not safe" if is_read else says(shown.stderr, "name that")
    if path.name in TRAILING:
        return "it is read, and bytes follow its end" if is_read else says(shown.stderr, "bytes after the end")
    if path.name in EMPTY:
        return None if is_read else f"a torrent of no bytes is refused: {shown.stderr}"
    if "error" in theirs:
        return f"libtorrent refuses it: {theirs['error']}" if is_read else says(shown.stderr, ERRORS.get(path.name, ""))
    if not is_read:
        return f"libtorrent loads it, and we do not: {shown.stderr}"
    ours = json.loads(shown.stdout)
    ours["files"] = [[file["path"], file["length"]] for file in ours["files"] if not file["pad"]]
    different = [field for field in theirs if theirs[field] != ours[field]]
    return "; ".join(f"{field} is {ours[field]}, not {theirs[field]}" for field in different) or None


def says(error, words):
    return None if words in error else f"the error does not say {words!r}: {error}"


if __name__ == "__main__":
    main()
