# SPDX-License-Identifier: Apache-2.0
"""lbgen explain: what it foretells, against the switch and real traffic."""

import ipaddress
import json
import os
import re
import subprocess
from collections import Counter

import pytest

from lab import assert_shares
from lab_slots import wait_revalidated

switch = pytest.mark.switch

HERE = os.path.dirname(os.path.abspath(__file__))
LBTEST = os.environ.get("LBTEST", os.path.join(HERE, "lbtest"))

VIP = "10.0.0.100"
MAGIC = 0x6c626762
MEMBER = r"set_field:0x([0-9a-f]+)->reg0"


def lbtest(*args, lines):
    result = subprocess.run([LBTEST, *args], text=True, check=True,
                            input="".join(f"{line}\n" for line in lines),
                            capture_output=True)
    return result.stdout.split("\n")[:-1]


# What the switch says of its datapath.

DPIF_SHOW = """\
netdev@ovs-netdev: hit:3 missed:4
  br0:
    br0 65534/1: (tap)
    c1-o 4/4: (system)
  br1:
    br1 65534/5: (tap)
    dpdk-p0 1/6: (dpdk: configured_rx_queues=1, mtu=1500)
system@ovs-system: hit:0 missed:0
  br2:
    br2 65534/7: (internal)
    dpdk 8/8: (system)
"""


@pytest.mark.parametrize("bridge, expected", [
    ("br0", "userspace -"), ("br1", "userspace dpdk-p0"),
    ("br2", "kernel -"), ("br", "unknown -"), ("br00", "unknown -"),
    ("c1-o", "unknown -"),
])
def test_datapath(bridge, expected):
    assert lbtest("dpif-show", bridge,
                  lines=DPIF_SHOW.split("\n")) == [expected]
    tabs = DPIF_SHOW.replace("    ", "\t\t").replace("\n  ", "\n\t")
    assert lbtest("dpif-show", bridge, lines=tabs.split("\n")) == [expected]


# On a switch.

class Explained:
    """A line of "lbtest explain"."""

    def __init__(self, line):
        self.answer, self.server, *rest = line.split()
        self.hash, self.slot, self.bucket = (
            None if word == "-" else int(word) for word in rest)


def foretell(lab, clients, pool="web", *pretence):
    """'clients' are addresses or pairs of address and port."""
    lines = [c if isinstance(c, str) else f"{c[0]} {c[1]}" for c in clients]
    result = lab.run(lab.netns, LBTEST, "explain", "br0", pool, *pretence,
                     input="".join(f"{line}\n" for line in lines))
    return [Explained(line) for line in result.stdout.split("\n")[:-1]]


def notes(lab, client, *pretence, pool="web"):
    return lab.run(lab.netns, LBTEST, "explain", "br0", pool,
                   *(pretence or ["-"]), "notes",
                   input=f"{client}\n").stdout.split("\n")[:-1]


def explain(lab, client, *args, pool="web", check=0):
    result = lab.lbgen("explain", pool, client, "-b", "br0", "--json", *args,
                       check=check)
    return json.loads(result.stdout)


def trace(lab, **fields):
    """Bucket and member id that ofproto/trace ends with; None if none."""
    fields = {"nw_dst": VIP, "tp_dst": 80} | fields
    flow = "tcp," + ",".join(f"{k}={v}" for k, v in fields.items())
    text = lab.appctl("ofproto/trace", "br0", flow, "--ct-next", "trk,new")
    *_, bucket = re.finditer(r"-> using bucket (\d+)", text)
    member = re.search(rf"bucket {bucket[1]}\n +{MEMBER}", text) \
        if bucket else None
    return (int(bucket[1]) if bucket else None,
            int(member[1], 16) if member else None)


