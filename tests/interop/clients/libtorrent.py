"""libtorrent, by its Python binding: the core of qBittorrent and Deluge, in its newest release and in the line before, which most have."""

import subprocess
from pathlib import Path

from network import cache

from . import PEER_PORT, Client

PYTHON = cache() / "venv/bin/python"
PYTHON_OF_2_0 = cache() / "venv-libtorrent-2.0/bin/python"
PEER = Path(__file__).with_name("libtorrent_peer.py")


def command(*arguments, python=PYTHON):
    """The command line of our libtorrent peer. Isolated, lest this file be taken for the library."""
    return [python, "-I", PEER, *arguments]


class Libtorrent(Client):
    name = "libtorrent"
    python = PYTHON
    speaks_websocket = True
    settings = ()

    @classmethod
    def version(cls):
        if not cls.python.exists():
            return None
        printed = subprocess.run(command("version", python=cls.python), capture_output=True, text=True)
        return printed.stdout.strip() or None

    def start(self):
        self.act("get", *self.settings)

    def is_done(self):
        return self.has_exited()

    def act(self, action, *more):
        """Starts our libtorrent peer with that action on the job."""
        job = self.job
        place = f"{job.host.address}:{PEER_PORT}"
        self.run(*command(action, job.source, job.folder, place, *more, python=self.python))


class Libtorrent20(Libtorrent):
    name = "libtorrent 2.0"
    python = PYTHON_OF_2_0
    speaks_websocket = False


class LibtorrentSeed(Libtorrent):
    """Seeds the files in the job's folder; done means ready."""

    def start(self):
        self.act("seed", *self.settings)

    def is_done(self):
        self.still_runs()
        return b"seeding\n" in self.job.log.read_bytes()


class LibtorrentGuest(Libtorrent):
    """Downloads slowly; done means that the peer at `friend` has been met."""

    def __init__(self, job, friend):
        super().__init__(job)
        self.friend = friend

    def start(self):
        self.act("meet", self.friend)

    def is_done(self):
        self.still_runs()
        return b"met\n" in self.job.log.read_bytes()


class Libtorrent20Seed(LibtorrentSeed):
    name = Libtorrent20.name
    python = PYTHON_OF_2_0


class Libtorrent20Guest(LibtorrentGuest):
    name = Libtorrent20.name
    python = PYTHON_OF_2_0


def create_torrent(folder, tracker, form, out):
    """Makes a .torrent of the folder, and returns its v1 info-hash."""
    made = subprocess.run(command("create", folder, tracker, form, out), capture_output=True, text=True, check=True)
    return bytes.fromhex(made.stdout)
