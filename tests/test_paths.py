# SPDX-License-Identifier: Apache-2.0
"""Ways to servers and back that are not the plain one: a server that is its
own client, routers, servers that see another address, ARP for clients."""

import re
from collections import Counter

import pytest

import lab_capture
from lab import assert_shares
from lab_slots import apply, settle
from lab_topology import add_behind, add_route
from test_arp import BROADCAST, Arp

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP_MAC = "02:6c:0a:00:00:64"
OWN = "10.0.0.200"              # An address for SNAT.
OWN_MAC = "02:6c:0a:00:00:c8"


@pytest.fixture(scope="module")
def net(make_module_lab):
    """Three servers, two clients; s4 is a router before b1, c3 is one before
    b2."""
    lab = make_module_lab(servers=4, clients=3)
    lab.servers.remove("s4")
    add_behind(lab, "s4", "b1", "172.16.1.2/24")
    add_behind(lab, "c3", "b2", "172.16.2.2/24")
    lab.run("b2", "ip", "address", "add", "172.16.2.3/24", "dev", "eth0")
    add_route(lab, ["c3"], "172.16.1.0/24", "s4")
    add_route(lab, ["s4"], "172.16.2.0/24", "c3")
    add_route(lab, ["c1", "c2"], "172.16.1.0/24", "s4")
    for server in [*lab.servers, "b1"]:
        for proto in "tcp", "udp":
            lab.serve(server, 8080, proto)
    lab.serve("s4", 9000)
    lab.serve("c1", 9000)
    return lab


@pytest.fixture(autouse=True)
def routes(net):
    """As they should be, before and after each test."""
    add_route(net, net.servers, "172.16.2.0/24", "c3")
    yield
    for server in net.servers:
        net.run(server, "ip", "route", "flush", "type", "blackhole",
                check=False)


def install(lab, weights=(1, 1, 1), **keys):
    apply(lab, lab.pool_yaml(list(weights), server_port=8080, **keys))


def seen(lab, since=None):
    """Which addresses each server has seen of late."""
    peers = {}
    for server in lab.servers:
        with open(f"{lab.rundir}/{server}-tcp-8080.log") as log:
            peers[server] = Counter(line.split()[0] for line in log)
    return {name: counter - since[name] if since else counter
            for name, counter in peers.items()}


def macs(capture, **options):
    """(source, destination) of the Ethernet frames."""
    return {tuple(line.split(", ")[0].split(" > "))
            for line in capture.lines(**options)}


def addresses(capture, **options):
    """Everything that looks like a MAC or IPv4 address."""
    text = "\n".join(capture.lines(**options))
    return (set(re.findall(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", text))
            | set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)))


# A server that is its own client.

@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_hairpin(net, proto):
    """It gets its share of its own connections."""
    lab = net
    install(lab, protocol=proto)
    traffic = lab.connect("s1", VIP, 80, 900, proto=proto, peer=VIP)
    assert not traffic.failures
    assert_shares(traffic, [1, 1, 1], 900)
    traffic = lab.connect("c1", VIP, 80, 300, proto=proto)
    assert not traffic.failures and len(traffic) == 3


def test_hairpin_is_seen_as_the_vip_by_itself_alone(net):
    lab = net
    install(lab)
    before = seen(lab)
    with lab.capture("s1", "tcp port 8080") as capture:
        traffic = lab.connect("s1", VIP, 80, 300, peer=VIP)
    assert not traffic.failures
    after = seen(lab, before)
    s1 = lab.hosts["s1"]
    assert after == {"s1": {VIP: traffic["s1"]}, "s2": {s1.ip: traffic["s2"]},
                     "s3": {s1.ip: traffic["s3"]}}
    assert macs(capture, outgoing=False) == {(VIP_MAC, s1.mac)}


def test_hairpin_survives_an_apply(net):
    lab = net
    install(lab)
    hold = lab.hold("s1", VIP, 80, 60, peer=VIP)
    assert not hold.opened.failures and hold.opened["s1"]
    install(lab, [5, 1, 1], snat=OWN)
    ping = hold.ping()
    hold.close()
    assert ping.alive == 60


