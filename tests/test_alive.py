# SPDX-License-Identifier: Apache-2.0
"""What is alive, where test_failover.py does not look: what is watched, BFD,
what is remembered and forgotten, pools that nobody serves, round robin and
affinity, and what status and explain say of it all.

Once a file is applied nothing of lbgen runs here but "status" and "explain",
which only look.  Links go down for real."""

import json
import math
import re
import socket
import time

import pytest

from lab import wait_for
from lab_capture import socket_in
from lab_slots import wait_revalidated
from lab_topology import set_link

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"


@pytest.fixture(scope="module")
def shared(make_module_lab):
    lab = make_module_lab(servers=4)
    for server in lab.servers:
        lab.serve(server, 8080)
        lab.serve(server, 8080, "udp")
    return lab


@pytest.fixture
def lab(shared):
    """All links up and nothing of lbgen's on the bridge."""
    yield shared
    for server in shared.servers:
        set_link(shared, server, True)
    shared.lbgen("delete", "--all", "-b", "br0")


def command(lab, name, server):
    """An operator's, until the datapath has followed it."""
    lab.lbgen(name, f"web/{server}", "-b", "br0")
    wait_revalidated(lab)


def apply(lab, weights=None, servers=None, **pool):
    """Applies a pool of the servers; 'servers' has keys for some of them."""
    content = lab.pool(weights or [1] * 4, server_port=8080, **pool)
    for server in content["servers"]:
        server.update((servers or {}).get(server["name"], {}))
    path = lab.file(content)
    lab.lbgen("apply", path)
    wait_revalidated(lab)
    return path


def connect(lab, n=20, **options):
    """Who takes 'n' new connections."""
    traffic = lab.connect("c1", VIP, 80, n, **options)
    assert not traffic.failures
    return traffic


def status(lab):
    text = lab.lbgen("status", "-b", "br0", "--json").stdout
    [pool] = json.loads(text)["pools"]
    return pool, {server["name"]: server for server in pool["servers"]}


def shares(lab):
    return {name: server["share"] for name, server in status(lab)[1].items()
            if server["share"]}


def explain(lab, client, *args):
    return json.loads(lab.lbgen("explain", "web", client, "-b", "br0",
                                "--json", *args).stdout)


# Failover

def test_failover_down_and_back(lab):
    """To the first that is alive, in the order of the file, and back; without
    tracking."""
    apply(lab, policy="failover", connections="stateless", guard=False)
    assert set(connect(lab)) == {"s1"} and shares(lab) == {"s1": 1}
    for dead, heir in (("s1", "s2"), ("s2", "s3"), ("s3", "s4")):
        set_link(lab, dead, False)
        assert set(connect(lab)) == {heir} and shares(lab) == {heir: 1}
    set_link(lab, "s2", True)
    assert set(connect(lab)) == {"s2"}
    set_link(lab, "s1", True)
    assert set(connect(lab)) == {"s1"} and shares(lab) == {"s1": 1}


def settle(lab, kind=34):
    """Waits until the switch remembers where the last connections went.  That
    is at once if their first packet was one that the datapath did not know,
    and else when the switch next looks at the datapath's counters."""
    lab.appctl("revalidator/purge")
    wait_for(lambda: lab.flows(match=f"cookie={kind << 32:#x}/0xff00000000"),
             "what is learned")


def test_what_is_remembered_goes_with_the_server(lab):
    """Drained, a server loses its hold, and does not get it back by itself;
    nothing of it is left when the pool is deleted."""
    apply(lab, policy="failover", failover={"preempt": False})
    set_link(lab, "s1", False)
    assert set(connect(lab)) == {"s2"}
    settle(lab)
    set_link(lab, "s1", True)
    command(lab, "drain", "s2")
    assert set(connect(lab)) == {"s1"}
    command(lab, "ready", "s2")
    assert set(connect(lab)) == {"s1"}
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.flows() == ["priority=0 actions=NORMAL"]
    assert lab.groups(generation=True) == []


def test_weights_and_drain_in_a_failover_pool(lab):
    """Only 0 means something: out of the order."""
    path = apply(lab, [0, 1, 1, 1], policy="failover")
    assert set(connect(lab)) == {"s2"}
    diff = lab.lbgen("diff", path).stdout
    assert diff == ""
    command(lab, "drain", "s2")
    assert set(connect(lab)) == {"s3"}
    command(lab, "maint", "s3")
    assert set(connect(lab)) == {"s4"}


# Only what must move moves

