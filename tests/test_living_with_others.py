# SPDX-License-Identifier: Apache-2.0
"""lbgen beside what the bridge does anyway."""

import re

import pytest

from lab_slots import OURS, apply, settle, wait_revalidated

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"

CONNECTIONS = pytest.mark.parametrize("connections", ["tracked", "stateless"])

# A pipeline of tables 0 to 5 that forwards as a learning switch does, with
# groups and cookies of its own, some of them very high.
PIPELINE = """\
group add group_id=1,type=all,bucket=actions=drop
group add group_id=7,type=select,selection_method=dp_hash,\
bucket=bucket_id:0,weight=3,actions=output:{s1},\
bucket=bucket_id:9,weight=1,actions=output:{s2}
group add group_id=1818361857,type=indirect,bucket=actions=drop
flow add cookie=0x1234,table=0,priority=50000,udp,tp_dst=9,actions=drop
flow add cookie=0xffffffffffffffff,table=0,priority=30000,tcp,tp_dst=25,\
actions=group:1
flow add cookie=0x6c626600000000ff,table=0,priority=10,\
actions=set_field:5->reg3,resubmit(,1)
flow add cookie=0x6c62680000000000,table=1,priority=10,ip,\
actions=resubmit(,2)
flow add table=1,priority=5,actions=resubmit(,3)
flow add cookie=9,table=2,priority=0,idle_timeout=3600,\
actions=learn(table=5,idle_timeout=3600,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
output:NXM_OF_IN_PORT[]),resubmit(,3)
flow add cookie=10,table=3,priority=0,reg3=5,actions=resubmit(,4)
flow add cookie=11,table=4,priority=0,actions=NORMAL
flow add cookie=12,table=4,priority=77,ip,nw_dst=10.0.0.77,actions=group:7
"""


def foreign(lab, learned=True):
    """All flows and groups that are not lbgen's, as the switch tells them
    without counters and ages."""
    ours = set(lab.flows(match=OURS))
    flows = []
    for line in lab.flows(stats=True):
        line = re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=\S+ ?",
                      "", line)
        if "cookie=0x6c6267" not in line and (learned
                                              or "table=5, " not in line):
            flows.append(line)
    assert len(ours) == sum("cookie=0x6c6267" in line
                            for line in lab.flows(stats=True))
    groups = [line for line in lab.groups()
              if f"selection_method_param={0x6c626762}" not in line]
    return sorted(flows), groups


def ours(lab):
    return lab.flows(match=OURS)


def installed(lab):
    """lbgen's flows without those that the switch learned, which have the
    priority that is not worth a mention."""
    return [line for line in ours(lab) if "priority=" in line]


def places(lab):
    """The sorted (table, priority) pairs of these."""
    return sorted((int(table[1]) if (table := re.search(r"table=(\d+)", line))
                   else 0, int(re.search(r"priority=(\d+)", line)[1]))
                  for line in installed(lab))


def bundle(lab, text):
    ports = {name: host.ofport for name, host in lab.hosts.items()}
    lab.ofctl("bundle", "br0", "-", input=text.format(**ports))


def start(lab, *ports):
    for server in lab.servers:
        for port in ports or (80, 8080):
            lab.serve(server, port)


def assert_balanced(lab, client="c1", n=60):
    traffic = lab.connect(client, VIP, 80, n)
    assert sum(traffic.values()) == n, traffic.reasons
    assert len(traffic) > 1


# Other traffic.

@CONNECTIONS
def test_a_learning_switch_goes_on(lab, connections):
    """Clients and servers talk to each other as before, on other ports."""
    start(lab, 80, 8080, 8081)
    lab.serve("c2", 8081)
    lab.serve("c2", 8081, "udp")
    apply(lab, lab.pool_yaml(server_port=8080, connections=connections))
    assert_balanced(lab)
    ip = {name: host.ip for name, host in lab.hosts.items()}
    assert lab.connect("c1", ip["s1"], 8081, 50) == {"s1": 50}
    assert lab.connect("c1", ip["s2"], 80, 50) == {"s2": 50}
    assert lab.connect("s1", ip["s2"], 8081, 50) == {"s2": 50}
    assert lab.connect("c1", ip["c2"], 8081, 50) == {"c2": 50}
    assert lab.connect("s3", ip["c2"], 8081, 50) == {"c2": 50}
    assert lab.connect("s3", ip["c2"], 8081, 50, proto="udp") == {"c2": 50}
    assert_balanced(lab)


