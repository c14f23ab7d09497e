# SPDX-License-Identifier: Apache-2.0
"""Commands about one pool read that pool alone, and do what they would do if
they had read all of the bridge."""

import json
import re

import pytest

from bench.relay import Relay
from slot_model import hash_string

pytestmark = pytest.mark.switch

N_OTHERS = 60


@pytest.fixture(scope="module")
def lab(make_module_lab):
    return make_module_lab(servers=3, clients=1)


@pytest.fixture(autouse=True)
def empty(lab):
    yield
    lab.ofctl("del-flows", "br0")
    lab.ofctl("del-groups", "br0")


def others(lab, n=N_OTHERS, **keys):
    return [lab.pool([1 + i % 3, 1, 2], name=f"p{i}",
                     vip=f"10.0.{10 + i // 200}.{i % 200 + 1}",
                     server_port=1000 + i, slots=16, **keys)
            for i in range(n)]


def run(lab, *args, check=0):
    """Runs lbgen.  Returns the result and what passed between it and the
    switch."""
    with Relay(lab) as relay:
        result = lab.lbgen(*args, "-b", relay.bridge, check=check)
    return result, relay


def size_of_all(lab):
    """How many bytes it takes to read all of the bridge."""
    return run(lab, "status")[1].received_bytes


def assert_part(lab, relay):
    assert 0 < relay.received_bytes < size_of_all(lab) / 8


def installed(lab):
    return sorted(lab.flows()), sorted(
        group for group in lab.groups() if "group_id=1818361856" not in group)


POOLS = {
    "tracked": {},
    "stateless": {"connections": "stateless", "guard": True},
    "direct": {"connections": "direct"},
    "sticky": {"policy": "sticky"},
    "affinity": {"affinity": {"by": "client"}},
    "round-robin": {"policy": "round-robin"},
    "failover": {"policy": "failover"},
    "snat": {"snat": True},
}


@pytest.mark.parametrize("kind", POOLS)
def test_same_as_all(lab, kind):
    """After each command the bridge is what the whole file, with the override,
    would make it: apply finds nothing to do."""
    port = None if kind == "direct" else 8080
    path = lab.file(lab.pool([3, 2, 2], server_port=port, **POOLS[kind]),
                    *others(lab, 5))
    lab.lbgen("apply", path)
    for command in (["weight", "web/s1", "7"], ["weight", "web/s1", "50%"],
                    ["drain", "web/s2"], ["ready", "web/s2"],
                    ["maint", "web/s3"], ["weight", "web/s3", "9"],
                    ["ready", "web/s3"], ["ready", "web/s1"]):
        lab.lbgen(*command, "-b", "br0")
        before = installed(lab)
        result = lab.lbgen("apply", path)
        assert installed(lab) == before, command
        assert "slots moved" not in result.stdout
        for name in "web", "p1":
            status = lab.lbgen("status", name, "-b", "br0").stdout
            assert status.startswith("bridge br0: 6 pools,")
            assert "not as lbgen left" not in status
    assert json.loads(lab.lbgen("status", "-b", "br0", "--json")
                      .stdout)["drift"] == 0


@pytest.mark.parametrize("command", [
    ["weight", "web/s1", "5"], ["drain", "web/s2"], ["maint", "web/s2"],
    ["status", "web"], ["explain", "web", "10.0.1.1:2000"]])
def test_little_is_read(lab, command):
    """What passes is a small part of the bridge, and shows the same."""
    lab.lbgen("apply", lab.file(lab.pool([1, 1, 1], server_port=8080),
                                *others(lab)))
    result, relay = run(lab, *command)
    assert_part(lab, relay)
    if relay.sent["bundle add"]:
        assert relay.sent["bundle add"] <= 2 + 1 + 10
        assert re.search(r"pool web: \d+ of 256 slots moved", result.stdout)


def test_a_weight_takes_two_messages(lab):
    lab.lbgen("apply", lab.file(lab.pool([1, 1, 1], server_port=8080),
                                *others(lab)))
    _, relay = run(lab, "weight", "web/s1", "5")
    assert relay.sent["bundle add"] == 2 + 2


def test_preview_is_the_same(lab):
    lab.lbgen("apply", lab.file(lab.pool([1, 1, 1], server_port=8080),
                                *others(lab)))
    preview, relay = run(lab, "drain", "web/s1", "--dry-run", check=2)
    assert_part(lab, relay)
    lines = preview.stdout.split("\n")
    assert "@@ modify group @@" in lines and "@@ modify flow @@" in lines
    lab.lbgen("drain", "web/s1", "-b", "br0")
    # The group and the record.
    assert sum(line.startswith("@@") for line in lines) == 2


# Where a part is not enough

