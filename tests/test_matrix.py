# SPDX-License-Identifier: Apache-2.0
"""Every policy with every setting that may bear on how connections spread.

What a file says either is refused, with the reason, or takes effect: the pool
is applied to a real switch, and slots and connections are held against what
policy and setting mean together.  So no key is ignored silently.  REFUSED has
what does not go together; everything else must work."""

import contextlib
import json
import math
import re
import time
from collections import Counter
from fractions import Fraction

import pytest

from lab import wait_for
from lab_monitor import Monitor, join_bridge
from lab_slots import settle
from lab_topology import own_vip

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP6 = "fd00::100"
N = 400                         # Clients, and connections.
WEIGHTS = {"s1": 6, "s2": 2, "s3": 1}

POLICIES = {
    "wrr": {"policy": "wrr"},
    "random": {"policy": "random"},
    "sticky": {"policy": "sticky"},
    "low-bits": {"policy": "sticky", "sticky": {"low_bits": True}},
    "round-robin": {"policy": "round-robin"},
    "failover": {"policy": "failover"},
    "failover-stay": {"policy": "failover", "failover": {"preempt": False}},
}

BY_CLIENT = ("sticky", "low-bits")
IN_ORDER = ("failover", "failover-stay")

# What each setting does not go with, and words of the reason.
REFUSED = {
    ("affinity", BY_CLIENT): "keeps clients on their servers by itself",
    ("stateless", ("round-robin",)): 'needs "connections: tracked"',
    ("direct", ("round-robin",)): 'needs "connections: tracked"',
    ("adaptive", ("random",)): "weights are for a policy that goes by them",
    ("slow_start", ("random",)): "weights are for a policy that goes by them",
    ("adaptive in sets", ("random",)): "weights are for a policy that goes",
    ("adaptive", IN_ORDER): "change shares within a set",
    ("slow_start", IN_ORDER): "change shares within a set",
    ("drain_timeout", ("wrr", "random", "round-robin", *IN_ORDER)):
        'drain_timeout is for "policy: sticky" or "affinity"',
    ("sticky keys", ("wrr", "random", "round-robin", *IN_ORDER)):
        '"sticky" is for policy "sticky"',
    ("failover keys", ("wrr", "random", "round-robin", *BY_CLIENT)):
        '"failover" is for policy "failover"',
}


@pytest.fixture(scope="module")
def hosts(make_module_lab):
    lab = make_module_lab(servers=4, clients=2, ipv6=True)
    for server in lab.servers:
        own_vip(lab, server, VIP)       # For "direct".
        for port in 80, 443, 8000, 8003:
            lab.serve(server, port)
        lab.serve(server, 80, "udp")
    lab.sources = lab.client_addresses("c1", N)
    lab.more_sources = lab.client_addresses("c1", 20)
    lab.sources6 = lab.client_addresses6("c1", N)
    join_bridge(lab)
    return lab


@pytest.fixture
def lab(hosts):
    yield hosts
    hosts.lbgen("delete", "--all", "-b", "br0")
    # With proxy_arp, servers took the VIP's MAC for that of clients, and would
    # for half a minute.
    for name in hosts.servers:
        hosts.run(name, "ip", "neighbour", "flush", "dev", "eth0")


