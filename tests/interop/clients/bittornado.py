"""BitTornado, which carries on Bram Cohen's Mainline client. It says `Download Succeeded!`."""

import subprocess

from network import cache

from . import PEER_PORT, Client

HOME = cache() / "bittornado"
PYTHON = HOME / "python2"
LIBRARY = {"PYTHONPATH": str(HOME / "lib"), "PYTHONDONTWRITEBYTECODE": "yes"}
DOWNLOAD = "import sys; from chuk.Download.depend import run; run(sys.argv[1:])"


class BitTornado(Client):
    name = "BitTornado"
    makes_empty_files = False

    @classmethod
    def version(cls):
        if not (HOME / "ready").exists():
            return None
        ask = [PYTHON, "-c", "import chuk; print(chuk.version)"]
        return subprocess.run(ask, env=LIBRARY, capture_output=True, text=True).stdout.strip() or None

    def start(self):
        self.run(
            PYTHON,
            *("-u", "-c", DOWNLOAD),
            *("--url", self.job.source),
            *("--minport", PEER_PORT),
            *("--maxport", PEER_PORT),
            *("--random_port", 0),
            *("--upnp_nat_access", 0),
            *("--ipv6_enabled", 0),
            *("--bind", self.job.host.address),
            cwd=self.job.folder,
            env=LIBRARY,
        )

    def is_done(self):
        self.still_runs()
        return b"Download Succeeded" in self.job.log.read_bytes()
