"""The cases of clients that download from Sower: every client in every format and way, and what they cannot do."""

from dataclasses import dataclass
from enum import Enum

from clients import Job
from clients.aria2 import Aria2
from clients.biglybt import BiglyBt
from clients.bittornado import BitTornado
from clients.libtorrent import Libtorrent, Libtorrent20
from clients.qbittorrent import QBittorrent, QBittorrent5
from clients.rqbit import Rqbit
from clients.rtorrent import Rtorrent
from clients.transmission import Transmission, Transmission4
from trial import time_download

# The slow ones first, so that none of them is left alone at the end.
CLIENTS = (
    *(BiglyBt, Transmission, Transmission4, QBittorrent, QBittorrent5, BitTornado),
    *(Rqbit, Libtorrent, Libtorrent20, Rtorrent, Aria2),
)
FORMATS = ("v1", "hybrid", "v2")


class Way(Enum):
    """How a client gets at the publication."""

    TORRENT = "torrent URL"
    PEERS = "peers alone"
    WEB_SEED = "web seed alone"
    MAGNET = "magnet link"

    @property
    def explanation(self):
        """What is done to the client's host, and why that leaves only this way."""
        return {
            Way.TORRENT: "The client is given the URL of the .torrent and nothing else. It finds the tracker, the"
            " embedded seed and, if it knows web seeds, the web seed.",
            Way.PEERS: "The same, but its requests for `/web-seed/` are cut off: every byte comes from the embedded"
            " seed.",
            Way.WEB_SEED: "The same, but all that it says is cut off unless it is HTTP, so that no handshake passes,"
            " plain or encrypted, and nobody can call it: every byte comes from the web seed.",
            Way.MAGNET: "The client is given the magnet link and nothing else. It must fetch the info dictionary from"
            " a peer first.",
        }[self]

    def source(self, published):
        """What the client is given."""
        return published.magnet if self is Way.MAGNET else published.torrent_url

    def prepare(self, host):
        """Leaves the host with this way only."""
        if self is Way.PEERS:
            host.refuse(b"GET /web-seed/", b"HEAD /web-seed/")
        elif self is Way.WEB_SEED:
            host.refuse_all_but(b"GET ", b"HEAD")
            host.refuse_udp()
            host.refuse_callers()


@dataclass(frozen=True)
class Limit:
    """What a client cannot do, whatever the server does."""

    client: str
    reason: str
    formats: tuple = FORMATS
    ways: tuple = tuple(Way)


WITHOUT_V2 = ("aria2", "BitTornado", "rqbit", "rTorrent", "Transmission", "Transmission 4")
LIMITS = (
    Limit("rqbit", "has no web seeds", ways=(Way.WEB_SEED,)),
    Limit("rTorrent", "has no web seeds", ways=(Way.WEB_SEED,)),
    Limit("rTorrent", "refuses magnet links that name a v2 info-hash too", ("hybrid",), (Way.MAGNET,)),
    Limit("BitTornado", "has web seeds of another kind only (BEP 17)", ways=(Way.WEB_SEED,)),
    Limit("BitTornado", "has no magnet links", ways=(Way.MAGNET,)),
    Limit("BitTornado", "refuses padding files, for their names begin with a dot", formats=("hybrid",)),
    Limit(
        "BiglyBT",
        "never completes a v2 torrent with a file shorter than a block, with libtorrent as the seed neither",
        ("v2",),
    ),
    *(Limit(client, "does not know v2", ("v2",)) for client in WITHOUT_V2),
    Limit("aria2", "computes another info-hash for hybrid torrents", ("hybrid",), (Way.PEERS, Way.MAGNET)),
    # Its libtorrent is 2.0.11; neither 2.0.8, in qBittorrent 4.5, nor 2.0.15 does so. Mostly it works.
    Limit("qBittorrent 5", "now and then ends with a segmentation fault there", ("hybrid",), (Way.MAGNET,)),
    Limit("Transmission", "refuses hybrid torrents; 4.0 and later read them", formats=("hybrid",)),
)


@dataclass(frozen=True)
class ClientCase:
    """One client downloads from Sower, in one format and one way."""

    client: type
    format: str
    way: Way

    def __str__(self):
        return f"{self.client.name}, {self.format}, {self.way.value}"

    @property
    def limit(self):
        """Why the client cannot do it, or None."""
        for limit in LIMITS:
            if limit.client == self.client.name and self.format in limit.formats and self.way in limit.ways:
                return limit.reason
        return None

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with lab.network.add("client", only=lab.server_host) as host:
            self.way.prepare(host)
            job = Job(host, self.way.source(lab.published[self.format]), state / "downloads", state)
            client = self.client(job)
            return time_download(client, lab.publication, deadline)


def every_client_case():
    """All cases, possible or not."""
    unknown = {limit.client for limit in LIMITS} - {client.name for client in CLIENTS}
    assert not unknown, f"the limits name clients that are not tried: {unknown}"
    return [ClientCase(client, format, way) for client in CLIENTS for format in FORMATS for way in Way]