class Pool:
    """A pool of s1 to s3 with one policy, and what it does."""

    def __init__(self, lab, policy):
        self.lab = lab
        self.policy = policy
        self.content = lab.pool(WEIGHTS, **POLICIES[policy])
        self.path = None

    def __setitem__(self, key, value):
        self.content[key] = value

    def server(self, name):
        return next(server for server in self.content["servers"]
                    if server["name"] == name)

    def refusal(self):
        """What check says if it refuses the file, else None."""
        self.path = self.lab.file(self.content)
        result = self.lab.lbgen("check", self.path, check=None)
        return result.stderr if result.returncode else None

    def apply(self):
        self.path = self.lab.file(self.content)
        self.lab.lbgen("apply", self.path)
        assert self.lab.lbgen("diff", self.path).stdout == ""
        settle(self.lab)

    def command(self, *args):
        self.lab.lbgen(*args, "-b", "br0")
        settle(self.lab)

    def status(self):
        text = self.lab.lbgen("status", "-b", "br0", "--json").stdout
        pool, = json.loads(text)["pools"]
        return pool

    # What is to be expected.

    def shares(self, weights=None):
        """Shares of servers with these weights, by default the file's."""
        weights = {k: w for k, w in (weights or WEIGHTS).items() if w}
        if self.policy == "random":
            weights = dict.fromkeys(weights, 1)
        elif self.policy in IN_ORDER:
            weights = dict([next(iter(weights.items()))])
        total = sum(weights.values())
        return {k: Fraction(w) / Fraction(total) for k, w in weights.items()}

    def connect(self, n=N, port=80, vip=VIP, **options):
        """Connections of 'n' clients; always the same, so that chance does
        not make tests fail now and then.  But the same ones again can only be
        made a second later."""
        sources = self.lab.sources6 if ":" in vip else self.lab.sources
        self.lab.hosts["c1"].next_source_port = 20000 + n % 9973
        return self.lab.connect("c1", vip, port, n, sources=sources[:n],
                                **options)

    def expect(self, shares, slack=1, **options):
        """Slots and connections are divided so; 'slack' is how many slots a
        server may be off, less than one if only servers are rounded."""
        servers = {s["name"]: s for s in self.status()["servers"]}
        size = sum(s["slots"] for s in servers.values())
        for name, server in servers.items():
            share = shares.get(name, 0)
            assert abs(server["slots"] - size * share) < slack, (
                name, server["slots"], size, share)
        traffic = self.connect(**options)
        assert not traffic.failures
        self.compare(traffic, shares)
        return traffic

    def explain(self, traffic):
        """Whether explain foretells these connections, of which it looks at
        some."""
        for (ip, port), server in [*traffic.by_connection.items()][:80:20]:
            e = json.loads(self.lab.lbgen(
                "explain", "web", f"{ip}:{port}", "-b", "br0",
                "--json").stdout)
            if self.policy != "round-robin":
                assert (e["answer"], e["server"]) == ("server", server), e

    def compare(self, traffic, shares):
        total = sum(traffic.values())
        assert set(traffic) <= set(shares), traffic
        for name, share in shares.items():
            margin = (1 if self.policy == "round-robin" else
                      5 * math.sqrt(total * share * (1 - share))
                      + total / 128 + 1)
            assert abs(traffic[name] - total * share) <= margin, (
                name, share, traffic)


# Settings: each a function that makes a pool with it, and yields; what comes
# after that is done if it is not refused.

SETTINGS = {}


def setting(name):
    def register(function):
        SETTINGS[name] = contextlib.contextmanager(function)
        return function
    return register


@setting("nothing else")
def plain(pool):
    yield
    pool.explain(pool.expect(pool.shares()))


@setting("weight 0")
def weight_0(pool):
    pool.server("s1")["weight"] = 0
    yield
    pool.expect(pool.shares({"s1": 0, "s2": 2, "s3": 1}))


@setting("state")
def state(pool):
    pool.server("s1")["state"] = "drain"
    yield
    pool.expect(pool.shares({"s2": 2, "s3": 1}))


def say(pool, **stress):
    for server in WEIGHTS:
        pool.lab.write(json.dumps({"stress": stress.get(server, 0)}), server)


def adaptive(pool):
    say(pool)
    return {"policy": "adaptive", "smoothing": 0, "max_move": 1,
            "max_step": 1, "from": [{"file": f"{pool.lab.rundir}/{{name}}"}]}


