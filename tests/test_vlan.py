# SPDX-License-Identifier: Apache-2.0
"""Pools on tagged traffic: each is in its VLAN, and the tag is right on every
port."""

import json
import re

import pytest

from lab_datagrams import Echo, ask, udp_socket
from lab_slots import apply
from test_explain import explain
from lab_topology import enter_vlan

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP6 = "fd00::100"
# All but what untagged hosts say to all on their own account.
MEANT = "not ip6 or vlan"
IPV6 = {"10.0.1.1": "fd00::1:1", "10.0.0.1": "fd00::1"}


@pytest.fixture(scope="module")
def net(make_module_lab):
    """c1 and s1 in VLAN 100, c2 and s2 in VLAN 200, with the same addresses;
    s3 untagged."""
    lab = make_module_lab(servers=3, clients=2, ipv6=True)
    for host, vlan, address in (("c1", 100, "10.0.1.1"),
                                ("s1", 100, "10.0.0.1"),
                                ("c2", 200, "10.0.1.1"),
                                ("s2", 200, "10.0.0.1")):
        enter_vlan(lab, host, vlan, address)
        lab.run(host, "ip", "address", "add", IPV6[address] + "/64", "dev",
                "eth0", "nodad")
    for server in lab.servers:
        for proto in "tcp", "udp":
            lab.serve(server, 8080, proto)
    return lab


def server(lab, name, ip="10.0.0.1", **keys):
    host = lab.hosts[name]
    return {"name": name, "ip": ip, "mac": host.mac, "interface": host.port,
            "port": 8080, **keys}


def pool(lab, vlan, *servers, **keys):
    return {"name": f"web{vlan}", "vip": VIP, "port": 80, "vlan": vlan,
            "servers": list(servers), **keys}


def tags(capture, **options):
    """VLANs of the frames, None for untagged."""
    found = set()
    for line in capture.lines(**options):
        tag = re.search(r"ethertype 802\.1Q.*?vlan (\d+)", line)
        found.add(int(tag[1]) if tag else None)
    return found


def both(lab, **keys):
    apply(lab, lab.file(pool(lab, 100, server(lab, "s1"), **keys),
                        pool(lab, 200, server(lab, "s2"), **keys)))


CONNECTIONS = pytest.mark.parametrize("connections", ["tracked", "stateless"])


@CONNECTIONS
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_same_vip_in_two_vlans(net, connections, protocol):
    """Clients and servers of the same addresses and ports do not mix."""
    lab = net
    keys = {"guard": False} if connections == "stateless" else {}
    both(lab, connections=connections, protocol=protocol, **keys)
    lab.hosts["c1"].next_source_port = lab.hosts["c2"].next_source_port = 20000
    captures = {name: lab.capture(lab.hosts[name].port, MEANT)
                for name in ("c1", "c2", "s1", "s2")}
    for vlan, client, name in (100, "c1", "s1"), (200, "c2", "s2"):
        traffic = lab.connect(client, VIP, 80, 60, sources=["10.0.1.1"],
                              proto=protocol, peer="10.0.1.1")
        assert not traffic.failures and traffic[name] == 60
        assert explain(lab, "10.0.1.1:1", "--live",
                       pool=f"web{vlan}")["live"]["agrees"]
    for name, vlan in ("c1", 100), ("s1", 100), ("c2", 200), ("s2", 200):
        seen = tags(captures[name].stop(), outgoing=True)
        # What a switch floods of the other VLAN it does not keep out.
        assert vlan in seen and None not in seen


@CONNECTIONS
def test_both_families(net, connections):
    """Neighbour solicitations are answered within the VLAN, too."""
    lab = net
    keys = {"guard": False} if connections == "stateless" else {}
    addresses = ["10.0.0.1", IPV6["10.0.0.1"]]
    apply(lab, lab.file(*(
        pool(lab, vlan, server(lab, name, addresses), vip=[VIP, VIP6],
             connections=connections, **keys)
        for vlan, name in ((100, "s1"), (200, "s2")))))
    for client, name, vlan in ("c1", "s1", 100), ("c2", "s2", 200):
        lab.run(client, "ip", "neighbour", "flush", "dev", "eth0")
        with lab.capture(lab.hosts[client].port, MEANT) as capture:
            for vip, source in (VIP, "10.0.1.1"), (VIP6, IPV6["10.0.1.1"]):
                traffic = lab.connect(client, vip, 80, 60, sources=[source],
                                      peer=source)
                assert not traffic.failures and traffic[name] == 60
        seen = tags(capture, outgoing=True)
        assert vlan in seen and None not in seen


