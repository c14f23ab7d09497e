# SPDX-License-Identifier: Apache-2.0
"""The switch answers ARP requests for a VIP, byte by byte as it should."""

import socket
import struct
from dataclasses import dataclass, replace

import pytest

from lab_frames import Wire, ethernet, mac
from lab_slots import apply

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"

# Locally administered, 02:6c, then the address.
DERIVED = "02:6c:0a:00:00:64"


@dataclass(frozen=True)
class Arp:
    """An ARP packet (RFC 826) in its Ethernet frame."""
    dst: str
    src: str
    op: int                     # 1 request, 2 reply.
    sha: str
    spa: str
    tha: str
    tpa: str
    vlan: int | None = None

    def frame(self):
        payload = (struct.pack("!HHBBH", 1, 0x0800, 6, 4, self.op)
                   + mac(self.sha) + socket.inet_aton(self.spa)
                   + mac(self.tha) + socket.inet_aton(self.tpa))
        return ethernet(self.dst, self.src, 0x0806, payload,
                        self.vlan).ljust(60, b"\0")


class Net(Wire):
    """A lab, with frames."""

    def request(self, host, **fields):
        """An ARP request for the VIP from 'host', as a host sends it unless
        'fields' say otherwise."""
        host = self.lab.hosts[host]
        return replace(Arp(dst=BROADCAST, src=host.mac, op=1, sha=host.mac,
                           spa=host.ip, tha=NOBODY, tpa=VIP), **fields)

    def reply(self, request, vip_mac=DERIVED):
        """What 'request' is to be answered with."""
        return Arp(dst=request.src, src=vip_mac, op=2, sha=vip_mac,
                   spa=request.tpa, tha=request.sha, tpa=request.spa,
                   vlan=request.vlan)


@pytest.fixture(scope="module")
def net(make_module_lab):
    lab = make_module_lab(servers=2, clients=2)
    apply(lab, lab.pool_yaml())
    net = Net(lab)
    yield net
    net.close()


FORMS = {
    "broadcast": {},
    "probe": {"spa": "0.0.0.0"},
    "unicast": {"dst": DERIVED},
    "unicast, target filled in": {"dst": DERIVED, "tha": DERIVED},
    "to a MAC that is stale": {"dst": "02:00:00:00:00:99"},
    "from another network": {"spa": "192.168.7.7"},
    "tagged": {"vlan": 5},
    "tagged probe": {"vlan": 4094, "spa": "0.0.0.0"},
    "another hardware address inside": {"sha": "02:00:00:00:77:77"},
}


@pytest.mark.parametrize("host", ["c1", "c2", "s1"])
@pytest.mark.parametrize("form", FORMS)
def test_answered(net, host, form):
    """Once, to who asked, and nobody else sees the request or the reply."""
    request = net.request(host, **FORMS[form])
    assert net.send(host, request.frame()) == {
        host: [net.reply(request).frame()]}


def test_no_padding_is_needed(net):
    """A frame that is not filled up to 60 bytes, as a veth takes it."""
    request = net.request("c1")
    assert net.send("c1", request.frame()[:42]) == {
        "c1": [net.reply(request).frame()[:42]]}


@pytest.mark.parametrize("fields", [
    {"tpa": "10.0.0.101"},
    {"tpa": "10.0.0.1"},
    {"tpa": "10.0.1.2", "spa": VIP, "sha": DERIVED},
    {"op": 2, "dst": BROADCAST, "spa": VIP, "tha": BROADCAST},
    {"op": 2, "spa": VIP, "tpa": "10.0.1.2"},
    {"op": 3},
    {"tpa": "10.0.1.1"},        # Announces the client's own address.
], ids=["the next address", "a server", "a client", "announcement by reply",
        "reply", "reverse ARP", "announcement"])
def test_not_answered(net, fields):
    """Nor held back: that is for the bridge's other flows, which flood it.
    The hosts of the lab answer for themselves only."""
    frame = net.request("c1", **fields).frame()
    got = net.send("c1", frame)
    for name in "c2", "s1", "s2":
        assert got[name][0] == frame
    assert not any(mac(DERIVED) == data[6:12] for frames in got.values()
                   for data in frames)
    answers = {socket.inet_ntoa(data[28:32]) for data in got.get("c1", [])}
    assert answers <= {fields.get("tpa")} - {VIP}


def test_who_claims_the_vip_is_told(net):
    """A host that announces the VIP as its own, or looks whether anybody has
    it (RFC 5227), learns of the conflict.  The others do not hear of it."""
    for spa in VIP, "0.0.0.0":
        request = net.request("s2", spa=spa)
        assert net.send("s2", request.frame()) == {
            "s2": [net.reply(request).frame()]}


def test_given_mac(net):
    """vip_mac goes for ARP and for the replies of servers; a pool that shares
    the VIP shares the answer, and other VIPs have their own."""
    lab = net.lab
    given = "02:aa:bb:cc:dd:ee"
    lab.serve("s1", 81)
    a = lab.pool([1], name="a", vip_mac=given)
    b = lab.pool([1], name="b", vip_mac=given, port=81)
    c = lab.pool([1], name="c", vip="10.0.0.101")
    apply(lab, lab.file(a, b, c))
    request = net.request("c1")
    assert net.send("c1", request.frame()) == {
        "c1": [net.reply(request, given).frame()]}
    request = net.request("c1", tpa="10.0.0.101")
    assert net.send("c1", request.frame()) == {
        "c1": [net.reply(request, "02:6c:0a:00:00:65").frame()]}
    lab.run("c2", "ip", "neighbour", "flush", "dev", "eth0")
    with lab.capture("c2", "tcp") as capture:
        assert lab.connect("c2", VIP, 81) == {"s1": 1}
    macs = {data[:12] for _, data in capture.packets}
    client = mac(lab.hosts["c2"].mac)
    assert macs == {client + mac(given), mac(given) + client}
    # One pool less, and it is still answered; none, and it is not.
    apply(lab, lab.file(b, c))
    request = net.request("c1")
    assert net.send("c1", request.frame()) == {
        "c1": [net.reply(request, given).frame()]}
    apply(lab, lab.file(c))
    assert "c1" not in net.send("c1", request.frame())
    apply(lab, lab.pool_yaml())


def test_on_a_secure_bridge_without_fallback(make_lab):
    """The switch answers for VIPs and does nothing else."""
    lab = make_lab(servers=1, clients=2, fail_mode="secure")
    net = Net(lab)
    lab.lbgen("apply", lab.pool_yaml())
    request = net.request("c1")
    assert net.send("c1", request.frame()) == {
        "c1": [net.reply(request).frame()]}
    assert net.send("c1", net.request("c1", tpa="10.0.0.1").frame()) == {}
    net.close()
