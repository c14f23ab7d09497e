# SPDX-License-Identifier: Apache-2.0
"""Labs that others have written controllers for: examples/lab-*.yaml on their
own topology, hosts h1 to h7 on one switch, with the results that they print."""

import json
import os
import re
from collections import Counter

import pytest

import try_lab
from lab import assert_shares
from lab_http import HttpServer
from lab_monitor import join_bridge
from lab_slots import settle

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

SRCDIR = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__),
                                               ".."))
VIP = "10.0.0.100"
CLIENTS = ["h4", "h5", "h6", "h7"]
PLAIN = 9000                    # A port of hosts that no pool has.


@pytest.fixture(scope="module")
def hosts(make_module_lab):
    """No flow is on the switch but lbgen's, so nothing but the files' own
    "fallback: normal" makes it a learning switch."""
    lab = make_module_lab(servers=["h1", "h2", "h3"], clients=CLIENTS,
                          fail_mode="secure")
    for i in range(1, 6):
        lab.serve(f"h{i}", 80, name=f"s{i}")
    for host in CLIENTS:
        lab.serve(host, PLAIN)
    join_bridge(lab)
    yield lab


def forget(lab):
    """All neighbours: servers whose clients were hidden know those by the
    VIP's MAC."""
    for host in lab.hosts:
        lab.run(host, "ip", "neighbour", "flush", "dev", "eth0")


@pytest.fixture
def lab(hosts):
    yield hosts
    hosts.lbgen("delete", "--all", "-b", "br0")
    forget(hosts)


def example(name):
    return os.path.join(SRCDIR, "examples", f"lab-{name}.yaml")


def apply(lab, name):
    lab.lbgen("check", example(name))
    lab.lbgen("apply", example(name))
    lab.lbgen("diff", example(name))
    settle(lab)
    return example(name)


def one(lab, host, **options):
    """Who answers one new connection."""
    traffic = lab.connect(host, VIP, 80, 1, **options)
    assert not traffic.failures
    name, = traffic
    return name


def mapping(lab, hosts):
    return [one(lab, host) for host in hosts]


def connected(lab):
    """(client's address, server) of each connection that the switch knows."""
    view = json.loads(lab.lbgen("connections", "-b", "br0", "--json").stdout)
    return Counter((c["client"]["ip"], c["server"])
                   for c in view["connections"])


def status(lab):
    view = json.loads(lab.lbgen("status", "-b", "br0", "--json").stdout)
    pool, = view["pools"]
    return pool


# Round robin.

def test_round_robin(lab):
    """Each connection takes the next server, whoever's it is."""
    apply(lab, "round-robin")
    assert mapping(lab, CLIENTS) == ["s1", "s2", "s3", "s1"]
    assert mapping(lab, ["h4", "h4", "h7", "h5"]) == ["s2", "s3", "s1", "s2"]


def test_connections_say_who_got_whom(lab):
    apply(lab, "round-robin")
    asked = CLIENTS + ["h4", "h4"]
    before = connected(lab)
    got = Counter(zip((lab.hosts[host].ip for host in asked),
                      mapping(lab, asked)))
    assert got.total() == 6
    # They are remembered for a while after their end.
    assert connected(lab) - before == got
    counted = {s["name"]: s["connections"] for s in status(lab)["servers"]}
    assert counted == {"s1": 2, "s2": 2, "s3": 2}


@pytest.mark.parametrize("name", ["round-robin", "affinity", "hidden-turns"])
def test_the_rest_is_switched(lab, name):
    """Hosts reach each other, servers' own addresses included, as through any
    learning switch; that takes nobody's turn."""
    apply(lab, name)
    assert one(lab, "h4") == "s1"
    for a, b in ("h4", "h5"), ("h5", "h4"), ("h7", "h6"):
        assert lab.connect(a, lab.hosts[b].ip, PLAIN, 3) == {b: 3}
    if name != "hidden-turns":
        assert lab.connect("h6", lab.hosts["h3"].ip, 80, 3) == {"s3": 3}
    assert mapping(lab, ["h5", "h6"]) == ["s2", "s3"]


def test_any_port(lab):
    """Connections to other ports take turns all the same; there nobody
    listens, and the server's own refusal gets back."""
    apply(lab, "round-robin")
    assert one(lab, "h4") == "s1"
    refused = lab.connect("h5", VIP, 4711, 1)
    assert refused.reasons == {"refused": 1}
    assert one(lab, "h6") == "s3"


def test_affinity(lab):
    """h4 again gets the server it has; the others are new."""
    apply(lab, "affinity")
    assert mapping(lab, ["h4", "h5", "h4", "h6", "h7"]) == [
        "s1", "s2", "s1", "s3", "s1"]
    assert mapping(lab, ["h7", "h6", "h5", "h4"]) == ["s1", "s3", "s2", "s1"]


