# SPDX-License-Identifier: Apache-2.0
"""What becomes of connections when their server goes."""

import json
import os
import socket
import struct
import subprocess
import time

import pytest

from lab import HERE, wait_for
from lab_datagrams import raw_socket
from lab_frames import checksum
from lab_slots import wait_revalidated

LBTEST = os.environ.get("LBTEST", os.path.join(HERE, "lbtest"))
pytestmark = pytest.mark.switch
ZONE = 27746


class Site:
    """A lab with pools that share servers, and an lbgen that is at the switch,
    or only reaches it by OpenFlow if 'remote'."""

    def __init__(self, lab, remote=False):
        self.lab = lab
        self.bridge = "br0"
        for server in lab.servers:
            lab.serve(server, 8080)
            lab.serve(server, 53, "udp")
        if remote:
            lab.vsctl("set-controller", "br0",
                      f"punix:{lab.rundir}/br0.remote")
            self.bridge = f"unix:{lab.rundir}/br0.remote"
            wait_for(lambda: os.path.exists(f"{lab.rundir}/br0.remote"),
                     "remote socket")

    def file(self, servers=("s1", "s2", "s3"), others=("s1", "s2", "s3"),
             settings=None, **keys):
        """"web" and "dns" have 'servers', "other" has 'others'."""
        lab = self.lab
        weights = {name: 1 for name in servers}
        return lab.file(
            lab.pool(weights, server_port=8080, **keys),
            lab.pool(weights, name="dns", vip="10.0.0.101", port=53,
                     protocol="udp", **keys),
            lab.pool({name: 1 for name in others}, name="other",
                     vip="10.0.0.102", server_port=8080),
            fallback="normal", **(settings or {}))

    def apply(self, path, *args, command="apply", check=0):
        return self.lab.lbgen(command, "-b", self.bridge, path, *args,
                              check=check)

    def tracked(self, zone=ZONE):
        """Lines for the connections that the switch has."""
        return [line for line in self.lab.appctl(
            "dpctl/dump-conntrack", f"zone={zone}").split("\n") if line]

    def to(self, server, vip=None, zone=ZONE):
        """How many connections 'server' has, to 'vip' or in all."""
        reply = f"reply=(src={self.lab.hosts[server].ip},"
        return sum(reply in line and (not vip or f"dst={vip}," in line)
                   for line in self.tracked(zone))


@pytest.fixture
def site(lab):
    return Site(lab)


@pytest.fixture(params=["local", "remote"])
def each_site(lab, request):
    return Site(lab, request.param == "remote")


def check_cut(site, act, n_tcp=300, n_udp=90):
    """Holds connections while 'act' takes s2 out of "web" and "dns"."""
    lab = site.lab
    web = lab.hold("c1", "10.0.0.100", 80, n_tcp)
    other = lab.hold("c2", "10.0.0.102", 80, 100)
    dns = lab.hold("c1", "10.0.0.101", 53, n_udp, proto="udp", timeout=1)
    s2 = web.opened["s2"]
    assert s2 and other.opened["s2"] and dns.opened["s2"]
    assert site.to("s2") == (s2 + other.opened["s2"] + dns.opened["s2"])

    begin = time.monotonic()
    result = act()
    applied = time.monotonic()
    ping_dns = dns.ping()
    udp = time.monotonic() - applied
    begin_ping = time.monotonic()
    ping = web.ping()
    tcp = time.monotonic() - begin_ping
    ping_other = other.ping()
    print(f"{n_tcp} TCP, {s2} of them to s2: act {applied - begin:.3f} s, "
          f"then {ping.reset} reset in {tcp:.3f} s, {ping.alive} alive, "
          f"{ping.stalled} stalled, {ping.moved} moved; UDP: "
          f"{ping_dns.moved} of {n_udp} moved in {udp:.3f} s, "
          f"{ping_dns.stalled} stalled; other pool: {ping_other.alive} of 100 "
          "alive")

    assert (ping.reset, ping.alive) == (s2, n_tcp - s2)
    assert ping.servers == {name: web.opened[name] for name in ("s1", "s3")}
    assert not ping.stalled + ping.moved
    assert (ping_dns.moved, ping_dns.alive) == (dns.opened["s2"],
                                                n_udp - dns.opened["s2"])
    assert not ping_dns.stalled + ping_dns.reset and not ping_dns.servers["s2"]
    assert ping_other.alive == 100
    assert site.to("s2", "10.0.0.100") == site.to("s2", "10.0.0.101") == 0
    assert site.to("s2", "10.0.0.102") == other.opened["s2"]
    again = lab.connect("c1", "10.0.0.100", 80, s2)
    assert again.failures == 0 and not again["s2"]
    return result, s2 + dns.opened["s2"]


