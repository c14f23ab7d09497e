# SPDX-License-Identifier: Apache-2.0
"""Two sites that stand in for each other, each with its own switch: what
examples/two-sites.yaml promises."""

import contextlib
import json
import os
import threading
import time

import pytest
import yaml

from lab import wait_for
from lab_monitor import Monitor
from lab_sites import sites
from lab_slots import settle

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

SRCDIR = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__),
                                               ".."))

# What "interval", "fast_interval", "fall" and "timeout" of the example come to,
# 0.1 s for the update, and what the machine may add.
BOUND = 0.5 + 0.25 * (4 - 1) + 0.25 + 0.1
MARGIN = 3


@pytest.fixture(scope="module")
def both():
    with sites() as pair:
        running = {}
        for site in pair:
            for name in site.servers:
                running[name] = site.serve(name, 8080)
        yield *pair, running


def example(site):
    name = "two-sites" if site.name == "east" else "two-sites-west"
    return os.path.join(SRCDIR, "examples", f"{name}.yaml")


def served(site, n=200, vip=None, **options):
    """Who serves the client of 'site', once the datapath has followed."""
    settle(site)
    traffic = site.connect("c1", vip or site.vip, 80, n, timeout=1.0,
                           **options)
    assert not traffic.failures
    return {name for name, count in traffic.items() if count}


def status(site):
    text = site.lbgen("status", "-b", "br0", "--json").stdout
    return {s["name"]: s for s in json.loads(text)["pools"][0]["servers"]}


@pytest.fixture
def applied(both):
    """Both files are on their bridges."""
    for site in both[:2]:
        result = site.lbgen("apply", example(site))
        assert not result.stderr
    yield both
    for site in both[:2]:
        site.lbgen("delete", "--all", "-b", "br0")


def test_each_serves_its_own(applied):
    east, west, _ = applied
    assert served(east) == {"e1", "e2"}
    assert served(west) == {"w1", "w2"}
    # From outside, through the router.
    assert served(west, vip=east.vip) == {"e1", "e2"}


def test_failover_and_back(applied):
    """All servers of the east die; its clients are served by the west, and by
    the east again when that is back.  The west notices nothing."""
    east, west, running = applied
    monitors = [Monitor(site, example(site)) for site in (east, west)]
    try:
        for monitor in monitors:
            monitor.wait_states(e1="up", e2="up", w1="up", w2="up")
        assert served(east) == {"e1", "e2"}
        # One of them is no reason to leave.
        running["e1"].stop()
        monitors[0].wait_states(e1="down")
        assert served(east) == {"e2"}

        running["e2"].stop()
        died = time.monotonic()
        wait_for(lambda: east.connect("c1", east.vip, 80, 1, timeout=0.2)
                 .failures == 0, "the other site")
        took = time.monotonic() - died
        print(f"served by the other site after {took:.2f} s")
        assert took < BOUND + MARGIN
        assert served(east) == {"w1", "w2"}
        # Both switches agree on who is alive, each for its own clients.
        assert served(west) == {"w1", "w2"}
        monitors[1].wait_states(e1="down", e2="down")
        # Who comes from the other site is sent back there: by the address of
        # the VIP, or the answers would not pass here.
        assert served(west, vip=east.vip, peer=east.vip) == {"w1", "w2"}
        explained = east.lbgen("explain", "-b", "br0", "web",
                               east.hosts["c1"].ip).stdout
        assert "server e1 is down (Connection refused)" in explained
        assert "server w1" in explained

        for name in "e1", "e2":
            running[name] = east.serve(name, 8080)
        monitors[0].wait_states(e1="up", e2="up")
        wait_for(lambda: served(east) == {"e1", "e2"}, "the way back")
        assert served(west) == {"w1", "w2"}
    except BaseException:
        print(*(monitor.log() for monitor in monitors), sep="\n")
        raise
    finally:
        for monitor in monitors:
            monitor.stop()


# Slots when the east keeps half of its connections, and all.
HALF = {"e1": 64, "e2": 64, "w1": 64, "w2": 64}
WHOLE = {"e1": 128, "e2": 128, "w1": 0, "w2": 0}


