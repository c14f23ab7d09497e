# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor: what states of servers mean to clients, and what is said of
them."""

import json

import pytest

from lab import wait_for
from lab_monitor import slots, status
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
