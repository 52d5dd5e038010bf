"""uTP: clients whose TCP is cut off, but for HTTP to the tracker, download from us."""

from dataclasses import dataclass

from clients import Job
from clients.libtorrent import Libtorrent
from clients.qbittorrent import QBittorrent
from clients.transmission import Transmission
from encryption import Rc4Libtorrent
from trial import time_download

SECTION = """\
## Over uTP

All that the client says over TCP is cut off unless it fetches the .torrent or asks the HTTP tracker, and nobody can call it: every byte
comes over uTP, on the port of the UDP tracker."""


class UtpLibtorrent(Libtorrent):
    what = "plain"
    settings = ("enable_outgoing_tcp=0", "enable_incoming_tcp=0")


class EncryptedUtpLibtorrent(Libtorrent):
    what = "RC4"
    settings = (*UtpLibtorrent.settings, *Rc4Libtorrent.settings)


class UtpQBittorrent(QBittorrent):
    what = "as it comes"
    settings = "[BitTorrent]\nSession\\BTProtocol=UTP\n"


class UtpTransmission(Transmission):
    what = "as it comes"
    settings = {"utp-enabled": True}


CLIENTS = (UtpTransmission, UtpLibtorrent, EncryptedUtpLibtorrent, UtpQBittorrent)


@dataclass(frozen=True)
class UtpCase:
    """One client downloads from Sower over uTP."""

    client: type
    format = "v1"
    limit = None

    def __str__(self):
        return f"{self.client.name} over uTP, {self.client.what}"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with lab.network.add("utp", only=lab.server_host) as host:
            host.refuse_all_but(b"GET /announce", b"GET /scrape", b"GET /p/")
            host.refuse_callers()
            client = self.client(Job(host, lab.published[self.format].torrent_url, state / "downloads", state))
            return time_download(client, lab.publication, deadline)


def every_utp_case():
    """All clients that speak uTP and can be left with it alone."""
    return [UtpCase(client) for client in CLIENTS]
