# SPDX-License-Identifier: Apache-2.0
"""Where contestants perform: a switch of their own with three nginx servers
and one client, all of them as tests/lab.py makes them."""

import contextlib

from lab import Lab, wait_for

VIP = "10.0.0.100"
VIP_MAC = "02:6c:0a:00:00:64"
PORT = 80
SERVER_PORT = 8080
CLIENT = "c1"
PROCESSES = 3       # Of the client, side by side: see ab.py.
BIG = 16            # MiB, of the file that bulk is measured with.

NGINX_CONF = """\
user root;
daemon off;
master_process off;
worker_rlimit_nofile 8192;
pid {dir}/nginx-{name}.pid;
error_log {dir}/nginx-{name}.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/nginx-{name}-body;
    proxy_temp_path {dir}/nginx-{name}-proxy;
    fastcgi_temp_path {dir}/nginx-{name}-fastcgi;
    uwsgi_temp_path {dir}/nginx-{name}-uwsgi;
    scgi_temp_path {dir}/nginx-{name}-scgi;
    server {{
        listen {port} backlog=4096;
        root {dir};
        location = / {{ return 200 "{name}\\n"; }}
    }}
}}
"""

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
            path = self.write(NGINX_CONF.format(
                dir=self.rundir, name=name, port=SERVER_PORT),
                f"nginx-{name}.conf")
            with open(f"{self.rundir}/nginx-{name}.err", "w") as stderr:
                self.run(name, "sysctl", "-qw", "net.core.somaxconn=4096")
                self.popen(name, "nginx", "-c", path, stderr=stderr)
            wait_for(lambda name=name: f":{SERVER_PORT} " in self.run(
                name, "ss", "-Hltn").stdout, f"nginx on {name}")

    def forget(self, process):
        """One that has ended is none to end with the lab."""
        self._processes.remove(process)

    def answers(self, target):
        """Whether one request is answered."""
        return not self.run(CLIENT, "ab", "-q", "-s", "1", "-n", "1",
                            f"http://{target}/", check=False).returncode
