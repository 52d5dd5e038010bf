"""aria2: exits when it has everything."""

from . import PEER_PORT, Client


class Aria2(Client):
    name = "aria2"
    program = "aria2c"
    options = ()

    def start(self):
        self.run(
            "aria2c",
            "--no-conf",
            f"--dir={self.job.folder}",
            f"--listen-port={PEER_PORT}",
            "--disable-ipv6=true",
            # Without it there are no UDP trackers either. Nobody answers it here.
            "--enable-dht=true",
            f"--dht-file-path={self.job.state / 'dht.dat'}",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--follow-torrent=mem",
            "--file-allocation=none",
            "--summary-interval=0",
            "--seed-time=0",
            "--bt-stop-timeout=60",
            *self.options,
            self.job.source,
        )

    def is_done(self):
        return self.has_exited()
