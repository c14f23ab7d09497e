# SPDX-License-Identifier: Apache-2.0
"""Every example does what it says, with real traffic.  Those of two sites do so
in test_sites.py: they need two switches."""

import glob
import os
from collections import Counter
from fractions import Fraction

import pytest
import yaml

import turn_model
from lab import assert_shares
from lab_switch import snapshot
from lab_topology import own_vip
from try_lab import HOSTS, flat_servers, server_hosts

pytestmark = pytest.mark.switch

SRCDIR = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__),
                                               ".."))
EXAMPLES = sorted(path for path
                  in glob.glob(os.path.join(SRCDIR, "examples", "*.yaml"))
                  if "two-sites" not in path)


def weights(pool):
    """What each server of the pool is to get."""
    if pool.get("policy") == "random":
        return {server["name"]: 1 for server in pool["servers"]}
    if pool.get("policy") == "failover":
        first, *others = pool["servers"]
        return {**dict.fromkeys((server["name"] for server
                                 in flat_servers(others)), 0),
                **dict(shares([first], Fraction(1)))}
    return dict(shares(pool["servers"], Fraction(1)))


def shares(items, all_of_it):
    def weight(item):
        ready = (item.get("state", "ready") == "ready"
                 and not item.get("backup"))
        return item.get("weight", 1) if ready else 0

    total = sum(map(weight, items))
    for item in items:
        share = all_of_it * weight(item) / total
        if "set" in item:
            yield from shares(item["servers"], share)
        else:
            yield item["name"], share


def a_port(pool):
    """One of the pool's."""
    if "ports" in pool:
        return pool["ports"][-1]
    return int(str(pool.get("port", 7777)).split("-")[0])


def protocol(pool):
    """One of the pool's, that servers of a lab know."""
    return "udp" if pool.get("protocol") == "udp" else "tcp"


def start_lab(make_lab, path, content):
    """A lab with the hosts that the file is for."""
    options = {
        "fail_mode": ("secure" if content.get("fallback") == "normal"
                      else "standalone"),
        "ipv6": any(":" in str(pool["vip"]) for pool in content["pools"]),
    }
    if os.path.basename(path).startswith("lab-"):
        pool, = content["pools"]
        servers = [host for host, _ in server_hosts(pool)]
        options |= {"servers": servers,
                    "clients": [h for h in HOSTS if h not in servers]}
    return make_lab(**options)


def host_of(lab, server):
    """The host that a server is on: its own, or a router."""
    return next((host.name for host in lab.hosts.values()
                 if host.ip == server["ip"]), server["name"])


def start_servers(lab, pools):
    wanted = {(host_of(lab, server), protocol(pool),
               server.get("port", a_port(pool)), server["name"])
              for pool in pools for server in flat_servers(pool["servers"])}
    for host, proto, port, name in sorted(wanted):
        lab.serve(host, port, proto, name)
    for pool in pools:
        if pool.get("connections") == "direct":
            for server in pool["servers"]:
                own_vip(lab, server["name"], pool["vip"])
        for server in flat_servers(pool["servers"]):
            if "via" in server:     # Its interface is the router here.
                lab.run(server["name"], "ip", "address", "add",
                        f"{server['ip']}/32", "dev", "lo")


def check_wrr(lab, pool):
    traffic = lab.connect(lab.clients[0], pool["vip"], a_port(pool), 3000,
                          proto=protocol(pool),
                          peer=pool.get("snat"))
    assert not traffic.failures
    assert_shares(traffic, weights(pool), 3000)


def check_low_bits(lab, pool):
    """Addresses that end alike have one server."""
    sources = lab.client_addresses("c2", 1000)
    traffic = lab.connect("c2", pool["vip"], a_port(pool), 2 * len(sources),
                          sources=sources)
    assert not traffic.failures
    ends = {}
    for source, servers in traffic.by_source.items():
        ends.setdefault(source.rsplit(".", 1)[1], set()).update(servers)
    assert len(ends) == 250
    assert all(len(servers) == 1 for servers in ends.values())
    counts = {name: sum(servers == {name} for servers in ends.values())
              for name in weights(pool)}
    assert_shares(Counter(counts), weights(pool), 250)


