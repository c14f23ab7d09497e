# SPDX-License-Identifier: Apache-2.0
"""What goes for every policy: shares are exact to the slot, and no more slots
change hands than must.

Files change at random: weights, states, servers that come and go, sets within
sets.  After each change the table that the switch really has is compared with
how many slots each server should have by an independent model in exact
fractions, and with the table before: a slot changed hands only if the server
that had it must have fewer now.

Where fractions are equal, a slot goes to who has most of the table, and there
the slots that a drained server had to let go of count as its own: so it gets
back as many as it had."""

import json
import random
from collections import Counter
from fractions import Fraction

import pytest

import slot_model
from lab_slots import member_names, moved, slot_tables
from test_slot_flows import slot_flows
from test_round_robin import turn_flows

pytestmark = pytest.mark.switch

POLICIES = {
    "wrr": {"policy": "wrr"},
    "random": {"policy": "random"},
    "sticky": {"policy": "sticky", "sticky": {"prefix": 24}},
    "low-bits": {"policy": "sticky", "sticky": {"low_bits": True}},
    "round-robin": {"policy": "round-robin"},
    "failover": {"policy": "failover"},
    "many slots": {"policy": "wrr", "slots": 1024},
    "few slots": {"policy": "wrr", "slots": 32},
    "affinity": {"policy": "random", "affinity": {}},
}
N_STEPS = 8


@pytest.fixture(scope="module")
def eight(make_module_lab):
    return make_module_lab(servers=8, clients=0)


@pytest.fixture
def lab(eight):
    yield eight
    eight.lbgen("delete", "--all", "-b", "br0")


class Content:
    """Servers at random: some at the top, some in set a, some in b, which is
    within a, and some in c."""

    def __init__(self, lab, policy, rng):
        self.policy = policy
        names = rng.sample(lab.servers, rng.randint(3, len(lab.servers)))
        pool = lab.pool({name: rng.choice((0, 1, 1, 2, 3, 5, 10, 50))
                         for name in names}, **POLICIES[policy])
        self.sets = [("a", rng.choice((60, 1, 7)), 0),
                     ("b", rng.choice((1, 2, 3)), 1),
                     ("c", rng.choice((40, 1, 0)), 0)]
        where = {0: [], 1: [], 2: [], 3: []}
        self.servers = []
        for server in pool["servers"]:
            if rng.random() < 0.15:
                server["state"] = "drain"
            number = rng.choice((0, 1, 2, 3) if policy != "failover"
                                else (0, 1, 2))
            if len(self.servers) < 2:   # There is somebody in the first set.
                number = 1 + len(self.servers) % 2
                server.pop("state", None)
                server["weight"] = 1 + server["weight"]
            where[number].append(server)
            self.servers.append((server["name"], self.share(server, number),
                                 number))
        self.pool = {**pool, "servers": self.items(where)}

    def share(self, server, number):
        """What it asks for within its set."""
        if server.get("state") == "drain" or not server["weight"] \
                or (self.policy == "failover" and not number):
            return 0
        return (1 if POLICIES[self.policy]["policy"] == "random"
                else server["weight"])

    def items(self, where):
        def one(number, more=()):
            name, weight, _ = self.sets[number - 1]
            return [{"set": name, "weight": weight,
                     "servers": [*where[number], *more]}] \
                if where[number] or more else []

        return [*one(1, one(2)), *where[0], *one(3)]

    def live_sets(self):
        return [(name, weight if self.policy != "failover" or parent
                 or name == "a" else 0, parent)
                for name, weight, parent in self.sets]

    def quotas(self, n_slots, installed=None):
        """Slots by name of server, of 'n_slots', given who has which now."""
        names = [name for name, _, _ in self.servers]
        owners = installed and [names.index(name) if name in names else -1
                                for name in installed]
        return +Counter(dict(zip(names, slot_model.apportion_sets(
            self.servers, self.live_sets(), owners, n_slots))))

    def has(self, name):
        return any(server == name for server, _, _ in self.servers)

    def fractions(self):
        """Exact shares by name of server."""
        def weight_of(number):
            return self.live_sets()[number - 1][1]

        def live(number):
            """Whether anybody in the set takes connections."""
            return bool(weight_of(number)) and any(
                share and (n == number or (number == 1 and n == 2
                                           and weight_of(2)))
                for _, share, n in self.servers)

        def total(number):
            return (sum(share for _, share, n in self.servers if n == number)
                    + sum(weight for i, (_, weight, parent)
                          in enumerate(self.live_sets(), 1)
                          if parent == number and live(i)))

        part = {0: Fraction(1)}
        for i, (_, weight, parent) in enumerate(self.live_sets(), 1):
            part[i] = (part[parent] * weight / total(parent) if live(i)
                       else Fraction(0))
        return {name: part[n] * share / total(n)
                for name, share, n in self.servers if share and part[n]}


def read_table(lab):
    """Names of servers, a tuple with one for each slot."""
    names = member_names(lab)
    flows = slot_flows(lab)
    if flows:
        assert sorted(flows) == list(range(len(flows)))
        return tuple(names[flows[slot]] for slot in range(len(flows)))
    tables = slot_tables(lab).values()
    table, = (t for t in tables if len(t) >= 16)
    return tuple(names[member] for member in table)


class Homes:
    """Whose slots were whose, of servers that got none."""

    def __init__(self, n_slots):
        self.names = [None] * n_slots

    def owners(self, content, table):
        """'table', with those who are away."""
        return [home if home and content.has(home) else owner
                for home, owner in zip(self.names, table)]

    def update(self, content, before, quotas, table):
        for s, (home, old, new) in enumerate(zip(self.names, before, table)):
            if home and not content.has(home):
                home = None
            if not home and content.has(old) and not quotas[old]:
                home = old
            self.names[s] = home if home != new else None


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("policy", POLICIES)
def test_exact_and_least(lab, policy, seed):
    rng = random.Random(f"{policy} {seed}")
    n_slots = POLICIES[policy].get("slots", 256)
    homes = Homes(n_slots)
    before = None
    for _ in range(N_STEPS):
        content = Content(lab, policy, rng)
        path = lab.file(content.pool)
        foretold = json.loads(lab.lbgen("diff", "--json", path,
                                        check=2).stdout)["pools"][0]
        lab.lbgen("apply", path)
        table = read_table(lab)
        quotas = Counter(table)
        assert len(table) == n_slots
        wanted = content.quotas(n_slots, before)
        if before and wanted != Counter(before):
            wanted = content.quotas(n_slots, homes.owners(content, before))
        assert quotas == wanted
        fractions = content.fractions()
        if n_slots * min(fractions.values()) >= 1:  # Nobody is given one.
            assert all(abs(quotas[name] - share * n_slots) < 3
                       for name, share in fractions.items())
        if before:
            must = sum((Counter(before) - quotas).values())
            assert moved(before, table) == must
            assert foretold["moved_slots"] == (
                0 if policy == "round-robin" else must)
        if policy == "round-robin":
            check_turns(lab, content)
        if before:
            homes.update(content, before, quotas, table)
        before = table


def check_turns(lab, content):
    """As many turns as make shares exact, or as there are slots."""
    fractions = content.fractions()
    exact = next((n for n in range(1, 257)
                  if all((share * n).denominator == 1
                         for share in fractions.values())), None)
    quotas = (Counter({name: int(share * exact)
                       for name, share in fractions.items()})
              if exact else content.quotas(256))
    names = member_names(lab)
    turns = turn_flows(lab)
    assert Counter(names[member] for member in turns.values()) == quotas
