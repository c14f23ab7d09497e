# SPDX-License-Identifier: Apache-2.0
"""Smooth weighted round robin, written a second time and another way.

The C code keeps a credit for each server (policies/round-robin.c).  This model
keeps none: after t turns a server of weight w that has had n of them is owed
t * w / total - n, and the one that is owed most once this turn is counted gets
it.  Exact fractions, so ties are ties: they go to the first in the file."""

from fractions import Fraction
from functools import reduce
from math import gcd


def order(quotas):
    """The turns of servers with these numbers of them, as indexes."""
    total = sum(quotas)
    had = [0] * len(quotas)
    turns = []
    for turn in range(1, total + 1):
        owed = [Fraction(turn * quota, total) - n
                for quota, n in zip(quotas, had)]
        turns.append(owed.index(max(owed)))
        had[turns[-1]] += 1
    return turns


def quotas(weights, most=256):
    """Numbers of turns, or None if exact shares would take too many."""
    divisor = reduce(gcd, weights, 0) or 1
    exact = [weight // divisor for weight in weights]
    return exact if sum(exact) <= most else None
