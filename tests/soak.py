# SPDX-License-Identifier: Apache-2.0
"""A day of lbgen monitor in minutes.

    ./dev soak [SECONDS]        # by default 480

All that happens to a monitor in its life happens to one here, all the time:
124 servers are checked ten times a second, a third of them flaps, weights are
refreshed, metrics scraped, files changed, with mistakes at times, flows
deleted, and the switch is killed.  Prints its memory, descriptors and children
over time, and ends with status 1 if they grow once the first quarter is
over."""

import json
import os
import random
import statistics
import sys
import time

from lab import Lab, wait_for
from lab_monitor import Monitor, join_bridge

SECONDS = 480
METRICS = 9878
HOSTS, PORTS = 4, 30            # Servers that flap: on so many ports of each.

# What memory may grow by after the first quarter, in kB.  What libraries keep
# for the next time differs from moment to moment.
MAX_GROWTH = 1024

# Descriptors more that a busy moment may have.
MAX_BUSY = 5

# Runs on a host: listens on its ports, and does not on some for a while.
SERVERS = """
import random, selectors, socket, sys, time
first, n = map(int, sys.argv[1:])
rng = random.Random(first)
selector = selectors.DefaultSelector()
sockets = {}
def listen(port):
    s = socket.create_server(("0.0.0.0", port), backlog=64)
    s.setblocking(False)
    sockets[port] = s
    selector.register(s, selectors.EVENT_READ)
for port in range(first, first + n):
    listen(port)
change = time.monotonic() + 2
while True:
    for key, _ in selector.select(0.2):
        try:
            key.fileobj.accept()[0].close()
        except OSError:
            pass
    if time.monotonic() > change:
        change = time.monotonic() + rng.uniform(0.5, 3)
        for port in range(first, first + n // 3):
            up = rng.random() < 0.6
            if up and port not in sockets:
                listen(port)
            elif not up and port in sockets:
                selector.unregister(sockets[port])
                sockets.pop(port).close()
"""

SCRAPE = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{METRICS}/metrics",
                             timeout=20).read().decode())
