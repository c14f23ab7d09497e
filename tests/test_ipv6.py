# SPDX-License-Identifier: Apache-2.0
"""VIPs of IPv6, alone and beside IPv4, with real traffic."""

import json
from collections import Counter

import pytest

from lab import assert_shares
from lab_datagrams import Echo, ask, udp_socket
from lab_slots import apply, settle, slot_tables, wait_revalidated
from test_explain import explain, foretell

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP4 = "10.0.0.100"
VIP6 = "fd00::100"
BOTH = [VIP4, VIP6]
ZONE = 27746


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(ipv6=True)
    for server in lab.servers:
        for proto in "tcp", "udp":
            lab.serve(server, 8080, proto)
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "-b", "br0", "--all")
    lab.appctl("dpctl/flush-conntrack", f"zone={ZONE}")


def web(lab, weights=(3, 2, 2), vip=VIP6, **keys):
    return lab.pool_yaml(list(weights), vip=vip, server_port=8080, **keys)


def as_foretold(lab, traffic):
    """Fails unless each connection is where "explain" would have it."""
    connections = sorted(traffic.by_connection)
    wrong = [(c, e.server, traffic.by_connection[c])
             for c, e in zip(connections, foretell(lab, connections))
             if e.answer != "server" or e.server != traffic.by_connection[c]]
    assert wrong == []


def tracked(lab, vip=VIP6):
    """Lines for the connections to a VIP that the switch has."""
    return [line for line in lab.appctl("dpctl/dump-conntrack",
                                        f"zone={ZONE}").split("\n")
            if f"dst={vip}," in line]


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_shares(lab, connections, protocol):
    apply(lab, web(lab, connections=connections, protocol=protocol))
    traffic = lab.connect("c1", VIP6, 80, 2000, proto=protocol)
    assert traffic.failures == 0
    assert_shares(traffic, [3, 2, 2], 2000)
    as_foretold(lab, traffic)


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_both_families(lab, connections):
    """One group and one slot table; the same client has the same chances by
    either way, and each connection is where it was foretold."""
    apply(lab, web(lab, vip=BOTH, connections=connections))
    assert len(slot_tables(lab)) == 1
    one = slot_tables(lab)
    for vip in BOTH:
        traffic = lab.connect("c1", vip, 80, 2000)
        assert traffic.failures == 0
        assert_shares(traffic, [3, 2, 2], 2000)
        as_foretold(lab, traffic)
    # The pool has no more slots, nor other ones, than one for IPv4 alone.
    apply(lab, web(lab, vip=VIP4, connections=connections))
    assert slot_tables(lab) == one


def test_flows(lab):
    """What goes by the mark of a connection is there once for both."""
    def counts():
        """Flows to learn new connections, to commit them, to take known ones
        to a server and back: lib/layout.h has the kinds of cookies."""
        flows = [lab.flows(match="cookie=0x6c6267%02x00000000"
                           "/0xffffffff00000000" % kind)
                 for kind in (4, 10, 5, 7)]
        # Not those for a server that is its own client: they have addresses.
        flows[2] = [flow for flow in flows[2] if "nat(" not in flow]
        return list(map(len, flows))

    apply(lab, web(lab, vip=VIP4))
    new, server, forward, reverse = counts()
    apply(lab, web(lab, vip=BOTH))
    assert counts() == [2 * new, 2 * server, forward, reverse]


def test_sticky_by_prefix(lab):
    """All of a /56 goes to one server, whatever the rest of the address; over
    all of them the shares are right.  IPv4 has a prefix of its own."""
    apply(lab, web(lab, vip=BOTH, policy="sticky",
                   sticky={"prefix": 24, "prefix6": 56}))
    networks = lab.client_addresses6("c2", 150, 56)
    # Another /64 of the same /56, and another host.
    sources = [address.replace("::1", suffix) for address in networks
               for suffix in ("::1", "::abcd")]
    sources += [address.replace("00::1", "77:1:2:3:4") for address in networks]
    traffic = lab.connect("c2", VIP6, 80, 2 * len(sources), sources=sources)
    assert traffic.failures == 0
    servers = {}
    for source, counts in traffic.by_source.items():
        network = source.split(":")[:2] + [source.split(":")[2][:-2],
                                           source.split(":")[3][:-2]]
        servers.setdefault(tuple(network), set()).update(counts)
    assert len(servers) == 150
    assert all(len(names) == 1 for names in servers.values())
    assert_shares(Counter(name for names in servers.values()
                          for name in names), [3, 2, 2], 150)
    as_foretold(lab, traffic)

    sources = lab.client_addresses("c1", 500)[::50]
    traffic = lab.connect("c1", VIP4, 80, 100, sources=sources)
    as_foretold(lab, traffic)
    for half in sources[:5], sources[5:]:
        assert len({name for source in half
                    for name in traffic.by_source[source]}) == 1


