# SPDX-License-Identifier: Apache-2.0
"""What a change moves, counted on the switch, and what goes on meanwhile."""

import json
import random
import re
import threading
from collections import Counter

import pytest

from lab_slots import (apply, moved, settle, slot_servers, slot_table,
                       slot_tables, wait_revalidated)

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
TEN = {f"s{i}": 10 for i in range(1, 11)}


def without(weights, *names):
    return {name: w for name, w in weights.items() if name not in names}


@pytest.fixture(scope="module")
def ten(make_module_lab):
    """Ten servers."""
    lab = make_module_lab(servers=10, clients=1)
    for server in lab.servers:
        lab.serve(server, 80)
    return lab


@pytest.fixture
def fresh(ten):
    """The same, with nothing of lbgen's on the bridge."""
    ten.lbgen("delete", "--all", "-b", "br0")
    settle(ten)
    assert ten.groups() == []
    return ten


def change(lab, old, new, **keys):
    """Goes from weights 'old' to 'new'.  Returns how many slots moved on the
    switch, after comparing that with what lbgen says."""
    lab.lbgen("apply", lab.pool_yaml(old, **keys))
    before = slot_table(lab)
    path = lab.pool_yaml(new, **keys)
    foretold = json.loads(lab.lbgen("diff", "--json", path, check=2).stdout)
    text = lab.lbgen("diff", path, check=2).stdout
    said = lab.lbgen("apply", path).stdout
    after = slot_table(lab)
    n = moved(before, after)
    pool, = foretold["pools"]
    assert pool["moved_slots"] == n
    assert abs(pool["moved_share"] - n / len(after)) < 1e-6
    of = rf"\b{n} of {len(after)} slots"
    if n:
        assert re.search(of, text) and re.search(of, said)
    lab.lbgen("diff", path)
    return n


@pytest.mark.parametrize("new, most", [
    (without(TEN, "s4"), 26),
    (without(TEN, "s1"), 26),
    (without(TEN, "s3", "s7"), 52),
    ({**TEN, "s4": 9}, 3),
    ({**TEN, "s10": 11}, 3),
    ({**TEN, "s4": 20}, 24),
    ({**TEN, "s4": 0}, 26),
    ({name: 7 * w for name, w in TEN.items()}, 0),
], ids=["remove s4", "remove s1", "remove two", "10 to 9", "10 to 11",
        "10 to 20", "10 to 0", "all times 7"])
def test_moved_slots(fresh, new, most):
    assert change(fresh, TEN, new) <= most


def test_moved_slots_when_a_server_is_added(fresh):
    """It gets its share, and nothing else moves."""
    assert change(fresh, without(TEN, "s4"), TEN) <= 26
    assert min(Counter(slot_servers(fresh)).values()) == 25


@pytest.mark.parametrize("policy", ["random", "sticky"])
def test_moved_slots_in_other_policies(fresh, policy):
    assert change(fresh, TEN, without(TEN, "s6"), policy=policy) <= 26


def test_only_the_slots_of_the_server_that_goes(fresh):
    fresh.lbgen("apply", fresh.pool_yaml(TEN))
    before = slot_servers(fresh)
    fresh.lbgen("apply", fresh.pool_yaml(without(TEN, "s4")))
    after = slot_servers(fresh)
    assert {b for b, a in zip(before, after) if a != b} == {"s4"}
    gained = Counter(a for b, a in zip(before, after) if a != b)
    assert set(gained) == set(without(TEN, "s4"))
    assert max(gained.values()) - min(gained.values()) <= 2


def test_a_walk_of_changes(fresh):
    """Wherever the table comes from, the numbers foretold are right and what
    is left over from earlier weights is never more than what must be."""
    rng = random.Random(1)
    weights = dict(TEN)
    for _ in range(8):
        old = dict(weights)
        weights = {name: rng.choice([1, 2, 5, 10])
                   for name in fresh.servers if rng.random() < 0.9}
        change(fresh, old, weights)
        quotas = Counter(slot_servers(fresh))
        total = sum(weights.values())
        for name, weight in weights.items():
            assert abs(quotas[name] - 256 * weight / total) < 1