def test_held_connections_do_not_mix(net):
    lab = net
    both(lab)
    lab.hosts["c1"].next_source_port = lab.hosts["c2"].next_source_port = 30000
    holds = [lab.hold(name, VIP, 80, 20, sources=["10.0.1.1"])
             for name in ("c1", "c2")]
    assert [hold.opened for hold in holds] == [{"s1": 20}, {"s2": 20}]
    assert all(hold.ping().alive == 20 for hold in holds)
    shown = lab.lbgen("connections", "-b", "br0", "--json").stdout
    assert shown.count('"client"') >= 40
    for hold in holds:
        hold.close()


@CONNECTIONS
def test_server_on_an_access_port(net, connections):
    """It gets frames without a tag, and its replies get one."""
    lab = net
    keys = {"guard": False} if connections == "stateless" else {}
    apply(lab, lab.file(pool(
        lab, 100, server(lab, "s1"),
        server(lab, "s3", "10.0.0.3", vlan="none"),
        connections=connections, **keys)))
    # It is in the same network, without a tag.
    with lab.capture("s3", "tcp") as at_server, \
            lab.capture(lab.hosts["c1"].port, MEANT) as at_client:
        lab.run("s3", "ip", "neighbour", "replace", "10.0.1.1", "lladdr",
                lab.hosts["c1"].mac, "dev", "eth0")
        traffic = lab.connect("c1", VIP, 80, 100, sources=["10.0.1.1"])
    assert not traffic.failures and traffic["s1"] and traffic["s3"]
    assert tags(at_server) == {None}
    assert None not in tags(at_client, outgoing=True)


def test_client_and_server_behind_one_trunk(make_lab):
    """In different VLANs, so that the server has to ask for the VIP, which it
    sees instead of its client, in its own."""
    lab = make_lab(servers=1, clients=2, ipv6=True)
    enter_vlan(lab, "c1", 100, "10.0.1.1")
    lab.run("c1", "ip", "address", "add", "fd00::1:1/64", "dev", "eth0",
            "nodad")
    s1 = lab.hosts["s1"]
    lab.vsctl("del-port", "br0", s1.port, "--", "add-port", "v-c1", s1.port,
              "tag=300")
    s1.port = lab.hosts["c1"].port
    lab.serve("s1", 8080)
    apply(lab, lab.file(pool(
        lab, 100, server(lab, "s1", ["10.0.0.1", "fd00::1"], vlan=300),
        vip=[VIP, VIP6])))
    for vip in VIP, VIP6:
        traffic = lab.connect("c1", vip, 80, 20, peer=vip)
        assert not traffic.failures and traffic["s1"] == 20


def test_fragments_of_one_vip_in_two_vlans(net):
    """Another VLAN's pool is not meant, though a connection begins with
    fragments."""
    lab = net
    apply(lab, lab.file(*(
        pool(lab, vlan, server(lab, name, ["10.0.0.1", IPV6["10.0.0.1"]],
                               port=5353),
             vip=[VIP, VIP6], protocol="udp")
        for vlan, name in ((100, "s1"), (200, "s2")))))
    for ipv6 in False, True:
        with Echo(lab, [5353], servers=["s1", "s2"], ipv6=ipv6):
            for client, name in ("c1", "s1"), ("c2", "s2"):
                sock = udp_socket(lab.hosts[client], ipv6=ipv6)
                for size in 4000, 100, 9000:
                    assert ask(sock, VIP6 if ipv6 else VIP, 80,
                               b"x" * size) == (name, 5353)


def test_removed_from_an_access_port(net):
    """What is left of its connections goes on there."""
    lab = net
    s1, s3 = server(lab, "s1"), server(lab, "s3", "10.0.0.3", vlan="none")
    keep = {"on_removal": "keep"}
    apply(lab, lab.file(pool(lab, 100, s1, s3, **keep)))
    lab.run("s3", "ip", "neighbour", "replace", "10.0.1.1", "lladdr",
            lab.hosts["c1"].mac, "dev", "eth0")
    held = lab.hold("c1", VIP, 80, 40, sources=["10.0.1.1"])
    assert set(held.opened) == {"s1", "s3"}
    path = lab.file(pool(lab, 100, s1, **keep))
    apply(lab, path)
    assert held.ping().alive == 40
    assert lab.lbgen("diff", path).stdout == ""
    held.close()


