# SPDX-License-Identifier: Apache-2.0
from bench.contestants.base import Contestant
from bench.stage import PORT, SERVER_PORT, VIP, VIP_MAC


class Naive(Contestant):
    """What one types by hand after reading ovs-ofctl(8): one bucket for each
    server, replies rewritten and left to NORMAL."""

    name = "naive"
    what = "a dp_hash group typed by hand, replies by NORMAL"

    def __init__(self, name="naive", method="dp_hash"):
        super().__init__()
        self.name = name
        self.method = method

    def group(self):
        buckets = "".join(
            f",bucket=weight:{self.weights[host.name]},"
            f"actions=set_field:{host.mac}->eth_dst,"
            f"set_field:{host.ip}->ip_dst,"
            f"set_field:{SERVER_PORT}->tcp_dst,output:{host.ofport}"
            for host in self.hosts())
        return f"group_id=1,type=select,selection_method={self.method}" \
               f"{buckets}"

    def lines(self):
        yield f"group add {self.group()}"
        yield f"flow add priority=100,tcp,nw_dst={VIP},tp_dst={PORT}," \
              f"actions=group:1"
        for host in map(self.lab.hosts.get, self.lab.servers):
            yield f"flow add priority=100,tcp,nw_src={host.ip}," \
                  f"tp_src={SERVER_PORT}," \
                  f"actions=set_field:{VIP_MAC}->eth_src," \
                  f"set_field:{VIP}->ip_src,set_field:{PORT}->tcp_src,NORMAL"
        yield "flow add priority=0,actions=NORMAL"

    def send(self, lines):
        self.lab.run(None, "ovs-ofctl", "-O", "OpenFlow15", "bundle",
                     f"unix:{self.lab.rundir}/br0.mgmt", "-",
                     input="\n".join(lines) + "\n")

    def set_up(self):
        self.send(self.lines())
        self.know_vip()

    def reweight(self, weights):
        self.weights = weights
        self.send([f"group modify {self.group()}"])
