# SPDX-License-Identifier: Apache-2.0
"""Rounds of refresh without a switch and without a clock: what becomes of
samples over many rounds.  See tests/lbtest-refresh.c."""

import json
import math
import os
import random
import subprocess
import time

import pytest

LBTEST = os.environ.get("LBTEST", "tests/lbtest")

START = int(time.time())       # Files have times as well.
INTERVAL = 60


class Server:
    def __init__(self, line):
        rest, self.why, self.complaint = line.split("|")
        (self.name, old_weight, weight, old_slots, slots,
         missing) = rest.split()
        self.old_weight, self.weight = float(old_weight), float(weight)
        self.old_slots, self.slots = int(old_slots), int(slots)
        self.missing = missing == "1"


class Round:
    def __init__(self, lines):
        self.changed, self.remembers, self.frozen = (
            word == "1" for word in lines[0].split())
        self.servers = {server.name: server
                        for server in map(Server, lines[1:])}

    def __getitem__(self, name):
        return self.servers[name]

    def share(self, name):
        return self[name].slots / sum(s.slots for s in self.servers.values())

    @property
    def moved(self):
        return sum(max(0, s.old_slots - s.slots)
                   for s in self.servers.values())


class Simulation:
    """A pool whose servers say what 'rounds' is told."""

    def __init__(self, path, weights, file_weights, capacities=(), **pool):
        self.path = path
        self.now = START
        stderr = open(path / "stderr", "w")
        self.stderr = open(path / "stderr")
        servers = [{"name": f"s{i + 1}", "ip": f"10.0.0.{i + 1}",
                    "mac": f"02:00:00:00:00:{i + 1:02x}",
                    "interface": f"{i + 1}", "weight": weight}
                   for i, weight in enumerate(file_weights)]
        for server, capacity in zip(servers, capacities):
            server["capacity"] = capacity
        self.names = [server["name"] for server in servers]
        if "from" not in weights and weights["policy"] != "static":
            weights = {**weights, "from": [{"file": f"{path}/{{name}}"}]}
        file = path / "pool.yaml"
        file.write_text(json.dumps({"pools": [{
            "name": "web", "vip": "10.0.0.100", "port": 80,
            "weights": weights, **pool, "servers": servers}]}))
        self.process = subprocess.Popen(
            [LBTEST, "refresh", file], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=stderr)
        stderr.close()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()
        self.stderr.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def messages(self):
        """What was said since the last time."""
        return self.stderr.read()

    def say(self, name, text):
        path = self.path / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
            # Time in here goes its own way, files' must as well.
            os.utime(path, (self.now, self.now))

    def round(self, samples=None, after=INTERVAL):
        """One round, in which servers say what 'samples' maps their names to:
        metrics as fractions, text, or None for nothing."""
        self.now += after
        for name, sample in (samples or {}).items():
            if isinstance(sample, dict):
                sample = {key: value * 100 if key in ("cpu", "memory")
                          else value for key, value in sample.items()}
                sample = json.dumps({"timestamp": self.now, **sample})
            self.say(name, sample)
        self.tell(f"round {self.now}")
        lines = []
        while not lines or lines[-1] != ".":
            line = self.process.stdout.readline()
            assert line, "lbtest died"
            lines.append(line.rstrip("\n"))
        return Round(lines[:-1])


@pytest.fixture
def simulate(tmp_path):
    """A function that makes simulations."""
    made = []

    def make(weights, file_weights=(1, 1), **keys):
        path = tmp_path / f"sim{len(made)}"
        path.mkdir()
        made.append(Simulation(path, weights, file_weights, **keys))
        return made[-1]

    yield make
    for simulation in made:
        simulation.close()


def stress(*values):
    return {f"s{i + 1}": {"stress": value} if isinstance(value, float)
            else value for i, value in enumerate(values)}


def cpu(*values):
    return {f"s{i + 1}": {"cpu": value} for i, value in enumerate(values)}


ADAPTIVE = {"policy": "adaptive"}
CPU_ONLY = {"policy": "sblb", "cpu": 1, "memory": 0, "network": 0}
POLICIES = [ADAPTIVE, CPU_ONLY,
            {"policy": "feedback", "cpu": 1, "memory": 0},
            {"policy": "least-connections"}]