def assert_traffic(lab, pool="web", n=1000, protocol="tcp", sources=None):
    """Every single one of 'n' connections goes where it was said that it
    would.  Returns the traffic."""
    traffic = lab.connect("c1", VIP, 80, n, proto=protocol, sources=sources)
    assert traffic.failures == 0 and len(traffic.by_connection) == n
    connections = sorted(traffic.by_connection)
    wrong = [(c, e.server, traffic.by_connection[c]) for c, e
             in zip(connections, foretell(lab, connections, pool))
             if e.answer != "server"
             or e.server != traffic.by_connection[c]]
    print(f"{n - len(wrong)} of {n} as foretold")
    assert wrong == []
    return traffic


@pytest.fixture
def web(lab):
    for server in lab.servers:
        lab.serve(server, 8080)
        lab.serve(server, 8080, "udp")
    return lab


def apply(lab, weights=(3, 2, 2), **keys):
    keys.setdefault("server_port", 8080)
    lab.lbgen("apply", lab.pool_yaml(list(weights), **keys))
    wait_revalidated(lab)


@switch
@pytest.mark.parametrize("policy, connections", [
    ("wrr", "tracked"), ("wrr", "stateless"), ("random", "tracked")])
def test_connections(web, policy, connections):
    apply(web, connections=connections, policy=policy)
    traffic = assert_traffic(web)
    assert len(traffic) == 3

    apply(web, (1, 7, 2), connections=connections, policy=policy)
    assert_traffic(web)

    web.lbgen("drain", "web/s2", "-b", "br0")
    wait_revalidated(web)
    traffic = assert_traffic(web, n=300)
    assert set(traffic) == {"s1", "s3"}
    ports = [("10.0.1.1", port) for port in range(1, 5001)]
    assert {e.server for e in foretell(web, ports)} == {"s1", "s3"}


@switch
@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_udp(web, connections):
    apply(web, connections=connections, protocol="udp")
    assert_traffic(web, protocol="udp", n=500)


@switch
@pytest.mark.parametrize("slots", [16, 64])
def test_fewer_slots(web, slots):
    apply(web, slots=slots)
    assert_traffic(web, n=300)
    assert {e.slot for e in foretell(
        web, [("10.0.1.1", p) for p in range(1, 2000)])} == set(range(slots))


@switch
@pytest.mark.parametrize("prefix", [32, 24, 13])
def test_clients(web, prefix):
    """By address, so that no port is needed."""
    apply(web, policy="sticky", sticky={"prefix": prefix})
    sources = web.client_addresses("c1", 1000)
    traffic = web.connect("c1", VIP, 80, 2000, sources=sources)
    assert traffic.failures == 0
    foretold = {source: e.server
                for source, e in zip(sources, foretell(web, sources))}
    assert {s: set(c) for s, c in traffic.by_source.items()} \
        == {s: {server} for s, server in foretold.items()}
    networks = {ipaddress.ip_network(f"{s}/{prefix}", strict=False)
                for s in sources}
    if prefix == 32:
        assert_shares(Counter(foretold.values()), [3, 2, 2])
    print(f"{len(sources)} clients, {len(networks)} networks, all as foretold")
    for source in sources[:3]:
        e = explain(web, source, "--live")
        assert e["server"] == foretold[source]
        assert e["live"]["agrees"] is True
        assert e["datapath"] == "userspace" and e["notes"] == []

    web.lbgen("drain", "web/s1", "-b", "br0")
    assert {e.server for e in foretell(web, sources)} <= {"s2", "s3"}


@switch
@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_every_slot(web, connections):
    """Offline and ofproto/trace say the same for all 256 slots."""
    apply(web, connections=connections)
    ports = range(1, 4001)
    by_slot = {e.slot: (port, e) for port, e in zip(
        ports, foretell(web, [("10.0.1.1", port) for port in ports]))}
    assert set(by_slot) == set(range(256))
    members = {}
    for slot, (port, e) in by_slot.items():
        assert e.bucket == slot == e.hash % 256
        bucket, member = trace(web, nw_src="10.0.1.1", tp_src=port,
                               dp_hash=hex(slot | 0x100))
        assert bucket == slot
        members.setdefault(e.server, set()).add(member)
    assert sorted(members) == ["s1", "s2", "s3"]
    assert all(len(m) == 1 for m in members.values())