def test_the_table_is_a_function_of_the_file(fresh):
    """Delete and apply give the same table, whatever was there before; the
    order in the file does not matter."""
    weights = {"s1": 5, "s2": 3, "s3": 2, "s4": 2}
    fresh.lbgen("apply", fresh.pool_yaml(weights))
    first = slot_servers(fresh)
    fresh.lbgen("apply", fresh.pool_yaml({**weights, "s1": 0, "s4": 20}))
    fresh.lbgen("apply", fresh.pool_yaml({**weights, "s2": 0}))
    fresh.lbgen("apply", fresh.pool_yaml(weights))
    assert slot_servers(fresh) != first
    for order in sorted(weights), sorted(weights, reverse=True):
        fresh.lbgen("delete", "--all", "-b", "br0")
        fresh.lbgen("apply", fresh.pool_yaml({n: weights[n] for n in order}))
        assert slot_servers(fresh) == first


def test_another_order_in_the_file_moves_nothing(fresh):
    names = list(TEN)
    assert change(fresh, TEN, {n: TEN[n] for n in names[5:] + names[:5]}) == 0


def test_order_of_pools_does_not_matter(fresh):
    a = fresh.pool({"s1": 3, "s2": 1}, name="a", port=80)
    b = fresh.pool({"s1": 1, "s2": 3}, name="b", port=81)
    fresh.lbgen("apply", fresh.file(a, b))
    before = slot_tables(fresh)
    said = fresh.lbgen("diff", fresh.file(b, a)).stdout
    assert not said
    fresh.lbgen("delete", "--all", "-b", "br0")
    fresh.lbgen("apply", fresh.file(b, a))
    assert slot_tables(fresh) == before


def test_two_bridges_with_one_file(make_lab):
    """Ports have other numbers there."""
    spread = {name: "br1" for name in ("s4", "s5", "s6", "c1")}
    lab = make_lab(servers=6, clients=1, bridges=["br0", "br1"],
                   host_bridge=spread)
    path = lab.file({**lab.pool({"s1": 3, "s2": 2, "s3": 2})})
    with open(path) as file:
        content = json.load(file)
    for server, host in zip(content["pools"][0]["servers"],
                            ("s4", "s5", "s6")):
        server["interface"] = lab.hosts[host].port
    lab.lbgen("apply", path)
    lab.lbgen("apply", "-b", "br1", lab.write(content))
    assert slot_tables(lab, "br0") == slot_tables(lab, "br1")


def test_one_file_for_two_switches(make_lab):
    """By numbers of ports, the very same file."""
    tables = []
    for _ in range(2):
        lab = make_lab()
        pool = lab.pool([3, 2, 2])
        for server in pool["servers"]:
            server["interface"] = str(lab.hosts[server["name"]].ofport)
        lab.lbgen("apply", lab.file(pool))
        tables.append(slot_tables(lab))
    assert tables[0] == tables[1]


# Counters.

def counters(lab, *patterns):
    """Packets of the flows that match, keyed by the rest of the line."""
    settle(lab)
    result = {}
    for line in lab.flows(stats=True):
        if all(pattern in line for pattern in patterns):
            key = re.sub(r"(duration|n_packets|n_bytes|idle_age)=\S+ ?", "",
                         line)
            result[key] = int(re.search(r"n_packets=(\d+)", line)[1])
    return result


def status(lab):
    """Connections of each server of the only pool."""
    settle(lab)
    report = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    pool, = report["pools"]
    return {server["name"]: server["connections"]
            for server in pool["servers"]}


def test_counters_survive_a_change(fresh):
    lab = fresh
    apply(lab, lab.pool_yaml({"s1": 3, "s2": 2, "s3": 2}))
    traffic = lab.connect("c1", VIP, 80, 700)
    assert status(lab) == traffic
    before = counters(lab, "cookie=0x6c6267")
    assert sum(before.values()) > 7 * 700
    apply(lab, lab.pool_yaml({"s1": 1, "s2": 2, "s3": 2, "s4": 1}))
    after = counters(lab, "cookie=0x6c6267")
    # All but the record, which has changed.
    same = [key for key in before if key in after]
    assert len(before) - len(same) == 1
    assert {key: after[key] for key in same} == {
        key: before[key] for key in same}
    assert status(lab) == {**traffic, "s4": 0}
    more = lab.connect("c1", VIP, 80, 700)
    assert status(lab) == {**(traffic + more)}
    # A server that goes takes its counters with it.
    apply(lab, lab.pool_yaml({"s1": 1, "s3": 2}))
    apply(lab, lab.pool_yaml({"s1": 1, "s2": 2, "s3": 2}))
    assert status(lab)["s2"] == 0


