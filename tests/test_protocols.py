# SPDX-License-Identifier: Apache-2.0
"""Which protocols and ports a pool is for, and ICMP."""

import collections
import re
import select
import socket
import struct
import threading

import pytest

from lab_capture import socket_in
from lab_datagrams import (IPPROTO_ESP, IPPROTO_GRE, IPPROTO_SCTP, Echo, ask,
                           drain, parse_sctp, raw_socket, sctp, udp_socket)
from lab_frames import checksum
from test_explain import explain, foretell

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
UDP_PORTS = [53, 7999, 8000, 8003, 8010, 8011]


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=3, clients=3)
    for server in lab.servers:
        for port in 80, 443:
            lab.serve(server, port)
    with Echo(lab, UDP_PORTS) as echo:
        lab.echo = echo
        yield lab


@pytest.fixture(autouse=True)
def afresh(lab):
    lab.lbgen("delete", "--all", "-b", "br0")


def apply(lab, *pools):
    path = lab.file(*pools)
    lab.lbgen("apply", path)
    lab.lbgen("diff", path)
    lab.appctl("revalidator/purge")


def echo_request(sock, target, size=56, ident=1, code=0):
    """Sends a ping; returns the source and the TTL of the answer, or None."""
    body = struct.pack("!HH", ident, 1) + b"x" * size
    head = struct.pack("!BBH", 8, code, 0)
    total = checksum(head + body)
    sock.sendto(struct.pack("!BBH", 8, code, total) + body, (target, 0))
    select.select([sock], [], [], 2)
    for source, packet in drain(sock):
        if packet[20] == 0 and packet[28:] == body[4:]:
            return source, packet[8]
    return None


def ping_socket(lab, name):
    return raw_socket(lab.hosts[name], socket.IPPROTO_ICMP)


# Ports.

def test_range(lab):
    apply(lab, lab.pool(protocol="udp", port="8000-8010"))
    servers = set()
    for _ in range(20):
        with udp_socket(lab.hosts["c1"]) as sock:
            for port in 8000, 8003, 8010:
                server, server_port = ask(sock, VIP, port)
                assert server_port == port
                servers.add(server)
            for port in 7999, 8011:
                assert ask(sock, VIP, port, timeout=0.02) is None
    assert servers == set(lab.servers)


def test_range_stateless(lab):
    apply(lab, lab.pool(protocol="udp", port="8000-8010", guard=False,
                        connections="stateless", fragments="drop"))
    for _ in range(5):
        with udp_socket(lab.hosts["c1"]) as sock:
            for port in 8000, 8003, 8010:
                assert ask(sock, VIP, port)[1] == port
            for port in 7999, 8011:
                assert ask(sock, VIP, port, timeout=0.02) is None


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_ports_have_one_server(lab, connections):
    """With sticky, on all ports of the pool."""
    apply(lab, lab.pool(port=[80, 443], policy="sticky",
                        connections=connections))
    sources = lab.client_addresses("c2", 300)
    web, tls = (lab.connect("c2", VIP, port, 2 * len(sources),
                            sources=sources) for port in (80, 443))
    assert not web.failures and not tls.failures
    assert web.by_source == tls.by_source
    assert all(len(servers) == 1 for servers in web.by_source.values())
    assert min(collections.Counter(
        next(iter(servers)) for servers in web.by_source.values()
    ).values()) > 60


def test_the_more_particular_pool_wins(lab):
    apply(lab, lab.pool({"s1": 1}, name="http", port=80),
          lab.pool({"s2": 1}, name="tcp", port=None),
          lab.pool({"s3": 1}, name="rest", protocol="any", port=None))
    assert lab.connect("c1", VIP, 80, 20) == {"s1": 20}
    assert lab.connect("c1", VIP, 443, 20) == {"s2": 20}
    with udp_socket(lab.hosts["c1"]) as sock:
        assert ask(sock, VIP, 8000) == ("s3", 8000)
    # Removing one leaves it to the next, and cuts nothing of theirs.
    hold = lab.hold("c1", VIP, 443, 20)
    apply(lab, lab.pool({"s2": 1}, name="tcp", port=None))
    assert lab.connect("c1", VIP, 80, 20) == {"s2": 20}
    assert hold.ping().alive == 20
    hold.close()


