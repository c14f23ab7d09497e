# SPDX-License-Identifier: Apache-2.0
"""Servers get what their weights ask for, counted in real connections."""

from collections import Counter

import pytest

from lab import assert_shares
from lab_slots import apply

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
N = 3000

WEIGHTS = [(1, 1, 1), (2, 1), (3, 2, 2), (5, 3, 2), (100, 100, 5),
           (10, 1, 1, 1, 1)]

# "connections:", and the port of the servers if it is not that of the VIP.
MODES = [("tracked", 8080), ("stateless", None)]
CASES = [(weights, *mode) for weights in WEIGHTS for mode in MODES] + [
    ((3, 2, 2), "tracked", None), ((3, 2, 2), "stateless", 8080)]


def name_of(value):
    return (":".join(map(str, value)) if isinstance(value, tuple)
            else str(value))


class Bench:
    """Five servers that answer on all ports that the tests use."""

    def __init__(self, lab):
        self.lab = lab
        self.servers = {(name, proto, port): lab.serve(name, port, proto)
                        for name in lab.servers for proto in ("tcp", "udp")
                        for port in (80, 8080)}
        self.sources = lab.client_addresses("c1", 2000)

    def peers(self, proto, port):
        return {name: self.servers[name, proto, port].peers()
                for name in self.lab.servers}

    def run(self, weights, sources=None, n=N, server_port=None,
            protocol="tcp", **keys):
        """Applies a pool and makes connections to it.  Returns the traffic
        and, for each server, the Counter of the clients that it saw."""
        port = server_port or 80
        before = self.peers(protocol, port)
        apply(self.lab, self.lab.pool_yaml(
            weights, server_port=server_port, protocol=protocol, **keys))
        traffic = self.lab.connect("c1", VIP, 80, n, sources=sources,
                                   proto=protocol)
        assert not traffic.failures, traffic.reasons
        seen = {name: peers - before[name]
                for name, peers in self.peers(protocol, port).items()}
        return traffic, seen


@pytest.fixture(scope="module")
def bench(make_module_lab):
    return Bench(make_module_lab(servers=5, clients=1))


def assert_peers(traffic, seen):
    """Servers saw the clients' own addresses, as often as the clients saw
    them."""
    expected = {}
    for source, servers in traffic.by_source.items():
        for name, n in servers.items():
            expected.setdefault(name, Counter())[source] += n
    assert {name: peers for name, peers in seen.items() if peers} == expected


def clients_of(traffic):
    """Counter of servers by number of clients.  Fails unless each client got
    one server only."""
    for source, servers in traffic.by_source.items():
        assert len(servers) == 1, f"{source} got {servers}"
    return Counter(next(iter(servers))
                   for servers in traffic.by_source.values())


@pytest.mark.parametrize("weights, connections, server_port", CASES,
                         ids=name_of)
def test_wrr(bench, weights, connections, server_port):
    traffic, seen = bench.run(weights, connections=connections,
                              server_port=server_port)
    assert_shares(traffic, weights, N)
    assert_peers(traffic, seen)


@pytest.mark.parametrize("weights, connections", [
    ((1, 1, 1), "tracked"), ((10, 1, 1, 1, 1), "stateless")], ids=name_of)
def test_random(bench, weights, connections):
    """Weights do not matter."""
    traffic, seen = bench.run(weights, policy="random",
                              connections=connections)
    assert_shares(traffic, [1] * len(weights), N)
    assert_peers(traffic, seen)


@pytest.mark.parametrize("weights, connections, server_port", CASES,
                         ids=name_of)
def test_sticky(bench, weights, connections, server_port):
    """Shares are of the clients, each of which has one server."""
    traffic, seen = bench.run(weights, policy="sticky", sources=bench.sources,
                              connections=connections,
                              server_port=server_port)
    clients = clients_of(traffic)
    assert_shares(clients, weights, len(bench.sources))
    assert_peers(traffic, seen)


def test_sticky_with_one_busy_client(bench):
    traffic, _ = bench.run((3, 2, 2), policy="sticky")
    assert len(traffic) == 1


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_sticky_by_network(bench, connections):
    """All clients of a /24 have one server, and those of a /16 do not."""
    traffic, seen = bench.run((1, 1, 1), policy="sticky", n=2000,
                              sources=bench.sources, connections=connections,
                              sticky={"prefix": 24})
    clients_of(traffic)
    networks = {}
    for source, servers in traffic.by_source.items():
        network = source.rsplit(".", 1)[0]
        networks.setdefault(network, set()).update(servers)
    assert len(networks) >= 8
    assert all(len(servers) == 1 for servers in networks.values()), networks
    assert len(set.union(*networks.values())) > 1
    assert_peers(traffic, seen)


@pytest.mark.parametrize("weights, connections, server_port", [
    ((3, 2, 2), "tracked", None), ((3, 2, 2), "stateless", None),
    ((10, 1, 1, 1, 1), "tracked", 8080), ((100, 100, 5), "stateless", 8080)],
    ids=name_of)
def test_udp(bench, weights, connections, server_port):
    """Source ports of one client spread, too."""
    traffic, seen = bench.run(weights, protocol="udp",
                              connections=connections,
                              server_port=server_port)
    assert set(traffic.by_source) == {bench.lab.hosts["c1"].ip}
    assert_shares(traffic, weights, N)
    assert_peers(traffic, seen)


def test_udp_sticky(bench):
    traffic, seen = bench.run((5, 3, 2), protocol="udp", policy="sticky",
                              sources=bench.sources, server_port=8080)
    assert_shares(clients_of(traffic), (5, 3, 2), len(bench.sources))
    assert_peers(traffic, seen)


@pytest.mark.parametrize("slots", [16, 64])
def test_fewer_slots(bench, slots):
    traffic, _ = bench.run((3, 2, 2), slots=slots)
    assert_shares(traffic, (3, 2, 2), N, slots=slots)


def test_two_pools_do_not_mix(bench):
    """Same VIP, same servers, weights the other way round."""
    lab = bench.lab
    apply(lab, lab.file(
        lab.pool((8, 1, 1), name="a", port=80),
        lab.pool((1, 1, 8), name="b", port=8080)))
    assert_shares(lab.connect("c1", VIP, 80, N), (8, 1, 1), N)
    assert_shares(lab.connect("c1", VIP, 8080, N), (1, 1, 8), N)
