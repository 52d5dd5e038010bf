"""What the benchmarks share: pinned processes, interleaved rounds, the table, and the torrent that all seed."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sower-peers"
SERVER_CORE, LOAD_CORE = "0", "1"
LOAD = HERE / "load/target/release/sower-load"


class Missing(Exception):
    """A contestant cannot take part; the text says why, and what to do."""


def options(description, **more):
    """The command line that every benchmark has, and `more` integers with their defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each row, interleaved")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these contestants")
    parser.add_argument("--sower", type=pathlib.Path, help="the program to measure, instead of building this tree's")
    parser.add_argument("--save", action="store_true", help="replace this benchmark's section of RESULTS.md")
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=HELP[name])
    return parser.parse_args()


HELP = {
    "seconds": "length of a run",
    "gib": "size of the file",
    "torrents": "published torrents",
    "hosts": "peers in each swarm, and connections",
}


class Arena:
    """A folder for this run's files, and the processes to be stopped at its end."""

    def __enter__(self):
        CACHE.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=CACHE))
        self.folder.chmod(0o755)
        self.processes = []
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, cwd=None, **environment):
        """Starts a server on its core; what it prints goes to NAME.log."""
        if not shutil.which(command[0]):
            raise Missing(f"{name} is not installed: run bench/rivals")
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *map(str, command)], cwd=cwd or self.folder,
                                       env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        process.name = name
        self.processes.append(process)
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, process, what, is_ready, seconds=60, pause=0.05):
        """Waits until a server is ready; one that ends instead is a missing contestant."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / f"{process.name}.log").read_text(errors="replace").strip().splitlines()
                raise Missing(f"{process.name} does not start ({what}): {log[-1] if log else 'it says nothing'}")
            time.sleep(pause)


def usage(pid):
    """CPU seconds of a process so far, its resident memory, and the most that it ever had."""
    times = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    memory = {key: int(kib) / 1024 for key, kib in re.findall(r"(?m)^(VmRSS|VmHWM):\s+(\d+) kB", status)}
    cpu_seconds = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return {"cpu_seconds": cpu_seconds, "rss_mib": memory["VmRSS"], "peak_mib": memory["VmHWM"]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_packets(port):
    """Whether a UDP tracker answers a connect (BEP 15)."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        try:
            probe.send(bytes.fromhex("0000041727101980" "00000000" "00000001"))
            return len(probe.recv(64)) == 16
        except OSError:
            return False


def measure(kind, server, *arguments):
    """A run of the load against a server, to be called once a round; it returns the load's report."""
    command = ["taskset", "-c", LOAD_CORE, LOAD, kind,
               "--server", server.address, "--pid", server.pid, *arguments]

    def run(*more):
        done = subprocess.run([str(part) for part in [*command, *more]], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().replace("\n", " "))
        return json.loads(done.stdout)

    return run


def measure_tracker(swarms, kind, server, *arguments):
    """The same against a tracker, whose peers announce themselves before its first run; the report says what each weighs.

    `swarms` is a dictionary that remembers from run to run what each server held.
    """
    run = measure(kind, server, *arguments)

    def run_filled():
        known = swarms.get(server)
        empty = known["empty"] if known else usage(server.pid)["rss_mib"]
        report = run(*(["--filled"] if known else []))
        known = swarms.setdefault(server, {"empty": empty, "peers": report["peers"]})
        report["bytes_per_peer"] = (usage(server.pid)["rss_mib"] - empty) * 2**20 / known["peers"]
        return report

    return run_filled


def build_load():
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", HERE / "load/Cargo.toml"], check=True)


def enter(contestants, options):
    """Starts the contestants that were asked for; of those that are not there, the reason takes the place."""
    for name, start in contestants:
        if options.only and not any(word.lower() in name.lower() for word in options.only):
            continue
        try:
            yield name, start()
        except Missing as reason:
            yield name, reason


