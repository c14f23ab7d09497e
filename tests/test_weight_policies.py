# SPDX-License-Identifier: Apache-2.0
"""Weight policies, against models of their own and published figures."""

import json
import math
import os
import random
import re
import subprocess

import pytest

LBTEST = os.environ.get("LBTEST", "tests/lbtest")


def run(*args):
    return subprocess.run([LBTEST, *map(str, args)], text=True, check=True,
                          capture_output=True).stdout


def ask(policy, servers, **params):
    """What 'policy' wants for the servers, mappings: a list of numbers, None
    for those that it has nothing to go by for."""
    args = [f"{key}={value!r}" for key, value in params.items()]
    for server in servers:
        args += ["--", *(f"{key}={value!r}" for key, value in server.items())]
    lines = run("weight", policy, *args).splitlines()
    assert len(lines) == len(servers), lines
    return [None if line == "-" else float(line) for line in lines]


def defaults():
    table = {}
    for line in run("weight-policies").splitlines():
        name, *params = line.split()
        table[name] = {key: float(value) for key, value in
                       re.findall(r"(\w+)=[^:]*:(\S+)", " ".join(params))}
    return table


DEFAULTS = defaults()


def test_all_are_there():
    assert list(DEFAULTS) == [
        "static", "adaptive", "sblb", "orca", "feedback", "least-connections",
        "threshold", "common"]


def test_static():
    assert ask("static", [{"weight": 3.0}, {"weight": 0.5}]) == [3, 0.5]


# Adaptive

@pytest.mark.parametrize("stress, weights", [
    (0.25, [2.4, 1.6, 1.6]), (0.75, [1.71, 1.14, 1.14]), (0.0, [3, 2, 2]),
    (1.0, [1.5, 1, 1])])
def test_adaptive_worked_figures(stress, weights):
    """Those of the adaptive balancer in containers, for weights 3:2:2."""
    servers = [{"weight": float(w), "stress": stress} for w in (3, 2, 2)]
    assert [round(w, 2) for w in ask("adaptive", servers)] == weights


def test_adaptive_is_per_server():
    servers = [{"weight": 3.0, "cpu": 0.8, "memory": 0.6},
               {"weight": 2.0, "cpu": 0.1, "memory": 0.1},
               {"weight": 2.0, "cpu": 0.1, "memory": 0.1, "stress": 1.0}]
    assert ask("adaptive", servers) == pytest.approx(
        [3 / 1.7, 2 / 1.1, 2 / 2])


def test_adaptive_floor():
    server = {"weight": 0.15, "stress": 1.0}
    assert ask("adaptive", [server]) == [0.1]
    assert ask("adaptive", [server], floor=0.01) == [0.075]


@pytest.mark.parametrize("server", [{}, {"cpu": 0.5}, {"memory": 0.5}])
def test_adaptive_needs(server):
    assert ask("adaptive", [server, {"stress": 0.0}]) == [None, 1]


# SBLB

RATIOS = ["cpu", "memory", "network", "io", "response_time"]


def load(server, params):
    return sum(params[key] * server[key]
               / (params["slow"] if key == "response_time" else 1)
               for key in RATIOS if params[key] > 0)


def sblb(servers, params):
    loads = [max(0.05, load(server, params)) for server in servers]
    n = int(params["n"]) or len(servers)
    limit = sorted(loads)[min(n, len(loads)) - 1]
    return [server["capacity"] / load if load <= limit else 0
            for server, load in zip(servers, loads)]


def random_server(rng):
    return {"weight": rng.uniform(0.1, 10), "capacity": rng.uniform(0.5, 8),
            **{key: rng.uniform(0, 1) for key in RATIOS}}


@pytest.mark.parametrize("seed", range(20))
def test_sblb(seed):
    rng = random.Random(seed)
    ratios = [rng.choice([0, rng.random()]) for _ in RATIOS]
    ratios[0] += 0.1
    params = {key: ratio / sum(ratios) for key, ratio in zip(RATIOS, ratios)}
    params |= {"n": rng.randint(0, 7), "slow": rng.uniform(0.1, 3)}
    servers = [random_server(rng) for _ in range(rng.randint(1, 6))]
    assert ask("sblb", servers, **params) == pytest.approx(
        sblb(servers, params), rel=1e-9)


def test_sblb_capacity():
    """Three times as strong and as loaded: three times the connections."""
    servers = [{"capacity": c, "cpu": 0.5, "memory": 0.5, "network": 0.5}
               for c in (3.0, 1.0)]
    strong, weak = ask("sblb", servers)
    assert strong == pytest.approx(3 * weak)


def test_sblb_idle_servers_are_alike():
    servers = [{"cpu": c, "memory": 0.0, "network": 0.0}
               for c in (0.0, 0.001, 0.1)]
    assert ask("sblb", servers) == pytest.approx([20, 20, 20])


def test_sblb_must_add_up():
    message = run("weight", "sblb", "cpu=0.6", "--", "cpu=1")
    assert "must add up to 1" in message


