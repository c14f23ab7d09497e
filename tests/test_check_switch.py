# SPDX-License-Identifier: Apache-2.0
"""Checks from the switch: the host of the switch has no way to the servers,
and what checks find out is what users would."""

from collections import Counter
import json
import os
import re
import signal
import socket
import struct
import time

import pytest

from lab import wait_for
from lab_capture import socket_in
from lab_frames import checksum, ethernet
from lab_monitor import cpu, running, slots
from lab_topology import add_behind, enter_vlan, own_vip
from test_locking import Relay

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
SOURCE = "10.0.0.250"
INTERVAL = 0.2
FALL = 3
CHECK = {"type": "tcp", "from": "switch", "interval": "200ms",
         "timeout": "200ms", "rise": 2, "fall": FALL}

ECHO_REQUEST = 2

# What the machine may add to what follows from the settings, in seconds.
MARGIN = 3


@pytest.fixture(scope="module")
def module_switch(make_module_lab):
    lab = make_module_lab(servers=3, clients=2, ipv6=True)
    # Not even by accident.
    assert not lab.run(lab.netns, "ip", "route").stdout.strip()
    return lab


@pytest.fixture
def lab(module_switch):
    """All servers run, nothing is installed."""
    lab = module_switch
    services = {name: lab.serve(name, 8080) for name in lab.servers}
    lab.services = services
    yield lab
    for service in services.values():
        service.stop()
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.ofctl("del-flows", "br0")


def file(lab, check=CHECK, weights=None, **keys):
    keys = {"server_port": 8080, **keys}
    if keys.get("connections") == "direct":
        del keys["server_port"]
    return lab.pool_yaml(weights, check={**CHECK, **check},
                         settings={"fallback": "normal"}, **keys)


def test_tcp_goes_down_in_time_and_comes_back(lab):
    """After fall times interval and the time-out; no other server moves."""
    with running(lab, file(lab)) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        before = slots(lab)
        lab.services.pop("s2").stop()
        begin = time.monotonic()
        m.wait("server down: pool=web server=s2 was=up "
               'error="Connection refused"')
        took = time.monotonic() - begin
        assert (FALL - 1) * INTERVAL * 0.9 <= took
        assert took < FALL * INTERVAL + 0.2 + MARGIN
        m.wait_states(s2="down")
        assert slots(lab)["s2"] == 0
        assert lab.connect("c1", VIP, 80, 100).keys() == {"s1", "s3"}
        lab.services["s2"] = lab.serve("s2", 8080)
        m.wait_states(s2="up")
        assert slots(lab) == before


VIP6 = "fd00::100"
DIRECT = {"connections": "direct"}
BLOCK = "priority=60000,in_port=2"      # What s2 sends.
STATELESS = {"connections": "stateless", "guard": True}


@pytest.mark.parametrize("check, keys", [
    ({"type": "icmp"}, {}),
    ({"type": "arp"}, {}),
    ({"type": "tcp"}, {"vip": VIP6}),
    ({"type": "icmp"}, {"vip": VIP6}),
    ({"type": "nd"}, {"vip": VIP6}),
    ({"type": "nd"}, {"vip": [VIP, VIP6]}),
    ({"type": "tcp"}, STATELESS),
    ({"type": "icmp"}, STATELESS),
    ({"type": "tcp", "source": SOURCE}, {}),
    ({"type": "icmp", "source": "fd00::250"}, {"vip": VIP6}),
    ({"type": "tcp"}, {"snat": True}),
    ({"type": "tcp"}, {"protocol": "any", "port": None, "server_port": None,
                       "check_port": 8080}),
    ({"type": "icmp", "source": SOURCE},
     {"protocol": "any", "port": None, "server_port": None,
      "snat": "10.0.0.251"}),
    ({"type": "arp"}, DIRECT),
], ids=["icmp", "arp", "tcp6", "icmp6", "nd", "nd-both", "tcp-stateless",
        "icmp-stateless", "tcp-source", "icmp6-source", "tcp-snat", "tcp-any",
        "icmp-snat-any", "arp-direct"])
def test_kinds(lab, check, keys):
    """A server whose packets are dropped on the bridge is down, and comes back
    when they are not; the others stay up all the time."""
    keys = dict(keys)
    if "check_port" in keys:
        check = {**check, "port": keys.pop("check_port")}
    with running(lab, file(lab, check, **keys)) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        lab.ofctl("add-flow", "br0", f"{BLOCK},actions=drop")
        m.wait("server down: .*server=s2.*no answer in 200 ms")
        m.wait_states(s2="down", s1="up", s3="up")
        lab.ofctl("--strict", "del-flows", "br0", BLOCK)
        m.wait_states(s2="up")
        assert m.count_lines("server down") == 1
    lab.lbgen("diff", m.path)
    lab.lbgen("delete", "--all", "-b", "br0")
    assert "cookie=0x6c6267" not in "".join(lab.flows())


