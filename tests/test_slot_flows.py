# SPDX-License-Identifier: Apache-2.0
"""Pools that have a flow for each slot: large ones, and those whose clients are
told apart by the last bits of their addresses."""

import json
import re
import time
from collections import Counter

import pytest
from lab import assert_shares

from lab_slots import OURS, apply, settle, upcalls

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
COOKIE_SERVER = "cookie=0x6c62670a00000000/0xffffffff00000000"
COOKIE_SLOT = "cookie=0x6c62672600000000/0xffffffff00000000"
CONNECTIONS = pytest.mark.parametrize("connections", ["tracked", "stateless"])


@pytest.fixture(scope="module")
def shared(make_module_lab):
    lab = make_module_lab(servers=5, clients=2)
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


def slot_flows(lab):
    """Member id by slot, of the only pool."""
    slots = {}
    for flow in lab.flows(match=COOKIE_SLOT):
        member, slot = re.search(r"cookie=0x6c626726....(....),.*"
                                 r"reg5=(0x[0-9a-f]+|0) ", flow).groups()
        assert int(slot, 0) not in slots
        slots[int(slot, 0)] = int(member, 16)
    return slots


def explain(lab, client, port=None):
    where = f"{client}:{port}" if port else client
    return json.loads(lab.lbgen("explain", "-b", "br0", "--json", "web",
                                where).stdout)


# Low bits.

@CONNECTIONS
def test_low_bits(shared, connections):
    """Each client has its server, that of its address modulo 256, and however
    many there are, the datapath has no flow for each of them."""
    lab = shared
    sources = lab.client_addresses("c2", 2000)[-2000:]
    path = lab.pool_yaml([3, 2, 2], server_port=8080, policy="sticky",
                         connections=connections, sticky={"low_bits": True},
                         **({"guard": False} if connections == "stateless"
                            else {}))
    apply(lab, path)
    assert lab.lbgen("diff", path).stdout == ""
    assert sorted(slot_flows(lab)) == list(range(256))
    traffic = lab.connect("c2", VIP, 80, 4000, sources=sources)
    assert not traffic.failures
    assert len(traffic.by_source) == 2000
    by_bits = {}
    for source, servers in traffic.by_source.items():
        by_bits.setdefault(int(source.split(".")[-1]), set()).update(servers)
    assert len(by_bits) == 250
    assert all(len(servers) == 1 for servers in by_bits.values())
    assert_shares(Counter({name: sum(s == {name} for s in by_bits.values())
                           for name in ("s1", "s2", "s3")}), [3, 2, 2], 250)
    # Without, it would have one for each of the 2,000.
    assert len(lab.dp_flows()) < 256 + 64

    for source in sources[:40]:
        answer = explain(lab, source)
        assert answer["server"] == next(iter(traffic.by_source[source]))
        assert answer["slot"] == int(source.split(".")[-1])


def test_low_bits_move_little(shared):
    lab = shared

    def pool(weights):
        return lab.pool_yaml(weights, server_port=8080, policy="sticky",
                             sticky={"low_bits": True})

    apply(lab, pool([3, 2, 2]))
    before = slot_flows(lab)
    path = pool([3, 2, 0])
    changes = json.loads(lab.lbgen("diff", "--json", path, check=2).stdout)
    apply(lab, path)
    after = slot_flows(lab)
    moved = sum(before[slot] != after[slot] for slot in before)
    assert moved == 73          # What the third server had.
    assert changes["pools"][0]["moved_slots"] == moved
    # What goes to the switch is those, the record and, for when a server is
    # dead, the pool's groups.
    types = Counter(change["type"] for change in changes["changes"])
    assert types["flow"] == moved + 1 and types["group"] <= 2


# More than 256 slots.

@CONNECTIONS
def test_1024_slots_by_connection(shared, connections):
    lab = shared
    apply(lab, lab.pool_yaml([301, 200, 100, 1, 0], server_port=8080,
                             slots=1024, connections=connections))
    slots = Counter(slot_flows(lab).values())
    assert sorted(slots.values()) == [2, 170, 340, 512]
    traffic = lab.connect("c1", VIP, 80, 4000)
    assert_shares(traffic, [301, 200, 100, 1, 0], 4000, slots=1024)
    wrong = 0
    for (client, port), server in list(traffic.by_connection.items())[:150]:
        answer = explain(lab, client, port)
        wrong += answer["server"] != server
    assert not wrong
    assert answer["slots"] == 1024


