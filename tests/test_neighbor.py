# SPDX-License-Identifier: Apache-2.0
"""The switch answers neighbour solicitations and pings for a VIP of IPv6, byte
by byte as it should."""

import struct
from dataclasses import dataclass, replace

import pytest

from lab import wait_for
from lab_frames import Wire, ethernet, icmp6, ip6, mac
from lab_slots import apply

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "fd00::100"
GIVEN = "02:aa:bb:cc:dd:ee"

# Where solicitations for the VIP go (RFC 4291, 2.7.1).
GROUP = "ff02::1:ff00:100"
GROUP_MAC = "33:33:ff:00:01:00"
ALL_NODES = "ff02::1"
ALL_NODES_MAC = "33:33:00:00:00:01"

SOLICITATION, ADVERTISEMENT = 135, 136
SOURCE, TARGET, NONCE = 1, 2, 14

SOLICITED, OVERRIDE = 0x40000000, 0x20000000


def option(kind, content):
    return bytes([kind, 1]) + content


@dataclass(frozen=True)
class Neighbor:
    """A solicitation or an advertisement (RFC 4861, 4.3 and 4.4)."""
    dst: str
    src: str
    ip_src: str
    ip_dst: str
    options: bytes
    kind: int = SOLICITATION
    flags: int = 0
    target: str = VIP
    code: int = 0
    hop_limit: int = 255
    vlan: int | None = None

    def frame(self):
        body = struct.pack("!I", self.flags) + ip6(self.target) + self.options
        return ethernet(self.dst, self.src, 0x86dd,
                        icmp6(self.ip_src, self.ip_dst, self.kind, body,
                              self.code, self.hop_limit), self.vlan)


class Net(Wire):
    """A lab, with frames.  What the hosts' kernels send meanwhile does not
    count: reports of multicast groups, and doubts about their neighbours."""

    def send(self, host, frame):
        macs = {mac(host.mac) for host in self.lab.hosts.values()}
        got = {name: [got for got in frames
                      if got == frame or got[6:12] not in macs]
               for name, frames in super().send(host, frame).items()}
        return {name: frames for name, frames in got.items() if frames}

    def solicitation(self, host, **fields):
        """A solicitation for the VIP from 'host', as a host sends it unless
        'fields' say otherwise."""
        host = self.lab.hosts[host]
        return replace(Neighbor(dst=GROUP_MAC, src=host.mac, ip_src=host.ip6,
                                ip_dst=GROUP,
                                options=option(SOURCE, mac(host.mac))),
                       **fields)

    @staticmethod
    def answer(asked, vip_mac, **fields):
        """What 'asked' is to be answered with."""
        return replace(Neighbor(
            dst=asked.src, src=vip_mac, ip_src=VIP, ip_dst=asked.ip_src,
            options=asked.options and option(TARGET, mac(vip_mac)),
            kind=ADVERTISEMENT, flags=SOLICITED | OVERRIDE,
            vlan=asked.vlan), **fields)


@pytest.fixture(scope="module")
def net(make_module_lab):
    lab = make_module_lab(servers=2, clients=2, ipv6=True)
    apply(lab, lab.pool_yaml(vip=VIP, vip_mac=GIVEN))
    # What they will ask from.
    for host in "c1", "s1":
        lab.run(host, "ip", "address", "add", "2001:db8::7/128", "dev",
                "eth0", "nodad")
    net = Net(lab)
    yield net
    net.close()


FORMS = {
    "multicast": {},
    "unicast": {"dst": GIVEN, "ip_dst": VIP},
    "unicast, no option": {"dst": GIVEN, "ip_dst": VIP, "options": b""},
    "from another network": {"ip_src": "2001:db8::7"},
    "tagged": {"vlan": 5},
    "another hardware address inside": {
        "options": option(SOURCE, mac("02:00:00:00:77:77"))},
    "two options": {"options": option(SOURCE, mac("02:00:00:00:77:77"))
                    + option(NONCE, b"nonce!")},
}


def test_answered_to_a_link_local_address(net):
    asked = net.solicitation("c1", ip_src="fe80::1:1")
    assert net.send("c1", asked.frame()) == {
        "c1": [net.answer(asked, GIVEN).frame()]}


@pytest.mark.parametrize("host", ["c1", "s1"])
@pytest.mark.parametrize("form", FORMS)
def test_answered(net, host, form):
    """Once, to who asked, and nobody else sees the question or the answer."""
    asked = net.solicitation(host, **FORMS[form])
    options = asked.options and (option(TARGET, mac(GIVEN))
                                 + asked.options[8:])
    answer = net.answer(asked, GIVEN, options=options)
    assert net.send(host, asked.frame()) == {host: [answer.frame()]}


@pytest.mark.parametrize("vlan", [None, 7])
@pytest.mark.parametrize("options", [b"", option(NONCE, b"nonce!")],
                         ids=["plain", "nonce"])
