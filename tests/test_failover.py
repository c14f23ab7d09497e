# SPDX-License-Identifier: Apache-2.0
"""Servers that take each other's place, and a switch that notices by itself
that one is dead.  lbgen runs only where a test says so."""

import json
import time

import pytest
from lab import assert_shares, wait_for

from lab_slots import apply, settle

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"


@pytest.fixture(scope="module")
def shared(make_module_lab):
    lab = make_module_lab(servers=3, clients=1)
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


@pytest.fixture
def lab(shared):
    yield shared
    for server in shared.servers:
        link(shared, server, True)


def link(lab, server, up):
    """Plugs or pulls a cable, and waits until the switch knows."""
    lab.set_link(server, up)
    state = "LIVE" if up else "LINK_DOWN"
    wait_for(lambda: state in lab.ofctl("dump-ports-desc", "br0",
                                        lab.hosts[server].port),
             f"{server} {state}")
    settle(lab)


def served(lab, n=200):
    traffic = lab.connect("c1", VIP, 80, n, timeout=1.0)
    return {name: count for name, count in traffic.items() if count}


def servers(lab, **keys):
    """Three servers; 'keys' maps names of them to more of their keys."""
    return [{"name": name, "ip": lab.hosts[name].ip,
             "mac": lab.hosts[name].mac, "interface": lab.hosts[name].port,
             "port": 8080, **keys.get(name, {})} for name in lab.servers]


def pool(lab, **keys):
    keys.setdefault("servers", servers(lab))
    return lab.write({"bridge": "br0", "pools": [
        {"name": "web", "vip": VIP, "port": 80, **keys}]})


# The switch by itself

@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_only_the_dead_servers_slots_move(lab, connections):
    apply(lab, pool(lab, connections=connections))

    def places():
        first = lab.hosts["c1"].next_source_port = 20000
        traffic = lab.connect("c1", VIP, 80, 900)
        assert first == 20000 and not traffic.failures
        # Ports are not used again while the switch may know them.
        settle(lab)
        lab.appctl("dpctl/flush-conntrack")
        return traffic.by_connection

    before = places()
    link(lab, "s2", False)
    after = places()
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {key for key in before if before[key] == "s2"}
    to = [after[key] for key in moved]
    # Its load goes to all others, not to the next in line.
    assert min(to.count("s1"), to.count("s3")) > len(to) / 4
    link(lab, "s2", True)
    assert places() == before


def test_how_long_it_takes(lab):
    """From the moment the cable is pulled to the first connection that another
    server takes."""
    apply(lab, pool(lab, policy="failover"))
    assert served(lab, 20) == {"s1": 20}
    begin = time.monotonic()
    lab.set_link("s1", False)
    tries = 0
    while True:
        tries += 1
        if lab.connect("c1", VIP, 80, 1, timeout=0.02)["s2"]:
            break
        assert time.monotonic() - begin < 5
    took = time.monotonic() - begin
    print(f"first connection by another server after {took * 1000:.0f} ms, "
          f"{tries} tries, each a program of its own")
    assert took < 3                 # Each try is a program of its own.


def test_watch_none(lab):
    """Then the dead server keeps its part."""
    apply(lab, pool(lab, watch="none"))
    link(lab, "s2", False)
    traffic = lab.connect("c1", VIP, 80, 90, timeout=0.3)
    assert 8 <= traffic.failures <= 52


# Failover

def test_in_order_and_back(lab):
    apply(lab, pool(lab, policy="failover"))
    assert served(lab) == {"s1": 200}
    link(lab, "s1", False)
    assert served(lab) == {"s2": 200}
    link(lab, "s2", False)
    assert served(lab) == {"s3": 200}
    link(lab, "s1", True)
    assert served(lab) == {"s1": 200}


def test_without_preempt(lab):
    path = pool(lab, policy="failover", failover={"preempt": False})
    apply(lab, path)
    assert served(lab) == {"s1": 200}
    link(lab, "s1", False)
    assert served(lab) == {"s2": 200}
    link(lab, "s1", True)
    assert served(lab) == {"s2": 200}
    assert lab.lbgen("diff", path).stdout == ""
    link(lab, "s2", False)
    assert served(lab) == {"s1": 200}
    link(lab, "s2", True)
    assert served(lab) == {"s1": 200}


