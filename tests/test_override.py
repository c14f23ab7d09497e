# SPDX-License-Identifier: Apache-2.0
"""Overrides: drain, maint, ready and weight at run time."""

import json
import subprocess
import time

import pytest

from lab import assert_shares

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"


@pytest.fixture
def web(lab):
    """A lab with a pool of 3:2:2 and servers that answer."""
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.web = lab.pool_yaml([3, 2, 2], server_port=8080)
    lab.lbgen("apply", lab.web)
    return lab


def override(lab, *args, check=0):
    return lab.lbgen(*args, "-b", "br0", check=check)


def status(lab):
    pools = json.loads(override(lab, "status", "--json").stdout)["pools"]
    return {server["name"]: server
            for server in pools[0]["servers"]}


def slots(lab):
    return {name: server["slots"] for name, server in status(lab).items()}


def test_drain_keeps_connections(web):
    with_all = slots(web)
    held = web.hold("c1", VIP, 80, 300)
    before = held.ping()
    assert before.alive == 300

    override(web, "drain", "web/s1")
    assert slots(web) == {"s1": 0, "s2": 128, "s3": 128}
    traffic = web.connect("c2", VIP, 80, 1000)
    assert traffic.failures == 0
    assert_shares(traffic, {"s1": 0, "s2": 1, "s3": 1}, 1000)
    after = held.ping()
    assert after.alive == 300
    assert after.servers == before.servers

    override(web, "ready", "web/s1")
    assert slots(web) == with_all
    assert held.ping().servers == before.servers


def test_maint_stops_packets(web):
    held = web.hold("c1", VIP, 80, 300)
    servers = held.ping().servers
    override(web, "maint", "web/s1")
    ping = held.ping()
    assert ping.alive == 300 - servers["s1"]
    assert ping.servers["s1"] == 0
    traffic = web.connect("c2", VIP, 80, 500)
    assert traffic.failures == 0
    assert traffic["s1"] == 0


@pytest.mark.parametrize("weight, shares", [
    ("50%", [3, 1, 2]), ("4", [3, 4, 2]), ("0", [3, 0, 2]),
    ("1%", [3, 1, 2]), ("200%", [3, 4, 2]), ("100%", [3, 2, 2])])
def test_weight(web, weight, shares):
    override(web, "weight", "web/s2", weight)
    traffic = web.connect("c1", VIP, 80, 3000)
    assert traffic.failures == 0
    assert_shares(traffic, shares, 3000)


def test_survives_apply_and_is_shown(web):
    override(web, "drain", "web/s1")
    override(web, "weight", "web/s2", "50%")
    flows, groups = web.flows(), web.groups()

    apply = web.lbgen("apply", web.web)
    assert apply.stdout == "br0: in sync, nothing sent\n"
    assert (web.flows(), web.groups()) == (flows, groups)
    notes = apply.stderr.splitlines()
    assert len(notes) == 2
    assert notes[0].startswith(f"{web.web}:")
    assert "note: pool \"web\": server \"s1\": the file says ready and " \
        "weight 3, an operator's override stays in force: drain since " \
        in notes[0]
    assert "weight 50% since " in notes[1]
    assert web.lbgen("diff", web.web).stdout == ""

    servers = status(web)
    assert servers["s1"]["override"]["state"] == "drain"
    assert servers["s1"]["effective_state"] == "drain"
    assert servers["s2"]["override"]["percent"] == 50
    assert servers["s2"]["effective_weight"] == 1
    assert servers["s3"]["override"] is None
    text = override(web, "status").stdout
    assert "  s1 is overridden: drain since " in text
    assert "; the file says ready, weight 3\n" in text

    # A change of the file goes on beside them.
    heavier = web.pool_yaml([3, 2, 4], server_port=8080)
    web.lbgen("apply", heavier)
    assert slots(web) == {"s1": 0, "s2": 51, "s3": 205}


def test_age_counts_from_the_first(web):
    override(web, "drain", "web/s1")
    since = status(web)["s1"]["override"]["state_since"]
    web.lbgen("apply", web.pool_yaml([3, 2, 4], server_port=8080))
    override(web, "drain", "web/s1")
    assert status(web)["s1"]["override"]["state_since"] == since


def test_drift_is_no_override(web):
    override(web, "drain", "web/s1")
    web.lbgen("diff", web.web)
    web.ofctl("del-flows", "br0", "table=202")
    diff = web.lbgen("diff", web.web, check=2)
    assert "@@ add flow @@" in diff.stdout
    assert "override" not in diff.stdout


