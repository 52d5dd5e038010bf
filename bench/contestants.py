"""How each program is started for a benchmark: as its manual says, with everything off that is not measured."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import lab
from lab import CACHE, HERE, Missing

LIBTORRENT_PYTHON = CACHE / "venv/bin/python"
AQUATIC = CACHE / "cargo/bin"
IMDL = CACHE / "cargo/bin/imdl"
RQBIT = CACHE / "cargo/bin/rqbit"


class Sower:
    """A Sower with an empty data directory, and a token to publish with."""

    def __init__(self, arena, options, name="sower", **environment):
        self.program = options.sower.resolve() if options.sower else build_sower()
        self.folder = arena.folder / name
        self.folder.mkdir()
        ready = self.folder / "ready.json"
        config = self.folder / "config.toml"
        config.touch()
        self.environment = {"SOWER_DATA_DIR": str(self.folder / "data"), "SOWER_LISTEN": "127.0.0.1:0", **environment}
        self.process = arena.start(name, [self.program, "--config", config, "serve", "--ready-file", ready], **self.environment)
        arena.wait(self.process, "no ready file", lambda: ready.exists() and ready.read_text().endswith("\n"))
        said = json.loads(ready.read_text())
        self.address, self.url = said["listen"], f"http://{said['listen']}"
        self.pid = self.process.pid
        self.command(config, "user", "add", "bench", "--role", "admin", "--password-stdin", stdin=f"{uuid.uuid4()}\n")
        self.token = self.command(config, "token", "create", "--user", "bench").strip()

    def command(self, config, *arguments, stdin=""):
        run = subprocess.run([self.program, "--config", config, *arguments], input=stdin, capture_output=True, text=True,
                             env={**os.environ, **self.environment})
        if run.returncode:
            raise Missing(f"sower {arguments[0]} {arguments[1]} fails: {run.stderr.strip()}")
        return run.stdout

    def publish(self, path):
        """Publishes a file with curl and returns the API's answer."""
        run = subprocess.run(["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {self.token}",
                              "-F", f"files=@{path}", f"{self.url}/api/v1/publications"], capture_output=True, text=True)
        if run.returncode:
            raise Missing(f"sower does not publish: {run.stderr.strip()} {run.stdout.strip()}")
        return json.loads(run.stdout)

    def publish_small(self, count):
        """Publishes so many one-block files and returns their info-hashes."""
        small = self.folder / "small.bin"
        hashes = []
        for _ in range(count):
            small.write_bytes(os.urandom(16384))
            hashes.append(self.publish(small)["info_hash_v1"])
        return hashes

    def torrent(self, publication):
        """The publication's torrent as a client gets it."""
        path = publication["torrent_url"].split("/", 3)[3]
        with urllib.request.urlopen(f"{self.url}/{path}") as answer:
            return lab.Torrent.parse(answer.read())


class SowerAgain:
    """A Sower on a data directory that is there already; `ready_seconds` is how long it took to serve."""

    def __init__(self, arena, options, name, data, **environment):
        program = options.sower.resolve() if options.sower else build_sower()
        folder = arena.folder / name
        folder.mkdir()
        ready = folder / "ready.json"
        (folder / "config.toml").touch()
        began = time.perf_counter()
        self.process = arena.start(name, [program, "--config", folder / "config.toml", "serve", "--ready-file", ready],
                                   SOWER_DATA_DIR=str(data), SOWER_LISTEN="127.0.0.1:0", **environment)
        arena.wait(self.process, "no ready file", lambda: ready.exists() and ready.read_text().endswith("\n"), pause=0.005)
        self.ready_seconds = time.perf_counter() - began
        self.address, self.pid = json.loads(ready.read_text())["listen"], self.process.pid


def build_sower():
    """Builds this tree's Sower, as a user would."""
    run = subprocess.run(["cargo", "build", "--release", "--locked"], cwd=HERE.parent, capture_output=True, text=True)
    program = HERE.parent / "target/release/sower"
    if run.returncode or not program.exists():
        raise Missing("sower does not build from this tree")
    return program