@setting("adaptive")
def weights_adaptive(pool):
    """s1 at half of its weight, and back."""
    pool["weights"] = adaptive(pool)
    yield
    pool.expect(pool.shares())
    say(pool, s1=1)
    pool.lab.lbgen("refresh", pool.path)
    settle(pool.lab)
    pool.expect(pool.shares({"s1": 3, "s2": 2, "s3": 1}))
    say(pool)
    pool.lab.lbgen("refresh", pool.path)
    settle(pool.lab)
    pool.expect(pool.shares())


@setting("slow_start")
def slow_start(pool):
    """A server that comes back begins with a tenth."""
    pool["weights"] = {"policy": "static", "slow_start": "1h"}
    yield
    pool.command("drain", "web/s1")
    pool.expect(pool.shares({"s2": 2, "s3": 1}))
    pool.lab.lbgen("refresh", pool.path)
    pool.command("ready", "web/s1")
    pool.expect(pool.shares({"s1": Fraction(6, 10), "s2": 2, "s3": 1}))


def in_sets(pool):
    """s1 and s2 have 60 % together, in a set within one; s3 the rest."""
    s1, s2, s3 = pool.content["servers"]
    pool["servers"] = [
        {"set": "a", "weight": 60, "servers": [
            {"set": "b", "weight": 5, "servers": [s1, s2]}]},
        {"set": "c", "weight": 40, "servers": [s3]}]


def shares_in_sets(pool, s1, s2):
    """Shares if s1 and s2 have these weights."""
    if pool.policy == "random":
        s1, s2 = min(s1, 1), min(s2, 1)
    part = 1 if pool.policy in IN_ORDER else Fraction(60, 100)
    return {name: share for name, share in (
        ("s1", part * Fraction(s1) / Fraction(s1 + s2)),
        ("s2", part * Fraction(s2) / Fraction(s1 + s2)),
        ("s3", 1 - part)) if share}


@setting("sets")
def sets(pool):
    in_sets(pool)
    yield
    pool.explain(pool.expect(shares_in_sets(pool, 6, 2), slack=2))
    pool.command("drain", "web/s1")
    pool.expect(shares_in_sets(pool, 0, 2), slack=2)
    pool.command("drain", "web/a")
    pool.expect({"s3": 1})


@setting("adaptive in sets")
def weights_in_sets(pool):
    pool["weights"] = adaptive(pool)
    in_sets(pool)
    yield
    say(pool, s1=1)
    pool.lab.lbgen("refresh", pool.path)
    settle(pool.lab)
    # Weights keep their sum in the pool, so those in the set go up a bit.
    pool.expect(shares_in_sets(pool, 3, 2), slack=2)


@setting("backup")
def backup(pool):
    pool.server("s1")["backup"] = True
    yield
    pool.expect(pool.shares({"s2": 2, "s3": 1}))
    pool.command("drain", "web/s2")
    pool.expect({"s3": 1})
    pool.command("drain", "web/s3")
    pool.expect({"s1": 1})


@contextlib.contextmanager
def monitored(pool, *down):
    """Checks run, and find these servers dead."""
    for server in WEIGHTS:
        pool.lab.write("", f"up-{server}")
    monitor = Monitor(pool.lab, pool.path)
    try:
        monitor.wait_states(**dict.fromkeys(WEIGHTS, "up"))
        for server in down:
            pool.lab.run(None, "rm", f"{pool.lab.rundir}/up-{server}")
        monitor.wait_states(**dict.fromkeys(down, "down"))
        settle(pool.lab)
        yield monitor
    finally:
        monitor.process.terminate()
        monitor.process.wait()


def check(pool):
    return {"type": "exec", "interval": "100ms", "timeout": "2s",
            "fall": 3, "rise": 1, "command": [
                "/bin/sh", "-c",
                f"test -e {pool.lab.rundir}/up-$LBGEN_SERVER"]}


@setting("check")
def health(pool):
    pool["check"] = check(pool)
    yield
    with monitored(pool, "s1") as monitor:
        pool.expect(pool.shares({"s2": 2, "s3": 1}))
        if pool.policy != "failover-stay":
            pool.lab.write("", "up-s1")
            monitor.wait_states(s1="up")
            settle(pool.lab)
            pool.expect(pool.shares())


