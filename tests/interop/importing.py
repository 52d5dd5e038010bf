"""A torrent of another program is imported with its files, and clients download it under the info-hash that it had."""

from dataclasses import dataclass

from cases import Way
from clients import Failed, Job
from clients.libtorrent import Libtorrent, create_torrent
from clients.transmission import Transmission4
from server import Sower
from trial import time_download

SECTION = """\
## Imported

libtorrent made the .torrent, with a tracker that is gone; it was published with its files over HTTP, and kept its info-hash. A number is
the seconds in which the client downloaded it, by the magnet link alone."""
# A tracker that nobody runs.
GONE = "http://127.0.0.1:9/announce"


@dataclass(frozen=True)
class ImportCase:
    """One client downloads what was imported."""

    client: type
    format: str
    limit = None

    def __str__(self):
        return f"{self.client.name}, {self.format}, imported"

    @property
    def needs(self):
        """The client programs that must be installed; libtorrent makes the .torrent."""
        return (self.client, Libtorrent)

    def download(self, lab, state, deadline):
        """Imports, then lets the client download; the seconds until it said that it was done."""
        with lab.network.add("sower") as server_host, lab.network.add("peer", only=server_host) as host:
            server = Sower(lab.sower, server_host, state / "server")
            server.start()
            torrent = state / "old.torrent"
            info_hash = create_torrent(lab.publication.folder, GONE, self.format, torrent)
            published = server.publish(lab.publication, self.format, torrent)
            if f"urn:btih:{info_hash.hex()}" not in published.magnet:
                raise Failed(f"it was {info_hash.hex()}, and is {published.magnet}")
            client = self.client(Job(host, Way.MAGNET.source(published), state / "downloads", state))
            return time_download(client, lab.publication, deadline)


def every_import_case():
    """All that is tried with what was imported."""
    return [ImportCase(Libtorrent, "v1"), ImportCase(Libtorrent, "hybrid"), ImportCase(Transmission4, "v1")]