class Libtorrent:
    """libtorrent with its defaults, by a Python program of a few lines that is idle while it seeds."""

    def __init__(self, arena, torrent, path, connections=1000):
        metainfo = arena.folder / "libtorrent.torrent"
        torrent.write(metainfo)
        port = lab.free_port()
        self.process = arena.start("libtorrent", [LIBTORRENT_PYTHON, HERE / "libtorrent_seeder.py", metainfo, path.parent, port, connections])
        ready = lambda: "seeding" in (arena.folder / "libtorrent.log").read_text()
        arena.wait(self.process, "it does not seed", ready)
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid


class LibtorrentMany:
    """libtorrent with many small torrents, all active and complete; `ready_seconds` is how long it took to have them all."""

    def __init__(self, arena, name, count):
        folder = arena.folder / f"{name}-files"
        folder.mkdir()
        for number in range(count):
            with open(folder / f"{number}.bin", "wb") as file:
                file.truncate(16384)
        began = time.perf_counter()
        self.process = arena.start(name, [LIBTORRENT_PYTHON, HERE / "libtorrent_many.py", count, folder, lab.free_port()])
        arena.wait(self.process, "it does not seed", lambda: "seeding" in (arena.folder / f"{name}.log").read_text(), pause=0.005)
        self.ready_seconds = time.perf_counter() - began
        self.pid = self.process.pid


class RTorrent:
    """rTorrent without terminal, DHT and peer exchange, with room for all peers."""

    def __init__(self, arena, torrent, path):
        folder = arena.folder / "rtorrent"
        (folder / "session").mkdir(parents=True)
        torrent.write(folder / "t.torrent")
        port, checked = lab.free_port(), folder / "checked"
        (folder / "rc").write_text(f"""\
system.daemon.set = true
session.path.set = {folder}/session
directory.default.set = {path.parent}
network.bind_address.set = 127.0.0.1
network.port_range.set = {port}-{port}
network.port_random.set = no
dht.mode.set = disable
protocol.pex.set = no
trackers.use_udp.set = no
pieces.hash.on_completion.set = no
throttle.max_peers.seed.set = 1000
throttle.max_uploads.set = 1000
method.set_key = event.download.hash_done, checked, "execute2=touch,{checked}"
""")
        self.process = arena.start("rtorrent", ["rtorrent", "-n", "-o", f"import={folder}/rc", folder / "t.torrent"], HOME=str(folder))
        arena.wait(self.process, "it does not check its data", checked.exists)
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid


class Transmission:
    """Transmission without DHT, peer exchange and uTP, with an upload slot for every peer."""

    def __init__(self, arena, torrent, path):
        folder = arena.folder / "transmission"
        (folder / "watch").mkdir(parents=True)
        torrent.write(folder / "watch/t.torrent")
        port, control = lab.free_port(), lab.free_port()
        (folder / "settings.json").write_text(json.dumps({
            "bind-address-ipv4": "127.0.0.1", "peer-port": port, "rpc-bind-address": "127.0.0.1", "rpc-port": control,
            "rpc-authentication-required": False, "rpc-whitelist-enabled": False, "download-dir": str(path.parent),
            "watch-dir": str(folder / "watch"), "watch-dir-enabled": True, "dht-enabled": False, "lpd-enabled": False,
            "pex-enabled": False, "utp-enabled": False, "port-forwarding-enabled": False, "ratio-limit-enabled": False,
            "peer-limit-global": 1000, "peer-limit-per-torrent": 1000, "upload-slots-per-torrent": 1000,
            "seed-queue-enabled": False, "start-added-torrents": True}))
        self.process = arena.start("transmission", ["transmission-daemon", "-f", "-g", folder])
        arena.wait(self.process, "it does not check its data", lambda: self.is_seeding(control), seconds=120)
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid

    @staticmethod
    def is_seeding(control):
        body = json.dumps({"method": "torrent-get", "arguments": {"fields": ["status"]}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{control}/transmission/rpc", body)
        try:
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as refused:  # The first answer is the session's id.
                request.add_header("X-Transmission-Session-Id", refused.headers["X-Transmission-Session-Id"])
                answer = urllib.request.urlopen(request)
        except urllib.error.URLError:
            return False
        return [torrent["status"] for torrent in json.load(answer)["arguments"]["torrents"]] == [6]


class Rqbit:
    """rqbit without DHT and all else that looks for peers, with room for all that come."""

    def __init__(self, arena, torrent, path):
        metainfo = arena.folder / "rqbit.torrent"
        torrent.write(metainfo)
        port, control = lab.free_port(), lab.free_port()
        self.process = arena.start("rqbit", [
            RQBIT, "--disable-dht", "--disable-lsd", "--disable-trackers", "--disable-upnp-port-forward", "--peer-limit", 1000,
            "--listen-ip", "127.0.0.1", "--listen-port", port, "--http-api-listen-addr", f"127.0.0.1:{control}",
            "download", "--overwrite", "--output-folder", path.parent, metainfo])
        arena.wait(self.process, "it does not check its data", lambda: self.is_seeding(control), seconds=120)
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid

    @staticmethod
    def is_seeding(control):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{control}/torrents/0/stats/v1") as answer:
                return json.load(answer)["finished"]
        except urllib.error.URLError:
            return False


class Floor:
    """The load program's own seeder: framing, one way of reading, and nothing else."""

    def __init__(self, arena, torrent, path, read):
        port = lab.free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = arena.start(f"floor-{read}", [
            lab.LOAD, "floor", "--read", read, "--listen", self.address,
            "--info-hash", torrent.info_hash, "--piece-length", torrent.piece_length, "--file", path])
        arena.wait(self.process, "it does not listen", lambda: lab.accepts(port))
        self.pid = self.process.pid


class Nginx:
    """nginx as one process that sends a folder's files by sendfile, and takes what is put there."""

    def __init__(self, arena, folder):
        state = arena.folder / "nginx"
        state.mkdir()
        port = lab.free_port()
        (state / "nginx.conf").write_text(f"""\
daemon off;
master_process off;
pid {state}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}; dav_methods PUT; create_full_put_path on; }}
}}
""")
        self.process = arena.start("nginx", ["nginx", "-p", state, "-c", state / "nginx.conf", "-e", "stderr"])
        arena.wait(self.process, "it does not listen", lambda: lab.accepts(port))
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid


class Opentracker:
    """opentracker with the torrents on its whitelist, which Debian's build insists on."""

    def __init__(self, arena, info_hashes):
        folder = arena.folder / "opentracker"
        folder.mkdir()
        (folder / "whitelist").write_text("\n".join(info_hashes) + "\n")
        port = lab.free_port()
        command = ["opentracker", "-i", "127.0.0.1", "-p", port, "-P", port, "-d", folder, "-u", "nobody", "-w", "whitelist"]
        self.process = arena.start("opentracker", command, cwd=folder)
        arena.wait(self.process, "it does not listen", lambda: lab.accepts(port))
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid


class Aquatic:
    """A tracker of the aquatic family with one socket worker and one swarm worker; it tracks any torrent."""

    program, settings = None, ""

    def __init__(self, arena, _info_hashes=None):
        port = lab.free_port()
        config = arena.folder / f"{self.program}.toml"
        config.write_text(self.settings.format(port=port))
        self.process = arena.start(self.program, [AQUATIC / self.program, "-c", config])
        arena.wait(self.process, "it does not listen", lambda: self.listens(port))
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid

    @staticmethod
    def listens(port):
        return lab.accepts(port)


class AquaticHttp(Aquatic):
    """aquatic_http."""

    program = "aquatic_http"
    settings = """\
socket_workers = 1
swarm_workers = 1
[network]
address = "127.0.0.1:{port}"
"""


class AquaticUdp(Aquatic):
    """aquatic_udp; peers are kept for as long as ours."""

    program = "aquatic_udp"
    settings = """\
socket_workers = 1
[network]
address = "127.0.0.1:{port}"
[cleaning]
max_peer_age = 2580
"""

    @staticmethod
    def listens(port):
        return lab.answers_packets(port)


class AquaticWs(Aquatic):
    """aquatic_ws, without TLS."""

    program = "aquatic_ws"
    settings = """\
socket_workers = 1
swarm_workers = 1
[network]
address = "127.0.0.1:{port}"
"""