def test_server_removed(each_site):
    site = each_site
    site.apply(site.file())
    path = site.file(["s1", "s3"])
    result, n = check_cut(site, lambda: site.apply(path))
    assert not result.stderr
    if site.bridge == "br0":
        assert result.stdout.endswith(f"br0: {n} connections cut\n")
    else:
        assert "connections cut" not in result.stdout
    assert site.apply(path, command="diff").stdout == ""


def test_json_says_how_many(site):
    site.apply(site.file())
    hold = site.lab.hold("c1", "10.0.0.100", 80, 30)
    path = site.file(["s1", "s3"])
    for args, n in (["--dry-run"], None), ([], hold.opened["s2"]):
        result = site.apply(path, "--json", *args, check=2 if args else 0)
        assert json.loads(result.stdout)["connections_cut"] == n


def test_port_gone_while_something_else_is_done(site):
    """The server behind it is out then, and so are its connections, which a
    preview says."""
    lab = site.lab
    host = lab.hosts["s2"]
    site.apply(site.file())
    held = lab.hold("c1", "10.0.0.100", 80, 60)
    assert any(f"src={host.ip}," in line for line in site.tracked())
    lab.vsctl("del-port", "br0", host.port)
    try:
        command = "delete", "-b", site.bridge, "--pool", "other"
        preview = lab.lbgen(*command, "--dry-run", check=2).stdout
        assert "no port" in preview
        assert "no port" in lab.lbgen(*command).stderr
        assert not any(f"src={host.ip}," in line for line in site.tracked())
        ping = held.ping()
        assert ping.stalled == 0 and ping.reset == held.opened["s2"]
    finally:
        lab.vsctl("add-port", "br0", host.port, "--", "set", "interface",
                  host.port, f"ofport_request={host.ofport}")
    held.close()


TWIN_ZONE = ZONE + 4096


def test_twins_go_as_well(site):
    """Connections whose server does not see the client are two, in two zones.
    One that stayed would be there for a day, and a client that came back by
    the same port would get what the old one had."""
    lab = site.lab
    site.apply(site.file(snat=True))
    source = {"sources": [lab.hosts["c1"].ip], "peer": "10.0.0.100"}
    held = lab.hold("c1", "10.0.0.100", 80, 60, **source)
    on_s2 = held.opened["s2"]
    address = f"dst={lab.hosts['s2'].ip},"
    assert sum(address in line for line in site.tracked(TWIN_ZONE)) == on_s2
    assert on_s2 > 5 and len(site.tracked(TWIN_ZONE)) == 60
    lab.lbgen("maint", "web/s2", "-b", site.bridge)
    assert not any(address in line for line in site.tracked(TWIN_ZONE))
    assert len(site.tracked(TWIN_ZONE)) == 60 - on_s2
    ping = held.ping()
    assert (ping.alive, ping.reset) == (60 - on_s2, on_s2)
    held.close()

    site.apply(site.file(snat="10.0.0.200"))
    held = lab.hold("c1", "10.0.0.100", 80, 60,
                    **{**source, "peer": "10.0.0.200"})
    lab.lbgen("delete", "--all", "-b", site.bridge)
    assert not site.tracked() and not site.tracked(TWIN_ZONE)
    held.close()


