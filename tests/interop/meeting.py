"""Peer exchange: two clients that know nothing but our seed, without a tracker, are introduced to each other by it."""

import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from clients import Job
from clients.libtorrent import Libtorrent20Guest, LibtorrentGuest
from trial import wait

SECTION = """\
## Introduced by the seed

Two clients on hosts of their own have the info-hash and the address of the embedded seed, and neither a tracker nor a web seed. They
download slowly, so that neither is done when the other comes. A number is the seconds until each said that the other is among
its peers: by peer exchange (BEP 11), for there is no other way."""


@dataclass(frozen=True)
class MeetingCase:
    """Two of a client hear of each other from the seed."""

    client: type
    format: str = "v1"

    limit = None

    def __str__(self):
        return f"{self.client.name}, {self.format}, introduced by the seed"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets two clients meet; the seconds until they had."""
        source = seed_alone(lab.published[self.format].magnet)
        with lab.network.add("first") as one, lab.network.add("second") as other:
            guests = []
            for host, friend in ((one, other), (other, one)):
                home = state / host.name
                (home / "downloads").mkdir(parents=True)
                guest = self.client(Job(host, source, home / "downloads", home), friend.address)
                guests.append(guest)
            began = time.monotonic()
            for guest in guests:
                guest.start()
            wait(lambda: all([guest.is_done() for guest in guests]), deadline, "they did not meet")
            return time.monotonic() - began


def seed_alone(magnet):
    """The link without trackers and web seeds."""
    fields = parse_qsl(magnet.removeprefix("magnet:?"))
    return "magnet:?" + "&".join(f"{key}={quote(value, safe=':[]')}" for key, value in fields if key in ("xt", "x.pe"))


def every_meeting_case():
    """All clients that can be told of one peer, and no more."""
    return [MeetingCase(guest, form) for guest in (LibtorrentGuest, Libtorrent20Guest) for form in ("v1", "hybrid", "v2")]
