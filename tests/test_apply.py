# SPDX-License-Identifier: Apache-2.0
"""diff and apply on a real switch: that they agree, and that apply is all or
nothing."""

import copy
import json
import random
import re
import subprocess
import time

import pytest

from lab import assert_shares, wait_for
from lab_switch import (KINDS, NORMAL, Messages, changing, cookie_kind, plain,
                        snapshot)

pytestmark = pytest.mark.switch


def durations(lab):
    return {re.sub(r"duration=[\d.]+s|n_packets=\d+, n_bytes=\d+, ", "", flow):
            float(re.search(r"duration=([\d.]+)s", flow)[1])
            for flow in lab.flows(stats=True)}


# Nothing to do.

def test_second_apply_sends_nothing(lab):
    path = lab.pool_yaml([3, 2, 2])
    with Messages(lab) as messages:
        first = lab.lbgen("apply", path)
    assert first.stdout == "br0: groups +3 ~0 -0, flows +55 ~0 -0\n"
    assert not first.stderr
    assert changing(messages) == {"OFPT_BUNDLE_CONTROL": 2,
                                  "OFPT_BUNDLE_ADD_MESSAGE": 58 + 1}
    start, before = time.monotonic(), durations(lab)
    with Messages(lab) as messages:
        second = lab.lbgen("apply", path)
    assert second.stdout == "br0: in sync, nothing sent\n"
    assert not second.stderr and not changing(messages)
    after, end = durations(lab), time.monotonic()
    assert set(after) == set(before)
    for flow, duration in before.items():
        assert duration <= after[flow] <= duration + end - start + .1


def test_diff_and_status_send_nothing(lab):
    path = lab.pool_yaml()
    with Messages(lab) as messages:
        lab.lbgen("diff", path, check=2)
        lab.lbgen("apply", "--dry-run", path, check=2)
        lab.lbgen("status", "-b", "br0")
        lab.lbgen("delete", "--all", "--dry-run", "-b", "br0")
    assert not changing(messages)
    assert snapshot(lab) == {NORMAL}


@pytest.mark.parametrize("options", [(), ("--json",), ("--color", "always")])
def test_dry_run_equals_diff(module_lab, options):
    lab = module_lab
    lab.lbgen("delete", "--all", "-b", "br0")
    path = lab.pool_yaml([3, 2, 2])
    for status in 2, 0:
        diff = lab.lbgen("diff", *options, path, check=status)
        dry = lab.lbgen("apply", "--dry-run", *options, path, check=status)
        assert diff.stdout == dry.stdout and not diff.stderr + dry.stderr
        assert bool(diff.stdout) == (status == 2 or options == ("--json",))
        assert ("\033[" in diff.stdout) == (status == 2
                                            and options[:1] == ("--color",))
        lab.lbgen("apply", path)


def test_exit_statuses(module_lab):
    lab = module_lab
    lab.lbgen("delete", "--all", "-b", "br0")
    good, bad = lab.pool_yaml(), lab.write("bridge: br0\npools: 1\n")
    for args, status in ((("check", good), 0), (("check", bad), 1),
                         (("export", good), 0), (("export", bad), 1),
                         (("diff", good), 2), (("diff", bad), 1),
                         (("apply", "--dry-run", good), 2),
                         (("apply", good), 0), (("diff", good), 0),
                         (("apply", "--dry-run", good), 0),
                         (("apply", bad), 1), (("delete", bad), 1),
                         (("status", "-b", "br0"), 0),
                         (("status", "-b", "br0", "web"), 0),
                         (("status", "-b", "br0", "wob"), 1),
                         (("status",), 64),
                         (("delete", "--dry-run", good), 2),
                         (("delete", good), 0),
                         (("delete", "--dry-run", good), 0),
                         (("apply",), 64), (("diff", good, good), 64),
                         (("delete",), 64), (("delete", "--all", good), 64),
                         (("apply", "--all", good), 64)):
        result = lab.lbgen(*args, check=status)
        assert bool(result.stderr) == (status in (1, 64)), args


# What diff prints is what apply does.

