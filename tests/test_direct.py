# SPDX-License-Identifier: Apache-2.0
""""connections: direct": only the MAC of requests changes, and what servers
answer is no business of lbgen's."""

import re
from collections import Counter

import pytest

import lab_capture
from lab import assert_shares
from lab_slots import OURS, apply, coverage, upcalls
from lab_topology import own_vip
from test_arp import BROADCAST, Arp

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP_MAC = "02:6c:0a:00:00:64"


@pytest.fixture(scope="module")
def direct(make_module_lab):
    """Servers that have the VIP."""
    lab = make_module_lab(servers=3, clients=2)
    for server in lab.servers:
        own_vip(lab, server, VIP)
        for proto in "tcp", "udp":
            # A UDP server answers from the VIP if that is its own address.
            lab.serve(server, 80, proto, address=VIP)
    return lab


def install(lab, weights=(2, 1, 1), **keys):
    apply(lab, lab.pool_yaml(list(weights), connections="direct", **keys))


def frames(capture, **options):
    """Source and destination MAC of each frame, IP ones with addresses."""
    found = Counter()
    for line in capture.lines(**options):
        match = re.match(r"(\S+) > (\S+), ethertype IPv4 .*?length \d+: "
                         r"([\d.]+)\.\d+ > ([\d.]+)\.\d+: ", line)
        found[match.groups() if match else line] += 1
    return found


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_shares(direct, proto):
    install(direct, protocol=proto)
    traffic = direct.connect("c1", VIP, 80, 2000, proto=proto)
    assert not traffic.failures
    assert_shares(traffic, {"s1": 2, "s2": 1, "s3": 1}, 2000)


def test_sticky(direct):
    lab = direct
    install(lab, policy="sticky")
    sources = lab.client_addresses("c2", 50)
    traffic = lab.connect("c2", VIP, 80, 200, sources=sources)
    assert not traffic.failures
    assert all(len(servers) == 1 for servers in traffic.by_source.values())
    assert len(traffic) == 3


def test_only_the_destination_mac_changes(direct):
    """Requests come from the client's MAC and for the VIP; replies come from
    the server's own MAC and the VIP, which stays at one port."""
    lab = direct
    install(lab)
    assert not lab.connect("c1", VIP, 80, 20).failures
    client, server = lab.hosts["c1"], lab.hosts["s1"]
    moves = coverage(lab, "mac_learning_moved")
    with lab.capture("s1", "tcp") as at_server, \
            lab.capture("c1", "tcp") as at_client:
        traffic = lab.connect("c1", VIP, 80, 200)
    assert not traffic.failures and traffic["s1"]
    assert set(frames(at_server, outgoing=False)) == {
        (client.mac, server.mac, client.ip, VIP)}
    assert set(frames(at_client, outgoing=True)) == {
        (client.mac, VIP_MAC, client.ip, VIP)}
    assert {frame[0] for frame in frames(at_client, outgoing=False)} == {
        lab.hosts[name].mac for name in lab.servers}
    assert coverage(lab, "mac_learning_moved") == moves


def test_no_connection_is_tracked(direct):
    lab = direct
    install(lab)
    assert not lab.connect("c1", VIP, 80, 100).failures
    assert lab.appctl("dpctl/dump-conntrack") == ""
    assert "ct(" not in " ".join(lab.flows(match=OURS))


def test_no_upcall_for_a_connection(direct):
    lab = direct
    install(lab)
    assert not lab.connect("c1", VIP, 80, 4000).failures
    before = upcalls(lab)
    assert not lab.connect("c1", VIP, 80, 2000).failures
    assert upcalls(lab) - before < 10


def test_a_server_cannot_take_the_vip(direct):
    """One that asks as the VIP, as a host without arp_announce does, and even
    announces it, is not heard."""
    lab = direct
    install(lab)
    assert not lab.connect("c1", VIP, 80, 10).failures
    server = lab.hosts["s1"]
    with lab.capture("c1", "arp") as at_client, \
            lab.capture("c2", "arp") as elsewhere, \
            lab.capture("s1", f"arp and src host {VIP}") as sent:
        for op in 1, 2:
            lab_capture.send(server.netns_path, "eth0", Arp(
                BROADCAST, server.mac, op, server.mac, VIP, BROADCAST,
                "10.0.1.1").frame())
        lab.run("s1", "sh", "-ec", """
            echo 0 > /proc/sys/net/ipv4/conf/all/arp_announce
            ip neighbour flush dev eth0""")
        lab.connect("c1", VIP, 80, 12, timeout=0.2)
        lab.run("s1", "sh", "-ec", """
            echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce
            ip neighbour flush dev eth0""")
    assert len(sent.packets) >= 3
    assert not [line for line in at_client.lines() + elsewhere.lines()
                if f"tell {VIP}" in line
                or f"{VIP} is-at" in line and VIP_MAC not in line]
    neighbours = lab.run("c1", "ip", "neighbour", "show", VIP).stdout
    assert VIP_MAC in neighbours
    assert not lab.connect("c1", VIP, 80, 10).failures


def test_client_behind_the_port_of_the_server(direct):
    """The switch is a port's neighbour and no more ("one-armed"): the request
    goes back where it came from, with another MAC as its source."""
    lab = direct
    install(lab, [1])
    with lab.capture("s1", "tcp and dst port 80") as at_server:
        lab.ofctl("packet-out", "br0", "in_port=s1-o packet="
                  "026c0a00006402000000090908004500002800010000400665cd"
                  "0a0009090a000064303900500000000100000000"
                  "5002200000000000 actions=resubmit(,0)")
    assert set(frames(at_server)) == {
        (VIP_MAC, lab.hosts["s1"].mac, "10.0.9.9", VIP)}


def test_delete_leaves_nothing(direct):
    lab = direct
    install(lab)
    lab.lbgen("delete", "--all", "-b", "br0")
    assert not lab.flows(match=OURS) and not lab.groups()