def test_maint_in_the_file(each_site):
    site = each_site
    site.apply(site.file())
    with open(site.file()) as file:
        content = json.load(file)
    for pool in content["pools"]:
        if pool["name"] != "other":
            pool["servers"][1]["state"] = "maint"
    path = site.lab.write(content)
    check_cut(site, lambda: site.apply(path))


def test_maint_by_operator(site):
    def maint():
        for pool in "web", "dns":
            site.lab.lbgen("maint", f"{pool}/s2", "-b", "br0")

    site.apply(site.file())
    check_cut(site, maint)


def test_drain_cuts_nothing(site):
    site.apply(site.file())
    hold = site.lab.hold("c1", "10.0.0.100", 80, 60)
    site.lab.lbgen("drain", "web/s2", "-b", "br0")
    ping = hold.ping()
    assert ping.alive == 60


@pytest.mark.parametrize("change", ["pool", "vip", "port", "stateless"])
def test_pool_goes(each_site, change):
    """A pool that is deleted, or is another one to its clients."""
    site = each_site
    lab = site.lab
    site.apply(site.file(["s1", "s2"]))
    web = lab.hold("c1", "10.0.0.100", 80, 60)
    other = lab.hold("c2", "10.0.0.102", 80, 60)
    keys = {"vip": {"vip": "10.0.0.110"}, "port": {"port": 81},
            "stateless": {"connections": "stateless", "guard": True}}
    if change == "pool":
        lab.lbgen("delete", "--pool", "web", "-b", site.bridge)
    else:
        weights = {"s1": 1} if change == "stateless" else {"s1": 1, "s2": 1}
        site.apply(lab.file(
            lab.pool(weights, **{"server_port": 8080, **keys[change]}),
            lab.pool(name="other", vip="10.0.0.102", server_port=8080)
            if change != "stateless" else
            lab.pool({"s2": 1, "s3": 1}, name="other", vip="10.0.0.102",
                     server_port=8080),
            fallback="normal"))
    assert not [line for line in site.tracked() if "dst=10.0.0.100," in line]
    ping = other.ping()
    if change != "stateless":
        assert ping.alive == 60
    assert len(web.first) == 60


def test_delete_all(each_site):
    site = each_site
    site.apply(site.file())
    site.lab.hold("c1", "10.0.0.100", 80, 300)
    site.lab.lbgen("delete", "--all", "-b", site.bridge)
    assert site.tracked() == []


def test_many(each_site):
    """Thousands go to the last one, over OpenFlow alone as well."""
    site = each_site
    lab = site.lab
    site.apply(site.file())
    hold = lab.hold("c1", "10.0.0.100", 80, 3000)
    traffic = lab.connect("c2", "10.0.0.101", 53, 6000, proto="udp",
                          concurrency=200)
    n = hold.opened["s2"] + traffic["s2"]
    assert site.to("s2") == n
    path = site.file(["s1", "s3"])
    begin = time.monotonic()
    site.apply(path)
    took = time.monotonic() - begin
    print(f"{n} of 9000 cut in {took:.3f} s, {site.to('s2')} left")
    assert site.to("s2") == 0
    assert site.to("s1") + site.to("s3") == 9000 - n
    assert took < 5


def test_connections_of_others_stay(each_site):
    """Those in the same zone, through the same server, to no VIP of ours; and
    those in other zones."""
    site = each_site
    lab = site.lab
    site.apply(site.file(others=["s1"]))
    lab.serve("s2", 9000)
    for zone in ZONE, 5:
        lab.ofctl("add-flow", "br0", f"priority=9,tcp,tp_dst={9000 + zone % 2}"
                  f",actions=ct(commit,zone={zone}),NORMAL")
    lab.serve("s2", 9001)
    lab.hold("c2", "10.0.0.2", 9000, 20)
    lab.hold("c2", "10.0.0.2", 9001, 20)
    lab.hold("c1", "10.0.0.100", 80, 60)
    others = site.to("s2") - site.to("s2", "10.0.0.100")
    assert others == 20 and len(site.tracked(5)) == 20
    site.apply(site.file(["s1", "s3"], ["s1"]))
    assert site.to("s2", "10.0.0.100") == 0
    assert site.to("s2") == 20 and len(site.tracked(5)) == 20