@pytest.mark.parametrize("vlan", [200, "none"])
def test_moved_to_a_pool_of_another_vlan(net, vlan):
    """What it sends is looked up there: the connections that it had are
    cut, those of others go on."""
    lab = net
    s1, s3 = server(lab, "s1"), server(lab, "s3", "10.0.0.3", vlan="none")
    s2 = server(lab, "s2", "10.0.0.2", **({} if vlan == 200
                                          else {"vlan": 200}))
    keep = {"on_removal": "keep"}
    apply(lab, lab.file(pool(lab, 100, s1, s3, **keep),
                        pool(lab, vlan, s2, **keep)))
    lab.run("s3", "ip", "neighbour", "replace", "10.0.1.1", "lladdr",
            lab.hosts["c1"].mac, "dev", "eth0")
    held = lab.hold("c1", VIP, 80, 40, sources=["10.0.1.1"])
    path = lab.file(pool(lab, 100, s1, **keep),
                    pool(lab, vlan, s2, s3, **keep))
    apply(lab, path)
    assert lab.lbgen("diff", path).stdout == ""
    assert "is leaving" not in lab.lbgen("status", "-b", "br0").stdout
    ping = held.ping()
    assert ping.alive == held.opened["s1"]
    assert not ping.servers["s3"]
    held.close()


@pytest.mark.parametrize("snat", [True, "10.0.0.200"])
def test_fragments_from_another_vlan(net, snat):
    """They find back to a client that the server does not see."""
    lab = net
    apply(lab, lab.file(pool(
        lab, 100, server(lab, "s3", "10.0.0.3", vlan="none", port=5353),
        protocol="udp", snat=snat)))
    with Echo(lab, [5353], servers=["s3"]):
        sock = udp_socket(lab.hosts["c1"])
        for size in 100, 4000, 9000:
            assert ask(sock, VIP, 80, b"x" * size) == ("s3", 5353)


def test_connections_are_counted_in_all_vlans(net):
    """By refresh as by connections: each VLAN has a zone of its own."""
    lab = net
    weights = {"policy": "least-connections", "smoothing": 0}
    path = lab.file(
        *(pool(lab, vlan, server(lab, name), weights=weights)
          for vlan, name in ((100, "s1"), (200, "s2"))))
    apply(lab, path)
    held = [lab.hold(client, VIP, 80, n, sources=["10.0.1.1"])
            for client, n in (("c1", 30), ("c2", 20))]
    refreshed = json.loads(lab.lbgen("refresh", path, "--json").stdout)
    assert {server["name"]: server["sample"]["connections"]
            for pool in refreshed["pools"] for server in pool["servers"]} \
        == {"s1": 30, "s2": 20}
    lab.serve("s1", 9000)
    lab.ofctl("add-flow", "br0", "priority=50000,tcp,dl_vlan=100,tp_dst=9000,"
              "actions=ct(commit,zone=27846),NORMAL")
    lab.connect("c1", "10.0.0.1", 9000, 4)
    lab.ofctl("del-flows", "br0", "tcp,dl_vlan=100,tp_dst=9000")
    text = lab.lbgen("connections", "-b", "br0").stdout
    assert text.endswith(
        "2 zones have 4 more, of no server that is installed\n")
    for hold in held:
        hold.close()


def test_untagged_requests_are_no_business_of_a_vlan(net):
    lab = net
    both(lab)
    assert lab.connect("s3", VIP, 80, 2, timeout=0.3).failures == 2


def test_found_in_its_vlan(net):
    """The same address in two VLANs is two hosts."""
    lab = net
    pools = [pool(lab, vlan, {"name": name, "ip": "10.0.0.1", "port": 8080})
             for vlan, name in ((100, "s1"), (200, "s2"))]
    apply(lab, lab.file(*pools))
    status = lab.lbgen("status", "-b", "br0", "--json").stdout
    assert lab.hosts["s1"].mac in status and lab.hosts["s2"].mac in status
    for client, name in ("c1", "s1"), ("c2", "s2"):
        assert lab.connect(client, VIP, 80, 5, sources=["10.0.1.1"])[name] == 5