def test_probe(net, options, vlan):
    """Who looks for duplicates has no address: the answer goes to all nodes
    (RFC 4861, 7.2.4), but only where somebody asked."""
    asked = net.solicitation("c1", ip_src="::", options=options, vlan=vlan)
    answer = net.answer(asked, GIVEN, dst=ALL_NODES_MAC, ip_dst=ALL_NODES,
                        flags=OVERRIDE)
    assert net.send("c1", asked.frame()) == {"c1": [answer.frame()]}


@pytest.mark.parametrize("fields", [
    {"hop_limit": 254},
    {"code": 1},
    {"target": "fd00::101"},
    {"kind": ADVERTISEMENT, "ip_dst": ALL_NODES, "dst": ALL_NODES_MAC},
], ids=["through a router", "code", "the next address", "advertisement"])
def test_not_answered(net, fields):
    """Nor held back: that is for the bridge's other flows, which flood it."""
    frame = net.solicitation("c1", **fields).frame()
    got = net.send("c1", frame)
    assert got == {name: [frame] for name in ("c2", "s1", "s2")}


def probe_kernel(lab, host, address, enhanced):
    """Gives 'host' an address, with a look for duplicates; returns what ip(8)
    says of it when that is over."""
    lab.run(host, "sh", "-c", f"""
        cd /proc/sys/net/ipv6/conf/eth0
        echo {enhanced} > enhanced_dad
        echo 1 > dad_transmits
        ip address add {address}/64 dev eth0""")

    def outcome():
        out = lab.run(host, "ip", "-o", "-6", "address", "show", "to",
                      address).stdout
        return (out if "tentative" not in out or "dadfailed" in out
                else None)
    result = wait_for(outcome, "the end of duplicate address detection")
    lab.run(host, "ip", "address", "del", f"{address}/64", "dev", "eth0")
    return result


@pytest.mark.parametrize("enhanced", [0, 1])
def test_who_takes_the_vip_sees_a_duplicate(net, enhanced):
    """The kernel's own duplicate address detection, with and without nonce
    (RFC 7527)."""
    assert "dadfailed" in probe_kernel(net.lab, "c2", VIP, enhanced)
    assert "dadfailed" not in probe_kernel(net.lab, "c2", "fd00::77", enhanced)


def neighbor(lab, host, address):
    """Returns the MAC and the state that 'host' has of a neighbour."""
    out = lab.run(host, "ip", "-6", "neighbour", "show", "to", address,
                  "dev", "eth0").stdout.split()
    return "lladdr" in out and (out[out.index("lladdr") + 1], out[-1])


def test_kernel_learns_and_confirms(net):
    """A client learns the VIP's MAC, and one that doubts it is told that all
    is well: by default it is derived from the address."""
    lab = net.lab
    for server in lab.servers:
        lab.serve(server, 80)
    apply(lab, lab.pool_yaml(vip=VIP))
    lab.run("c1", "ip", "-6", "neighbour", "flush", "dev", "eth0")
    assert lab.connect("c1", VIP, 80, 10).failures == 0
    derived, _ = neighbor(lab, "c1", VIP)
    assert derived.startswith("02:6c:")
    lab.run("c1", "ip", "-6", "neighbour", "change", VIP, "lladdr", derived,
            "dev", "eth0", "nud", "probe")
    wait_for(lambda: neighbor(lab, "c1", VIP) == (derived, "REACHABLE"),
             "the answer to a unicast solicitation")
    apply(lab, lab.pool_yaml(vip=VIP, vip_mac=GIVEN))


def test_two_pools_share_a_vip(net):
    """One pool less, and it is still answered; none, and it is not."""
    lab = net.lab
    a = lab.pool([1], name="a", vip=VIP, vip_mac=GIVEN)
    b = lab.pool([1], name="b", vip=VIP, vip_mac=GIVEN, port=81)
    other = lab.pool([1], name="c", vip="fd00::101")
    asked = net.solicitation("c1")
    for pools in (a, b, other), (b, other):
        apply(lab, lab.file(*pools))
        assert net.send("c1", asked.frame()) == {
            "c1": [net.answer(asked, GIVEN).frame()]}
    apply(lab, lab.file(other))
    assert net.send("c1", asked.frame()) == {
        name: [asked.frame()] for name in ("c2", "s1", "s2")}
    apply(lab, lab.pool_yaml(vip=VIP, vip_mac=GIVEN))


def echo(src, dst, ip_src, ip_dst, kind, body, hop_limit=64):
    return ethernet(dst, src, 0x86dd, icmp6(ip_src, ip_dst, kind, body,
                                            hop_limit=hop_limit))


@pytest.mark.parametrize("size", [0, 1, 56, 1452])
def test_ping(net, size):
    """RFC 4443, 4.2: what came goes back."""
    host = net.lab.hosts["c1"]
    body = struct.pack("!HH", 4711, 1) + bytes(i % 251 for i in range(size))
    frame = echo(host.mac, GIVEN, host.ip6, VIP, 128, body, hop_limit=3)
    assert net.send("c1", frame) == {
        "c1": [echo(GIVEN, host.mac, VIP, host.ip6, 129, body)]}
    frame = echo(host.mac, GIVEN, host.ip6, "fd00::101", 128, body)
    assert "c1" not in net.send("c1", frame)