def edits(lab):
    """A file's versions, one after the other, as (name, content)."""
    content = {"bridge": "br0", "pools": [lab.pool([3, 2, 2])]}
    web = content["pools"][0]

    def version(name):
        return name, copy.deepcopy(content)

    yield version("first")
    web["servers"][0]["weight"] = 5
    yield version("weight")
    web["servers"][1]["state"] = "drain"
    yield version("drain")
    gone = web["servers"].pop(1)
    yield version("server removed")
    web["servers"].insert(0, gone)
    yield version("server added, first in the file")
    web["servers"][0].pop("state")
    web["servers"][0]["port"] = 8080
    yield version("port of a server")
    web["servers"][2]["mac"] = "02:00:00:00:00:aa"
    yield version("mac of a server")
    web["servers"][2]["interface"] = "c2-o"
    yield version("interface of a server")
    web["servers"][2].update(mac="02:00:00:00:00:03", interface="s3-o")
    content["pools"].append(lab.pool([1, 2, 3], name="dns", port=53,
                                     protocol="udp", policy="sticky"))
    yield version("pool added")
    web["vip"] = "10.0.0.101"
    yield version("vip")
    web["vip_mac"] = "02:00:00:00:00:fe"
    yield version("mac of the vip")
    web["policy"] = "random"
    yield version("random")
    web["connections"] = "stateless"
    yield version("stateless")
    web["slots"] = 64
    yield version("slots")
    content["pools"][1]["sticky"] = {"prefix": 24}
    yield version("sticky by network")
    content["priority"] = 500
    yield version("priority")
    content["table_base"] = 100
    yield version("table base")
    content["zone"] = 7
    yield version("zone")
    content["entry_table"] = 3
    yield version("entry table")
    content["fallback"] = "normal"
    yield version("fallback")
    web["name"] = "weby"
    yield version("pool renamed")
    content["pools"].pop(0)
    yield version("pool removed")
    content["pools"] = []
    yield version("no pool")


def test_diff_is_what_apply_does(lab):
    """On the level of flows and groups: the changes that diff lists are the
    difference between before and after, and each is one message, besides those
    about the generation."""
    n_generation = 1
    for name, content in edits(lab):
        path = lab.write(content)
        before = snapshot(lab)
        diff = json.loads(lab.lbgen("diff", "--json", path, check=2).stdout)
        with Messages(lab) as messages:
            done = json.loads(lab.lbgen("apply", "--json", path).stdout)
        after = snapshot(lab)

        assert done.pop("applied") is True and not diff.pop("applied")
        assert done.pop("in_sync") is True and not diff.pop("in_sync")
        assert done.pop("connections_cut") == 0
        assert diff.pop("connections_cut") is None
        assert done == diff, name
        for side, state, other in (("old", before, after),
                                   ("new", after, before)):
            listed = {plain(f"{change['type']} {change[side]}")
                      for change in diff["changes"] if change[side]}
            assert listed == state - other, name
        assert (messages["OFPT_BUNDLE_ADD_MESSAGE"]
                == n_generation + len(diff["changes"])), name
        n_generation = 2
        assert lab.lbgen("diff", path).stdout == "", name
    assert after == {NORMAL}


def differing(group, other):
    """The buckets of 'group' that 'other', which may be None, does not have
    in the same place."""
    def buckets(text):
        return [f"bucket={bucket}"
                for bucket in (text or "").split(",bucket=")[1:]]

    others = buckets(other)
    return [bucket for i, bucket in enumerate(buckets(group))
            if others[i:i + 1] != [bucket]]


def test_text_and_json_of_diff_agree(lab):
    """The unified diff has the same flows, groups and buckets as --json."""
    for name, content in edits(lab):
        path = lab.write(content)
        text = lab.lbgen("diff", path, check=2).stdout
        changes = json.loads(lab.lbgen("diff", "--json", path,
                                       check=2).stdout)["changes"]
        for mark, side in ("-", "old"), ("+", "new"):
            flows = [change[side] for change in changes
                     if change["type"] == "flow" and change[side]]
            assert [line[6:] for line in text.split("\n")
                    if line.startswith(f"{mark}flow ")] == flows, name
        groups = [change for change in changes if change["type"] == "group"]
        heads = [change[side].split(",bucket=")[0] for change in groups
                 for side in ("old", "new") if change[side]]
        # A head that stays is there once.
        assert dict.fromkeys(
            line[7:] for line in text.split("\n")
            if re.match("[-+ ]group ", line)) == dict.fromkeys(heads), name
        for mark, side, other in ("-", "old", "new"), ("+", "new", "old"):
            buckets = [bucket for change in groups
                       for bucket in differing(change[side], change[other])]
            assert [line[3:] for line in text.split("\n")
                    if line.startswith(f"{mark}  ")] == buckets, name
        lab.lbgen("apply", path)