# Servers that see another address.

@pytest.mark.parametrize("snat, peer", [(True, VIP), ("auto", VIP),
                                        (OWN, OWN)])
def test_snat(net, snat, peer):
    """Replies come back though the servers have no way to the clients."""
    lab = net
    add_route(lab, lab.servers, "10.0.1.0/24", None)
    add_route(lab, lab.servers, "172.16.2.0/24", None)
    install(lab, [2, 1, 1])
    assert lab.connect("c1", VIP, 80, 3, timeout=0.3).failures == 3
    install(lab, [2, 1, 1], snat=snat)
    before = seen(lab)
    with lab.capture("s1", "tcp port 8080 or arp") as capture:
        traffic = lab.connect("c1", VIP, 80, 400, peer=peer)
        behind = lab.connect("b2", VIP, 80, 100, peer=peer)
    itself = lab.connect("s1", VIP, 80, 100, peer=peer)
    assert not traffic.failures + behind.failures + itself.failures
    assert_shares(traffic + behind + itself, [2, 1, 1], 600)
    assert all(set(peers) == {peer} for peers in seen(lab, before).values())
    assert macs(capture, outgoing=False) == {
        (OWN_MAC if peer == OWN else VIP_MAC, lab.hosts["s1"].mac)}


def test_snat_udp(net):
    install(net, snat=OWN, protocol="udp")
    traffic = net.connect("c1", VIP, 80, 200, proto="udp", peer=OWN)
    assert not traffic.failures and len(traffic) == 3


def test_snat_comes_and_goes(net):
    """Connections stay as they were begun."""
    lab = net
    install(lab)
    plain = lab.hold("c1", VIP, 80, 40)
    install(lab, snat=True)
    translated = lab.hold("c1", VIP, 80, 40, peer=VIP)
    assert not plain.opened.failures + translated.opened.failures
    assert plain.ping().alive == 40
    install(lab)
    assert plain.ping().alive == translated.ping().alive == 40
    plain.close()
    translated.close()


def test_snat_costs_no_recirculation(net):
    """Two lookups, and as many recirculations as without."""
    lab = net
    install(lab, snat=True)
    settle(lab)
    assert not lab.connect("c1", VIP, 80, 300, peer=VIP).failures
    for flow in lab.dp_flows():
        assert flow.count("recirc(") <= 1, flow
    tables = {re.search(r"recirc_id\((\w+)\)", flow)[1]
              for flow in lab.dp_flows()}
    settle(lab)
    install(lab)
    assert not lab.connect("c1", VIP, 80, 300).failures
    assert len(tables) == len({re.search(r"recirc_id\((\w+)\)", flow)[1]
                               for flow in lab.dp_flows()})


def test_snat_address_is_answered_for(net):
    lab = net
    install(lab, snat=OWN)
    assert not lab.connect("c1", VIP, 80, 30, peer=OWN).failures
    neighbours = lab.run("s1", "ip", "neighbour", "show", OWN).stdout
    assert OWN_MAC in neighbours


def test_pools_share_an_address_for_snat(net):
    """And a block of ports of it, which connection tracking gives out."""
    lab = net
    pools = [lab.pool([1, 1, 1], name=name, vip=vip, snat=OWN,
                      server_port=8080)
             for name, vip in (("one", VIP), ("two", "10.0.0.101"))]
    apply(lab, lab.file(*pools))
    for vip in VIP, "10.0.0.101":
        traffic = lab.connect("c1", vip, 80, 150, peer=OWN)
        assert not traffic.failures and len(traffic) == 3


# Clients behind a router.

def test_clients_behind_a_router(net):
    lab = net
    install(lab)
    traffic = lab.connect("b2", VIP, 80, 100,
                          sources=["172.16.2.2", "172.16.2.3"])
    assert not traffic.failures and len(traffic) == 3


