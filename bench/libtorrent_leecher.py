"""Downloads a torrent from one peer by libtorrent and prints the seconds: libtorrent_leecher.py FILE.torrent FOLDER IP:PORT CARRIER"""

import sys
import time

import libtorrent

metainfo, folder, address, carrier = sys.argv[1:]
is_encrypted, is_utp = "encrypted" in carrier, "uTP" in carrier
policy = libtorrent.enc_policy.forced if is_encrypted else libtorrent.enc_policy.disabled
session = libtorrent.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "in_enc_policy": int(policy),
    "out_enc_policy": int(policy),
    "allowed_enc_level": int(libtorrent.enc_level.rc4 if is_encrypted else libtorrent.enc_level.plaintext),
    "prefer_rc4": is_encrypted,
    "enable_outgoing_tcp": not is_utp,
    "enable_outgoing_utp": is_utp,
    "enable_incoming_tcp": False,
    "enable_incoming_utp": False,
    "alert_mask": 0,
})
torrent = libtorrent.add_torrent_params()
torrent.ti = libtorrent.torrent_info(metainfo)
torrent.trackers = []
torrent.url_seeds = []
torrent.save_path = folder
torrent.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
handle = session.add_torrent(torrent)
host, port = address.rsplit(":", 1)
began = time.monotonic()
handle.connect_peer((host, int(port)))
while not handle.status().is_seeding:
    time.sleep(0.05)
print(time.monotonic() - began)
