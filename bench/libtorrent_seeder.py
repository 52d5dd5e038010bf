"""Seeds one torrent by libtorrent: libtorrent_seeder.py FILE.torrent FOLDER PORT CONNECTIONS"""

import signal
import sys

import libtorrent

metainfo, folder, port, connections = sys.argv[1:]
session = libtorrent.session({
    "listen_interfaces": f"127.0.0.1:{port}",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "unchoke_slots_limit": -1,
    "connections_limit": int(connections),
    # Peers beyond those of its list, 3,000 by default, it turns away.
    "max_peerlist_size": 0,
    "listen_queue_size": 1000,
})
torrent = libtorrent.add_torrent_params()
torrent.ti = libtorrent.torrent_info(metainfo)
torrent.save_path = folder
torrent.flags |= libtorrent.torrent_flags.seed_mode
handle = session.add_torrent(torrent)
if handle.status().is_seeding:
    print("seeding", flush=True)
signal.pause()
