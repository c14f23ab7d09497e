# SPDX-License-Identifier: Apache-2.0
"""Flows and groups that were changed by hand, and records that make no sense:
seen by status and diff, mended by apply."""

import json
import re

import pytest

from lab_switch import KINDS, NORMAL, cookie_kind, snapshot

pytestmark = pytest.mark.switch


def own_flow(lab, kind):
    """Table, priority and match of a flow of lbgen's, for ovs-ofctl."""
    for flow in lab.flows():
        if cookie_kind(flow) == KINDS[kind]:
            match = re.sub(r"^cookie=\w+, ", "", flow).split(" actions=")[0]
            return match.replace(", ", ",")
    raise AssertionError(f"no flow of kind {kind}")


def edit_bucket(lab):
    group = lab.groups()[0]
    members = sorted(set(re.findall(r"set_field:(\w+)->reg0", group)))
    now = re.search(r"bucket_id:7,.*?set_field:(\w+)", group)[1]
    new = members[1] if now == members[0] else members[0]
    now = re.search(r"bucket_id:7,.*?set_field:(\w+)", group)[1]
    new = members[1] if now == members[0] else members[0]
    lab.ofctl("mod-group", "br0",
              re.sub(r"(bucket_id:7,.*?set_field:)\w+", rf"\g<1>{new}", group,
                     count=1))


def delete_flow(kind):
    return lambda lab: lab.ofctl("--strict", "del-flows", "br0",
                                 own_flow(lab, kind))


def modify_flow(lab):
    lab.ofctl("--strict", "mod-flows", "br0",
              own_flow(lab, "SERVER") + ",actions=drop")


def add_flow(lab):
    lab.ofctl("add-flow", "br0", "cookie=0x6c62670100000001,table=0,"
              "priority=40008,arp,arp_tpa=10.0.0.99,actions=drop")


def delete_group(lab):
    lab.ofctl("del-groups", "br0")


def delete_all_flows(lab):
    lab.ofctl("del-flows", "br0")


def delete_everything(lab):
    lab.ofctl("del-flows", "br0")
    lab.ofctl("del-groups", "br0")


def flip_cookie(lab):
    """The same flow, but not with lbgen's mark."""
    lab.ofctl("add-flow", "br0", f"cookie=0x6c6267{KINDS['FORWARD']:02x}99999999,"
              + own_flow(lab, "FORWARD") + ",actions=drop")


