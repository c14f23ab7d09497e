# SPDX-License-Identifier: Apache-2.0
"""Turns: which there are, and in what order.  With traffic: test_round_robin
and test_affinity."""

import json
import os
import random
import subprocess
from collections import Counter

import pytest

import turn_model

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LBTEST = os.environ.get("LBTEST", os.path.join(TOP, "tests", "lbtest"))


def pool(weights, **keys):
    return {"name": "web", "vip": "10.0.0.100", "port": 80,
            "policy": "round-robin", **keys,
            "servers": [{"name": f"s{i + 1}", "ip": f"10.1.{i // 250}."
                         f"{i % 250 + 1}", "weight": weight}
                        for i, weight in enumerate(weights)]}


def turns(*pools):
    """Names of servers, a list for each pool."""
    text = "".join(json.dumps(p) + "\n" for p in pools)
    out = subprocess.run([LBTEST, "turns"], input=text, text=True, check=True,
                         capture_output=True).stdout
    return [line.split() for line in out.split("\n")[:-1]]


def names(indexes):
    return [f"s{i + 1}" for i in indexes]


@pytest.mark.parametrize("weights, expected", [
    ([1, 1, 1], "s1 s2 s3"),
    ([3, 2, 2], "s1 s2 s3 s1 s2 s3 s1"),
    ([5, 1, 1], "s1 s1 s2 s1 s3 s1 s1"),        # nginx's own example.
    ([70, 30], "s1 s2 s1 s1 s1 s2 s1 s1 s2 s1"),
    ([60, 40], "s1 s2 s1 s2 s1"),
    ([1, 0, 1], "s1 s3"),
    ([65535, 65535], "s1 s2"),
    ([7], "s1"),
    ([0, 0], ""),
])
def test_golden(weights, expected):
    assert " ".join(turns(pool(weights))[0]) == expected


def test_against_the_model():
    """Weights whose shares are exact: the order is that of the model."""
    rng = random.Random(4)
    cases = []
    while len(cases) < 400:
        weights = [rng.choice((0, 1, 1, 2, 3, 5, 10, 20, 50))
                   * rng.choice((1, 1, 100)) for _ in range(rng.randint(1, 12))]
        if turn_model.quotas(weights) and any(weights):
            cases.append(weights)
    got = turns(*map(pool, cases))
    for weights, order in zip(cases, got, strict=True):
        assert order == names(turn_model.order(turn_model.quotas(weights)))


def test_more_than_slots():
    """Where exact shares take more turns than there are slots, there are that
    many, each share less than a turn off, in the order of the model."""
    rng = random.Random(5)
    cases = [[rng.randint(1, 65535) for _ in range(rng.randint(2, 40))]
             for _ in range(60)]
    got = turns(*map(pool, cases))
    for weights, order in zip(cases, got, strict=True):
        count = Counter(order)
        quotas = [count[f"s{i + 1}"] for i in range(len(weights))]
        assert len(order) == 256
        assert order == names(turn_model.order(quotas))
        for quota, weight in zip(quotas, weights):
            assert quota == 1 or abs(quota - 256 * weight
                                     / sum(weights)) < 1.0001


def test_slots_are_the_most_turns():
    few, many = turns(pool([100, 99], slots=64), pool([100, 99]))
    assert len(few) == 64 and len(many) == 199


def test_many_servers():
    order, = turns(pool([1] * 1000, slots=1024))
    assert order == [f"s{i + 1}" for i in range(1000)]


def test_sets():
    """Three servers together 60 %, two together 40 %."""
    p = pool([1] * 5)
    p["servers"] = [
        {"set": "a", "weight": 60, "servers": p["servers"][:3]},
        {"set": "b", "weight": 40, "servers": p["servers"][3:]}]
    assert turns(p) == [["s1", "s2", "s3", "s4", "s5"]]
    p["servers"][0]["weight"] = 90
    p["servers"][1]["weight"] = 10
    count = Counter(turns(p)[0])
    assert count == {"s1": 6, "s2": 6, "s3": 6, "s4": 1, "s5": 1}


def test_smooth():
    """Between two turns of a server there are never more than one more or
    fewer turns than its share would have there be, give or take one."""
    weights = [3, 2, 2, 9, 16]
    order, = turns(pool(weights))
    for i, weight in enumerate(weights):
        places = [turn for turn, name in enumerate(2 * order)
                  if name == f"s{i + 1}"]
        gaps = [b - a for a, b in zip(places, places[1:])]
        assert max(gaps) <= 2 * sum(weights) / weight