def test_pools_of_diff(lab):
    """On the level of servers: what --json says adds up."""
    lab.lbgen("apply", lab.pool_yaml([3, 2, 2]))
    path = lab.file(lab.pool([1, 2, 2]), lab.pool([1], name="new", port=81))
    diff = json.loads(lab.lbgen("diff", "--json", path, check=2).stdout)
    pools = {pool["name"]: pool for pool in diff["pools"]}
    web = pools["web"]
    assert web["change"] == "modify" and web["moved_slots"] == 59
    assert web["moved_share"] == round(59 / 256, 6)
    slots = {side: [server[side]["slots"] for server in web["servers"]]
             for side in ("old", "new")}
    assert slots == {"old": [110, 73, 73], "new": [51, 103, 102]}
    assert [server["new"]["asked"] for server in web["servers"]] == [.2, .4,
                                                                     .4]
    assert pools["new"]["change"] == "add" and pools["new"]["old"] is None
    assert pools["new"]["servers"][0]["new"]["share"] == 1
    lab.lbgen("apply", path)
    diff = json.loads(lab.lbgen("diff", "--json",
                                lab.pool_yaml([1, 2, 2]), check=2).stdout)
    assert {pool["name"]: pool["change"] for pool in diff["pools"]} == {
        "web": "none", "new": "delete"}


def test_counters_survive_a_weight(lab):
    """Flows that do not change are not sent, so they keep their counters."""
    for server in lab.servers:
        lab.serve(server, 80)
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1]))
    assert lab.connect("c1", "10.0.0.100", 80, 300).failures == 0

    def packets():
        return {re.sub(r"duration=.*?n_bytes=\d+, ", "", flow): count
                for flow in lab.flows(stats=True)
                if (count := int(re.search(r"n_packets=(\d+)", flow)[1]))}

    lab.appctl("revalidator/purge")
    before = packets()
    assert len(before) >= 10
    lab.lbgen("apply", lab.pool_yaml([2, 1, 1]))
    after = packets()
    assert all(after[flow] >= count for flow, count in before.items())


# All or nothing.

def limit_table(lab, table, n):
    lab.vsctl("--", "--id=@t", "create", "Flow_Table", f"flow_limit={n}",
              "overflow_policy=refuse", "--", "set", "Bridge", "br0",
              f"flow_tables:{table}=@t")


@pytest.mark.parametrize("table, blame", [(202, "s3"), (200, "s3")])
def test_refused_bundle_changes_nothing(lab, table, blame):
    """The switch refuses one message of many: the whole is undone, and the
    line of the server is named that the message was for."""
    lab.lbgen("apply", lab.pool_yaml([1, 1]))
    n = len([flow for flow in lab.flows() if f" table={table}," in flow])
    limit_table(lab, table, n)
    before = snapshot(lab)
    path = lab.pool_yaml([3, 2, 2])
    with open(path) as file:
        lines = file.read().split("\n")
    line = next(i for i, text in enumerate(lines, 1)
                if f'"name": "{blame}"' in text) - 1
    assert lines[line - 1].strip() == "{"
    result = lab.lbgen("apply", path, check=1)
    first, note = result.stderr.rstrip("\n").split("\n")
    assert re.match(rf'{re.escape(path)}:{line}:\d+: error: bridge "br0" '
                    r"refused a change and is unchanged: OFPFMFC_TABLE_FULL "
                    r"\(", first), result.stderr
    assert re.match(rf"lbgen: note: it refused: cookie=0x6c6267.*table={table}"
                    rf',.*output:"{blame}-o"', note), result.stderr
    assert result.stdout == "" and snapshot(lab) == before
    lab.vsctl("clear", "Bridge", "br0", "flow_tables")
    lab.lbgen("apply", path)
    assert lab.lbgen("diff", path).stdout == ""


def many_pools(lab, seed):
    """100 pools; with another seed all have other weights, and each fifth
    another VIP."""
    rng = random.Random(seed)
    return lab.file(*(
        lab.pool([rng.randint(1, 9) for _ in lab.servers], name=f"p{i}",
                 vip=f"10.0.{100 + i}.{seed if i % 5 == 0 else 0}",
                 server_port=1000 + i, slots=32)
        for i in range(100)))


