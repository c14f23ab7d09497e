# SPDX-License-Identifier: Apache-2.0
"""round-robin on a switch: exact and in order.

Which turns there are is for test_turns; here it is whether connections take
them one after the other."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import turn_model
from lab import wait_for
from lab_slots import settle, wait_revalidated
from lab_traffic import in_order

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=4, clients=4)
    for server in lab.servers:
        lab.serve(server, 80)
        lab.serve(server, 53, "udp")
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "--all", "-b", "br0")


def apply(lab, weights, **keys):
    keys.setdefault("policy", "round-robin")
    path = lab.pool_yaml(weights, **keys)
    out = lab.lbgen("apply", path).stdout
    lab.lbgen("diff", path)
    return out


def one(lab, client, **options):
    """Who answers one new connection."""
    traffic = lab.connect(client, VIP, 80, 1, **options)
    assert not traffic.failures
    name, = traffic
    return name


def several(lab, n, first=0):
    """Who answers 'n' connections, one after the other, clients in turn."""
    return [one(lab, lab.clients[(first + i) % len(lab.clients)])
            for i in range(n)]


def expect(weights, n, first=0):
    """The next 'n' servers from turn 'first' on."""
    order = turn_model.order(turn_model.quotas(weights))
    return [f"s{order[(first + i) % len(order)] + 1}" for i in range(n)]


def learned(lab, kind):
    """Flows of a table that the switch itself fills."""
    return [flow for flow in lab.flows()
            if flow.startswith(f"cookie=0x6c6267{kind:02x}")]


def turn_flows(lab):
    """Member ids by turn ids, of the only pool that goes by turns: those of
    the flows that go on to the next turn."""
    return {int(turn, 16): int(member, 16) for flow in lab.flows()
            for member, turn in re.findall(
                r",reg0=0x([0-9a-f]+),.*,reg3=0x([0-9a-f]+) actions="
                r"learn\(table=207,", flow)}


def test_order_from_several_clients(lab):
    apply(lab, [1, 1, 1])
    assert several(lab, 12) == expect([1, 1, 1], 12)


@pytest.mark.parametrize("weights", [[3, 2, 2], [5, 1, 1], [7, 3],
                                     [60, 40], [1, 0, 2, 0]])
def test_weights(lab, weights):
    apply(lab, weights)
    n = 2 * sum(turn_model.quotas(weights)) + 1
    assert in_order(lab.connect("c1", VIP, 80, n, concurrency=1)) == expect(
        weights, n)


def test_explain_and_status(lab):
    """Who is next does not depend on the client, and explain says so; more in
    test_turns_alive."""
    apply(lab, [3, 2, 2, 0])
    text = lab.lbgen("explain", "-b", "br0", "web", "10.0.1.1:4000").stdout
    assert "server s1, unless another connection comes first" in text
    assert "take turns" in text
    assert "3 of 7 turns" in text and "gone" not in text
    assert "s4" not in text
    assert "7 turns" in lab.lbgen("status", "-b", "br0").stdout
    apply(lab, [0, 1])
    assert "server s2" in lab.lbgen("explain", "-b", "br0", "web",
                                    "10.0.1.1").stdout


def test_udp(lab):
    """A flow of datagrams is a connection: each source port takes a turn."""
    apply(lab, [1, 1, 1], protocol="udp", port=53)
    traffic = lab.connect("c1", VIP, 53, 30, concurrency=1, proto="udp")
    assert in_order(traffic) == expect([1, 1, 1], 30)


@pytest.mark.parametrize("concurrency", [1, 16, 128])
def test_many_connections(lab, concurrency):
    """However many at a time, each takes the next turn."""
    apply(lab, [3, 2, 2])
    traffic = lab.connect("c1", VIP, 80, 3000, concurrency=concurrency)
    assert in_order(traffic) == expect([3, 2, 2], 3000)


def test_bursts_of_all_clients_at_once(lab):
    """Clients that know nothing of each other: no turn is left out, none is
    taken twice, and the switch remembers one flow."""
    apply(lab, [1, 1, 1])
    with ThreadPoolExecutor() as executor:
        bursts = list(executor.map(
            lambda client: lab.connect(client, VIP, 80, 800, concurrency=16),
            lab.clients))
    assert sum(burst.failures for burst in bursts) == 0
    assert sum(map(Counter, bursts), start=Counter()) == {
        "s1": 1067, "s2": 1067, "s3": 1066}
    assert len(learned(lab, 28)) == 1
    assert several(lab, 4, first=1) == expect([1, 1, 1], 4, first=3200)


def test_the_datapath_does_not_fill_up(lab):
    """Flows for first packets are gone as soon as the datapath's flows have
    been looked through."""
    apply(lab, [1, 1, 1])
    before = len(lab.dp_flows())
    lab.connect("c2", VIP, 80, 2000, concurrency=16)
    wait_for(lambda: len(lab.dp_flows()) < before + 60, "few flows")
    assert not [flow for flow in lab.dp_flows() if "+new" in flow
                and "src=1" in flow]


def test_idle(lab):
    """A gap that lets the datapath forget everything changes nothing."""
    apply(lab, [1, 1, 1])
    assert several(lab, 4) == expect([1, 1, 1], 4)
    settle(lab)
    time.sleep(2)
    assert several(lab, 4) == expect([1, 1, 1], 4, first=4)
    time.sleep(12)              # Longer than "max-idle" of the datapath.
    assert several(lab, 5) == expect([1, 1, 1], 5, first=8)


def test_same_source_port_again(lab):
    """A client that comes back from the same port is a new connection, once
    the datapath's flows have been looked through."""
    apply(lab, [1, 1, 1])
    got = []
    for _ in range(7):
        lab.hosts["c1"].next_source_port = 20000
        got.append(one(lab, "c1"))
        got.append(one(lab, "c2"))
        wait_revalidated(lab)
    assert got == expect([1, 1, 1], 14)


