# SPDX-License-Identifier: Apache-2.0
"""ovs-vswitchd ends, flows and connection tracking with it, and comes back."""

import json
import re
import time

import pytest

from lab import wait_for

pytestmark = pytest.mark.switch

SAVE = "/usr/share/openvswitch/scripts/ovs-save"
N_HELD = 300


@pytest.fixture
def web(lab):
    """Servers behind ports, so that connections can be held."""
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


def apply_file(lab, **keys):
    path = lab.pool_yaml({"s1": 3, "s2": 2, "s3": 2}, server_port=8080,
                         **keys)
    lab.lbgen("apply", path)
    return path


def restart(lab, kill):
    """Returns when the switch listens again."""
    lab.restart_switch(kill=kill)
    wait_for(lambda: not lab.run(None, "ovs-ofctl", "-O", "OpenFlow15", "show",
                                 "br0", check=False).returncode,
             "the switch to come back")


def slots(lab):
    """Who has which slot."""
    return [re.findall(r"bucket_id:(\d+),.*?set_field:(\w+)->", group)
            for group in lab.groups() if "type=select" in group]


def quiet(lab):
    """True when no connection of a server waits for anything."""
    return not any(
        line.split()[1] != "0"
        for server in lab.servers for line in lab.run(
            server, "ss", "-Htn", "state", "established").stdout.split("\n")
        if line)


def survivors(hold, what):
    ping = hold.ping()
    n = ping.alive + ping.moved + ping.reset + ping.stalled
    print(f"{what}: of {n} held connections {ping.alive} survived, "
          f"{ping.moved} moved, {ping.reset} were reset, {ping.stalled} "
          "stalled")
    return ping


# A crash: nothing is left but the file

@pytest.mark.parametrize("policy", ["wrr", "sticky"])
@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_apply_after_a_crash(web, policy, connections):
    """The slot table is the same, so each client comes to the server that it
    had, though the switch knows nothing of its connections any more."""
    path = apply_file(web, policy=policy, connections=connections)
    sources = web.client_addresses("c1", 100)
    before = slots(web), set(web.flows())
    hold = web.hold("c1", "10.0.0.100", 80, N_HELD, sources=sources)
    assert len(hold.opened) == 3 and not hold.opened.failures
    wait_for(lambda: quiet(web), "acknowledgements of all that was sent")

    restart(web, kill=True)
    assert not web.groups()
    web.lbgen("diff", path, check=2)
    web.lbgen("apply", path)
    assert slots(web) == before[0] and set(web.flows()) == before[1]
    web.lbgen("diff", path)
    ping = survivors(hold, f"{policy}, {connections}, crash and apply, idle")
    assert ping.alive == N_HELD
    assert web.connect("c1", "10.0.0.100", 80, 300,
                       sources=sources).failures == 0


def busy_restart(lab, path):
    """A crash at a moment when servers wait for acknowledgements, and the apply
    a second later.  Returns what becomes of the connections."""
    hold = lab.hold("c1", "10.0.0.100", 80, N_HELD,
                    sources=lab.client_addresses("c1", 100))
    restart(lab, kill=True)
    time.sleep(1)
    lab.lbgen("apply", path)
    return hold


def test_gap_on_a_standalone_bridge(web):
    """Until the apply, a standalone bridge is a plain switch: what servers send
    on reaches the clients with the servers' own addresses, and they reset the
    connection.  It is said in the manual; here is how many."""
    path = apply_file(web)
    ping = survivors(busy_restart(web, path), "standalone, busy")
    assert ping.alive + ping.reset == N_HELD and not ping.moved


def test_gap_on_a_secure_bridge(make_lab):
    """On a secure one with "fallback: normal" nothing is forwarded until the
    apply, and so nothing is lost."""
    lab = make_lab(fail_mode="secure")
    for server in lab.servers:
        lab.serve(server, 8080)
    path = apply_file(lab, settings={"fallback": "normal"})
    ping = survivors(busy_restart(lab, path), "secure, busy")
    assert ping.alive == N_HELD


