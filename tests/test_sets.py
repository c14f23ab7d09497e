# SPDX-License-Identifier: Apache-2.0
"""Sets of servers: shares on every level, in the file, and with traffic."""

import json
import random
from collections import Counter
from fractions import Fraction

import pytest
from lab import assert_shares
from lab_slots import wait_revalidated

import slot_model as model
from test_slots import lbtest, random_installed, random_share


def quotas(servers, sets, installed=None, n_slots=256):
    words = [n_slots, len(servers)]
    for name, share, _ in servers:
        words += [name, share]
    words += ["sets", len(sets)]
    for one in sets:
        words += one
    words += [number for _, _, number in servers]
    words += ["table", *installed] if installed else ["none"]
    text = " ".join(map(str, words)) + "\n"
    return list(map(int, lbtest("slots", text=text).split("\n")[0].split()))


def random_tree(rng):
    """(servers, sets), with up to three levels of sets."""
    sets, depth = [], [0]
    for i in range(rng.randint(1, 6)):
        parent = rng.choice([n for n in range(len(sets) + 1) if depth[n] < 3])
        depth.append(depth[parent] + 1)
        sets.append((f"set-{i}-{rng.randrange(1000)}", random_share(rng),
                     parent))
    servers = [(f"server-{name}", random_share(rng),
                rng.randint(0, len(sets)))
               for name in rng.sample(range(1000), rng.randint(1, 16))]
    return servers, sets


@pytest.mark.parametrize("with_installed", [False, True])
def test_same_as_model(with_installed):
    rng = random.Random(4 + with_installed)
    for _ in range(300):
        servers, sets = random_tree(rng)
        n_slots = rng.choice([16, 64, 256, 4096])
        installed = (random_installed(rng, servers, n_slots)
                     if with_installed else None)
        assert (quotas(servers, sets, installed, n_slots)
                == model.apportion_sets(servers, sets, installed, n_slots)
                ), (servers, sets, n_slots)


def test_every_level_is_exact_to_a_slot():
    """Of sets as well as of servers."""
    rng = random.Random(6)
    for _ in range(300):
        sets = [("a", rng.randint(20, 99), 0), ("b", rng.randint(20, 99), 0),
                ("c", rng.randint(20, 99), 1), ("d", rng.randint(20, 99), 1)]
        servers = [(f"s{i}", rng.randint(50, 100), 2 + i % 3)
                   for i in range(12)]
        got = quotas(servers, sets, n_slots=4096)
        total = sum(share for _, share, parent in sets if parent == 0)
        inner = sum(share for _, share, parent in sets if parent == 1)
        asked = {2: Fraction(sets[1][1], total)}
        for number in (3, 4):
            asked[number] = (Fraction(sets[0][1], total)
                             * Fraction(sets[number - 1][1], inner))
        got_by_set = Counter()
        for (_, share, number), quota in zip(servers, got):
            weights = sum(s for _, s, n in servers if n == number)
            exact = 4096 * asked[number] * Fraction(share, weights)
            assert abs(quota - exact) < 1
            got_by_set[number] += quota
        for number, share in asked.items():
            assert abs(got_by_set[number] - 4096 * share) < 1


def test_sixty_and_forty():
    """"Servers 1-3 together 60 %, 4-5 together 40 %"."""
    sets = [("one", 60, 0), ("two", 40, 0)]
    servers = [(f"s{i}", 1, 1 if i <= 3 else 2) for i in range(1, 6)]
    got = quotas(servers, sets)
    assert sum(got[:3]) == 154 and sum(got[3:]) == 102
    assert sorted(got) == [51, 51, 51, 51, 52]


def test_a_set_without_servers_asks_for_nothing():
    sets = [("one", 60, 0), ("two", 40, 0)]
    assert quotas([("s1", 0, 1), ("s2", 1, 2)], sets) == [0, 256]
    assert quotas([("s1", 3, 1), ("s2", 1, 1), ("s3", 1, 2)],
                  [("one", 60, 0), ("two", 0, 0)]) == [192, 64, 0]


