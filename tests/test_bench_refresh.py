# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/refresh.py measures, in short: weights by load are worth
it where servers are of unequal strength."""

import pytest

from bench import refresh

pytestmark = [pytest.mark.switch, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=2, clients=1)
    refresh.start(lab)
    return lab


def test_sblb_against_random(lab):
    """At least the gain of the SBLB paper, 1.25, and use that is closer
    together."""
    policies = refresh.policies(refresh.netns_pattern(lab))
    # Quiet, it is 1.8 times; others may take the processor for a while.
    for _ in range(3):
        random, sblb = (refresh.measure(lab, policies[name], 4, settle=8)
                        for name in ("random", "sblb, capacity 3:1"))
        print(random, sblb)
        if sblb["rate"] > 1.25 * random["rate"]:
            break
    assert sblb["rate"] > 1.25 * random["rate"]
    assert sblb["mean"] < random["mean"]

    def distance(figures):
        return abs(figures["use"][0] - figures["use"][1])

    assert distance(sblb) < distance(random)