def test_other_weights_since(web):
    """A bridge that came to its slots step by step gets those of a first
    apply: most are where they were, and the next crash moves none."""
    apply_file(web)
    path = web.pool_yaml({"s1": 1, "s2": 2, "s3": 2}, server_port=8080)
    web.lbgen("apply", path)
    before = slots(web)[0]
    tables = []
    for _ in range(2):
        restart(web, kill=True)
        web.lbgen("apply", path)
        tables.append(slots(web)[0])
    assert tables[0] == tables[1]
    moved = sum(a != b for a, b in zip(before, tables[0]))
    print(f"{moved} of {len(before)} slots moved")
    assert moved < len(before) / 4


def test_overrides_after_a_crash(web):
    """They live in the switch, and are gone with it.  Nothing else is."""
    path = apply_file(web)
    web.lbgen("drain", "web/s1", "-b", "br0")
    restart(web, kill=True)
    result = web.lbgen("apply", path)
    assert not result.stderr
    assert web.connect("c1", "10.0.0.100", 80, 100)["s1"] > 0


# The switch is not there yet, or goes away

def test_switch_is_down(web):
    path = apply_file(web)
    web.vswitchd.kill()
    web.vswitchd.wait()
    web.expect_crash = True
    begin = time.monotonic()
    result = web.lbgen("apply", path, check=1)
    assert time.monotonic() - begin < 5
    assert re.fullmatch(r'lbgen: cannot reach bridge "br0" at unix:\S+/'
                        r'br0\.mgmt: Connection refused; is ovs-vswitchd '
                        r"running\?\n", result.stderr)


def test_bridge_is_not_there_yet(web):
    path = web.pool_yaml(settings={"bridge": "br7"})
    result = web.lbgen("apply", path, check=1)
    assert result.stderr == (
        f'lbgen: cannot reach bridge "br7": there is no {web.rundir}/br7.mgmt'
        f"\nlbgen: note: bridges in {web.rundir}: br0\n")


# A planned restart: ovs-ctl saves what is there and puts it back

def planned_restart(lab):
    """What "ovs-ctl restart" does with flows."""
    script = lab.run(None, SAVE, "save-flows", *lab.bridges).stdout
    assert "replace-flows" in script
    lab.vsctl("set", "open_vswitch", ".",
              "other_config:flow-restore-wait=true")
    restart(lab, kill=False)
    path = lab.write(script, "restore")
    lab.run(None, "sh", "-e", path)
    lab.vsctl("--if-exists", "remove", "open_vswitch", ".", "other_config",
              "flow-restore-wait=true")


def allow_only_15(lab):
    lab.vsctl("set", "bridge", "br0",
              "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15")


@pytest.mark.parametrize("pool", [
    {}, {"policy": "sticky", "sticky": {"prefix": 24}},
    {"connections": "stateless"}, {"policy": "random", "protocol": "udp"}],
    ids=["wrr", "sticky", "stateless", "udp"])
def test_planned_restart(lab, pool):
    """Where the bridge's protocols name OpenFlow 1.5, everything comes back:
    groups with their method, records, overrides, the generation."""
    allow_only_15(lab)
    protocol = pool.get("protocol", "tcp")
    for server in lab.servers:
        lab.serve(server, 8080, protocol)
    path = apply_file(lab, **pool)
    lab.lbgen("weight", "web/s2", "50%", "-b", "br0")
    lab.lbgen("drain", "web/s3", "-b", "br0")
    sources = lab.client_addresses("c1", 100)
    n = 200 if protocol == "udp" else N_HELD    # No buffer runs over.
    hold = lab.hold("c1", "10.0.0.100", 80, n, proto=protocol,
                    sources=sources)
    before = (lab.flows(), lab.groups(generation=True))
    status = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)

    planned_restart(lab)
    assert (lab.flows(), lab.groups(generation=True)) == before
    assert lab.lbgen("diff", path).stdout == ""
    after = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    assert after["drift"] == 0
    for old, new in zip(status["pools"][0]["servers"],
                        after["pools"][0]["servers"]):
        for key in ("name", "state", "weight", "slots"):
            assert old[key] == new[key]
        assert old.get("override") and old["override"].keys() == \
            new["override"].keys() or old.get("override") == \
            new.get("override")
    ping = survivors(hold, f"{pool}, planned restart")
    assert ping.alive == n
    assert set(lab.connect("c1", "10.0.0.100", 80, 300, proto=protocol,
                           sources=sources)) <= {"s1", "s2"}
    lab.lbgen("ready", "web/s3", "-b", "br0")
    lab.lbgen("ready", "web/s2", "-b", "br0")
    lab.lbgen("diff", path)