def check_sticky(lab, pool):
    """Each client has one server, as has each of its networks; over all
    networks the shares are right."""
    if pool.get("sticky", {}).get("low_bits"):
        check_low_bits(lab, pool)
        return
    prefix = pool.get("sticky", {}).get("prefix", 32)
    assert prefix == 24         # The addresses below are made for that.
    sources = lab.client_addresses("c2", 30000)
    sources = sources[::250] + sources[1::250] + sources[200::250]
    traffic = lab.connect("c2", pool["vip"], a_port(pool), 2 * len(sources),
                          sources=sources)
    assert not traffic.failures
    networks = {}
    for source, servers in traffic.by_source.items():
        networks.setdefault(source.rsplit(".", 1)[0], set()).update(servers)
    assert len(networks) == 120
    assert all(len(servers) == 1 for servers in networks.values())
    counts = {name: sum(servers == {name} for servers in networks.values())
              for name in weights(pool)}
    assert_shares(Counter(counts), weights(pool), 120)


def check_round_robin(lab, pool):
    """One after the other, in the order of the file; with affinity, that is
    the order of the clients."""
    names = [server["name"] for server in pool["servers"]]
    order = turn_model.order(turn_model.quotas(
        [server.get("weight", 1) for server in pool["servers"]]))
    turns = [names[i] for i in order] * 12
    got = []
    for client in lab.clients * 6:
        traffic = lab.connect(client, pool["vip"], a_port(pool), 1)
        assert not traffic.failures
        got += traffic
    clients = len(lab.clients)
    assert got == (turns[:clients] * 6 if "affinity" in pool
                   else turns[:len(got)])


def check_sticky6(lab, pool):
    """As check_sticky(), for clients of IPv6."""
    assert pool["sticky"]["prefix6"] == 56
    networks = lab.client_addresses6("c2", 120, 56)
    sources = [address.replace("00::1", host) for address in networks
               for host in ("00::1", "00::2", "ff:1::1")]
    traffic = lab.connect("c2", pool["vip"], a_port(pool), len(sources),
                          sources=sources)
    assert not traffic.failures
    chosen = [{name for host in range(3)
               for name in traffic.by_source[sources[3 * i + host]]}
              for i in range(len(networks))]
    assert all(len(servers) == 1 for servers in chosen)
    assert_shares(Counter(name for servers in chosen for name in servers),
                  weights(pool), 120)


def check(lab, pool):
    if isinstance(pool["vip"], list):
        for vip in pool["vip"]:
            check(lab, {**pool, "vip": vip})
    elif pool.get("policy") == "round-robin":
        check_round_robin(lab, pool)
    elif pool.get("policy") != "sticky":
        check_wrr(lab, pool)
    elif ":" in pool["vip"]:
        check_sticky6(lab, pool)
    else:
        check_sticky(lab, pool)


@pytest.mark.parametrize("path", EXAMPLES, ids=map(os.path.basename, EXAMPLES))
def test_example(make_lab, path):
    with open(path) as file:
        content = yaml.safe_load(file)
    assert content["bridge"] == "br0"
    lab = start_lab(make_lab, path, content)
    empty = snapshot(lab)
    for args, status in ((("check", path), 0), (("diff", path), 2),
                         (("apply", path), 0), (("diff", path), 0)):
        result = lab.lbgen(*args, check=status)
        assert not result.stderr or (
            args[0] == "check" and "with low_bits the last" in result.stderr)
    start_servers(lab, content["pools"])
    for pool in content["pools"]:
        if "vlan" not in pool:  # test_vlan.py has traffic with tags.
            check(lab, pool)
    lab.lbgen("delete", path)
    assert snapshot(lab) == empty
