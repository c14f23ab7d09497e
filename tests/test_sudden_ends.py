# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor, its child and the switch are killed, alone and together, in
the middle of what they do."""

import json
import os
import signal
import time

import pytest

from lab import wait_for
from lab_monitor import Monitor, slots, status
from test_monitor import (CHECK, MARGIN, VIP, Site,     # noqa: F401
                          module_site, site)
from test_monitor_repair import rewrite

pytestmark = pytest.mark.switch


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill_all(monitor):
    """The monitor and what it has running, as systemd(1) does with what does
    not stop."""
    monitor.process.send_signal(signal.SIGSTOP)
    for pid in children(monitor.process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    monitor.kill()


def large(lab, weight, n=40):
    """So many pools that an update takes some time.  Those of other weights
    differ in each of them."""
    web = lab.pool([weight, 1, 1], server_port=8080, check=CHECK)
    return lab.file(web, *(
        lab.pool([weight, 1, 1], name=f"p{i}", vip=f"10.0.{20 + i}.1",
                 server_port=8080) for i in range(n)), fallback="normal")


def weights(lab):
    """Those that pools on the bridge have for s1."""
    text = lab.lbgen("status", "-b", "br0", "--json").stdout
    status = json.loads(text)
    assert status["drift"] == 0     # Flows are what the records say.
    return [server["weight"] for pool in status["pools"]
            for server in pool["servers"] if server["name"] == "s1"]


def wait_settled(lab):
    """Until the switch has done, or dropped, what it was sent."""
    lab.ofctl("dump-aggregate", "br0")


@pytest.mark.parametrize("what", ["monitor", "monitor and child"])
def test_killed_during_an_apply(site, what):     # noqa: F811
    """The bridge is what one of two files says, all of it, and never something
    in between; the next monitor makes it what the file says."""
    lab = site.lab
    lab.expect_errors = r"send: Broken pipe"    # To who was killed.
    files = [large(lab, 1), large(lab, 3)]
    texts = [open(path).read() for path in files]
    path = files[0]
    seen = []
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
    for i in range(6):
        new = (1, 3)[i % 2 == 0]
        monitor = Monitor(lab, path)
        monitor.wait("bridge is right|bridge updated")
        rewrite(path, texts[i % 2 == 0])
        # The file is read a tenth of a second later; then comes the work.
        time.sleep(0.1)
        wait_for(lambda: children(monitor.process.pid)
                 or monitor.count_lines("file has changed"), "the work")
        time.sleep(0.012 * i)
        if what == "monitor":
            monitor.kill()
            time.sleep(0.3)     # Its child may go on.
        else:
            kill_all(monitor)
        wait_settled(lab)
        found = set(weights(lab))
        assert len(found) == 1, found
        seen.append(found == {new})
        with site.monitor(path) as successor:
            begin = time.monotonic()
            wait_for(lambda: set(weights(lab)) == {new}, "the file")
            print(f"right {time.monotonic() - begin:.2f} s after the next "
                  "start")
            assert successor.count_lines("server down") == 0
    print(f"done before the end: {seen}")
    assert lab.connect("c1", VIP, 80, 50).failures == 0


def wait_switch(lab):
    """Until a switch that was started has its bridge, and that its address."""
    wait_for(lambda: os.path.exists(f"{lab.rundir}/br0.mgmt")
             and lab.ofctl("show", "br0", check=False), "switch")
    lab.run(lab.netns, "ip", "address", "replace", "10.0.9.1/16", "dev", "br0")
    lab.run(lab.netns, "ip", "link", "set", "br0", "up")


def wait_service(lab, since, limit):
    """Until clients are served by those who live."""
    wait_for(lambda: lab.connect("c1", VIP, 80, 30, timeout=0.2).failures == 0,
             "service", timeout=limit + MARGIN)
    took = time.monotonic() - since
    print(f"service {took:.2f} s after that")
    assert took < limit + MARGIN


@pytest.mark.parametrize("delay", [0, 0.15, 0.3, 0.4])
def test_switch_dies_while_a_server_does(site, delay):    # noqa: F811
    """Before, while and after the server is found dead: it stays out, nobody
    else is blamed."""
    lab = site.lab
    lab.expect_crash = True
    with site.monitor(site.file([1, 1, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        site.kill("s1")
        time.sleep(delay)
        lab.restart_switch(kill=True)
        wait_switch(lab)
        back = time.monotonic()
        # fall times interval, and the repair.
        wait_service(lab, back, 0.3 + 1)
        assert slots(lab) == {"s1": 0, "s2": 128, "s3": 128}
        assert monitor.count_lines("server down: pool=web server=s[23]") == 0
        assert json.loads(lab.lbgen("status", "-b", "br0", "--json")
                          .stdout)["drift"] == 0


@pytest.mark.parametrize("delay", [0, 0.3, 0.4])
def test_both_die_while_a_server_does(site, delay):      # noqa: F811
    """Nothing is left but the file.  The next monitor makes it all, and the
    dead server, which is new to the bridge, gets nothing."""
    lab = site.lab
    path = site.file([1, 1, 1])
    lab.expect_crash = True
    monitor = Monitor(lab, path)
    monitor.wait_states(s1="up", s2="up", s3="up")
    site.kill("s1")
    time.sleep(delay)
    kill_all(monitor)
    lab.restart_switch(kill=True)
    wait_switch(lab)
    begin = time.monotonic()
    with site.monitor(path):
        wait_service(lab, begin, 1)
        assert status(lab)["s1"]["health"]["state"] == "starting"
        wait_for(lambda: slots(lab) == {"s1": 0, "s2": 128, "s3": 128},
                 "slots")
        site.serve("s1")
        wait_for(lambda: min(slots(lab).values()) > 80, "all three")