def test_sblb_needs_only_what_counts():
    only_cpu = {"cpu": 1, "memory": 0, "network": 0}
    assert ask("sblb", [{"cpu": 0.5}], **only_cpu) == [2]
    assert ask("sblb", [{"cpu": 0.5}, {"memory": 1.0}], **only_cpu,
               ) == [2, None]


# ORCA

def orca(servers, params):
    def one(server):
        qps = server.get("qps", math.nan)
        util = server.get("utilization", server.get("cpu", math.nan))
        if (server.get("age", math.inf) < params["blackout"] or not qps > 0
                or qps < params["min_qps"] or not util > 0):
            return 0
        return qps / (util + server.get("eps", 0) / qps * params["penalty"])

    weights = [one(server) for server in servers]
    known = [weight for weight in weights if weight > 0]
    if len(known) < 2:
        return [server.get("weight", 1) for server in servers]
    return [weight or sum(known) / len(known) for weight in weights]


@pytest.mark.parametrize("seed", range(20))
def test_orca(seed):
    rng = random.Random(seed)
    servers = []
    for _ in range(rng.randint(1, 6)):
        servers.append({"qps": rng.choice([0.0, 0.5, rng.uniform(1, 1000)]),
                        "cpu": rng.choice([0.0, rng.random()]),
                        "age": rng.choice([3.0, 11.0]),
                        "weight": rng.uniform(1, 5)})
        if rng.random() < 0.5:
            servers[-1]["eps"] = rng.uniform(0, 10)
        if rng.random() < 0.5:
            servers[-1]["utilization"] = rng.uniform(0, 1.5)
    params = {**DEFAULTS["orca"], "penalty": rng.uniform(0, 3)}
    assert ask("orca", servers, **params) == pytest.approx(
        orca(servers, params), rel=1e-9)


def test_orca_finds_the_strength():
    """Whatever the shares are: 3:1 in strength, 1:1 in requests."""
    servers = [{"qps": 100.0, "cpu": 0.25}, {"qps": 100.0, "cpu": 0.75}]
    strong, weak = ask("orca", servers)
    assert strong == pytest.approx(3 * weak)


# Feedback

@pytest.mark.parametrize("seed", range(10))
def test_feedback(seed):
    rng = random.Random(seed)
    params = {**DEFAULTS["feedback"], "expect": rng.uniform(0.1, 1),
              "gain": rng.uniform(0.1, 2)}
    servers = [random_server(rng) for _ in range(4)]
    model = []
    for server in servers:
        e = params["expect"] - load(server, params)
        root = math.copysign(abs(e) ** (1 / 3), e)
        model.append(max(0, server["weight"] * (1 + params["gain"] * root)))
    assert ask("feedback", servers, **params) == pytest.approx(model)


def test_feedback_range():
    """From idle to busy: 1.98 to 0.63 of the weight."""
    servers = [{"cpu": load, "memory": load} for load in (0.0, 0.95, 1.0)]
    assert ask("feedback", servers) == pytest.approx(
        [1.983, 1, 0.632], abs=0.001)


# Least connections

def test_least_connections():
    servers = [{"weight": 2.0, "connections": c} for c in (0.0, 1.0, 9.0)]
    assert ask("least-connections", servers) == pytest.approx([2, 1, 0.2])
    assert ask("least-connections", servers, bias=0.5) == pytest.approx(
        [2, 2 / 2 ** 0.5, 2 / 10 ** 0.5])
    assert ask("least-connections", [{}]) == [None]


# Threshold

def test_threshold_moves_to_the_next():
    servers = [{"packets": p, "weight": 2.0, "current": 2.0}
               for p in (900.0, 2000.0, 10.0)]
    assert ask("threshold", servers, packets=1000) == [2, 1, 3]
    assert ask("threshold", servers, packets=800) == [1, 1, 4]
    assert ask("threshold", servers, packets=3000) == [2, 2, 2]


def test_threshold_goes_round():
    servers = [{"cpu": c} for c in (0.1, 0.2, 0.95)]
    assert ask("threshold", servers, cpu=0.9) == [1.5, 1, 0.5]


def test_threshold_with_nowhere_to_go():
    servers = [{"cpu": 0.95}, {"cpu": 0.95}]
    assert ask("threshold", servers, cpu=0.9) == [1, 1]


@pytest.mark.parametrize("connections, current, wanted", [
    (90.0, 1.0, 1), (101.0, 1.0, 0.5), (50.0, 0.5, 0.5), (41.0, 0.5, 0.5),
    (39.0, 0.5, 1), (57.0, 0.7, 0.5), (55.0, 0.7, 1)])
def test_threshold_hysteresis(connections, current, wanted):
    """Between 80 and 100, were all its weight in force, it stays as it is."""
    servers = [{"connections": connections, "current": current},
               {"connections": 1.0}]
    assert ask("threshold", servers, connections=100)[0] == wanted