# Everything.

def test_any(lab):
    apply(lab, lab.pool(protocol="any", port=None))
    for port in 80, 443:
        traffic = lab.connect("c1", VIP, port, 60)
        assert not traffic.failures and set(traffic) == set(lab.servers)
    with udp_socket(lab.hosts["c1"]) as sock:
        assert ask(sock, VIP, 53)[1] == 53
    # Pings, of one packet or more, reach servers, a client's all the same.
    raws = [ping_socket(lab, server) for server in lab.servers]
    with ping_socket(lab, "c1") as sock:
        for ident in range(1, 9):
            assert echo_request(sock, VIP, ident=ident) == (VIP, 64)
            assert echo_request(sock, VIP, ident=ident, size=3000) == (VIP, 64)
    assert sorted(sum(packet[20] == 8 for _, packet in drain(raw, 0.1))
                  for raw in raws) == [0, 0, 16]
    for raw in raws:
        raw.close()


@pytest.mark.parametrize("protocol", [IPPROTO_GRE, IPPROTO_ESP])
def test_any_without_ports(lab, protocol):
    """By addresses, both ways, each client with one server."""
    apply(lab, lab.pool(protocol="any", port=None))
    raws = {server: raw_socket(lab.hosts[server], protocol)
            for server in lab.servers}
    for name in lab.clients:
        with raw_socket(lab.hosts[name], protocol) as sock:
            for _ in range(3):
                sock.sendto(b"\0\0\x08\0" + bytes(40), (VIP, 0))
            select.select(raws.values(), [], [], 5)
            got = {server: drain(raw) for server, raw in raws.items()}
            [(server, packets)] = [(s, p) for s, p in got.items() if p]
            assert len(packets) == 3
            assert {source for source, _ in packets} == {lab.hosts[name].ip}
            raws[server].sendto(b"answer" * 5, (lab.hosts[name].ip, 0))
            select.select([sock], [], [], 5)
            [(source, packet)] = drain(sock, 0.1)
            assert source == VIP and packet[20:] == b"answer" * 5
    for raw in raws.values():
        raw.close()


def test_any_connections(lab):
    """They are shown and, of a server that goes, cut, whatever protocol."""
    apply(lab, lab.pool({"s1": 1}, protocol="any", port=None))
    with ping_socket(lab, "c1") as sock:
        assert echo_request(sock, VIP)
    with udp_socket(lab.hosts["c1"]) as sock:
        assert ask(sock, VIP, 53) == ("s1", 53)
        shown = lab.lbgen("connections", "-b", "br0").stdout
        assert re.search(rf"10\.0\.1\.1 +{VIP}/icmp +s1 +10\.0\.0\.1 ", shown)
        assert re.search(rf"{VIP}:53/udp +s1 +10\.0\.0\.1:53 ", shown)
        apply(lab, lab.pool({"s2": 1}, protocol="any", port=None))
        shown = lab.lbgen("connections", "-b", "br0").stdout
        assert "/icmp" not in shown and "/udp" not in shown
        assert ask(sock, VIP, 53) == ("s2", 53)


def test_explain(lab):
    apply(lab, lab.pool(name="all", protocol="any", port=None),
          lab.pool(port=[80, 443], policy="sticky"))
    say = lab.lbgen("explain", "-b", "br0", "web", "10.0.1.1").stdout
    traffic = lab.connect("c1", VIP, 443, 1)
    assert re.search(rf"\b{next(iter(traffic))}\b", say)
    apply(lab, lab.pool(protocol="any", port=None))
    say = lab.lbgen("explain", "-b", "br0", "web", "10.0.1.1:4000").stdout
    assert "none is foretold" in say
    assert "give --vip-port PORT/PROTOCOL" in say


