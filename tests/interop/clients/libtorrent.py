"""libtorrent, by its Python binding: the core of qBittorrent and Deluge, in its newest release."""

import subprocess
from pathlib import Path

from network import cache

from . import PEER_PORT, Client

PYTHON = cache() / "venv/bin/python"
PEER = Path(__file__).with_name("libtorrent_peer.py")


def command(*arguments):
    """The command line of our libtorrent peer. Isolated, lest this file be taken for the library."""
    return [PYTHON, "-I", PEER, *arguments]


class Libtorrent(Client):
    name = "libtorrent"
    settings = ()

    @classmethod
    def version(cls):
        if not PYTHON.exists():
            return None
        printed = subprocess.run(command("version"), capture_output=True, text=True)
        return printed.stdout.strip() or None

    def start(self):
        self.run(*command("get", self.job.source, self.job.folder, f"{self.job.host.address}:{PEER_PORT}", *self.settings))

    def is_done(self):
        return self.has_exited()


class LibtorrentSeed(Libtorrent):
    """Seeds the files in the job's folder; done means ready."""

    def start(self):
        self.run(*command("seed", self.job.source, self.job.folder, f"{self.job.host.address}:{PEER_PORT}", *self.settings))

    def is_done(self):
        self.still_runs()
        return b"seeding\n" in self.job.log.read_bytes()


class LibtorrentGuest(Libtorrent):
    """Downloads slowly; done means that the peer at `friend` has been met."""

    def __init__(self, job, friend):
        super().__init__(job)
        self.friend = friend

    def start(self):
        place = f"{self.job.host.address}:{PEER_PORT}"
        self.run(*command("meet", self.job.source, self.job.folder, place, self.friend))

    def is_done(self):
        self.still_runs()
        return b"met\n" in self.job.log.read_bytes()


def create_torrent(folder, tracker, form, out):
    """Makes a .torrent of the folder, and returns its v1 info-hash."""
    made = subprocess.run(command("create", folder, tracker, form, out), capture_output=True, text=True, check=True)
    return bytes.fromhex(made.stdout)
