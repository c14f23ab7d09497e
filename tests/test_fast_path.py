# SPDX-License-Identifier: Apache-2.0
"""What the switch does for each connection: nothing but forwarding, and no
server's address gets out."""

import re

import pytest

from lab_slots import OURS, apply, coverage, settle, upcalls

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP = "10.0.0.100"
VIP_MAC = "02:6c:0a:00:00:64"

CONNECTIONS = pytest.mark.parametrize("connections", ["tracked", "stateless"])
POLICIES = pytest.mark.parametrize("policy", ["wrr", "random"])


def start(make_lab):
    lab = make_lab(servers=3, clients=3)
    for server in lab.servers:
        for proto in "tcp", "udp":
            lab.serve(server, 8080, proto)
    return lab


@pytest.fixture(scope="module")
def shared(make_module_lab):
    return start(make_module_lab)


@pytest.fixture(scope="module")
def calm(make_module_lab):
    """Another lab, in which no source port is used twice: OVS may give a
    tracked connection another source port if the one that it comes from was
    used a moment ago."""
    return start(make_module_lab)


def install(lab, **keys):
    """A pool of all servers, on a switch that has seen no packet for it."""
    apply(lab, lab.pool_yaml([3, 2, 2], server_port=8080, **keys))


def packets(capture):
    """What tcpdump says: source and destination MAC, address and port, for
    each packet of TCP or UDP.  Of anything else, the whole line."""
    found = []
    for line in capture.lines():
        match = re.match(r"(\S+) > (\S+), ethertype IPv4 .*?length \d+: "
                         r"([\d.]+)\.(\d+) > ([\d.]+)\.(\d+): ", line)
        found.append(match.groups() if match else line)
    return found


# Upcalls.

@CONNECTIONS
@POLICIES
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_no_upcall_for_a_new_connection(shared, policy, connections,
                                        protocol):
    lab = shared
    install(lab, policy=policy, connections=connections, protocol=protocol)
    # Enough for all 256 slots.
    warm = lab.connect("c1", VIP, 80, 4000, proto=protocol)
    assert not warm.failures
    before = upcalls(lab)
    traffic = lab.connect("c1", VIP, 80, 2000, proto=protocol)
    assert sum(traffic.values()) == 2000
    # ARP, and flows for handshakes that went a rare way.
    assert upcalls(lab) - before < 10


@CONNECTIONS
@POLICIES
def test_datapath_flows(shared, policy, connections):
    """At most one for each slot and client port, and a few more."""
    lab = shared
    install(lab, policy=policy, connections=connections)
    for client, most in (("c1", 256 + 32), ("c2", 2 * 256 + 48)):
        traffic = lab.connect(client, VIP, 80, 4000)
        assert not traffic.failures
        assert len(lab.dp_flows()) <= most
    # Those that a slot is picked by, once for each slot and port.
    slots = {(port, int(value, 16) & 0xff) for value, port in re.findall(
        r"dp_hash\((0x\w+)/0xff\).*?in_port\((\w+)\)",
        "\n".join(lab.dp_flows()))}
    assert 2 * 250 <= len(slots) <= 2 * 256


def masks(lab, host):
    """The sets of fields that the datapath's flows of IPv4 from a host match:
    it looks for a packet's flow in one after the other."""
    found = set()
    for line in lab.appctl("dpctl/dump-flows", "-m").split("\n"):
        if (f"in_port({lab.hosts[host].port})" in line
                and "eth_type(0x0800)" in line):
            fields = re.sub(r"^ufid:\S+ |ct_tuple.*?\),|, packets:.*", "",
                            line)
            found.add(re.sub(r"(?<=[(=])[^(),/=]+", "", fields))
    return found


@pytest.mark.parametrize("keys", [
    {}, {"policy": "random"}, {"protocol": "udp"},
    {"slots": 16, "policy": "sticky"}], ids=str)
def test_one_mask_from_clients(shared, keys):
    """Whatever stage of their way packets to a tracked pool are in; where the
    client's address is hashed, those that begin a connection have another."""
    install(shared, **keys)
    traffic = shared.connect("c1", VIP, 80, 500,
                             proto=keys.get("protocol", "tcp"))
    assert not traffic.failures
    assert len(masks(shared, "c1")) == (2 if "slots" in keys else 1)
    for server in shared.servers:
        assert len(masks(shared, server)) <= 2


@CONNECTIONS
def test_fewer_slots_need_fewer_flows(shared, connections):
    install(shared, slots=16, connections=connections)
    assert not shared.connect("c1", VIP, 80, 4000).failures
    assert len(shared.dp_flows()) <= 16 + 32


@CONNECTIONS
def test_sticky_needs_one_flow_for_each_client(shared, connections):
    lab = shared
    sources = lab.client_addresses("c3", 300)
    install(lab, policy="sticky", connections=connections)
    before = upcalls(lab)
    assert not lab.connect("c3", VIP, 80, 1500, sources=sources).failures
    assert upcalls(lab) - before <= 300 + 150
    before = upcalls(lab)
    assert not lab.connect("c3", VIP, 80, 1500, sources=sources).failures
    assert upcalls(lab) - before < 10