def test_kill(lab):
    """kill -9 at any moment leaves the old or the new, nothing between.
    (diff reads every flow and group, and finds nothing against one file.)"""
    lab.expect_errors = r"vconn_stream\|ERR\|send: Broken pipe"
    files = [many_pools(lab, 1), many_pools(lab, 2)]
    seconds = []
    for path in files * 2:
        begin = time.monotonic()
        lab.lbgen("apply", path)
        seconds.append(time.monotonic() - begin)
    longest = max(seconds[1:])
    rng = random.Random(3)
    current, outcomes = 1, []
    while len(outcomes) < 30 or (len(set(outcomes)) < 2
                                 and len(outcomes) < 200):
        process = lab.popen(lab.netns, lab.lbgen_path(), "apply",
                            files[1 - current], stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, longest))
        process.kill()
        process.wait()
        # The switch may still be at work on what it has got.
        lab.ofctl("dump-desc", "br0")
        found = [lab.lbgen("diff", path, check=None).returncode
                 for path in files]
        assert sorted(found) == [0, 2]
        outcomes.append(found.index(0) != current)
        current = found.index(0)
        if len(outcomes) % 10 == 0 and len(set(outcomes)) == 1:
            longest *= 0.67 if outcomes[-1] else 1.5
    assert True in outcomes and False in outcomes, outcomes
    assert len(snapshot(lab)) > 1000
    lab.lbgen("delete", "--all", "-b", "br0")
    assert snapshot(lab) == {NORMAL}


# Delete.

def two_pools(lab, **keys):
    return (lab.pool([1, 1, 1], name="a", **keys),
            lab.pool([1, 1, 1], name="b", port=81, server_port=80, **keys))


@pytest.mark.parametrize("how", ["file", "pool"])
def test_delete_one_of_two(lab, how):
    """The pools share VIP, servers and return flows."""
    for server in lab.servers:
        lab.serve(server, 80)
    a, b = two_pools(lab)
    lab.lbgen("apply", lab.file(b))
    only_b = snapshot(lab)
    lab.lbgen("apply", lab.file(a, b))
    args = ([lab.file(a)] if how == "file"
            else ["--pool", "a", "-b", "br0"])
    preview = lab.lbgen("delete", "--dry-run", *args, check=2).stdout
    assert preview.startswith("pool a: removed\n")
    lab.lbgen("delete", *args)
    assert snapshot(lab) == only_b
    traffic = lab.connect("c1", "10.0.0.100", 81, 300)
    assert_shares(traffic, [1, 1, 1], 300)
    assert lab.connect("c1", "10.0.0.100", 80, 3, timeout=.3).failures == 3
    again = lab.lbgen("delete", *args, check=0 if how == "file" else 1)
    if how == "file":
        assert again.stdout == "br0: in sync, nothing sent\n"
    else:
        assert again.stderr == 'lbgen: bridge "br0" has no pool "a"\n'
    assert snapshot(lab) == only_b
    lab.lbgen("delete", "--all", "-b", "br0")
    assert snapshot(lab) == {NORMAL}


FOREIGN = ["cookie=0x1,table=0,priority=50000,tcp,tp_dst=22,actions=NORMAL",
           "cookie=0x6c6268,table=0,priority=3,actions=NORMAL",
           "table=5,actions=group:7", "table=222,ip,actions=drop",
           "cookie=0x6c62680000000000,table=9,actions=drop"]


def test_foreign_things_stay(lab):
    for group in ("group_id=7,type=all,bucket=output:1",
                  "group_id=1818361857,type=select,selection_method=dp_hash,"
                  "bucket=output:1,bucket=output:2"):
        lab.ofctl("add-group", "br0", group)
    for flow in FOREIGN:
        lab.ofctl("add-flow", "br0", flow)
    foreign = snapshot(lab)
    a, b = two_pools(lab)
    stateless = lab.pool([1], name="c", port=99, connections="stateless")
    for args in (("apply", lab.file(a)), ("apply", lab.file(a, b, stateless)),
                 ("delete", "--pool", "a", "-b", "br0"),
                 ("apply", lab.file(a)), ("delete", lab.file(b)),
                 ("delete", "--all", "-b", "br0")):
        lab.lbgen(*args)
        assert foreign <= snapshot(lab)
    assert snapshot(lab) == foreign


def test_clients_that_were_learned_go_with_the_last_stateless_pool(lab):
    for server in lab.servers:
        lab.serve(server, 80)
    path = lab.pool_yaml(connections="stateless")
    lab.lbgen("apply", path)
    assert lab.connect("c1", "10.0.0.100", 80, 50).failures == 0
    assert [flow for flow in lab.flows() if cookie_kind(flow) == KINDS["CLIENT"]]
    assert lab.lbgen("diff", path).stdout == ""
    lab.lbgen("delete", path)
    assert snapshot(lab) == {NORMAL}


