# SPDX-License-Identifier: Apache-2.0
"""Health without a switch: from results of checks to states, with simulated
time; what is kept of them; what a file may say."""

import json
import os
import subprocess

import pytest

LBTEST = os.environ.get("LBTEST", os.path.join(os.path.dirname(__file__),
                                               "lbtest"))
LBGEN = os.environ.get("LBGEN", os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "lbgen", "lbgen"))


def lbtest(*args):
    result = subprocess.run([LBTEST, *map(str, args)], text=True,
                            capture_output=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def track(state, results, interval=100, rise=2, fall=3):
    """Changes as (time in ms, state, flaps)."""
    lines = [line.split() for line in
             lbtest("health-track", state, interval, rise, fall,
                    *results.split())]
    return [(int(time), state, int(flaps)) for time, state, flaps in lines]


@pytest.mark.parametrize("state, results, changes", [
    # Three failures in a row, not three in all.
    ("up", "--+--+--+", []),
    ("up", "+---", [(300, "down", 0)]),
    ("unknown", "---", [(200, "down", 0)]),
    # Installed state is taken over: nothing to say but that it is known now.
    ("unknown", "+", [(0, "up", 0)]),
    ("up", "++++", []),
    # Two successes in a row.
    ("down", "+-+-+-", []),
    ("down", "-++", [(200, "up", 0)]),
    # New: one success; failures are noted once.
    ("starting", "+", [(0, "up", 0)]),
    ("starting", "-----+", [(0, "starting", 0), (500, "up", 0)]),
])
def test_states(state, results, changes):
    assert track(state, results) == changes


@pytest.mark.parametrize("state, results, changes", [
    # The first failure is found at the interval, the others follow soon.
    ("up", "++---", [(220, "down", 0)]),
    # One success, and all is as before.
    ("up", "+--++---", [(340, "down", 0)]),
    ("down", "--++", [(210, "up", 0)]),
    # A new server has no state to lose.
    ("starting", "---+", [(0, "starting", 0), (300, "up", 0)]),
])
def test_fast_interval(state, results, changes):
    assert track(state, results, interval="100/10") == changes


def test_slow_fast_interval():
    assert track("up", "---", interval="100/500") == [(200, "down", 0)]


def test_rise_and_fall_of_one():
    assert track("up", "-+-+", rise=1, fall=1)[:2] == [
        (0, "down", 0), (100, "up", 0)]


def downs(results):
    return [flaps for _, state, flaps in track("up", results)
            if state == "down"]


def test_flapping_is_damped():
    """Each time that it goes down soon after it came up, it has to prove
    itself for longer the next time."""
    assert downs("---" + ("+" * 64 + "---") * 8) == [0] * 9
    assert downs("---" + ("+" * 16 + "---") * 3 + ("+" * 80 + "---") * 4) \
        == [0, 1, 2, 3, 4, 5, 5, 5]


def test_needed_successes_double_and_end():
    needed = []
    results = "---"
    for _ in range(9):
        for n in range(1, 200):
            changes = track("up", results + "+" * n)
            if changes[-1][1] == "up":
                break
        needed.append(n)
        results += "+" * n + "---"
    assert needed == [2, 4, 8, 16, 32, 64, 64, 64, 64]


def test_calm_forgets():
    flapped = "---++---++++"        # Down, up, down again soon, up.
    assert track("up", flapped)[-2:] == [(700, "down", 1), (1100, "up", 1)]
    # Ten times the 400 ms that it had to prove itself.
    assert track("up", f"{flapped} w3700 ---")[-1][1:] == ("down", 2)
    assert track("up", f"{flapped} w4100 ---")[-1][1:] == ("down", 0)


@pytest.mark.parametrize("interval, began, now, expected", [
    (1000, 5000, 5003, 6000),
    (1000, 5000, 6000, 6000),
    # Took longer than the interval: at once, and only once.
    (1000, 5000, 6500, 6500),
    # The process stood still for an hour: no burst.
    (100, 5000, 3605000, 3605000),
])
def test_next_check(interval, began, now, expected):
    assert lbtest("check-times", interval, began, now) == [str(expected)]


def test_first_checks_are_spread():
    times = sorted(map(int, lbtest("check-times", 60000, 0, 0,
                                   *range(1000))[1:]))
    assert times[0] >= 0 and times[-1] < 1000
    # Each tenth of a second has its part.
    parts = [sum(i * 100 <= t < i * 100 + 100 for t in times)
             for i in range(10)]
    assert min(parts) >= 80, parts
    assert max(map(int, lbtest("check-times", 100, 0, 0,
                               *range(1000))[1:])) < 100


# What is kept, and what it does.

def model_file(tmp_path, n=4, **pool):
    path = tmp_path / "model.yaml"
    path.write_text(json.dumps({"bridge": "br0", "pools": [{
        "name": "web", "vip": "10.0.0.100", "port": 80, "check": "tcp",
        "servers": [{"name": f"s{i}", "ip": f"10.0.0.{i}", "weight": i}
                    for i in range(1, n + 1)], **pool}]}))
    return path


@pytest.mark.parametrize("pool, states, weights", [
    ({}, "", "1 2 3 4"),
    ({}, "s1=up s2=down", "1 0 3 4"),
    ({}, "s1=starting s2=up", "0 2 3 4"),
    ({}, "s1=down s2=down s3=down s4=down", "0 0 0 0"),
    # More than half is down: all are in.  Half is not.
    ({"panic": 50}, "s1=down s2=down", "0 0 3 4"),
    ({"panic": 50}, "s1=down s2=down s3=down", "1 2 3 4"),
    # A new one proves itself first, whatever the others do.
    ({"panic": 50}, "s1=down s2=down s3=down s4=starting", "1 2 3 0"),
    ({"panic": 100}, "s1=down s2=down s3=down s4=down", "0 0 0 0"),
    # Without a check there is no health.
    ({"check": "none"}, "s1=down", "1 2 3 4"),
])
def test_weights(tmp_path, pool, states, weights):
    got = lbtest("health-settle", model_file(tmp_path, **pool),
                 *states.split())
    assert got[0] == weights


def test_panic_counts_those_who_take_part(tmp_path):
    """Not those that are drained or in maint."""
    path = model_file(tmp_path, panic=50)
    model = json.loads(path.read_text())
    model["pools"][0]["servers"][2]["state"] = "maint"
    model["pools"][0]["servers"][3]["weight"] = 0
    path.write_text(json.dumps(model))
    assert lbtest("health-settle", path, "s1=down")[0] == "0 2 0 0"
    assert lbtest("health-settle", path, "s1=down", "s2=down")[0] == "1 2 0 0"
    assert lbtest("health-settle", path, "s3=down", "s4=down")[0] == "1 2 0 0"


@pytest.mark.parametrize("pool, states, weights", [
    # Backups stand in for the dead before anybody panics.
    ({"backups": 1}, "s1=down s2=down s3=down s4=up", "0 0 0 4"),
    ({"backups": 1}, "s1=down s2=down s3=up s4=up", "0 0 3 4"),
    ({"backups": 2}, "s1=down s2=down s3=up s4=down", "0 0 3 0"),
    # But if so many of those are dead as well, something else must be wrong.
    ({"backups": 1}, "s1=down s2=down s3=up s4=down", "1 2 3 4"),
    ({"backups": 1}, "s1=down s2=down s3=down s4=down", "1 2 3 4"),
    ({"backups": 2}, "s1=down s2=down s3=down s4=up", "0 0 0 4"),
    ({"backups": 2}, "s1=down s2=down s3=down s4=down", "1 2 3 4"),
    ({"policy": "failover"}, "s1=down s2=down s3=down s4=up", "0 0 0 4"),
    ({"policy": "failover"}, "s1=down s2=down s3=down s4=down", "1 2 3 4"),
])
def test_panic_of_those_who_stand_in(tmp_path, pool, states, weights):
    pool = dict(pool, panic=50)
    n = pool.pop("backups", 0)
    path = model_file(tmp_path, **pool)
    model = json.loads(path.read_text())
    for server in model["pools"][0]["servers"][4 - n:]:
        server["backup"] = True
    path.write_text(json.dumps(model))
    assert lbtest("health-settle", path, *states.split())[0] == weights


def test_written(tmp_path):
    written = lbtest("health-settle", model_file(tmp_path), "s1=up",
                     "s2=down")[1]
    assert json.loads(written) == {
        "s1": {"state": "up", "since": 1700000000},
        "s2": {"state": "down", "since": 1700000000,
               "error": 'no "answer"?'}}


CHECKS = [
    "tcp", "icmp", "arp", "none",
    {"type": "tcp", "interval": "500ms", "timeout": "50ms", "rise": 1,
     "fall": 5, "port": 8080, "address": "10.0.9.9"},
    {"type": "http", "path": "/health?x=\"1\"", "method": "HEAD",
     "host": "www.example.com", "status": "200-399", "body": "OK\n"},
    {"type": "https", "verify": False},
    {"type": "https", "host": "a.b", "ca": "/etc/ca.pem", "status": 204},
    {"type": "exec", "command": ["/bin/check", "-v", "a b"]},
    {"type": "exec", "command": "/bin/check", "interval": "1m"},
    {"type": "arp", "from": "host"},
    {"type": "tcp", "interval": "2000ms", "fast_interval": "100ms"},
]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_check_round_trip(tmp_path, check):
    """What is written to a record reads back as the same."""
    path = model_file(tmp_path, check=check)
    line = lbtest("model-write", path)[1]
    again = subprocess.run([LBTEST, "pool-rewrite"], input=line + "\n",
                           text=True, capture_output=True)
    assert (again.stderr, again.stdout) == ("", line + "\n")
    written = json.loads(line)["check"]
    for key, value in (check.items() if isinstance(check, dict)
                       else [("type", check)]):
        if key == "command" and isinstance(value, str):
            value = [value]
        if key == "status" and "-" not in str(value):
            value = f"{value}-{value}"
        if key == "interval" and value == "1m":
            value = "60000ms"
        assert written[key] == value


def test_server_check_is_on_top(tmp_path):
    path = model_file(tmp_path, check={"type": "http", "path": "/a",
                                       "interval": "1s", "fall": 7})
    model = json.loads(path.read_text())
    servers = model["pools"][0]["servers"]
    servers[0]["check"] = {"path": "/b"}
    servers[1]["check"] = {"type": "tcp", "interval": "3s"}
    servers[2]["check"] = "none"
    path.write_text(json.dumps(model))
    servers = json.loads(lbtest("model-write", path)[1])["servers"]
    first = servers[0]["check"]
    assert (first["type"], first["path"], first["fall"],
            first["interval"]) == ("http", "/b", 7, "1000ms")
    # Another type begins anew: what was said of the other one is not for it.
    second = servers[1]["check"]
    assert (second["type"], second["interval"]) == ("tcp", "3000ms")
    assert "path" not in second and second["fall"] == 3
    assert servers[2]["check"] == {"type": "none"}
    assert "check" not in servers[3]


def server_check(tmp_path, pool, server):
    """What a record says of the check of a server, which must be what it
    reads back as."""
    path = model_file(tmp_path, check=pool)
    model = json.loads(path.read_text())
    model["pools"][0]["servers"][0]["check"] = server
    path.write_text(json.dumps(model))
    line = lbtest("model-write", path)[1]
    again = subprocess.run([LBTEST, "pool-rewrite"], input=line + "\n",
                           text=True, capture_output=True)
    assert (again.stderr, again.stdout) == ("", line + "\n")
    return json.loads(line)["servers"][0]["check"]


def test_type_alone_is_short_for_a_mapping(tmp_path):
    """Also where the pool has a check of the same type."""
    pool = {"type": "tcp", "interval": "500ms", "fall": 7, "port": 8081}
    short = server_check(tmp_path, pool, "tcp")
    assert short == server_check(tmp_path, pool, {"type": "tcp"})
    assert (short["interval"], short["fall"], short["port"]) == \
        ("500ms", 7, 8081)
    other = server_check(tmp_path, pool, "icmp")
    assert other == server_check(tmp_path, pool, {"type": "icmp"})
    assert (other["interval"], other["fall"]) == ("2000ms", 3)
    assert server_check(tmp_path, pool, "none") == {"type": "none"}


@pytest.mark.parametrize("pool, server, timeout, fast", [
    # Defaults are those of the server's own interval.
    ({}, {"interval": "100ms"}, "100ms", None),
    ({"interval": "500ms"}, {"interval": "5s"}, "1000ms", None),
    ({"timeout": "300ms"}, {"interval": "100ms"}, "300ms", None),
    ({"interval": "500ms", "timeout": "200ms"}, {"interval": "5s"}, "200ms",
     None),
    # What would be longer than the interval has no effect.
    ({"fast_interval": "1s"}, {"interval": "100ms"}, "100ms", None),
    ({"fast_interval": "100ms"}, {"interval": "100ms"}, "100ms", "100ms"),
    ({"fast_interval": "1s"}, {"interval": "100ms", "fast_interval": "50ms"},
     "100ms", "50ms"),
])
def test_server_check_has_an_interval_of_its_own(tmp_path, pool, server,
                                                 timeout, fast):
    check = server_check(tmp_path, {"type": "tcp", **pool}, server)
    assert (check["timeout"], check.get("fast_interval")) == (timeout, fast)


def test_timeout_is_at_most_the_interval(tmp_path):
    def timeout(check):
        path = model_file(tmp_path, check=check)
        return json.loads(lbtest("model-write", path)[1])["check"]["timeout"]

    assert timeout("tcp") == "1000ms"
    assert timeout({"type": "tcp", "interval": "100ms"}) == "100ms"
    assert timeout({"type": "tcp", "interval": "100ms",
                    "timeout": "300ms"}) == "300ms"


def test_files_without_checks_say_nothing_of_them(tmp_path):
    """So that records are as they were."""
    path = model_file(tmp_path)
    model = json.loads(path.read_text())
    del model["pools"][0]["check"]
    path.write_text(json.dumps(model))
    assert not {"check", "panic", "on_down"} & set(
        json.loads(lbtest("model-write", path)[1]))
