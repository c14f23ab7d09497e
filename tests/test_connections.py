# SPDX-License-Identifier: Apache-2.0
"""lbgen connections: who is connected to which server."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest

from lab import HERE

LBTEST = os.environ.get("LBTEST", os.path.join(HERE, "lbtest"))
switch = pytest.mark.switch


def parse(*lines):
    """What the library reads out of what a switch says of connections."""
    return subprocess.run(
        [LBTEST, "connection-parse"], text=True, check=True,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True).stdout.splitlines()


TCP = ("tcp,orig=(src=10.0.1.1,dst=10.0.0.100,sport=40000,dport=80),"
       "reply=(src=10.0.0.1,dst=10.0.1.1,sport=8080,dport=40000),")
TUPLES = "6 10.0.1.1 40000 10.0.0.100 80 10.0.0.1 8080"


@pytest.mark.parametrize("line, result", [
    (TCP + "zone=27746,timeout=86399,mark=1888092164,"
     "protoinfo=(state=ESTABLISHED)",
     TUPLES + " zone 27746 member 28810 timeout 86399 state ESTABLISHED "
     "start "),
    # Without -s, and in more detail.
    (TCP + "zone=5,mark=65536,protoinfo=(state=SYN_SENT)",
     TUPLES + " zone 5 member 1 timeout -1 state SYN_SENT start "),
    (TCP + "id=7,zone=5,status=SEEN_REPLY|ASSURED,timeout=3,mark=131073,"
     "labels=0x5,protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED,"
     "wscale_orig=10)",
     TUPLES + " zone 5 member 2 timeout 3 state  start "),
    # The kernel's have counters and may have the time.
    ("udp,orig=(src=10.0.1.1,dst=10.0.0.101,sport=1,dport=53,packets=1,"
     "bytes=60),reply=(src=10.0.0.1,dst=10.0.1.1,sport=54,dport=1,packets=0,"
     "bytes=0),start=2026-01-02T03:04:05.678,zone=5,timeout=29,mark=0x30000",
     "17 10.0.1.1 1 10.0.0.101 53 10.0.0.1 54 zone 5 member 3 timeout 29 "
     "state  start 2026-01-02T03:04:05.678"),
    ("tcp,orig=(src=fd00::1,dst=fd00::2,sport=1,dport=2),reply=(src=fd00::3,"
     "dst=fd00::1,sport=4,dport=1),protoinfo=(state=CLOSING)",
     "6 fd00::1 1 fd00::2 2 fd00::3 4 zone 0 member 0 timeout -1 "
     "state CLOSING start "),
    ("icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=1,type=8,code=0),"
     "reply=(src=10.0.0.2,dst=10.0.0.1,id=1,type=0,code=0),zone=9",
     "1 10.0.0.1 0 10.0.0.2 0 10.0.0.2 0 zone 9 member 0 timeout -1 "
     "state  start "),
    (TCP + "zone=5,something=(new=(deep,er=1),x),mark=65536",
     TUPLES + " zone 5 member 1 timeout -1 state  start "),
    ("", "no"),
    ("ovs-vswitchd: no such datapath", "no"),
    ("tcp,orig=(src=10.0.1.1,dst=10.0.0.100,sport=40000,dport=80)", "no"),
    (TCP.replace("40000", "65536"), "no"),
    (TCP.replace("10.0.1.1", "10.0.1.300"), "no"),
    (TCP.replace("10.0.1.1", "1" * 100), "no"),
    (TCP + "zone=65536", "no"),
    (TCP + "mark=", "no"),
    (TCP[:-20], "no"),
    ("tcp,orig=((((((,reply=))))", "no"),
])
def test_parse(line, result):
    assert parse(line) == [result]


# On a switch.

@pytest.fixture
def two_pools(lab):
    """Two TCP pools and one for UDP, all with the same servers."""
    for server in lab.servers:
        lab.serve(server, 8080)
        lab.serve(server, 53, "udp")
    lab.lbgen("apply", lab.file(
        lab.pool(server_port=8080),
        lab.pool(name="other", vip="10.0.0.102", server_port=8080),
        lab.pool(name="dns", vip="10.0.0.101", port=53, protocol="udp"),
        fallback="normal"))
    return lab


def connections(lab, *args):
    return json.loads(lab.lbgen("connections", "-b", "br0", "--json",
                                *args).stdout)


def counts(view):
    return {(s["pool"], s["server"]): s["connections"]
            for s in view["servers"]}


@switch
def test_connections(two_pools):
    """Client, VIP and server of each are what the hosts themselves know."""
    lab = two_pools
    web = lab.hold("c1", "10.0.0.100", 80, 60)
    other = lab.hold("c2", "10.0.0.102", 80, 30)
    dns = lab.connect("c2", "10.0.0.101", 53, 20, proto="udp")
    view = connections(lab)

    expected = Counter()
    for hold, pool in (web, "web"), (other, "other"):
        for line in hold.first:
            client, port, server = line.split()
            expected[pool, server, client, int(port)] += 1
    seen = Counter((c["pool"], c["server"], c["client"]["ip"],
                    c["client"]["port"]) for c in view["connections"]
                   if c["protocol"] == "tcp")
    assert seen == expected and sum(seen.values()) == 90
    for c in view["connections"]:
        vip, port = {"web": ("10.0.0.100", 80), "other": ("10.0.0.102", 80),
                     "dns": ("10.0.0.101", 53)}[c["pool"]]
        assert c["vip"] == {"ip": vip, "port": port}
        assert c["address"] == {"ip": lab.hosts[c["server"]].ip,
                                "port": 53 if c["pool"] == "dns" else 8080}
        assert c["state"] == (None if c["pool"] == "dns" else "ESTABLISHED")
        assert 0 < c["expires"] <= 86400
    for name in lab.servers:
        assert counts(view)["web", name] == web.opened[name]
        assert counts(view)["other", name] == other.opened[name]
        assert counts(view)["dns", name] == dns[name]
    assert view["others"] == 0 and view["zone"] == 27746


@switch
def test_text(two_pools):
    lab = two_pools
    hold = lab.hold("c1", "10.0.0.100", 80, 1)
    server, = hold.opened
    client, port, _ = hold.first[0].split()
    lines = lab.lbgen("connections", "-b", "br0", "web").stdout.split("\n")
    assert lines[0].split() == ["CLIENT", "VIP", "SERVER", "ADDRESS", "STATE",
                                "EXPIRES"]
    assert lines[1].split()[:5] == [
        f"{client}:{port}", "10.0.0.100:80/tcp", server,
        f"{lab.hosts[server].ip}:8080", "ESTABLISHED"]
    assert lines[2:5] == ["", "pool web: tracked",
                          "  SERVER           ADDRESS               "
                          "CONNECTIONS"]
    assert [line.split() for line in lines[5:8]] == [
        [name, f"{lab.hosts[name].ip}:8080", str(int(name == server))]
        for name in lab.servers]
    assert lines[8:] == [""]


@switch
def test_selection(two_pools):
    lab = two_pools
    hold = lab.hold("c1", "10.0.0.100", 80, 30)
    lab.hold("c1", "10.0.0.102", 80, 30)
    view = connections(lab, "web", "--server", "s2")
    assert counts(view) == {("web", "s2"): hold.opened["s2"]}
    assert len(view["connections"]) == hold.opened["s2"] > 0
    assert set(counts(connections(lab, "--server", "s2"))) == {
        ("web", "s2"), ("other", "s2"), ("dns", "s2")}
    for args, complaint in (
            (["nope"], 'bridge "br0" has no pool "nope"'),
            (["--server", "s9"], 'bridge "br0" has no server "s9"'),
            (["web", "--server", "s9"],
             'bridge "br0" has no server "s9" in pool web')):
        result = lab.lbgen("connections", "-b", "br0", *args, check=1)
        assert result.stderr == f"lbgen: {complaint}\n"
        assert result.stdout == ""


@switch
def test_nothing_installed(lab):
    assert lab.lbgen("connections", "-b", "br0").stdout == ""
    assert connections(lab)["connections"] == []


@switch
def test_ten_thousand(two_pools):
    lab = two_pools
    hold = lab.hold("c1", "10.0.0.100", 80, 4000)
    traffic = lab.connect("c2", "10.0.0.101", 53, 6000, proto="udp",
                          concurrency=200)
    assert hold.opened.failures == traffic.failures == 0
    begin = time.monotonic()
    view = connections(lab)
    took_json = time.monotonic() - begin
    begin = time.monotonic()
    text = lab.lbgen("connections", "-b", "br0").stdout
    took = time.monotonic() - begin
    print(f"10000 connections: {took:.3f} s, JSON {took_json:.3f} s")
    assert len(view["connections"]) == 10000
    assert text.count("\n10.0.1.") == 10000
    for name in lab.servers:
        assert counts(view)["web", name] == hold.opened[name]
        assert counts(view)["dns", name] == traffic[name]
    assert took < 10 and took_json < 10


@switch
def test_stateless(lab):
    """What can be known is said: packets.  It takes no control socket."""
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.lbgen("apply", lab.pool_yaml(server_port=8080, guard=False,
                                     connections="stateless"))
    traffic = lab.connect("c1", "10.0.0.100", 80, 50)
    lab.appctl("revalidator/purge")
    lab.appctl("revalidator/wait")
    os.rename(f"{lab.rundir}/ovs-vswitchd.pid", f"{lab.rundir}/hidden")
    try:
        view = connections(lab)
        text = lab.lbgen("connections", "-b", "br0").stdout
    finally:
        os.rename(f"{lab.rundir}/hidden", f"{lab.rundir}/ovs-vswitchd.pid")
    assert view["connections"] == []
    for server in view["servers"]:
        n = traffic[server["server"]]
        assert server["connections"] is None
        assert server["packets"] >= 3 * n > 0
        assert server["reply_packets"] >= 2 * n
    assert text.startswith("pool web: stateless, so the switch knows packets "
                           "and no connections\n")


@switch
def test_connections_of_others(two_pools):
    """They are counted, not shown; those in other zones are not."""
    lab = two_pools
    lab.serve("s1", 9000)
    for zone, client in (27746, "c1"), (5, "c2"):
        lab.ofctl("add-flow", "br0", f"priority=9,tcp,tp_dst=9000,nw_src="
                  f"{lab.hosts[client].ip},actions=ct(commit,zone={zone}),"
                  "NORMAL")
        lab.connect(client, "10.0.0.1", 9000, 4)
    lab.connect("c1", "10.0.0.100", 80, 3)
    view = connections(lab)
    assert len(view["connections"]) == 3 and view["others"] == 4
    assert lab.lbgen("connections", "-b", "br0").stdout.endswith(
        "zone 27746 has 4 more, of no server that is installed\n")


# When they cannot be seen.

@switch
def test_remote(two_pools):
    """A bridge that is reached by OpenFlow alone."""
    lab = two_pools
    lab.vsctl("set-controller", "br0", f"punix:{lab.rundir}/br0.remote")
    remote = f"unix:{lab.rundir}/br0.remote"
    result = lab.lbgen("connections", "-b", remote, check=1)
    assert result.stderr == (
        "lbgen: cannot list connections: only ovs-vswitchd's control socket "
        f'tells, on the switch\'s own host; "{remote}" is reached by OpenFlow '
        'alone\nlbgen: note: "lbgen status" has how many there were for each '
        "server\n")
    # By the path of its socket it is as good as by name.
    for name in f"unix:{lab.rundir}/br0.mgmt", f"{lab.rundir}/br0.mgmt":
        assert lab.lbgen("connections", "-b", name).stdout


@contextlib.contextmanager
def control_socket(lab, answer):
    """A run directory where the control socket is ours.  Accepts one client,
    reads its request and calls 'answer' with the connection."""
    directory = f"{lab.rundir}/{'long/' * 30}run"
    os.makedirs(directory)
    os.symlink(f"{lab.rundir}/br0.mgmt", f"{directory}/br0.mgmt")
    with open(f"{directory}/ovs-vswitchd.pid", "w") as file:
        file.write("1234\n")
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(directory, os.O_PATH)
    listener.bind(f"/proc/self/fd/{here}/ovs-vswitchd.1234.ctl")
    os.close(here)
    listener.listen()

    def serve():
        client, _ = listener.accept()
        with client:
            client.recv(4096)
            answer(client)

    thread = threading.Thread(target=serve)
    thread.start()
    yield directory
    thread.join()
    listener.close()


@switch
@pytest.mark.parametrize("answer, complaint", [
    (lambda c: c.recv(1), "Connection timed out"),
    (lambda c: c.close(), "Connection reset by peer"),
    (lambda c: c.sendall(b'{"id":0,"result":"' + b"x" * 10000),
     "Connection reset by peer"),
    (lambda c: c.sendall(b'{"result":null,"error":"no!\\nusage"}'),
     "no!"),
    (lambda c: c.sendall(b'{"id":0,"error":null,"result":5}'), ""),
    (lambda c: c.sendall(b'}{ nonsense'), ""),
    (lambda c: c.sendall(b'[1,2,3]'), ""),
])
def test_control_socket_that_does_not_work(two_pools, answer, complaint):
    """No answer, half an answer, nonsense: an error in time, no hang.  The
    path is longer than an address of a socket has room for."""
    lab = two_pools
    with control_socket(lab, answer) as directory:
        assert len(directory) > 108
        begin = time.monotonic()
        result = lab.lbgen("connections", "-b", f"unix:{directory}/br0.mgmt",
                           "--timeout", "1", check=1)
        took = time.monotonic() - begin
    assert result.stderr.startswith("lbgen: cannot list connections: "
                                    "ovs-vswitchd ")
    assert complaint in result.stderr
    assert took < 5


@switch
def test_no_control_socket(two_pools):
    lab = two_pools
    pid_file = f"{lab.rundir}/ovs-vswitchd.pid"
    with open(pid_file) as file:
        pid = file.read()
    for content, complaint in (("99999\n", "cannot reach "),
                               ("", "cannot read "), (None, "cannot read ")):
        os.unlink(pid_file)
        if content is not None:
            with open(pid_file, "w") as file:
                file.write(content)
        result = lab.lbgen("connections", "-b", "br0", check=1)
        assert result.stderr.startswith("lbgen: cannot list connections: "
                                        + complaint)
        if content is None:
            with open(pid_file, "w") as file:
                file.write(pid)
    assert lab.lbgen("connections", "-b", "br0").stdout
