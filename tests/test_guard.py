# SPDX-License-Identifier: Apache-2.0
"""Stateless pools and those who talk to their servers directly."""

import pytest

from lab import assert_shares

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"


@pytest.fixture
def lab(lab):
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


def web(lab, **keys):
    return lab.pool_yaml([3, 2, 2], server_port=8080, connections="stateless",
                         **keys)


def direct(lab, client, n=50):
    """How many of 'n' connections to s1 itself work."""
    return lab.connect(client, "10.0.0.1", 8080, n, timeout=0.5)["s1"]


def test_warning(lab):
    path = web(lab)
    check = lab.lbgen("check", path)
    assert check.stdout == ""
    assert check.stderr.count("\n") == 1
    assert ': warning: pool "web": whatever leaves its servers\' ports is ' \
        "rewritten to come from the vip" in check.stderr
    for guard in True, False:
        assert lab.lbgen("check", web(lab, guard=guard)).stderr == ""


def test_guard_is_for_stateless(lab):
    path = lab.pool_yaml(guard=True)
    check = lab.lbgen("check", path, check=1)
    assert "guard is for \"connections: stateless\"" in check.stderr


def test_without_guard(lab):
    lab.lbgen("apply", web(lab, guard=False))
    assert direct(lab, "c2") == 0


def test_guard(lab):
    lab.lbgen("apply", web(lab, guard=True))
    traffic = lab.connect("c1", VIP, 80, 3000)
    assert traffic.failures == 0
    assert_shares(traffic, [3, 2, 2], 3000)
    # c2 has not used the VIP, c1 has.
    assert direct(lab, "c2") == 50
    assert direct(lab, "c1") == 0
    # Now it does, and both go on.
    assert lab.connect("c2", VIP, 80, 100).failures == 0
    assert lab.connect("c1", VIP, 80, 100).failures == 0


def test_guard_tells_pools_apart(lab):
    """Who uses one pool may talk directly to the servers of another."""
    for server in lab.servers:
        lab.serve(server, 9090)
    keys = {"connections": "stateless", "guard": True}
    lab.lbgen("apply", lab.file(
        lab.pool({"s1": 1}, server_port=8080, **keys),
        lab.pool({"s2": 1}, name="api", vip="10.0.0.101", server_port=9090,
                 **keys)))
    assert lab.connect("c1", VIP, 80, 20)["s1"] == 20
    assert lab.connect("c1", "10.0.0.2", 9090, 20)["s2"] == 20
    assert lab.connect("c1", "10.0.0.101", 80, 20)["s2"] == 20


def test_nothing_left(lab):
    lab.lbgen("apply", web(lab, guard=True))
    lab.connect("c1", VIP, 80, 20)
    assert lab.lbgen("diff", web(lab, guard=True)).stdout == ""
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.flows() == ["priority=0 actions=NORMAL"]
    assert lab.groups() == []
