# SPDX-License-Identifier: Apache-2.0
"""Changes in a busy switch: nobody notices but those who must."""

import itertools
import json
import threading
import time

import pytest

from lab_slots import wait_revalidated

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
HELD = 1000
APPLIES = 50
RATE = 500                      # New connections per second.


class Background(threading.Thread):
    """Makes RATE new connections per second from c2 until it is stopped."""

    def __init__(self, lab):
        super().__init__()
        self.lab = lab
        self.stopped = threading.Event()
        self.made = self.failures = 0
        self.seconds = 0.0
        self.reasons = {}

    def run(self):
        begin = time.monotonic()
        while not self.stopped.is_set():
            traffic = self.lab.connect("c2", VIP, 80, RATE // 5,
                                       concurrency=16)
            self.made += RATE // 5
            self.failures += traffic.failures
            for reason, n in traffic.reasons.items():
                self.reasons[reason] = self.reasons.get(reason, 0) + n
            self.seconds = time.monotonic() - begin
            self.stopped.wait(max(0, self.made / RATE - self.seconds))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def steps(lab):
    """Ever again: weights up and down, a server added and removed, drained
    and readied.  Yields what to run, and whether a server goes."""
    def apply(weights):
        path = lab.pool_yaml(weights, server_port=8080)
        return lambda: lab.lbgen("apply", path)

    def override(command):
        return lambda: lab.lbgen(command, "web/s2", "-b", "br0")

    three = {"s1": 3, "s2": 2, "s3": 2}
    return itertools.cycle([
        (apply({**three, "s1": 9}), False),
        (apply({**three, "s3": 1}), False),
        (apply({**three, "s4": 2}), False),
        (override("drain"), False),
        (apply(three), True),
        (override("ready"), False),
    ])


def test_tracked(make_lab, capsys):
    """1,000 connections that go on, 500 new ones per second, 50 changes."""
    lab = make_lab(servers=4, clients=2)
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.lbgen("apply", lab.pool_yaml({"s1": 3, "s2": 2, "s3": 2},
                                     server_port=8080))
    held = lab.hold("c1", VIP, 80, HELD)
    before = held.ping()
    assert before.alive == HELD
    slowest = 0.0
    removals = 0
    with Background(lab) as background:
        for change, removes in itertools.islice(steps(lab), APPLIES):
            change()
            removals += removes
            begin = time.monotonic()
            ping = held.ping()
            slowest = max(slowest, time.monotonic() - begin)
            assert ping.alive == HELD, ping
            assert (ping.reset, ping.stalled, ping.moved) == (0, 0, 0)
    assert ping.servers == before.servers
    with capsys.disabled():
        print(f"\n{APPLIES} changes under {HELD} connections and "
              f"{background.made} new ones, "
              f"{background.made / background.seconds:.0f} per second: "
              f"0 resets, 0 stalls, 0 on another server; all answered within "
              f"{slowest:.2f} s; "
              f"{background.failures} of the new ones failed, with "
              f"{removals} removals of a server {background.reasons or ''}")
    assert slowest < 2.9            # Else it was no answer to the client.
    # Only who is just connecting to the server that goes.
    assert background.failures <= removals * 16
    assert background.made > 1000


def test_stateless(lab, capsys):
    """What breaks is what diff foretold."""
    for server in lab.servers:
        lab.serve(server, 8080)

    def pool(*weights):
        return lab.pool_yaml(list(weights), server_port=8080,
                             connections="stateless", guard=False)

    lab.lbgen("apply", pool(3, 2, 2))
    lines = []
    for weights in (4, 2, 2), (4, 1, 2), (1, 1, 1), (1, 1):
        held = lab.hold("c1", VIP, 80, HELD)
        assert held.ping().alive == HELD
        diff = json.loads(lab.lbgen("diff", "--json", pool(*weights),
                                    check=2).stdout)
        foretold = diff["pools"][0]["moved_share"]
        lab.lbgen("apply", pool(*weights))
        wait_revalidated(lab)
        ping = held.ping()
        hit = HELD - ping.alive
        margin = 5 * (foretold * (1 - foretold) / HELD) ** 0.5
        assert abs(hit / HELD - foretold) <= margin
        lines.append(f"weights {weights}: foretold {foretold:.1%}, broken "
                     f"{hit / HELD:.1%} of {HELD}")
        held.close()
    with capsys.disabled():
        print("\n" + "\n".join(lines))