@switch
def test_without_port(web):
    apply(web)
    e = explain(web, "10.0.1.1")
    assert (e["answer"], e["server"], e["slot"]) == ("any", None, None)
    assert {s["name"]: s["slots"] for s in e["servers"]} \
        == {"s1": 110, "s2": 73, "s3": 73}
    assert sum(s["share"] for s in e["servers"]) == pytest.approx(1)
    assert e["notes"] == ["each new connection is hashed by its source port "
                          "as well; give CLIENT:PORT to learn about one"]
    live = explain(web, "10.0.1.1", "--live")["live"]
    assert live["bucket"] is None and "hash(l4(" in live["trace"]

    # With one server left, nothing depends on the port.
    web.lbgen("drain", "web/s1", "-b", "br0")
    web.lbgen("maint", "web/s3", "-b", "br0")
    e = explain(web, "10.0.1.1")
    assert (e["answer"], e["server"], e["notes"]) == ("server", "s2", [])

    web.lbgen("weight", "web/s2", "0", "-b", "br0")
    for client in "10.0.1.1", "10.0.1.1:1000":
        e = explain(web, client)
        assert (e["answer"], e["server"]) == ("none", None)
        assert e["notes"] == ["no server is left to take new connections"]


@switch
def test_text(web):
    apply(web)
    e = explain(web, "10.0.1.1:34567")
    [server] = [s for s in e["servers"] if s["name"] == e["server"]]
    number = e["server"][1]
    text = web.lbgen("explain", "web", "10.0.1.1:34567", "-b", "br0").stdout
    assert text == f"""\
10.0.1.1:34567 to pool web, 10.0.0.100:80/tcp: server {e['server']}
  policy   wrr, tracked: the first packet of a connection meets the group
  group    {e['group']}, 256 slots
  hashed   ip_src, ip_dst, ip_proto, tp_src, tp_dst; by the userspace datapath
  hash     0x{e['hash']:08x}
  slot     {e['hash'] % 256}, the hash modulo 256
  bucket   {e['hash'] % 256}, for member {e['member']}
  server   {e['server']}, address 10.0.0.{number}:8080, mac \
02:00:00:00:00:0{number}, interface {e['server']}-o, state ready, weight \
{server['weight']}
  share    {100 * server['share']:.2f}%, {server['slots']} of 256 slots \
(asked {100 * server['asked']:.2f}%)
"""
    # The manual has that very example.
    with open(os.path.join(os.environ.get("SRCDIR",
                                          os.path.dirname(HERE)),
                           "lbgen", "lbgen.8")) as manual:
        assert f"-b br0\n{text}.Ed\n" in manual.read()


@switch
def test_live(web):
    apply(web)
    text = web.lbgen("explain", "web", "10.0.1.1:34567", "-b", "br0",
                     "--live").stdout
    e = explain(web, "10.0.1.1:34567", "--live")
    assert e["live"]["agrees"] is True
    assert e["live"]["bucket"] == e["bucket"]
    assert e["live"]["member"] == e["member"]
    assert (f"  live     the switch takes bucket {e['bucket']} and the same "
            f"server\n\nofproto/trace {e['live']['flow']}\n") in text
    # Nothing was sent or changed by all that.
    assert web.lbgen("diff", web.pool_yaml([3, 2, 2], server_port=8080)
                     ).stdout == ""
    assert sum(s["tracked"] for s in explain(web, "10.0.1.1")["servers"]) == 0

    # A flow of somebody else's comes first.
    web.ofctl("add-flow", "br0",
              f"priority=50000,tcp,nw_dst={VIP},actions=drop")
    result = web.lbgen("explain", "web", "10.0.1.1:34567", "-b", "br0",
                       "--live")
    assert result.stderr == (
        "lbgen: warning: the switch would not do what was foretold: flows or "
        "groups have changed, or flows of others come first\n")


# Groups and flows that are not as lbgen left them.

def edit_group(lab, edit):
    """Sends the pool's group again, its text gone through 'edit'."""
    [group] = lab.groups()
    lab.ofctl("mod-group", "br0", edit(group))
    wait_revalidated(lab)


