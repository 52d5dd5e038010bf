"""Seeds many torrents of one block by libtorrent, none of which anybody wants: libtorrent_many.py COUNT FOLDER PORT"""

import os
import signal
import sys

import libtorrent

count, folder, port = int(sys.argv[1]), sys.argv[2], sys.argv[3]
session = libtorrent.session({
    "listen_interfaces": f"127.0.0.1:{port}",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
})
for number in range(count):
    name = b"%d.bin" % number
    info = {b"length": 16384, b"name": name, b"piece length": 16384, b"pieces": os.urandom(20)}
    torrent = libtorrent.add_torrent_params()
    torrent.ti = libtorrent.torrent_info({b"info": info})
    torrent.save_path = folder
    # Active without a queue, and taken for complete: the files are there with their lengths, and nobody asks for what is in them.
    torrent.flags = libtorrent.torrent_flags.seed_mode
    session.async_add_torrent(torrent)
while len(session.get_torrents()) < count or any(not it.status().is_seeding for it in session.get_torrents()[-1:]):
    session.wait_for_alert(100)
    session.pop_alerts()
print("seeding", flush=True)
signal.pause()
