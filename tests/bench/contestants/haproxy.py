# SPDX-License-Identifier: Apache-2.0
from bench.contestants.base import Contestant
from bench.stage import PORT, SERVER_PORT, VIP

BALANCER = "s9"

CONFIG = """
global
    maxconn 1000
    stats socket {dir}/haproxy.sock
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option splice-auto
listen web
    bind {vip}:{port} backlog 4096
    balance roundrobin
"""


class Haproxy(Contestant):
    """A proxy on a host on the same bridge.  Servers see its address."""

    name = "haproxy"
    what = "HAProxy in TCP mode on a host with the VIP"
    programs = ("haproxy",)
    helpers = (BALANCER,)

    def set_up(self):
        lab = self.lab
        lab.run(BALANCER, "ip", "address", "add", f"{VIP}/16", "dev", "eth0")
        lab.run(BALANCER, "sh", "-ec", """
            cd /proc/sys/net
            echo 1024 65000 > ipv4/ip_local_port_range
            echo 4096 > core/somaxconn""")
        servers = "".join(
            f"    server {host.name} {host.ip}:{SERVER_PORT}\n"
            for host in self.hosts())
        path = lab.write(CONFIG.format(dir=lab.rundir, vip=VIP, port=PORT)
                         + servers, "haproxy.cfg")
        self.spawn(BALANCER, "haproxy", "-db", "-f", path)