def test_only_the_clients_of_the_dead_move(lab):
    apply(lab, [3, 2, 2, 1], policy="sticky")
    sources = lab.client_addresses("c2", 250)

    def placement():
        lab.hosts["c2"].next_source_port = 20000
        traffic = lab.connect("c2", VIP, 80, 1000, sources=sources)
        assert not traffic.failures
        return traffic.by_connection

    before = placement()
    set_link(lab, "s2", False)
    after = placement()
    assert before.keys() == after.keys() and len(before) == 1000
    heirs = set()
    for connection, server in before.items():
        if server == "s2":
            heirs.add(after[connection])
        else:
            assert after[connection] == server
    assert heirs == {"s1", "s3", "s4"}      # Spread over all that are left.
    now = shares(lab)
    assert set(now) == {"s1", "s3", "s4"} and sum(now.values()) \
        == pytest.approx(1)
    set_link(lab, "s2", True)
    assert placement() == before


@pytest.mark.parametrize("policy", ["wrr", "sticky"])
def test_explain_with_a_dead_port(lab, policy):
    """Each single connection goes where explain says that it will."""
    apply(lab, [3, 2, 2, 1], policy=policy)
    sources = lab.client_addresses("c1", 40)
    set_link(lab, "s2", False)
    traffic = lab.connect("c1", VIP, 80, 80, sources=sources)
    assert not traffic.failures
    foretold = [explain(lab, f"{ip}:{port}")
                for ip, port in traffic.by_connection]
    assert [e["server"] for e in foretold] \
        == list(traffic.by_connection.values())
    assert all("server s2 is passed over, its port s2-o is down" in e["notes"]
               for e in foretold)
    if policy == "wrr":
        assert any("the next slot that is alive stands in" in note
                   for e in foretold for note in e["notes"])
    live = explain(lab, "10.0.1.1:1000", "--live")
    assert live["live"]["agrees"] is True


def test_established_connections_stay(lab):
    apply(lab)
    hold = lab.hold("c1", VIP, 80, 40)
    where = hold.opened.by_connection
    set_link(lab, "s2", False)
    connect(lab, 200)
    ping = hold.ping()
    dead = sum(server == "s2" for server in where.values())
    assert 0 < dead < 40 and ping.alive == 40 - dead
    set_link(lab, "s2", True)


# How fast

def first_served(lab, seconds=1.0):
    """Begins connections all the time, and returns when the first one began
    that was served, and how many began before."""
    begin = time.monotonic()
    began = []
    while time.monotonic() - begin < seconds:
        sock = socket_in(lab.hosts["c1"].netns_path, socket.AF_INET,
                         socket.SOCK_STREAM)
        sock.setblocking(False)
        began.append((time.monotonic() - begin, sock))
        sock.connect_ex((VIP, 80))
        time.sleep(.001)
    try:
        for i, (when, sock) in enumerate(began):
            try:
                sock.getpeername()
                return when, i
            except OSError:
                pass
    finally:
        for _, sock in began:
            sock.close()
    return math.inf, len(began)


def test_time_until_served_elsewhere(lab):
    """Of five times, the best: the machine may do something else meanwhile."""
    apply(lab, policy="failover")
    times = []
    for _ in range(5):
        assert set(connect(lab)) == {"s1"}
        lab.set_link("s1", False)
        times.append(first_served(lab, .5))
        set_link(lab, "s1", True)
    print("ms until served, connections lost:",
          [(round(1000 * when, 1), lost) for when, lost in times])
    assert min(times)[0] <= .1
    assert sorted(times)[2][0] <= .5


# What is watched

def watched(lab):
    return {name for name, server in status(lab)[1].items()
            if server["watched"]}


def test_watched_by_default(lab):
    """A port that only one server is behind."""
    behind = {"interface": lab.hosts["s3"].port}
    apply(lab, servers={"s4": behind})
    assert watched(lab) == {"s1", "s2"}
    apply(lab, servers={"s4": behind | {"watch": "link"}})
    assert watched(lab) == {"s1", "s2", "s4"}
    apply(lab, watch="link", servers={"s4": behind, "s1": {"watch": "none"}})
    assert watched(lab) == {"s2", "s3", "s4"}
    apply(lab, watch="none")
    assert watched(lab) == set() and not any("watch_" in group
                                             for group in lab.groups())
    # One host with two servers is one server to the switch.
    twin = {"interface": lab.hosts["s3"].port, "mac": lab.hosts["s3"].mac}
    apply(lab, servers={"s4": twin})
    assert watched(lab) == {"s1", "s2", "s3", "s4"}