def test_direct_connections_beside_the_vip(lab):
    """To the very port that the pool uses, in a tracked pool."""
    start(lab, 8080)
    apply(lab, lab.pool_yaml(server_port=8080))
    for _ in range(2):
        assert_balanced(lab)
        assert lab.connect("c1", lab.hosts["s2"].ip, 8080,
                           200) == {"s2": 200}
        assert lab.connect("s1", lab.hosts["s2"].ip, 8080,
                           200) == {"s2": 200}
    hold = lab.hold("c2", lab.hosts["s3"].ip, 8080, 100, timeout=10)
    apply(lab, lab.pool_yaml([1, 1, 0], server_port=8080))
    assert hold.ping().alive == 100
    lab.lbgen("delete", "--all", "-b", "br0")
    wait_revalidated(lab)
    assert hold.ping().alive == 100
    hold.close()


def test_direct_connections_from_before(lab):
    """They live through the first apply."""
    start(lab, 80)
    hold = lab.hold("c1", lab.hosts["s1"].ip, 80, 100, timeout=10)
    lab.lbgen("apply", lab.pool_yaml())
    assert hold.ping().alive == 100
    wait_revalidated(lab)
    assert hold.ping().alive == 100
    hold.close()


# Pipelines.

@CONNECTIONS
def test_what_is_not_ours_is_not_touched(make_lab, connections):
    """Through all that can change."""
    lab = make_lab(fail_mode="secure")
    start(lab)
    bundle(lab, PIPELINE)
    before = foreign(lab)
    assert len(before[0]) == 9 and len(before[1]) == 3

    def pool(name, weights, port, **keys):
        return lab.pool(weights, name=name, port=port,
                        connections=connections, **keys)

    a, b = pool("a", [1, 1, 1], 80), pool("b", [1, 2], 8080)
    for path in (lab.file(a), lab.file(a, b),
                 lab.file(pool("a", [5, 1, 0], 80), b),
                 lab.file(pool("a", [5, 1, 1], 80, policy="sticky"), b),
                 lab.file(a, b, priority=20000),
                 lab.file(a, b, table_base=100, fallback="normal"),
                 lab.file(b), lab.file(a, zone=77)):
        lab.lbgen("apply", path)
        assert foreign(lab) == before
    assert_balanced(lab)
    lab.lbgen("delete", "--pool", "a", "-b", "br0")
    assert foreign(lab, learned=False) == before
    lab.lbgen("apply", lab.file(a, b))
    lab.lbgen("delete", "--all", "-b", "br0")
    assert foreign(lab, learned=False) == before
    assert ours(lab) == [] and len(lab.groups()) == 3


def test_counters_of_others_go_on(make_lab):
    lab = make_lab(fail_mode="secure")
    start(lab)
    bundle(lab, PIPELINE)

    def packets():
        settle(lab)
        flow, = lab.flows(match="cookie=11/-1", stats=True)
        return int(re.search(r"n_packets=(\d+)", flow)[1])

    assert lab.connect("c1", lab.hosts["s1"].ip, 80, 50) == {"s1": 50}
    before = packets()
    assert before > 0
    lab.lbgen("apply", lab.pool_yaml())
    lab.lbgen("delete", "--all", "-b", "br0")
    assert packets() >= before


@CONNECTIONS
def test_entry_table(make_lab, connections):
    """The bridge's own table 0 decides what lbgen gets to see."""
    lab = make_lab(fail_mode="secure")
    start(lab)
    bundle(lab, """\
flow add table=0,priority=10,in_port={c2},actions=resubmit(,20)
flow add table=0,priority=1,actions=set_field:3->reg1,resubmit(,10)
flow add table=10,priority=1,reg1=3,actions=resubmit(,20)
flow add table=20,priority=0,actions=NORMAL
""")
    before = foreign(lab)
    apply(lab, lab.pool_yaml(connections=connections, server_port=8080,
                             settings={"entry_table": 10, "table_base": 30,
                                       "priority": 500}))
    assert {(10, 501), (10, 508)} <= set(places(lab))
    assert {table for table, _ in places(lab)} <= {10, *range(30, 46)}
    assert foreign(lab) == before
    assert_balanced(lab)
    assert lab.connect("c1", lab.hosts["s1"].ip, 80, 50) == {"s1": 50}
    if connections == "tracked":
        assert lab.connect("c1", lab.hosts["s1"].ip, 8080, 50) == {"s1": 50}
    # What c2 sends does not come by.
    assert lab.connect("c2", VIP, 80, 3, timeout=0.3).failures == 3
    assert lab.connect("c2", lab.hosts["s1"].ip, 80, 50) == {"s1": 50}