def test_counters_of_a_pool_that_becomes_tracked(fresh):
    """Packets of stateless times are not connections."""
    lab = fresh
    apply(lab, lab.pool_yaml([1, 1], connections="stateless"))
    lab.connect("c1", VIP, 80, 300)
    # Or OVS puts what it has not counted yet down to the flows that are next.
    settle(lab)
    apply(lab, lab.pool_yaml([1, 1]))
    assert status(lab) == {"s1": 0, "s2": 0}
    traffic = lab.connect("c1", VIP, 80, 300)
    assert status(lab) == traffic


def test_flows_of_another_pool_are_left_alone(fresh):
    """Their counters and their durations go on."""
    lab = fresh
    a = lab.pool({"s1": 1, "s2": 1}, name="a", port=80)
    apply(lab, lab.file(a, lab.pool({"s3": 1}, name="b", port=81)))
    lab.connect("c1", VIP, 80, 300)
    groups = [line for line in lab.group_stats()]
    before = counters(lab, "cookie=0x6c6267")
    apply(lab, lab.file(a, lab.pool({"s3": 1, "s4": 3}, name="b", port=81)))
    after = counters(lab, "cookie=0x6c6267")
    gone = [key for key in before if after.get(key) != before[key]]
    assert len(gone) == 1 and "note" in gone[0]
    ref = r"ref_count=\d+,|duration=[\d.]+s,"
    same = set(re.sub(ref, "", line) for line in groups) & set(
        re.sub(ref, "", line) for line in lab.group_stats())
    assert len(same) == 1


# Connections that are open meanwhile.

def test_a_thousand_tracked_connections_through_changes(fresh):
    lab = fresh
    apply(lab, lab.pool_yaml({"s1": 1, "s2": 1, "s3": 1}))
    hold = lab.hold("c1", VIP, 80, 1000, timeout=10)
    assert sum(hold.opened.values()) == 1000
    for weights in ({"s1": 10, "s2": 1, "s3": 1},
                    {"s1": 0, "s2": 1, "s3": 1},
                    {"s1": 0, "s2": 0, "s3": 0},
                    {"s1": 1, "s2": 1, "s3": 1, "s4": 50, "s5": 1}):
        path = lab.pool_yaml(weights)
        before = lab.groups()
        lab.lbgen("apply", path)
        assert lab.groups() != before
        assert hold.ping().alive == 1000
        wait_revalidated(lab)
        ping = hold.ping()
        assert ping.alive == 1000, ping
        assert ping.servers == hold.opened
    hold.close()


def test_stateless_connections_break_only_in_slots_that_move(fresh):
    """As many as diff says, and with five standard errors."""
    lab = fresh
    apply(lab, lab.pool_yaml({"s1": 1, "s2": 1, "s3": 1},
                             connections="stateless"))
    before = slot_servers(lab)
    hold = lab.hold("c1", VIP, 80, 1000, timeout=10)
    path = lab.pool_yaml({"s1": 1, "s2": 1, "s3": 0},
                         connections="stateless")
    said = json.loads(lab.lbgen("diff", "--json", path, check=2).stdout)
    share = said["pools"][0]["moved_share"]
    assert 0.3 < share < 0.35
    apply(lab, path)
    after = slot_servers(lab)
    assert {b for b, a in zip(before, after) if a != b} == {"s3"}
    ping = hold.ping()
    lost = 1000 - ping.alive
    assert lost == hold.opened["s3"] and ping.moved == 0, ping
    assert abs(lost / 1000 - share) < 5 * (share * (1 - share) / 1000) ** 0.5
    assert ping.servers == {n: hold.opened[n] for n in ("s1", "s2")}
    hold.close()


def test_new_connections_while_weights_change(fresh):
    """None fails in any of thirty changes."""
    lab = fresh
    apply(lab, lab.pool_yaml({"s1": 1, "s2": 1, "s3": 1}))
    files = [lab.pool_yaml({"s1": 1 + i % 7, "s2": 1, "s3": 3, "s4": i % 3})
             for i in range(30)]
    results = []
    n_applied = 0

    def traffic():
        while len(results) < 6 or n_applied < 10:
            results.append(lab.connect("c1", VIP, 80, 1000))

    thread = threading.Thread(target=traffic)
    thread.start()
    while thread.is_alive():
        lab.lbgen("apply", files[n_applied % len(files)])
        n_applied += 1
    thread.join()
    assert n_applied >= 10
    assert {sum(r.values()) for r in results} == {1000}, results
    assert not sum(r.failures for r in results)