def test_sticky_by_whole_address(lab):
    apply(lab, web(lab, policy="sticky"))
    sources = lab.client_addresses6("c2", 300)
    traffic = lab.connect("c2", VIP6, 80, 600, sources=sources)
    assert traffic.failures == 0
    assert all(len(counts) == 1 for counts in traffic.by_source.values())
    assert_shares(Counter(next(iter(counts))
                          for counts in traffic.by_source.values()),
                  [3, 2, 2], 300)
    as_foretold(lab, traffic)


def test_low_bits(lab):
    """The lowest bits of the address are the number of the slot."""
    apply(lab, web(lab, policy="sticky", sticky={"low_bits": True}))
    sources = [f"{address[:-1]}{i % 16 + 1:x}" for i, address in
               enumerate(lab.client_addresses6("c2", 160))]
    traffic = lab.connect("c2", VIP6, 80, 160, sources=sources)
    assert traffic.failures == 0
    ends = {}
    for source, counts in traffic.by_source.items():
        ends.setdefault(source.rsplit(":", 1)[1], set()).update(counts)
    assert len(ends) == 16
    assert all(len(names) == 1 for names in ends.values())


def test_guard(lab):
    """Who does not use the VIP reaches the server itself."""
    apply(lab, web(lab, vip=BOTH, connections="stateless", guard=True))

    def direct(client, address):
        return lab.connect(client, address, 8080, 20, timeout=0.5)["s1"]

    assert lab.connect("c1", VIP6, 80, 300).failures == 0
    assert direct("c1", "fd00::1") == 0
    assert direct("c1", "10.0.0.1") == 20
    assert direct("c2", "fd00::1") == 20


def test_connections_survive_a_change(lab):
    apply(lab, web(lab, [1, 1, 1], vip=BOTH))
    held = {vip: lab.hold("c1", vip, 80, 200) for vip in BOTH}
    apply(lab, web(lab, [6, 1, 0], vip=BOTH))
    for hold in held.values():
        ping = hold.ping()
        assert (ping.alive, ping.moved, ping.reset, ping.stalled) == (
            200, 0, 0, 0)
        assert ping.servers == hold.opened
    traffic = lab.connect("c1", VIP6, 80, 700)
    assert_shares(traffic, [6, 1, 0], 700)


@pytest.mark.parametrize("on_removal", ["cut", "keep"])
def test_removal(lab, on_removal):
    """Of a server, with connections of both families."""
    keys = {"vip": BOTH, "on_removal": on_removal}
    apply(lab, web(lab, [1, 1, 1], **keys))
    held = {vip: lab.hold("c1", vip, 80, 150) for vip in BOTH}
    apply(lab, web(lab, [1, 1], **keys))
    for hold in held.values():
        n = hold.opened["s3"]
        assert 20 < n < 90
        ping = hold.ping()
        if on_removal == "cut":
            assert (ping.alive, ping.reset, ping.stalled) == (150 - n, n, 0)
        else:
            assert ping.alive == 150
            assert ping.servers["s3"] == n


def test_maint_cuts(lab):
    apply(lab, web(lab, [1, 1, 1]))
    hold = lab.hold("c1", VIP6, 80, 150)
    lab.lbgen("maint", "-b", "br0", "web/s1")
    ping = hold.ping()
    assert ping.reset == hold.opened["s1"] > 20
    assert ping.alive == 150 - ping.reset


