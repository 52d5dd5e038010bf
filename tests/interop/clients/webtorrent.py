"""WebTorrent, in Node and in a page of a headless Chromium: its peers meet over a WebSocket, and swap data over WebRTC."""

import os
import shutil
import subprocess
from pathlib import Path

from network import cache

from . import PEER_PORT, Client

MODULES = cache() / "webtorrent/node_modules"
PLAYWRIGHT = cache() / "npm/node_modules/playwright-core"
PEER = Path(__file__).with_name("webtorrent_peer.mjs")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def command(*arguments):
    """The command line of our WebTorrent peer."""
    return [shutil.which("node"), PEER, MODULES, *arguments]


class WebTorrent(Client):
    """In Node: it speaks to trackers by every door, and to peers over TCP and WebRTC."""

    name = "WebTorrent"
    action = "get"
    speaks_websocket = True
    makes_empty_files = False

    @classmethod
    def version(cls):
        if shutil.which("node") is None or not (MODULES / "webtorrent").exists():
            return None
        return subprocess.run(command("version"), capture_output=True, text=True).stdout.strip() or None

    def start(self):
        self.run(*command(self.action, self.job.source, self.job.folder, PEER_PORT))

    def is_done(self):
        return self.has_exited()


class WebTorrentSeed(WebTorrent):
    """Seeds the files in the job's folder; done means ready."""

    action = "seed"

    def is_done(self):
        self.still_runs()
        return b"seeding\n" in self.job.log.read_bytes()


class ChromiumPage(WebTorrent):
    """In a page, where there is nothing but WebSocket and WebRTC."""

    name = "WebTorrent in Chromium"

    @classmethod
    def version(cls):
        if not PLAYWRIGHT.exists() or not Path(CHROMIUM).exists():
            return None
        return super().version()

    def start(self):
        arguments = command("page", self.job.source, self.job.folder, PEER_PORT, CHROMIUM)
        self.run(*arguments, env={"PLAYWRIGHT": str(PLAYWRIGHT)})