@CONNECTIONS
@pytest.mark.parametrize("policy", ["wrr", "random", "sticky"])
def test_nothing_goes_to_userspace(shared, policy, connections):
    """No controller in flows and groups, and in the datapath only ARP goes to
    ovs-vswitchd itself."""
    lab = shared
    install(lab, policy=policy, connections=connections)
    lab.run("c1", "ip", "neighbour", "flush", "dev", "eth0")
    assert not lab.connect("c1", VIP, 80, 500).failures
    of = " ".join(lab.flows(match=OURS) + lab.groups())
    assert "group:" in of and not re.search("controller|CONTROLLER|learn_|"
                                            "NORMAL", of)
    dp = lab.dp_flows()
    assert len(dp) >= 3
    userspace = [flow for flow in dp if "userspace(" in flow]
    assert all("eth_type(0x0806)" in flow for flow in userspace), userspace


def test_the_cache_expires_and_comes_back(shared):
    lab = shared
    install(lab)
    lab.connect("c1", VIP, 80, 1000)
    settle(lab)
    assert not lab.dp_flows()
    before = upcalls(lab)
    assert not lab.connect("c1", VIP, 80, 1000).failures
    assert 200 < upcalls(lab) - before < 256 + 32


# Addresses.

@CONNECTIONS
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("policy", ["wrr", "sticky"])
def test_addresses(calm, policy, connections, protocol):
    """Clients see the VIP's MAC, address and port and nothing else; servers
    see the client's address and port; third hosts see nothing at all."""
    lab = calm
    client = lab.hosts["c1"]
    install(lab, policy=policy, connections=connections, protocol=protocol)
    captures = {name: lab.capture(name, "tcp or udp") for name in lab.hosts}
    traffic = lab.connect("c1", VIP, 80, 600, proto=protocol)
    seen = {name: packets(capture.stop())
            for name, capture in captures.items()}

    assert not traffic.failures
    assert len(seen["c1"]) >= 1200
    ports = set()
    for packet in seen["c1"]:
        src_mac, dst_mac, src, sport, dst, dport = packet
        if src == client.ip:
            assert packet == (client.mac, VIP_MAC, src, sport, VIP, "80")
            ports.add(sport)
        else:
            assert packet == (VIP_MAC, client.mac, VIP, "80", client.ip,
                              dport)
    assert len(ports) == 600
    mine = set()
    for name in lab.servers:
        server = lab.hosts[name]
        assert bool(seen[name]) == bool(traffic[name])
        for src_mac, dst_mac, src, sport, dst, dport in seen[name]:
            if dst == server.ip:
                assert (src_mac, dst_mac) == (client.mac, server.mac)
                assert (src, dport) == (client.ip, "8080")
                mine.add(sport)
            else:
                assert (src, sport, dst) == (server.ip, "8080", client.ip)
    # The last words of an earlier test's connection may be late.
    assert {port for port in mine if port >= min(ports)} == ports
    assert seen["c2"] == seen["c3"] == []


@CONNECTIONS
def test_arp_does_not_tell_either(shared, connections):
    """A client that hears of no server but by its own ARP requests."""
    lab = shared
    install(lab, connections=connections)
    lab.run("c1", "ip", "neighbour", "flush", "dev", "eth0")
    with lab.capture("c1", "arp") as capture:
        lab.connect("c1", VIP, 80, 500)
    lines = capture.lines(outgoing=False)
    replies = [line for line in lines if "Reply" in line]
    assert len(replies) == 1
    assert f"Reply {VIP} is-at {VIP_MAC}" in replies[0]


@CONNECTIONS
def test_mac_learning_is_left_in_peace(shared, connections):
    """The VIP's MAC must not be seen to move between the servers' ports."""
    lab = shared
    install(lab, connections=connections)
    lab.connect("c1", VIP, 80, 50)
    names = ["mac_learning_moved", "rev_mac_learning"]
    before = [coverage(lab, name) for name in names]
    captures = [lab.capture(name, "tcp") for name in ("c2", "c3")]
    for client in "c1", "c2":
        assert not lab.connect(client, VIP, 80, 1500).failures
    after = [coverage(lab, name) for name in names]
    assert after[0] == before[0]
    assert after[1] - before[1] <= 2        # c2 may be new to the bridge.
    for capture, client in zip(captures, ("c2", "c3")):
        lines = [p for p in packets(capture.stop())
                 if lab.hosts[client].ip not in (p[2], p[4])]
        assert lines == []
    assert VIP_MAC not in lab.appctl("fdb/show", "br0")


def test_a_client_that_is_flooded_to_at_most_once(shared):
    """In stateless pools, the switch learns where a client is from its first
    request; it does not need to have seen it before."""
    lab = shared
    install(lab, connections="stateless")
    lab.appctl("fdb/flush", "br0")
    with lab.capture("c2", "tcp") as c2, lab.capture("c3", "tcp") as c3:
        assert not lab.connect("c1", VIP, 80, 200).failures
    assert packets(c2) == packets(c3) == []