def wrong(lab, traffic, port, protocol=0):
    """Connections to a port that went elsewhere than "explain" says."""
    clients = sorted(traffic.by_connection)
    said = foretell(lab, [(client[0], f"{client[1]} {port} {protocol}")
                          for client in clients])
    return [(client, e.server) for client, e in zip(clients, said)
            if e.server != traffic.by_connection[client]]


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_explain_by_port(lab, connections):
    """Each connection is hashed by the port that it is to, as well."""
    apply(lab, lab.pool(port=["80-90", 443], connections=connections,
                        **({} if connections == "tracked"
                           else {"guard": False})))
    servers = set()
    for port in 80, 443:
        traffic = lab.connect("c1", VIP, port, 200)
        assert not traffic.failures and len(traffic) == 3
        assert wrong(lab, traffic, port) == []
        ((ip, source), server), *_ = sorted(traffic.by_connection.items())
        client = f"{ip}:{source}"
        say = explain(lab, client, "--vip-port", port, "--live")
        assert say["server"] == server and say["live"]["agrees"]
        assert say["to"] == {"ip": VIP, "port": port, "protocol": "tcp"}
        servers |= {explain(lab, client, f"--vip-port={p}")["server"]
                    for p in range(80, 91)}
        say = lab.lbgen("explain", "-b", "br0", "web", client,
                        f"--vip-port={port}/tcp").stdout
        assert say.startswith(
            f"{client} to pool web, {VIP}:{port}/tcp: server {server}\n")
    assert servers == set(lab.servers)
    say = explain(lab, client)
    assert (say["answer"], say["to"]["port"]) == ("any", None)


def test_explain_by_port_and_protocol(lab):
    """Of a pool for everything."""
    apply(lab, lab.pool(protocol="any", port=None))
    for port in 80, 443:
        traffic = lab.connect("c1", VIP, port, 100)
        assert not traffic.failures
        assert wrong(lab, traffic, port, socket.IPPROTO_TCP) == []
    with udp_socket(lab.hosts["c1"]) as sock:
        server, _ = ask(sock, VIP, 8003)
        client = f"10.0.1.1:{sock.getsockname()[1]}"
        assert explain(lab, client, "--vip-port=8003/udp",
                       "--live")["server"] == server


def test_explain_knows_the_very_connection_by_its_port(lab):
    apply(lab, lab.pool(port=[80, 443]))
    hold = lab.hold("c1", VIP, 443, 1)
    ((ip, source), server), = hold.opened.by_connection.items()
    client = f"{ip}:{source}"
    assert explain(lab, client, "--vip-port=443")["tracked"] == server
    assert explain(lab, client, "--vip-port=80")["tracked"] is None
    assert explain(lab, client)["tracked"] is None
    # A flow that is for another port is none of its business.
    lab.ofctl("del-flows", "br0", "table=0,tcp,tp_dst=80")
    gone = [any("is gone" in note for note in explain(
        lab, client, f"--vip-port={port}")["notes"]) for port in (80, 443)]
    assert gone == [True, False]
    hold.close()


@pytest.mark.parametrize("pool, port, message, status", [
    ({"port": [80, 443]}, "81",
     'pool "web" is for 10.0.0.100:80,443/tcp, which has no port 81', 1),
    ({"port": 80}, "80/udp", "which has no port 80/udp", 1),
    ({"port": None, "protocol": "any"}, "80",
     'pool "web" is for every protocol; --vip-port needs one, as in 80/tcp',
     1),
    ({"port": 80}, "http", "--vip-port must be 1 to 65535, or a port and a "
     'protocol as in 443/tcp, not "http"', 64),
    ({"port": 80}, "65536", 'not "65536"', 64),
    ({"port": 80}, "80/icmp", 'not "80/icmp"', 64),
    ({"port": 80}, "80x/tcp", 'not "80x/tcp"', 64),
    ({"port": 80}, "/tcp", 'not "/tcp"', 64),
])
def test_explain_wrong_port(lab, pool, port, message, status):
    apply(lab, lab.pool(**pool))
    result = lab.lbgen("explain", "-b", "br0", "web", "10.0.1.1:1",
                       "--vip-port", port, check=status)
    assert message in result.stderr


# SCTP.

