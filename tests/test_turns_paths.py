# SPDX-License-Identifier: Apache-2.0
"""round-robin and affinity for all that a VIP can be: IPv6, both families, UDP,
ranges of ports, several ports, all ports and protocols."""

import itertools

import pytest

from lab_slots import settle
from lab_traffic import in_order

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP6 = "fd00::64"
PORTS = (8000, 8001, 8005)


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=3, clients=2, ipv6=True)
    for server in lab.servers:
        for port in PORTS:
            lab.serve(server, port)
            lab.serve(server, port, "udp")
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "--all", "-b", "br0")


def apply(lab, **keys):
    path = lab.pool_yaml([1, 1, 1], policy="round-robin", **keys)
    lab.lbgen("apply", path)
    assert lab.lbgen("diff", path).stdout == ""
    settle(lab)


def one(lab, vip, port, proto="tcp", client="c1"):
    traffic = lab.connect(client, vip, port, 1, proto=proto)
    assert not traffic.failures
    name, = traffic
    return name


def turns(n, first=0):
    return list(itertools.islice(itertools.cycle(("s1", "s2", "s3")), first,
                                 first + n))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_order_over_ipv6(lab, proto):
    apply(lab, vip=VIP6, port=8000, protocol=proto)
    assert one(lab, VIP6, 8000, proto) == "s1"
    traffic = lab.connect("c1", VIP6, 8000, 90, proto=proto, concurrency=16)
    assert in_order(traffic) == turns(90, 1)
    assert one(lab, VIP6, 8000, proto, "c2") == "s2"


def test_both_families_share_the_turns(lab):
    """One pool, one sequence, whichever VIP a connection is to."""
    apply(lab, vip=[VIP, VIP6], port=8000)
    got = [one(lab, vip, 8000) for vip in (VIP, VIP6, VIP6, VIP, VIP, VIP6)]
    assert got == turns(6)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("ports", [{"port": "8000-8010"},
                                   {"port": [8000, "8001-8005"]}])
def test_ports_share_the_turns(lab, proto, ports):
    apply(lab, protocol=proto, **ports)
    # Whoever has no MAC of the VIP yet sends his first datagrams in any order.
    got = [one(lab, VIP, PORTS[i % 3], proto, lab.clients[i % 2])
           for i in range(8)]
    assert got == turns(8)
    traffic = lab.connect("c2", VIP, 8001, 60, proto=proto, concurrency=16)
    assert in_order(traffic) == turns(60, 8)


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_any(lab, vip):
    """All of a VIP: protocols share the turns as well."""
    apply(lab, vip=vip, port=None, protocol="any")
    got = [one(lab, vip, PORTS[i % 3], ("tcp", "udp")[i % 2],
               lab.clients[i % 2]) for i in range(8)]
    assert got == turns(8)
    traffic = lab.connect("c2", vip, 8005, 60, concurrency=16)
    assert in_order(traffic) == turns(60, 8)


@pytest.mark.parametrize("keys", [
    {"port": 8000}, {"port": 8000, "protocol": "udp"},
    {"port": None, "protocol": "any"}])
def test_affinity_over_ipv6(lab, keys):
    """New clients take turns and stay; one is its whole address."""
    proto = {"udp": "udp"}.get(keys.get("protocol"), "tcp")
    apply(lab, vip=VIP6, affinity={"by": "client"}, **keys)
    sources = lab.client_addresses6("c1", 60, 128)
    traffic = lab.connect("c1", VIP6, 8000, 300, sources=sources, proto=proto,
                          concurrency=50)
    assert not traffic.failures
    assert all(len(servers) == 1 for servers in traffic.by_source.values())
    assert sorted(traffic.values()) == [100, 100, 100]
    again = lab.connect("c1", VIP6, 8000, 60, sources=sources, proto=proto)
    assert all(set(again.by_source[s]) == set(traffic.by_source[s])
               for s in sources)


def test_affinity_over_all_ports_and_protocols(lab):
    """The client counts, whatever it asks for."""
    apply(lab, port=None, protocol="any", affinity={"by": "client"})
    got = {client: {one(lab, VIP, port, proto, client)
                    for port in PORTS for proto in ("tcp", "udp")}
           for client in lab.clients}
    assert got == {"c1": {"s1"}, "c2": {"s2"}}
