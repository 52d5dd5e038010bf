"""BiglyBT, which carries on Azureus (Vuze). Driven by the commands of its console, which also tells the progress."""

import shutil
import subprocess
import time
from pathlib import Path

from . import PEER_PORT, Client

JARS = [f"/usr/share/java/{name}.jar" for name in ("biglybt-core", "biglybt-ui", "commons-cli", "bcprov")]
INSTALLED_AT = "/usr/share/biglybt"
READY = b"Available console commands"
NOTHING = b"No Torrents"
ASK_SECONDS = 1
LOST_ANSWERS = 10


class BiglyBt(Client):
    name = "BiglyBT"

    @classmethod
    def version(cls):
        if shutil.which("java") is None or not all(Path(jar).exists() for jar in JARS):
            return None
        asked = ["dpkg-query", "--show", "--showformat", "${source:Upstream-Version}", "biglybt"]
        return subprocess.run(asked, capture_output=True, text=True).stdout or None

    def start(self):
        self.is_added = False
        self.asked_at = 0
        self.said = 0
        configuration = self.job.state / "configuration"
        configuration.mkdir()
        settings = {
            "Default save path": str(self.job.folder),
            "Plugin.DHT.dht.enabled": 0,
            "Plugin.UPnP.upnp.enable": 0,
            "TCP.Listen.Port": PEER_PORT,
            "UDP.Listen.Port": PEER_PORT,
            "Use default data dir": 1,
            "dht.enabled": 0,
        }
        (configuration / "biglybt.config").write_bytes(bencoded(settings))
        self.run(
            *("java", "-Xmx256m", "-Djava.net.preferIPv4Stack=true", "-cp", ":".join(JARS)),
            f"-Dazureus.config.path={configuration}",
            f"-Dazureus.install.path={INSTALLED_AT}",
            *("com.biglybt.ui.Main", "--ui=console"),
            stdin=subprocess.PIPE,
        )

    def is_done(self):
        self.still_runs()
        printed = self.job.log.read_bytes()
        if (not self.is_added and READY in printed) or self._has_lost(printed[self.said :]):
            self.said = len(printed)
            self._say(f"add {self.job.source}")
            self.is_added = True
        elif self.is_added and time.monotonic() - self.asked_at > ASK_SECONDS:
            self._say("show torrents")
            self.asked_at = time.monotonic()
        return b"100.0%" in printed

    def _has_lost(self, printed):
        """Whether it still shows no torrent: now and then it forgets one that it is given while it starts."""
        return self.is_added and printed.count(NOTHING) >= LOST_ANSWERS

    def _say(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()


def bencoded(settings):
    """A bencoded dictionary of numbers and strings."""
    printed = b"d"
    for key, value in sorted(settings.items()):
        for part in (key, value):
            printed += b"i%de" % part if isinstance(part, int) else b"%d:%s" % (len(part.encode()), part.encode())
    return printed + b"e"
