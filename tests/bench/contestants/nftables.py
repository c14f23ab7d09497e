# SPDX-License-Identifier: Apache-2.0
from bench.contestants.base import Contestant
from bench.stage import CLIENT, PORT, SERVER_PORT, VIP

BALANCER = "s9"

RULES = """
table ip balancer {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {vip} tcp dport {port} dnat to numgen inc mod {n} map {{
            {servers}
        }} : {server_port}
    }}
}}
"""


class Nftables(Contestant):
    """A Linux host on the same bridge that has the VIP, forwards with DNAT in
    turn, and that the servers' replies go back through.  Servers see the
    client's address, as with lbgen."""

    name = "nftables"
    what = "nftables DNAT on a host with the VIP, kernel forwarding"
    programs = ("nft",)
    helpers = (BALANCER,)

    def set_up(self):
        lab = self.lab
        lab.run(BALANCER, "sh", "-ec", f"""
            cd /proc/sys/net/ipv4
            echo 1 > ip_forward
            echo 0 > conf/all/send_redirects
            echo 0 > conf/eth0/send_redirects
            ip address add {VIP}/16 dev eth0""")
        lab.run(BALANCER, "nft", "-f", "-", input=RULES.format(
            vip=VIP, port=PORT, n=len(self.weights), server_port=SERVER_PORT,
            servers=", ".join(f"{i} : {host.ip}"
                              for i, host in enumerate(self.hosts()))))
        for host in self.hosts():
            lab.run(host.name, "ip", "route", "add",
                    f"{lab.hosts[CLIENT].ip}/32", "via",
                    lab.hosts[BALANCER].ip)

    def addresses(self, n):
        """Replies go back the same way, whatever the client's address."""
        sources = super().addresses(n)
        network = ".".join(sources[0].split(".")[:2]) + ".0.0/16"
        for host in self.hosts():
            self.lab.run(host.name, "ip", "route", "replace", network, "via",
                         self.lab.hosts[BALANCER].ip)
        return sources