# Weights and sets.

def test_70_30_in_turn(lab):
    """Seven of any ten, and not in a row."""
    apply(lab, "weights")
    order = ["s1", "s2", "s1", "s1", "s1", "s2", "s1", "s1", "s2", "s1"]
    assert mapping(lab, (CLIENTS * 5)[:20]) == order * 2
    assert lab.connect("h4", VIP, 80, 1000) == {"s1": 700, "s2": 300}


def test_70_30_by_hash(lab):
    with open(example("weights")) as file:
        text = file.read().replace("policy: round-robin", "policy: wrr")
    path = lab.write(text)
    lab.lbgen("apply", path)
    settle(lab)
    traffic = lab.connect("h5", VIP, 80, 3000)
    assert_shares(traffic, {"s1": 70, "s2": 30}, 3000)


def test_sets(lab):
    """60 and 40 % to the slot, and so they stay when a server drains."""
    apply(lab, "sets")
    sets = {s["name"]: s["slots"] for s in status(lab)["sets"]}
    assert sets == {"first": 154, "second": 102}
    traffic = lab.connect("h6", VIP, 80, 3000)
    assert_shares(traffic, [20] * 5, 3000)
    lab.lbgen("drain", "-b", "br0", "lab/s1")
    settle(lab)
    assert sets == {s["name"]: s["slots"] for s in status(lab)["sets"]}
    traffic = lab.connect("h7", VIP, 80, 3000)
    assert_shares(traffic, [0, 30, 30, 20, 20], 3000)


# Hidden from each other.

def addresses(capture, **options):
    """All MAC and IPv4 addresses, in headers and within ARP."""
    text = "\n".join(capture.lines(**options))
    return (set(re.findall(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", text))
            | set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)))


@pytest.mark.parametrize("name", ["hidden", "hidden-turns"])
def test_hidden(lab, name):
    """On the wire of no client is there an address of a server, and on that
    of no server a MAC of a client; both ask by ARP, as they know nobody."""
    vip_mac = "02:00:00:00:be:ef"
    apply(lab, name)
    hosts = [lab.hosts[host] for host in try_lab.HOSTS]
    captures = {host.name: lab.capture(host.name) for host in hosts}
    for client in CLIENTS:
        traffic = lab.connect(client, VIP, 80, 30)
        assert not traffic.failures and len(traffic) == 3
    for capture in captures.values():
        capture.stop()
    everybody = "ff:ff:ff:ff:ff:ff"
    ips = {lab.hosts[client].ip for client in CLIENTS}
    for host in hosts:
        capture = captures[host.name]
        seen = addresses(capture) - {everybody}
        if host.name in CLIENTS:
            assert seen == {host.mac, host.ip, VIP, vip_mac}
        else:
            assert seen == {host.mac, host.ip, vip_mac} | ips
        asked = [line for line in capture.lines(outgoing=True)
                 if "Request who-has" in line]
        answered = [line for line in capture.lines(outgoing=False)
                    if f"is-at {vip_mac}" in line]
        assert len({*asked}) == len({*answered}) == (
            1 if host.name in CLIENTS else 4)


def test_random_shares(lab):
    apply(lab, "hidden")
    traffic = lab.connect("h4", VIP, 80, 3000)
    assert_shares(traffic, [1, 1, 1], 3000)


@pytest.mark.parametrize("name", ["round-robin", "affinity", "weights",
                                  "hidden", "hidden-turns", "adaptive"])
def test_explain_foretells(lab, name):
    """Each connection of the sequence, before it is made."""
    apply(lab, name)
    for host in ["h4", "h5", "h4", "h6", "h7", "h7", "h4", "h5"]:
        port = lab.hosts[host].next_source_port
        client = f"{lab.hosts[host].ip}:{port}"
        e = json.loads(lab.lbgen("explain", "lab", client, "-b", "br0",
                                 "--json").stdout)
        assert (e["answer"], e["server"]) == ("server", one(lab, host))


# Adaptive weights.

def refresh(lab, path):
    """{server: what is said of it}."""
    result = json.loads(lab.lbgen("refresh", path, "--json").stdout)
    return {s["name"]: s for s in result["pools"][0]["servers"]}


@pytest.fixture
def agents(lab):
    agents = {f"s{i}": HttpServer(lab, f"h{i}", 9000, f"agent {i}")
              for i in range(1, 4)}
    yield agents
    for agent in agents.values():
        agent.stop()


def say(agents, *stresses):
    for agent, stress in zip(agents.values(), stresses):
        agent.say(cpu=100 * stress, memory=100 * stress, stress=stress)