def with_threshold(site, **weights):
    """The example with other "weights", which go all the way at once."""
    with open(example(site)) as file:
        content = yaml.safe_load(file)
    content["pools"][0]["weights"] = {
        "policy": "threshold", "smoothing": 0, "max_step": 1, "max_move": 1,
        "interval": 1, "timeout": 0.5, **weights}
    return site.write(content)


def split(site, n=3000):
    """The part that each site serves, in percent, and requests that failed."""
    settle(site)
    traffic = site.connect("c1", site.vip, 80, n)
    total = sum(traffic.values())
    return {letter: 100 * sum(count for name, count in traffic.items()
                              if name.startswith(letter)) / total
            for letter in "ew"}, traffic.failures


def assert_redirected(site):
    shares, failures = split(site)
    print(f"split {shares['e']:.1f}/{shares['w']:.1f}, {failures} failed")
    # Of 3000, five standard deviations.
    assert abs(shares["e"] - 50) < 4.6 and failures == 0
    assert slots(site) == HALF


def slots(site):
    return {name: s["slots"] for name, s in status(site).items()}


def refresh(site, path):
    site.lbgen("refresh", path)


def load_by_cpu(site, busy):
    for name in "e1", "e2", "w1", "w2":
        cpu = 95 if busy and name.startswith("e") else 10
        site.write({"cpu": cpu / 100}, name)


def test_redirected_by_cpu(both):
    east = both[0]
    path = with_threshold(east, cpu=0.9, **{"from": [
        {"file": f"{east.rundir}/{{name}}", "values": {"cpu": "cpu"}}]})
    load_by_cpu(east, False)
    east.lbgen("apply", path)
    refresh(east, path)
    assert split(east, 500) == ({"e": 100, "w": 0}, 0)
    load_by_cpu(east, True)
    refresh(east, path)
    assert_redirected(east)
    refresh(east, path)
    assert_redirected(east)     # And there it stays.
    says = "east is too busy: 50.00% of its new connections go to those " \
        "behind it"
    assert f"  {says}\n" in east.lbgen("status", "-b", "br0").stdout
    assert f"note     {says}\n" in east.lbgen(
        "explain", "-b", "br0", "web", east.hosts["c1"].ip).stdout
    # An apply keeps it, and what is installed is what lbgen would install.
    east.lbgen("apply", path)
    assert east.lbgen("diff", path).stdout == ""
    assert_redirected(east)
    load_by_cpu(east, False)
    refresh(east, path)
    assert split(east, 500) == ({"e": 100, "w": 0}, 0)
    assert "too busy" not in east.lbgen("status", "-b", "br0").stdout
    east.lbgen("delete", "--all", "-b", "br0")


@contextlib.contextmanager
def requests(site):
    """One client that asks all the time."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            site.connect("c1", site.vip, 80, 200)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def round_of(site, path):
    """A refresh, of counters that the switch has had the time to update."""
    time.sleep(1.5)
    refresh(site, path)
    return slots(site)


def test_redirected_by_packets(both):
    """Rather more than 20 a second to each server, and then nothing."""
    east = both[0]
    path = with_threshold(east, packets=20)
    east.lbgen("apply", path)
    refresh(east, path)
    with requests(east):
        wait_for(lambda: round_of(east, path) == HALF, "the load")
        # Half of it is still too much to take the rest back.
        assert [round_of(east, path) for _ in range(2)] == [HALF, HALF]
    assert_redirected(east)
    wait_for(lambda: round_of(east, path) == WHOLE, "the end of the load")
    assert split(east, 100) == ({"e": 100, "w": 0}, 0)
    east.lbgen("delete", "--all", "-b", "br0")


def test_redirected_by_connections(both):
    """60 open connections for two servers, of which 25 each are allowed."""
    east = both[0]
    path = with_threshold(east, connections=25)
    east.lbgen("apply", path)
    east.appctl("dpctl/flush-conntrack")
    refresh(east, path)
    held = east.hold("c1", east.vip, 80, 60)
    refresh(east, path)
    assert slots(east) == HALF
    assert held.ping().alive == 60      # Nobody is moved.
    more = east.connect("c1", east.vip, 80, 200)
    assert more.failures == 0 and min(more["w1"], more["w2"]) > 20
    held.close()
    east.lbgen("delete", "--all", "-b", "br0")