@setting("panic")
def panic(pool):
    """With two of three down all count as up; where they stand in for each
    other, with all three, and then a pool that stays does so at any."""
    pool["check"] = check(pool)
    pool["panic"] = 50
    yield
    with monitored(pool, "s1", "s2",
                   *(["s3"] if pool.policy in IN_ORDER else [])):
        wait_for(lambda: pool.status()["panic"], "panic")
        settle(pool.lab)
        if pool.policy == "failover-stay":
            assert pool.connect(50).failures == 0
        else:
            pool.expect(pool.shares())


@setting("on_empty")
def on_empty(pool):
    """Packets that nobody takes go the bridge's own way, to all hosts."""
    pool["on_empty"] = "pass"
    yield
    pool.expect(pool.shares())
    for server in WEIGHTS:
        pool.command("drain", f"web/{server}")
    with pool.lab.capture("s4", f"tcp and dst host {VIP}") as capture:
        assert pool.connect(5, timeout=0.3).failures == 5
    assert capture.packets
    assert pool.status()["unserved"]["on_empty"] == "pass"


@setting("stateless")
def stateless(pool):
    pool["connections"] = "stateless"
    pool["guard"] = False
    yield
    pool.explain(pool.expect(pool.shares()))
    assert pool.status()["servers"][0]["connections"] is None


@setting("direct")
def direct(pool):
    pool["connections"] = "direct"
    pool["fragments"] = "drop"
    yield
    pool.explain(pool.expect(pool.shares()))


@setting("two families")
def two_families(pool):
    pool["vip"] = [VIP, VIP6]
    for server in pool.content["servers"]:
        server["ip"] = [server["ip"], pool.lab.hosts[server["name"]].ip6]
    yield
    pool.expect(pool.shares())
    if pool.policy != "low-bits":       # These addresses all end alike.
        pool.expect(pool.shares(), vip=VIP6)


@setting("range of ports")
def range_of_ports(pool):
    pool["port"] = "8000-8003"
    yield
    pool.expect(pool.shares(), port=8000)
    pool.expect(pool.shares(), port=8003)


@setting("list of ports")
def list_of_ports(pool):
    del pool.content["port"]
    pool["ports"] = [80, 443]
    yield
    pool.expect(pool.shares())
    pool.expect(pool.shares(), port=443)


@setting("every port")
def every_port(pool):
    del pool.content["port"]
    yield
    pool.expect(pool.shares(), port=8000)


@setting("any protocol")
def any_protocol(pool):
    del pool.content["port"]
    pool["protocol"] = "any"
    yield
    pool.expect(pool.shares())
    pool.expect(pool.shares(), proto="udp")


@setting("udp")
def udp(pool):
    pool["protocol"] = "udp"
    yield
    pool.expect(pool.shares(), proto="udp")


@setting("16 slots")
def few_slots(pool):
    """Coarser: 11, 3 and 2 of 16 for 6:2:1, but for turns, of which nine
    are exact."""
    pool["slots"] = 16
    yield
    assert pool.status()["slots"] == 16
    quotas = {s["name"]: s["slots"] for s in pool.status()["servers"]}
    assert quotas == {
        "random": {"s1": 6, "s2": 5, "s3": 5},
        "round-robin": WEIGHTS,
        **dict.fromkeys(IN_ORDER, {"s1": 16, "s2": 0, "s3": 0}),
    }.get(pool.policy, {"s1": 11, "s2": 3, "s3": 2})
    total = sum(quotas.values())
    traffic = pool.connect()
    assert not traffic.failures
    pool.compare(traffic, {k: Fraction(q, total)
                           for k, q in quotas.items() if q})