@pytest.mark.parametrize("keys", [
    {"slots": 1024},
    {"policy": "sticky", "sticky": {"low_bits": True}},
    {"policy": "sticky", "slots": 1024},
    {"connections": "stateless", "guard": True},
    {"policy": "round-robin", "affinity": {"by": "client"}},
    {"policy": "failover", "failover": {"preempt": False}},
], ids=["slots", "low-bits", "client-slots", "guard", "turns", "failover"])
def test_registers_of_others(lab, keys):
    """What the bridge's own flows have put into registers does not matter."""
    start(lab)
    values = [0x7fffffff] * 16
    values[2] = 1
    load = ",".join(f"set_field:{value}->reg{i}"
                    for i, value in enumerate(values))
    bundle(lab, f"""\
flow add table=0,priority=1,actions={load},resubmit(,10)
flow add table=10,priority=1,actions=NORMAL
""")
    apply(lab, lab.pool_yaml(server_port=8080, settings={
        "entry_table": 10, "table_base": 30, "priority": 500}, **keys))
    assert not lab.connect("c1", VIP, 80, 100).failures
    # Nor does it make others' traffic that of a VIP.
    assert lab.connect("c2", lab.hosts["s1"].ip, 8080, 20) == {"s1": 20}


def test_flows_above_win(lab):
    """A higher priority is somebody else's way to take packets away."""
    start(lab)
    apply(lab, lab.pool_yaml(server_port=8080, settings={"priority": 100}))
    lab.ofctl("add-flow", "br0", f"priority=116,tcp,nw_dst={VIP},"
              f"nw_src={lab.hosts['c2'].ip},actions=drop")
    settle(lab)
    assert lab.connect("c2", VIP, 80, 3, timeout=0.3).failures == 3
    assert_balanced(lab, "c1")


# Moves on a live bridge.

MOVES = [
    {"priority": 30000},
    {"priority": 40008},        # Just beside.
    {"table_base": 201},
    {"table_base": 198},
    {"priority": 7, "table_base": 100, "entry_table": 10},
]


@CONNECTIONS
def test_moves(make_lab, connections):
    """One apply moves everything, and what is open stays open."""
    lab = make_lab(fail_mode="secure")
    start(lab, 8080)
    bundle(lab, """\
flow add table=0,priority=2,actions=resubmit(,10)
flow add table=10,priority=2,actions=NORMAL
""")
    before = foreign(lab)
    keys = {"connections": connections, "server_port": 8080}
    apply(lab, lab.pool_yaml(**keys))
    home = installed(lab)
    hold = lab.hold("c1", VIP, 80, 200, timeout=10)
    assert hold.opened.failures == 0
    for settings in MOVES:
        path = lab.pool_yaml(**keys, settings=settings)
        for step in path, lab.pool_yaml(**keys):
            lab.lbgen("apply", step)
            (wait_revalidated if step is path else settle)(lab)
            ping = hold.ping()
            assert ping.alive == 200, (settings, ping)
            lab.lbgen("diff", step)
            assert foreign(lab) == before
            if step is path:
                entry = settings.get("entry_table", 0)
                base = settings.get("table_base", 200)
                top = settings.get("priority", 40000)
                assert len(places(lab)) == len(home)
                assert {priority for table, priority in places(lab)
                        if table == entry} <= {*range(top, top + 16)}
                assert {table for table, _ in places(lab)} <= {
                    entry, *range(base, base + 16)}
        assert installed(lab) == home
    hold.close()


@pytest.mark.parametrize("change", [{"vip_mac": "02:aa:00:00:00:01"},
                                    {"policy": "sticky"}, {"slots": 64}],
                         ids=lambda change: next(iter(change)))
def test_open_connections_live_through_other_changes(lab, change):
    """In tracked pools."""
    start(lab, 80)
    apply(lab, lab.pool_yaml())
    hold = lab.hold("c1", VIP, 80, 200, timeout=10)
    lab.lbgen("apply", lab.pool_yaml(**change))
    wait_revalidated(lab)
    assert hold.ping().alive == 200
    hold.close()


# Bridges with nothing.

def test_secure_bridge_with_fallback(make_lab):
    lab = make_lab(fail_mode="secure")
    start(lab)
    apply(lab, lab.pool_yaml(settings={"fallback": "normal"}))
    assert "NORMAL" in " ".join(ours(lab))
    assert_balanced(lab)
    assert lab.connect("c1", lab.hosts["s1"].ip, 8080, 50) == {"s1": 50}
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.flows() == []


@CONNECTIONS
def test_secure_bridge_without_fallback(make_lab, connections):
    """The VIP works for those who need no ARP of each other; nothing else
    does."""
    lab = make_lab(fail_mode="secure")
    start(lab)
    apply(lab, lab.pool_yaml(connections=connections, server_port=8080))
    assert "NORMAL" not in " ".join(lab.flows())
    for a in lab.hosts.values():
        for b in lab.hosts.values():
            if a is not b:
                lab.run(a.name, "ip", "neighbour", "add", b.ip, "lladdr",
                        b.mac, "dev", "eth0")
    assert_balanced(lab)
    for target, port in (("s1", 80), ("s1", 8080), ("c2", 80)):
        assert lab.connect("c1", lab.hosts[target].ip, port, 3,
                           timeout=0.3).reasons == {"no-connection": 3}