def sample_for(weights, value):
    """A sample that is a load of 'value' to the policy."""
    key = {"adaptive": "stress", "least-connections": "connections"}.get(
        weights["policy"], "cpu")
    return {key: value * 100 if key == "connections" else value}


# Calm

@pytest.mark.parametrize("weights", POLICIES, ids=lambda w: w["policy"])
@pytest.mark.parametrize("level", [0.3, 0.8])
def test_noise(simulate, weights, level):
    """100 rounds of 5 % noise either way: at most 2 writes of any kind."""
    rng = random.Random(weights["policy"] + str(level))
    sim = simulate(weights, (3, 2, 2))
    writes = 0
    for _ in range(100):
        result = sim.round({name: sample_for(weights,
                                             level * rng.uniform(.95, 1.05))
                            for name in sim.names})
        writes += result.remembers
        assert not result.frozen
    assert 1 <= writes <= 2
    assert not result.changed
    assert sim.messages() == ""


def test_the_same_for_all_changes_nothing(simulate):
    """Weights matter only beside others."""
    sim = simulate(ADAPTIVE, (3, 2, 2))
    for value in (0.1, 0.9, 0.2, 1.0, 0.5):
        result = sim.round(stress(value, value, value))
        assert not result.changed
        assert [s.slots for s in result.servers.values()] == [110, 73, 73]


@pytest.mark.parametrize("weights", [
    ADAPTIVE, {"policy": "orca"}, {"policy": "static"}],
    ids=lambda w: w["policy"])
def test_nothing_new_is_nothing_to_remember(simulate, weights):
    sim = simulate(weights)
    sample = {name: {"stress": 0.4, "qps": 100, "cpu": 0.5}
              for name in sim.names}
    assert sim.round(sample).remembers
    for _ in range(5):
        assert not sim.round(sample).remembers


# Answers

STEPS = [(ADAPTIVE, (0.3, 0.3), (0.9, 0.3), 1 / 1.9 / (1 / 1.9 + 1 / 1.3)),
         (CPU_ONLY, (0.3, 0.3), (0.9, 0.3), 0.25),
         (CPU_ONLY, (0.9, 0.9), (0.3, 0.9), 0.75),
         ({"policy": "least-connections"}, (0.3, 0.3), (0.9, 0.3),
          31 / (31 + 91))]


@pytest.mark.parametrize("weights, before, after, wanted", STEPS)
def test_step(simulate, weights, before, after, wanted):
    """Answered in 3 rounds, no more than 10 % too far, settled in 6."""
    sim = simulate(weights)

    def samples(values):
        return {name: sample_for(weights, value)
                for name, value in zip(sim.names, values)}

    for _ in range(5):
        start = sim.round(samples(before)).share("s1")
    assert start == 0.5
    shares = [sim.round(samples(after)).share("s1") for _ in range(12)]
    way = [(start - share) / (start - wanted) for share in shares]
    assert way[2] > 0.5
    assert max(way) < 1.1
    assert all(abs(share - wanted) < 0.1 * wanted for share in shares[5:])
    assert len(set(shares[6:])) == 1


def test_no_more_than_max_move(simulate):
    sim = simulate({**CPU_ONLY, "max_move": "5%", "max_step": 1,
                    "smoothing": 0}, (1, 1, 1, 1))
    sim.round(cpu(0.5, 0.5, 0.5, 0.5))
    rounds = [sim.round(cpu(1, 1, 0.2, 0.2)) for _ in range(8)]
    assert all(r.moved <= 12 for r in rounds)
    assert rounds[0].moved >= 10
    assert rounds[0]["s1"].why == "bound by max_move"
    assert rounds[-1].share("s1") == pytest.approx(0.2 / 2.4, abs=0.02)


def test_max_step(simulate):
    sim = simulate({**CPU_ONLY, "max_step": "10%", "max_move": 1,
                    "smoothing": 0, "deadband": 0})
    sim.round(cpu(0.5, 0.5))
    result = sim.round(cpu(1, 0.1))
    assert result["s1"].weight == pytest.approx(0.9, abs=0.001)
    assert result["s2"].weight == pytest.approx(1.1, abs=0.001)
    assert result["s1"].why == "bound by max_step"


