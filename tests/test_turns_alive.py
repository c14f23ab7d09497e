# SPDX-License-Identifier: Apache-2.0
"""round-robin and affinity where servers die, are taken out or come back, and
what status and explain say of turns and of clients.

As in test_alive, nothing of lbgen runs while links go down, but for the one
test whose point is that lbgen finds a server ill."""

import json
import re
from itertools import cycle, islice

import pytest

import turn_model
from lab import wait_for
from lab_monitor import Monitor, join_bridge
from lab_slots import wait_revalidated
from lab_topology import set_link
from lab_traffic import in_order

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"


@pytest.fixture(scope="module")
def shared(make_module_lab):
    lab = make_module_lab(servers=4, clients=4)
    for server in lab.servers:
        lab.serve(server, 80)
    join_bridge(lab)
    return lab


@pytest.fixture
def lab(shared):
    """All links up and nothing of lbgen's on the bridge."""
    yield shared
    for server in shared.servers:
        set_link(shared, server, True)
    shared.lbgen("delete", "--all", "-b", "br0")


def apply(lab, weights, **keys):
    keys.setdefault("policy", "round-robin")
    path = lab.pool_yaml(weights, **keys)
    lab.lbgen("apply", path)
    wait_revalidated(lab)
    return path


def one(lab, client):
    """Who answers one new connection."""
    traffic = lab.connect(client, VIP, 80, 1)
    assert not traffic.failures
    name, = traffic
    return name


def order(weights, dead=()):
    """Names of servers in turn, for ever, without those that are dead."""
    turns = turn_model.order(turn_model.quotas(weights))
    return (f"s{i + 1}" for i in cycle(turns) if f"s{i + 1}" not in dead)


def status(lab):
    whole = json.loads(lab.lbgen("status", "-b", "br0", "--json").stdout)
    pool, = whole["pools"]
    return pool | {"drift": whole["drift"]}


def explain(lab, client, *args):
    return json.loads(lab.lbgen("explain", "-b", "br0", "--json", "web",
                                client, *args).stdout)


def remembered(lab):
    """Names of servers by addresses of clients."""
    return {ip: answer["server"] for ip, answer in (
        (lab.hosts[c].ip, explain(lab, lab.hosts[c].ip)) for c in lab.clients)
        if answer["remembered"]}


# Turns

@pytest.mark.parametrize("concurrency", [1, 64])
@pytest.mark.parametrize("weights, dead", [
    ([1, 1, 1, 1], ["s2"]),
    ([1, 1, 1, 1], ["s2", "s3"]),
    ([3, 2, 2], ["s1"]),
    ([9, 1, 1, 1], ["s1"]),
    ([5, 3, 2, 1], ["s1", "s4"]),
])
def test_turns_of_the_dead_are_passed_over(lab, weights, dead, concurrency):
    """The others take turns among themselves, in their order, each new
    connection one, none lost."""
    apply(lab, weights)
    for server in dead:
        set_link(lab, server, False)
    want = list(islice(order(weights, dead), 200))
    traffic = lab.connect("c1", VIP, 80, 200, concurrency=concurrency)
    assert in_order(traffic) == want
    shares = {s["name"]: s["share"] for s in status(lab)["servers"]}
    alive = sum(w for i, w in enumerate(weights) if f"s{i + 1}" not in dead)
    assert shares == pytest.approx({
        f"s{i + 1}": 0 if f"s{i + 1}" in dead else weight / alive
        for i, weight in enumerate(weights)}, abs=1e-5)


def test_they_take_turns_again_when_they_come_back(lab):
    apply(lab, [1, 1, 1])
    assert one(lab, "c1") == "s1"
    set_link(lab, "s2", False)
    assert [one(lab, c) for c in lab.clients] == ["s3", "s1", "s3", "s1"]
    set_link(lab, "s2", True)
    assert [one(lab, c) for c in lab.clients] == ["s2", "s3", "s1", "s2"]


def test_more_turns_of_the_dead_than_are_passed_over(lab):
    """Who is left takes all, by a hash, and none is dropped."""
    apply(lab, [100, 100, 1, 1])
    for server in ("s1", "s2"):
        set_link(lab, server, False)
    traffic = lab.connect("c1", VIP, 80, 400, concurrency=16)
    assert not traffic.failures and set(traffic) == {"s3", "s4"}
    assert min(traffic.values()) > 100
    assert explain(lab, "10.0.1.1")["answer"] == "any"
    set_link(lab, "s4", False)
    assert set(lab.connect("c1", VIP, 80, 40)) == {"s3"}


