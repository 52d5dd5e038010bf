"""The test network: hosts on one bridge, all inside namespaces of this process, with no route out.

`enter()` runs the program again inside namespaces of its own (user, mount, network, process). So nothing here needs
root where the system lets users make namespaces, and nothing survives the run: when the program ends, the kernel ends
every process in it and takes the network away. A host is a network namespace with one address on the bridge.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

INSIDE = "SOWER_INTEROP_INSIDE"
SUBNET = "10.77.{}.{}"
PREFIX_LENGTH = 16


def unshare():
    """The command that gives the command after it namespaces of its own."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *as_root, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def is_inside():
    """Whether the namespaces are ours already."""
    return INSIDE in os.environ


def obstacle():
    """Why there can be no test network here, or None."""
    for tool in ("unshare", "nsenter", "ip", "nft", "curl"):
        if shutil.which(tool) is None:
            return f"`{tool}` is not installed (run tests/setup)"
    attempt = "mount -t tmpfs run /run && mkdir /run/netns && ip netns add probe && ip link add probe type bridge"
    trial = subprocess.run([*unshare(), "sh", "-c", attempt], capture_output=True, text=True)
    if trial.returncode != 0:
        return f"network namespaces cannot be made here: {trial.stderr.strip()}"
    return None


def enter():
    """Goes on inside namespaces of our own; returns there, and only there."""
    if not is_inside():
        os.environ[INSIDE] = "yes"
        os.execvp("unshare", [*unshare(), sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interop: ended by a signal"))
    run("mount", "-t", "tmpfs", "run", "/run")
    os.mkdir("/run/netns")


def run(*command, **options):
    """Runs a command and returns what it printed; raises with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Network:
    """A bridge, and hosts on it."""

    def __init__(self):
        self._numbers = itertools.count(1)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge0", "type", "bridge")
        run("ip", "link", "set", "bridge0", "up")

    def add(self, role, only=None):
        """A new host. It reaches all others, or only one of them: calls to the rest fail at once."""
        return Host(role, next(self._numbers), only)

    def add_behind(self, router):
        """A new host in a network of its own, whose only way out is that host."""
        return HostAtHome(next(self._numbers), router)


class Host:
    """A network namespace with one address, and the processes that run in it. Leaving its `with` removes it."""

    def __init__(self, role, number, only):
        self.name = f"{number}-{role}"
        self.address = SUBNET.format(*divmod(number, 250))
        self._processes = []
        port = f"veth{number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", port, "master", "bridge0", "up")
        ip = ("ip", "-n", self.name)
        for device in ("lo", "eth0"):
            run(*ip, "link", "set", device, "up")
        network = f"{self.address}/{PREFIX_LENGTH}"
        if only is None:
            run(*ip, "addr", "add", network, "dev", "eth0")
        else:
            run(*ip, "addr", "add", network, "dev", "eth0", "noprefixroute")
            run(*ip, "route", "add", only.address, "dev", "eth0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def command(self, *command):
        """That command, as it runs on this host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, command)]

    def run(self, *command, **options):
        """Runs a command here and returns what it printed."""
        return run(*self.command(*command), **options)

    def start(self, *command, log, stdin=subprocess.DEVNULL, **options):
        """Starts a command here; it writes to `log`, and ends with the host at the latest."""
        with open(log, "ab") as output:
            process = subprocess.Popen(
                self.command(*command), stdin=stdin, stdout=output, stderr=output, start_new_session=True, **options
            )
        self._processes.append(process)
        return process

    # One port carries HTTP and BitTorrent peers, so a port number cannot tell them apart, but the first bytes of what
    # is said can. A client says either in a segment of its own. The kernel compares 16 bytes at most.

    def refuse(self, *beginnings):
        """From now on, TCP segments from here that begin so are answered with a reset."""
        self._refuse_segments("", beginnings)

    def refuse_all_but(self, *beginnings):
        """From now on, TCP segments from here that begin otherwise are answered with a reset; bare ones pass."""
        self._refuse_segments("!=", beginnings)

    def _refuse_segments(self, sign, beginnings):
        length = min(16, *map(len, beginnings))
        wanted = ", ".join(f"0x{beginning[:length].hex()}" for beginning in beginnings)
        payload = f"@ih,0,{8 * length} {sign} {{ {wanted} }}"
        self._filter("output", f"oifname eth0 meta l4proto tcp {payload} reject with tcp reset")

    def refuse_udp(self):
        """From now on no datagram leaves this host."""
        self._filter("output", "oifname eth0 meta l4proto udp drop")

    def refuse_callers(self):
        """From now on nobody can open a TCP connection to this host."""
        self._filter("input", "iifname eth0 tcp flags & (syn | ack) == syn drop")

    def _filter(self, hook, rule):
        chain = f"chain {hook} {{\ntype filter hook {hook} priority filter\n{rule}\n}}"
        self.run("nft", "-f", "-", input=f"table inet interop {{\n{chain}\n}}\n")

    def remove(self):
        """Ends all that runs here, and takes the host off the network."""
        for pid in run("ip", "netns", "pids", self.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for process in self._processes:
            process.wait()
        run("ip", "netns", "del", self.name)


class HostAtHome(Host):
    """A host behind another: it has an address that means nothing outside."""

    network = "192.168.77.0/24"
    address = "192.168.77.2"
    gateway = "192.168.77.1"

    def __init__(self, number, router):
        self.name = f"{number}-home"
        self._processes = []
        run("ip", "netns", "add", self.name)
        run("ip", "-n", router.name, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "-n", router.name, "addr", "add", f"{self.gateway}/24", "dev", "lan")
        run("ip", "-n", router.name, "link", "set", "lan", "up")
        ip = ("ip", "-n", self.name)
        for device in ("lo", "eth0"):
            run(*ip, "link", "set", device, "up")
        run(*ip, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run(*ip, "route", "add", "default", "via", self.gateway)


def cache():
    """Where tests/setup puts what is not a Debian package."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sower-peers"
