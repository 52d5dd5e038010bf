"""uTP: clients whose TCP is cut off, but for HTTP to the tracker, download from us."""

from dataclasses import dataclass

from cases import ClientCase, Way
from clients import Job
from clients.libtorrent import Libtorrent, Libtorrent20
from clients.qbittorrent import QBittorrent, QBittorrent5
from clients.transmission import Transmission, Transmission4
from encryption import GIVEN, Rc4Libtorrent
from trial import time_download

SECTION = """\
## Over uTP

All that the client says over TCP is cut off unless it fetches the .torrent or asks the HTTP tracker, and nobody can call it: every byte
comes over uTP, on the port of the UDP tracker."""


class UtpLibtorrent(Libtorrent):
    what = "plain"
    settings = ("enable_outgoing_tcp=0", "enable_incoming_tcp=0")


class UtpLibtorrent20(Libtorrent20):
    what = UtpLibtorrent.what
    settings = UtpLibtorrent.settings


class EncryptedUtpLibtorrent(Libtorrent):
    what = "RC4"
    settings = (*UtpLibtorrent.settings, *Rc4Libtorrent.settings)


class UtpQBittorrent(QBittorrent):
    what = "as it comes"
    settings = "[BitTorrent]\nSession\\BTProtocol=UTP\n"


class UtpQBittorrent5(QBittorrent5):
    what = UtpQBittorrent.what
    settings = UtpQBittorrent.settings


class UtpTransmission(Transmission):
    what = "as it comes"
    settings = {"utp-enabled": True}


class UtpTransmission4(Transmission4):
    what = UtpTransmission.what
    settings = UtpTransmission.settings


CLIENTS = (
    *(UtpTransmission, UtpTransmission4, UtpLibtorrent, UtpLibtorrent20),
    *(EncryptedUtpLibtorrent, UtpQBittorrent, UtpQBittorrent5),
)


@dataclass(frozen=True)
class UtpCase:
    """One client downloads from Sower over uTP."""

    client: type
    format: str
    way: Way

    def __str__(self):
        return f"{self.client.name} over uTP, {self.client.what}, {self.format}, {self.way.value}"

    @property
    def limit(self):
        """Why the client cannot do it, over uTP or not, or None."""
        return ClientCase(self.client, self.format, self.way).limit

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with lab.network.add("utp", only=lab.server_host) as host:
            host.refuse_all_but(b"GET /announce", b"GET /scrape", b"GET /p/")
            host.refuse_callers()
            source = self.way.source(lab.published[self.format])
            client = self.client(Job(host, source, state / "downloads", state))
            return time_download(client, lab.publication, deadline)


def every_utp_case():
    """All clients that speak uTP and can be left with it alone."""
    return [UtpCase(client, *given) for client in CLIENTS for given in GIVEN]