def members(lab):
    """Member ids by name of server."""
    [group] = lab.groups()
    ids = Counter(re.findall(MEMBER, group))
    by_slots = {s["slots"]: s["name"]
                for s in explain(lab, "10.0.1.1")["servers"]}
    return {by_slots[n]: member for member, n in ids.items()}


EDITED = "the group is not as lbgen left it; this is about the one that is " \
    "there"


@switch
def test_edited_bucket(web):
    apply(web, (4, 2, 1))
    e = explain(web, "10.0.1.1:34567")
    ids = members(web)
    other = next(name for name in web.servers if name != e["server"])
    edit_group(web, lambda group: re.sub(
        rf"(bucket_id:{e['bucket']},.*?set_field:0x)[0-9a-f]+",
        rf"\g<1>{ids[other]}", group, count=1))
    edited = explain(web, "10.0.1.1:34567", "--live")
    assert edited["server"] == other
    assert edited["live"]["agrees"] is True
    assert edited["slot"] == e["slot"]
    assert edited["notes"] == [
        EDITED,
        f"as lbgen left it, slot {e['slot']} was of server {e['server']}"]
    assert_traffic(web)


def bucket(number, weight, member):
    return (f"bucket=bucket_id:{number},weight:{weight},"
            f"actions=set_field:0x{member}->reg0,resubmit(,202)")


@switch
@pytest.mark.parametrize("weights", [(3, 2, 2), (1, 100, 1), (0, 5, 1),
                                     (7, 7, 7)])
def test_edited_weights(web, weights):
    """The switch makes a table of its own."""
    apply(web, (4, 2, 1))
    ids = members(web)
    buckets = ",".join(bucket(i + 40, weight, ids[f"s{i + 1}"])
                       for i, weight in enumerate(weights))
    edit_group(web, lambda group: re.sub(r",bucket=.*", f",{buckets}", group))
    n_slots = explain(web, "10.0.1.1")["slots"]
    assert n_slots == {(3, 2, 2): 16, (1, 100, 1): 128, (0, 5, 1): 16,
                       (7, 7, 7): 16}[weights]
    ports = range(1, 2001)
    by_slot = {e.slot: e for e in foretell(
        web, [("10.0.1.1", port) for port in ports])}
    assert set(by_slot) == set(range(n_slots))
    for slot, e in by_slot.items():
        number, member = trace(web, nw_src="10.0.1.1",
                               dp_hash=hex(slot | 0x100))
        assert (number, f"{member:x}") == (e.bucket, ids[e.server])
    assert_traffic(web, n=300)


@switch
def test_edited_hash(web):
    """Scores with weights that differ, of more fields."""
    apply(web, (4, 2, 1))
    ids = members(web)
    buckets = ",".join(bucket(i + 7, weight, ids[f"s{i + 1}"])
                       for i, weight in enumerate((3, 2, 2)))
    [group] = web.groups()
    for fields in ("fields(ip_src=255.255.255.0,tcp_src=0xff)",
                   "fields(ip_dst,ip_src,udp_src)", "fields(tcp_src,tcp_dst)"):
        web.ofctl("mod-group", "br0", re.sub(
            r",bucket=.*", f",{buckets}", group.replace(
                "selection_method=dp_hash",
                f"selection_method=hash,{fields}")))
        clients = [(f"10.0.{i}.1", 1000 + i) for i in range(40)]
        for (ip, port), e in zip(clients, foretell(web, clients)):
            number, member = trace(web, nw_src=ip, tp_src=port)
            assert (number, f"{member:x}") == (e.bucket, ids[e.server])
    e = explain(web, "10.0.1.1")
    assert e["answer"] == "any"
    assert e["hashed"] == "tcp_src, tcp_dst"
    assert e["notes"] == [
        "the group hashes the source port; give CLIENT:PORT to learn about "
        "one connection",
        "buckets differ in weight, so that shares are not those of the slots",
        EDITED]

    web.ofctl("mod-group", "br0", group.replace(
        "selection_method=dp_hash",
        "selection_method=hash,fields(eth_src)"))
    e = explain(web, "10.0.1.1:34567")
    assert e["answer"] == "unknown"
    assert e["notes"][0] == (
        "the group picks a bucket by something that lbgen never asks for; "
        "--live shows what the switch does")