def test_planned_restart_without_openflow_15(web):
    """By default ovs-save speaks OpenFlow 1.4, which has no selection methods:
    the groups come back without.  diff shows it, and apply mends it, with the
    same slots and overrides; nothing is taken for somebody else's."""
    path = apply_file(web, policy="sticky")
    web.lbgen("drain", "web/s3", "-b", "br0")
    before = slots(web), web.flows()
    groups = web.groups()

    planned_restart(web)
    assert web.flows() == before[1]
    assert web.groups() != groups
    assert not any("selection_method" in group for group in web.groups())
    assert json.loads(web.lbgen("status", "--json", "-b", "br0")
                      .stdout)["drift"] == 3
    diff = web.lbgen("diff", path, check=2).stdout
    assert "selection_method=hash" in diff
    applied = web.lbgen("apply", path).stdout
    assert "groups +0 ~3 -0, flows +0 ~0 -0" in applied
    assert web.groups() == groups and slots(web) == before[0]
    assert set(web.connect("c1", "10.0.0.100", 80, 100,
                           sources=web.client_addresses("c1", 50))) \
        == {"s1", "s2"}
    web.lbgen("delete", "--all", "-b", "br0")
    assert web.groups(generation=True) == []


def test_delete_after_a_restart_without_openflow_15(web):
    apply_file(web)
    planned_restart(web)
    web.lbgen("delete", "--all", "-b", "br0")
    assert web.groups(generation=True) == []
    assert web.flows() == ["priority=0 actions=NORMAL"]


def test_groups_of_others_are_not_restored_ones(lab):
    """A group without a mark is lbgen's only if there is a record of it."""
    lab.ofctl("add-group", "br0", "group_id=1818361999,type=all,"
              "bucket=output:1")
    before = lab.groups()
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1]))
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.groups() == before and len(before) == 1


# Groups of other types than the pool's own, which carry another mark

MARK = 0x6c626700


def add_ff_group(lab, group_id, first_bucket, kind="ff"):
    watch = {"ff": "watch_port:1,", "all": ""}[kind]
    lab.ofctl("add-group", "br0", f"group_id={group_id},type={kind},"
              + ",".join(f"bucket=bucket_id:{first_bucket + i},{watch}"
                         "actions=output:1" for i in range(2)))


@pytest.mark.parametrize("kind", ["ff", "all"])
def test_groups_are_known_by_their_buckets(web, kind):
    """Buckets that count up from the mark make any group lbgen's: here one
    that is left over.  Other numbers do not."""
    path = apply_file(web)
    add_ff_group(web, 0x6c630001, MARK, kind)
    add_ff_group(web, 0x6c640001, MARK + 1, kind)
    add_ff_group(web, 7, 0, kind)
    diff = web.lbgen("diff", path, check=2).stdout
    assert f"\n-group group_id={0x6c630001},type={kind}" in diff
    assert diff.count("\n-group ") == 1
    assert "groups +0 ~0 -1, flows +0 ~0 -0" in web.lbgen("apply", path).stdout
    web.lbgen("delete", "--all", "-b", "br0")
    groups = web.groups(generation=True)
    assert [g.split(",")[0] for g in groups] \
        == [f"group_id={0x6c640001}", "group_id=7"]


def test_groups_are_known_after_a_restart_without_openflow_15(web):
    """Without ids of buckets they are known by the pool or member that their
    own id names, if there is one."""
    apply_file(web)
    pool_id = int(web.groups()[0].split("=")[1].split(",")[0]) & 0xffff
    add_ff_group(web, 0x6c630000 | pool_id, MARK)
    add_ff_group(web, 0x6c630000 | pool_id ^ 1, MARK)
    planned_restart(web)
    web.lbgen("delete", "--all", "-b", "br0")
    groups = web.groups(generation=True)
    assert [g.split(",")[0] for g in groups] \
        == [f"group_id={0x6c630000 | pool_id ^ 1}"]
