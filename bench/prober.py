"""How long an announce takes, asked one after another beside whatever keeps the server busy.

The prober runs ahead of everything else on its core (as root), so that its figures are the server's and not its own.
"""

import contextlib
import os
import socket
import statistics
import struct
import time

PACE = 0.002
COLUMNS = [
    ("p50 ms", "p50", "{:.2f}"),
    ("p99 ms", "p99", "{:.2f}"),
    ("worst ms", "worst", "{:.1f}"),
    ("announces", "announces", "{:.0f}"),
]


def probe(asking, goes_on):
    """Announces every two milliseconds for as long as it goes on."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    took = []
    while goes_on():
        began = time.monotonic()
        asking.announce()
        took.append(time.monotonic() - began)
        time.sleep(max(0, PACE - took[-1]))
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    cuts = statistics.quantiles(took, n=100)
    return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "worst": max(took) * 1e3, "announces": len(took)}


class AskByHttp:
    """One connection that is kept."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        query = f"info_hash={'%07' * 20}&peer_id=-SL0100-000000000000&port=6881&uploaded=0&downloaded=0&left=1&compact=1"
        self.request = f"GET /announce?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()

    def announce(self):
        self.socket.sendall(self.request)
        answer = self.socket.recv(65536)
        if b"8:interval" not in answer:
            raise RuntimeError(f"no answer of a tracker: {answer!r}")


class AskByPackets:
    """One socket, connected as BEP 15 has it."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.settimeout(2)
        self.socket.connect((host, int(port)))
        self.socket.send(struct.pack(">QII", 0x41727101980, 0, 1))
        connection = self.socket.recv(64)[8:16]
        self.request = connection + struct.pack(">II20s20sQQQIIIiH", 1, 2, b"\7" * 20, b"-SL0100-000000000000", 0, 1, 0, 0, 0, 7, 50, 6881)

    def announce(self):
        self.socket.send(self.request)
        if self.socket.recv(2048)[:4] != b"\0\0\0\1":
            raise RuntimeError("no answer to an announce")
