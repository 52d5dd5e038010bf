"""A server at home: it asks its router to let the world in, and a client out there downloads from it."""

from dataclasses import dataclass

from clients import Job
from clients.libtorrent import Libtorrent
from clients.miniupnpd import Miniupnpd
from server import PORT, Sower
from trial import time_download, wait
from utp import UtpLibtorrent

OPENED = 2
SECTION = """\
## Through a router

The server is in a network of its own behind a router, miniupnpd on nftables, which lets nobody in unasked. `nat.enabled = true`, and no port is
forwarded by hand. A client outside downloads from the router's address over TCP or over uTP alone, by a port that the server asked for; when the
server has ended, the router has forgotten it. A number is the seconds of the download."""


class TcpLibtorrent(Libtorrent):
    what = "TCP"
    settings = ("enable_outgoing_utp=0", "enable_incoming_utp=0")


@dataclass(frozen=True)
class RouterCase:
    """A client downloads through a router that understands one protocol."""

    client: type
    protocol: str
    format = "v1"
    limit = None

    def __str__(self):
        return f"{self.client.name} over {self.client.what.replace('plain', 'uTP')}, through a router by {self.protocol}"

    @property
    def needs(self):
        """The programs that must be installed."""
        return (self.client, Miniupnpd)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        network = lab.network
        with network.add("router") as router, network.add_behind(router) as home, network.add("outside", only=router) as outside:
            gateway = Miniupnpd(router, state / "router", self.protocol)
            gateway.start(home.network)
            url = f"http://{router.address}:{PORT}"
            server = Sower(lab.sower, home, state / "server", SOWER_PUBLIC_URL=url, SOWER_NAT__ENABLED="true")
            server.start()
            wait(lambda: gateway.opened() == OPENED, deadline, "the router was not asked, or did not open both ports")
            published = server.publish(lab.publication, self.format)
            outside.refuse(b"GET /web-seed/", b"HEAD /web-seed/")
            if self.client is UtpLibtorrent:
                outside.refuse_callers()
            job = Job(outside, published.torrent_url, state / "downloads", state)
            seconds = time_download(self.client(job), lab.publication, deadline)
            server.stop()
            wait(lambda: gateway.opened() == 0, deadline, "the server did not give its ports back")
            return seconds


def every_router_case():
    """Both protocols, for connections and for packets."""
    return [RouterCase(client, protocol) for protocol in ("PCP", "UPnP") for client in (TcpLibtorrent, UtpLibtorrent)]