def test_reply_to_sender(net):
    """The servers' routes lead elsewhere."""
    lab = net
    add_route(lab, lab.servers, "172.16.2.0/24", "c2")
    install(lab)
    assert lab.connect("b2", VIP, 80, 3, timeout=0.3).failures == 3
    install(lab, reply_to="sender")
    router = lab.hosts["c3"]
    with lab.capture("c3", "tcp") as at_router, \
            lab.capture("c2", "tcp") as elsewhere:
        traffic = lab.connect("b2", VIP, 80, 100)
        local = lab.connect("c1", VIP, 80, 100)
    assert not traffic.failures + local.failures
    assert macs(at_router, outgoing=False) == {(VIP_MAC, router.mac)}
    assert not elsewhere.packets


def test_reply_to_sender_does_not_touch_old_connections(net):
    """They have no label, as those of a former lbgen have none."""
    lab = net
    install(lab)
    hold = lab.hold("c1", VIP, 80, 40)
    install(lab, reply_to="sender")
    newer = lab.hold("c1", VIP, 80, 40)
    assert hold.ping().alive == newer.ping().alive == 40
    install(lab)
    assert hold.ping().alive == newer.ping().alive == 40
    hold.close()
    newer.close()


# A server behind a router.

def via_pool(lab, **keys):
    pool = lab.pool([1, 1], server_port=8080)
    router = lab.hosts["s4"]
    pool["servers"].append({"name": "b1", "ip": lab.hosts["b1"].ip,
                            "via": router.ip, "port": 8080, **keys})
    return pool


@pytest.mark.parametrize("found", [False, True])
def test_server_behind_a_router(net, found):
    lab = net
    router = lab.hosts["s4"]
    where = {} if found else {"mac": router.mac, "interface": router.port}
    apply(lab, lab.file(via_pool(lab, **where)))
    with lab.capture("s4", "tcp port 8080") as capture:
        traffic = lab.connect("c1", VIP, 80, 300)
    assert not traffic.failures
    assert_shares(traffic, {"s1": 1, "s2": 1, "b1": 1}, 300)
    assert (lab.hosts["c1"].mac, router.mac) in macs(capture, outgoing=False)


def test_server_behind_a_router_sees_snat(net):
    """Its own router knows another way to the client, and the reply would
    bypass the switch."""
    lab = net
    lab.run("b1", "ip", "route", "add", "blackhole", "10.0.1.0/24")
    pool = via_pool(lab) | {"snat": OWN}
    apply(lab, lab.file(pool))
    traffic = lab.connect("c1", VIP, 80, 150, peer=OWN)
    lab.run("b1", "ip", "route", "delete", "blackhole", "10.0.1.0/24")
    assert not traffic.failures and traffic["b1"]


def test_via_is_shown(net):
    lab = net
    apply(lab, lab.file(via_pool(lab)))
    status = lab.lbgen("status", "-b", "br0", "--json").stdout
    assert lab.hosts["s4"].mac in status and lab.hosts["s4"].ip in status


# ARP both ways.

def forget(lab):
    """All neighbours."""
    for host in [*lab.servers, "c1", "c2"]:
        lab.run(host, "ip", "neighbour", "flush", "dev", "eth0")


@pytest.mark.parametrize("proxy", [True, "10.0.1.0/24",
                                   ["10.9.0.0/16", "10.0.1.1/32",
                                    "10.0.1.2/32"]])
def test_neither_side_sees_the_other(net, proxy):
    lab = net
    install(lab, proxy_arp=proxy)
    forget(lab)
    clients = [lab.hosts["c1"], lab.hosts["c2"]]
    servers = [lab.hosts[name] for name in lab.servers]
    everybody = "ff:ff:ff:ff:ff:ff"
    # The routers have neighbours of their own to look for, and servers still
    # try to answer clients behind one that tests before gave no way back.
    rest = " and ".join(
        [f"not ether host {lab.hosts[name].mac}" for name in ("c3", "s4")]
        + ["not net 172.16.0.0/16", f"not host {lab.hosts['c3'].ip}"])
    captures = {host.name: lab.capture(host.name, rest)
                for host in clients + servers}
    for client in clients:
        traffic = lab.connect(client.name, VIP, 80, 150)
        assert not traffic.failures and len(traffic) == 3
    for host in clients:
        assert addresses(captures[host.name].stop()) == {
            host.mac, host.ip, VIP, VIP_MAC, everybody}
    for host in servers:
        assert addresses(captures[host.name].stop()) == {
            host.mac, host.ip, VIP_MAC, everybody,
            *(client.ip for client in clients)}