def test_direct_servers_are_asked_for_the_vip(lab):
    """By an address of its own; a server that has not got the VIP is out."""
    vip = "10.0.0.101"
    for server in ("s1", "s3"):
        own_vip(lab, server, vip)
    path = file(lab, {"source": SOURCE}, vip=vip, port=8080, **DIRECT)
    with running(lab, path) as m:
        m.wait_states(s1="up", s3="up")
        m.wait("server starting: .*server=s2.*no answer")
        own_vip(lab, "s2", vip)
        m.wait_states(s1="up", s2="up", s3="up")
        lab.services.pop("s3").stop()
        m.wait("server down: .*server=s3.*Connection refused")
        m.wait_states(s1="up", s2="up", s3="down")


def half_open(lab, server):
    return len(lab.run(server, "ss", "-Htn", "state", "syn-recv")
               .stdout.splitlines())


def kill_between_checks(lab, server, monitor):
    """One that is killed in the middle of a check ends none."""
    def is_between():
        monitor.process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)        # What was sent has arrived.
        if not half_open(lab, server):
            return True
        monitor.process.send_signal(signal.SIGCONT)
        return False
    wait_for(is_between, "the end of a check")
    monitor.kill()


def test_nothing_is_left_at_the_server(lab):
    """Each check is a SYN, its answer, and a reset; no program hears of it."""
    listener = socket_in(lab.hosts["s1"].netns_path, socket.AF_INET,
                         socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 8081))
    listener.listen(16)
    listener.setblocking(False)
    capture = lab.capture("s1", "tcp port 8081")
    path = file(lab, {"port": 8081, "interval": "100ms"}, weights=[1])
    with listener, running(lab, path) as m:
        m.wait_states(s1="up")
        time.sleep(1)
        kill_between_checks(lab, "s1", m)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert half_open(lab, "s1") == 0
    with capture:
        lines = capture.lines()
    counts = Counter(re.search(r"Flags \[(.*?)\]", line)[1] for line in lines)
    assert counts["S"] >= 8
    assert counts == {"S": counts["S"], "S.": counts["S"], "R": counts["S"]}
    assert all(f"{VIP}.1023" in line for line in lines)