def test_sctp(lab):
    """Addresses and ports are translated both ways, the checksum is right."""
    apply(lab, lab.pool(protocol="sctp", port=3868, server_port=3869,
                        connections="stateless", guard=False))
    raws = {server: raw_socket(lab.hosts[server], IPPROTO_SCTP)
            for server in lab.servers}
    counts = collections.Counter()
    with raw_socket(lab.hosts["c1"], IPPROTO_SCTP) as sock:
        for port in range(5000, 5060):
            sock.sendto(sctp(port, 3868), (VIP, 0))
        for server, raw in raws.items():
            for source, packet in drain(raw):
                src, dst, right = parse_sctp(packet)
                assert right and dst == 3869 and source == "10.0.1.1"
                counts[server] += 1
                raw.sendto(sctp(3869, src), (source, 0))
        answers = drain(sock)
    assert sum(counts.values()) == len(answers) == 60
    assert set(counts) == set(lab.servers)
    assert {parse_sctp(packet)[1] for _, packet in answers} \
        == set(range(5000, 5060))
    for source, packet in answers:
        src, _, right = parse_sctp(packet)
        assert right and src == 3868 and source == VIP
    for raw in raws.values():
        raw.close()


# ICMP.

def test_ping(lab):
    apply(lab, lab.pool(port=80))
    captures = [lab.capture(server, "icmp") for server in lab.servers]
    for name in lab.clients:
        with ping_socket(lab, name) as sock:
            assert echo_request(sock, VIP) == (VIP, 64)
            assert echo_request(sock, VIP, code=1) is None
            assert echo_request(sock, VIP, size=3000) is None
    for capture in captures:
        assert not any("echo reply" in line for line in capture.lines())


def refused(sock, vip, port):
    sock.connect((vip, port))
    sock.settimeout(1)
    sock.send(b"x")
    try:
        sock.recv(100)
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return False


def test_port_unreachable(lab):
    """What a server says of a port gets to the client as being the VIP's."""
    apply(lab, lab.pool(protocol="udp", port=54, server_port=55))
    for name in lab.clients:
        with udp_socket(lab.hosts[name]) as sock:
            assert refused(sock, VIP, 54)
    # And what it says to others, as its own.
    with udp_socket(lab.hosts["c1"]) as sock:
        assert refused(sock, lab.hosts["s1"].ip, 99)


class Sender(threading.Thread):
    """Sends 'size' bytes to each who connects."""

    def __init__(self, host, port, size):
        super().__init__()
        self.size = size
        self.sock = socket_in(host.netns_path, socket.AF_INET,
                              socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("", port))
        self.sock.listen()
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            if select.select([self.sock], [], [], 0.05)[0]:
                peer, _ = self.sock.accept()
                with peer:
                    peer.setblocking(False)
                    peer.send(b"x" * self.size)

    def close(self):
        self.stopping = True
        self.join()
        self.sock.close()


def test_path_mtu(lab):
    """A router on the way to a client has too small an MTU and says so to the
    VIP, with TCP segments that may not be fragmented."""
    router = lab.hosts["c3"]
    far = f"{lab.netns}-far"
    lab.run(lab.netns, "ip", "netns", "add", far)
    lab.run("c3", "sh", "-ec", f"""
        ip link add far type veth peer name eth0 netns {far}
        ip address add 10.99.0.1/24 dev far
        ip link set far mtu 1300 up
        echo 1 > /proc/sys/net/ipv4/ip_forward""")
    lab.run(far, "sh", "-ec", """
        ip address add 10.99.0.2/24 dev eth0
        ip link set eth0 up
        ethtool -K eth0 tx off
        ip route add default via 10.99.0.1""")
    for server in lab.servers:
        lab.run(server, "ip", "route", "add", "10.99.0.0/24", "via", router.ip)
    # Less than a socket takes at once.
    senders = [Sender(lab.hosts[server], 8080, 50000)
               for server in lab.servers]

    def receive():
        sock = socket_in(f"/run/netns/{far}", socket.AF_INET,
                         socket.SOCK_STREAM)
        got = 0
        with sock:
            sock.settimeout(1)
            sock.connect((VIP, 80))
            try:
                while data := sock.recv(70000):
                    got += len(data)
            except TimeoutError:
                pass
        return got

    try:
        apply(lab, lab.pool(server_port=8080))
        lab.ofctl("del-flows", "br0", "cookie=0x6c62671800000000/"
                  "0xffffffff00000000")
        assert receive() == 0
        apply(lab, lab.pool(server_port=8080))
        assert [receive() for _ in range(4)] == [50000] * 4
    finally:
        for sender in senders:
            sender.close()