def test_delete_where_nothing_is(module_lab):
    lab = module_lab
    lab.lbgen("delete", "--all", "-b", "br0")
    for args in (["--all", "-b", "br0"], [lab.pool_yaml()]):
        result = lab.lbgen("delete", *args)
        assert result.stdout == "br0: in sync, nothing sent\n"
    result = lab.lbgen("delete", "--pool", "web", "-b", "br0", check=1)
    assert result.stderr == 'lbgen: bridge "br0" has no pool "web"\n'


# Status.

def test_status(lab):
    for server in lab.servers:
        lab.serve(server, 80)
    lab.lbgen("apply", lab.file(lab.pool([3, 2, 2]),
                                lab.pool([1, 1], name="other", port=81,
                                         connections="stateless",
                                         server_port=8081)))
    traffic = lab.connect("c1", "10.0.0.100", 80, 700)
    assert_shares(traffic, [3, 2, 2], 700)

    def status(*args):
        return json.loads(lab.lbgen("status", "-b", "br0", "--json",
                                    *args).stdout)

    wait_for(lambda: sum(server["connections"] for server in
                         status("web")["pools"][0]["servers"]) == 700,
             "counters")
    wait_for(lambda: status() == (time.sleep(.6), status())[1],
             "counters settle")
    whole = status()
    assert whole["bridge"] == "br0" and whole["drift"] == 0
    assert whole["settings"] == {
        "entry_table": 0, "table_base": 200, "priority": 40000,
        "zone": 27746, "fallback": "none"}
    other, web = sorted(whole["pools"], key=lambda pool: pool["name"])
    assert [other["name"], web["name"]] == ["other", "web"]
    assert web["vip"] == "10.0.0.100:80/tcp" and web["slots"] == 256
    assert (web["policy"], web["connections"]) == ("wrr", "tracked")
    for server, weight in zip(web["servers"], [3, 2, 2]):
        assert server["weight"] == weight and server["state"] == "ready"
        assert server["connections"] == traffic[server["name"]]
        assert server["asked"] == round(weight / 7, 6)
        assert server["share"] == round(server["slots"] / 256, 6)
        # SYN, ACK, question, FIN or more; answers likewise.
        assert server["packets"] >= 3 * server["connections"]
        assert server["reply_packets"] >= 3 * server["connections"]
        assert server["bytes"] >= 60 * server["packets"] - 1
        assert server["reply_bytes"] >= 60 * server["reply_packets"] - 1
    assert sum(server["slots"] for server in web["servers"]) == 256
    assert [server["connections"] for server in other["servers"]] == [None] * 2
    assert [server["packets"] for server in other["servers"]] == [0, 0]

    only = status("other")
    assert [pool["name"] for pool in only["pools"]] == ["other"]
    check_text_of_status(lab, web)


def check_text_of_status(lab, web):
    """Nothing has changed since, so the table has the same numbers."""
    text = lab.lbgen("status", "-b", "br0").stdout
    assert text.startswith("bridge br0: 2 pools, tables 0 and 200 up, "
                           "priority 40000, zone 27746, fallback none\n")
    header = re.search(r"^pool web: (.*)$", text, re.M)[1]
    assert header == ("10.0.0.100:80/tcp at 02:6c:0a:00:00:64, wrr, tracked, "
                      "256 slots")
    part = text[text.index("pool web:"):].split("\n\n")[0]
    rows = [line.split() for line in part.split("\n")[2:] if line]
    assert rows == [[
        server["name"], server["address"], "ready", str(server["weight"]),
        f"{100 * server['asked']:.2f}%", f"{100 * server['slots'] / 256:.2f}%",
        str(server["slots"]), str(server["connections"]),
        str(server["packets"]), str(server["bytes"]),
        str(server["reply_packets"]), str(server["reply_bytes"])]
        for server in web["servers"]]
    only = lab.lbgen("status", "other", "-b", "br0").stdout
    assert "pool other:" in only and "pool web:" not in only
    assert lab.lbgen("status", "-b", "br0", "wob", check=1).stderr == (
        'lbgen: bridge "br0" has no pool "wob"\n')


def test_status_of_an_empty_bridge(lab):
    assert lab.lbgen("status", "-b", "br0").stdout == "bridge br0: 0 pools\n"
    assert json.loads(lab.lbgen("status", "-b", "br0", "--json").stdout) == {
        "bridge": "br0", "drift": 0, "pools": []}
