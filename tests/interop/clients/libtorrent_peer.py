"""A peer made of libtorrent. Runs on a Python that has it; the tests that drive it run on one that has not.

libtorrent_peer.py version
libtorrent_peer.py create FOLDER TRACKER v1|hybrid OUT.torrent    prints the v1 info-hash
libtorrent_peer.py get TORRENT_URL|MAGNET DIR ADDRESS:PORT [SETTING=NUMBER…]    exits when everything is there
libtorrent_peer.py meet MAGNET DIR ADDRESS:PORT FRIEND                          prints `met` once FRIEND is a peer, then runs on
libtorrent_peer.py seed FILE.torrent DIR ADDRESS:PORT [SETTING=NUMBER…]         prints `seeding`, then runs until it is ended
"""

import os
import sys
import urllib.request

import libtorrent

ANSWER_TIMEOUT_MS = 1000
SLOW = 100_000
NAMED_ALERTS = (
    libtorrent.tracker_error_alert,
    libtorrent.url_seed_alert,
    libtorrent.peer_error_alert,
    libtorrent.peer_disconnected_alert,
    libtorrent.torrent_error_alert,
)


def create(folder, tracker, form, out):
    flags = {"v1": libtorrent.create_torrent.v1_only, "hybrid": 0}[form]
    torrent = libtorrent.create_torrent(libtorrent.list_files(folder), 0, flags)
    torrent.add_tracker(tracker)
    libtorrent.set_piece_hashes(torrent, os.path.dirname(folder))
    with open(out, "wb") as file:
        file.write(libtorrent.bencode(torrent.generate()))
    print(libtorrent.torrent_info(out).info_hashes().v1)


def session(address, settings):
    chosen = (setting.split("=") for setting in settings)
    return libtorrent.session(
        {
            "listen_interfaces": address,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "alert_mask": libtorrent.alert.category_t.all_categories,
            **{name: int(value) for name, value in chosen},
        }
    )


def run_until(session, torrent, is_reached):
    while not is_reached(torrent.status()):
        session.wait_for_alert(ANSWER_TIMEOUT_MS)
        for alert in session.pop_alerts():
            if isinstance(alert, NAMED_ALERTS):
                print(alert, flush=True)
            elif isinstance(alert, libtorrent.hash_failed_alert):
                sys.exit(f"somebody sends false data: {alert}")


def parameters(source):
    if source.startswith("magnet:"):
        return libtorrent.parse_magnet_uri(source)
    with urllib.request.urlopen(source, timeout=10) as answer:
        return libtorrent.load_torrent_buffer(answer.read())


def get(source, folder, address, *settings):
    peer = session(address, settings)
    wanted = parameters(source)
    wanted.save_path = folder
    run_until(peer, peer.add_torrent(wanted), lambda status: status.is_seeding)


def meet(source, folder, address, friend):
    peer = session(address, ())
    wanted = parameters(source)
    wanted.save_path = folder
    wanted.download_limit = SLOW
    torrent = peer.add_torrent(wanted)
    run_until(peer, torrent, lambda _: any(it.ip[0] == friend for it in torrent.get_peer_info()))
    print("met", flush=True)
    run_until(peer, torrent, lambda _: False)


def seed(path, folder, address, *settings):
    peer = session(address, settings)
    offered = libtorrent.load_torrent_file(path)
    offered.save_path = folder
    torrent = peer.add_torrent(offered)
    run_until(peer, torrent, lambda status: status.is_seeding)
    print("seeding", flush=True)
    run_until(peer, torrent, lambda status: False)


def version():
    print(libtorrent.version)


if __name__ == "__main__":
    {"version": version, "create": create, "get": get, "meet": meet, "seed": seed}[sys.argv[1]](*sys.argv[2:])