def test_a_lost_end_does_not_count_against_the_server(lab):
    """A server that still has half a connection of an earlier check does not
    answer a SYN with a SYN."""
    path = file(lab, {"fall": 1, "rise": 1}, weights=[1])
    lab.lbgen("apply", path)
    server = lab.hosts["s1"]
    syn = struct.pack("!HHIIBBHHH", 1023, 8080, 12345, 0, 5 << 4, 2, 1024, 0,
                      0)
    addresses = socket.inet_aton(VIP) + socket.inet_aton(server.ip)
    syn = syn[:16] + struct.pack("!H", checksum(
        addresses + struct.pack("!HH", 6, len(syn)) + syn)) + syn[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(syn), 0, 0, 64, 6,
                         0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    frame = ethernet(server.mac, "02:6c:0a:00:00:64", 0x800, header + syn)
    lab.ofctl("packet-out", "br0", f"in_port=controller packet={frame.hex()} "
              f"actions=output:{server.ofport}")
    wait_for(lambda: half_open(lab, "s1") == 1, "half a connection")
    with running(lab, path) as m:
        m.wait("monitor started")
        wait_for(lambda: half_open(lab, "s1") == 0, "its end")
        time.sleep(0.5)
        assert m.count_lines("server down") == 0


def answers(lab):
    """How many packets went to the monitor, for each flow."""
    flows = lab.flows(match="cookie=0x6c62673000000000/-1", stats=True)
    return [int(re.search(r"n_packets=(\d+)", line)[1]) for line in flows
            if "n_packets" in line]


def test_users_packets_are_not_for_the_monitor(lab):
    """Only answers to checks come to it, and how the bridge treats fragments
    stays as it was."""
    lab.ofctl("set-frags", "br0", "nx-match")
    with running(lab, file(lab, {"interval": "1s"}, snat=True)) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        assert lab.connect("c1", VIP, 80, 2000, peer=VIP).failures == 0
        wait_for(lambda: all(n >= 2 for n in answers(lab)), "answers")
        assert len(answers(lab)) == 3
        assert all(n <= 60 for n in answers(lab)), answers(lab)
        assert "nx-match" in lab.ofctl("get-frags", "br0")
        assert m.count_lines("server (down|starting)") == 0
    lab.ofctl("set-frags", "br0", "normal")


def test_a_missing_server_is_found(lab):
    """It has no port that a check could go out of: it is looked for."""
    arp = "/proc/sys/net/ipv4/conf/all/arp_ignore"
    pool = lab.pool(server_port=8080, check=CHECK)
    for server in pool["servers"]:
        del server["mac"], server["interface"]
    lab.run("s2", "sh", "-c", f"echo 8 > {arp}")
    try:
        with running(lab, lab.file(pool, fallback="normal")) as m:
            m.wait_states(s1="up", s3="up")
            m.wait("server .*server=s2.*no answer")
            lab.run("s2", "sh", "-c", f"echo 0 > {arp}")
            m.wait_states(s2="up")
            assert lab.connect("c1", VIP, 80, 100).keys() == {"s1", "s2",
                                                              "s3"}
    finally:
        lab.run("s2", "sh", "-c", f"echo 0 > {arp}")


def test_a_port_that_comes_back_with_another_number(lab):
    """Is noticed at once, not only when it is time to look."""
    host = lab.hosts["s2"]
    with running(lab, file(lab)) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        time.sleep(1)           # Its own change is noticed as well.
        begin = time.monotonic()
        lab.vsctl("del-port", "br0", host.port, "--", "add-port", "br0",
                  host.port, "--", "set", "interface", host.port,
                  "ofport_request=77")
        try:
            m.wait('bridge updated: .*reason="somebody else changed it"')
            assert time.monotonic() - begin < 5
            m.wait_states(s1="up", s2="up", s3="up")
            assert lab.connect("c1", VIP, 80, 100).keys() == {"s1", "s2",
                                                              "s3"}
            lab.services.pop("s2").stop()
            m.wait("server down: .*server=s2.*Connection refused")
        finally:
            lab.vsctl("del-port", "br0", host.port, "--", "add-port", "br0",
                      host.port, "--", "set", "interface", host.port,
                      f"ofport_request={host.ofport}")


def test_a_port_that_is_gone(lab):
    """The server behind it is missing, and nothing else waits for it: not a
    death, not a repair, not the start of a monitor, no command."""
    host = lab.hosts["s2"]
    path = file(lab)
    with running(lab, path) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        before = slots(lab)
        lab.vsctl("del-port", "br0", host.port)
        try:
            m.wait(f'server "s2": bridge "br0" has no port {host.port}')
            wait_for(lambda: slots(lab)["s2"] == 0, "s2 out")
            lab.services.pop("s3").stop()
            m.wait_states(s3="down")
            assert slots(lab) == {"s1": 256, "s2": 0, "s3": 0}
            assert lab.connect("c1", VIP, 80, 50) == {"s1": 50}
            lab.ofctl("del-groups", "br0")
            m.wait('reason="somebody else changed it"')
            wait_for(lambda: lab.groups(), "repair")
            assert m.count_lines("has no port") == 1
            m.stop()
            check_commands(lab, path, host)
            with running(lab, path) as successor:
                successor.wait("bridge (updated|is right)")
                lab.services["s3"] = lab.serve("s3", 8080)
                successor.wait_states(s3="up")
                assert slots(lab)["s2"] == 0
                lab.vsctl("add-port", "br0", host.port, "--", "set",
                          "interface", host.port,
                          f"ofport_request={host.ofport}")
                successor.wait_states(s1="up", s2="up", s3="up")
                assert slots(lab) == before
                lab.lbgen("diff", path)
        finally:
            lab.vsctl("--may-exist", "add-port", "br0", host.port, "--", "set",
                      "interface", host.port, f"ofport_request={host.ofport}")


def check_commands(lab, path, host):
    """Those of the operator go on; only whoever says that the server is there
    is told that it is not."""
    says = f'server "s2": bridge "br0" has no port {host.port}'
    status = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    assert status["drift"] == 0
    assert [(s["name"], s["effective_state"], s["found"])
            for s in status["pools"][0]["servers"]][1] == (
                "s2", "maint", "no port")
    for command in ("drain", "ready"):
        assert lab.lbgen(command, "web/s1", "-b", "br0").stderr == ""
    assert says in lab.lbgen("apply", path, check=1).stderr
    assert says in lab.lbgen("apply", path, "--allow-missing").stderr
    lab.lbgen("maint", "web/s2", "-b", "br0")
    assert says not in lab.lbgen("apply", path).stderr
    result = lab.lbgen("ready", "web/s2", "-b", "br0")
    assert says in result.stderr and "is in maint until" in result.stderr
    pool = lab.pool(server_port=8080, check=CHECK)
    pool["weights"] = {"policy": "static", "smoothing": 0,
                       "from": [{"file": f"{lab.rundir}/weights"}]}
    lab.write("up 50%\n", "weights")
    path = lab.file(pool, fallback="normal")
    assert says in lab.lbgen("apply", path, "--allow-missing").stderr
    assert says not in lab.lbgen("refresh", path).stderr


def add_port(lab, host, name):
    lab.vsctl("add-port", "br0", name, "--", "set", "interface", name,
              f"ofport_request={host.ofport}")


@pytest.mark.parametrize("checked", [True, False])
def test_a_port_that_is_not_there_yet(lab, checked):
    """Whose server is found when it is, checked or not."""
    host = lab.hosts["s2"]
    pool = lab.pool(server_port=8080, **({"check": CHECK} if checked else {}))
    for server in pool["servers"]:
        del server["mac"]
    lab.vsctl("del-port", "br0", host.port)
    try:
        with running(lab, lab.file(pool, fallback="normal")) as m:
            m.wait(f'server "s2": bridge "br0" has no port {host.port}')
            wait_for(lambda: slots(lab).get("s1"), "start")
            assert slots(lab)["s2"] == 0
            add_port(lab, host, host.port)
            wait_for(lambda: slots(lab)["s2"] > 0, "s2", 20)
    finally:
        lab.vsctl("--if-exists", "del-port", "br0", host.port)
        add_port(lab, host, host.port)


def test_back_behind_another_port(lab):
    """As virtual machines do."""
    host = lab.hosts["s2"]
    pool = lab.pool(server_port=8080, check=CHECK)
    for server in pool["servers"]:
        del server["mac"], server["interface"]

    def rename(old, new):
        lab.vsctl("del-port", "br0", old)
        lab.run(lab.netns, "ip", "link", "set", old, "down")
        lab.run(lab.netns, "ip", "link", "set", old, "name", new)
        lab.run(lab.netns, "ip", "link", "set", new, "up")

    with running(lab, lab.file(pool, fallback="normal")) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        rename(host.port, "other")
        try:
            wait_for(lambda: slots(lab)["s2"] == 0, "s2 out")
            lab.vsctl("add-port", "br0", "other")
            m.wait_states(s1="up", s2="up", s3="up")
            wait_for(lambda: slots(lab)["s2"] > 0, "s2 back", 20)
            assert lab.connect("c1", VIP, 80, 50)["s2"]
        finally:
            lab.vsctl("--may-exist", "add-port", "br0", "other")
            rename("other", host.port)
            add_port(lab, host, host.port)


def test_servers_that_were_found_stay_so_when_the_file_changes(lab):
    """While a new one is looked for that does not answer, which takes longer
    than it takes to go down."""
    pool = lab.pool(server_port=8080, check={**CHECK, "interval": "100ms"})
    for server in pool["servers"]:
        del server["mac"], server["interface"]
    path = lab.file(pool, fallback="normal")
    with running(lab, path) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        pool["servers"].append({"name": "s4", "ip": "10.0.0.44",
                                "port": 8080})
        lab.write({"bridge": "br0", "fallback": "normal", "pools": [pool]},
                  os.path.basename(path))
        m.wait('server "s4".* does not answer')
        m.wait('reason="the file has changed"')
        assert m.count_lines("server down: .*server=s[123]") == 0
        m.wait_states(s1="up", s2="up", s3="up")


def test_goes_on_after_a_restart_of_the_switch(lab):
    with running(lab, file(lab)) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        lab.restart_switch(kill=True)
        m.wait('reason="the switch is back"')
        lab.services.pop("s3").stop()
        m.wait("server down: .*server=s3.*Connection refused")
        assert m.count_lines("server down") == 1


def test_a_switch_that_stands_still(lab):
    """Is not what its servers are blamed for, however long it lasts; one that
    dies meanwhile is found dead."""
    path = file(lab, {"interval": "50ms", "timeout": "100ms"})
    with running(lab, path) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        for pause in 0.2, 0.4, 0.8, 1.6, 3:
            lab.vswitchd.send_signal(signal.SIGSTOP)
            time.sleep(pause)
            if pause == 3:
                lab.services.pop("s3").stop()
            lab.vswitchd.send_signal(signal.SIGCONT)
            time.sleep(0.5)
        m.wait("server down: pool=web server=s3")
        assert m.count_lines("server (down|starting)") == 1
        assert m.count_lines("switch lost") == 0


class Slow(Relay):
    """Gives a sign of life, but takes its time."""

    def _look(self, kind, body):
        if kind == ECHO_REQUEST:
            time.sleep(0.06)


def test_a_switch_that_is_always_slow(lab):
    """Keeps no dead server up."""
    relay = Slow(lab, name="slow")
    with running(lab, file(lab), "-b", f"unix:{relay.path}") as m:
        m.wait_states(s1="up", s2="up", s3="up")
        lab.ofctl("add-flow", "br0", "priority=60000,in_port="
                  f"{lab.hosts['s3'].ofport},actions=drop")
        m.wait("server down: pool=web server=s3")
        assert m.count_lines("server (down|starting)") == 1


def test_the_last_answers_of_a_switch(lab):
    """Answers that are read when the switch that sent them is gone: what they
    give rise to finds nobody, in the middle of them."""
    with running(lab, file(lab, {"interval": "50ms", "timeout": "2s"})) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        lab.vswitchd.send_signal(signal.SIGSTOP)
        time.sleep(0.3)         # Questions are asked, and wait.
        m.process.send_signal(signal.SIGSTOP)
        lab.vswitchd.send_signal(signal.SIGCONT)
        time.sleep(0.3)         # Answers are there, and wait.
        lab.restart_switch(kill=True)
        m.process.send_signal(signal.SIGCONT)
        m.wait('reason="the switch is back"')
        assert m.count_lines("server (down|starting)") == 0


def test_through_a_router_and_into_a_vlan(make_lab):
    lab = make_lab(servers=3, clients=1)
    behind = add_behind(lab, "s3", "r1", "172.16.1.2/24")
    enter_vlan(lab, "s2", 20, "10.0.0.2")
    servers = [lab.serve("r1", 8080), lab.serve("s2", 8080)]
    pool = lab.pool([1], server_port=8080, check=CHECK, vlan="none")
    router, vlan = lab.hosts["s3"], lab.hosts["s2"]
    pool["servers"] = [
        {"name": "r1", "ip": behind.ip, "via": router.ip, "mac": router.mac,
         "interface": router.port, "port": 8080},
        {"name": "s2", "ip": vlan.ip, "mac": vlan.mac, "interface": vlan.port,
         "port": 8080, "vlan": 20},
        {"name": "ping", "ip": "172.16.1.1", "via": router.ip,
         "mac": router.mac, "interface": router.port, "port": 8080,
         "check": {**CHECK, "type": "icmp"}},
        {"name": "arp", "ip": "10.0.0.22", "mac": vlan.mac,
         "interface": vlan.port, "port": 8080, "vlan": 20,
         "check": {**CHECK, "type": "arp", "address": vlan.ip}}]
    with running(lab, lab.file(pool, fallback="normal")) as m:
        m.wait_states(r1="up", s2="up", ping="up", arp="up")
        servers[0].stop()
        m.wait("server down: .*server=r1.*Connection refused")
        servers[1].stop()
        m.wait("server down: .*server=s2.*Connection refused")
        m.wait_states(r1="down", s2="down", ping="up", arp="up")


@pytest.mark.slow
def test_a_thousand_a_second(make_lab):
    """One core at most, most of it the switch's; nobody is taken for dead."""
    lab = make_lab(servers=1, clients=1)
    host = lab.hosts["s1"]
    lab.serve("s1", 8080)
    addresses = lab.client_addresses("s1", 1000)
    pools = [{"name": f"p{i}", "vip": f"10.0.9.{i + 1}", "port": 80,
              "check": {**CHECK, "interval": "1s", "timeout": "1s"},
              "servers": [{"name": f"s{j}", "ip": addresses[250 * i + j],
                           "mac": host.mac, "interface": host.port,
                           "port": 8080} for j in range(250)]}
             for i in range(4)]
    with running(lab, lab.file(*pools, fallback="normal")) as m:
        m.wait("server up", n=1000, timeout=60)
        wait_for(lambda: all(n > 2 for n in answers(lab)), "answers", 30)
        before = sum(answers(lab)), cpu(m.process.pid), cpu(lab.vswitchd.pid)
        begin = time.monotonic()
        # New servers are all asked at once, so that is ten times, and a while
        # until the last one is counted.
        time.sleep(10.5)
        took = time.monotonic() - begin
        checks, mine, switch = (after - old for after, old in zip(
            (sum(answers(lab)), cpu(m.process.pid), cpu(lab.vswitchd.pid)),
            before))
        print(f"{checks / took:.0f} checks/s, monitor {mine / took:.1%}, "
              f"switch {switch / took:.1%}, {m.memory()} kB")
        assert checks > 9000
        assert mine / took < 0.2
        assert (mine + switch) / took < 1
        assert m.count_lines("server down") == 0