def test_drift_of_the_pool_is_seen_and_mended(lab):
    """Then all is read, and all is mended."""
    path = lab.file(lab.pool([1, 1, 1], server_port=8080), *others(lab, 10))
    lab.lbgen("apply", path)
    for damage in (["del-flows", "br0", "arp,arp_tpa=10.0.0.100"],
                   ["del-groups", "br0",
                    "group_id=" + str(0x6c62 << 16 | 1 + hash_string("web")
                                      % 65535)]):
        lab.ofctl("--no-names", *damage)
        status = json.loads(lab.lbgen("status", "web", "-b", "br0", "--json")
                            .stdout)
        assert status["drift"] > 0, damage
        lab.lbgen("apply", path)
        assert not lab.lbgen("diff", path).stdout
    lab.ofctl("del-flows", "br0", f"cookie={0x6c62670400000000}/"
              f"{0xffffffff00000000},table=200")
    lab.lbgen("weight", "web/s1", "4", "-b", "br0")
    assert not lab.lbgen("diff", path).stdout


def test_drift_of_others_is_left_to_apply(lab):
    path = lab.file(lab.pool([1, 1, 1], server_port=8080), *others(lab, 10))
    lab.lbgen("apply", path)
    lab.ofctl("del-flows", "br0", "arp,arp_tpa=10.0.10.1")
    lab.lbgen("weight", "web/s1", "4", "-b", "br0")
    assert "arp_tpa=10.0.10.1" in lab.lbgen("diff", path, check=2).stdout
    assert json.loads(lab.lbgen("status", "-b", "br0", "--json")
                      .stdout)["drift"] == 1
    lab.lbgen("apply", path)
    assert not lab.lbgen("diff", path).stdout


def find_twins():
    """Two names that want the same id."""
    seen = {}
    for i in range(5000):
        name = f"n{i}"
        other = seen.setdefault(hash_string(name) % 65535, name)
        if other != name:
            return other, name
    raise AssertionError


def test_names_that_want_the_same_id(lab):
    names = find_twins()
    path = lab.file(*(lab.pool([1, 1, 1], name=name, vip=f"10.0.9.{i + 1}",
                               server_port=100 + i)
                      for i, name in enumerate(names)), *others(lab, 5))
    lab.lbgen("apply", path)
    for name in names:
        lab.lbgen("weight", f"{name}/s1", "5", "-b", "br0")
        pool, = json.loads(lab.lbgen("status", name, "-b", "br0", "--json")
                           .stdout)["pools"]
        assert pool["name"] == name
        assert pool["servers"][0]["effective_weight"] == 5
    assert not lab.lbgen("diff", path).stdout


def test_what_another_pool_needs_stays(lab):
    """Two pools share servers, port and all: a server that is in maint in one
    goes on in the other."""
    path = lab.file(*(lab.pool([1, 1, 1], name=name, vip=vip,
                               server_port=8080)
                      for name, vip in (("web", "10.0.0.100"),
                                        ("api", "10.0.0.101"))))
    lab.lbgen("apply", path)
    lab.lbgen("maint", "web/s1", "-b", "br0")
    assert not lab.lbgen("diff", path).stdout
    lab.lbgen("maint", "api/s1", "-b", "br0")
    assert not lab.lbgen("diff", path).stdout
    lab.lbgen("ready", "web/s1", "-b", "br0")
    assert not lab.lbgen("diff", path).stdout


def test_a_port_that_others_are_behind(lab):
    """Whether the switch watches a port depends on who else is there."""
    pool = lab.pool([1, 1, 1], server_port=8080)
    other = lab.pool([1, 1, 1], name="other", vip="10.0.0.101",
                     server_port=8081)
    for i, server in enumerate(other["servers"]):
        server.update(ip=f"10.0.0.{50 + i}", mac=f"02:00:00:00:01:{i:02x}",
                      interface=lab.hosts["s1"].port)
    path = lab.file(pool, other)
    lab.lbgen("apply", path)
    lab.lbgen("weight", "web/s1", "5", "-b", "br0")
    lab.lbgen("drain", "other/s2", "-b", "br0")
    assert not lab.lbgen("diff", path).stdout
    # While a server takes nothing, no bucket says that its port is not
    # watched.
    for command in ("drain", "ready"), ("maint", "ready"):
        for word in command:
            lab.lbgen(word, "web/s1", "-b", "br0")
            assert not lab.lbgen("diff", path).stdout
    for weight in "0", "3":
        lab.lbgen("weight", "web/s1", weight, "-b", "br0")
        assert not lab.lbgen("diff", path).stdout


def test_unknown_names(lab):
    lab.lbgen("apply", lab.file(lab.pool([1, 1, 1]), *others(lab, 3)))
    for args, what in ((["status", "wob"], 'has no pool "wob"'),
                       (["weight", "wob/s1", "3"], 'has no pool "wob"'),
                       (["weight", "web/s9", "3"], 'has no server "s9"')):
        result = lab.lbgen(*args, "-b", "br0", check=1)
        assert len(result.stderr.splitlines()) == 1 and what in result.stderr
