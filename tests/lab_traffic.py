# SPDX-License-Identifier: Apache-2.0
"""Servers and clients of a lab, and what to expect of their numbers.

The work is done by a C program; traffic.h describes the protocol.
"""

import math
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, field


def program():
    """traffic is built beside lbtest."""
    here = os.path.dirname(os.path.abspath(__file__))
    lbtest = os.environ.get("LBTEST", os.path.join(here, "lbtest"))
    return os.path.join(os.path.dirname(lbtest), "traffic")


class Server:
    """A server process in a host.  Stops with the lab, or by stop()."""

    def __init__(self, lab, host, port, proto, name, address):
        self.name = name
        self.log = f"{lab.rundir}/{host}-{proto}-{port}.log"
        self.process = lab.popen(
            host, program(), "serve", name, proto, address, port, self.log,
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"server {name} on {host} does not start")

    def peers(self):
        """Counter of client addresses, one for each connection (TCP) or
        datagram (UDP) so far."""
        with open(self.log) as log:
            return Counter(line.split()[0] for line in log)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Traffic(Counter):
    """Which server answered how many connections.  Those that failed are not
    counted: see 'failures', and 'reasons' for why."""

    def __init__(self, lines=()):
        super().__init__()
        self.reasons = Counter()
        self.by_source = {}     # Client address -> Counter of servers.
        self.by_connection = {}     # (client address, port) -> server.
        for line in lines:
            source, port, result = line.split()
            if result.startswith("!"):
                self.reasons[result[1:]] += 1
            else:
                self[result] += 1
                self.by_source.setdefault(source, Counter())[result] += 1
                self.by_connection[source, int(port)] = result

    @property
    def failures(self):
        return sum(self.reasons.values())

    def __repr__(self):
        return f"Traffic({dict(self)}, reasons={dict(self.reasons)})"


@dataclass
class Ping:
    """What became of connections that are held open."""
    alive: int = 0              # Answered by the server of old.
    moved: int = 0              # Answered by another server.
    reset: int = 0              # Reset, refused or closed.
    stalled: int = 0            # No answer, or could not be opened in time.
    servers: Counter = field(default_factory=Counter)


class Hold:
    """Connections that stay open until close(), or the end of the lab."""

    def __init__(self, lab, host, arguments, sources):
        self.process = lab.popen(
            host, program(), "hold", *arguments, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.process.stdin.write("\n".join(sources) + "\n\n")
        self.process.stdin.flush()
        self.first = self._read()
        self.opened = Traffic(self.first)

    def _read(self):
        lines = []
        for line in self.process.stdout:
            if line == "end\n":
                return lines
            lines.append(line)
        raise RuntimeError("the client that holds connections has died")

    def ping(self):
        """Asks on all connections at once.  Returns a Ping."""
        self.process.stdin.write("ping\n")
        self.process.stdin.flush()
        result = Ping()
        for before, after in zip(self.first, self._read()):
            before, after = before.split()[2], after.split()[2]
            if after in ("!no-answer", "!no-connection", "!timeout"):
                result.stalled += 1
            elif after.startswith("!"):
                result.reset += 1
            else:
                result.servers[after] += 1
                if before == after:
                    result.alive += 1
                else:
                    result.moved += 1
        return result

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def connect(lab, host, arguments, sources, limit):
    """Runs one client to its end.  Returns Traffic."""
    client = lab.run(host, program(), "connect", *arguments,
                     input="\n".join(sources) + "\n\n", timeout=limit)
    lines = client.stdout.split("\n")
    if lines[-2:] != ["end", ""]:
        raise RuntimeError(f"the client stopped half-way: {client.stderr}")
    return Traffic(lines[:-2])


def assert_shares(counter, weights, n=None, slots=256, errors=5):
    """Fails unless the servers' parts of 'counter' are those of 'weights', a
    mapping from names or a list for s1, s2 and so on.

    Allowed are the slot that a quota may be off by, which is less than one
    (largest remainder), and 'errors' standard errors of 'n' connections that
    each pick a slot by chance.  'n' is how many there must be, by default
    all."""
    if not isinstance(weights, dict):
        weights = {f"s{i + 1}": w for i, w in enumerate(weights)}
    got_all = sum(counter.values())
    assert got_all > 0
    assert n is None or got_all == n, f"{got_all} of {n} served: {counter!r}"
    assert set(counter) <= set(weights), f"unknown server: {counter!r}"
    total = sum(weights.values())
    for name, weight in weights.items():
        asked = weight / total
        got = counter[name] / got_all
        if not weight:
            assert not counter[name], f"{name} has weight 0: {counter!r}"
            continue
        quantum = 1 / slots
        # The error of the share that the slots really give.
        wide = max((p * (1 - p) for p in (max(asked - quantum, 0), asked,
                                          min(asked + quantum, 1))))
        margin = quantum + errors * math.sqrt(wide / got_all)
        assert abs(got - asked) <= margin, (
            f"{name} got {got:.4f}, asked {asked:.4f} +- {margin:.4f} of "
            f"{got_all}: {counter!r}")


def in_order(traffic):
    """The servers of one client's connections, in the order that it began
    them, which is that of its source ports."""
    assert not traffic.failures
    return [traffic.by_connection[key]
            for key in sorted(traffic.by_connection, key=lambda k: k[1])]