def test_threshold_does_not_swing():
    """What a server gives away is not what it has recovered by."""
    current, seen = [1.0, 1.0], []
    for load in [0.5] * 3 + [1.1] * 10 + [0.85] * 5 + [0.7] * 3:
        servers = [{"cpu": load * c, "current": c} for c in current]
        servers[1]["cpu"] = 0.1
        current = ask("threshold", servers, cpu=1.0)
        seen.append(current[0])
    assert seen == [1.0] * 3 + [0.5] * 15 + [1.0] * 3


def test_threshold_gives_on_when_all_are_over():
    """What is given may be what brings the other one over its limit."""
    servers = [{"cpu": 0.95, "current": 0.5}, {"cpu": 0.95, "current": 1.5}]
    assert ask("threshold", servers, cpu=0.9) == [0.5, 1.5]
    servers[1]["tier"] = 1
    assert ask("threshold", servers, cpu=0.9) == [0.5, 1]
    assert ask("threshold", servers[:1], cpu=0.9) == [1]


def test_threshold_stays_in_the_set():
    servers = [{"cpu": 0.95, "set": 1}, {"cpu": 0.1, "set": 2},
               {"cpu": 0.1, "set": 1}, {"cpu": 0.95, "set": 2}]
    assert ask("threshold", servers, cpu=0.9) == [0.5, 1.5, 1.5, 0.5]
    assert ask("threshold", servers[:2], cpu=0.9) == [1, 1]


@pytest.mark.parametrize("cpus, wanted", [
    # Each tier has two servers, of which the average counts.
    ((0.95, 0.95, 0.1, 0.1, 0.1), [0.5, 0.5, 1, 1, 1]),
    ((0.99, 0.7, 0.1, 0.1, 0.1), [1, 1, 1, 1, 1]),
    ((0.95, 0.95, 0.99, 0.99, 0.1), [0.5, 0.5, 0.5, 0.5, 1]),
    # Nobody is behind that could take it.
    ((0.95, 0.95, 0.99, 0.99, 0.95), [1, 1, 1, 1, 1]),
    ((0.1, 0.1, 0.99, 0.99, 0.95), [1, 1, 1, 1, 1]),
    ((0.1, 0.1, 0.1, 0.1, 0.95), [1, 1, 1, 1, 1]),
])
def test_threshold_from_tier_to_tier(cpus, wanted):
    servers = [{"cpu": cpu, "tier": i // 2} for i, cpu in enumerate(cpus)]
    assert ask("threshold", servers, cpu=0.9) == wanted


def test_threshold_of_tiers_has_hysteresis():
    for cpu, wanted in (0.5, 0.5), (0.37, 0.5), (0.35, 1):
        servers = [{"cpu": cpu, "current": 0.5}, {"cpu": cpu, "tier": 1}]
        assert ask("threshold", servers, cpu=0.9) == [wanted, 1]


def test_threshold_needs_a_limit():
    assert "needs a limit" in run("weight", "threshold", "--", "cpu=1")


def test_threshold_keeps_the_sum():
    rng = random.Random(1)
    for _ in range(50):
        servers = [{"cpu": rng.random(), "weight": rng.uniform(1, 5)}
                   for _ in range(rng.randint(1, 6))]
        wanted = ask("threshold", servers, cpu=0.5, move=rng.uniform(0.1, 1))
        assert sum(wanted) == pytest.approx(
            sum(server["weight"] for server in servers))


# Slow start

@pytest.mark.parametrize("age, window, aggression, part", [
    (0, 60, 1, 0.1), (3, 60, 1, 0.1), (15, 60, 1, 0.25), (60, 60, 1, 1),
    (1000, 60, 1, 1), (0, 0, 1, 1), (-5, 60, 1, 0.1), (15, 60, 2, 0.5),
    (30, 60, 0.5, 0.25)])
def test_slow_start(age, window, aggression, part):
    assert float(run("slow-start", age, window, aggression)
                 ) == pytest.approx(part)


# How parameters are written

def written(tmp_path, **weights):
    """What the program makes of "weights"."""
    path = tmp_path / "pool.yaml"
    path.write_text(json.dumps({"pools": [{
        "name": "web", "vip": "10.0.0.100", "port": 80,
        "weights": {"policy": "sblb", "from": [{"file": "/load"}], **weights},
        "servers": [{"name": "s1", "ip": "10.0.0.1"}]}]}))
    return json.loads(run("model-write", path).splitlines()[1])["weights"]


@pytest.mark.parametrize("text, seconds", [
    ("2s", 2), ("250ms", 0.25), ("10ms", 0.01), ("1m", 60), (0.5, 0.5),
    ("0.5s", 0.5), (60, 60)])
def test_times(tmp_path, text, seconds):
    got = written(tmp_path, timeout=text, slow=text, interval="2m")
    assert (got["timeout"], got["slow"]) == (seconds, seconds)


@pytest.mark.parametrize("interval, timeout", [
    (1, 0.5), ("3s", 1.5), (4, 2), (60, 2)])
def test_timeout_fits_the_interval(tmp_path, interval, timeout):
    assert written(tmp_path, interval=interval)["timeout"] == timeout