def test_no_reply_is_flooded_on_a_secure_bridge(make_lab):
    lab = make_lab(fail_mode="secure")
    start(lab)
    apply(lab, lab.pool_yaml(settings={"fallback": "normal"}))
    with lab.capture("c2", "tcp") as capture:
        assert_balanced(lab, "c1", 300)
    assert capture.lines() == []


# Clashes.

def clash(lab, path, message, note=None):
    """apply, diff and a dry run fail with that message and leave the switch
    alone."""
    def everything():
        return foreign(lab), ours(lab), lab.groups()

    before = everything()
    expected = f"{message}\n" + (f"lbgen: note: it is: {note}\n" if note
                                 else "")
    for command in ("apply",), ("diff",), ("apply", "--dry-run"):
        result = lab.lbgen(*command, path, check=1)
        assert result.stderr == expected and result.stdout == ""
        assert everything() == before


def test_clash_of_groups(lab):
    path = lab.pool_yaml()
    lab.ofctl("add-group", "br0", "group_id=1818411304,type=all")
    clash(lab, path, f'{path}:4:5: error: bridge "br0" has a group 1818411304 '
          "that is not lbgen's, and this pool needs that id")
    lab.ofctl("del-groups", "br0", "group_id=1818411304")
    lab.lbgen("apply", path)


@pytest.mark.parametrize("table", [200, 201, 202, 204])
def test_clash_of_tables(lab, table):
    flow = f"table={table},priority=7,tcp"
    lab.ofctl("add-flow", "br0", f"{flow},actions=drop")
    path = lab.pool_yaml()
    clash(lab, path, f'lbgen: bridge "br0" has flows of others in table '
          f"{table}, which lbgen would take for itself; set \"table_base\" to "
          "the first of 16 free tables", f"cookie=0x0,{flow} actions=drop")
    lab.lbgen("apply", lab.pool_yaml(settings={"table_base": 100}))
    clash(lab, path, f'lbgen: bridge "br0" has flows of others in table '
          f"{table}, which lbgen would take for itself; set \"table_base\" to "
          "the first of 16 free tables", f"cookie=0x0,{flow} actions=drop")


@pytest.mark.parametrize("flow, line", [
    (f"priority=40008,tcp,reg15=0/0x80000000,nw_dst={VIP},tp_dst=80", 4),
    (f"priority=40008,tcp,nw_dst={VIP},tp_dst=80", 4),
    (f"priority=40008,tcp,nw_dst={VIP}", 4),
    ("priority=40008,arp", 4),
    ("priority=40001,tcp,nw_src=10.0.0.2", 17),
    ("priority=40001,tcp,tp_src=80,nw_src=10.0.0.2", 17),
    (f"priority=40013,ip,nw_dst={VIP}", 4),
], ids=["the same", "without reg15", "wider", "ARP", "from a server",
        "from a server's port", "fragments"])
def test_clash_of_flows(lab, flow, line):
    """What the switch would do with two is not defined."""
    lab.ofctl("add-flow", "br0", f"{flow},actions=drop")
    note, = (f"cookie=0x0,table=0,{text}" for text in lab.flows()
             if "drop" in text)
    path = lab.pool_yaml()
    place = f"{path}:{line}:" + ("5" if line == 4 else "9")
    clash(lab, path, f'{place}: error: bridge "br0" has a flow of its own in '
          'the place of one that is needed here; set another "priority"',
          note)
    lab.lbgen("apply", lab.pool_yaml(settings={"priority": 30000}))


@pytest.mark.parametrize("flow", [
    "priority=40008,tcp,nw_dst=10.0.0.101,tp_dst=80",
    f"priority=40008,tcp,nw_dst={VIP},tp_dst=81",
    f"priority=40008,udp,nw_dst={VIP}",
    f"priority=40001,tcp,nw_dst={VIP},tp_src=81",
    f"priority=40003,tcp,nw_dst={VIP}",
    f"priority=39999,tcp,nw_dst={VIP}",
    "table=199,priority=40008,tcp",
    "table=216,priority=40008,tcp",
])
def test_no_clash(lab, flow):
    lab.ofctl("add-flow", "br0", f"{flow},actions=drop")
    before = foreign(lab)
    lab.lbgen("apply", lab.pool_yaml())
    assert foreign(lab) == before
