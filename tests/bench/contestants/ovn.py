# SPDX-License-Identifier: Apache-2.0
from bench.contestants.base import Contestant
from bench.ovn_central import OvnCentral
from bench.stage import CLIENT, PORT, SERVER_PORT, VIP

GATEWAYS = {"clients": ("10.0.1.254", "02:00:00:00:ff:01"),
            "servers": ("10.0.0.254", "02:00:00:00:ff:00")}


def switch(name, hosts):
    """Commands for a logical switch with hosts, and its leg of the router."""
    ip, mac = GATEWAYS[name]
    words = ["--", "ls-add", name,
             "--", "lrp-add", "router", f"to-{name}", mac, f"{ip}/24",
             "--", "lsp-add", name, f"{name}-leg",
             "--", "lsp-set-type", f"{name}-leg", "router",
             "--", "lsp-set-addresses", f"{name}-leg", "router",
             "--", "lsp-set-options", f"{name}-leg", f"router-port=to-{name}"]
    for host in hosts:
        words += ["--", "lsp-add", name, host.name,
                  "--", "lsp-set-addresses", host.name,
                  f"{host.mac} {host.ip}"]
    return words


class Ovn(Contestant):
    """OVN's load balancer where it costs least: on the logical switch of the
    client, so that the servers' has no connection tracking.  A router is
    between them, as OVN wants it for addresses of another network."""

    name = "ovn"
    what = "OVN's load balancer on the client's logical switch"
    programs = ("ovn-nbctl", "ovn-northd", "ovn-controller")

    def set_up(self):
        lab = self.lab
        self.central = OvnCentral(lab)
        self.processes = self.central.processes()
        servers = [lab.hosts[name] for name in lab.servers]
        self.central.nbctl(
            "lr-add", "router", *switch("clients", [lab.hosts[CLIENT]]),
            *switch("servers", servers),
            "--", *self._balancer(), "--", "ls-lb-add", "clients", "web")
        for host in (lab.hosts[CLIENT], *servers):
            lab.vsctl("set", "interface", host.port,
                      f"external_ids:iface-id={host.name}")
            self._move(host)
        self.central.nbctl("--wait=hv", "--timeout=30", "sync")

    def _balancer(self):
        return ["--may-exist", "lb-add", "web", f"{VIP}:{PORT}", ",".join(
            f"{host.ip}:{SERVER_PORT}" for host in self.hosts()), "tcp"]

    def reweight(self, weights):
        """OVN knows no weights: only who takes part."""
        self.weights = weights
        self.central.nbctl("--wait=hv", *self._balancer())

    def addresses(self, n):
        lab = self.lab
        lab.run(CLIENT, "ip", "route", "add", "local", "10.77.0.0/16", "dev",
                "lo")
        self.central.nbctl("--wait=hv", "lr-route-add", "router",
                           "10.77.0.0/16", lab.hosts[CLIENT].ip)
        return [f"10.77.{i // 250}.{i % 250 + 1}" for i in range(n)]

    def _move(self, host):
        """From one network for all to a network and a gateway."""
        side = "clients" if host.name == CLIENT else "servers"
        self.lab.run(host.name, "sh", "-ec", f"""
            ip address flush dev eth0
            ip address add {host.ip}/24 dev eth0
            ip route add default via {GATEWAYS[side][0]}""")
