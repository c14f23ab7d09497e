# SPDX-License-Identifier: Apache-2.0
"""Chapter 3: which part of the connections would land on another server after
a change.

The same connections, by address and port, are made before and after.  What the
switch knows of them is forgotten in between, so each is a new one to it.
Maglev is computed, with its table of 65537 entries.
"""

import contextlib
import hashlib

from bench import settings
from bench.contestants.base import Unavailable
from bench.contestants.lbgen import Lbgen
from bench.contestants.naive import Naive
from bench.contestants.ovn import Ovn
from bench.report import Table, say
from bench.stage import CLIENT, PORT, VIP
from lab import FIRST_SOURCE_PORT

CONNECTIONS = 4000
MAGLEV_SIZE = 65537

BASE = {f"s{i + 1}": 2 for i in range(10)}
CHANGES = {
    "remove one of 10": {name: w for name, w in BASE.items() if name != "s4"},
    "add one to 10": {**BASE, "s11": 2},
    "halve one weight of 10": {**BASE, "s4": 1},
}

CONTESTANTS = [(Lbgen, {"name": "lbgen", "what": ""}),
               (Naive, {"name": "naive dp_hash"}),
               (Naive, {"name": "naive hash", "method": "hash"}),
               (Ovn, {})]


def ideal(after):
    """What has to move: the sum of what servers gain."""
    before_total, after_total = sum(BASE.values()), sum(after.values())
    return sum(max(weight / after_total - BASE.get(name, 0) / before_total, 0)
               for name, weight in after.items())


def moved(before, after):
    """The part of 'before', a mapping, that is another in 'after'."""
    common = [key for key in before if key in after]
    return sum(before[key] != after[key] for key in common) / len(common)


class Prober:
    """Asks one contestant the same questions again and again."""

    def __init__(self, contestant, n):
        self.contestant = contestant
        self.n = n
        self.sources = contestant.addresses(100)

    def ask(self, weights):
        """Who gets which connection, with these weights."""
        contestant, lab = self.contestant, self.contestant.lab
        contestant.reweight(weights)
        for command in ("dpctl/flush-conntrack", "revalidator/purge"):
            lab.appctl(command)
        lab.hosts[CLIENT].next_source_port = FIRST_SOURCE_PORT
        return lab.connect(CLIENT, VIP, PORT, self.n,
                           sources=self.sources).by_connection


def measure(contestant, n=CONNECTIONS):
    """Returns a mapping from changes to the part that moves."""
    contestant.weights = dict(BASE)
    with contextlib.ExitStack() as stack:
        contestant.start(stack, names=True, more_servers=1)
        prober = Prober(contestant, n)
        results = {}
        for change, weights in CHANGES.items():
            if contestant.name == "ovn" and set(weights) == set(BASE):
                continue
            before = prober.ask(BASE)
            results[change] = moved(before, prober.ask(weights))
    return results


# Maglev: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
# Balancer", NSDI 2016, section 3.4.

def _permutation(name):
    digest = hashlib.sha256(name.encode()).digest()
    offset = int.from_bytes(digest[:8], "big") % MAGLEV_SIZE
    skip = int.from_bytes(digest[8:16], "big") % (MAGLEV_SIZE - 1) + 1
    return offset, skip


def maglev(weights):
    """Returns the table: each server takes as many entries of its permutation
    per turn as its weight says."""
    state = {name: _permutation(name) for name in weights}
    table = [None] * MAGLEV_SIZE
    left = MAGLEV_SIZE
    while True:
        for name, weight in weights.items():
            at, skip = state[name]
            for _ in range(weight):
                while table[at] is not None:
                    at = (at + skip) % MAGLEV_SIZE
                table[at] = name
                left -= 1
                if not left:
                    return table
            state[name] = at, skip


def measure_maglev():
    before = dict(enumerate(maglev(BASE)))
    return {change: moved(before, dict(enumerate(maglev(weights))))
            for change, weights in CHANGES.items()}


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    results = {"what has to move": {change: ideal(weights)
                                    for change, weights in CHANGES.items()}}
    for make, arguments in CONTESTANTS:
        contestant = make(**arguments)
        if not settings.wants(contestant.name):
            continue
        try:
            results[contestant.name] = measure(contestant)
        except Unavailable as e:
            say(f"  {contestant.name}: left out, {e}")
    if settings.wants("maglev"):
        results["maglev (computed)"] = measure_maglev()
    table = Table("moved, %", *CHANGES)
    for name, result in results.items():
        table.row(name, *(f"{100 * result[change]:.1f}"
                          if change in result else "" for change in CHANGES))
    table.print()
    say(f"  {CONNECTIONS} connections each; OVN has no weights")
    return results
