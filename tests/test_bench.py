# SPDX-License-Identifier: Apache-2.0
"""As fast and as small as promised.

Other tests run at the same time.  So what lbgen does alone is measured in
processor time, and what it does with the switch has room."""

import pytest

import bench
from lab import Lab

pytestmark = [pytest.mark.switch, pytest.mark.traffic]


def is_sanitized():
    with open(Lab.lbgen_path(), "rb") as program:
        return b"__asan_init" in program.read()


def test_goals_for_100_pools():
    """With factor 2 of slack; sanitizers are slow and big."""
    slack = 20 if is_sanitized() else 2
    results, processor = bench.measure(100)
    bench.print_table({100: results})
    for name, goal in bench.GOALS.items():
        got = (processor if name in ("check", "export") else results)[name]
        assert got < slack * goal, name


def test_nothing_grows_faster_than_the_file():
    """Ten times the pools take ten times as long, and not a hundred times."""
    few, many = (bench.measure(n, repeat=1)[1] for n in (20, 200))
    for name, seconds in many.items():
        assert seconds < 25 * few[name] + .1, name
