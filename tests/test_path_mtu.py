# SPDX-License-Identifier: Apache-2.0
"""ICMP errors end to end: transfers through routers whose MTU is too small for
what the ends agree on, which only an error tells them."""

import select
import socket
import threading

import pytest

from lab_capture import socket_in
from lab_slots import apply
from lab_topology import add_behind, add_ipv6_behind, add_route, own_vip

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = {4: "10.0.0.100", 6: "fd00::100"}
OWN = {4: "10.0.0.200", 6: "fd00::200"}     # Addresses for SNAT.
DIRECT = {4: "10.0.0.101", 6: "fd00::101"}  # Which the servers have.
SIZE = 50000                    # Bytes each way; a socket takes them at once.
MTU = 1300

FAMILIES = pytest.mark.parametrize("family", [4, 6])


def in_each_family(ways):
    """Keys of a pool with a name to read, for those families that they are
    for."""
    return pytest.mark.parametrize("family, keys", [
        pytest.param(family, keys, id=f"{family}-" + (
            ",".join(f"{k}={v}" for k, v in keys.items()) or "plain"))
        for family in (4, 6) for keys in ways
        if family == 4 or "proxy_arp" not in keys])


def sock_family(family):
    return socket.AF_INET if family == 4 else socket.AF_INET6


class Mirror(threading.Thread):
    """A server that sends SIZE bytes to each who connects, reads as many, and
    closes."""

    def __init__(self, host, port):
        super().__init__()
        self.sock = socket_in(host.netns_path, socket.AF_INET6,
                              socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("::", port))
        self.sock.listen()
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            if select.select([self.sock], [], [], 0.05)[0]:
                peer, _ = self.sock.accept()
                with peer:
                    transfer(peer, 3)

    def close(self):
        self.stopping = True
        self.join()
        self.sock.close()


def transfer(sock, timeout):
    """Sends SIZE bytes; returns how many have come."""
    sock.settimeout(timeout)
    got = 0
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
        sock.sendall(b"x" * SIZE)
        while got < SIZE and (data := sock.recv(SIZE)):
            got += len(data)
    except OSError:
        pass
    return got


@pytest.fixture(scope="module")
def net(make_module_lab):
    """b1 is a client behind the router c2, b2 a server behind the router s4.
    Links to them have a small MTU, and they do not say so to those they
    connect with, as if it were a link further on."""
    lab = make_module_lab(servers=4, clients=2, ipv6=True)
    lab.servers = ["s1", "s2"]
    for router, name, network, network6 in (
            ("c2", "b1", "172.16.1", "fd00:1"),
            ("s4", "b2", "172.16.2", "fd00:2")):
        add_behind(lab, router, name, f"{network}.2/24")
        add_ipv6_behind(lab, router, name, f"{network6}::2/64")
        lab.run(router, "ip", "link", "set", name, "mtu", MTU)
        lab.run(name, "sh", "-ec", f"""
            ip link set eth0 mtu {MTU}
            ip -4 route replace default via {network}.1 advmss 1460
            ip -6 route delete default
            ip -6 route add default via {network6}::1 advmss 1440""")
        others = [name for name in ("s1", "s2", "c1", "c2", "s4")
                  if name != router]
        add_route(lab, others, f"{network}.0/24", router)
        add_route(lab, others, f"{network6}::/64", router)
    for server in lab.servers:
        for vip in DIRECT.values():
            own_vip(lab, server, vip)
    # Where a server in front can say that it gets nothing there.
    mirrors = [Mirror(lab.hosts[name], 8080) for name in ("s1", "s2", "b2")]
    yield lab
    for mirror in mirrors:
        mirror.close()


