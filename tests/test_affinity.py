# SPDX-License-Identifier: Apache-2.0
"""affinity on a switch: clients stay with the server that they got."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import wait_for
from lab_slots import settle, wait_revalidated

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=4, clients=4)
    for server in lab.servers:
        lab.serve(server, 80)
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "--all", "-b", "br0")
    assert not remembered(lab)


def apply(lab, weights, **keys):
    keys.setdefault("policy", "round-robin")
    keys.setdefault("affinity", {"by": "client", "timeout": "10m"})
    path = lab.pool_yaml(weights, **keys)
    lab.lbgen("apply", path)
    lab.lbgen("diff", path)
    settle(lab)
    return path


def operate(lab, command, server):
    """The datapath follows what changes only shortly after it."""
    lab.lbgen(command, "-b", "br0", server)
    settle(lab)


def one(lab, client, **options):
    """Who answers one new connection."""
    traffic = lab.connect(client, VIP, 80, 1, **options)
    assert not traffic.failures
    name, = traffic
    return name


def remembered(lab):
    """Addresses of clients that the switch remembers, with member ids."""
    flows = [flow for flow in lab.flows()
             if flow.startswith("cookie=0x6c62671d")]
    return {re.search(r"nw_src=([0-9.]+)", flow)[1]:
            int(re.search(r"set_field:(0x\w+)->reg4", flow)[1], 0)
            for flow in flows}


def test_a_client_keeps_its_server(lab):
    """The second version of a well-known lab: h4, h5, h4, h6, h7."""
    apply(lab, [1, 1, 1])
    got = [one(lab, client) for client in ("c1", "c2", "c1", "c3", "c4")]
    assert got == ["s1", "s2", "s1", "s3", "s1"]
    for client, server in zip(lab.clients, ("s1", "s2", "s3", "s1")):
        traffic = lab.connect(client, VIP, 80, 200)
        assert traffic == {server: 200}
    assert len(remembered(lab)) == 4


@pytest.mark.parametrize("concurrency", [2, 64])
def test_first_connections_at_the_same_moment(lab, concurrency):
    """None is dropped and all of a client reach one server."""
    apply(lab, [1, 1, 1])
    sources = lab.client_addresses("c2", 300)
    with ThreadPoolExecutor() as executor:
        runs = list(executor.map(
            lambda host: lab.connect(host, VIP, 80, concurrency,
                                     concurrency=concurrency), lab.clients))
    for run in runs:
        assert not run.failures and len(run) == 1
    traffic = lab.connect("c2", VIP, 80, 900, sources=sources,
                          concurrency=concurrency)
    assert not traffic.failures
    assert all(len(servers) == 1 for servers in traffic.by_source.values())
    assert Counter(next(iter(servers)) for servers
                   in traffic.by_source.values()) == {
        "s1": 100, "s2": 100, "s3": 100}


def test_forgotten_when_silent(lab):
    apply(lab, [1, 1, 1], affinity={"timeout": 2})
    assert [one(lab, c) for c in ("c1", "c2", "c3", "c1")] == [
        "s1", "s2", "s3", "s1"]
    wait_for(lambda: not remembered(lab), "expiry", timeout=20)
    assert [one(lab, c) for c in ("c2", "c1", "c3")] == ["s1", "s2", "s3"]


def test_kept_by_use(lab):
    """New connections and packets of old ones keep a client's server; the
    switch looks at what was used twice a second."""
    apply(lab, [1, 1, 1], affinity={"timeout": 3})
    assert one(lab, "c3") == "s1"
    hold = lab.hold("c1", VIP, 80, 1)
    assert hold.opened == {"s2": 1}
    for _ in range(14):
        time.sleep(0.5)
        assert hold.ping().alive == 1
        assert one(lab, "c2") == "s3"
    assert lab.hosts["c3"].ip not in remembered(lab)
    hold.close()
    assert one(lab, "c1") == "s2"


def test_server_drains(lab):
    """Its clients get the next server in turn, and keep that."""
    apply(lab, [1, 1, 1])
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    hold = lab.hold("c2", VIP, 80, 1)
    operate(lab, "drain", "web/s2")
    assert len(remembered(lab)) == 3
    assert one(lab, "c2") == "s3"
    assert hold.ping().alive == 1
    operate(lab, "ready", "web/s2")
    assert [one(lab, c) for c in lab.clients] == ["s1", "s3", "s3", "s1"]
    hold.close()


def test_server_is_removed(lab):
    apply(lab, [1, 1, 1])
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    apply(lab, {"s2": 1, "s3": 1})
    assert len(remembered(lab)) == 2
    assert [one(lab, c) for c in lab.clients] == ["s2", "s2", "s3", "s3"]


def test_other_servers_come(lab):
    """Nobody moves."""
    apply(lab, [1, 1])
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s1", "s2"]
    apply(lab, [9, 1, 1, 1])
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s1", "s2"]


def test_drain_timeout(lab):
    """Clients with connections to a server that begins to drain may come back
    to it, others not."""
    apply(lab, [1, 1, 1], drain_timeout=3)
    hold = lab.hold("c1", VIP, 80, 1)
    assert hold.opened == {"s1": 1}
    assert one(lab, "c2") == "s2"
    lab.appctl("dpctl/flush-conntrack", "ct_nw_src=10.0.1.2,ct_nw_proto=6")
    operate(lab, "drain", "web/s1")
    operate(lab, "drain", "web/s2")
    assert one(lab, "c1") == "s1"
    time.sleep(5)
    assert one(lab, "c1") == "s3"
    hold.close()


def test_limit(lab):
    """Clients beyond it are served, and the switch holds no more flows."""
    apply(lab, [1, 1], affinity={"limit": 10})
    sources = lab.client_addresses("c3", 60)
    traffic = lab.connect("c3", VIP, 80, 60, sources=sources)
    assert traffic == {"s1": 30, "s2": 30}
    known = remembered(lab)
    assert Counter(Counter(known.values()).values()) == {10: 2}
    again = lab.connect("c3", VIP, 80, 60, sources=sources)
    assert not again.failures
    assert remembered(lab) == known
    for source in set(known) & set(sources):
        assert again.by_source[source] == traffic.by_source[source]


@pytest.mark.parametrize("policy", ["wrr", "random"])
def test_other_policies(lab, policy):
    """What is picked by a hash of the connection is kept as well."""
    apply(lab, [1, 1, 1], policy=policy)
    sources = lab.client_addresses("c4", 90)
    traffic = lab.connect("c4", VIP, 80, 900, sources=sources, concurrency=30)
    assert not traffic.failures
    assert all(len(servers) == 1 for servers in traffic.by_source.values())
    assert set(traffic) == {"s1", "s2", "s3"}
    operate(lab, "drain", "web/s1")
    moved = lab.connect("c4", VIP, 80, 900, sources=sources)
    for source, servers in traffic.by_source.items():
        if set(servers) == {"s1"}:
            assert set(moved.by_source[source]) < {"s2", "s3"}
        else:
            assert moved.by_source[source] == servers


def test_affinity_goes(lab):
    apply(lab, [1, 1, 1])
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    path = lab.pool_yaml([1, 1, 1], policy="round-robin")
    out = lab.lbgen("apply", path).stdout
    assert "flows" in out
    wait_revalidated(lab)
    assert not remembered(lab)
    assert [one(lab, c) for c in lab.clients] == ["s2", "s3", "s1", "s2"]


def test_cached_while_it_lasts(lab):
    """A client's further connections are no business of ovs-vswitchd's."""
    apply(lab, [1, 1, 1])
    lab.connect("c1", VIP, 80, 10)
    settle(lab)
    lab.connect("c1", VIP, 80, 10)
    wait_revalidated(lab)
    flows = [flow for flow in lab.dp_flows() if "+new" in flow]
    assert flows and all("dst=80" in flow and "src=1" not in
                         flow.split("tcp(")[-1] for flow in flows)
