# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor: what states of servers mean to clients, and what is said of
them."""

import json
import time

import pytest

from lab import wait_for
from lab_monitor import slots, status
from lab_slots import settle
from test_monitor import CHECK, VIP, module_site, site    # noqa: F401

pytestmark = pytest.mark.switch


def explain(lab, *args):
    return lab.lbgen("explain", "-b", "br0", *args, "web",
                     f"{lab.hosts['c1'].ip}:20000").stdout


def explain_json(lab):
    explained = json.loads(explain(lab, "--json"))
    return explained, {s["name"]: s for s in explained["servers"]}


# What is said

def test_explain_says_who_is_down(site):     # noqa: F811
    lab = site.lab
    with site.monitor(site.file([1, 1, 1, 1], panic=50)) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up", s4="starting")
        new = "server s4 is starting (Connection refused) and gets no " \
            "connections before it passes a check"
        wait_for(lambda: new in explain(lab), "the error of s4")
        site.kill("s2")
        monitor.wait_states(s2="down")
        wait_for(lambda: slots(lab)["s2"] == 0, "slots")
        dead = "server s2 is down (Connection refused) and gets no new " \
            "connections"
        text = explain(lab)
        assert f"note     {dead}\n" in text and f"note     {new}\n" in text
        assert "server s1 is" not in text
        explained, servers = explain_json(lab)
        assert {dead, new} <= set(explained["notes"])
        assert servers["s2"]["slots"] == 0
        # In the words of status, to the second.
        assert {name: server["health"] for name, server in servers.items()} \
            == {name: server["health"]
                for name, server in status(lab).items()}
        assert servers["s2"]["health"]["error"] == "Connection refused"
        assert servers["s2"]["health"]["out"]

        # Nobody is left out of a pool that panics, and that is said too.
        site.kill("s3")
        monitor.wait_states(s3="down")
        site.kill("s1")
        monitor.wait_states(s1="down")
        panics = "server s2 is down (Connection refused) and counts as up, " \
            "because so many are"
        wait_for(lambda: panics in explain(lab), "panic")
        assert new in explain(lab)
        assert not explain_json(lab)[1]["s2"]["health"]["out"]

        site.serve("s1", "s2", "s3", "s4")
        monitor.wait_states(s1="up", s2="up", s3="up", s4="up")
        wait_for(lambda: "is down" not in explain(lab)
                 and "is starting" not in explain(lab), "peace")


def test_explain_says_that_nobody_is_left(site):     # noqa: F811
    lab = site.lab
    with site.monitor(site.file([1, 1], check={**CHECK, "fall": 1})) \
            as monitor:
        monitor.wait_states(s1="up", s2="up")
        site.kill("s1")
        site.kill("s2")
        monitor.wait_states(s1="down", s2="down")
        wait_for(lambda: set(slots(lab).values()) == {0}, "slots")
        explained, _ = explain_json(lab)
        assert (explained["answer"], explained["server"]) == ("none", None)
        assert [n for n in explained["notes"] if " is down (" in n] == [
            f"server {s} is down (Connection refused) and gets no new "
            "connections" for s in ("s1", "s2")]
        assert lab.connect("c1", VIP, 80, 2, timeout=0.2).failures == 2


# Panic and flapping

def test_panic_where_servers_stand_in(site):    # noqa: F811
    """The first site dies: the second one takes over, and that more than half
    of all are dead makes nobody panic.  When the second one dies as well,
    something else must be wrong."""
    lab = site.lab
    site.serve("s4")
    pool = lab.pool([1, 1, 1, 1], server_port=8080, check=CHECK, panic=50,
                    policy="failover", watch="none")
    s1, s2, s3, s4 = pool["servers"]
    pool["servers"] = [{"set": "here", "servers": [s1, s2]},
                       {"set": "there", "servers": [s3]},
                       {**s4, "backup": True}]
    with site.monitor(lab.file(pool, fallback="normal")) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up", s4="up")

        def served():
            settle(lab)
            return {name for name, n in
                    lab.connect("c1", VIP, 80, 100, timeout=0.3).items() if n}

        wait_for(lambda: served() == {"s1", "s2"}, "the first site")
        site.kill("s1")
        site.kill("s2")
        monitor.wait_states(s1="down", s2="down")
        wait_for(lambda: served() == {"s3"}, "the second site")
        site.kill("s3")
        monitor.wait_states(s3="down")
        wait_for(lambda: served() == {"s4"}, "the backup")
        text = lab.lbgen("status", "-b", "br0").stdout
        assert "health: 1 of 4 up\n" in text, text
        site.kill("s4")
        monitor.wait_states(s4="down")
        wait_for(lambda: "count as up (panic)" in
                 lab.lbgen("status", "-b", "br0").stdout, "panic")
        assert slots(lab) == {"s1": 128, "s2": 128, "s3": 0, "s4": 0}
        site.serve("s1", "s2", "s3")
        monitor.wait_states(s1="up", s2="up")
        wait_for(lambda: served() == {"s1", "s2"}, "the end of the panic")


def test_flapping_is_damped_on_the_switch(site):    # noqa: F811
    """A server that comes and goes is let in later each time, and a monitor
    that takes over knows that."""
    lab = site.lab
    path = site.file([1, 1, 1], check={**CHECK, "interval": "50ms", "fall": 2,
                                       "rise": 2})

    def flap(monitor):
        """Returns for how long it had to prove itself."""
        n_up = monitor.count_lines("server up: pool=web server=s1")
        n_down = monitor.count_lines("server down: pool=web server=s1")
        site.kill("s1")
        monitor.wait("server down: pool=web server=s1", n=n_down + 1)
        begin = time.monotonic()
        site.serve("s1")
        monitor.wait("server up: pool=web server=s1", n=n_up + 1)
        return time.monotonic() - begin

    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        proofs = [flap(monitor) for _ in range(3)]
        monitor.kill()
    with site.monitor(path) as monitor:
        monitor.wait("bridge is right")
        time.sleep(0.5)
        monitor.wait_states(s1="up")
        site.kill("s1")
        monitor.wait_states(s1="down")
        monitor.kill()
        site.serve("s1")
    begin = time.monotonic()
    with site.monitor(path) as monitor:
        monitor.wait("server up: pool=web server=s1 was=down")
        proofs.append(time.monotonic() - begin)
    print(f"had to prove itself for {proofs} s")
    # So many times 2 successes, 50 ms apart, of which the first may be late.
    for proof, factor in zip(proofs, (1, 2, 4, 8)):
        assert proof > 0.05 * (2 * factor - 2)
    lab.lbgen("delete", "--all", "-b", "br0")


# Slow start

SLOW_START = 8


def check_slow_start(lab, begin):
    """s2 is back since 'begin': what it gets of real connections, at several
    moments."""
    moments, seen = [], []
    while not seen or seen[-1] < 85:
        before = slots(lab)
        traffic = lab.connect("c1", VIP, 80, 400)
        after = slots(lab)
        assert traffic.failures == 0
        if before == after:     # Else it was both.
            assert abs(traffic["s2"] / 400 - before["s2"] / 256) < 0.12
            seen.append(before["s2"])
            moments.append(time.monotonic() - begin)
        assert time.monotonic() - begin < 60
        time.sleep(0.5)
    print([f"{t:.1f} s: {n} slots" for t, n in zip(moments, seen)])
    assert seen == sorted(seen) and len(set(seen)) >= 5
    # A tenth of its weight at first, and never more than its time so far gives
    # it, in seconds as the bridge knows them, which may be one more:
    # 256 f / (2 + f).
    for t, n in zip(moments, seen):
        f = min(1, max(0.1, (t + 1) / SLOW_START))
        assert n <= 256 * f / (2 + f) + 2, (t, n)
    assert SLOW_START - 1 <= moments[-1]
    return moments[-1]


def slow_pool(lab):
    pool = lab.pool([1, 1, 1], server_port=8080, check=CHECK)
    return lab.file({**pool, "weights": {
        "policy": "static", "slow_start": SLOW_START, "interval": 1,
        "timeout": 0.5, "max_move": 1, "max_step": 1}}, fallback="normal")


def test_slow_start_of_the_dead(site):     # noqa: F811
    """A server that died is back: its share grows over the time that the file
    says, on the switch."""
    lab = site.lab
    path = slow_pool(lab)
    lab.lbgen("apply", path)    # What is there already has no slow start.
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        assert slots(lab) == {"s1": 86, "s2": 85, "s3": 85}
        site.kill("s2")
        monitor.wait_states(s2="down")
        wait_for(lambda: slots(lab)["s2"] == 0, "slots")
        site.serve("s2")
        begin = time.monotonic()
        wait_for(lambda: slots(lab)["s2"] > 0, "its return")
        check_slow_start(lab, begin)


def test_slow_start_after_drain(site):     # noqa: F811
    """So does that of one which an operator lets in again."""
    lab = site.lab
    path = slow_pool(lab)
    lab.lbgen("apply", path)
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        lab.lbgen("drain", "-b", "br0", "web/s2")
        assert slots(lab)["s2"] == 0
        begin = time.monotonic()
        lab.lbgen("ready", "-b", "br0", "web/s2")
        check_slow_start(lab, begin)
        assert monitor.count_lines("server down") == 0
