# SPDX-License-Identifier: Apache-2.0
"""The lab itself: does it count right, and does it notice what goes wrong?"""

import json
import os
import re
import signal
from collections import Counter

import pytest

from lab import Lab, LabError, assert_shares, wait_for

switch = pytest.mark.switch


def redirect(lab, client, actions):
    """The switch does 'actions' with TCP and UDP packets of 'client', and
    forwards all else as before."""
    for proto in "tcp", "udp":
        lab.ofctl("add-flow", "br0", f"priority=9,{proto},"
                  f"nw_src={lab.hosts[client].ip},actions={actions}")


# Start and end.

@switch
@pytest.mark.parametrize("servers", [3, 10])
def test_start(make_lab, servers):
    lab = make_lab(servers=servers)
    print(f"{servers} servers: started in {lab.start_time:.2f} s")
    assert lab.start_time < 15
    assert lab.flows() == ["priority=0 actions=NORMAL"]
    assert lab.groups() == []
    ports = lab.ofctl("show", "br0")
    for number, name in enumerate(lab.servers + lab.clients, 1):
        assert re.search(rf"^ {number}\({name}-o\)", ports, re.M)


@switch
def test_nothing_is_left():
    with Lab() as lab:
        lab.serve("s1", 80)
        assert lab.connect("c1", "10.0.0.1", 80) == {"s1": 1}
        hold = lab.hold("c1", "10.0.0.1", 80, 2)
        processes = list(lab._processes)
        assert len(processes) == 4 and hold.process in processes
    assert not os.path.exists(lab.rundir)
    assert not [n for n in os.listdir("/run/netns") if lab.netns in n]
    assert all(p.returncode is not None for p in processes)


@switch
def test_labs_side_by_side(make_lab):
    """Same names, same addresses, and neither sees the other."""
    one, two = make_lab(), make_lab()
    one.serve("s1", 80, name="one")
    two.serve("s1", 80, name="two")
    assert one.connect("c1", "10.0.0.1", 80, 20) == {"one": 20}
    assert two.connect("c1", "10.0.0.1", 80, 20) == {"two": 20}
    one.ofctl("add-flow", "br0", "table=7,actions=drop")
    assert len(one.flows()) == 2 and len(two.flows()) == 1


@switch
def test_crash_of_the_switch_is_noticed():
    with pytest.raises(LabError, match="ovs-vswitchd died: status -11"):
        with Lab(servers=1, clients=0) as lab:
            lab.vswitchd.send_signal(signal.SIGSEGV)
            lab.vswitchd.wait()


@switch
@pytest.mark.parametrize("level", ["ERR", "EMER"])
def test_error_in_the_log_is_noticed(level):
    line = f"2020-01-01T00:00:00.000Z|00042|bridge|{level}|no good\n"
    with pytest.raises(LabError, match="no good"):
        with Lab(servers=1, clients=0) as lab:
            with open(f"{lab.rundir}/ovs-vswitchd.log", "a") as log:
                log.write(line)


@switch
def test_failed_program_is_noticed(lab):
    with pytest.raises(LabError, match="unknown keyword nonsense"):
        lab.ofctl("add-flow", "br0", "nonsense=1,actions=drop")


@switch
def test_restart_of_the_switch(lab):
    lab.serve("s1", 80)
    lab.ofctl("add-flow", "br0", "table=7,actions=drop")
    lab.restart_switch(kill=True)
    assert lab.flows() == ["priority=0 actions=NORMAL"]
    assert lab.connect("c1", "10.0.0.1", 80, 5) == {"s1": 5}


# Traffic through a switch that forwards by MAC address.

@switch
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_traffic(lab, proto):
    servers = {name: lab.serve(name, 8080, proto) for name in lab.servers}
    for number, name in enumerate(lab.servers, 1):
        traffic = lab.connect("c1", f"10.0.0.{number}", 8080, 500,
                              proto=proto)
        assert traffic == {name: 500} and traffic.failures == 0
        assert traffic.by_source == {"10.0.1.1": {name: 500}}
    assert lab.connect("c2", "10.0.0.3", 8080, 70, proto=proto) == {"s3": 70}
    assert servers["s1"].peers() == {"10.0.1.1": 500}
    assert servers["s3"].peers() == {"10.0.1.1": 500, "10.0.1.2": 70}


@switch
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_many_client_addresses(lab, proto):
    server = lab.serve("s2", 80, proto)
    sources = lab.client_addresses("c1", 1000)
    assert len(set(sources)) == 1000
    traffic = lab.connect("c1", "10.0.0.2", 80, 2000, sources=sources,
                          proto=proto)
    assert traffic == {"s2": 2000} and not traffic.failures
    assert server.peers() == Counter({source: 2 for source in sources})
    assert traffic.by_source == {source: {"s2": 2} for source in sources}