def install(lab, family, servers=("s1", "s2"), vip=VIP, **keys):
    pool = lab.pool({name: 1 for name in servers if name != "b2"},
                    vip=vip[family], **{"port": 8080, **keys})
    if "b2" in servers:
        b2, s4 = lab.hosts["b2"], lab.hosts["s4"]
        pool["servers"].append(
            {"name": "b2", "ip": b2.ip if family == 4 else b2.ip6,
             "via": s4.ip if family == 4 else s4.ip6,
             "mac": s4.mac, "interface": s4.port})
    path = lab.file(pool)
    apply(lab, path)
    # With proxy_arp servers have another MAC for the router.
    for name in "s1", "s2", "s4":
        lab.run(name, "ip", "neighbour", "flush", "dev", "eth0")
    assert lab.lbgen("diff", path).stdout == ""


def connect(lab, client, family, vip=VIP, timeout=3):
    """Returns how many bytes a client gets back.  Nobody knows the MTU
    then."""
    for name in ("s1", "s2", "b1", "b2", "c1"):
        for option in "-4", "-6":
            lab.run(name, "ip", option, "route", "flush", "cache")
    with socket_in(lab.hosts[client].netns_path, sock_family(family),
                   socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        sock.connect((vip[family], 8080))
        return transfer(sock, timeout)


def errors(capture, host):
    """What of the errors that a host got tells the connection: addresses and
    ports of the packet within.  What the switch floods is not for it."""
    found = set()
    for outgoing, frame in capture.packets:
        if frame[:6].hex(":") != host.mac:
            continue
        v4 = frame[12:14] == b"\x08\x00"
        outer = frame[14:]
        inner = outer[28:] if v4 else outer[48:]
        address = (lambda b: socket.inet_ntop(sock_family(4 if v4 else 6), b))
        ends = (inner[12:16], inner[16:20]) if v4 else (inner[8:24],
                                                        inner[24:40])
        ports = inner[20:24] if v4 else inner[40:44]
        if not outgoing:
            found.add((*map(address, ends), int.from_bytes(ports[:2]),
                       int.from_bytes(ports[2:])))
    return found


TOO_BIG = {4: "icmp[0] == 3 and icmp[1] == 4", 6: "ip6[40] == 2 and ip6[6] == 58"}


def drop_errors(lab):
    """Takes away the flows that are for errors: which says that it is they
    that do it."""
    for kind in 0x18, 0x34, 0x35:
        lab.ofctl("del-flows", "br0", f"cookie=0x6c6267{kind:02x}00000000/"
                  "0xffffffff00000000")
    lab.appctl("revalidator/purge")


# From the server to the client.

WAYS = [{}, {"reply_to": "sender"}, {"snat": True}, {"snat": "own"},
        {"proxy_arp": True}]


@in_each_family([*WAYS, {"protocol": "any", "port": None}])
def test_server_sends_too_much(net, family, keys):
    lab = net
    keys = {k: OWN[family] if v == "own" else v for k, v in keys.items()}
    seen_client = OWN[family] if keys.get("snat") == OWN[family] else \
        VIP[family] if keys.get("snat") else \
        lab.hosts["b1"].ip if family == 4 else lab.hosts["b1"].ip6
    install(lab, family, **keys)
    captures = {name: lab.capture(name, TOO_BIG[family])
                for name in lab.servers}
    assert [connect(lab, "b1", family) for _ in range(4)] == [SIZE] * 4
    got = {name: errors(capture.stop(), lab.hosts[name])
           for name, capture in captures.items()}
    assert any(got.values())
    for name, found in got.items():
        server = lab.hosts[name]
        assert {(src, dst, port) for src, dst, port, _ in found} <= {
            (server.ip if family == 4 else server.ip6, seen_client, 8080)}


@FAMILIES
@pytest.mark.parametrize("keys", [{}, {"snat": True}], ids=["plain", "snat"])
def test_without_errors_nothing_gets_through(net, family, keys):
    lab = net
    install(lab, family, **keys)
    drop_errors(lab)
    assert connect(lab, "b1", family, timeout=0.7) == 0


@FAMILIES
def test_direct(net, family):
    """Each server gets each error, and the one that it is about heeds it."""
    lab = net
    install(lab, family, vip=DIRECT, connections="direct")
    captures = [lab.capture(name, TOO_BIG[family]) for name in lab.servers]
    assert [connect(lab, "b1", family, DIRECT)
            for _ in range(6)] == [SIZE] * 6
    one, other = (errors(capture.stop(), lab.hosts[name])
                  for name, capture in zip(lab.servers, captures))
    assert one == other and len(one) >= 3
    assert {src for src, *_ in one} == {DIRECT[family]}
    drop_errors(lab)
    assert connect(lab, "b1", family, DIRECT, timeout=0.7) == 0


@FAMILIES
def test_direct_beside_tracked(net, family):
    """On one VIP: errors that no tracked connection is meant by are copied."""
    lab = net
    direct = lab.pool({"s1": 1, "s2": 1}, name="direct", vip=DIRECT[family],
                      port=8080, connections="direct")
    tracked = lab.pool({"s1": 1, "s2": 1}, name="tracked", port=9090,
                       server_port=8080, vip=DIRECT[family])
    install(lab, family)
    apply(lab, lab.file(direct, tracked))
    assert [connect(lab, "b1", family, DIRECT)
            for _ in range(4)] == [SIZE] * 4


# From the client to the server.

@in_each_family(WAYS)
def test_client_sends_too_much(net, family, keys):
    lab = net
    keys = {k: OWN[family] if v == "own" else v for k, v in keys.items()}
    install(lab, family, ["b2"], **keys)
    with lab.capture("c1", TOO_BIG[family]) as capture:
        assert [connect(lab, "c1", family) for _ in range(2)] == [SIZE] * 2
    client = lab.hosts["c1"].ip if family == 4 else lab.hosts["c1"].ip6
    assert {(src, dst, port) for src, dst, _, port in errors(
        capture, lab.hosts["c1"])} == {
        (client, VIP[family], 8080)}


@FAMILIES
def test_both_ways_too_much(net, family):
    """Both routers, one error each way for a connection."""
    lab = net
    install(lab, family, ["b2"], snat=OWN[family])
    assert connect(lab, "b1", family) == SIZE


# Without connection tracking.

@FAMILIES
def test_stateless_needs_probing(net, family):
    """No error gets anywhere, so servers have to find out by themselves
    (RFC 4821)."""
    lab = net

    def probe(value):
        for name in lab.servers:
            lab.run(name, "sh", "-ec", f"echo {value} > "
                    "/proc/sys/net/ipv4/tcp_mtu_probing")

    install(lab, family, connections="stateless", guard=False)
    assert connect(lab, "b1", family, timeout=0.7) == 0
    probe(1)
    try:
        assert connect(lab, "b1", family, timeout=20) == SIZE
    finally:
        probe(0)


# Datagrams.

def learn_mtu(lab, family, **keys):
    """A UDP server answers too much for the client's link; returns the MTU
    that it then believes in, or None."""
    install(lab, family)
    apply(lab, lab.pool_yaml({"s1": 1}, vip=VIP[family], protocol="udp",
                             port=9999, **keys))
    level, discover, mtu = {
        4: (socket.IPPROTO_IP, 10, 14), 6: (socket.IPPROTO_IPV6, 23, 24)
    }[family]
    always = 2                  # IP_PMTUDISC_DO
    with socket_in(lab.hosts["s1"].netns_path, sock_family(family),
                   socket.SOCK_DGRAM) as server, \
            socket_in(lab.hosts["b1"].netns_path, sock_family(family),
                      socket.SOCK_DGRAM) as client:
        lab.run("s1", "ip", f"-{family}", "route", "flush", "cache")
        server.bind(("::" if family == 6 else "", 9999))
        server.setsockopt(level, discover, always)
        client.sendto(b"hello", (VIP[family], 9999))
        server.settimeout(1)
        _, peer = server.recvfrom(100)
        server.connect(peer)
        server.send(b"x" * 1400)
        select.select([server], [], [], 0.5)
        return server.getsockopt(level, mtu)


@pytest.mark.parametrize("keys", [{}, {"snat": True}], ids=["plain", "snat"])
def test_datagrams(net, keys):
    assert learn_mtu(net, 4, **keys) == MTU
