# SPDX-License-Identifier: Apache-2.0
"""Chapter 2: shares asked for and what came of them, with real connections."""

import contextlib

from bench import settings
from bench.contestants.base import Unavailable
from bench.contestants.lbgen import Lbgen
from bench.contestants.naive import Naive
from bench.contestants.ovn import Ovn
from bench.report import Table, say
from bench.stage import CLIENT, PORT, VIP

CLIENTS = 1000          # Addresses that connections come from.

# What is asked for.  OVN has no weights.
CASES = [(Lbgen, {"name": "lbgen wrr", "what": ""}, (3, 2, 2)),
         (Naive, {}, (3, 2, 2)),
         (Lbgen, {"name": "lbgen wrr", "what": ""}, (10, 1, 1, 1, 1)),
         (Naive, {}, (10, 1, 1, 1, 1)),
         (Naive, {"name": "naive hash", "method": "hash"}, (10, 1, 1, 1, 1)),
         (Lbgen, {"name": "lbgen random", "what": "", "policy": "random"},
          (1, 1, 1)),
         (Lbgen, {"name": "lbgen sticky", "what": "", "policy": "sticky"},
          (3, 2, 2)),
         (Lbgen, {"name": "lbgen round-robin", "what": "",
                  "policy": "round-robin"}, (1, 1, 1)),
         (Ovn, {}, (1, 1, 1))]


def measure(make, arguments, weights, n, clients=CLIENTS):
    """Makes 'n' connections.  Returns a mapping for the JSON."""
    contestant = make(**arguments)
    contestant.weights = {f"s{i + 1}": w for i, w in enumerate(weights)}
    with contextlib.ExitStack() as stack:
        contestant.start(stack, names=True)
        sources = contestant.addresses(clients)
        traffic = contestant.lab.connect(CLIENT, VIP, PORT, n,
                                         sources=sources)
    got = {name: traffic[name] / traffic.total()
           for name in contestant.weights}
    asked = {name: weight / sum(weights)
             for name, weight in contestant.weights.items()}
    return {"name": contestant.name, "weights": weights, "asked": asked,
            "got": got, "connections": traffic.total(),
            "failures": traffic.failures,
            "error": max(abs(got[name] - asked[name]) for name in got)}


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    results = []
    for case in CASES:
        try:
            results.append(measure(*case, settings.CONNECTIONS))
        except Unavailable as e:
            say(f"  {case[1].get('name', 'ovn')}: left out, {e}")
    table = Table("", "weights", "asked %", "got %", "worst error",
                  "failed")
    for r in results:
        table.row(r["name"], ":".join(map(str, r["weights"])),
                  *(" ".join(f"{100 * share:.2f}" for share in r[key].values())
                    for key in ("asked", "got")), f"{100 * r['error']:.2f}",
                  r["failures"])
    table.print()
    say(f"  {settings.CONNECTIONS} connections each from {CLIENTS} addresses; "
        "the worst error is in points of 100")
    return results
