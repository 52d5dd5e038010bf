"""Real BitTorrent clients, each driven as its users drive it: given a torrent's URL or a magnet link, and a folder."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PEER_PORT = 6881
CONTROL_PORT = 9091


@dataclass(frozen=True)
class Job:
    """One download: who does it, what, and where to."""

    host: object
    source: str
    folder: Path
    state: Path

    @property
    def log(self):
        """What the client printed."""
        return self.state / "log"


class Failed(Exception):
    """The client gave up."""


class Client:
    """One client program; an object of it does one job.

    `makes_empty_files`: whether a file of no bytes appears in the download.
    `leaves`: a pattern of the names of the files that the client leaves beside the download.
    `speaks_websocket`: whether it announces to a tracker behind a WebSocket.
    """

    name = ""
    program = ""
    makes_empty_files = True
    leaves = ""
    speaks_websocket = False

    def __init__(self, job):
        self.job = job
        self.process = None

    @classmethod
    def version(cls):
        """The version that is installed, or None."""
        return version_of(cls.program, "--version")

    def start(self):
        """Starts the download."""
        raise NotImplementedError

    def is_done(self):
        """Whether the client itself says that the download is complete."""
        raise NotImplementedError

    def run(self, *command, **options):
        """Starts the client's program on the job's host, at home in the job's state folder."""
        environment = {"HOME": str(self.job.state), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        environment.update(options.pop("env", {}))
        options.setdefault("cwd", self.job.state)
        self.process = self.job.host.start(*command, log=self.job.log, env=environment, **options)

    def has_exited(self):
        """Whether the program has ended well; raises if it ended badly."""
        if self.process.poll() is None:
            return False
        if self.process.returncode != 0:
            raise Failed(f"it exited with {self.process.returncode}")
        return True

    def still_runs(self):
        """Raises if the program, which should go on until it is stopped, has ended."""
        if self.process.poll() is not None:
            raise Failed(f"it ended by itself, with {self.process.returncode}")

    def control(self, *arguments):
        """Asks the client's own HTTP control port, by curl; None while it does not answer."""
        answer = subprocess.run(
            self.job.host.command("curl", "--silent", "--show-error", "--max-time", "5", *arguments),
            capture_output=True,
            text=True,
        )
        return answer.stdout if answer.returncode == 0 else None


def version_of(program, *arguments):
    """The first thing like a version that the program prints, or None where it is not installed."""
    if shutil.which(program) is None:
        return None
    printed = subprocess.run([program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"\d+(\.\d+)+", printed.stdout + printed.stderr)
    return found and found.group()
