# SPDX-License-Identifier: Apache-2.0
"""What becomes of clients when checks find their server dead, and when it is
back, in pools of every kind: they move at once, nobody else does, and who
comes back does so by rule."""

import re
import time

import pytest

from lab_monitor import Monitor
from lab_slots import slot_tables, wait_revalidated
from lab_topology import own_vip

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
# Nobody is to be taken for dead because the machine is busy: a server that is
# gone refuses at once.
CHECK = {"type": "tcp", "from": "switch", "interval": "200ms",
         "timeout": "2s", "fall": 3, "rise": 2}
SERVERS = ["s1", "s2", "s3"]
DEAD = "s2"

AFFINITY = {"affinity": {"by": "client", "timeout": "60s"}}


@pytest.fixture(scope="module")
def module_death(make_module_lab):
    lab = make_module_lab(servers=3, clients=1)
    lab.sources = lab.client_addresses("c1", 40)
    for server in SERVERS:
        own_vip(lab, server, "10.0.0.101")
    return lab


@pytest.fixture
def lab(module_death):
    lab = module_death
    lab.services = {name: lab.serve(name, 8080) for name in SERVERS}
    yield lab
    for service in lab.services.values():
        service.stop()
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.ofctl("del-flows", "br0")


def servers_of(lab, vip, port):
    """Which server each client's next connection gets, once the datapath has
    followed."""
    got = {}
    wait_revalidated(lab)
    for source in lab.sources:
        traffic = lab.connect("c1", vip, port, 1, sources=[source])
        assert traffic.failures == 0, source
        got[source], = traffic
    return got


def learned(lab):
    """Clients that the switch remembers a server of."""
    return sorted(re.search(r"nw_src=([\d.]+)", line)[1]
                  for line in lab.flows(match="table=209")
                  if "nw_src=" in line)


# How a pool is made, whether clients keep their server while nothing happens,
# and whether those of a server that was dead come back to it.
POOLS = {
    "wrr": ({}, False, None),
    "random": ({"policy": "random"}, False, None),
    "sticky": ({"policy": "sticky"}, True, True),
    "slots": ({"policy": "sticky", "slots": 1024}, True, True),
    "low-bits": ({"policy": "sticky", "sticky": {"low_bits": True}}, True,
                 True),
    "round-robin": ({"policy": "round-robin"}, False, None),
    "affinity": (AFFINITY, True, False),
    "turns-affinity": ({"policy": "round-robin", **AFFINITY}, True, False),
    "slots-affinity": ({"slots": 1024, **AFFINITY}, True, False),
    "stateless": ({"policy": "sticky", "connections": "stateless",
                   "guard": True}, True, True),
    "direct": ({"policy": "sticky", "connections": "direct",
                "vip": "10.0.0.101", "port": 8080}, True, True),
}


def pool_file(lab, keys):
    keys = {"vip": VIP, "port": 80, "server_port": 8080, **keys}
    check = CHECK
    if keys.get("connections") == "direct":
        del keys["server_port"]
        check = {**CHECK, "source": "10.0.0.250"}
    return keys["vip"], keys["port"], lab.pool_yaml(
        settings={"fallback": "normal"}, check=check, **keys)


