"""qBittorrent without a window, driven by its web interface."""

import json

from network import cache

from . import CONTROL_PORT, PEER_PORT, Client

API = f"http://127.0.0.1:{CONTROL_PORT}/api/v2/"
SETTINGS = f"""\
[LegalNotice]
Accepted=true
[BitTorrent]
Session\\Port={PEER_PORT}
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
[Network]
PortForwardingEnabled=false
[Preferences]
WebUI\\Address=127.0.0.1
WebUI\\LocalHostAuth=false
WebUI\\UseUPnP=false
"""
COMPLETE = {"uploading", "stalledUP", "queuedUP", "pausedUP", "stoppedUP", "forcedUP"}


class QBittorrent(Client):
    name = "qBittorrent"
    program = "qbittorrent-nox"
    resume = "resume"
    settings = ""

    def start(self):
        self.is_added = False
        configuration = self.job.state / "qBittorrent/config"
        configuration.mkdir(parents=True)
        (configuration / "qBittorrent.conf").write_text(SETTINGS + self.settings)
        self.run(self.program, f"--profile={self.job.state}", f"--webui-port={CONTROL_PORT}")

    def is_done(self):
        self.still_runs()
        if not self.is_added:
            form = ("--form-string", f"urls={self.job.source}", "--form-string", f"savepath={self.job.folder}")
            self.is_added = self.control(*form, API + "torrents/add") == "Ok."
            return False
        torrents = json.loads(self.control(API + "torrents/info") or "[]")
        if any(torrent["state"] == "error" for torrent in torrents):
            # It adds a torrent again when a magnet link's metadata is there; what of a hybrid came before that, libtorrent 2.0
            # takes for two halves that differ (its issue 6394). Resuming helps, as a user would find out.
            self.control("--form-string", "hashes=all", API + f"torrents/{self.resume}")
        return any(torrent["state"] in COMPLETE and torrent["progress"] == 1 for torrent in torrents)


class QBittorrent5(QBittorrent):
    name = "qBittorrent 5"
    program = str(cache() / "trixie/bin/qbittorrent-nox")
    resume = "start"
