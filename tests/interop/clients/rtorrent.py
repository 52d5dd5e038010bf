"""rTorrent (Rakshasa's libtorrent): told by its own event that a download is finished."""

from . import PEER_PORT, Client, version_of

SETTINGS = """\
system.daemon.set = true
session.path.set = {state}/session
directory.default.set = {folder}
network.bind_address.set = {address}
network.port_range.set = {port}-{port}
network.port_random.set = no
dht.mode.set = disable
protocol.pex.set = no
trackers.use_udp.set = yes
log.open_file = "log", {state}/log
log.add_output = "info", "log"
log.add_output = "tracker_debug", "log"
method.set_key = event.download.finished, tell, "execute2=touch,\\"$cat={state}/finished-,$d.is_meta=\\""
"""
# A magnet's info dictionary is a download of its own to rTorrent, and the event tells of that one too.
FINISHED = "finished-0"


class Rtorrent(Client):
    name = "rTorrent"
    program = "rtorrent"
    leaves = "*.meta"
    settings = ""

    @classmethod
    def version(cls):
        return version_of(cls.program, "-h")

    def start(self):
        state = self.job.state
        (state / "session").mkdir()
        settings = state / "settings"
        address = self.job.host.address
        chosen = SETTINGS.format(state=state, folder=self.job.folder, address=address, port=PEER_PORT)
        settings.write_text(chosen + self.settings)
        self.run("rtorrent", "-n", "-o", f"import={settings}", self.job.source)

    def is_done(self):
        self.still_runs()
        return (self.job.state / FINISHED).exists()