def test_min_and_max(simulate):
    sim = simulate({**CPU_ONLY, "max_step": 1, "max_move": 1, "smoothing": 0,
                    "min": 0.4, "max": "150%", "n": 1}, (10, 10, 10))
    for _ in range(9):
        result = sim.round(cpu(0.1, 1, 1))
    assert [s.weight for s in result.servers.values()] == [15, 4, 4]
    assert result["s2"].why == "within the deadband"


def test_deadband(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0, "deadband": "20%",
                    "max_move": 1})
    sim.round(stress(0.0, 0.0))
    assert not sim.round(stress(0.4, 0.0)).changed
    result = sim.round(stress(0.6, 0.0))
    assert result["s1"].weight == pytest.approx(2 / 2.6, abs=0.001)


def test_less_than_a_slot(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0, "deadband": 0}, (1, 1),
                   slots=16)
    sim.round(stress(0.0, 0.0))
    result = sim.round(stress(0.15, 0.0))
    assert (result["s1"].weight, result["s1"].why) == (
        1, "too little for a slot")
    result = sim.round(stress(0.3, 0.0))
    assert result["s1"].weight < 0.9 and result["s1"].slots == 7


def test_smoothing(simulate):
    """39 % of the way in a round, 63 % after two."""
    sim = simulate({**ADAPTIVE, "deadband": 0, "max_move": 1})
    sim.round(stress(0.0, 0.0))
    for part in (1 - math.exp(-0.5), 1 - math.exp(-1)):
        result = sim.round(stress(1.0, 0.0))
        assert result["s1"].weight == pytest.approx(2 / (2 + part), abs=0.002)


def test_file_weights_are_followed_at_once(simulate):
    """They are what is scaled."""
    sim = simulate({**ADAPTIVE, "smoothing": 0, "max_step": 1, "max_move": 1},
                   (30, 20))
    result = sim.round(stress(1.0, 0.0))
    assert result["s1"].weight == pytest.approx(15 * 50 / 35, abs=0.05)


# Loops: what servers report follows from what they get.

def run_loop(sim, rounds, load, first=None):
    """'load' maps shares to samples; they arrive a round late."""
    share = first or {name: 1 / len(sim.names) for name in sim.names}
    history = []
    for _ in range(rounds):
        result = sim.round(load(share))
        share = {name: result.share(name) for name in sim.names}
        history.append(share)
    return history


@pytest.mark.parametrize("weights", POLICIES, ids=lambda w: w["policy"])
def test_two_equal_servers_stay_equal(simulate, weights):
    """One round of lag, noise, and a load that is all of what one can do."""
    rng = random.Random(1)
    sim = simulate(weights)

    def load(share):
        return {name: sample_for(weights, min(1, 1.2 * share[name]
                                              * rng.uniform(0.9, 1.1)))
                for name in sim.names}

    for share in run_loop(sim, 100, load):
        assert 0.45 <= share["s1"] <= 0.55


def test_unequal_servers_find_their_shares(simulate):
    """ORCA needs not be told that one is three times as strong."""
    sim = simulate({"policy": "orca"})

    def load(share):
        return {name: {"qps": 1000 * share[name],
                       "cpu": min(1, 0.5 * share[name] / strength)}
                for name, strength in zip(sim.names, (0.75, 0.25))}

    history = run_loop(sim, 30, load)
    assert history[-1]["s1"] == pytest.approx(0.75, abs=0.03)
    assert max(share["s1"] for share in history) < 0.80


def test_capacity_is_followed(simulate):
    sim = simulate(CPU_ONLY, (1, 1), capacities=(3, 1))

    def load(share):
        return cpu(*(min(1, 0.6 * share[name] / strength)
                     for name, strength in zip(sim.names, (0.75, 0.25))))

    history = run_loop(sim, 30, load)
    assert history[-1]["s1"] == pytest.approx(0.75, abs=0.04)


# Silence