def test_backup(lab):
    """Takes over when all that have turns are dead, and gives back."""
    content = lab.pool([1, 1, 1, 1], policy="round-robin")
    content["servers"][2]["backup"] = content["servers"][3]["backup"] = True
    lab.lbgen("apply", lab.file(content))
    set_link(lab, "s1", False)
    assert set(lab.connect("c1", VIP, 80, 20)) == {"s2"}
    set_link(lab, "s2", False)
    assert set(lab.connect("c1", VIP, 80, 60)) == {"s3", "s4"}
    assert status(lab)["next"] is None
    set_link(lab, "s1", True)
    assert set(lab.connect("c1", VIP, 80, 20)) == {"s1"}


# Affinity

AFFINITY = {"by": "client", "timeout": "10m"}


@pytest.mark.parametrize("policy", ["round-robin", "wrr"])
def test_client_of_a_dead_server(lab, policy):
    """Its next connection goes elsewhere, with its first packet; it stays
    there, also when the server is back."""
    apply(lab, [1, 1, 1, 1], policy=policy, affinity=AFFINITY)
    sources = lab.client_addresses("c1", 120)
    before = lab.connect("c1", VIP, 80, 120, sources=sources)
    assert not before.failures and set(before) == set(lab.servers)
    set_link(lab, "s2", False)
    after = lab.connect("c1", VIP, 80, 360, sources=sources, concurrency=60)
    assert not after.failures
    assert all(len(servers) == 1 for servers in after.by_source.values())
    for source in sources:
        was, = before.by_source[source]
        now, = after.by_source[source]
        assert now == was or (was == "s2" and now != "s2")
    if policy == "round-robin":
        assert sorted(after.values()) == [120, 120, 120]
    set_link(lab, "s2", True)
    back = lab.connect("c1", VIP, 80, 120, sources=sources)
    assert all(set(back.by_source[s]) == set(after.by_source[s])
               for s in sources)


def test_client_where_many_turns_are_of_the_dead(lab):
    """Also those that a hash gave a server stay with it."""
    apply(lab, [100, 100, 1, 1], affinity=AFFINITY)
    sources = lab.client_addresses("c2", 60)
    for server in ("s1", "s2"):
        set_link(lab, server, False)
    traffic = lab.connect("c2", VIP, 80, 300, sources=sources, concurrency=50)
    assert not traffic.failures and set(traffic) == {"s3", "s4"}
    wait_revalidated(lab)
    again = lab.connect("c2", VIP, 80, 300, sources=sources, concurrency=50)
    assert all(len(servers) == 1 for servers in again.by_source.values())


@pytest.mark.parametrize("how", ["drain", "maint", "weight", "remove"])
def test_client_of_a_server_that_is_taken_out(lab, how):
    """The switch forgets it with the same bundle; it takes the next turn and
    keeps that server."""
    apply(lab, [1, 1, 1], affinity=AFFINITY)
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    if how == "remove":
        apply(lab, {"s1": 1, "s3": 1}, affinity=AFFINITY)
    else:
        lab.lbgen(how, "-b", "br0", "web/s2", *["0"] * (how == "weight"))
    wait_revalidated(lab)
    assert remembered(lab) == {"10.0.1.1": "s1", "10.0.1.3": "s3",
                               "10.0.1.4": "s1"}
    now = one(lab, "c2")
    assert now in ("s1", "s3")
    if how == "remove":
        apply(lab, [1, 1, 1], affinity=AFFINITY)
    else:
        lab.lbgen(*(["weight", "-b", "br0", "web/s2", "1"] if how == "weight"
                    else ["ready", "-b", "br0", "web/s2"]))
    wait_revalidated(lab)
    assert [one(lab, c) for c in lab.clients] == ["s1", now, "s3", "s1"]


def test_client_of_a_server_that_fails_its_check(lab):
    """As soon as the monitor has taken it out, none of its clients meets
    it."""
    path = apply(lab, [1, 1, 1], affinity=AFFINITY,
                 check={"type": "tcp", "port": 80, "interval": "200ms",
                        "fall": 2, "rise": 2, "timeout": "200ms"})
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    lab.ofctl("add-flow", "br0", "table=0,priority=65000,in_port=LOCAL,tcp,"
              f"nw_dst={lab.hosts['s2'].ip},actions=drop")
    monitor = Monitor(lab, path)
    try:
        monitor.wait_states(s1="up", s2="down", s3="up")
        wait_revalidated(lab)
        assert "10.0.1.2" not in remembered(lab)
        now = one(lab, "c2")
        assert now != "s2"
        assert {one(lab, "c2") for _ in range(5)} == {now}
    finally:
        lab.ofctl("--strict", "del-flows", "br0", "table=0,priority=65000,"
                  f"in_port=LOCAL,tcp,nw_dst={lab.hosts['s2'].ip}")
        monitor.stop()


# What is said of it