@CONNECTIONS
def test_512_slots_by_client(shared, connections):
    """In two steps, which must be independent of each other."""
    lab = shared
    sources = lab.client_addresses("c2", 2000)[-2000:]
    apply(lab, lab.pool_yaml([3, 2, 2], server_port=8080, policy="sticky",
                             slots=512, connections=connections))
    traffic = lab.connect("c2", VIP, 80, 4000, sources=sources)
    assert not traffic.failures
    assert all(len(servers) == 1 for servers in traffic.by_source.values())
    assert_shares(Counter(next(iter(s)) for s in traffic.by_source.values()),
                  [3, 2, 2], 2000, slots=512)
    for source in sources[:60]:
        answer = explain(lab, source)
        assert answer["server"] == next(iter(traffic.by_source[source]))


def test_slots_grow_and_shrink(shared):
    """From a group to flows and back, nothing is left over."""
    lab = shared
    groups = lab.pool_yaml([1, 1, 1], server_port=8080)
    apply(lab, groups)
    before = lab.flows(match=OURS), lab.groups()
    apply(lab, lab.pool_yaml([1, 1, 1], server_port=8080, slots=2048))
    assert len(slot_flows(lab)) == 2048
    apply(lab, lab.pool_yaml([1, 1, 1], server_port=8080, slots=512,
                             policy="sticky"))
    assert len(slot_flows(lab)) == 512
    print("\n".join(group[:120] for group in lab.groups()))
    # Two to find the slot, one for the slots of servers that are dead.
    assert sum("type=select" in group for group in lab.groups()) == 3
    apply(lab, groups)
    assert (lab.flows(match=OURS), lab.groups()) == before


@pytest.fixture(scope="module")
def thousand(make_module_lab):
    """A pool of 1,000 servers, 200 addresses each on five hosts."""
    lab = make_module_lab(servers=5, clients=1)
    servers = []
    for name in lab.servers:
        lab.serve(name, 8080)
        host = lab.hosts[name]
        servers += [{"name": f"{name}-{i}", "ip": ip, "mac": host.mac,
                     "interface": host.port, "port": 8080}
                    for i, ip in enumerate(lab.client_addresses(name, 200))]
    lab.thousand = [{"name": "web", "vip": VIP, "port": 80,
                     "servers": servers}]
    return lab


def write_pool(lab, servers):
    return lab.write({"bridge": "br0", "pools": [
        {**lab.thousand[0], "servers": servers}]})


def test_thousand_servers(thousand):
    """All of them are used, evenly, and the fast path does it."""
    lab = thousand
    path = write_pool(lab, lab.thousand[0]["servers"])
    begin = time.monotonic()
    apply(lab, path)
    print(f"apply: {time.monotonic() - begin:.2f} s")
    assert lab.lbgen("diff", path).stdout == ""
    quotas = Counter(slot_flows(lab).values())
    assert len(quotas) == 1000 and set(quotas.values()) == {4, 5}

    warm = lab.connect("c1", VIP, 80, 16000, concurrency=64)
    assert not warm.failures
    before = upcalls(lab)
    traffic = lab.connect("c1", VIP, 80, 4000, concurrency=64)
    assert_shares(traffic, [1, 1, 1, 1, 1], 4000, slots=4096)
    # What was not met by the first 16,000 (4096 * exp(-4)), and ARP.
    print(f"upcalls for 4,000 connections: {upcalls(lab) - before}")
    assert upcalls(lab) - before < 200
    # One for each slot, three for each server.
    assert len(lab.dp_flows()) < 4096 + 3000 + 64

    counts = Counter()
    settle(lab)
    for flow in lab.flows(match=COOKIE_SERVER, stats=True):
        n, member = re.search(r"n_packets=(\d+),.*reg0=(0x[0-9a-f]+)",
                              flow).groups()
        counts[int(member, 0)] += int(n)
    assert sum(counts.values()) == 20000
    # 20 each by chance: none is left out, none has three times as many.
    assert len(counts) == 1000
    assert min(counts.values()) >= 1 and max(counts.values()) < 60


def test_thousand_servers_less_one(thousand):
    lab = thousand
    servers = lab.thousand[0]["servers"]
    apply(lab, write_pool(lab, servers))
    before = slot_flows(lab)
    out = apply(lab, write_pool(lab, servers[1:]))
    after = slot_flows(lab)
    moved = sum(before[slot] != after[slot] for slot in before)
    assert moved in (4, 5), out
    assert f"{moved} of 4096 slots" in out
