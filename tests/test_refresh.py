# SPDX-License-Identifier: Apache-2.0
"""What becomes of samples over many rounds of refresh, without a switch and
without a clock."""

import math
import random
import time

import pytest

from lab_simulation import ADAPTIVE, CPU_ONLY, INTERVAL, cpu, stress

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