def test_servers_still_talk_to_each_other(net):
    lab = net
    install(lab, proxy_arp=True)
    forget(lab)
    assert lab.connect("s1", lab.hosts["s2"].ip, 8080, 5)["s2"] == 5
    neighbour = lab.run("s1", "ip", "neighbour", "show",
                        lab.hosts["s2"].ip).stdout
    assert lab.hosts["s2"].mac in neighbour


def test_what_is_not_proxied_is_asked_for_as_ever(net):
    """A router outside the network, for instance."""
    lab = net
    install(lab, proxy_arp="10.0.1.0/30")
    forget(lab)
    assert lab.connect("s1", lab.hosts["s4"].ip, 9000, 3)["s4"] == 3
    assert lab.hosts["s4"].mac in lab.run(
        "s1", "ip", "neighbour", "show", lab.hosts["s4"].ip).stdout


def test_duplicate_addresses_are_still_found(net):
    """Nobody answers a probe (RFC 5227), nor a server that asks as another."""
    lab = net
    install(lab, proxy_arp=True)
    mac, free = lab.hosts["s1"].mac, "10.0.7.7"
    with lab.capture("s1", f"arp and src host {free}") as capture:
        for sender in "0.0.0.0", free, "10.0.7.8":
            lab_capture.send(lab.hosts["s1"].netns_path, "eth0", Arp(
                BROADCAST, mac, 1, mac, sender, "00:00:00:00:00:00",
                free).frame())
        # The switch has had them when it answers one that it does answer.
        lab.run("s1", "ip", "neighbour", "flush", "dev", "eth0")
        assert lab.connect("c1", VIP, 80, 20)["s1"]
    assert "Reply" not in "\n".join(capture.lines())


def test_server_cannot_reach_proxied_clients_by_itself(net):
    """Nor does what it tries get out anywhere."""
    lab = net
    install(lab, proxy_arp=True)
    forget(lab)
    with lab.capture("c1", "host 10.0.0.1") as at_client, \
            lab.capture("s2", "host 10.0.0.1 and not arp") as elsewhere:
        assert lab.connect("s1", "10.0.1.1", 9000, 3, timeout=0.3).failures
    assert not at_client.packets and not elsewhere.packets


# One arm: everybody is behind the same port.

@pytest.fixture(scope="module")
def one_armed(make_module_lab):
    """Hosts are on br1; br0 has nothing but a port to it."""
    names = ["s1", "s2", "s3", "c1", "c2"]
    lab = make_module_lab(servers=3, clients=2, bridges=("br0", "br1"),
                          host_bridge=dict.fromkeys(names, "br1"))
    lab.vsctl("add-port", "br0", "up", "--", "set", "interface", "up",
              "type=patch", "options:peer=down", "--",
              "add-port", "br1", "down", "--", "set", "interface", "down",
              "type=patch", "options:peer=up")
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


def test_one_arm(one_armed):
    lab = one_armed
    pool = lab.pool([2, 1, 1], server_port=8080)
    for server in pool["servers"]:
        server["interface"] = "up"
    apply(lab, lab.file(pool))
    traffic = lab.connect("c1", VIP, 80, 400, peer=VIP)
    assert not traffic.failures
    assert_shares(traffic, [2, 1, 1], 400)
    itself = lab.connect("s1", VIP, 80, 100, peer=VIP)
    assert not itself.failures and len(itself) == 3
