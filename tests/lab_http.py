# SPDX-License-Identifier: Apache-2.0
"""HTTP servers and clients in a lab: nginx, and one request at a time."""

import http.client
import json
import os
import socket

import lab_capture
from lab import wait_for

NGINX_CONF = """\
user root;
daemon off;
master_process off;
worker_rlimit_nofile {files};
pid {prefix}.pid;
error_log {prefix}.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    {keepalive}
    client_body_temp_path {prefix}-body;
    proxy_temp_path {prefix}-proxy;
    fastcgi_temp_path {prefix}-fastcgi;
    uwsgi_temp_path {prefix}-uwsgi;
    scgi_temp_path {prefix}-scgi;
    server {{
        listen {port} backlog={connections};
        root {root};
        location {location} {{ return 200 "{name}\\n"; }}
        location = /metrics {{
            default_type application/json;
            alias {metrics};
        }}
    }}
}}
"""


class HttpServer:
    """An nginx on 'host' that answers with 'name', and those who ask for
    /metrics with what was last told to say() on that host.  With 'root', only
    "/" is the name and else there are the files of that directory, and
    connections stay.  Stops with the lab, or by stop()."""

    def __init__(self, lab, host, port, name, root=None, connections=2048):
        prefix = f"{lab.rundir}/nginx-{host}-{port}"
        self.metrics = f"{lab.rundir}/metrics-{host}.json"
        path = lab.write(NGINX_CONF.format(
            prefix=prefix, port=port, name=name, metrics=self.metrics,
            root=root or "/nonexistent", location="= /" if root else "/",
            keepalive=("keepalive_requests 1000000;" if root
                       else "keepalive_timeout 0;"),
            connections=connections, files=2 * connections),
                         f"{os.path.basename(prefix)}.conf")
        with open(f"{prefix}.err", "w") as stderr:
            self.process = lab.popen(host, "nginx", "-c", path, stderr=stderr)
        wait_for(lambda: f":{port} " in lab.run(host, "ss", "-Hltn").stdout,
                 f"nginx on {host}")

    def say(self, **metrics):
        with open(f"{self.metrics}.new", "w") as file:
            json.dump(metrics, file)
        os.rename(f"{self.metrics}.new", self.metrics)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def ask(lab, host, vip, port, timeout=3.0):
    """Sends one request from 'host', over a connection of its own.  Returns
    the first line of the answer and the client's port."""
    connection = http.client.HTTPConnection(vip, port)
    connection.sock = lab_capture.socket_in(
        lab.hosts[host].netns_path, socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(timeout)
        connection.sock.connect((vip, port))
        client_port = connection.sock.getsockname()[1]
        connection.request("GET", "/")
        body = connection.getresponse().read().decode()
    finally:
        connection.close()
    return body.split("\n")[0], client_port