def test_a_family_comes_and_goes(lab):
    """Connections of the other one do not notice; those of the VIP that goes
    are cut."""
    apply(lab, web(lab, vip=VIP4))
    four = lab.hold("c1", VIP4, 80, 100)
    members = slot_tables(lab)
    apply(lab, web(lab, vip=BOTH))
    six = lab.hold("c1", VIP6, 80, 100)
    assert slot_tables(lab) == members
    for hold in four, six:
        assert hold.ping().alive == 100
    assert len(tracked(lab)) == 100
    preview = lab.lbgen("diff", web(lab, vip=VIP4), check=2).stdout
    assert "vip 10.0.0.100:80/tcp, [fd00::100]:80/tcp -> 10.0.0.100:80/tcp" \
        in preview
    apply(lab, web(lab, vip=VIP4))
    assert tracked(lab) == []
    assert four.ping().alive == 100
    assert six.ping().alive == 0


def test_residents(lab):
    """Networks that stay with a server that drains."""
    path = web(lab, [1, 1, 1], policy="sticky", sticky={"prefix6": 56},
               drain_timeout="10m")
    apply(lab, path)
    networks = lab.client_addresses6("c1", 60, 56)
    before = lab.connect("c1", VIP6, 80, 60, sources=networks).by_source
    there = [a for a, servers in before.items() if "s1" in servers]
    assert 5 < len(there) < 55
    lab.lbgen("drain", "-b", "br0", "web/s1")
    flows = [flow for flow in lab.flows(match="table=200")
             if "hard_timeout=" in flow]
    assert len(flows) == len(there)
    assert all("ipv6_src=" in flow and "/56" in flow for flow in flows)
    others = [a.replace("00::1", "42::9") for a in there]
    wait_revalidated(lab)
    traffic = lab.connect("c1", VIP6, 80, len(others), sources=others)
    assert traffic == {"s1": len(there)}
    as_foretold(lab, traffic)
    assert explain(lab, f"[{others[0]}]:1234")["resident"]
    new = lab.client_addresses6("c1", 60, 56)
    traffic = lab.connect("c1", VIP6, 80, 60, sources=new)
    assert traffic.failures == traffic["s1"] == 0
    assert lab.lbgen("diff", path).stdout == ""


def test_connections(lab):
    apply(lab, web(lab, vip=BOTH))
    hold = lab.hold("c1", VIP6, 80, 40)
    lab.hold("c1", VIP4, 80, 20)
    seen = json.loads(lab.lbgen("connections", "-b", "br0", "--json").stdout)
    six = [c for c in seen["connections"] if c["vip"]["ip"] == VIP6]
    assert len(six) == 40 and len(seen["connections"]) == 60
    assert Counter(c["server"] for c in six) == hold.opened
    assert {c["client"]["ip"] for c in six} == {"fd00::1:1"}
    for c in six:
        assert c["address"] == {"ip": lab.hosts[c["server"]].ip6,
                                "port": 8080}
        assert c["state"] == "ESTABLISHED"
    [s1] = [s for s in seen["servers"] if s["server"] == "s1"]
    assert s1["addresses"] == [{"ip": "10.0.0.1", "port": 8080},
                               {"ip": "fd00::1", "port": 8080}]
    text = lab.lbgen("connections", "-b", "br0").stdout
    assert "[fd00::1:1]:" in text and "[fd00::100]:80/tcp" in text
    assert "10.0.0.1:8080, [fd00::1]:8080" in text
    # Status counts both.
    settle(lab)
    status = json.loads(lab.lbgen("status", "-b", "br0", "--json").stdout)
    [pool] = status["pools"]
    assert pool["vip"] == "10.0.0.100:80/tcp, [fd00::100]:80/tcp"
    assert sum(s["connections"] for s in pool["servers"]) == 60


def test_explain(lab):
    """For both, against the switch's own trace; a family that the pool does
    not have is refused."""
    apply(lab, web(lab, vip=BOTH))
    for client in "[fd00::1:1]:40000", "10.0.1.1:40000":
        answer = explain(lab, client, "--live")
        assert answer["live"]["agrees"], answer["live"]["trace"]
    text = lab.lbgen("explain", "-b", "br0", "web", "[fd00::1:1]:40000").stdout
    assert text.startswith("[fd00::1:1]:40000 to pool web, ")
    # What the other family needs is none of its business.
    lab.ofctl("del-flows", "br0", f"table=200,tcp6,ipv6_dst={VIP6}")
    four, six = (explain(lab, client)["notes"]
                 for client in ("10.0.1.1:1", "[fd00::1:1]:1"))
    assert not any("is gone" in note for note in four)
    assert any("is gone" in note for note in six), lab.flows()
    apply(lab, web(lab, vip=VIP6))
    for client in "10.0.1.1", "10.0.1.1:5":
        result = lab.lbgen("explain", "-b", "br0", "web", client, check=1)
        assert 'pool "web" is for IPv6, and 10.0.1.1 is no such address' \
            in result.stderr