@switch
def test_edited_otherwise(web):
    apply(web, (4, 2, 1))
    [group] = web.groups()
    number = re.search(r"group_id=(\d+)", group)[1]
    # dp_hash with the other algorithm; more than 256 slots.
    for edit in (lambda g: re.sub("selection_method_param=[0-9]+",
                                  f"selection_method_param={1 << 32 | MAGIC}",
                                  g),
                 lambda g: g.replace("bucket_id:0,", "bucket_id:0,weight:2,")):
        web.ofctl("mod-group", "br0", edit(group))
        e = explain(web, "10.0.1.1:34567")
        assert (e["answer"], e["method"]) == ("unknown", None)
    # A bucket that does something else.
    web.ofctl("mod-group", "br0", re.sub(r"actions=.*?(,bucket|$)",
                                         r"actions=output:1\1", group))
    e = explain(web, "10.0.1.1:34567")
    assert e["answer"] == "unknown"
    assert e["notes"][0].endswith("stands for no server of the pool; --live "
                                  "shows what it does")
    # Buckets that watch a port that there is not: all are dead.
    web.ofctl("mod-group", "br0", re.sub(r"watch_port:\d+", "watch_port:99",
                                         group))
    e = explain(web, "10.0.1.1:34567", "--live")
    assert e["answer"] == "none" and e["live"]["member"] is None
    # No longer lbgen's, and gone.
    gone = [f"the pool's group {number} is gone from the bridge, or is not "
            "lbgen's any more"]
    web.ofctl("mod-group", "br0", re.sub("selection_method_param=[0-9]+",
                                         "selection_method_param=5", group))
    e = explain(web, "10.0.1.1:34567")
    assert e["answer"] == "none" and gone[0] in e["notes"]
    web.ofctl("del-groups", "br0", f"group_id={number}")
    e = explain(web, "10.0.1.1:34567")
    assert e["answer"] == "none" and gone[0] in e["notes"]
    assert web.connect("c1", VIP, 80, timeout=0.5).failures == 1


@switch
def test_edited_flows(web):
    apply(web)
    e = explain(web, "10.0.1.1:34567")
    path = rf"reg0=0x{e['member']:x}"
    web.ofctl("del-flows", "br0", f"table=202,tcp,{path}")
    edited = explain(web, "10.0.1.1:34567")
    assert edited["answer"] == "none"
    assert edited["notes"]
    for note in edited["notes"]:
        assert note.startswith("a flow on the way is gone: cookie=0x6c6267")
        assert path in note
    # They are on nobody else's way.
    others = [port for port in range(1, 50) if foretell(
        web, [("10.0.1.1", port)])[0].server not in (e["server"], "-")]
    assert len(others) > 10
    assert explain(web, f"10.0.1.1:{others[0]}")["notes"] == []

    apply(web)
    assert explain(web, "10.0.1.1:34567") == e
    [flow] = [line for line in web.flows() if "=0x6c626702" in line]
    web.ofctl("mod-flows", "br0",
              re.sub("cookie=[^ ]* ?", "", flow).split(" actions=")[0]
              + ",actions=drop")
    edited = explain(web, "10.0.1.1:34567")
    assert edited["answer"] == "unknown"
    assert edited["notes"][0].startswith("a flow on the way is not as lbgen "
                                         "left it: cookie=")


# What is not known.

