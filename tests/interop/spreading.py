"""Super-seeding: five clients at once download from a seed that hardly more than one copy leaves (BEP 16)."""

import contextlib
import time
from dataclasses import dataclass

from clients import Failed, Job
from clients.libtorrent import LibtorrentSeed
from server import PORT, Sower
from trial import wait, wait_for_files

CLIENTS_AT_ONCE = 5
# Of the torrent, as bytes of content that leave the seed; without super-seeding it is between two and five.
MOST_COPIES = 1.15

SECTION = f"""\
## Spread by super-seeding

Five clients on hosts of their own download at once from a server with `peer.super_seeding`, by a torrent without a web seed, and stay until
all have everything. A number is the seconds until then; the case fails if more than {MOST_COPIES} copies of the content leave the server.
`tests/interop/run.py --only super-seeding` prints how many did."""


@dataclass(frozen=True)
class SpreadingCase:
    """Five of a client have everything, and little more than one copy came from us."""

    client: type
    format: str

    limit = None

    def __str__(self):
        return f"five times {self.client.name}, {self.format}, super-seeding"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets five clients download; the seconds until all were done."""
        with contextlib.ExitStack() as hosts:
            home = hosts.enter_context(lab.network.add("super-seed"))
            server = Sower(lab.sower, home, state / "server", SOWER_PEER__SUPER_SEEDING="true")
            server.start()
            published = server.publish(lab.publication, self.format)
            whole, torrent = state / "whole.torrent", state / "peers.torrent"
            home.run("curl", "--silent", "--fail", "--output", whole, published.torrent_url)
            server.through(f"http://{home.address}:{PORT}/announce", whole, torrent)
            clients = []
            for number in range(CLIENTS_AT_ONCE):
                host = hosts.enter_context(lab.network.add(f"leecher{number}"))
                (state / host.name / "downloads").mkdir(parents=True)
                clients.append(self.client(Job(host, str(torrent), state / host.name / "downloads", state / host.name)))
            began = time.monotonic()
            for client in clients:
                client.start()
            wait(lambda: all([client.is_done() for client in clients]), deadline, "they did not finish in time")
            seconds = time.monotonic() - began
            for client in clients:
                folder = client.job.folder
                wait_for_files(lambda: lab.publication.differs(folder, client.makes_empty_files, client.leaves))
            copies = server.sent_to_peers(published) / lab.publication.length
            print(f"{self}: {copies:.3f} copies left the server", flush=True)
            if copies > MOST_COPIES:
                raise Failed(f"{copies:.3f} copies left the server")
            return seconds


def every_spreading_case():
    """One client, in each format."""
    return [SpreadingCase(LibtorrentSeed, form) for form in ("v1", "hybrid", "v2")]
