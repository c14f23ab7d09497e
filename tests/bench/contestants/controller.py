# SPDX-License-Identifier: Apache-2.0
import json
import os

from bench.contestants.base import Contestant
from bench.stage import PORT, SERVER_PORT, VIP, VIP_MAC
from lab import wait_for

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                   "controller_app.py")


class Controller(Contestant):
    """An OpenFlow controller that meets each connection's first packet, as
    lab exercises and the POX and Floodlight modules do it."""

    name = "controller"
    what = "an os-ken controller: packet-in and two flows per connection"
    programs = ("osken-manager",)
    fail_mode = "secure"

    def set_up(self):
        lab = self.lab
        config = {"vip": VIP, "vip_mac": VIP_MAC, "port": PORT, "servers": [
            {"ip": host.ip, "mac": host.mac, "ofport": host.ofport,
             "port": SERVER_PORT} for host in self.hosts()]}
        lab.env["BENCH_CONTROLLER"] = json.dumps(config)
        lab.run(lab.netns, "ip", "link", "set", "lo", "up")
        self.spawn(lab.netns, "osken-manager", "--ofp-listen-host",
                   "127.0.0.1", APP)
        wait_for(lambda: ":6653 " in lab.run(lab.netns, "ss", "-Hltn").stdout,
                 "the controller", 20)
        lab.vsctl("set", "bridge", "br0", "protocols=OpenFlow13,OpenFlow15",
                  "other_config:disable-in-band=true", "--",
                  "set-controller", "br0", "tcp:127.0.0.1:6653", "--", "set",
                  "controller", "br0", "max_backoff=1000")
