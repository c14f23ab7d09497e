# SPDX-License-Identifier: Apache-2.0
"""Servers that take no new connections, as the file says."""

import json
from collections import Counter

import pytest

from lab import assert_shares
from lab_slots import apply, slot_tables

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
N = 3000

CONNECTIONS = pytest.mark.parametrize("connections", ["tracked", "stateless"])
OUT = pytest.mark.parametrize("out", [{"weight": 0}, {"state": "drain"},
                                      {"state": "maint"}],
                              ids=["weight 0", "drain", "maint"])


@pytest.fixture(scope="module")
def shared(make_module_lab):
    lab = make_module_lab(servers=3, clients=1)
    for server in lab.servers:
        for proto in "tcp", "udp":
            lab.serve(server, 80, proto)
    return lab


def file_with(lab, *changes, **keys):
    """A pool of weights 3, 2, 2 in which servers s1 and so on have 'changes',
    one mapping each."""
    pool = lab.pool([3, 2, 2], **keys)
    for server, change in zip(pool["servers"], changes):
        server.update(change)
    return lab.file(pool)


def shares(lab):
    report = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    return {server["name"]: server["slots"]
            for server in report["pools"][0]["servers"]}


@CONNECTIONS
@pytest.mark.parametrize("policy", ["wrr", "random", "sticky"])
@OUT
def test_no_new_connections(shared, out, policy, connections):
    """The others share what is left by their weights."""
    lab = shared
    keys = {"policy": policy, "connections": connections}
    sources = lab.client_addresses("c1", 1000)
    apply(lab, file_with(lab, {}, out, **keys))
    assert shares(lab)["s2"] == 0
    traffic = lab.connect("c1", VIP, 80, N, sources=sources)
    left = {"s1": 3, "s2": 0, "s3": 2}
    if policy == "random":
        left["s1"] = left["s3"] = 1
    n = N
    if policy == "sticky":
        assert not traffic.failures
        traffic = Counter(name for servers in traffic.by_source.values()
                          for name in servers)
        n = len(sources)
    assert_shares(traffic, left, n)


@OUT
def test_back_with_its_share(shared, out):
    lab = shared
    apply(lab, file_with(lab))
    apply(lab, file_with(lab, {}, out))
    apply(lab, file_with(lab))
    assert_shares(lab.connect("c1", VIP, 80, N), (3, 2, 2), N)


@pytest.mark.parametrize("out", [{"weight": 0}, {"state": "drain"}],
                         ids=["weight 0", "drain"])
def test_connections_go_on(shared, out):
    """Those that it has, in a tracked pool."""
    lab = shared
    apply(lab, file_with(lab))
    hold = lab.hold("c1", VIP, 80, 300, timeout=10)
    assert hold.opened["s2"] > 30
    apply(lab, file_with(lab, {}, out))
    ping = hold.ping()
    assert ping.alive == 300 and ping.servers == hold.opened
    hold.close()


def test_connections_of_the_others_go_on(shared):
    """When a server is taken out for maintenance."""
    lab = shared
    apply(lab, file_with(lab))
    hold = lab.hold("c1", VIP, 80, 300, timeout=10)
    apply(lab, file_with(lab, {}, {"state": "maint"}))
    servers = hold.ping().servers
    assert all(servers[name] == hold.opened[name] for name in ("s1", "s3"))
    hold.close()


@CONNECTIONS
@pytest.mark.parametrize("policy", ["wrr", "random", "sticky"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_nobody_left(shared, protocol, policy, connections):
    """Packets to the VIP end in the switch: none reaches a server, or floods.
    ARP is answered all the same, and the switch lives."""
    lab = shared
    keys = {"policy": policy, "connections": connections,
            "protocol": protocol}
    out = {"weight": 0}, {"state": "drain"}, {"state": "maint"}
    path = file_with(lab, *out, **keys)
    warning = lab.lbgen("check", path).stderr
    assert "takes no connections" in warning
    apply(lab, path)
    assert list(slot_tables(lab).values()) == [()]
    lab.run("c1", "ip", "neighbour", "flush", "dev", "eth0")
    # Not the last words of an earlier test's connection.
    new = "tcp[tcpflags] & tcp-syn != 0" if protocol == "tcp" else "udp"
    captures = [lab.capture(name, new) for name in lab.servers]
    traffic = lab.connect("c1", VIP, 80, 20, proto=protocol, timeout=0.3)
    assert not traffic and traffic.failures == 20
    assert set(traffic.reasons) <= {"no-connection", "no-answer"}
    assert all(not capture.stop().packets for capture in captures)
    assert "02:6c:0a:00:00:64" in lab.run("c1", "ip", "neighbour", "show",
                                          VIP).stdout
    lab.lbgen("diff", path)
    apply(lab, file_with(lab, **keys))
    traffic = lab.connect("c1", VIP, 80, 100, proto=protocol)
    assert sum(traffic.values()) == 100


def test_first_apply_with_nobody(shared):
    """Then servers come one after another."""
    lab = shared
    lab.lbgen("delete", "--all", "-b", "br0")
    apply(lab, lab.pool_yaml([0, 0, 0]))
    assert lab.connect("c1", VIP, 80, 5, timeout=0.3).failures == 5
    apply(lab, lab.pool_yaml([0, 1, 0]))
    assert lab.connect("c1", VIP, 80, 50) == {"s2": 50}
    apply(lab, lab.pool_yaml([1, 1, 0]))
    assert_shares(lab.connect("c1", VIP, 80, N), (1, 1, 0), N)


def test_direct_connections_do_not_care(shared):
    """The server's own address is none of lbgen's business."""
    lab = shared
    apply(lab, lab.pool_yaml([1, 0, 0]))
    assert lab.connect("c1", lab.hosts["s2"].ip, 80, 50) == {"s2": 50}