def test_not_watched(lab):
    """Slots stay, and status says that this may be wrong."""
    apply(lab, watch="none")
    set_link(lab, "s2", False)
    assert shares(lab)["s2"] == .25
    text = lab.lbgen("status", "-b", "br0").stdout
    assert "s2 may be down: so is its port s2-o, which is not watched" in text
    traffic = lab.connect("c1", VIP, 80, 40, timeout=.3)
    assert 0 < traffic.failures < 40


def test_status_of_the_dead(lab):
    apply(lab)
    set_link(lab, "s2", False)
    pool, servers = status(lab)
    assert [name for name, s in servers.items() if s["down"]] == ["s2"]
    assert servers["s2"]["share"] == 0 and servers["s2"]["slots"] == 64
    assert servers["s2"]["link_up"] is False and pool["unserved"]["share"] == 0
    text = lab.lbgen("status", "-b", "br0").stdout
    assert re.search(r"\n  s2 .* down +1 +25.00% +0.00% +64 ", text)
    assert "\n  s2 is down: so is its port s2-o;" in text


def test_bfd_counts(make_lab):
    """The link of the port stays up; BFD says that the way is broken."""
    lab = make_lab(servers=2, clients=1, bridges=("br0", "br1"),
                   host_bridge={"s2": "br1"})
    lab._ip_batch(lab.netns, ["link add up0 type veth peer name up1",
                              "link set up0 up", "link set up1 up"])
    for bridge, port in (("br0", "up0"), ("br1", "up1")):
        lab.run(lab.netns, "ethtool", "-K", port, "tx", "off")
        lab.vsctl("add-port", bridge, port, "--", "set", "interface", port,
                  "bfd:enable=true", "bfd:min_rx=100", "bfd:min_tx=100")
    for server in lab.servers:
        lab.serve(server, 8080)

    def live():
        desc = lab.ofctl("dump-ports-desc", "br0", "up0")
        assert "LINK_DOWN" not in desc
        return "LIVE" in desc

    wait_for(live, "BFD")
    content = lab.pool([1, 1], server_port=8080, policy="failover")
    content["servers"].reverse()
    content["servers"][0]["interface"] = "up0"
    lab.lbgen("apply", lab.file(content))
    assert set(connect(lab)) == {"s2"}
    lab.vsctl("set", "interface", "up1", "bfd:enable=false")
    wait_for(lambda: not live(), "BFD to notice")
    wait_revalidated(lab)
    assert set(connect(lab)) == {"s1"} and shares(lab) == {"s1": 1}


# Backups

def test_backup_only_when_all_are_dead(lab):
    apply(lab, [1, 1, 3, 1],
          servers={"s3": {"backup": True}, "s4": {"backup": True}})
    assert set(connect(lab, 100)) == {"s1", "s2"}
    assert status(lab)[1]["s3"]["share"] == 0
    assert re.search(r"\n  s3 .* backup ",
                     lab.lbgen("status", "-b", "br0").stdout)
    set_link(lab, "s1", False)
    assert set(connect(lab, 100)) == {"s2"}
    set_link(lab, "s2", False)
    traffic = connect(lab, 2000)
    assert set(traffic) == {"s3", "s4"}
    assert traffic["s3"] / 2000 == pytest.approx(.75, abs=.05)
    assert shares(lab) == {"s3": .75, "s4": .25}
    e = explain(lab, "10.0.1.1:1000")
    assert e["server"] in ("s3", "s4")
    assert "nothing that comes before it in the pool is alive" in e["notes"]
    set_link(lab, "s2", True)
    assert set(connect(lab, 100)) == {"s2"}


def test_backup_when_all_others_take_nothing(lab):
    """Drained, or in maint: known when the file is compiled."""
    apply(lab, servers={"s3": {"backup": True}, "s4": {"backup": True}})
    command(lab, "drain", "s1")
    assert set(connect(lab, 100)) == {"s2"}
    command(lab, "maint", "s2")
    assert set(connect(lab, 100)) == {"s3", "s4"}
    command(lab, "ready", "s1")
    assert set(connect(lab, 100)) == {"s1"}


def test_slots_of_backups_stay(lab):
    """They have a table of their own, whether they are in use or not."""
    weights, servers = [1, 1, 3, 1], {"s3": {"backup": True},
                                      "s4": {"backup": True}}
    apply(lab, weights, servers=servers)

    def table():
        return [re.findall(r"bucket_id:(\d+),.*?set_field:(\w+)->reg0", group)
                for group in lab.groups() if "type=select" in group]

    main, spare = sorted(table(), key=lambda t: len({m for _, m in t}))
    before = table()
    command(lab, "drain", "s1")
    assert [t for t in table() if t in before]      # That of the backups.
    command(lab, "drain", "s2")
    [alone] = table()
    assert alone in before
    command(lab, "ready", "s1")
    command(lab, "ready", "s2")
    assert alone in table()


