# SPDX-License-Identifier: Apache-2.0
"""Sticky clients that stay with a server that drains, for drain_timeout."""

import time

import pytest

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
N = 60                          # Clients of each kind.


@pytest.fixture
def shop(lab):
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.sources = lab.client_addresses("c1", 2 * N)
    return lab


def pool(lab, **keys):
    return lab.pool_yaml(server_port=8080, policy="sticky", **keys)


def served_by(lab, sources):
    """Which server each of the clients gets, by address."""
    result = {}
    for address in sources:
        traffic = lab.connect("c1", VIP, 80, 1, sources=[address])
        assert traffic.failures == 0
        [result[address]] = traffic
    return result


def residents(lab):
    return [flow for flow in lab.flows(match="table=200")
            if "hard_timeout=" in flow]


def test_clients_stay(shop):
    shop.lbgen("apply", pool(shop, drain_timeout="10m"))
    old, new = shop.sources[:N], shop.sources[N:]
    before = served_by(shop, old)
    there = [address for address, server in before.items() if server == "s1"]
    assert 5 < len(there) < N - 5

    drain = shop.lbgen("drain", "web/s1", "--dry-run", "-b", "br0", check=2)
    assert drain.stdout.count("hard_timeout=600") == len(there)
    shop.lbgen("drain", "web/s1", "-b", "br0")
    assert len(residents(shop)) == len(there)
    # Who was there stays, the others too, and nobody new comes.
    assert served_by(shop, old) == before
    assert "s1" not in served_by(shop, new).values()
    # That is no drift, and no apply ends it.
    path = pool(shop, drain_timeout="10m")
    assert shop.lbgen("diff", path).stdout == ""
    shop.lbgen("apply", path)
    assert served_by(shop, there) == {address: "s1" for address in there}

    shop.lbgen("maint", "web/s1", "-b", "br0")
    assert residents(shop) == []
    assert "s1" not in served_by(shop, there).values()


def test_until_the_timeout(shop):
    shop.lbgen("apply", pool(shop, drain_timeout=3))
    before = served_by(shop, shop.sources[:N])
    there = [address for address, server in before.items() if server == "s1"]
    shop.lbgen("drain", "web/s1", "-b", "br0")
    begin = time.monotonic()
    assert set(served_by(shop, there[:3]).values()) == {"s1"}
    time.sleep(max(0, 5 - (time.monotonic() - begin)))
    assert residents(shop) == []
    assert "s1" not in served_by(shop, there).values()


def test_networks_stay_together(shop):
    """With a prefix it is the network that stays."""
    shop.lbgen("apply", pool(shop, drain_timeout="1h", sticky={"prefix": 24}))
    [server] = set(served_by(shop, shop.sources[:3]).values())
    shop.lbgen("drain", f"web/{server}", "-b", "br0")
    assert len(residents(shop)) == 1
    assert set(served_by(shop, shop.sources[:6]).values()) == {server}


def test_without(shop):
    shop.lbgen("apply", pool(shop))
    before = served_by(shop, shop.sources[:N])
    there = [address for address, server in before.items() if server == "s1"]
    shop.lbgen("drain", "web/s1", "-b", "br0")
    assert "s1" not in served_by(shop, there).values()


def test_gone_with_ready_and_delete(shop):
    shop.lbgen("apply", pool(shop, drain_timeout="10m"))
    served_by(shop, shop.sources[:N])
    shop.lbgen("drain", "web/s1", "-b", "br0")
    assert residents(shop)
    shop.lbgen("ready", "web/s1", "-b", "br0")
    assert residents(shop) == []
    shop.lbgen("drain", "web/s1", "-b", "br0")
    shop.lbgen("delete", "--all", "-b", "br0")
    assert shop.flows() == ["priority=0 actions=NORMAL"]


@pytest.mark.parametrize("keys, message", [
    ({"policy": "wrr", "drain_timeout": 5},
     'drain_timeout is for "policy: sticky" or "affinity", with "connections: tracked"'),
    ({"policy": "sticky", "drain_timeout": "5x"},
     "drain_timeout must be 1 to 65535 seconds, or as in 90s, 10m or 1h, "
     'not "5x"'),
    ({"policy": "sticky", "drain_timeout": "19h"}, "not \"19h\""),
    ({"policy": "sticky", "drain_timeout": 0}, "not \"0\""),
])
def test_mistakes(lab, keys, message):
    check = lab.lbgen("check", lab.pool_yaml(**keys), check=1)
    assert message in check.stderr
