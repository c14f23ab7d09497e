# SPDX-License-Identifier: Apache-2.0
"""Two sites, as in examples/two-sites.yaml: each a lab with a switch of its
own, and a router between them.

    with sites() as (east, west):
        east.serve("e1", 8080)

A site has two servers, e1 and e2 or w1 and w2, a client c1, and the switch's
own host, all with routes to the other site."""

import contextlib

from lab import Host, Lab

SITES = {"east": ("e", 1), "west": ("w", 2)}


class Site(Lab):
    """The lab called 'name'.  'number' is that of its network, 10.N.0.0/16."""

    def __init__(self, name):
        super().__init__(servers=0, clients=1)
        self.letter, self.number = SITES[name]
        self.name = name
        self.servers = [f"{self.letter}1", f"{self.letter}2"]
        self.vip = f"10.{self.number}.0.100"
        self.gateway = f"10.{self.number}.0.254"

    def __enter__(self):
        super().__enter__()
        self.run(self.netns, "ip", "address", "add",
                 f"10.{self.number}.9.1/16", "dev", "br0")
        self.run(self.netns, "ip", "link", "set", "br0", "up")
        return self

    def _new_host(self, name):
        number = int(name[1:])
        network = 1 if name.startswith("c") else 0
        return Host(name=name, ip=f"10.{self.number}.{network}.{number}",
                    mac=f"02:00:00:{network:02x}:{self.number:02x}:"
                        f"{number:02x}",
                    bridge="br0", netns=f"{self.netns}-{name}",
                    port=f"{name}-o", ofport=len(self.hosts) + 1)

    def add_router(self, router):
        """Connects the site to the namespace 'router'."""
        self.run(self.netns, "sh", "-ec", f"""
            ip link add gw-o type veth peer name {self.name} \\
                address 02:00:00:00:{self.number:02x}:fe netns {router}
            ip link set gw-o up
            ethtool -K gw-o tx off
            nsenter --net=/run/netns/{router} sh -ec '
                ip address add {self.gateway}/16 dev {self.name}
                ip link set {self.name} up
                ethtool -K {self.name} tx off'""")
        self.vsctl("add-port", "br0", "gw-o")
        for where in (*self.hosts, self.netns):
            self.run(where, "ip", "route", "add", "10.0.0.0/8", "via",
                     self.gateway)


@contextlib.contextmanager
def sites():
    with Site("east") as east, Site("west") as west:
        router = f"{east.netns}-gw"
        east.add_netns([router])
        try:
            east.run(router, "sh", "-ec", """
                echo 1 > /proc/sys/net/ipv4/ip_forward
                for conf in all default; do
                    echo 0 > /proc/sys/net/ipv4/conf/$conf/send_redirects
                done""")
            for site in east, west:
                site.add_router(router)
            yield east, west
        finally:
            for site in east, west:
                site.vsctl("--if-exists", "del-port", "gw-o")
            east.run(None, "ip", "netns", "del", router)
