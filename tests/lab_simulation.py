# SPDX-License-Identifier: Apache-2.0
"""Rounds of refresh without a switch and without a clock.  See
tests/lbtest-refresh.c."""

import json
import os
import subprocess
import time

LBTEST = os.environ.get("LBTEST", "tests/lbtest")

START = int(time.time())       # Files have times as well.
INTERVAL = 60

ADAPTIVE = {"policy": "adaptive"}
CPU_ONLY = {"policy": "sblb", "cpu": 1, "memory": 0, "network": 0}


class Server:
    def __init__(self, line):
        rest, self.why, self.complaint = line.split("|")
        (self.name, old_weight, weight, old_slots, slots,
         missing) = rest.split()
        self.old_weight, self.weight = float(old_weight), float(weight)
        self.old_slots, self.slots = int(old_slots), int(slots)
        self.missing = missing == "1"


class Round:
    def __init__(self, lines):
        self.changed, self.remembers, self.frozen = (
            word == "1" for word in lines[0].split())
        self.servers = {server.name: server
                        for server in map(Server, lines[1:])}

    def __getitem__(self, name):
        return self.servers[name]

    def share(self, name):
        return self[name].slots / sum(s.slots for s in self.servers.values())

    @property
    def moved(self):
        return sum(max(0, s.old_slots - s.slots)
                   for s in self.servers.values())


class Simulation:
    """A pool whose servers say what 'rounds' is told."""

    def __init__(self, path, weights, file_weights, capacities=(), **pool):
        self.path = path
        self.now = START
        stderr = open(path / "stderr", "w")
        self.stderr = open(path / "stderr")
        servers = [{"name": f"s{i + 1}", "ip": f"10.0.0.{i + 1}",
                    "mac": f"02:00:00:00:00:{i + 1:02x}",
                    "interface": f"{i + 1}", "weight": weight}
                   for i, weight in enumerate(file_weights)]
        for server, capacity in zip(servers, capacities):
            server["capacity"] = capacity
        self.names = [server["name"] for server in servers]
        if "from" not in weights and weights["policy"] != "static":
            weights = {**weights, "from": [{"file": f"{path}/{{name}}"}]}
        file = path / "pool.yaml"
        file.write_text(json.dumps({"pools": [{
            "name": "web", "vip": "10.0.0.100", "port": 80,
            "weights": weights, **pool, "servers": servers}]}))
        self.process = subprocess.Popen(
            [LBTEST, "refresh", file], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=stderr)
        stderr.close()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()
        self.stderr.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def messages(self):
        """What was said since the last time."""
        return self.stderr.read()

    def say(self, name, text):
        path = self.path / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
            # Time in here goes its own way, files' must as well.
            os.utime(path, (self.now, self.now))

    def round(self, samples=None, after=INTERVAL):
        """One round, in which servers say what 'samples' maps their names to:
        metrics as fractions, text, or None for nothing."""
        self.now += after
        for name, sample in (samples or {}).items():
            if isinstance(sample, dict):
                sample = {key: value * 100 if key in ("cpu", "memory")
                          else value for key, value in sample.items()}
                sample = json.dumps({"timestamp": self.now, **sample})
            self.say(name, sample)
        self.tell(f"round {self.now}")
        lines = []
        while not lines or lines[-1] != ".":
            line = self.process.stdout.readline()
            assert line, "lbtest died"
            lines.append(line.rstrip("\n"))
        return Round(lines[:-1])


def stress(*values):
    return {f"s{i + 1}": {"stress": value} if isinstance(value, float)
            else value for i, value in enumerate(values)}


def cpu(*values):
    return {f"s{i + 1}": {"cpu": value} for i, value in enumerate(values)}
