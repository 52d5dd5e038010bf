"""A peer made of rqbit's engine. Runs on a Python that has it; the tests that drive it run on one that has not.

rqbit_peer.py version
rqbit_peer.py get TORRENT_URL|MAGNET DIR PORT       exits when everything is there
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

import pyrqbit


def get(source, folder, port):
    session = pyrqbit.Session(folder, listen_port=int(port), disable_dht=True)
    download = session.add_torrent(source, overwrite=True)
    print(download.info_hash, flush=True)
    download.wait_until_completed()
    print(download.stats(), flush=True)
    session.stop()


def version():
    """The engine's version, which it tells its peers, and not that of the binding."""
    binary = Path(pyrqbit.pyrqbit.__file__).read_bytes()
    found = re.search(rb"rqbit (\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?)", binary)
    print(found.group(1).decode() if found else distribution("pyrqbit").version)


if __name__ == "__main__":
    {"version": version, "get": get}[sys.argv[1]](*sys.argv[2:])
