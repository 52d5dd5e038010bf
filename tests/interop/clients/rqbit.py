"""rqbit, by the Python binding of its engine; the program itself takes too long to build for a test."""

import subprocess
from pathlib import Path

from network import cache

from . import PEER_PORT, Client

PYTHON = cache() / "venv-rqbit/bin/python"
PEER = Path(__file__).with_name("rqbit_peer.py")


class Rqbit(Client):
    name = "rqbit"

    @classmethod
    def version(cls):
        if not PYTHON.exists():
            return None
        return subprocess.run([PYTHON, "-I", PEER, "version"], capture_output=True, text=True).stdout.strip() or None

    def start(self):
        self.run(PYTHON, "-I", PEER, "get", self.job.source, self.job.folder, PEER_PORT)

    def is_done(self):
        return self.has_exited()
