# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor on a host whose clock is set while it runs.  Without a switch,
test_refresh.py has more on weights."""

import json
import os
import re
import subprocess
import time

import pytest

from lab import HERE, wait_for
from lab_monitor import slots, states, status
from test_monitor import CHECK, module_site, site    # noqa: F401

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

DAY = 86400
PORT = 9877


class Clock:
    """That of the programs which are run with 'env'."""

    def __init__(self, directory):
        library = directory / "set-clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, "set-clock.c")], check=True)
        self.offset = directory / "offset"
        self.env = ["env", f"LD_PRELOAD={library}",
                    f"CLOCK_OFFSET={self.offset}"]
        self.set(0)

    def set(self, seconds):
        new = self.offset.with_suffix(".new")
        new.write_text(f"{seconds}\n")
        os.rename(new, self.offset)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def clock(library):
    library.set(0)
    return library


def lbgen(lab, clock, *args):
    """lbgen by that clock."""
    result = lab.run(lab.netns, *clock.env, lab.lbgen_path(), *args)
    return result.stdout


def n_checks(lab):
    """Of each server, since the monitor began."""
    text = lab.run(lab.netns, "python3", "-c", f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{PORT}/metrics", timeout=20)
      .read().decode())""").stdout
    return {name: float(count) for name, count in re.findall(
        r'lbgen_check_total\{.*server="(\w+)".*\} (\d+)', text)}


def test_checks_keep_their_beat(site, clock):    # noqa: F811
    """Whoever sets the clock: no server goes down, checks come neither in a
    burst nor not at all, and nothing is changed."""
    lab = site.lab
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    with site.monitor(site.file([1, 1, 1]), "--metrics", str(PORT),
                      env=clock.env) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        monitor.wait("bridge updated", n=2)
        for offset in DAY, -DAY, 10 * 365 * DAY, 0:
            updates = monitor.count_lines("bridge updated")
            before, begin = n_checks(lab), time.monotonic()
            clock.set(offset)
            time.sleep(1)
            after, took = n_checks(lab), time.monotonic() - begin
            for name in "s1", "s2", "s3":
                n = after[name] - before[name]
                print(f"{offset}: {n:.0f} checks of {name} in {took:.2f} s")
                assert 3 <= n <= took / 0.1 + 2
            assert monitor.count_lines("bridge updated") == updates
        assert monitor.count_lines("server down") == 0
        # It is in the log's own order that things happen, and deaths are
        # found as fast as ever.
        clock.set(-DAY)
        site.kill("s2")
        monitor.wait("server down: pool=web server=s2")
        wait_for(lambda: slots(lab)["s2"] == 0, "slots")


def test_ages_from_the_future(site, clock):      # noqa: F811
    """A server is down since tomorrow: that is now, and its successor of a
    monitor goes on with it."""
    lab = site.lab
    path = site.file([1, 1, 1])
    clock.set(DAY)
    with site.monitor(path, env=clock.env) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        lab.run(lab.netns, *clock.env, lab.lbgen_path(), "drain", "-b", "br0",
                "web/s1")
        site.kill("s2")
        monitor.wait_states(s2="down")
        monitor.kill()
    clock.set(0)
    assert status(lab)["s2"]["health"]["since"] > time.time() + DAY / 2
    text = lbgen(lab, clock, "status", "-b", "br0")
    assert "s2 is down since 0s: Connection refused" in text
    assert re.search(r"s1 is overridden: drain since 0s", text), text
    with site.monitor(path, env=clock.env) as monitor:
        monitor.wait("bridge is right: .*started")
        time.sleep(0.5)
        assert states(lab)["s2"] == "down"
        site.serve("s2")
        monitor.wait_states(s2="up")
        # From then on it is by the clock of now.
        since = status(lab)["s2"]["health"]["since"]
        assert abs(since - time.time()) < 60
        lab.lbgen("ready", "-b", "br0", "web/s1")


def test_slow_start_does_not_jump(site, clock):      # noqa: F811
    """A server that is back has a third of its weight when the clock is set:
    it goes on from there."""
    lab = site.lab
    pool = lab.pool([1, 1, 1], server_port=8080, check=CHECK)
    path = lab.file({**pool, "weights": {
        "policy": "static", "slow_start": 6, "interval": 1, "timeout": 0.5,
        "max_move": 1, "max_step": 1}}, fallback="normal")

    def weight():
        return status(lab)["s2"]["effective_weight"]

    for offset in DAY, -DAY:
        clock.set(0)
        lab.lbgen("apply", path)        # What is there starts no more.
        with site.monitor(path, env=clock.env) as monitor:
            monitor.wait_states(s1="up", s2="up", s3="up")
            site.kill("s2")
            monitor.wait_states(s2="down")
            site.serve("s2")
            monitor.wait_states(s2="up")
            begin = time.monotonic()
            wait_for(lambda: weight() > 0.3, "a third of the weight")
            before = weight()
            assert before < 0.8
            clock.set(offset)
            seen = []
            while time.monotonic() - begin < 60 and (not seen
                                                     or seen[-1] < 1):
                seen.append(weight())
                time.sleep(0.4)
            took = time.monotonic() - begin
            print(f"{offset}: {before} {seen} in {took:.1f} s")
            # No step is longer than what some rounds on a busy machine are.
            steps = [b - a for a, b in zip([before] + seen, seen)]
            assert max(steps) < 0.6 and min(steps) >= 0 and seen[-1] == 1
            assert took > 4
        lab.lbgen("delete", "--all", "-b", "br0")


def test_json_is_whole(site, clock):     # noqa: F811
    """What is printed stays right for programs, whatever the clock says."""
    lab = site.lab
    clock.set(-50 * 365 * DAY)
    path = site.file([1, 1, 1])
    with site.monitor(path, env=clock.env) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        parsed = json.loads(lbgen(lab, clock, "status", "-b", "br0",
                                  "--json"))
        since = parsed["pools"][0]["servers"][0]["health"]["since"]
        assert abs(since + 50 * 365 * DAY - time.time()) < 100