def test_one_is_silent(simulate):
    """Holds for three rounds, then goes to its weight in the file."""
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (1, 1, 1))
    for _ in range(3):
        result = sim.round(stress(1.0, 0.0, 0.0))
    low = result["s1"].weight
    assert low == pytest.approx(0.6, abs=0.01)
    assert sim.messages() == ""

    for i in range(3):
        result = sim.round(stress(None, 0.0, 0.0))
        assert result["s1"].weight == low
        assert result["s1"].missing and not result.frozen
        assert ("says nothing and keeps its weight" in sim.messages()) == (
            i == 0)
    weights = [sim.round(stress(None, 0.0, 0.0))["s1"].weight
               for _ in range(4)]
    assert weights[0] == pytest.approx(1.3 * low, abs=0.01)
    assert weights == sorted(weights) and weights[-1] == 1
    assert sim.messages().count("goes to its weight in the file") == 1
    assert not sim.round(stress(None, 0.0, 0.0)).remembers

    result = sim.round(stress(0.0, 0.0, 0.0))
    assert not result["s1"].missing and result["s1"].weight == 1


@pytest.mark.parametrize("n_silent, frozen", [(1, False), (2, True),
                                              (3, True), (4, True)])
def test_half_are_silent(simulate, n_silent, frozen):
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (1, 1, 1, 1))
    sim.round(stress(0.0, 0.0, 0.0, 0.0))
    samples = stress(1.0, 1.0, 0.0, 0.0)
    for name in sim.names[:n_silent]:
        samples[name] = None
    result = sim.round(samples)
    messages = sim.messages()
    assert result.frozen == frozen
    assert result.changed != frozen
    assert ("half of its servers say nothing" in messages) == frozen
    if frozen:
        assert f"nothing: {', '.join(sim.names[:n_silent])} (" in messages
        for _ in range(5):
            result = sim.round(samples)
        assert result.frozen and not result.changed
        assert not result.remembers     # Nothing is sent for long silence.


def test_all_were_never_there(simulate):
    sim = simulate(ADAPTIVE, (3, 2, 2))
    for _ in range(6):
        result = sim.round()
    assert result.frozen
    assert [s.slots for s in result.servers.values()] == [110, 73, 73]


def test_a_thaw_goes_on_where_it_was(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0, "max_step": 1})
    before = [sim.round(stress(1.0, 0.0)) for _ in range(3)][-1]
    for _ in range(10):
        assert sim.round(stress(None, None))["s1"].weight == (
            before["s1"].weight)
    after = sim.round(stress(1.0, 0.0))
    assert not after.changed


# Samples that make no sense

@pytest.mark.parametrize("text, complaint", [
    ('{"stress": NaN}', "is not JSON"),
    ('{"stress": "NaN"}', "stress is nan"),
    ('{"stress": -0.1}', "stress is -0.1"),
    ('{"stress": 4.1}', "stress is 4.1"),
    ('{"stress": 1e999}', "is not JSON"),
    ('{"stress": true}', "is not a number"),
    ('{"stress": [1]}', "is not a number"),
    ('{"cpu": 50}', "nobody says stress, or cpu and memory of it"),
    ('{"a": 1}', "there is no metric in the answer"),
    ('[]', "there is no metric in the answer"),
    ('{', "is not JSON"), ("", "is empty"), ("\n \n", "is empty"),
    ("\0", "is not text"), ("stress 1 2 3", "line 1 of the answer"),
    ('{"stress": 1, "timestamp": LONG_AGO}', "s old"),
    ('{"stress": 1, "timestamp": FAR_OFF}', "in the future"),
])
def test_nonsense(simulate, text, complaint):
    """That sample is ignored, and said; the others count."""
    text = text.replace("LONG_AGO", str(START - 1000))
    text = text.replace("FAR_OFF", str(START + 10**6))
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (1, 1, 1))
    sim.round(stress(0.0, 0.0, 0.0))
    result = sim.round(stress(0.0, 0.9, 0.0) | {"s1": text})
    assert result["s1"].missing
    assert complaint in result["s1"].complaint
    assert result["s1"].weight == 1
    assert result["s2"].weight < 0.85


def test_nonsense_beside_sense(simulate):
    """What else the server says counts."""
    sim = simulate({**ADAPTIVE, "smoothing": 0})
    result = sim.round({"s1": '{"stress": 0.9, "cpu": -7, "timestamp": %d}'
                        % (START + 60), "s2": {"stress": 0.0}})
    assert not result["s1"].missing
    assert "cpu is -0.07" in result["s1"].complaint
    assert result["s1"].weight < 0.85