def test_explain_foretells_each_turn(lab):
    """Whoever asks, and also with a server dead; the switch agrees."""
    apply(lab, [3, 2, 2])
    for dead in (None, "s1"):
        if dead:
            set_link(lab, dead, False)
        for i in range(9):
            client = lab.clients[i % 4]
            answer = explain(lab, lab.hosts[client].ip)
            assert answer["next"] is True
            assert status(lab)["next"] == answer["server"]
            assert one(lab, client) == answer["server"]
    live = explain(lab, "10.0.1.1:1000", "--live")
    assert live["live"]["agrees"] is True
    text = lab.lbgen("explain", "-b", "br0", "web", "10.0.1.1").stdout
    assert re.search(r": server s[23], unless another connection comes first",
                     text)
    assert "next in turn: " + live["server"] \
        in lab.lbgen("status", "-b", "br0").stdout


def test_explain_says_who_is_remembered(lab):
    apply(lab, [1, 1, 1], affinity={"by": "client", "timeout": 500})
    new = explain(lab, "10.0.1.1")
    assert (new["server"], new["next"], new["remembered"]) \
        == ("s1", True, None)
    assert "the switch does not remember the client; it stays with the " \
        "server that it gets" in new["notes"]
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    known = explain(lab, "10.0.1.2", "--live")
    assert (known["server"], known["next"]) == ("s2", False)
    assert known["live"]["agrees"] is True
    assert known["remembered"]["timeout"] == 500
    assert 0 <= known["remembered"]["idle"] <= 60
    note, = (n for n in known["notes"] if "remembers" in n)
    assert re.fullmatch(r"the switch remembers the client, for \d+ s so far, "
                        r"and forgets it after 500 s without a packet of it: "
                        r"in (\d+) s, unless one comes", note)
    servers = {s["name"]: s["clients"] for s in status(lab)["servers"]}
    assert servers == {"s1": 2, "s2": 1, "s3": 1}
    assert "clients remembered: 4: s1 2, s2 1, s3 1" \
        in lab.lbgen("status", "-b", "br0").stdout
    set_link(lab, "s2", False)
    moved = explain(lab, "10.0.1.2")
    assert (moved["server"], moved["next"]) == ("s3", True)
    assert "it is the turn of server s2, but that is down: the next new " \
        "connection goes to server s3, whoever the client is" in moved["notes"]
    assert one(lab, "c2") == "s3"


def test_explain_of_other_policies_with_affinity(lab):
    """The hash decides for a new client, what is remembered for another."""
    apply(lab, [1, 1, 1], policy="wrr", affinity=AFFINITY)
    lab.hosts["c1"].next_source_port = 30000
    foretold = explain(lab, "10.0.1.1:30000", "--live")
    assert foretold["live"]["agrees"] is True
    assert one(lab, "c1") == foretold["server"]
    assert {explain(lab, f"10.0.1.1:{port}")["server"]
            for port in range(31000, 31020)} == {foretold["server"]}
    live = explain(lab, "10.0.1.1:31000", "--live")
    assert live["remembered"] and live["live"]["agrees"] is True


def test_status_says_where_failover_stays(lab):
    apply(lab, [1, 1, 1], policy="failover", failover={"preempt": False})
    assert status(lab)["stays_at"] in (None, "s1")
    set_link(lab, "s1", False)
    assert one(lab, "c1") == "s2"
    wait_for(lambda: status(lab)["stays_at"] == "s2", "the pin")
    set_link(lab, "s1", True)
    assert status(lab)["stays_at"] == "s2"
    assert 'new connections stay at s2: "preempt" is false' \
        in lab.lbgen("status", "-b", "br0").stdout
    assert one(lab, "c1") == "s2"


# What the switch has learned is deleted

def test_learned_flows_are_deleted_by_hand(lab):
    """Turns begin anew, clients take one, nothing is dropped, and nothing of
    lbgen needs to run for it; nor does that count as drift."""
    path = apply(lab, [1, 1, 1], affinity=AFFINITY)
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    lab.ofctl("del-flows", "br0", "table=207")
    assert status(lab)["next"] == "s1" and status(lab)["drift"] == 0
    assert lab.lbgen("diff", path).stdout == ""
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    lab.ofctl("del-flows", "br0", "table=209")
    wait_revalidated(lab)
    assert remembered(lab) == {}
    assert [one(lab, c) for c in lab.clients] == ["s1", "s2", "s3", "s1"]
    lab.ofctl("del-flows", "br0", "table=207")
    lab.ofctl("del-flows", "br0", "table=209")
    wait_revalidated(lab)
    sources = lab.client_addresses("c3", 90)
    traffic = lab.connect("c3", VIP, 80, 270, sources=sources, concurrency=64)
    assert not traffic.failures and set(traffic.values()) == {90}