def test_sticky_explained_by_trace(lab):
    apply(lab, web(lab, vip=BOTH, policy="sticky", sticky={"prefix6": 56}))
    for client in "fd00:9:0:7712::5", "fd00:9:0:7713::6", "10.0.1.1":
        assert explain(lab, client, "--live")["live"]["agrees"]


def test_round_trip(lab):
    """What is read back from the bridge is what was written, and nothing is
    left behind."""
    for keys in ({"vip": VIP6}, {"vip": BOTH}, {"vip": BOTH[::-1]},
                 {"vip": BOTH, "policy": "sticky",
                  "sticky": {"prefix": 8, "prefix6": 48}},
                 {"vip": VIP6, "policy": "sticky", "sticky": {"prefix6": 1}}):
        path = web(lab, **keys)
        apply(lab, path)
        assert lab.lbgen("diff", path).stdout == ""
    lab.lbgen("delete", "-b", "br0", "--all")
    assert lab.flows() == ["priority=0 actions=NORMAL"]
    assert lab.groups() == []


@pytest.mark.parametrize("connections", ["tracked", "stateless", "direct"])
def test_fragments(lab, connections):
    """Tracked, each datagram is whole, and a client stays with its server
    whatever the size; else none of one in parts gets there, as is said."""
    path = lab.pool_yaml([1, 1, 1], vip=VIP6, protocol="udp", port=5353,
                         connections=connections,
                         **({"guard": False} if connections == "stateless"
                            else {}))
    said = lab.lbgen("check", path).stderr
    assert ("come in fragments are dropped" in said) \
        == (connections != "tracked")
    apply(lab, path)
    with Echo(lab, [5353], ipv6=True) as echo:
        for client in lab.clients * 3:
            with udp_socket(lab.hosts[client], ipv6=True) as sock:
                if connections == "tracked":
                    [(server, _)] = {ask(sock, VIP6, 5353, b"x" * size)
                                     for size in (4000, 100, 9000)}
                    assert server in lab.servers
                else:
                    assert ask(sock, VIP6, 5353, b"x" * 4000,
                               timeout=0.1) is None
        assert connections == "tracked" or not any(echo.seen.values())


@pytest.mark.parametrize("snat", [False, True, "fd00::200"])
def test_fragments_of_hidden_clients(lab, snat):
    """A server is its own client, too."""
    apply(lab, lab.pool_yaml({"s1": 1}, vip=VIP6, protocol="udp", port=5353,
                             snat=snat))
    with Echo(lab, [5353], ipv6=True):
        for client in "c1", "s2", "s1":
            with udp_socket(lab.hosts[client], ipv6=True) as sock:
                for size in 4000, 100, 9000:
                    assert ask(sock, VIP6, 5353, b"x" * size) == ("s1", 5353)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("snat, peer", [(False, None), (True, VIP6),
                                        ("fd00::200", "fd00::200")])
def test_snat_and_hairpin(lab, protocol, snat, peer):
    """A server is its own client, and sees another address then; with snat, so
    do all."""
    apply(lab, web(lab, [1, 1, 1], protocol=protocol, snat=snat))
    traffic = lab.connect("c1", VIP6, 80, 300, proto=protocol, peer=peer)
    own = lab.connect("s1", VIP6, 80, 300, proto=protocol, peer=peer or VIP6)
    for counts in traffic, own:
        assert not counts.failures
        assert_shares(counts, [1, 1, 1], 300)


def test_proxy_arp_is_refused(lab):
    said = lab.lbgen("check", web(lab, proxy_arp=True), check=1).stderr
    assert "proxy_arp is for IPv4, and this pool has an IPv6 vip" in said
