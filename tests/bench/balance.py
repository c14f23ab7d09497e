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

WEIGHTS = [(1, 1, 1), (2, 1), (3, 2, 2), (5, 3, 2), (100, 100, 5),
           (10, 1, 1, 1, 1)]


def lbgen_case(policy, weights):
    return (Lbgen, {"name": f"lbgen {policy}", "what": "", "policy": policy},
            weights)


# What is asked for.  OVN has no weights, and neither has random.
CASES = [
    *(lbgen_case("wrr", weights) for weights in WEIGHTS),
    *((Naive, {}, weights) for weights in WEIGHTS),
    *((Naive, {"name": "naive hash", "method": "hash"}, weights)
      for weights in ((2, 1), (3, 2, 2), (10, 1, 1, 1, 1))),
    *((Ovn, {}, weights) for weights in ((1, 1, 1), (1, 1, 1, 1, 1))),
    *(lbgen_case("random", weights)
      for weights in ((1, 1, 1), (1, 1, 1, 1, 1))),
    *(lbgen_case("sticky", weights)
      for weights in ((1, 1, 1), (3, 2, 2), (10, 1, 1, 1, 1))),
    *(lbgen_case("round-robin", weights)
      for weights in ((1, 1, 1), (3, 2, 2))),
    lbgen_case("failover", (1, 1, 1)),
]


def asked_share(contestant, name):
    """What a server should get, 0 to 1."""
    weights = contestant.weights
    if getattr(contestant, "keys", {}).get("policy") == "failover":
        return float(name == "s1")
    return weights[name] / sum(weights.values())


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
    asked = {name: asked_share(contestant, name)
             for name in contestant.weights}
    return {"name": contestant.name, "weights": weights, "asked": asked,
            "got": got, "connections": traffic.total(),
            "failures": traffic.failures,
            "error": max(abs(got[name] - asked[name]) for name in got)}


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    results = []
    for case in CASES:
        name = case[1].get("name", case[0].name)
        if not settings.wants(name):
            continue
        try:
            results.append(measure(*case, settings.CONNECTIONS))
        except Unavailable as e:
            say(f"  {name}: left out, {e}")
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
