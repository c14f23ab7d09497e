# SPDX-License-Identifier: Apache-2.0
"""How long a service is away when its server dies.

Two sites of one server each, in a pool of policy failover.  One client makes
requests, each on a new connection, one after the other and as fast as it can.
In the middle the first site's server is killed, and the second one takes over.

T_un is the time from the death to the first answer of the second site.  What
it is depends on where between two checks the server dies, so rounds spread
that evenly over the interval; the table has the round with the median T_un,
and the worst T_un of all."""

import statistics
import subprocess
import time

from bench import settings
from bench.report import Table, say
from lab import Lab, wait_for
from lab_monitor import Monitor, join_bridge, slots

VIP = "10.0.0.100"
TIMEOUT = 0.1                   # Seconds, of checks.
MARGIN = 0.1                    # To change the switch.

# Seconds that the client waits for an answer, and before it tries again.
PATIENCE = 0.2
PAUSE = 0.001

CLIENT = """
import socket, sys, time
end = time.monotonic() + float(sys.argv[1])
out = []
while time.monotonic() < end:
    who = "-"
    try:
        with socket.create_connection((sys.argv[2], 80),
                                      float(sys.argv[3])) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\\x01\\0\\0\\0\\0\\0\\0\\0")
            s.sendall(b"x\\n")
            who = s.recv(100).decode() or who
    except OSError:
        time.sleep(float(sys.argv[4]))
    out.append(f"{time.monotonic()} {who}")
print("\\n".join(out))
"""