@switch
def test_what_cannot_be_foretold(web):
    apply(web)
    client = ("10.0.1.1", 34567)
    known = explain(web, "10.0.1.1:34567")
    kernel = foretell(web, [client], "web", "kernel")[0]
    assert (kernel.answer, kernel.hash) == ("any", None)
    assert notes(web, "10.0.1.1 34567", "kernel") == [
        "the bridge is in the kernel, whose hash cannot be foretold; --live "
        "shows what each step does"]
    foreign = foretell(web, [client], "web", "foreign")[0]
    assert (foreign.answer, foreign.hash) == ("any", None)
    assert notes(web, "10.0.1.1 34567", "foreign") == [
        "the switch has a hash function that lbgen does not know, so that "
        "nothing can be foretold"]
    unknown = foretell(web, [client], "web", "unknown")[0]
    assert (unknown.server, unknown.hash) == (known["server"], known["hash"])
    holds = [
        "holds if the bridge is in the userspace datapath, which only the "
        "switch's control socket tells",
        "holds if Open vSwitch was built without SSE 4.2, as distributions do"]
    assert notes(web, "10.0.1.1 34567", "unknown") == holds
    assert notes(web, "10.0.1.1 34567", "nic") == [
        "port dpdk0 is a DPDK port: packets that come in there have the hash "
        "of its NIC, and may reach another server"]

    # The same with a real bridge whose control socket is out of reach.
    away = f"{web.rundir}/away"
    os.mkdir(away)
    os.symlink(f"{web.rundir}/br0.mgmt", f"{away}/br0.mgmt")
    bridge = f"unix:{away}/br0.mgmt"
    result = web.lbgen("explain", "web", "10.0.1.1:34567", "-b", bridge,
                       "--json")
    e = json.loads(result.stdout)
    assert e["server"] == known["server"] and e["notes"] == holds
    assert e["datapath"] is None and result.stderr == ""
    assert [s["tracked"] for s in e["servers"]] == [None] * 3
    result = web.lbgen("explain", "web", "10.0.1.1:34567", "-b", bridge,
                       "--live", check=1)
    assert result.stdout == ""
    assert result.stderr.startswith("lbgen: --live needs the control socket "
                                    "of the switch, on its own host: ")
    # A hash of addresses does not depend on the datapath.
    apply(web, policy="sticky")
    assert notes(web, "10.0.1.1", "unknown") == holds[1:]
    assert foretell(web, ["10.0.1.1"], "web", "kernel")[0].answer == "server"


# Connections that exist.

@switch
def test_tracked_connection(web):
    apply(web)
    held = web.hold("c1", VIP, 80, 20)
    assert held.opened.failures == 0
    before = held.opened.by_connection
    apply(web, (0, 1, 1))
    (ip, port), server = next((c, s) for c, s in sorted(before.items())
                              if s == "s1")
    e = explain(web, f"{ip}:{port}")
    assert e["tracked"] == "s1" and e["server"] in ("s2", "s3")
    assert {s["name"]: s["tracked"] for s in e["servers"]} \
        == dict(held.opened)
    text = web.lbgen("explain", "web", f"{ip}:{port}", "-b", "br0").stdout
    assert ("  tracked  this very connection, by server s1, in state "
            "ESTABLISHED: its packets go there\n") in text
    assert (f"  tracked  {held.opened['s1']} connections of the client by "
            "server s1\n") in text
    assert explain(web, "10.0.1.2")["tracked"] is None
    assert held.ping().servers == held.opened


@switch
def test_resident(web):
    """A sticky client that stays with a server that drains."""
    apply(web, policy="sticky", drain_timeout="10m")
    sources = web.client_addresses("c1", 60)
    before = web.connect("c1", VIP, 80, 60, sources=sources)
    web.lbgen("drain", "web/s1", "-b", "br0")
    wait_revalidated(web)
    after = assert_traffic(web, n=60, sources=sources)
    assert {s: set(c) for s, c in after.by_source.items()} \
        == {s: set(c) for s, c in before.by_source.items()}
    client = next(s for s in sources if after.by_source[s]["s1"])
    e = explain(web, client, "--live")
    assert (e["server"], e["resident"], e["bucket"]) == ("s1", True, None)
    assert e["live"]["agrees"] is True and e["live"]["bucket"] is None
    [note] = e["notes"]
    assert re.fullmatch("server s1 drains, and the client was there when that "
                        r"began, \d+ s ago: until drain_timeout is over, it "
                        "stays there", note)
    text = web.lbgen("explain", "web", client, "-b", "br0", "--live").stdout
    assert "\n  live     the switch's trace leads to the same server\n" in text
    web.lbgen("maint", "web/s1", "-b", "br0")
    e = explain(web, client, "--live")
    assert e["server"] != "s1" and e["resident"] is False
    assert e["live"]["agrees"] is True


