"""The doors of the tracker: two clients that know nothing but one door meet there, and swap data without our own seed."""

import time
from dataclasses import dataclass

from clients import Failed, Job
from clients.aria2 import Aria2
from clients.libtorrent import Libtorrent, Libtorrent20, LibtorrentSeed
from clients.qbittorrent import QBittorrent, QBittorrent5
from clients.rtorrent import Rtorrent
from clients.transmission import Transmission, Transmission4
from clients.webtorrent import ChromiumPage, WebTorrent, WebTorrentSeed
from server import PORT, Sower
from trial import POLL_SECONDS, time_download, wait

SHELF_PORT = 8000
SEEDERS, _, COMPLETED = range(3)
DOORS = ("HTTP", "UDP", "WebSocket")
SCHEMES = {"HTTP": "http", "UDP": "udp", "WebSocket": "ws"}
SECTION = """\
## Through each door of the tracker

Two clients on hosts of their own have a torrent that names one door of the tracker and no web seed; the server says nothing
of its own seed (`peer.advertise = "none"`). So all that they know of each other is what that door tells them. The seed
is libtorrent, or WebTorrent in Node where the door is the WebSocket. A number is the seconds in which the client
downloaded everything from it. Before and after, a scrape over HTTP, UDP and WebSocket and the API told the same numbers of
the swarm.

Torrents and magnet links name the WebSocket in a tier of its own, after that of HTTP and UDP. libtorrent 2.1 announces to one
tracker of a tier alone: in one tier with the others, the WebSocket could be the one, and it would meet nobody but browsers.
aria2, rTorrent and Transmission go on to the next tracker wherever it stands. `tracker.websocket.in_torrents = false` leaves it
out."""


@dataclass(frozen=True)
class DoorCase:
    """One client downloads from a seed that it can only know from one door of the tracker."""

    client: type
    door: str
    format = "v1"

    def __str__(self):
        return f"{self.client.name} through {self.door}"

    @property
    def seed(self):
        """Who has everything."""
        return WebTorrentSeed if self.door == "WebSocket" else LibtorrentSeed

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client, self.seed)

    @property
    def limit(self):
        """Why the client cannot do it, or None."""
        if self.door == "WebSocket":
            return None if self.client.speaks_websocket else "does not speak WebSocket"
        if self.client is ChromiumPage:
            return "is in a page, which has WebSockets and nothing else"
        return None

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with (
            lab.network.add("tracker") as tracker_host,
            lab.network.add("seed") as seed_host,
            lab.network.add("peer") as host,
        ):
            server = Sower(lab.sower, tracker_host, state / "server", SOWER_PEER__ADVERTISE="none")
            server.start()
            published = server.publish(lab.publication, self.format)
            whole, torrent = state / "whole.torrent", state / "one-door.torrent"
            tracker_host.run("curl", "--silent", "--fail", "--output", whole, published.torrent_url)
            server.through(f"{SCHEMES[self.door]}://{tracker_host.address}:{PORT}/announce", whole, torrent)
            shelf = ("/usr/bin/python3", "-m", "http.server", SHELF_PORT)
            tracker_host.start(*shelf, log=state / "shelf.log", cwd=state)

            (state / "seed").mkdir()
            seed = self.seed(Job(seed_host, str(torrent), lab.publication.folder.parent, state / "seed"))
            seed.start()
            wait(seed.is_done, deadline, "the seed did not become ready")
            before = wait_for_numbers(lambda: server.numbers(published, whole), deadline, seeders=1)
            url = f"http://{tracker_host.address}:{SHELF_PORT}/{torrent.name}"
            client = self.client(Job(host, url, state / "downloads", state))
            seconds = time_download(client, lab.publication, deadline)
            # Some clients stay as seeds and some leave; some tell at once that they are done, and some never.
            after = wait_for_numbers(lambda: server.numbers(published, whole), deadline, seeders=1)
            if after[COMPLETED] - before[COMPLETED] not in (0, 1):
                raise Failed(f"one download was counted as more: {before}, {after}")
            return seconds


def wait_for_numbers(ask, deadline, seeders):
    """What all doors say, when all say the same and so many seeders at least; raises `Failed` past the deadline."""
    while True:
        said = ask()
        numbers = next(iter(said.values()))
        if len(set(said.values())) == 1 and numbers[SEEDERS] >= seeders:
            return numbers
        if time.monotonic() > deadline:
            raise Failed(f"the numbers are wrong or differ: {said}")
        time.sleep(POLL_SECONDS)


def every_door_case():
    """All clients that announce, through all doors, possible or not."""
    clients = (
        *(ChromiumPage, WebTorrent, Transmission, Transmission4, QBittorrent, QBittorrent5),
        *(Libtorrent, Libtorrent20, Rtorrent, Aria2),
    )
    return [DoorCase(client, door) for client in clients for door in DOORS]