# Answers with its name.
SERVER = """
import socket, sys, threading
s = socket.create_server(("0.0.0.0", 8080), backlog=512)
def serve(c):
    try:
        with c:
            c.recv(100)
            c.sendall(sys.argv[1].encode())
    except OSError:
        pass
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""


class Row:
    """One way to notice a death.  't_h' is None if the switch does, without
    lbgen; 'theirs' is what has been measured of an OpenFlow controller that
    does the same (HA and load balancing across two sites, Floodlight)."""

    def __init__(self, what, t_h, n, fast=None, host_dies=False, theirs=None):
        self.what = what
        self.t_h, self.n, self.fast = t_h, n, fast
        self.host_dies = host_dies
        self.theirs = theirs
        self.patience = PATIENCE if t_h else 0.03

    def bound(self):
        """The longest that T_un may be."""
        if self.t_h is None:
            return MARGIN
        pace = self.t_h if self.fast is None else max(self.fast, TIMEOUT)
        return self.t_h + (self.n - 1) * pace + TIMEOUT + MARGIN


ROWS = [
    Row("server killed", 2, 10, theirs=24.72),
    Row("server killed", 2, 5, theirs=9.88),
    Row("server killed", 1, 5, theirs=5.09),
    Row("server killed", 0.5, 5, theirs=3.25),
    Row("server killed", 0.1, 3),
    Row("the same, fast_interval 0.1", 2, 5, fast=0.1),
    Row("the same, fast_interval 0.1", 0.5, 5, fast=0.1),
    Row("its host dies", 0.5, 5, host_dies=True),
    Row("its host dies, watch: link, no monitor", None, None, host_dies=True),
]


class Stage:
    """The lab, with a server in each site."""

    def __init__(self, lab):
        self.lab = lab
        join_bridge(lab)
        self.running = {}
        for name in lab.servers:
            self.serve(name)

    def serve(self, name):
        self.running[name] = self.lab.popen(name, "python3", "-c", SERVER,
                                           name)
        wait_for(lambda: self.lab.run(name, "ss", "-Hltn", "sport = :8080")
                 .stdout, "the server")

    def file(self, row):
        pool = self.lab.pool([1, 1], server_port=8080, policy="failover",
                             watch="none" if row.t_h else "link")
        if row.t_h:
            pool["check"] = {"type": "tcp", "interval": row.t_h, "fall": row.n,
                             "timeout": f"{TIMEOUT * 1000:.0f}ms", "rise": 1}
            if row.fast:
                pool["check"]["fast_interval"] = row.fast
        for name in "interval", "fast_interval":
            if name in pool.get("check", {}):
                pool["check"][name] = f"{pool['check'][name] * 1000:.0f}ms"
        first, second = pool["servers"]
        pool["servers"] = [{"set": "here", "servers": [first]},
                           {"set": "there", "servers": [second]}]
        return self.lab.file(pool, fallback="normal")

    def kill(self, row):
        """Returns when that was."""
        died = time.monotonic()
        if row.host_dies:
            self.lab.set_link("s1", False)
        else:
            self.running["s1"].kill()
        return died

    def revive(self, row, monitor):
        if row.host_dies:
            self.lab.set_link("s1", True)
        else:
            self.running["s1"].wait()
            self.serve("s1")
        if monitor:
            monitor.wait_states(s1="up", s2="up")
            wait_for(lambda: slots(self.lab)["s1"] == 256, "the first site")
        wait_for(lambda: self.lab.run("c1", "python3", "-c", CLIENT, 0.1, VIP,
                                      PATIENCE, PAUSE).stdout.count(" s1\n"),
                 "service")


def measure(stage, row, phase, length=None):
    """One death.  'phase' is where in the interval, 0 to 1, and 'length' how
    many seconds the requests go on, unless twice as long as needed."""
    length = length or 2 * (row.bound() + 2)
    client = stage.lab.popen("c1", "python3", "-c", CLIENT, length, VIP,
                             row.patience, PAUSE, stdout=subprocess.PIPE,
                             text=True)
    time.sleep(length / 2 - phase * (row.t_h or 0))
    died = stage.kill(row)
    requests = [(float(at), who) for at, who in
                (line.split() for line in
                 client.communicate()[0].splitlines())]
    good = sum(who != "-" for _, who in requests)
    t_un = min(at for at, who in requests if who == "s2") - died
    return {"elapsed": requests[-1][0] - requests[0][0],
            "requests": len(requests),
            "success": 100 * good / len(requests),
            "fail": 100 - 100 * good / len(requests),
            "t_un": t_un, "t_h": row.t_h, "n": row.n}


def measure_row(stage, row, rounds, length=None):
    path = stage.file(row)
    monitor = None
    if row.t_h:
        monitor = Monitor(stage.lab, path)
        monitor.wait_states(s1="up", s2="up")
    else:
        stage.lab.lbgen("apply", path)
    figures = []
    for i in range(rounds):
        figures.append(measure(stage, row, i / rounds, length))
        stage.revive(row, monitor)
    if monitor:
        monitor.stop()
    stage.lab.lbgen("delete", "--all", "-b", "br0")
    return figures


def run():
    """Measures all and prints the table.  Returns the figures."""
    rounds = min(settings.ROUNDS, 3)
    table = Table("", "elapsed", "requests", "success %", "fail %", "T_un",
                  "T_h", "n", "worst T_un", "at most", "S4's T_un")
    results = []
    with Lab(servers=2, clients=1) as lab:
        stage = Stage(lab)
        for row in ROWS:
            if not settings.wants(row.what):
                continue
            figures = measure_row(stage, row, rounds, settings.FAILOVER)
            middle = sorted(figures, key=lambda f: f["t_un"])[rounds // 2]
            worst = max(f["t_un"] for f in figures)
            results.append({"what": row.what, "fast_interval": row.fast,
                            "bound": row.bound(), "theirs": row.theirs,
                            "median": statistics.median(
                                f["t_un"] for f in figures),
                            "worst": worst, "rounds": figures})
            table.row(row.what, f"{middle['elapsed']:.2f}",
                      middle["requests"], f"{middle['success']:.2f}",
                      f"{middle['fail']:.2f}", f"{middle['t_un']:.2f}",
                      row.t_h or "", row.n or "", f"{worst:.2f}",
                      f"{row.bound():.2f}", row.theirs or "")
    table.print()
    late = [r["what"] for r in results if r["worst"] > r["bound"]]
    say(f"\n  T_un above what it may be: {', '.join(late) or 'never'}")
    return results