# Counters

def counters(sim, **values):
    return {name: f"cpu_seconds {value}\n" for name, value in values.items()}


COUNTERS = {"policy": "sblb", "cpu": 1, "memory": 0, "network": 0,
            "smoothing": 0, "hold": 1, "max_move": 1}


@pytest.fixture
def counting(simulate, tmp_path):
    return simulate({**COUNTERS, "from": [
        {"exec": ["/bin/cat", f"{tmp_path}/sim0/{{name}}"],
         "values": {"cpu": "rate(cpu_seconds)"}}]}, (1, 1, 1))


def test_counters_need_two_rounds(counting):
    result = counting.round(counters(counting, s1=0, s2=0, s3=0))
    assert not result.frozen and not result["s1"].missing
    assert result["s1"].why == "counters need a second round"
    result = counting.round(counters(counting, s1=54, s2=18, s3=18))
    assert result.changed and result["s1"].weight == 0.7
    assert counting.messages() == ""


def test_counters_that_begin_anew(counting):
    counting.round(counters(counting, s1=1000, s2=0, s3=0))
    counting.round(counters(counting, s1=1018, s2=18, s3=18))
    result = counting.round(counters(counting, s1=5, s2=36, s3=36))
    assert result["s1"].why == "counters need a second round"
    assert result["s1"].complaint == "the counter of cpu began anew"
    result = counting.round(counters(counting, s1=23, s2=54, s3=54))
    assert not result["s1"].complaint and not result.changed


def test_counters_after_silence(counting):
    """The time between is not known any more: no rate over it."""
    counting.round(counters(counting, s1=0, s2=0, s3=0))
    counting.round(counters(counting, s1=18, s2=18, s3=18))
    samples = counters(counting, s2=36, s3=36) | {"s1": None}
    assert counting.round(samples)["s1"].missing
    result = counting.round(counters(counting, s1=1800, s2=54, s3=54))
    assert result["s1"].why == "counters need a second round"
    result = counting.round(counters(counting, s1=1818, s2=72, s3=72))
    assert not result.changed


def test_counters_after_long(counting):
    counting.round(counters(counting, s1=0, s2=0, s3=0))
    result = counting.round(counters(counting, s1=1, s2=1, s3=1),
                            after=11 * INTERVAL)
    assert result["s1"].why == "counters need a second round"


def test_clock_goes_back(counting):
    counting.round(counters(counting, s1=0, s2=0, s3=0))
    result = counting.round(counters(counting, s1=54, s2=18, s3=18),
                            after=-3600)
    assert not result.changed and not result.frozen
    assert "the clock went back" in counting.messages()
    result = counting.round(counters(counting, s1=108, s2=36, s3=36))
    assert result["s1"].weight == 0.7
    assert counting.messages() == ""


# Agents

AGENT = {"policy": "static", "hold": 1}


def agent_from(tmp_path):
    return {**AGENT, "from": [{"file": f"{tmp_path}/sim0/{{name}}"}]}


def test_agent(simulate, tmp_path):
    """Its percentage counts at once and in full; what it does not say stays;
    it alone ends its drain."""
    sim = simulate(agent_from(tmp_path), (2, 2, 2))

    def after(s1):
        return sim.round({"s1": s1, "s2": "100%", "s3": "up"}, after=1)["s1"]

    assert after("75%").weight == 1.5
    assert after("ready").weight == 1.5
    assert after("weight:10% up").weight == pytest.approx(0.2)
    assert after("0%").slots == 0
    assert after("50%").weight == 1
    server = after("drain")
    assert (server.slots, server.why) == (0, "its agent takes it out")
    assert after("80%").slots == 0
    for _ in range(4):
        server = after(None)
        assert server.slots == 0 and server.missing
    assert after("up").weight > 1.5