@switch
def test_same_source_ports_in_each_lab(make_lab):
    """What the switch hashes does not change from run to run."""
    seen = []
    for _ in range(2):
        lab = make_lab()
        server = lab.serve("s1", 80)
        for n in (3, 2):
            lab.connect("c1", "10.0.0.1", 80, n, concurrency=1)
        with open(server.log) as log:
            seen.append(log.read())
    assert seen[0] == seen[1]
    assert seen[0].split("\n")[:2] == ["10.0.1.1 10000", "10.0.1.1 10001"]


@switch
def test_failures_are_told_apart(lab):
    server = lab.serve("s1", 80)
    lab.serve("s1", 80, "udp")
    assert lab.connect("c1", "10.0.0.1", 81, 5).reasons == {"refused": 5}
    assert lab.connect("c1", "10.0.0.1", 81, 5,
                       proto="udp").reasons == {"refused": 5}
    redirect(lab, "c1", "mod_nw_src:10.0.1.9,NORMAL")
    lab.ofctl("add-flow", "br0", "priority=9,ip,nw_dst=10.0.1.9,"
              "actions=mod_nw_dst:10.0.1.1,output:c1-o")
    lab.run("s1", "ip", "neighbour", "add", "10.0.1.9", "lladdr",
            lab.hosts["c1"].mac, "dev", "eth0")
    for proto in "tcp", "udp":
        traffic = lab.connect("c1", "10.0.0.1", 80, 5, proto=proto)
        assert traffic.reasons == {"wrong-peer": 5} and not traffic
    assert server.peers() == {"10.0.1.9": 5}
    redirect(lab, "c1", "drop")
    assert lab.connect("c1", "10.0.0.1", 80, 5,
                       timeout=0.3).reasons == {"no-connection": 5}
    assert lab.connect("c1", "10.0.0.1", 80, 5, timeout=0.3,
                       proto="udp").reasons == {"no-answer": 5}


@switch
def test_hold(lab):
    server = lab.serve("s1", 80)
    hold = lab.hold("c1", "10.0.0.1", 80, 1000)
    assert hold.opened == {"s1": 1000} and not hold.opened.failures
    for _ in range(2):
        ping = hold.ping()
        assert ping.alive == 1000 and ping.servers == {"s1": 1000}
        assert not ping.moved + ping.reset + ping.stalled
    server.stop()
    ping = hold.ping()
    assert ping.reset == 1000 and not ping.alive
    hold.close()


@switch
def test_hold_through_a_broken_path(lab):
    lab.serve("s1", 80)
    hold = lab.hold("c1", "10.0.0.1", 80, 10, timeout=0.5)
    redirect(lab, "c1", "drop")
    ping = hold.ping()
    assert ping.stalled == 10 and not ping.alive


@switch
def test_hold_notices_another_server(lab):
    lab.serve("s1", 80, "udp")
    lab.serve("s2", 80, "udp")
    hold = lab.hold("c1", "10.0.0.1", 80, 10, proto="udp")
    assert hold.opened == {"s1": 10}
    redirect(lab, "c1", f"mod_nw_dst:10.0.0.2,mod_dl_dst:"
             f"{lab.hosts['s2'].mac},output:s2-o")
    lab.ofctl("add-flow", "br0", "priority=9,udp,nw_src=10.0.0.2,"
              "actions=mod_nw_src:10.0.0.1,output:c1-o")
    ping = hold.ping()
    assert ping.moved == 10 and ping.servers == {"s2": 10}


# Bridges and links.

@switch
def test_secure_bridge_forwards_nothing(make_lab):
    lab = make_lab(servers=1, clients=1, fail_mode="secure")
    lab.serve("s1", 80)
    assert lab.flows() == []
    assert lab.connect("c1", "10.0.0.1", 80, 2, timeout=0.3).failures == 2


@switch
def test_two_bridges(make_lab):
    lab = make_lab(servers=2, bridges=["br0", "br1"],
                   host_bridge={"s2": "br1", "c2": "br1"})
    lab.serve("s2", 80)
    assert lab.connect("c2", "10.0.0.2", 80, 2) == {"s2": 2}
    assert lab.connect("c1", "10.0.0.2", 80, 2, timeout=0.3).failures == 2
    assert lab.flows("br1") == ["priority=0 actions=NORMAL"]


@switch
def test_links(lab):
    lab.serve("s1", 80)
    lab.set_link("s1", False)
    wait_for(lambda: "LINK_DOWN" in lab.ofctl("show", "br0"), "link down")
    assert lab.connect("c1", "10.0.0.1", 80, 2, timeout=0.3).failures == 2
    lab.set_link("s1", True)
    wait_for(lambda: "LINK_DOWN" not in lab.ofctl("dump-ports-desc", "br0",
                                                  "s1-o"), "link up")
    assert lab.connect("c1", "10.0.0.1", 80, 2) == {"s1": 2}


