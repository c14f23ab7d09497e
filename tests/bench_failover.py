# SPDX-License-Identifier: Apache-2.0
"""How long a service is away when its server dies, with lbgen monitor.

    make bench-failover [BENCH_ARGS="0.5,5 0.1,3"]

One client, which has one server (policy sticky), makes requests one after the
other as fast as it can.  Its server is killed in the middle.  Columns: elapsed
seconds; requests; percent that succeeded and failed; T_un, the seconds from the
death to the first success after it; T_h, seconds between checks; n, failures in
a row that make a server dead.  T_un is to be at most T_h n + timeout + 0.1."""

import json
import subprocess
import sys
import time

from lab import Lab, wait_for
from lab_monitor import Monitor, join_bridge, states

VIP = "10.0.0.100"
TIMEOUT = 0.1

# Runs in the client's namespace: prints "TIME OK" for each request.
CLIENT = """
import socket, sys, time
end = time.monotonic() + float(sys.argv[1])
out = []
while time.monotonic() < end:
    ok = 0
    try:
        with socket.create_connection(("10.0.0.100", 80), 0.2) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\\x01\\0\\0\\0\\0\\0\\0\\0")
            s.sendall(b"x\\n")
            ok = int(bool(s.recv(100)))
    except OSError:
        time.sleep(0.001)
    out.append(f"{time.monotonic()} {ok}")
print("\\n".join(out))
"""

ECHO = """
import socket, threading
s = socket.create_server(("0.0.0.0", 8080), backlog=512)
def serve(c):
    try:
        with c:
            c.sendall(c.recv(100))
    except OSError:
        pass
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""


def run(lab, t_h, n):
    servers = {name: lab.popen(name, "python3", "-c", ECHO)
               for name in lab.servers}
    path = lab.file(lab.pool([1, 1], server_port=8080, policy="sticky", check={
        "type": "tcp", "interval": f"{t_h * 1000:.0f}ms", "fall": n,
        "timeout": f"{TIMEOUT * 1000:.0f}ms"}), fallback="normal")
    monitor = Monitor(lab, path)
    monitor.wait_states(**{name: "up" for name in servers})
    text = lab.lbgen("explain", "-b", "br0", "--json", "web",
                     "10.0.1.1").stdout
    victim = find_server(json.loads(text), servers)
    length = t_h * n + 4
    client = lab.popen("c1", "python3", "-c", CLIENT, length,
                       stdout=subprocess.PIPE, text=True)
    time.sleep(1.7)
    died = time.monotonic()
    servers[victim].kill()
    lines = [line.split() for line in client.communicate()[0].splitlines()]
    monitor.stop()
    for server in servers.values():
        server.kill()
        server.wait()
    lab.lbgen("delete", "--all", "-b", "br0")
    times = [(float(t), ok == "1") for t, ok in lines]
    first = min(t for t, ok in times if not ok and t > died)
    back = min(t for t, ok in times if ok and t > first)
    good = sum(ok for _, ok in times)
    return (times[-1][0] - times[0][0] + 0.001, len(times),
            100 * good / len(times), back - died)


def find_server(value, names):
    """The name of the server in what explain says."""
    if isinstance(value, dict):
        for key in ("server", "name"):
            if value.get(key) in names:
                return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = find_server(item, names)
            if found:
                return found
    return None


def main():
    settings = sys.argv[1:] or ["2,10", "2,5", "1,5", "0.5,5", "0.1,3"]
    print(f"{'elapsed':>8} {'requests':>9} {'success %':>10} {'fail %':>8} "
          f"{'T_un':>7} {'T_h':>5} {'n':>3} {'bound':>7}")
    with Lab(servers=2, clients=1) as lab:
        join_bridge(lab)
        for setting in settings:
            t_h, n = setting.split(",")
            t_h, n = float(t_h), int(n)
            elapsed, requests, good, t_un = run(lab, t_h, n)
            print(f"{elapsed:8.2f} {requests:9d} {good:10.2f} "
                  f"{100 - good:8.2f} {t_un:7.2f} {t_h:5.1f} {n:3d} "
                  f"{t_h * n + TIMEOUT + 0.1:7.2f}", flush=True)


if __name__ == "__main__":
    main()