def test_agent_multiplies_the_policy(simulate, tmp_path):
    sim = simulate({**ADAPTIVE, "smoothing": 0, "from": [
        {"file": f"{tmp_path}/sim0/{{name}}"},
        {"file": f"{tmp_path}/sim0/{{name}}-agent"}]}, (1, 1))
    for name in ("s1", "s2"):
        sim.say(f"{name}-agent", "50%" if name == "s1" else "up")
    result = sim.round(stress(0.25, 0.25), after=1)
    assert result["s1"].weight == pytest.approx(0.5)
    result = sim.round(stress(1.0, 0.25), after=1)
    assert result["s1"].weight == pytest.approx(0.25 * 1.5 / 1.05, abs=0.001)


# Operators, and servers that come back

def test_an_override_wins(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (2, 2))
    sim.round(stress(0.0, 0.0))
    sim.tell("s1 weight 6")
    result = sim.round(stress(1.0, 0.0))
    assert result["s1"].why == "an operator set its weight"
    assert (result["s1"].weight, result["s1"].slots) == (6, 192)


def test_drained_servers_are_not_asked(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (1, 1, 1))
    sim.round(stress(0.0, 0.0, 0.0))
    sim.tell("s1 drain")
    result = sim.round(stress(None, 0.9, 0.0))
    assert not result.frozen and not result["s1"].missing
    assert result["s1"].why == "takes no connections"
    assert result["s1"].slots == 0
    assert result["s2"].weight < 0.85


def test_slow_start(simulate):
    """A tenth at first, all after five minutes, in a line; no round moves more
    than a tenth of the slots."""
    sim = simulate({**ADAPTIVE, "slow_start": "5m", "smoothing": 0}, (1, 1))
    sim.round(stress(0.0, 0.0))
    sim.tell("s1 drain")
    sim.round(stress(None, 0.0))
    sim.now += INTERVAL
    sim.tell(f"s1 ready {sim.now}")
    weights = []
    for i in range(8):
        result = sim.round(stress(0.0, 0.0), after=INTERVAL if i else 0)
        weights.append(result["s1"].weight)
        assert result.moved <= 26
    assert weights[:2] == pytest.approx([0.1, 0.2], abs=0.01)
    assert weights == sorted(weights)
    assert weights[4] > 0.65 and weights[-1] == 1


def test_slow_start_of_one_that_was_away(simulate):
    """Found by refresh itself, if nobody else says so."""
    sim = simulate({"policy": "static", "slow_start": "2m"}, (1, 1))
    sim.round()
    sim.tell("s1 drain")
    assert sim.round()["s1"].slots == 0
    sim.tell(f"s1 ready {sim.now + 60}")
    assert sim.round()["s1"].weight == pytest.approx(0.1)
    assert sim.round()["s1"].weight == pytest.approx(0.35, abs=0.2)


def test_slow_start_ends(simulate):
    """With all of the weight, even if the last of it is not worth a slot."""
    sim = simulate({"policy": "static", "slow_start": 181, "max_move": 1},
                   (1, 1, 1))
    sim.round()
    sim.tell("s1 drain")
    sim.round()
    sim.tell(f"s1 ready {sim.now}")
    weights = [sim.round()["s1"].weight for _ in range(6)]
    assert weights == pytest.approx([0.33, 0.66, 0.99, 1, 1, 1], abs=0.01)
    assert weights[3:] == [1, 1, 1]


# Clocks that are set

DAY = 86400


@pytest.mark.parametrize("jump", [DAY, -DAY, 2 * 3600, -3600])
def test_slow_start_does_not_jump(simulate, jump):
    """It goes on as if one interval had passed, and ends in its time."""
    sim = simulate({**ADAPTIVE, "slow_start": "10m", "smoothing": 0,
                    "max_move": 1}, (1, 1))
    sim.round(stress(0.0, 0.0))
    sim.tell("s1 drain")
    sim.round(stress(None, 0.0))
    sim.tell(f"s1 ready {sim.now + INTERVAL}")
    weights = [sim.round(stress(0.0, 0.0))["s1"].weight for _ in range(4)]
    assert weights == pytest.approx([0.1, 0.1, 0.2, 0.3], abs=0.02)
    weights = [sim.round(stress(0.0, 0.0), after=jump)["s1"].weight]
    weights += [sim.round(stress(0.0, 0.0))["s1"].weight for _ in range(7)]
    assert weights == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1],
                                    abs=0.05)