@switch
def test_more_hosts(lab):
    lab.add_hosts(["s4", "c3"])
    lab.serve("s4", 80)
    assert lab.connect("c3", "10.0.0.4", 80, 5) == {"s4": 5}


# Looking on.

@switch
def test_capture(lab):
    """Every packet is there, in both directions, and nothing else."""
    lab.serve("s1", 80)
    syn = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"
    with lab.capture("c1", syn) as at_client, \
            lab.capture("s1-o", syn) as at_port, \
            lab.capture("s1", "arp") as arp:
        lab.connect("c1", "10.0.0.1", 80, 300)
    assert len(at_client.packets) == len(at_port.packets) == 300
    assert len(at_client.lines(outgoing=True)) == 300
    assert len(at_client.lines(outgoing=False)) == 0
    assert sorted(at_port.lines()) == sorted(at_client.lines())
    assert at_client.lines()[0].startswith(
        "02:00:00:00:01:01 > 02:00:00:00:00:01, ethertype IPv4 (0x0800), "
        "length 74: 10.0.1.1.")
    assert [line.split(": ", 1)[1] for line in arp.lines()[:2]] == [
        "Request who-has 10.0.0.1 tell 10.0.1.1, length 28",
        "Reply 10.0.0.1 is-at 02:00:00:00:00:01, length 28"]


@switch
def test_quiet_network(lab):
    """No packet that no test has asked for: no IPv6, no discovery."""
    with lab.capture("s1-o") as capture:
        lab.run(None, "sleep", "1")
    assert capture.lines() == []


@switch
def test_flows_groups_and_counters(lab):
    lab.serve("s1", 80)
    lab.ofctl("add-group", "br0",
              "group_id=5,type=select,selection_method=dp_hash,"
              "bucket=bucket_id:0,output:s1-o")
    redirect(lab, "c1", "group:5")
    assert lab.connect("c1", "10.0.0.1", 80, 10) == {"s1": 10}
    assert lab.groups() == ["group_id=5,type=select,selection_method=dp_hash,"
                            "bucket=bucket_id:0,actions=output:1"]
    assert "priority=9,tcp,nw_src=10.0.1.1 actions=group:5" in lab.flows()
    assert len(lab.flows(match="tcp")) == 1
    assert any("dp_hash" in flow for flow in lab.dp_flows())
    lab.appctl("revalidator/purge")
    flow, = lab.flows(match="tcp", stats=True)
    packets = int(re.search(r"n_packets=(\d+)", flow)[1])
    assert packets >= 40
    assert f"packet_count={packets}" in lab.group_stats()[0]


# Files for lbgen.

@switch
def test_pool_files(lab):
    path = lab.pool_yaml([3, 2, 2], policy="sticky", server_port=8080,
                         settings={"fallback": "normal"})
    with open(path) as file:
        content = json.load(file)
    assert content["bridge"] == "br0" and content["fallback"] == "normal"
    pool, = content["pools"]
    assert pool["policy"] == "sticky"
    assert pool["servers"][0] == {
        "name": "s1", "ip": "10.0.0.1", "mac": "02:00:00:00:00:01",
        "interface": "s1-o", "weight": 3, "port": 8080}
    assert lab.write("x: 1\n") != lab.write("x: 1\n") != path


# Arithmetic.

@pytest.mark.parametrize("counts, weights", [
    ({"s1": 1000, "s2": 1000, "s3": 1000}, (1, 1, 1)),
    ({"s1": 1286, "s2": 857, "s3": 857}, (3, 2, 2)),
    ({"s1": 1080, "s2": 960, "s3": 960}, (1, 1, 1)),
    ({"s1": 3000}, (1, 0)),
    ({"s1": 2143, "s2": 214, "s3": 214, "s4": 214, "s5": 215},
     (10, 1, 1, 1, 1)),
])
def test_shares_that_are_right(counts, weights):
    assert_shares(Counter(counts), weights, 3000)


@pytest.mark.parametrize("counts, weights, complaint", [
    ({"s1": 1160, "s2": 920, "s3": 920}, (1, 1, 1), "s1 got"),
    ({"s1": 1000, "s2": 1000, "s3": 1000}, (3, 2, 2), "s1 got"),
    ({"s1": 2250, "s2": 750}, (2, 1), "s1 got"),
    ({"s1": 2760, "s2": 60, "s3": 60, "s4": 60, "s5": 60},
     (10, 1, 1, 1, 1), "s1 got"),
    ({"s1": 2999, "s2": 1}, (1, 0), "s2 has weight 0"),
    ({"s1": 3000}, (1, 1), "s1 got"),
    ({"s1": 1500, "s9": 1500}, (1, 1), "unknown server"),
    ({"s1": 1000, "s2": 999, "s3": 1000}, (1, 1, 1), "2999 of 3000"),
])
def test_shares_that_are_wrong(counts, weights, complaint):
    with pytest.raises(AssertionError, match=complaint):
        assert_shares(Counter(counts), weights, 3000)