# Nobody

@pytest.mark.parametrize("how", ["dead", "drained"])
def test_on_empty_drop(lab, how):
    """Dropped, counted, and said so."""
    path = apply(lab, [1, 1, 0, 0])
    if how == "dead":
        set_link(lab, "s1", False)
        set_link(lab, "s2", False)
    else:
        command(lab, "drain", "s1")
        command(lab, "drain", "s2")
    traffic = lab.connect("c1", VIP, 80, 5, timeout=.3)
    assert traffic.failures == 5
    wait_for(lambda: status(lab)[0]["unserved"]["packets"] >= 5, "counters")
    assert status(lab)[0]["unserved"] | {"packets": 0} \
        == {"on_empty": "drop", "share": 1, "packets": 0}
    text = lab.lbgen("status", "-b", "br0").stdout
    assert "no server for 100.00% of new connections: dropped" in text
    e = explain(lab, "10.0.1.1:1000")
    assert (e["answer"], e["no_server"]) == ("none", "drop")
    assert "no server is left to take new connections" in e["notes"]
    if how == "dead":
        assert lab.lbgen("diff", path).stdout == ""


def test_on_empty_pass(lab):
    """To the bridge's own flows: here to a host that has the VIP itself."""
    host = lab.hosts["s4"]
    apply(lab, [1, 1, 1], on_empty="pass", vip_mac=host.mac)
    lab.serve("s4", 80)
    lab.run("c1", "ip", "neigh", "flush", "dev", "eth0")
    lab.run("s4", "ip", "address", "add", f"{VIP}/32", "dev", "lo")
    try:
        assert set(connect(lab, 60)) == {"s1", "s2", "s3"}
        for server in ("s1", "s2", "s3"):
            set_link(lab, server, False)
        assert set(connect(lab)) == {"s4"}
        assert status(lab)[0]["unserved"]["on_empty"] == "pass"
        e = explain(lab, "10.0.1.1:1000")
        assert (e["answer"], e["no_server"]) == ("none", "pass")
        set_link(lab, "s2", True)
        assert set(connect(lab)) == {"s2"}
    finally:
        lab.run("s4", "ip", "address", "del", f"{VIP}/32", "dev", "lo")
        lab.run("c1", "ip", "neigh", "flush", "dev", "eth0")


def test_reject_by_a_backup(lab):
    """What "on_empty: reject" would be: a host that says no, at once."""
    apply(lab, [1, 1, 1], servers={"s3": {"backup": True, "port": 9}})
    for server in ("s1", "s2"):
        set_link(lab, server, False)
    sock = socket_in(lab.hosts["c1"].netns_path, socket.AF_INET,
                     socket.SOCK_STREAM)
    sock.settimeout(3)
    with sock, pytest.raises(ConnectionRefusedError):
        sock.connect((VIP, 80))


# Other ways to a server

def test_round_robin_passes_over_the_dead(lab):
    apply(lab, policy="round-robin")
    traffic = lab.connect("c1", VIP, 80, 12, concurrency=1)
    assert not traffic.failures and set(traffic.values()) == {3}
    set_link(lab, "s2", False)
    assert set(connect(lab, 40)) == {"s1", "s3", "s4"}
    for server in ("s1", "s3"):
        set_link(lab, server, False)
    assert set(connect(lab, 12)) == {"s4"}


def test_slot_flows_pass_over_the_dead(lab):
    apply(lab, slots=1024)
    assert set(connect(lab, 200)) == set(lab.servers)
    set_link(lab, "s2", False)
    traffic = connect(lab, 200)
    assert set(traffic) == {"s1", "s3", "s4"}
    assert all(explain(lab, f"{ip}:{port}")["server"] == server
               for (ip, port), server
               in list(traffic.by_connection.items())[:30])
    assert "s2" not in shares(lab)
    for server in ("s1", "s3"):
        set_link(lab, server, False)
    assert set(connect(lab, 100)) == {"s4"}


@pytest.mark.parametrize("policy", ["wrr", "round-robin"])
def test_affinity_does_not_hold_on_to_the_dead(lab, policy):
    apply(lab, policy=policy, affinity={"by": "client"})
    [first] = connect(lab, 10, concurrency=1)
    set_link(lab, first, False)
    assert first not in connect(lab, 10, concurrency=1)
    settle(lab, 29)
    if policy == "wrr":
        assert len(connect(lab, 10, concurrency=1)) == 1
