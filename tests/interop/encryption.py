"""Encrypted connections: clients that require encryption download from us, and `sower download` from a seed that does."""

import time
from dataclasses import dataclass

from cases import ClientCase, Way
from clients import Failed, Job
from clients.aria2 import Aria2
from clients.libtorrent import Libtorrent, Libtorrent20, LibtorrentSeed
from clients.qbittorrent import QBittorrent, QBittorrent5
from clients.rtorrent import Rtorrent
from clients.transmission import Transmission, Transmission4
from server import Sower
from trial import time_download, wait, wait_for_files

SECTION = """\
## Encrypted

Message stream encryption. Each client is told to encrypt, and `sower serve` to require it (`peer.encryption = "require"`); only
where the client wants plain bytes behind the encrypted handshake it leaves the choice. The client's plain handshakes and its requests
for `/web-seed/` are cut off."""
FROM_SEED = """\
The other way round: `sower download` as it comes, from a seed that refuses plain peers."""


class Rc4Libtorrent(Libtorrent):
    what = "RC4 only"
    settings = ("in_enc_policy=0", "out_enc_policy=0", "allowed_enc_level=2")


class Rc4Libtorrent20(Libtorrent20):
    what = Rc4Libtorrent.what
    settings = Rc4Libtorrent.settings


class PlainLibtorrent(Libtorrent):
    what = "plain behind the handshake"
    settings = ("in_enc_policy=0", "out_enc_policy=0", "allowed_enc_level=1")


class RequiringTransmission(Transmission):
    what = "encryption required"
    settings = {"encryption": 2}


class RequiringTransmission4(Transmission4):
    what = RequiringTransmission.what
    settings = RequiringTransmission.settings


class RequiringQBittorrent(QBittorrent):
    what = "encryption required"
    settings = "[BitTorrent]\nSession\\Encryption=1\n"


class RequiringQBittorrent5(QBittorrent5):
    what = RequiringQBittorrent.what
    settings = RequiringQBittorrent.settings


class RequiringAria2(Aria2):
    what = "encryption required"
    options = ("--bt-require-crypto=true", "--bt-min-crypto-level=arc4")


class ForcingAria2(Aria2):
    what = "encryption forced"
    options = ("--bt-force-encryption=true",)


class RequiringRtorrent(Rtorrent):
    what = "RC4 required"
    settings = "protocol.encryption.set = allow_incoming,try_outgoing,require,require_RC4\n"


class RequiringSeed(LibtorrentSeed):
    what = "RC4 only"
    settings = Rc4Libtorrent.settings


CLIENTS = (
    RequiringAria2,
    ForcingAria2,
    Rc4Libtorrent,
    Rc4Libtorrent20,
    PlainLibtorrent,
    RequiringQBittorrent,
    RequiringQBittorrent5,
    RequiringRtorrent,
    RequiringTransmission,
    RequiringTransmission4,
)
# What a client is given where its connections are of one kind alone.
GIVEN = (("v1", Way.TORRENT), ("v1", Way.MAGNET), ("hybrid", Way.MAGNET))


@dataclass(frozen=True)
class EncryptedCase:
    """One client downloads from Sower encrypted."""

    client: type
    format: str
    way: Way

    def __str__(self):
        return f"{self.client.name} encrypted, {self.client.what}, {self.format}, {self.way.value}"

    @property
    def limit(self):
        """Why the client cannot do it, or None."""
        if self.client is RequiringRtorrent and self.way is Way.MAGNET:
            return "fetches the info dictionary of a magnet link from peers over plain connections alone"
        return ClientCase(self.client, self.format, self.way).limit

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Lets the client download; the seconds until it said that it was done."""
        with lab.network.add("sower") as server_host, lab.network.add("peer", only=server_host) as host:
            leaves_the_choice = self.client is PlainLibtorrent
            encryption = "prefer-plain" if leaves_the_choice else "require"
            server = Sower(lab.sower, server_host, state / "server", SOWER_PEER__ENCRYPTION=encryption)
            server.start()
            published = server.publish(lab.publication, self.format)
            host.refuse(b"GET /web-seed/", b"HEAD /web-seed/", b"\x13BitTorrent protocol")
            client = self.client(Job(host, self.way.source(published), state / "downloads", state))
            return time_download(client, lab.publication, deadline)


@dataclass(frozen=True)
class EncryptedSeedCase:
    """`sower download` fetches from a seed that refuses plain peers."""

    client = RequiringSeed
    limit = None

    def __str__(self):
        return f"sower download from {self.client.name} encrypted, {self.client.what}"

    @property
    def needs(self):
        """The client programs that must be installed."""
        return (self.client,)

    def download(self, lab, state, deadline):
        """Starts the seed, then downloads; the seconds that the download took."""
        with lab.network.add("seed") as seed_host, lab.network.add("download", only=seed_host) as host:
            torrent = state / "plain.torrent"
            seed_host.run(lab.sower, "create", lab.publication.folder, "-o", torrent, env={"PATH": "/usr/bin:/bin"})
            (state / "seed").mkdir()
            seed = self.client(Job(seed_host, str(torrent), lab.publication.folder.parent, state / "seed"))
            seed.start()
            wait(seed.is_done, deadline, "the seed did not become ready")
            began = time.monotonic()
            peer = f"{seed_host.address}:6881"
            command = (lab.sower, "download", torrent, "-o", state / "downloads", "--peer", peer)
            download = host.start(*command, log=state / "log", cwd=state, env={"HOME": str(state)})
            wait(lambda: download.poll() is not None, deadline, "sower did not finish in time")
            seconds = time.monotonic() - began
            if download.returncode != 0:
                raise Failed(f"sower exited with {download.returncode}")
            wait_for_files(lambda: lab.publication.differs(state / "downloads"))
            return seconds


def every_encrypted_case():
    """All clients that can be told to encrypt, and the other direction."""
    return [EncryptedSeedCase(), *(EncryptedCase(client, *given) for client in CLIENTS for given in GIVEN)]