@setting("many turns in few slots")
def many_turns(pool):
    """Weights whose exact shares take more turns than there are slots."""
    pool["slots"] = 32
    for name, weight in ("s1", 601), ("s2", 199), ("s3", 100):
        pool.server(name)["weight"] = weight
    yield
    if pool.policy == "round-robin":
        assert sum(s["slots"] for s in pool.status()["servers"]) == 32
    pool.expect(pool.shares({"s1": 601, "s2": 199, "s3": 100})
                if pool.policy not in ("round-robin", *BY_CLIENT, "wrr")
                else {"s1": Fraction(21, 32), "s2": Fraction(7, 32),
                      "s3": Fraction(4, 32)})


@setting("1024 slots")
def many_slots(pool):
    pool["slots"] = 1024
    yield
    said = pool.lab.lbgen("check", pool.path).stderr
    if pool.policy in IN_ORDER:
        assert "has at most 256 slots, not 1024" in said
    elif pool.policy in ("wrr", "random", "sticky"):
        assert "its 1024 slots are as many flows, some 1.3 MB" in said
    assert pool.status()["slots"] == (256 if pool.policy in IN_ORDER
                                      else 1024)
    pool.explain(pool.expect(pool.shares()))


@contextlib.contextmanager
def unplugged(pool, server):
    lab = pool.lab

    def live():
        port = str(lab.hosts[server].ofport)
        return "LIVE" in lab.ofctl("dump-ports-desc", "br0", port)

    def closed():
        return not lab.run("c1", "ss", "-Htn", "state", "fin-wait-1").stdout

    # What the server had no time to acknowledge keeps its port for minutes.
    wait_for(closed, "end of connections")
    lab.set_link(server, False)
    try:
        wait_for(lambda: not live(), "link down")
        settle(lab)
        yield
    finally:
        lab.set_link(server, True)
        lab._ip_batch(lab.hosts[server].netns, [
            f"address replace {lab.hosts[server].ip6}/64 dev eth0 nodad",
            *(f"route replace fd00:{n:x}::/32 via "
              f"{lab.hosts[name].ip6}" for n, name in
              enumerate(lab.hosts, 1) if lab.hosts[name].more_addresses6)])
        wait_for(live, "link up")


@setting("backup by the switch")
def backup_by_the_switch(pool):
    """With the links of the others down it gets all, nothing of lbgen's
    running, and nothing any more when one is back."""
    pool.server("s1")["backup"] = True
    yield
    with unplugged(pool, "s2"):
        assert pool.connect(40) == {"s3": 40}
        with unplugged(pool, "s3"):
            traffic = pool.connect(41)
            assert traffic == {"s1": 41}
            pool.explain(traffic)
        settle(pool.lab)
        if pool.policy != "failover-stay":
            assert pool.connect(42) == {"s3": 42}


@setting("watch: link")
def watch_link(pool):
    pool["watch"] = "link"
    yield
    with unplugged(pool, "s1"):
        traffic = pool.connect()
        assert not traffic.failures
        assert set(traffic) == ({"s2"} if pool.policy in IN_ORDER
                                else {"s2", "s3"})


@setting("watch: none")
def watch_none(pool):
    pool["watch"] = "none"
    yield
    with unplugged(pool, "s1"):
        traffic = pool.connect(60, timeout=0.5)
        assert traffic.failures
        assert not traffic["s1"]


@setting("affinity")
def affinity(pool):
    """Every client has one server; which one, the policy says."""
    pool["affinity"] = {"by": "client", "timeout": 60}
    yield
    first = pool.connect()
    again = pool.lab.connect("c1", VIP, 80, N, sources=pool.lab.sources)
    assert not first.failures and not again.failures
    assert again.by_source == first.by_source
    pool.compare(first, pool.shares())
    if pool.policy in IN_ORDER:
        pool.command("drain", "web/s1")
        with unplugged(pool, "s2"):
            assert set(pool.connect(20)) == {"s3"}
        settle(pool.lab)
        pool.command("ready", "web/s1")
        # Who got s3 keeps it, whoever is alive again.
        assert set(pool.connect(20)) == {"s3"}
        new = pool.lab.connect("c1", VIP, 80, 20,
                               sources=pool.lab.more_sources)
        assert set(new) == {"s1" if pool.policy == "failover" else "s3"}