def test_reset(web):
    groups = web.groups()
    override(web, "maint", "web/s1")
    override(web, "weight", "web/s2", "7")
    diff = web.lbgen("diff", "--reset", web.web, check=2)
    assert "override maint -> none" in diff.stdout
    assert "override weight 7 -> none" in diff.stdout
    web.lbgen("apply", "--reset", web.web)
    assert web.lbgen("apply", web.web).stderr == ""
    assert status(web)["s1"]["override"] is None
    # Three servers again, with quotas as before.
    assert slots(web) == {"s1": 110, "s2": 73, "s3": 73}
    assert len(web.groups()) == len(groups)


def test_ready_against_the_file(web):
    """A server that the file drains can be made ready, and the file does not
    win silently."""
    pool = web.pool([3, 2, 2], server_port=8080)
    pool["servers"][1]["state"] = "drain"
    path = web.file(pool)
    web.lbgen("apply", path)
    assert slots(web)["s2"] == 0
    override(web, "ready", "web/s2")
    assert slots(web)["s2"] == 73
    apply = web.lbgen("apply", path)
    assert "the file says drain and weight 2, an operator's override stays " \
        "in force: ready since " in apply.stderr
    assert slots(web)["s2"] == 73
    web.lbgen("apply", "--reset", path)
    assert slots(web)["s2"] == 0


def test_gone_with_the_server(web):
    override(web, "drain", "web/s3")
    web.lbgen("apply", web.pool_yaml([3, 2], server_port=8080))
    web.lbgen("apply", web.web)
    assert status(web)["s3"]["override"] is None
    assert slots(web)["s3"] > 0


def test_dry_run(web):
    flows, groups = web.flows(), web.groups()
    run = override(web, "drain", "web/s1", "--dry-run", check=2)
    assert "110 of 256 slots move" in run.stdout
    assert (web.flows(), web.groups()) == (flows, groups)


@pytest.mark.parametrize("args, code, message", [
    (["drain", "web/s9"], 1, 'pool "web" has no server "s9"'),
    (["drain", "shop/s1"], 1, 'bridge "br0" has no pool "shop"'),
    (["maint", "web"], 64, '"web" is not POOL/SERVER'),
    (["ready", "/s1"], 64, '"/s1" is not POOL/SERVER'),
    (["ready", "web/"], 64, '"web/" is not POOL/SERVER'),
    (["weight", "web/s1", "65536"], 64,
     'weight "65536" must be at most 65535'),
    (["weight", "web/s1", "1001%"], 64,
     'weight "1001%" must be at most 1000%'),
    (["weight", "web/s1", "-1"], 64, None),
    (["weight", "web/s1", "010"], 64,
     'weight "010" must be a number from 0 to 65535, or a percentage of the '
     'weight in the file, as in 50%'),
    (["weight", "web/s1", "5x"], 64,
     'weight "5x" must be a number from 0 to 65535, or a percentage of the '
     'weight in the file, as in 50%'),
])
def test_mistakes(web, args, code, message):
    flows, groups = web.flows(), web.groups()
    run = override(web, *args, check=code)
    if message:
        assert run.stderr.splitlines()[0] == f"lbgen: {message}"
    assert (web.flows(), web.groups()) == (flows, groups)


# drain --wait

def test_wait_ends_with_the_last_connection(web):
    held = web.hold("c1", VIP, 80, 30)
    assert held.ping().servers["s1"] > 0
    waiting = web.popen(web.netns, web.lbgen_path(), "drain", "web/s1", "--wait",
                        "--timeout", "1m", "-b", "br0",
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        text=True)
    time.sleep(1.5)
    assert waiting.poll() is None
    # Nobody has to wait for it.
    override(web, "weight", "web/s2", "5")
    begin = time.monotonic()
    held.close()
    out, err = waiting.communicate(timeout=50)
    assert waiting.returncode == 0, err
    assert err == ""
    assert time.monotonic() - begin < 40


def test_wait_has_an_end(web):
    held = web.hold("c1", VIP, 80, 30)
    n = held.ping().servers["s1"]
    begin = time.monotonic()
    run = override(web, "drain", "web/s1", "--wait", "--timeout=2s", check=1)
    assert 1.5 < time.monotonic() - begin < 5
    assert run.stderr == (f"lbgen: web/s1 still has {n} connections after 2 "
                          "seconds\n")
    assert status(web)["s1"]["effective_state"] == "drain"


def test_wait_without_connections(web):
    assert override(web, "drain", "web/s1", "--wait").stderr == ""


def test_wait_stateless(lab):
    lab.lbgen("apply", lab.pool_yaml(connections="stateless", guard=False))
    run = override(lab, "drain", "web/s1", "--wait", check=1)
    assert "nobody knows its connections: the pool is stateless" in run.stderr
