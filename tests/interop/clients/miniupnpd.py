"""A router at home: it hides a network behind its address, and miniupnpd opens ports of it to those who ask."""

from . import version_of

SETTINGS = """\
ext_ifname=eth0
ext_ip={outside}
listening_ip=lan
enable_natpmp={pcp}
enable_upnp={upnp}
secure_mode=yes
uuid=00000000-0000-4000-8000-000000000019
upnp_table_name=router
upnp_nat_table_name=router
upnp_forward_chain=opened
upnp_nat_chain=opened_from
upnp_nat_postrouting_chain=opened_to
allow 1024-65535 {network} 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
# What it tells of itself. It knows that the test network's addresses are nobody's, and would refuse to open a port to them.
OUTSIDE = "11.22.33.44"
# Whoever is inside may call out; nobody outside may call in, but by ports that were asked for.
RULES = """\
table inet router {
chain opened {
}
chain forward {
type filter hook forward priority 0; policy drop;
ct state established,related accept
iifname "lan" accept
jump opened
}
chain opened_from {
}
chain prerouting {
type nat hook prerouting priority -100;
jump opened_from
}
chain opened_to {
}
chain postrouting {
type nat hook postrouting priority 100;
jump opened_to
oifname "eth0" masquerade
}
}
"""


class Miniupnpd:
    """The router's program, which speaks in one of the protocols."""

    name = "miniupnpd"
    program = "miniupnpd"

    def __init__(self, host, state, protocol):
        self._host = host
        self._state = state
        self._protocol = protocol

    @classmethod
    def version(cls):
        """The version that is installed, or None."""
        return version_of(cls.program, "--version")

    def start(self, network):
        """Begins to route for the network behind the host."""
        self._state.mkdir()
        self._host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self._host.run("nft", "-f", "-", input=RULES)
        settings = self._state / "settings"
        speaks = {"pcp": self._protocol == "PCP", "upnp": self._protocol == "UPnP"}
        said = {name: "yes" if it else "no" for name, it in speaks.items()}
        settings.write_text(SETTINGS.format(network=network, outside=OUTSIDE, **said))
        command = ("miniupnpd", "-d", "-f", settings, "-P", self._state / "pid")
        self._host.start(*command, log=self._state / "log")

    def opened(self):
        """How many ports lead inside."""
        return self._host.run("nft", "list", "table", "inet", "router").count("dnat")