def weights_after(lab, path, *wanted):
    """Refreshes: the policy must want these weights.  Slots and connections
    then follow them."""
    servers = refresh(lab, path)
    assert [round(s["wanted"], 2) for s in servers.values()] == list(wanted)
    assert not any(s["missing"] for s in servers.values())
    slots = {s["name"]: s["slots"] for s in status(lab)["servers"]}
    for (name, n), weight in zip(slots.items(), wanted):
        assert n == pytest.approx(256 * weight / sum(wanted), abs=1), name
    settle(lab)
    traffic = lab.connect("h4", VIP, 80, 1400)
    assert not traffic.failures
    assert_shares(traffic, list(wanted), 1400)
    return servers


def test_adaptive(lab, agents):
    """The worked figures: stress .25 and .75, and 1 for one that is not
    there, first of all servers and then of some."""
    path = apply(lab, "adaptive")
    say(agents, 0, 0, 0)
    weights_after(lab, path, 3, 2, 2)
    say(agents, .25, .25, .25)
    weights_after(lab, path, 2.4, 1.6, 1.6)
    say(agents, .75, .75, .75)
    weights_after(lab, path, 1.71, 1.14, 1.14)
    say(agents, .75, .25, .25)
    weights_after(lab, path, 1.71, 1.6, 1.6)
    agents["s2"].stop()
    servers = weights_after(lab, path, 1.71, 1.0, 1.6)
    assert servers["s2"]["sample"]["stress"] == 1
    assert "Failed to connect" in servers["s2"]["complaint"]
    agents["s1"].stop()
    agents["s3"].stop()
    weights_after(lab, path, 1.5, 1.0, 1.0)


def test_adaptive_floor(lab, agents):
    """No less than 0.1, however busy."""
    path = apply(lab, "adaptive")
    with open(path) as file:
        text = file.read().replace("weight: 3", "weight: 30").replace(
            "floor: 0.1", "floor: 1.5")
    path = lab.write(text)
    lab.lbgen("apply", path)
    say(agents, 1, 1, 1)
    assert [s["wanted"] for s in refresh(lab, path).values()] == [15, 1.5,
                                                                  1.5]


# For people: ./dev lab.

def lines(text):
    """What it prints of who got whom, and the connections that it shows."""
    got = re.findall(r"^(h\d) -> (s\d)$", text, re.M)
    shown = re.findall(r"^10\.0\.0\.(\d):\d+ +10\.0\.0\.100:\d+/tcp +(s\d) ",
                       text, re.M)
    return got, [(f"h{number}", server) for number, server in shown]


@pytest.mark.parametrize("args, expected", [
    ([], "h4 s1 h5 s2 h6 s3 h7 s1"),
    ([example("affinity"), "h4", "h5", "h4", "h6", "h7"],
     "h4 s1 h5 s2 h4 s1 h6 s3 h7 s1"),
    ([example("weights")], "h3 s1 h4 s2 h5 s1 h6 s1 h7 s1"),
    ([example("hidden-turns"), "h7", "h6"], "h7 s1 h6 s2"),
])
def test_try(capsys, args, expected):
    assert try_lab.main(args) == 0
    out = capsys.readouterr().out
    got, shown = lines(out)
    assert " ".join(word for pair in got for word in pair) == expected
    assert sorted(shown) == sorted(got)


def test_try_in_a_shell(monkeypatch, capfd, tmp_path):
    """Each host is a command; agents can be told what to say."""
    commands = tmp_path / "commands"
    commands.write_text("""\
h6 ip -br -4 address show eth0
echo '{"stress": 0.25}' >metrics-h3.json
lbgen refresh -v lab.yaml
lbgen delete lab.yaml
ovs-ofctl dump-flows br0 | grep -c NORMAL
""")
    with open(commands) as stdin:
        saved = os.dup(0)
        os.dup2(stdin.fileno(), 0)
        try:
            assert try_lab.main(["--shell", example("adaptive")]) == 0
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    out = capfd.readouterr().out
    assert "10.0.0.6/16" in out
    assert re.search(r"^ +s3 .* 1\.6 .*stress=0\.25", out, re.M)
    assert out.endswith("\n1\n")


def write(path, text):
    path.write_text(text)
    return str(path)


def test_try_what_is_not_for_it(tmp_path, capsys):
    with open(example("affinity")) as file:
        text = file.read()
    for change, complaint in [
            (("10.0.0.3", "10.0.0.8"), 'server "s3" is on none of the hosts'),
            (("interface: 3", "interface: 9"), "exit status 1, not 0"),
            (("vip: 10.0.0.100", "vip: fd00::100"), "not for HTTP by IPv4"),
            (("pools:", "servers:"), "KeyError('pools')")]:
        path = write(tmp_path / "file.yaml", text.replace(*change))
        assert try_lab.main([path]) == 1
        assert complaint in capsys.readouterr().out
    assert try_lab.main([str(tmp_path / "none.yaml")]) == 1
    with pytest.raises(SystemExit):
        try_lab.main([example("affinity"), "h8"])
    assert "no h8" in capsys.readouterr().err
