"""The DHT: who is told of one node of it, and of no tracker, peer or web seed, finds everybody."""

import contextlib
import sys
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from clients import Job
from clients.aria2 import Aria2
from clients.libtorrent import Libtorrent, Libtorrent20, LibtorrentSeed
from clients.qbittorrent import QBittorrent, QBittorrent5
from server import Sower
from trial import time_download, wait, wait_for_files

NODE_PORT = 6882
SECTION = """\
## By the DHT alone

Two servers take part in the DHT, and know of nobody else: one is where everybody begins, the other has the publication. The client has a torrent
that names the first as a node, and neither a tracker nor a web seed; so has `sower download` where libtorrent is the seed. A number is the seconds
from the start of whoever downloads."""
# Asks a node for the peers of a torrent; ends well if it knows one.
PROBE = """\
import socket, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(1)
question = b"d1:ad2:id20:interop-interop-inte9:info_hash20:%se1:q9:get_peers2:roi1e1:t1:x1:y1:qe"
probe.sendto(question % bytes.fromhex(sys.argv[2]), (sys.argv[1], int(sys.argv[3])))
sys.exit(b"6:values" not in probe.recv(2000))
"""


class DhtLibtorrent(Libtorrent):
    settings = ("enable_dht=1",)


class DhtLibtorrent20(Libtorrent20):
    settings = DhtLibtorrent.settings


class DhtLibtorrentSeed(LibtorrentSeed):
    # Its first announce is over before it knows a node, and the next one would come after 15 minutes.
    settings = ("enable_dht=1", "dht_announce_interval=5")


class DhtQBittorrent(QBittorrent):
    settings = "[BitTorrent]\nSession\\DHTEnabled=true\n"


class DhtQBittorrent5(QBittorrent5):
    settings = DhtQBittorrent.settings


class DhtTrial:
    """The two servers."""

    def __init__(self, lab, state, hosts):
        self.state = state
        self.entry_host = hosts.enter_context(lab.network.add("dht-entry"))
        self.home = hosts.enter_context(lab.network.add("dht-seed"))
        listen = {"SOWER_DHT__LISTEN": f"0.0.0.0:{NODE_PORT}", "SOWER_PEER__ADVERTISE": "none"}
        entry = Sower(lab.sower, self.entry_host, state / "entry", SOWER_DHT__BOOTSTRAP="", **listen)
        entry.start()
        self.entry = f"{self.entry_host.address}:{NODE_PORT}"
        self.server = Sower(lab.sower, self.home, state / "server", SOWER_DHT__BOOTSTRAP=self.entry, **listen)
        self.server.start()

    def bare(self, torrent_url):
        """The torrent without trackers and web seeds, with the first server's node."""
        whole, torrent = self.state / "whole.torrent", self.state / "bare.torrent"
        self.home.run("curl", "--silent", "--fail", "--output", whole, torrent_url)
        self.server.bare(whole, self.entry, torrent)
        return torrent

    def knows(self, info_hash):
        """Whether the first server's node has heard of a peer."""
        try:
            self.home.run(sys.executable, "-c", PROBE, self.entry_host.address, info_hash, NODE_PORT)
        except RuntimeError:
            return False
        return True


@dataclass(frozen=True)
class DhtCase:
    """A client finds our seed."""

    client: type
    format: str = "v1"
    limit = None

    def __str__(self):
        return f"{self.client.name}, {self.format}, by the DHT alone"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with contextlib.ExitStack() as hosts:
            dht = DhtTrial(lab, state, hosts)
            published = dht.server.publish(lab.publication, self.format)
            torrent = dht.bare(published.torrent_url)
            wait(lambda: dht.knows(info_hash(published.magnet)), deadline, "the server did not announce the torrent")
            host = hosts.enter_context(lab.network.add("dht-client"))
            client = self.client(Job(host, source(host, torrent), state / "downloads", state))
            return time_download(client, lab.publication, deadline)


@dataclass(frozen=True)
class DhtReverseCase:
    """`sower download` finds a client that seeds."""

    client: type
    format: str = "v1"
    limit = None

    def __str__(self):
        return f"sower download from {self.client.name}, {self.format}, by the DHT alone"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client seed, then downloads; the seconds that the download took."""
        with contextlib.ExitStack() as hosts:
            dht = DhtTrial(lab, state, hosts)
            shared = lab.published[self.format]
            lab_torrent = state / "lab.torrent"
            lab.server_host.run("curl", "--silent", "--fail", "--output", lab_torrent, shared.torrent_url)
            torrent = state / "bare.torrent"
            dht.server.bare(lab_torrent, dht.entry, torrent)
            seed_host = hosts.enter_context(lab.network.add("dht-seeder"))
            (state / "seed").mkdir()
            seed = self.client(Job(seed_host, str(torrent), lab.publication.folder.parent, state / "seed"))
            seed.start()
            wait(seed.is_done, deadline, "the seed did not become ready")
            wait(lambda: dht.knows(info_hash(shared.magnet)), deadline, "the seed did not announce itself")
            host = hosts.enter_context(lab.network.add("dht-download"))
            folder = state / "downloads"
            began = time.monotonic()
            environment = {"HOME": str(state), "SOWER_DHT__BOOTSTRAP": ""}
            host.run(lab.sower, "download", torrent, "-o", folder, cwd=state, env=environment)
            wait_for_files(lambda: lab.publication.differs(folder))
            return time.monotonic() - began


def info_hash(magnet):
    """The v1 info-hash that a link names."""
    topics = [value for key, value in parse_qsl(magnet.removeprefix("magnet:?")) if key == "xt"]
    return next(topic.removeprefix("urn:btih:") for topic in topics if topic.startswith("urn:btih:"))


def source(host, torrent):
    """Where a client on `host` gets the torrent: from its own disk, by HTTP, as its users do."""
    host.start("python3", "-m", "http.server", "8000", "--bind", host.address, log=torrent.parent / "shelf", cwd=torrent.parent)
    url = f"http://{host.address}:8000/{torrent.name}"
    host.run("curl", "--silent", "--fail", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null", url)
    return url


def every_dht_case():
    """All clients that can be told of a node by a torrent."""
    clients = (DhtLibtorrent, DhtLibtorrent20, DhtQBittorrent, DhtQBittorrent5, Aria2)
    hybrid = (DhtLibtorrent, DhtLibtorrent20)
    return [*map(DhtCase, clients), *(DhtCase(client, "hybrid") for client in hybrid), DhtReverseCase(DhtLibtorrentSeed)]
