"""The other direction: `sower download` fetches what other programs seed, through a tracker that is not ours."""

import shutil
import time
from dataclasses import dataclass

from clients import Failed, Job
from clients.libtorrent import Libtorrent, Libtorrent20Seed, LibtorrentSeed, create_torrent
from clients.opentracker import Opentracker
from clients.transmission import Transmission, Transmission4
from trial import wait, wait_for_files


@dataclass(frozen=True)
class ReverseCase:
    """One program seeds, `sower download` downloads."""

    seed: type
    format: str
    limit = None

    def __str__(self):
        return f"sower download from {self.seed.name}, {self.format}"

    @property
    def needs(self):
        """The client programs that must be installed; libtorrent makes the .torrent."""
        return (self.seed, Libtorrent)

    def download(self, lab, state, deadline):
        """Starts tracker and seed, then downloads; the seconds that the download took."""
        with (
            lab.network.add("opentracker") as tracker_host,
            lab.network.add("seed") as seed_host,
            lab.network.add("download") as host,
        ):
            # Its own copy: Transmission 4 renames what it has not checked yet.
            content = state / "content" / lab.publication.folder.name
            shutil.copytree(lab.publication.folder, content)
            tracker = Opentracker(tracker_host, state / "tracker")
            torrent = state / "foreign.torrent"
            info_hash = create_torrent(content, tracker.url, self.format, torrent)
            tracker.start(info_hash)
            (state / "seed").mkdir()
            seed = self.seed(Job(seed_host, str(torrent), content.parent, state / "seed"))
            seed.start()
            wait(seed.is_done, deadline, "the seed did not become ready")
            wait(lambda: tracker.knows_a_seed(info_hash), deadline, "the seed did not announce itself")

            folder = state / "downloads"
            began = time.monotonic()
            command = (lab.sower, "download", torrent, "-o", folder)
            download = host.start(*command, log=state / "log", cwd=state, env={"HOME": str(state)})
            wait(lambda: download.poll() is not None, deadline, "sower did not finish in time")
            seconds = time.monotonic() - began
            if download.returncode != 0:
                raise Failed(f"sower exited with {download.returncode}")
            wait_for_files(lambda: lab.publication.differs(folder))
            return seconds


def every_reverse_case():
    """All that `sower download` is tried with."""
    # Transmission 4 takes padding files for files, and seeds no hybrid torrent whose folder has none.
    v1_only, both = (Transmission, Transmission4), (LibtorrentSeed, Libtorrent20Seed)
    return [ReverseCase(seed, "v1") for seed in (*v1_only, *both)] + [ReverseCase(seed, "hybrid") for seed in both]