@setting("drain_timeout")
def drain_timeout(pool):
    """Clients with a connection to a server that drains come back to it for
    a while, others do not."""
    pool["drain_timeout"] = 4
    yield
    hold = pool.lab.hold("c1", VIP, 80, 40, sources=pool.lab.sources[:40])
    old = {source for source, servers in hold.opened.by_source.items()
           if "s1" in servers}
    assert 0 < len(old) < 40
    pool.command("drain", "web/s1")

    def at_s1():
        traffic = pool.lab.connect("c1", VIP, 80, 200,
                                   sources=pool.lab.sources[:200])
        assert not traffic.failures
        return {source for source, servers in traffic.by_source.items()
                if "s1" in servers}

    assert at_s1() == old
    hold.close()
    time.sleep(6)
    settle(pool.lab)
    assert not at_s1()


@setting("snat")
def snat(pool):
    pool["snat"] = "10.0.0.200"         # The VIP is a server's own here.
    yield
    pool.expect(pool.shares(), peer="10.0.0.200")


@setting("proxy_arp")
def proxy_arp(pool):
    pool["proxy_arp"] = "10.0.1.0/24"
    yield
    pool.expect(pool.shares())


@setting("reply_to")
def reply_to(pool):
    pool["reply_to"] = "sender"
    yield
    pool.expect(pool.shares())


@setting("vlan")
def vlan(pool):
    """Not this one: whoever has no tag gets no answer."""
    pool["vlan"] = 5
    yield
    with pool.lab.capture("s4", f"tcp and dst host {VIP}") as capture:
        assert pool.connect(3, timeout=0.3).failures == 3
    assert not any(s["packets"] for s in pool.status()["servers"])
    assert not capture.packets or pool.status()


@setting("on_removal")
def on_removal(pool):
    pool["on_removal"] = "keep"
    yield
    hold = pool.lab.hold("c1", VIP, 80, 40, sources=pool.lab.sources[:40])
    assert hold.opened["s1"], (hold.opened, pool.status()["servers"])
    pool["servers"] = pool.content["servers"][1:]
    pool.apply()
    assert hold.ping().alive == 40
    pool.expect(pool.shares({"s2": 2, "s3": 1}))
    hold.close()


@setting("sticky keys")
def sticky_keys(pool):
    prefix = {} if pool.policy == "low-bits" else {"prefix": 24}
    pool["sticky"] = {**pool.content.get("sticky", {}), **prefix}
    yield
    traffic = pool.connect()
    assert not traffic.failures
    networks = {}
    for source, servers in traffic.by_source.items():
        key = (source.rsplit(".", 1)[pool.policy == "low-bits"])
        networks.setdefault(key, Counter()).update(servers)
    assert all(len(servers) == 1 for servers in networks.values())


@setting("failover keys")
def failover_keys(pool):
    """Whether the first comes back is for test_failover."""
    pool["failover"] = {"preempt": pool.policy == "failover"}
    yield
    pool.expect(pool.shares())


def find_reason(name, policy):
    for (setting_name, policies), reason in REFUSED.items():
        if setting_name == name and policy in policies:
            return reason
    return None


class Refused(Exception):
    """There is nothing to try."""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", SETTINGS)
def test_together(lab, name, policy):
    pool = Pool(lab, policy)
    reason = find_reason(name, policy)
    try:
        with SETTINGS[name](pool):
            refusal = pool.refusal()
            if reason:
                assert refusal and reason in refusal
                assert re.match(r"\S+:\d+:\d+: error: ", refusal)
                raise Refused
            assert refusal is None, refusal
            pool.apply()
    except Refused:
        pass


def test_everything_is_there():
    assert {name for name, _ in REFUSED} <= set(SETTINGS)
