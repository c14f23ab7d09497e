# SPDX-License-Identifier: Apache-2.0
"""Where contestants perform: a switch of their own with three nginx servers
and one client, all of them as tests/lab.py makes them."""

import contextlib

from lab import Lab
from lab_http import HttpServer

VIP = "10.0.0.100"
VIP_MAC = "02:6c:0a:00:00:64"
PORT = 80
SERVER_PORT = 8080
CLIENT = "c1"
PROCESSES = 3       # Of the client, side by side: see ab.py.
BIG = 16            # MiB, of the file that bulk is measured with.

CLIENT_SETTINGS = """
    cd /proc/sys/net
    echo 1024 65000 > ipv4/ip_local_port_range
    echo 4096 > core/somaxconn
"""


class Stage(Lab):
    """A lab with web servers, unless 'names' is true: then these are servers
    that only say who they are, for lab.connect().  'helpers' are more hosts
    for a contestant that needs one to stand in."""

    def __init__(self, servers, helpers=(), fail_mode="standalone",
                 names=False):
        super().__init__(servers=servers, clients=1, fail_mode=fail_mode)
        self.helpers = list(helpers)
        self.names = names

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            super().__enter__()
            stack.push(super().__exit__)
            if self.helpers:
                self.add_hosts(self.helpers)
            if self.names:
                for name in self.servers:
                    self.serve(name, SERVER_PORT)
            else:
                self._start_nginx()
            self.run(CLIENT, "sh", "-ec", CLIENT_SETTINGS)
            stack.pop_all()
        return self

    def _start_nginx(self):
        with open(f"{self.rundir}/big", "wb") as file:
            file.truncate(BIG << 20)
        for name in self.servers:
            self.run(name, "sysctl", "-qw", "net.core.somaxconn=4096")
            HttpServer(self, name, SERVER_PORT, name, root=self.rundir,
                       connections=4096)

    def forget(self, process):
        """One that has ended is none to end with the lab."""
        self._processes.remove(process)

    def answers(self, target):
        """Whether one request is answered."""
        return not self.run(CLIENT, "ab", "-q", "-s", "1", "-n", "1",
                            f"http://{target}/", check=False).returncode
