# SPDX-License-Identifier: Apache-2.0
"""What the user says, in the environment."""

import os


def _words(name):
    return [word for word in os.environ.get(name, "").replace(",", " ").split()
            if word]


# Seconds of one measurement of new connections.  The others take half of it.
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))

# How often each contestant has its turn.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))

# Names of contestants, all if it is empty.
ONLY = _words("BENCH_ONLY")


def wants(*names):
    """Whether BENCH_ONLY, if it says anything, has one of 'names': whole, with
    hyphens for spaces, or one word of it."""
    known = {word for name in names
             for word in (name.replace(" ", "-"), *name.split())}
    return not ONLY or not known.isdisjoint(ONLY)


# Connections in the chapter on balance.
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "100000"))

# Numbers of pools in the chapter on the control plane.
POOLS = [int(word) for word in _words("BENCH_POOLS")] or [
    1, 10, 100, 1000, 5000]

# Seconds of requests for each death in the chapter on failover; by default
# twice as long as it may take to notice.
FAILOVER = float(os.environ.get("BENCH_FAILOVER", "0")) or None

# Where the results go as JSON.
JSON = os.environ.get("BENCH_JSON", "bench.json")