def test_slow_start_from_the_future(simulate):
    """The server came back, and then the clock was set back before the first
    round."""
    sim = simulate({**ADAPTIVE, "slow_start": "5m", "smoothing": 0,
                    "max_move": 1}, (1, 1))
    sim.round(stress(0.0, 0.0))
    sim.tell("s1 drain")
    sim.round(stress(None, 0.0))
    sim.tell(f"s1 ready {sim.now + DAY}")
    weights = [sim.round(stress(0.0, 0.0))["s1"].weight for _ in range(7)]
    assert weights == pytest.approx([0.1, 0.2, 0.4, 0.6, 0.8, 1, 1], abs=0.05)


def test_a_round_in_the_future_is_said_once(simulate):
    sim = simulate({**ADAPTIVE, "smoothing": 0}, (1, 1))
    sim.round(stress(0.2, 0.2))
    before = sim.round(stress(0.2, 0.2))
    sim.messages()
    result = sim.round(stress(0.2, 0.2), after=-DAY)
    assert [line for line in sim.messages().split("\n") if line] == [
        line for line in [f'lbgen: warning: pool "web": its last round was '
                          f'{DAY - INTERVAL} s in the future: the clock went '
                          'back; counters start anew'] if line]
    assert result["s1"].weight == before["s1"].weight
    sim.round(stress(0.2, 0.2))
    assert sim.messages() == ""


# Servers that take each other's place

SPILL = {"policy": "threshold", "cpu": 0.8, "smoothing": 0, "max_step": 1,
         "max_move": 1}


def test_the_first_one_gives_to_the_next(simulate):
    """And that one to the next again if it is over the limit as well; back
    below, all is as it was."""
    sim = simulate(SPILL, (1, 1, 1), policy="failover")

    def slots(*loads):
        result = sim.round(cpu(*loads))
        return [result[name].slots for name in sim.names]

    assert slots(0.5, 0.1, 0.1) == [256, 0, 0]
    assert slots(0.9, 0.1, 0.1) == [128, 128, 0]
    assert slots(0.5, 0.4, 0.1) == [128, 128, 0]
    # What the first one has is half of its load; of that the second has more
    # than it can bear.
    assert slots(0.5, 0.95, 0.1) == [128, 64, 64]
    assert slots(0.5, 0.45, 0.45) == [128, 64, 64]
    assert slots(0.5, 0.2, 0.3) == [128, 128, 0]
    assert slots(0.3, 0.2, 0.1) == [256, 0, 0]
    # The last one has nobody to give to, whatever it has.
    sim.tell("s1 drain")
    sim.tell("s2 drain")
    assert slots(0.0, 0.0, 0.99) == [0, 0, 256]


def test_spilling_is_bounded(simulate):
    """By max_step and max_move, as everything is."""
    sim = simulate({**SPILL, "max_move": 0.1}, (1, 1), policy="failover")
    shares = [sim.round(cpu(0.9, 0.1))["s1"].slots for _ in range(7)]
    assert abs(shares[-1] - 128) <= 4 and shares == sorted(shares, reverse=True)
    assert all(a - b <= 26 for a, b in zip([256] + shares, shares))


def test_who_takes_the_place_of_the_first_spills(simulate):
    sim = simulate(SPILL, (1, 1, 1), policy="failover")
    sim.round(cpu(0.9, 0.1, 0.1))
    sim.tell("s1 drain")
    result = sim.round(cpu(0.0, 0.5, 0.1))
    assert [result[name].slots for name in sim.names] == [0, 256, 0]
    result = sim.round(cpu(0.0, 0.9, 0.1))
    assert [result[name].slots for name in sim.names] == [0, 128, 128]


# Records

def test_the_record_keeps_it_all(simulate):
    """The layer goes through a record each round, in these tests: what it
    says stays the same."""
    sim = simulate({**CPU_ONLY, "slow_start": "2m", "deadband": 0}, (7, 5, 3))
    rng = random.Random(5)
    old = None
    for _ in range(30):
        result = sim.round(cpu(*(rng.random() for _ in range(3))))
        if old:
            for name in sim.names:
                assert result[name].old_weight == old[name].weight
                assert result[name].old_slots == old[name].slots
        old = result