SETS = """
bridge: br0
pools:
  - name: web
    vip: 10.0.0.100
    port: 80
    servers:
      - set: east
        weight: 60
        servers:
          - {name: s1, ip: 10.0.0.1, mac: "02:00:00:00:00:01",
             interface: s1-o, port: 8080}
          - {name: s2, ip: 10.0.0.2, mac: "02:00:00:00:00:02",
             interface: s2-o, port: 8080%s}
          - set: annexe
            weight: 1
            servers:
              - {name: s3, ip: 10.0.0.3, mac: "02:00:00:00:00:03",
                 interface: s3-o, port: 8080}
      - set: west
        weight: %d
        servers:
          - {name: s4, ip: 10.0.0.4, mac: "02:00:00:00:00:04",
             interface: s4-o, port: 8080, weight: 3}
          - {name: s5, ip: 10.0.0.5, mac: "02:00:00:00:00:05",
             interface: s5-o, port: 8080}
"""


@pytest.mark.switch
def test_traffic(make_lab, tmp_path):
    """Shares, and a drain within a set, which stays in the set."""
    lab = make_lab(servers=5, clients=1)
    for server in lab.servers:
        lab.serve(server, 8080)
    path = tmp_path / "sets.yaml"
    path.write_text(SETS % ("", 40))
    lab.lbgen("apply", path)
    assert lab.lbgen("diff", path).stdout == ""
    traffic = lab.connect("c1", "10.0.0.100", 80, 3000)
    assert_shares(traffic, [20, 20, 20, 30, 10], n=3000)

    status = lab.lbgen("status", "-b", "br0").stdout
    assert ("set east, weight 60: asked 60.00%, share 60.16%, 154 slots\n"
            "  set annexe, weight 1: asked 20.00%, share 20.31%, 52 slots\n"
            "  set west, weight 40: asked 40.00%, share 39.84%, 102 slots\n"
            ) in status, status
    servers = json.loads(lab.lbgen("status", "-b", "br0", "--json").stdout
                         )["pools"][0]["servers"]
    assert [server["set"] for server in servers] == [
        "east", "east", "annexe", "west", "west"]

    path.write_text(SETS % (", state: drain", 40))
    result = lab.lbgen("apply", path)
    # s2's fifth of the table goes to the rest of its set, nothing else moves.
    assert "51 of 256 slots" in result.stdout, result.stdout
    wait_revalidated(lab)
    traffic = lab.connect("c1", "10.0.0.100", 80, 3000)
    assert_shares(traffic, [30, 0, 30, 30, 10], n=3000)

    path.write_text(SETS % ("", 0))
    lab.lbgen("apply", path)
    wait_revalidated(lab)
    traffic = lab.connect("c1", "10.0.0.100", 80, 1500)
    assert_shares(traffic, [1, 1, 1, 0, 0], n=1500)


@pytest.mark.switch
def test_operator(make_lab):
    """A whole set at once, and what of a set there is not."""
    lab = make_lab(servers=5, clients=1)
    for server in lab.servers:
        lab.serve(server, 8080)
    lab.lbgen("apply", lab.write(SETS % ("", 40)))
    hold = lab.hold("c1", "10.0.0.100", 80, 100)
    lab.lbgen("drain", "-b", "br0", "web/east")
    wait_revalidated(lab)
    traffic = lab.connect("c1", "10.0.0.100", 80, 600)
    assert_shares(traffic, [0, 0, 0, 3, 1], n=600)
    assert hold.ping().alive == 100
    result = lab.lbgen("drain", "-b", "br0", "--timeout=1", "--wait", "web/east",
                       check=1)
    left = sum(hold.opened[name] for name in ("s1", "s2", "s3"))
    assert f"web/east still has {left} connections" in result.stderr
    hold.close()
    lab.lbgen("ready", "-b", "br0", "web/annexe")
    wait_revalidated(lab)
    traffic = lab.connect("c1", "10.0.0.100", 80, 1500)
    assert_shares(traffic, [0, 0, 60, 30, 10], n=1500)
    lab.lbgen("ready", "-b", "br0", "web/east")
    wait_revalidated(lab)
    traffic = lab.connect("c1", "10.0.0.100", 80, 1500)
    assert_shares(traffic, [20, 20, 20, 30, 10], n=1500)

    for args, message in (
            (("weight", "web/east", "5"), '"east" is a set, which has the '
             "weight that the file says; servers in it can have another one"),
            (("drain", "web/north"), 'pool "web" has no server "north"')):
        result = lab.lbgen(*args, "-b", "br0", check=1)
        assert message in result.stderr