@pytest.mark.parametrize("name", POOLS)
def test_clients_of_the_dead_move(lab, name):
    keys, keeps, returns = POOLS[name]
    vip, port, path = pool_file(lab, keys)
    m = Monitor(lab, path)
    try:
        m.wait_states(s1="up", s2="up", s3="up")
        before = servers_of(lab, vip, port)
        assert set(before.values()) == set(SERVERS)
        if keeps:
            assert servers_of(lab, vip, port) == before
        remembered = learned(lab)

        lab.services.pop(DEAD).stop()
        m.wait(f"server down: .*server={DEAD}")
        m.wait_states(**{DEAD: "down"})
        during = servers_of(lab, vip, port)
        assert DEAD not in during.values()
        lab.lbgen("diff", path)
        if keeps:
            assert all(during[source] == server
                       for source, server in before.items() if server != DEAD)
            assert servers_of(lab, vip, port) == during
        if "affinity" in keys:
            # Who was remembered for the dead is remembered elsewhere, once.
            assert len(remembered) == len(lab.sources)
            assert learned(lab) == remembered

        lab.services[DEAD] = lab.serve(DEAD, 8080)
        m.wait_states(**{DEAD: "up"})
        after = servers_of(lab, vip, port)
        if returns is None:
            assert DEAD in after.values()
        else:
            assert after == (before if returns else during)
        assert m.count_lines("server down") == 1
    except BaseException:
        print(m.log())
        raise
    finally:
        m.kill()


@pytest.mark.parametrize("preempt", [True, False])
def test_failover(lab, preempt):
    """One after the other; a server that is back takes over only if it may."""
    vip, port, path = pool_file(lab, {"policy": "failover",
                                      "failover": {"preempt": preempt}})
    m = Monitor(lab, path)
    try:
        m.wait_states(s1="up", s2="up", s3="up")
        assert set(servers_of(lab, vip, port).values()) == {"s1"}
        lab.services.pop("s1").stop()
        m.wait_states(s1="down")
        assert set(servers_of(lab, vip, port).values()) == {"s2"}
        lab.services.pop("s2").stop()
        m.wait_states(s2="down")
        assert set(servers_of(lab, vip, port).values()) == {"s3"}
        time.sleep(1.5)         # The switch has noted who is in charge.
        lab.services["s1"] = lab.serve("s1", 8080)
        m.wait_states(s1="up")
        assert set(servers_of(lab, vip, port).values()) == \
            {"s1" if preempt else "s3"}
    finally:
        m.kill()


def test_sets(lab):
    """The set keeps its share: the others in it get what the dead had."""
    pool = lab.pool(server_port=8080, check=CHECK)
    s1, s2, s3 = pool["servers"]
    pool["servers"] = [{"set": "a", "weight": 60, "servers": [s1, s2]},
                       {"set": "b", "weight": 40, "servers": [s3]}]
    m = Monitor(lab, lab.file(pool, fallback="normal"))
    try:
        m.wait_states(s1="up", s2="up", s3="up")
        lab.services.pop("s2").stop()
        m.wait_states(s2="down")
        wait_revalidated(lab)
        traffic = lab.connect("c1", VIP, 80, 1000, sources=lab.sources)
        assert traffic.failures == 0
        assert traffic.keys() == {"s1", "s3"}
        assert abs(traffic["s3"] / 1000 - 0.4) < 0.07, traffic
        lab.services.pop("s1").stop()
        m.wait_states(s1="down")
        assert set(servers_of(lab, VIP, 80).values()) == {"s3"}
    finally:
        m.kill()


def table(lab):
    """Owners of the slots, in order."""
    owners, = slot_tables(lab).values()
    return owners


def test_slots_come_back(lab):
    """The very same ones, whoever else was out meanwhile; and no others
    move."""
    path = lab.pool_yaml(settings={"fallback": "normal"}, server_port=8080)
    lab.lbgen("apply", path)
    first = table(lab)
    lab.lbgen("drain", "web/s2", "-b", "br0")
    without_s2 = table(lab)
    s2, = set(first) - set(without_s2)
    assert all(b == a for a, b in zip(first, without_s2) if a != s2)
    lab.lbgen("drain", "web/s1", "-b", "br0")
    assert len(set(table(lab))) == 1
    lab.lbgen("diff", path)
    lab.lbgen("ready", "web/s2", "-b", "br0")
    again = table(lab)
    assert all(b == a for a, b in zip(first, again) if a == s2)
    lab.lbgen("ready", "web/s1", "-b", "br0")
    assert table(lab) == first
