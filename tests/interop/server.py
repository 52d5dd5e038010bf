"""The server under test, driven by its public contract: command line, environment, JSON API."""

import json
import time
from dataclasses import dataclass

PORT = 8080
START_SECONDS = 60


@dataclass(frozen=True)
class Published:
    """A publication on the server."""

    torrent_url: str
    magnet: str
    api_url: str


class Sower:
    """`sower serve` on a host of the test network."""

    def __init__(self, program, host, state, **settings):
        """`settings`: environment variables of the configuration."""
        self._program = program
        self._host = host
        self._state = state
        self.url = f"http://{host.address}:{PORT}"
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "SOWER_LISTEN": f"[::]:{PORT}",
            "SOWER_PUBLIC_URL": self.url,
            "SOWER_DATA_DIR": str(state / "data"),
            **settings,
        }
        self.log = state / "log"
        self._token = None
        self._process = None

    def start(self):
        """Starts it, and comes back when it can serve and we have an account on it."""
        self._state.mkdir()
        (self._state / "config.toml").touch()
        ready = self._state / "ready"
        command = (*self._command("serve"), "--ready-file", ready)
        process = self._process = self._host.start(*command, log=self.log, env=self._environment)
        deadline = time.monotonic() + START_SECONDS
        while not (ready.exists() and ready.read_text().endswith("\n")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.05)
        self._run("user", "add", "tester", "--role", "admin", "--password-stdin", input="correct horse battery\n")
        self._token = self._run("token", "create", "--user", "tester").strip()

    def stop(self):
        """Ends it as an operator does; comes back when it has ended."""
        self._process.terminate()
        if self._process.wait(START_SECONDS) != 0:
            raise RuntimeError(f"the server did not end well: {self.log.read_text()}")

    def publish(self, publication, format, torrent=None):
        """Publishes the files by the JSON API; under the .torrent that they have, if they have one."""
        name = publication.folder.name
        fields = ["-F", f"title={name} ({format})", "-F", f"torrent=@{torrent}" if torrent else f"format={format}"]
        for file in sorted(publication.folder.iterdir()):
            fields += ["-F", f'files=@"{file}";filename="{name}/{file.name}"']
        answer = self._host.run(
            *("curl", "--silent", "--show-error", "--fail-with-body"),
            *("--header", f"Authorization: Bearer {self._token}"),
            *fields,
            f"{self.url}/api/v1/publications",
        )
        published = json.loads(answer)
        api_url = f"{self.url}/api/v1/publications/{published['id']}"
        return Published(published["torrent_url"], published["magnet"], api_url)

    def numbers(self, published, torrent):
        """What each door of the tracker says of the swarm, and what the API says: complete, incomplete, downloaded."""
        said = json.loads(self._run("scrape", "--json", torrent))
        answers = {it["url"]: it["answer"]["files"] for it in said["trackers"]}
        files = {url: next(iter(files.values())) for url, files in answers.items()}
        numbers = {url: (it["complete"], it["incomplete"], it["downloaded"]) for url, it in files.items()}
        swarm = json.loads(self._host.run("curl", "--silent", "--fail", published.api_url))["swarm"]
        return numbers | {"API": (swarm["seeders"], swarm["leechers"], swarm["completed"])}

    def sent_to_peers(self, published):
        """Bytes of content that went to peers."""
        return json.loads(self._host.run("curl", "--silent", "--fail", published.api_url))["served"]["peer_bytes"]

    def through(self, door, torrent, out):
        """Writes a torrent that names that address alone, and no web seed."""
        self._run("edit", torrent, "--announce", door, "--no-web-seed", "-o", out)

    def bare(self, torrent, node, out):
        """Writes a torrent that names neither a tracker nor a web seed, but that node of the DHT."""
        self._run("edit", torrent, "--no-announce", "--no-web-seed", "--node", node, "-o", out)

    def _command(self, *arguments):
        return (self._program, "--config", self._state / "config.toml", *arguments)

    def _run(self, *arguments, **options):
        return self._host.run(*self._command(*arguments), env=self._environment, **options)
