"""opentracker: brings the foreign seed and `sower download` together."""

import subprocess
from urllib.parse import quote

PORT = 6969


class Opentracker:
    """A tracker on a host of its own, for one torrent."""

    def __init__(self, host, state):
        self._host = host
        self._state = state
        self.url = f"http://{host.address}:{PORT}/announce"

    def start(self, info_hash):
        """Starts it. Debian's build tracks what is on its list, and refuses to run as root, even a namespace's."""
        self._state.mkdir()
        (self._state / "listed").write_text(f"{info_hash.hex()}\n")
        self._host.start(
            *("unshare", "--map-user=65534", "--map-group=65534"),
            *("opentracker", "-i", self._host.address, "-p", PORT, "-P", PORT, "-d", ".", "-w", "listed"),
            log=self._state / "log",
            cwd=self._state,
        )

    def knows_a_seed(self, info_hash):
        """Whether a seeder has announced itself."""
        url = self.url.replace("announce", f"scrape?info_hash={quote(info_hash)}")
        asked = subprocess.run(self._host.command("curl", "--silent", "--max-time", "5", url), capture_output=True)
        return b"8:completei" in asked.stdout and b"8:completei0e" not in asked.stdout