def compare(name, heads, columns, rows, options, ours=None):
    """Runs every row once a round, in turn, and prints the table.

    `heads` are the headings of the row's own cells, `columns` are (heading, key of the report, format), and
    `rows` are (cells, measure), where `measure` returns a report, or is the reason why a contestant is missing.
    Where `ours` is given, rows that end with that word tell their `seconds` as a part of the fastest other row's of the same kind.
    """
    reports = [[] for _ in rows]
    reasons = [str(measure) if isinstance(measure, Missing) else None for _, measure in rows]
    for number in range(options.rounds):
        for index, (cells, measure) in enumerate(rows):
            if reasons[index]:
                continue
            print(f"round {number + 1} of {options.rounds}: {' '.join(cells)}", file=sys.stderr)
            try:
                reports[index].append(measure())
            except (Missing, RuntimeError) as reason:
                reasons[index] = str(reason)
    headings = [*heads, *(heading for heading, _, _ in columns), *(["of the best rival"] if ours else [])]
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(heads)}{'--:|' * (len(headings) - len(heads))}"]
    for (cells, _), taken, reason in zip(rows, reports, reasons):
        figures = [f"not measured: {reason}"] if reason else [spread([report.get(key) for report in taken], form) for _, key, form in columns]
        if ours and not reason:
            rivals = [typical(rival) for (other, _), rival in zip(rows, reports) if other[:-1] == cells[:-1] and other[-1] != ours and rival]
            figures.append(f"**{typical(taken) / min(rivals):.2f}**" if cells[-1] == ours and rivals else "")
        lines.append(f"| {' | '.join([*cells, *figures])} |")
    text = "\n".join([f"## {name}", "", circumstances(options), "", *lines, ""])
    print(text)
    if options.save:
        save(name, text)


def typical(reports):
    return statistics.median(report["seconds"] for report in reports)


def spread(figures, form):
    """The median, and the least and the greatest figure; a dash where a row has no such figure."""
    if None in figures:
        return "–"
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"**{form.format(middle)}** ({form.format(low)}–{form.format(high)})"


def circumstances(options):
    """Where, when and on what the figures were taken."""
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True)
    return (f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip() or 'unknown'}; "
            f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}; "
            f"load average {os.getloadavg()[2]:.1f}; median (least–greatest) of {options.rounds} interleaved rounds. "
            f"`{' '.join(['bench/' + pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])}`")


def save(name, text):
    """Replaces the section of that name in RESULTS.md."""
    path = HERE / "RESULTS.md"
    sections = re.split(r"(?m)^(?=## )", path.read_text()) if path.exists() else ["# Results\n\n"]
    kept = [section for section in sections if not section.startswith(f"## {name}\n")]
    path.write_text("".join(section.rstrip("\n") + "\n\n" for section in [*kept, text]).rstrip("\n") + "\n")


def random_file(gib):
    """A file of random bytes, made once and kept, and read once so that it is in the page cache."""
    path = CACHE / f"bench-{gib}GiB.bin"
    if not path.exists() or path.stat().st_size != gib << 30:
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for _ in range(gib << 6):
                file.write(os.urandom(1 << 24))
    warm(path)
    return path


def warm(path):
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 24)
        while file.readinto(buffer):
            pass


class Torrent:
    """A torrent of one file: its info dictionary, byte for byte, and what the load must know of it."""

    def __init__(self, info):
        self.info = info
        self.info_hash = hashlib.sha1(info).hexdigest()
        fields = decode(info)[0]
        self.piece_length, self.name = fields[b"piece length"], fields[b"name"].decode()

    @classmethod
    def parse(cls, metainfo):
        """Takes the info dictionary out of a .torrent."""
        at = 1
        while metainfo[at : at + 1] != b"e":
            key, start = decode(metainfo, at)
            _, at = decode(metainfo, start)
            if key == b"info":
                return cls(metainfo[start:at])
        raise ValueError("a .torrent without an info dictionary")

    @classmethod
    def create(cls, path, piece_length=1 << 20):
        """Makes a v1 torrent of a file, for runs without a Sower that would make it."""
        with open(path, "rb") as file:
            pieces = b"".join(hashlib.sha1(piece).digest() for piece in iter(lambda: file.read(piece_length), b""))
        name = path.name.encode()
        return cls(b"d6:lengthi%de4:name%d:%b12:piece lengthi%de6:pieces%d:%be"
                   % (path.stat().st_size, len(name), name, piece_length, len(pieces), pieces))

    def write(self, path):
        """Writes a .torrent for a rival; its tracker is one that nobody runs, for rTorrent wants to have one."""
        announce = b"http://127.0.0.1:9/announce"
        path.write_bytes(b"d8:announce%d:%b4:info%be" % (len(announce), announce, self.info))


def decode(data, at=0):
    """Decodes the bencoded value at an offset; returns it and the offset behind it."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        return (dict(zip(items[::2], items[1::2])) if kind == b"d" else items), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end