NO_CONNECTION = ("and a switch sends no packet back where it came from: there "
                 "will be no connection")


@switch
@pytest.mark.parametrize("keys, note", [
    ({}, f"which sees {VIP} instead of itself"),
    ({"snat": "10.0.0.200"}, "which sees 10.0.0.200 instead of itself"),
    ({"connections": "stateless", "guard": True},
     f"which sees {VIP} instead of itself"),
    ({"port": None, "server_port": None}, NO_CONNECTION),
    ({"port": None, "server_port": None, "snat": "10.0.0.200"},
     "which sees 10.0.0.200 instead of itself"),
    ({"connections": "direct", "server_port": None},
     "which has the VIP itself: its connections never leave it"),
], ids=["tracked", "snat", "stateless", "every-port", "every-port-snat",
        "direct"])
def test_server_as_client(web, keys, note):
    apply(web, (1, 0, 0), **keys)
    e = explain(web, "10.0.0.1:2000", "--vip-port", str(keys.get("port", 80)
                                                        or 8080))
    assert e["server"] == "s1"
    assert e["notes"] == [f"the client is that server, {note}"]
    if "connection" not in note:
        port = keys.get("port", 80) or 8080
        assert not web.connect("s1", VIP, port, 10,
                               peer=note.split()[2]).failures
    elif note == NO_CONNECTION:
        assert web.connect("s1", VIP, 8080, 2, timeout=0.3).failures == 2


# What is wrong about the question.

CLIENT = ('lbgen: a client is an address, or an address and a source port as '
          'in 10.0.0.1:34567, not "{}"\n')
PORT = 'lbgen: a client\'s port must be 1 to 65535, not "{}"\n'


@pytest.mark.parametrize("client, message", [
    ("", CLIENT), ("x", CLIENT), ("10.0.1", CLIENT), ("10.0.1.300", CLIENT),
    ("10.0.0.1/24", CLIENT), ("10.0.0.1:5:6", CLIENT),
    ("[10.0.0.1", CLIENT), ("[::1]5", CLIENT), ("[]:5", CLIENT),
    (":80", CLIENT),
    ("10.0.0.1:", PORT.format("")), ("10.0.0.1:0", PORT.format("0")),
    ("10.0.0.1:65536", PORT.format("65536")),
    ("10.0.0.1:99999999999999999999", PORT.format("99999999999999999999")),
    ("10.0.0.1:+5", PORT.format("+5")), ("10.0.0.1:5x", PORT.format("5x")),
    ("[::1]:http", PORT.format("http")),
])
def test_malformed_client(client, message):
    lbgen = os.environ.get("LBGEN", os.path.join(HERE, "..", "lbgen",
                                                 "lbgen"))
    result = subprocess.run([lbgen, "explain", "web", client, "-b", "none"],
                            text=True, capture_output=True)
    assert (result.returncode, result.stdout) == (64, "")
    assert result.stderr == message.format(client)


@switch
def test_wrong_question(web):
    apply(web)
    for args, message in [
            (("wob", "10.0.1.1"), 'bridge "br0" has no pool "wob"'),
            (("web", "fd00::1"),
             'pool "web" is for IPv4, and fd00::1 is no such address'),
            (("web", "[fd00::1]:5"),
             'pool "web" is for IPv4, and fd00::1 is no such address')]:
        for json_option in [], ["--json"]:
            result = web.lbgen("explain", *args, "-b", "br0", *json_option,
                               check=1)
            assert result.stdout == ""
            assert result.stderr == f"lbgen: {message}\n"