"""


class Soak:
    """The lab and its monitor."""

    def __init__(self, lab):
        self.lab = lab
        self.rng = random.Random(1)
        self.samples = []
        self.figures = {}
        lab.expect_crash = True
        join_bridge(lab)
        lab.run(lab.netns, "ip", "link", "set", "lo", "up")
        for name in lab.servers:
            lab.serve(name, 8080)
            lab.popen(name, "python3", "-c", SERVERS, 9000, PORTS)
        self.say_load()
        self.path = lab.write(self.file(), "soak.yaml")
        self.monitor = Monitor(lab, self.path, "--metrics", METRICS,
                               "--metrics-file", f"{lab.rundir}/metrics.prom")
        self.monitor.wait_states(s1="up", s2="up", s3="up", s4="up")
        self.begin = time.monotonic()

    def file(self, **more):
        """Pools whose weights differ from time to time."""
        check = {"type": "tcp", "interval": "100ms", "fall": 2, "rise": 1}
        web = self.lab.pool([self.rng.randint(1, 5) for _ in range(HOSTS)],
                            server_port=8080, check=check)
        web["weights"] = {
            "policy": "adaptive", "interval": 1, "timeout": 0.5,
            "slow_start": 3, "smoothing": 0,
            "from": [{"file": f"{self.lab.rundir}/load-{{name}}"}]}
        servers = [{"name": f"{host}-{port}", "ip": self.lab.hosts[host].ip,
                    "mac": self.lab.hosts[host].mac,
                    "interface": self.lab.hosts[host].port, "port": port}
                   for host in self.lab.servers
                   for port in range(9000, 9000 + PORTS)]
        many = {"name": "many", "vip": "10.0.0.101", "port": 80, "panic": 50,
                "check": {**check, "fall": 1}, "servers": servers}
        return {"bridge": "br0", "fallback": "normal", "pools": [web, many],
                **more}

    def say_load(self):
        for name in self.lab.servers:
            self.lab.write({"stress": self.rng.random()}, f"load-{name}")

    # What happens.

    def reload(self, content=None):
        with open(f"{self.path}.new", "w") as file:
            json.dump(content or self.file(), file)
        os.rename(f"{self.path}.new", self.path)

    def reload_with_mistake(self):
        self.reload(self.file(fallback="abnormal"))

    def delete_flows(self):
        self.lab.ofctl("del-flows", "br0", check=False)

    def use(self):
        self.lab.connect("c1", "10.0.0.100", 80, 100, timeout=0.3)

    def scrape(self):
        text = self.lab.run(self.lab.netns, "python3", "-c", SCRAPE).stdout
        self.figures = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                        for line in text.split("\n")
                        if line and not line.startswith("#")}

    def kill_switch(self):
        self.lab.restart_switch(kill=True)
        wait_for(lambda: self.lab.run(self.lab.netns, "ip", "link", "show",
                                      "br0", check=False).returncode == 0,
                 "the bridge")
        self.lab.run(self.lab.netns, "sh", "-c", """
            ip address replace 10.0.9.1/16 dev br0; ip link set br0 up""",
                     check=False)

    EVENTS = [(say_load, 1), (scrape, 1.5), (use, 1), (reload, 3),
              (delete_flows, 7), (reload_with_mistake, 11), (kill_switch, 20)]

    # What is looked at.

    def sample(self):
        pid = self.monitor.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = len(file.read().split())
        # Without those of checks that are under way.
        fds = min(self.n_fds() for _ in range(50))
        self.samples.append((time.monotonic() - self.begin,
                             self.monitor.memory(), fds, children))
        self.print_sample()

    def n_fds(self):
        time.sleep(0.004)
        return self.monitor.n_fds()

    def total(self, name):
        return int(sum(value for key, value in self.figures.items()
                       if key.split("{")[0] == f"lbgen_{name}_total"))

    def print_sample(self):
        at, memory, fds, children = self.samples[-1]
        print(f"{at:8.0f} {memory:10d} {fds:5d} {children:9d} "
              + " ".join(f"{self.total(name):>{len(title)}d}"
                         for title, name in COLUMNS), flush=True)

    def run(self, seconds):
        due = [self.begin + self.rng.uniform(0, every)
               for _, every in self.EVENTS]
        step = max(1.0, seconds / 24)
        next_sample = self.begin + step
        while time.monotonic() < self.begin + seconds:
            for i, (event, every) in enumerate(self.EVENTS):
                if time.monotonic() >= due[i]:
                    event(self)
                    due[i] = time.monotonic() + every
            assert self.monitor.process.poll() is None, self.monitor.log()
            if time.monotonic() >= next_sample:
                self.sample()
                next_sample += step
            time.sleep(0.05)

    def judge(self):
        """Complaints, and what there is to say of memory."""
        quarter = len(self.samples) // 4
        early = self.samples[quarter:2 * quarter]
        late = self.samples[-quarter:]
        memory = [statistics.median(s[1] for s in part)
                  for part in (early, late)]
        print(f"memory {memory[0]:.0f} kB, later {memory[1]:.0f} kB; "
              f"descriptors {min(s[2] for s in early)}, later "
              f"{min(s[2] for s in late)}")
        complaints = []
        if memory[1] > memory[0] + MAX_GROWTH:
            complaints.append("memory grows")
        if min(s[2] for s in late) > min(s[2] for s in early) + MAX_BUSY:
            complaints.append("descriptors grow")
        if min(s[3] for s in late) > 1:
            complaints.append("children do not end")
        for _, name in COLUMNS:
            if not self.total(name):
                complaints.append(f"nothing of {name} has happened")
        return complaints


COLUMNS = [("   checks", "check"), ("deaths", "health_transitions"),
           ("applies", "applies"), ("repairs", "repairs"),
           ("reloads", "reloads"), ("refused", "reload_failures"),
           ("refreshes", "refreshes")]


def soak(seconds):
    """Returns complaints."""
    print(f"{'seconds':>8} {'memory, kB':>10} {'fds':>5} {'children':>9} "
          + " ".join(title for title, _ in COLUMNS), flush=True)
    with Lab(servers=HOSTS, clients=1) as lab:
        run = Soak(lab)
        run.run(seconds)
        run.scrape()
        complaints = run.judge()
        run.monitor.stop()
    return complaints


if __name__ == "__main__":
    found = soak(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
    sys.exit("; ".join(found) if found else 0)
