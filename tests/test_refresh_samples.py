# SPDX-License-Identifier: Apache-2.0
"""Samples that refresh does not get, that make no sense, that are to be
counted on or that agents send."""

import pytest

from lab_simulation import ADAPTIVE, INTERVAL, START, stress

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


def test_counters_after_an_override(counting):
    """While a server is not asked, its counter goes on; what it grew by in
    all that time is not the growth of one round."""
    counting.round(counters(counting, s1=0, s2=0, s3=0))
    counting.round(counters(counting, s1=18, s2=18, s3=18))
    counting.tell("s1 weight 1")
    for n in range(36, 36 + 10 * 18, 18):
        result = counting.round(counters(counting, s1=n, s2=n, s3=n))
        assert result["s1"].why == "an operator set its weight"
    counting.tell(f"s1 ready {counting.now}")
    n += 18
    result = counting.round(counters(counting, s1=n, s2=n, s3=n))
    assert result["s1"].complaint == "" and not result.changed
    assert result["s1"].why == "counters need a second round"
    n += 18
    result = counting.round(counters(counting, s1=n, s2=n, s3=n))
    assert (result["s1"].why, result.changed) == ("within the deadband", False)


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
