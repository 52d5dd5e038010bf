"""Transmission's daemon, driven by its JSON control port."""

import json
import re

from network import cache

from . import CONTROL_PORT, PEER_PORT, Client, Failed

URL = f"http://127.0.0.1:{CONTROL_PORT}/transmission/rpc"
SEEDING = 6


def settings(folder, address):
    """Transmission without its ways to the outside."""
    return {
        "bind-address-ipv4": address,
        "dht-enabled": False,
        "download-dir": str(folder),
        "incomplete-dir-enabled": False,
        "lpd-enabled": False,
        "peer-port": PEER_PORT,
        "pex-enabled": False,
        "port-forwarding-enabled": False,
        "ratio-limit-enabled": False,
        "rpc-authentication-required": False,
        "rpc-bind-address": "127.0.0.1",
        "rpc-host-whitelist-enabled": False,
        "rpc-port": CONTROL_PORT,
        "rpc-whitelist-enabled": False,
        "start-added-torrents": True,
        "utp-enabled": False,
    }


class Transmission(Client):
    name = "Transmission"
    program = "transmission-daemon"
    makes_empty_files = False
    settings = {}

    def start(self):
        self.is_added = False
        configuration = self.job.state / "configuration"
        configuration.mkdir()
        chosen = settings(self.job.folder, self.job.host.address) | self.settings
        (configuration / "settings.json").write_text(json.dumps(chosen))
        self.run(self.program, "--foreground", "--log-debug", "--config-dir", configuration)

    def is_done(self):
        self.still_runs()
        if not self.is_added:
            self.is_added = self._ask("torrent-add", filename=self.job.source) is not None
            return False
        answer = self._ask("torrent-get", fields=["status", "percentDone", "errorString", "metadataPercentComplete"])
        torrents = answer["torrents"] if answer else []
        return any(torrent["status"] == SEEDING and torrent["percentDone"] == 1 for torrent in torrents)

    def _ask(self, method, **arguments):
        """The answer to one call, or None while the daemon does not take any."""
        greeting = self.control(URL)
        session = re.search(r"X-Transmission-Session-Id: (\w+)", greeting or "")
        if session is None:
            return None
        question = json.dumps({"method": method, "arguments": arguments})
        printed = self.control("--header", session.group(), "--data-raw", question, URL)
        if printed is None:
            return None
        answer = json.loads(printed)
        if answer["result"] != "success":
            raise Failed(f"{method}: {answer['result']}")
        return answer["arguments"]


class Transmission4(Transmission):
    name = "Transmission 4"
    program = str(cache() / "trixie/bin/transmission-daemon")
    makes_empty_files = True