@pytest.mark.parametrize("dead", [None, "s3"])
def test_an_old_client_moves_no_pool(lab, dead):
    """A client goes to the server that it has, or is treated as a new one if
    that is dead; either way, the pool stays where it is."""
    lab.lbgen("delete", "--all", "-b", "br0")
    apply(lab, pool(lab, policy="failover", failover={"preempt": False},
                    affinity={"by": "client"}))
    old, older, *new = lab.client_addresses("c1", 4)[-4:]

    def ask(source):
        traffic = lab.connect("c1", VIP, 80, 1, sources=[source])
        settle(lab)
        assert not traffic.failures
        return next(iter(traffic))

    assert ask(old) == "s1"
    link(lab, "s1", False)
    link(lab, "s2", False)
    assert ask(older) == "s3"
    link(lab, "s2", True)
    link(lab, "s3", False)
    assert ask(new[0]) == "s2"
    link(lab, "s1", True)
    if dead is None:
        link(lab, "s3", True)
    assert ask(old) == "s1"
    assert ask(new[1]) == "s2"
    assert ask(older) == ("s2" if dead else "s3")
    assert [ask(source) for source in (old, *new)] == ["s1", "s2", "s2"]


def test_affinity_within_a_set(lab):
    """That the pool stays at a set says nothing of who of it a client has."""
    one, two, three = servers(lab)
    path = pool(lab, policy="failover", failover={"preempt": False},
                affinity={"by": "client"}, servers=[
                    {"set": "east", "servers": [one, two]}, three])
    apply(lab, path)
    sources = lab.client_addresses("c1", 40)[-40:]
    traffic = lab.connect("c1", VIP, 80, 400, sources=sources)
    assert not traffic.failures and traffic["s1"] and traffic["s2"]
    assert all(len(s) == 1 for s in traffic.by_source.values())


def test_drained_first(lab):
    apply(lab, pool(lab, policy="failover",
                    servers=servers(lab, s1={"state": "drain"})))
    assert served(lab) == {"s2": 200}


def test_between_sets(lab):
    one, two, three = servers(lab)
    apply(lab, pool(lab, policy="failover", servers=[
        {"set": "east", "servers": [one, {**two, "weight": 3}]},
        {"set": "west", "servers": [three]}]))
    assert_shares(lab.connect("c1", VIP, 80, 1000), [1, 3, 0], 1000)
    link(lab, "s2", False)
    assert served(lab) == {"s1": 200}
    link(lab, "s1", False)
    assert served(lab) == {"s3": 200}


# Backups

def test_backup(lab):
    path = pool(lab, servers=servers(lab, s3={"backup": True}))
    apply(lab, path)
    assert_shares(lab.connect("c1", VIP, 80, 1000), [1, 1, 0], 1000)
    link(lab, "s1", False)
    assert served(lab) == {"s2": 200}
    link(lab, "s2", False)
    assert served(lab) == {"s3": 200}
    link(lab, "s2", True)
    assert served(lab) == {"s2": 200}


def test_backup_of_a_large_pool(lab):
    apply(lab, pool(lab, slots=1024,
                    servers=servers(lab, s3={"backup": True})))
    assert_shares(lab.connect("c1", VIP, 80, 1000), [1, 1, 0], 1000)
    link(lab, "s1", False)
    assert served(lab) == {"s2": 200}
    link(lab, "s2", False)
    assert served(lab) == {"s3": 200}


def test_low_bits_of_a_dead_server(lab):
    apply(lab, pool(lab, policy="sticky", sticky={"low_bits": True}))
    sources = lab.client_addresses("c1", 200)[-200:]
    link(lab, "s1", False)
    traffic = lab.connect("c1", VIP, 80, 400, sources=sources)
    assert not traffic.failures and not traffic["s1"]
    assert all(len(s) == 1 for s in traffic.by_source.values())


def test_affinity_to_a_dead_server(lab):
    """Its clients get another one, and stay there when it comes back."""
    apply(lab, pool(lab, affinity={"by": "client"}))
    [first] = served(lab, 1)
    settle(lab)
    assert set(served(lab, 20)) == {first}
    link(lab, first, False)
    [second] = served(lab, 1)
    settle(lab)
    assert second != first
    assert set(served(lab, 20)) == {second}
    link(lab, first, True)
    assert set(served(lab, 20)) == {second}


# Nobody

def test_on_empty_drop(lab):
    apply(lab, pool(lab))
    for server in lab.servers:
        link(lab, server, False)
    traffic = lab.connect("c1", VIP, 80, 5, timeout=0.3)
    assert traffic.failures == 5


# What lbgen says

def test_explain_and_status(lab):
    apply(lab, pool(lab))
    link(lab, "s2", False)
    traffic = lab.connect("c1", VIP, 80, 60)
    for (client, port), server in traffic.by_connection.items():
        e = json.loads(lab.lbgen("explain", "-b", "br0", "--json", "web",
                                 f"{client}:{port}").stdout)
        assert e["server"] == server
    status = lab.lbgen("status", "-b", "br0").stdout
    assert "down" in status, status
