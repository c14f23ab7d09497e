# SPDX-License-Identifier: Apache-2.0
"""Fragments of IP: whole datagrams or nothing."""

import collections
import os

import pytest

from lab_datagrams import Echo, ask, udp_socket

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"

# Three packets each way.
BIG = 4000


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=3, clients=3)
    lab.ports = [53, 5353, 8000, 8001]
    with Echo(lab, lab.ports) as echo:
        lab.echo = echo
        yield lab


@pytest.fixture(autouse=True)
def afresh(lab):
    lab.lbgen("delete", "--all", "-b", "br0")
    for seen in lab.echo.seen.values():
        seen.clear()


def apply(lab, *pools):
    path = lab.file(*pools)
    result = lab.lbgen("apply", path)
    lab.lbgen("diff", path)
    # What the datapath has cached of other tests' pools lives on for a moment.
    lab.appctl("revalidator/purge")
    return result


def data(size=BIG):
    return os.urandom(size // 2).hex().encode()


def clients(lab, n):
    """Sockets of all clients, 'n' of each."""
    return [udp_socket(lab.hosts[name]) for name in lab.clients
            for _ in range(n)]


def test_tracked(lab):
    """Both ways, and each client stays with its server whatever the size."""
    apply(lab, lab.pool(protocol="udp", port=53, server_port=5353))
    servers = set()
    for sock in clients(lab, 8):
        answers = {ask(sock, VIP, 53, data(size))
                   for size in (BIG, 100, 9000, 1472, 1474)}
        [(server, port)] = answers
        assert port == 5353
        servers.add(server)
    # By connection, though the parts without ports say who is picked.
    assert len(servers) > 1


@pytest.mark.parametrize("snat, server_port",
                         [(True, 5353), ("10.0.0.200", 8000)])
def test_servers_do_not_see_clients(lab, snat, server_port):
    apply(lab, lab.pool(protocol="udp", port=53, server_port=server_port,
                        snat=snat))
    for sock in clients(lab, 4):
        for size in BIG, 100, 9000, 1474:
            _, port = ask(sock, VIP, 53, data(size))
            assert port == server_port
    own = VIP if snat is True else snat
    seen = [peer for seen in lab.echo.seen.values() for peer, *_ in seen]
    assert len(seen) == 4 * 4 * len(lab.clients) and set(seen) == {own}


def test_servers_are_clients(lab):
    """What a server asks the VIP for is no answer, even if it is the one that
    the VIP leads to."""
    apply(lab, lab.pool({"s1": 1}, protocol="udp", port=53, server_port=5353),
          lab.pool({"s1": 1, "s2": 1}, name="more", protocol="udp", port=8000))
    for name in lab.servers:
        for _ in range(4):
            sock = udp_socket(lab.hosts[name])
            for size in 100, BIG, 9000:
                assert ask(sock, VIP, 53, data(size)) == ("s1", 5353)


def test_small_first(lab):
    apply(lab, lab.pool(protocol="udp", port=53))
    servers = collections.Counter()
    for sock in clients(lab, 20):
        answers = {ask(sock, VIP, 53, data(size)) for size in (100, BIG, 100)}
        [(server, _)] = answers
        servers[server] += 1
    assert len(servers) == 3


def test_pools_of_one_vip(lab):
    """Parts never get to another pool.  With several pools to choose from, a
    connection has to begin with a whole packet."""
    apply(lab, lab.pool({"s1": 1}, name="one", protocol="udp", port=53),
          lab.pool({"s2": 1}, name="range", protocol="udp", port="8000-8001"),
          lab.pool({"s3": 1}, name="rest", protocol="any", port=None))
    for sock in clients(lab, 2):
        for port, server in (8000, "s2"), (53, "s1"), (5353, "s3"), \
                (8001, "s2"):
            assert ask(sock, VIP, port, data(), timeout=0.1) is None
            assert ask(sock, VIP, port) == (server, port)
            assert ask(sock, VIP, port, data()) == (server, port)
    for server, seen in lab.echo.seen.items():
        assert {port for _, _, port, _ in seen} == {
            "s1": {53}, "s2": {8000, 8001}, "s3": {5353}}[server]


def test_other_protocols_do_not_matter(lab):
    apply(lab, lab.pool({"s1": 1}, name="tcp", protocol="tcp", port=53),
          lab.pool({"s2": 1}, name="udp", protocol="udp", port=53))
    for sock in clients(lab, 3):
        assert ask(sock, VIP, 53, data()) == ("s2", 53)


def test_directly(lab):
    """What is not for a VIP gets through, whatever the pools."""
    apply(lab, lab.pool(protocol="udp", port=53),
          lab.pool(name="stateless", vip="10.0.0.101", protocol="udp",
                   port=5353, connections="stateless", fragments="drop"))
    for sock in clients(lab, 3):
        for server in lab.servers:
            for port in 53, 8000:
                assert ask(sock, lab.hosts[server].ip, port,
                           data()) == (server, port)


@pytest.mark.parametrize("keys", [
    {"port": 53},
    {"port": 53, "guard": True},
    {"port": 53, "policy": "sticky"},
    {"port": None},
    {"port": None, "policy": "sticky", "fragments": "drop"},
], ids=["port", "guard", "sticky", "every-port", "sticky-every-port"])
def test_stateless_drops(lab, keys):
    """Nothing of a fragmented datagram gets to a server."""
    apply(lab, lab.pool(protocol="udp", connections="stateless", **keys))
    captures = [lab.capture(server, "ip[6:2] & 0x3fff != 0")
                for server in lab.servers]
    for sock in clients(lab, 4):
        assert ask(sock, VIP, 53, data(), timeout=0.2) is None
        assert ask(sock, VIP, 53)
    for capture in captures:
        assert capture.lines() == []


def test_warning(lab):
    stateless = {"protocol": "udp", "connections": "direct",
                 "policy": "sticky"}
    warning = "datagrams that come in fragments are dropped"

    def warnings(*pools):
        return lab.lbgen("check", lab.file(*pools)).stderr

    assert warning in warnings(lab.pool(**stateless))
    assert warning in warnings(lab.pool(
        **{**stateless, "connections": "stateless"}, port=None))
    assert warnings(lab.pool(**stateless, fragments="drop")) == ""
    assert warnings(lab.pool(**stateless, port=None)) == ""
    # Another pool may be meant.
    other = lab.pool({"s1": 1}, name="other", protocol="udp", port=99)
    assert warning in warnings(
        lab.pool({"s2": 1}, port=None, **stateless), other)
    assert warnings(lab.pool({"s2": 1}, port=None, **stateless),
                    {**other, "vip": "10.0.0.101"}) == ""
    assert warnings(lab.pool(**{**stateless, "protocol": "tcp"})) == ""


def test_residents(lab):
    """A client stays with a server that drains, whatever the size of what it
    sends first."""
    pool = lab.pool([1, 1, 1], protocol="udp", port=53, policy="sticky",
                    drain_timeout="10m")
    apply(lab, pool)
    server = {name: ask(udp_socket(lab.hosts[name]), VIP, 53)[0]
              for name in lab.clients}
    for name in set(server.values()):
        lab.lbgen("drain", "-b", "br0", f"web/{name}")
        lab.appctl("revalidator/purge")
        for client in (c for c in lab.clients if server[c] == name):
            for size in BIG, 100, 9000:
                assert ask(udp_socket(lab.hosts[client]), VIP, 53,
                           data(size)) == (name, 53)
        lab.lbgen("ready", "-b", "br0", f"web/{name}")
    lab.lbgen("drain", "-b", "br0", f"web/{server['c1']}")
    lab.appctl("revalidator/purge")
    # Without the flows for fragments, the client goes elsewhere.
    for kind in "later", "yes":
        lab.ofctl("del-flows", "br0", "cookie=0x6c62670600000000/"
                  f"0xffffffff00000000,table=200,udp,nw_frag={kind}")
    assert ask(udp_socket(lab.hosts["c1"]), VIP, 53, data(),
               timeout=0.5) != (server["c1"], 53)