def test_under_traffic(site):
    """New connections come in all the time and none of them is lost, however
    often a server goes and comes back."""
    lab = site.lab
    files = [site.file(["s1", "s3"]), site.file()]
    site.apply(files[1])
    hold = lab.hold("c2", "10.0.0.102", 80, 100)
    for i in range(20):
        path = files[i % 2]
        client = lab.popen(
            "c1", os.path.join(os.path.dirname(LBTEST), "traffic"), "connect",
            "tcp", "10.0.0.100", "80", "300", "4", "3000",
            str(20000 + 300 * i),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        client.stdin.write("10.0.1.1\n\n")
        client.stdin.close()
        site.apply(path)
        lines = client.stdout.read().split("\n")[:-2]
        client.wait()
        bad = [line for line in lines if "!" in line]
        # Only who was connected to s2 just then may see it: a reset, or no
        # answer if it was on its way.
        assert len(lines) == 300 and len(bad) <= (0 if i % 2 else 4), bad
        assert not [line for line in bad if "no-connection" in line], bad
    assert hold.ping().alive == 100


# on_removal: keep

def test_keep(each_site):
    site = each_site
    lab = site.lab
    keep = {"on_removal": "keep"}
    site.apply(site.file(**keep))
    web = lab.hold("c1", "10.0.0.100", 80, 90)
    path = site.file(["s1", "s3"], **keep)
    preview = site.apply(path, command="diff", check=2).stdout
    assert "  server s2: leaving, its connections go on\n" in preview
    site.apply(path)
    wait_revalidated(lab)

    # The old ones go on, new ones go elsewhere.
    assert web.ping().alive == 90
    assert not lab.connect("c1", "10.0.0.100", 80, 100)["s2"]
    assert web.ping().alive == 90
    status = lab.lbgen("status", "web", "-b", site.bridge).stdout
    assert "  s2 (10.0.0.2:8080) is leaving: its connections go on\n" in status
    assert json.loads(lab.lbgen("status", "web", "-b", site.bridge, "--json")
                      .stdout)["pools"][0]["leaving"] == ["s2"]
    assert site.apply(path, command="diff").stdout == ""
    view = json.loads(lab.lbgen("connections", "web", "-b", "br0", "--json")
                      .stdout)
    assert {s["server"]: (s["connections"], s["leaving"])
            for s in view["servers"]}["s2"] == (web.opened["s2"], True)

    # Other changes leave it alone.
    site.apply(site.file(["s1", "s3"], ["s1", "s2"], **keep))
    lab.lbgen("weight", "web/s1", "5", "-b", site.bridge)
    lab.lbgen("delete", "--pool", "other", "-b", site.bridge)
    assert web.ping().alive == 90

    # It comes back, and its connections are its own again.
    site.apply(site.file(**keep), "--reset")
    assert web.ping().alive == 90
    assert lab.connect("c1", "10.0.0.100", 80, 100)["s2"]
    status = lab.lbgen("status", "web", "-b", site.bridge).stdout
    assert "leaving" not in status


def test_keep_ends(site):
    """With its last connection, the next apply takes the rest of it away."""
    lab = site.lab
    keep = {"on_removal": "keep"}
    site.apply(site.file(**keep))
    web = lab.hold("c1", "10.0.0.100", 80, 90)
    path = site.file(["s1", "s3"], **keep)
    site.apply(path)
    status = lab.lbgen("status", "-b", "br0").stdout
    # "dns" had no connections, so nothing of it had to be kept.
    assert status.count("is leaving") == 1
    assert site.apply(path, command="diff").stdout == ""
    web.close()
    preview = site.apply(path, command="diff", check=2).stdout
    assert "  server s2: no longer leaving\n" in preview
    site.apply(path)
    assert "leaving" not in lab.lbgen("status", "-b", "br0").stdout
    assert lab.lbgen("diff", path, "-b", "br0").stdout == ""


@pytest.mark.parametrize("how", ["cut", "delete", "zone"])
def test_keep_no_longer(each_site, how):
    """Somebody wants the leaving server gone after all."""
    site = each_site
    lab = site.lab
    keep = {"on_removal": "keep"}
    site.apply(site.file(**keep))
    web = lab.hold("c1", "10.0.0.100", 80, 90)
    site.apply(site.file(["s1", "s3"], **keep))
    assert web.ping().alive == 90
    if how == "cut":
        site.apply(site.file(["s1", "s3"]))
        ping = web.ping()
        assert (ping.reset, ping.stalled) == (web.opened["s2"], 0)
        assert ping.alive == 90 - ping.reset
    elif how == "delete":
        lab.lbgen("delete", "--pool", "web", "-b", site.bridge)
        assert not site.to("s2") + site.to("s1")
    else:
        site.apply(site.file(["s1", "s3"], settings={"zone": 9}, **keep))
        ping = web.ping()
        assert ping.reset == 90 - ping.moved - ping.alive and not ping.stalled
        assert not site.tracked()
    assert "s2 (10.0.0.2:8080) is leaving" not in lab.lbgen(
        "status", "-b", site.bridge).stdout


@pytest.mark.parametrize("protocol", ["tcp", "any"])
def test_keep_no_longer_of_every_port(site, protocol):
    """Where other pools have a part of the VIP, too."""
    lab = site.lab
    keys = {"port": None, "protocol": protocol, "on_removal": "keep"}
    site.apply(lab.file(lab.pool(**keys), fallback="normal"))
    web = lab.hold("c1", "10.0.0.100", 8080, 90)
    site.apply(lab.file(lab.pool({"s1": 1, "s3": 1}, **keys),
                        fallback="normal"))
    assert web.ping().alive == 90
    lab.lbgen("delete", "--pool", "web", "-b", site.bridge)
    assert not site.tracked()


def test_keep_another_address(site):
    """A server of the same name and another address is another server."""
    lab = site.lab
    keep = {"on_removal": "keep"}
    site.apply(site.file(**keep))
    web = lab.hold("c1", "10.0.0.100", 80, 90)
    lab.serve("s2", 8081)
    pools = [lab.pool(server_port=8080, **keep)]
    pools[0]["servers"][1]["port"] = 8081
    site.apply(lab.file(*pools, fallback="normal"))
    assert web.ping().alive == 90
    for line in lab.lbgen("connections", "web", "--server", "s2", "-b",
                          "br0").stdout.split("\n")[1:web.opened["s2"] + 1]:
        assert "10.0.0.2:8080" in line
    traffic = lab.connect("c1", "10.0.0.100", 80, 90)
    assert traffic["s2"] and not traffic.failures
    site.apply(lab.file(lab.pool(server_port=8080, **keep),
                        fallback="normal"))
    assert web.ping().alive == 90


def test_keep_port_gone(site):
    """A server whose port is gone cannot be kept, and is in nobody's way."""
    lab = site.lab
    keep = {"on_removal": "keep"}
    site.apply(site.file(**keep))
    lab.hold("c1", "10.0.0.100", 80, 30)
    path = site.file(["s1", "s3"], ["s1"], **keep)
    site.apply(path)
    lab.vsctl("del-port", "br0", "s2-o")
    site.apply(path)
    assert "leaving" not in lab.lbgen("status", "-b", "br0").stdout
    assert site.to("s2") == 0


# Zones.

def test_another_zone(each_site):
    """Connections cannot go along, so they are cut, and diff says so."""
    site = each_site
    lab = site.lab
    site.apply(site.file())
    web = lab.hold("c1", "10.0.0.100", 80, 90)
    path = site.file(settings={"zone": 9})
    warning = ('lbgen: warning: the change of "zone" from 27746 to 9 cuts '
               'all tracked connections; those whose slot stays begin anew '
               'with the same server\n')
    assert warning in site.apply(path, command="diff", check=2).stderr
    assert site.apply(path).stderr == warning
    assert site.tracked() == []
    # The hash of a connection is the same in any zone.
    assert web.ping().alive == 90
    assert "zone 9," in lab.lbgen("status", "-b", site.bridge).stdout
    assert lab.connect("c1", "10.0.0.100", 80, 30).failures == 0
    assert site.tracked() == [] and site.tracked(9)
    assert site.apply(path, command="diff").stderr == ""


def test_zone_of_others(site):
    """Before the first apply, and before a change, the zone is looked at."""
    lab = site.lab
    lab.serve("s1", 9000)
    for zone in 5, ZONE:
        lab.ofctl("add-flow", "br0", "priority=9,tcp,tp_dst=9000,actions="
                  f"ct(commit,zone={zone}),NORMAL")
        lab.connect("c1", "10.0.0.1", 9000, 4)

    def warning(zone):
        return (f"lbgen: warning: connection tracking zone {zone} of bridge "
                '"br0" has 4 connections of others already; if something '
                'else uses that zone, set another "zone"\n')

    path = site.file()
    assert site.apply(path, command="diff", check=2).stderr == warning(ZONE)
    assert site.apply(path).stderr == warning(ZONE)
    assert site.apply(path).stderr == ""
    other = site.file(settings={"zone": 5})
    assert site.apply(other).stderr.endswith(warning(5))
    assert site.apply(site.file(settings={"zone": 6})).stderr.count("\n") == 1


def test_own_connections_are_no_warning(site):
    """After flows were lost, the connections in the zone are our own."""
    lab = site.lab
    path = site.file()
    site.apply(path)
    hold = lab.hold("c1", "10.0.0.100", 80, 30)
    lab.ofctl("del-flows", "br0")
    lab.ofctl("del-groups", "br0")
    lab.ofctl("add-flow", "br0", "priority=0,actions=NORMAL")
    assert site.apply(path).stderr == ""
    assert hold.ping().alive == 30


# Switches that cannot do it by OpenFlow.

def test_unknown_message(lab):
    """A switch says so of a message that it does not know, and goes on."""
    result = lab.run(lab.netns, LBTEST, "refusal", "br0")
    assert result.stdout.strip() in ("OFPBRC_BAD_SUBTYPE", "OFPBRC_BAD_TYPE",
                                     "OFPBRC_BAD_EXP_TYPE",
                                     "OFPBRC_BAD_EXPERIMENTER_TYPE")
    assert not result.stderr


def test_over_the_control_socket(site):
    lab = site.lab
    site.apply(site.file())
    web = lab.hold("c1", "10.0.0.100", 80, 300)
    assert len(site.tracked()) == 300
    assert lab.run(lab.netns, LBTEST, "control-flush", "br0",
                   str(ZONE)).stdout == "300\n"
    assert site.tracked() == []
    ping = web.ping()
    assert not ping.stalled and ping.reset + ping.alive == 300


def test_pings_over_the_control_socket(site):
    """Connections of a protocol that has no ports, beside one that has."""
    lab = site.lab
    site.apply(lab.file(lab.pool(port=None, protocol="any")))
    body = struct.pack("!HH", 77, 1)
    echo = b"\x08\0" + struct.pack(
        "!H", checksum(b"\x08\0\0\0" + body)) + body
    for client in lab.clients:
        with raw_socket(lab.hosts[client], socket.IPPROTO_ICMP) as sock:
            sock.sendto(echo, ("10.0.0.100", 0))
            sock.settimeout(2)
            assert sock.recv(100)
    web = lab.hold("c1", "10.0.0.100", 8080, 4)
    n = 4 + len(lab.clients)
    assert len(site.tracked()) == n
    result = lab.run(lab.netns, LBTEST, "control-flush", "br0", str(ZONE))
    assert result.stdout == f"{n}\n"
    assert site.tracked() == []
    web.close()
