# SPDX-License-Identifier: Apache-2.0
"""Policies: shares, what slots are picked by, parameters."""

import os
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LBTEST = os.environ.get("LBTEST", os.path.join(TOP, "tests", "lbtest"))


def lbtest(*args):
    return subprocess.run([LBTEST, *map(str, args)], text=True, check=True,
                          capture_output=True).stdout.strip()


def test_list():
    """The default is first: files depend on it."""
    assert lbtest("policies").split("\n") == [
        "wrr 0",
        "random 1",
        "sticky 0 prefix=1..32:32 prefix6=1..128:128 low_bits=false",
        "round-robin 0",
        "failover 0 preempt=true",
    ]


@pytest.mark.parametrize("args, expected", [
    (("wrr", "-", 3, 2, 0, 65535), "connection 0 3 2 0 65535"),
    (("wrr", "-"), "connection 0"),
    (("random", "-", 3, 1, 0, 65535), "connection 0 1 1 0 1"),
    (("sticky", "-", 3, 2, 0), "client 32 3 2 0"),
    (("sticky", 24, 3, 2, 0), "client 24 3 2 0"),
    (("round-robin", "-", 3, 2, 0), "turn 0 3 2 0"),
    (("failover", "-", 3, 0, 1), "connection 0 3 0 1"),
])
def test_distribute(args, expected):
    assert lbtest("distribute", *args) == expected


def test_unknown_policy():
    with pytest.raises(subprocess.CalledProcessError):
        lbtest("distribute", "weighted", "-", 1)