def test_retransmitted_syn(lab):
    """A SYN that is sent again goes to the same server and takes no turn."""
    apply(lab, [1, 1, 1])
    assert one(lab, "c1") == "s1"
    drop = lab.hosts["s2"]
    lab.ofctl("add-flow", "br0", f"table=0,priority=65000,in_port={drop.ofport}"
              ",tcp,actions=drop")
    with lab.capture("s2", "tcp[tcpflags] & tcp-syn != 0") as capture:
        traffic = lab.connect("c1", VIP, 80, 1, timeout=1.5)
        assert traffic.failures == 1
    lab.ofctl("--strict", "del-flows", "br0", f"table=0,priority=65000,"
              f"in_port={drop.ofport},tcp")
    assert len(capture.lines(outgoing=False)) >= 2
    assert several(lab, 3) == expect([1, 1, 1], 3, first=2)


def test_turns_go_on_when_the_pool_changes(lab):
    """The turn stays that of its server, wherever that stands now."""
    apply(lab, [1, 1, 1])
    assert several(lab, 2) == ["s1", "s2"]
    out = apply(lab, [1, 1, 1, 1])
    assert "slots" not in out
    assert several(lab, 3) == ["s3", "s4", "s1"]
    apply(lab, [3, 2, 2, 1])
    assert several(lab, 1) == ["s2"]
    apply(lab, {"s4": 1, "s3": 1, "s2": 1, "s1": 1})
    turn = several(lab, 1)[0]
    after = {"s4": "s3", "s3": "s2", "s2": "s1", "s1": "s4"}
    assert several(lab, 2) == [after[turn], after[after[turn]]]


def test_the_server_whose_turn_it_is_goes(lab):
    """Removed: the first one is next.  Drained or without weight: the next in
    the file."""
    apply(lab, [1, 1, 1, 1])
    assert several(lab, 1) == ["s1"]
    lab.lbgen("drain", "-b", "br0", "web/s2")
    assert several(lab, 3) == ["s3", "s4", "s1"]
    lab.lbgen("ready", "-b", "br0", "web/s2")
    assert several(lab, 2) == ["s3", "s4"]
    lab.lbgen("weight", "-b", "br0", "web/s1", "0")
    assert several(lab, 2) == ["s2", "s3"]
    lab.lbgen("maint", "-b", "br0", "web/s4")
    assert several(lab, 1) == ["s2"]
    apply(lab, {"s1": 1, "s2": 1})
    assert several(lab, 3) == ["s2", "s2", "s2"]
    lab.lbgen("ready", "-b", "br0", "web/s1")
    assert sorted(several(lab, 2)) == ["s1", "s2"]


def test_nothing_points_to_a_server_that_is_gone(lab):
    apply(lab, [1, 1, 1])
    several(lab, 2)
    turn = re.search(r"set_field:0x(\w+)0000->reg3", learned(lab, 28)[0])[1]
    apply(lab, {"s1": 1, "s2": 1})
    gone = [flow for flow in lab.flows() if f"0x{turn}" in flow
            and "table=207" not in flow]
    assert not gone
    assert several(lab, 3) == ["s1", "s2", "s1"]
    lab.lbgen("delete", "--all", "-b", "br0")
    assert not lab.flows(match="cookie=0x6c62670000000000/0xffffff0000000000")


def test_two_pools(lab):
    """Each has turns of its own."""
    lab.lbgen("apply", lab.file(
        lab.pool([1, 1, 1], name="a", policy="round-robin"),
        lab.pool([1, 1], name="b", vip="10.0.0.101", policy="round-robin")))
    got = {VIP: [], "10.0.0.101": []}
    for i in range(12):
        for vip in list(got)[:1 + i % 2]:
            name, = lab.connect("c1", vip, 80, 1)
            got[vip].append(name)
    assert got[VIP] == expect([1, 1, 1], 12)
    assert got["10.0.0.101"] == expect([1, 1], 6)


def test_another_policy_and_back(lab):
    """The slots of a pool that goes by turns are kept, so nothing moves."""
    path = lab.pool_yaml([1, 1, 1])
    lab.lbgen("apply", path)
    groups = lab.groups()
    apply(lab, [1, 1, 1])
    assert lab.groups() == groups       # For what a dead server gives up.
    assert several(lab, 3) == ["s1", "s2", "s3"]
    lab.lbgen("apply", path)
    assert lab.groups() == groups
    assert not learned(lab, 28)


@pytest.mark.slow
def test_ten_thousand(lab):
    """From all clients in turn, at full speed; the shares to a connection."""
    apply(lab, [3, 2, 2])
    sources = lab.client_addresses("c3", 100)
    traffic = lab.connect("c3", VIP, 80, 10000, sources=sources,
                          concurrency=64)
    assert not traffic.failures
    assert traffic == {"s1": 4286, "s2": 2857, "s3": 2857}