# What is done, how many differences status counts, whether the slots are
# remembered.
DRIFTS = {
    "bucket": (edit_bucket, 1, True),
    "server flow": (delete_flow("SERVER"), 1, True),
    "arp": (delete_flow("ARP"), 1, True),
    "modified": (modify_flow, 1, True),
    "additional": (add_flow, 1, True),
    "cookie": (flip_cookie, 1, True),
    # The pool's, its chain and the one that is always alive; with the chain
    # go the three flows that point to it: for whole packets, for first
    # fragments and for later ones.
    "group": (delete_group, 6, True),
    # Without a record all that is left is too much: group and 17 flows.
    "record": (delete_flow("RECORD"), None, False),
    "all flows": (delete_all_flows, None, False),
    "everything": (delete_everything, None, False),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_drift(module_lab, name):
    """The slots are not the ones of an empty bridge, so that it shows whether
    they were remembered."""
    lab = module_lab
    change, drift, remembered = DRIFTS[name]
    path = lab.pool_yaml([3, 2, 2])
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.lbgen("apply", path)
    fresh = snapshot(lab)
    lab.lbgen("apply", lab.pool_yaml([1, 5, 2]))
    lab.lbgen("apply", path)
    good = snapshot(lab)
    assert good != fresh

    change(lab)
    assert snapshot(lab) != good
    result = lab.lbgen("status", "-b", "br0", "--json")
    status = json.loads(result.stdout)
    text = lab.lbgen("status", "-b", "br0").stdout
    if drift is not None:
        assert status["drift"] == drift
        assert f"\n{drift} flows or groups are not as lbgen left" in text
        assert [pool["name"] for pool in status["pools"]] == ["web"]
    elif name != "everything":
        assert status["drift"] > 0
        assert "flows or groups are not as lbgen left them" in text
        assert status["pools"] == []
    diff = lab.lbgen("diff", path, check=2).stdout
    assert "@@ " in diff
    lab.lbgen("apply", path)
    assert snapshot(lab) - {NORMAL} == (good if remembered else fresh) - {
        NORMAL}
    assert lab.lbgen("diff", path).stdout == ""
    assert json.loads(lab.lbgen("status", "-b", "br0",
                                "--json").stdout)["drift"] == 0
    lab.ofctl("add-flow", "br0", "priority=0,actions=NORMAL")


def damage_record(lab, kind, change):
    """Rewrites the text of a record."""
    for flow in lab.flows():
        if cookie_kind(flow) == KINDS[kind]:
            head, note = flow.split(" actions=note:")
            text = bytes.fromhex(note.replace(".", "")).rstrip(b"\0")
            text = change(text)
            hexa = ".".join(f"{byte:02x}" for byte in text)
            lab.ofctl("add-flow", "br0", head.replace(", ", ",")
                      + f",actions=note:{hexa}")


@pytest.mark.parametrize("change", [
    lambda text: text[:100],
    lambda text: text.replace(b'"lbgen"', b'"lbgon"'),
    lambda text: text.replace(b'"slots":"', b'"slots":"?'),
    lambda text: text.replace(b'"members":[', b'"members":[1,'),
    lambda text: b"\xff" * 200,
    lambda text: b"[" * 500,
    lambda text: b"{}",
], ids=["cut", "magic", "slots", "members", "binary", "deep", "empty"])
def test_damaged_record(module_lab, change):
    lab = module_lab
    path = lab.pool_yaml([3, 2, 2])
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.lbgen("apply", path)
    good = snapshot(lab)
    damage_record(lab, "RECORD", change)
    assert snapshot(lab) != good
    warning = ('lbgen: warning: bridge "br0": the record of a pool is '
               "damaged; apply mends it, with slots computed anew\n")
    status = lab.lbgen("status", "-b", "br0", "--json")
    assert json.loads(status.stdout)["drift"] > 0
    assert status.stderr == warning
    assert lab.lbgen("diff", path, check=2).stderr == warning
    assert lab.lbgen("apply", path).stderr == warning
    assert snapshot(lab) == good
    assert lab.lbgen("diff", path).stderr == ""


def test_damaged_settings(module_lab):
    lab = module_lab
    path = lab.pool_yaml([3, 2, 2])
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.lbgen("apply", path)
    good = snapshot(lab)
    damage_record(lab, "SETTINGS", lambda text: text[:20])
    status = lab.lbgen("status", "-b", "br0")
    assert 'bridge "br0": the record of the settings is damaged' \
        in status.stderr
    assert 'bridge "br0" has lost lbgen\'s settings' in status.stderr
    assert "pool web: " in status.stdout
    result = lab.lbgen("delete", "--pool", "web", "-b", "br0", check=1)
    assert 'lost lbgen\'s settings; apply the file first, or delete --all' \
        in result.stderr
    lab.lbgen("diff", path, check=2)
    lab.lbgen("apply", path)
    assert snapshot(lab) == good
    damage_record(lab, "SETTINGS", lambda text: text[:20])
    lab.lbgen("delete", "--all", "-b", "br0")
    assert snapshot(lab) == {NORMAL}


def test_newer_lbgen(module_lab):
    lab = module_lab
    path = lab.pool_yaml()
    lab.lbgen("delete", "--all", "-b", "br0")
    lab.lbgen("apply", path)
    damage_record(lab, "RECORD",
                  lambda text: re.sub(rb'"lbgen":\d+', b'"lbgen":999', text))
    before = snapshot(lab)
    for args in (("apply", path), ("diff", path), ("delete", path),
                 ("status", "-b", "br0")):
        result = lab.lbgen(*args, check=1)
        assert result.stderr == ('lbgen: bridge "br0" was set up by a newer '
                                 "lbgen; use that one\n")
    assert snapshot(lab) == before
    lab.ofctl("del-flows", "br0")
    lab.ofctl("del-groups", "br0")
    lab.ofctl("add-flow", "br0", "priority=0,actions=NORMAL")
