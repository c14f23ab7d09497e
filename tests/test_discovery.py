# SPDX-License-Identifier: Apache-2.0
"""Servers whose "mac" or "interface" the file leaves out, found by ARP through
the switch."""

import json
import re
import signal
import subprocess
import time

import pytest

from lab import assert_shares, wait_for

pytestmark = pytest.mark.switch

# How the cookies of all begin that a probe puts on the switch.
PROBE_FLOW = "cookie=0x6c6267f0"


def leave_out(pool, *keys, servers=None):
    """Takes 'keys', by default mac and interface, from servers of 'pool'."""
    for server in pool["servers"]:
        if servers is None or server["name"] in servers:
            for key in keys or ("mac", "interface"):
                del server[key]
    return pool


def file_without(lab, *keys, servers=None, weights=None, settings=None,
                 **pool_keys):
    return lab.file(leave_out(lab.pool(weights, server_port=8080,
                                       **pool_keys),
                              *keys, servers=servers), **(settings or {}))


def serve_all(lab):
    for server in lab.servers:
        lab.serve(server, 8080)


def state(lab):
    """All that a command may leave behind."""
    return lab.flows(), lab.groups()


def found(lab, pool="web"):
    """Server -> (mac, interface, found, effective state), as status says."""
    status = json.loads(lab.lbgen("status", "--json", "-b", "br0",
                                  pool).stdout)
    return {s["name"]: (s["mac"], s["interface"], s["found"],
                        s["effective_state"])
            for s in status["pools"][0]["servers"]}


def compiled(lab):
    """Flows without records."""
    return [flow for flow in lab.flows() if "note:" not in flow]


def run_timed(lab, *args, check=0):
    begin = time.monotonic()
    result = lab.lbgen(*args, check=check)
    return result, time.monotonic() - begin


def fill_cache(lab):
    """Has the datapath cache what becomes of ARP packets of servers."""
    for server in lab.servers:
        lab.connect(server, "10.0.200.200", 80, timeout=0.1)


def take_over(lab, host, victim, mac=None):
    """'host' gets the address of 'victim', and its MAC or another one."""
    lab.run(host, "sh", "-ec", f"""
        ip link set eth0 address {mac or lab.hosts[victim].mac}
        ip address add {lab.hosts[victim].ip}/16 dev eth0""")


# What is left out is found.

@pytest.mark.parametrize("keys, said", [
    ([], "mac and interface"), (["mac"], "mac"), (["interface"], "interface")])
@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_found(lab, keys, said, connections):
    serve_all(lab)
    path = file_without(lab, *keys, connections=connections)
    preview = lab.lbgen("diff", path, check=2)
    assert f"found {said}" in preview.stdout
    assert "answer" not in preview.stderr
    lab.lbgen("apply", path)
    assert found(lab) == {
        name: (lab.hosts[name].mac, lab.hosts[name].port, said, "ready")
        for name in lab.servers}
    traffic = lab.connect("c1", "10.0.0.100", 80, 600)
    assert traffic.failures == 0
    assert_shares(traffic, [1, 1, 1], 600)

    before = state(lab)
    assert lab.lbgen("diff", path).stdout == ""
    lab.lbgen("apply", path)
    assert state(lab) == before

    # The same as if the file had said it, but for the record.
    flows = compiled(lab)
    assert not [flow for flow in flows if PROBE_FLOW in flow]
    lab.lbgen("apply", lab.pool_yaml(server_port=8080,
                                     connections=connections))
    assert compiled(lab) == flows
    assert found(lab)["s1"][2] == "none"


def test_only_one_server_leaves_out(lab):
    serve_all(lab)
    lab.lbgen("apply", file_without(lab, servers=["s2"]))
    assert found(lab)["s2"][:3] == ("02:00:00:00:00:02", "s2-o",
                                    "mac and interface")
    assert found(lab)["s1"][2] == "none"
    assert lab.connect("c1", "10.0.0.100", 80, 300).failures == 0


def test_two_pools_share_servers(lab):
    """One pool gives the interface: so all are only asked there."""
    path = lab.file(
        leave_out(lab.pool(server_port=8080)),
        leave_out(lab.pool(server_port=8080, name="more", vip="10.0.0.101"),
                  "mac"))
    capture = lab.capture("s1", "arp")
    lab.lbgen("apply", path)
    assert found(lab)["s3"] == found(lab, "more")["s3"][:2] + (
        "mac and interface", "ready")
    assert found(lab, "more")["s3"][2] == "mac"
    asked = [line for line in capture.stop().lines() if "who-has" in line]
    assert any("who-has 10.0.0.1 " in line for line in asked)
    assert not any("who-has 10.0.0.3 " in line for line in asked), asked


def test_secure_bridge_without_flows(make_lab):
    """What the datapath has cached, drops the answers at first."""
    lab = make_lab(fail_mode="secure")
    serve_all(lab)
    fill_cache(lab)
    assert [flow for flow in lab.dp_flows()
            if "eth_type(0x0806)" in flow and "actions:drop" in flow]
    _, seconds = run_timed(
        lab, "apply", file_without(lab, settings={"fallback": "normal"}))
    print(f"found three servers in {seconds:.2f} s")
    traffic = lab.connect("c1", "10.0.0.100", 80, 300)
    assert traffic.failures == 0 and len(traffic) == 3


@pytest.mark.parametrize("action", ["drop", "flood", "normal", "local"])
def test_flows_of_others(lab, action):
    """They have ARP for themselves, and stay as they are."""
    lab.ofctl("add-flow", "br0", f"priority=40000,arp,actions={action}")
    fill_cache(lab)
    foreign = lab.flows()
    before = lab.flows()
    lab.lbgen("diff", file_without(lab), check=2)
    assert lab.flows() == before
    lab.lbgen("apply", file_without(lab))
    assert found(lab)["s2"][:2] == ("02:00:00:00:00:02", "s2-o")
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.flows() == foreign and lab.groups() == []


def test_nobody_hears_of_the_vip(lab):
    """A look at the bridge takes the VIP from nobody who may have it now."""
    for server in lab.servers:
        lab.run(server, "ip", "neigh", "replace", "10.0.0.100", "lladdr",
                "02:aa:aa:aa:aa:aa", "dev", "eth0", "nud", "stale")
    capture = lab.capture("s1", "arp")
    lab.lbgen("diff", file_without(lab), check=2)
    for server in lab.servers:
        neighbours = lab.run(server, "ip", "neigh").stdout
        assert re.findall(r"lladdr (\S+)", neighbours) == [
            "02:aa:aa:aa:aa:aa"], neighbours
    seen = capture.stop().lines()
    requests = [line for line in seen if "who-has" in line]
    assert requests
    assert all(re.search(r"who-has \S+ .*tell 0\.0\.0\.0", line)
               for line in requests), seen


def test_behind_the_bridge_itself(make_lab):
    """A server on the host of the switch, and one behind another bridge."""
    lab = make_lab(servers=3, bridges=("br0", "br1"),
                   host_bridge={"s3": "br1"})
    lab.vsctl("--", "add-port", "br0", "p0", "--", "set", "interface", "p0",
              "type=patch", "options:peer=p1",
              "--", "add-port", "br1", "p1", "--", "set", "interface", "p1",
              "type=patch", "options:peer=p0")
    lab.run(lab.netns, "sh", "-ec", """
        ip address add 10.0.0.77/16 dev br0
        ip link set br0 up""")
    pool = leave_out(lab.pool({"s1": 1, "s3": 1},
                              server_port=8080))
    pool["servers"].append({"name": "host", "ip": "10.0.0.77", "port": 8080})
    lab.lbgen("apply", lab.file(pool))
    assert found(lab)["s3"][:2] == ("02:00:00:00:00:03", "p0")
    assert found(lab)["host"][1] == "br0"


def test_fifty_servers(make_lab):
    lab = make_lab(servers=50, clients=1)
    path = file_without(lab)
    _, first = run_timed(lab, "apply", path)
    _, again = run_timed(lab, "diff", path)
    names = found(lab)
    assert names == {name: (lab.hosts[name].mac, lab.hosts[name].port,
                            "mac and interface", "ready")
                     for name in lab.servers}
    lab.set_link("s50", False)
    result, one_down = run_timed(lab, "diff", path)
    assert "s50" in result.stderr
    print(f"50 servers: apply {first:.2f} s, diff {again:.2f} s, "
          f"with one of them silent {one_down:.2f} s")
    # One after another, they would take 50 times 1.5 seconds.
    assert max(first, again) < 10 and one_down < 5 + again


def test_thousands_of_servers(make_lab):
    """More answers than a queue of any host holds."""
    lab = make_lab(servers=2, clients=0)
    for host, network in ("s1", "10.8.0.0/16"), ("s2", "10.9.0.0/16"):
        lab.run(host, "ip", "route", "add", "local", network, "dev", "lo")
    pool = {**lab.pool(), "servers": [
        {"name": f"x{i}", "ip": f"10.{8 + i % 2}.{i // 250}.{i % 250 + 1}"}
        for i in range(4000)]}
    _, seconds = run_timed(lab, "apply", lab.file(pool))
    print(f"4000 servers: apply {seconds:.2f} s")
    names = found(lab)
    assert {names[f"x{i}"][:2] for i in range(0, 4000, 2)} == {
        (lab.hosts["s1"].mac, "s1-o")}
    assert {names[f"x{i}"][:2] for i in range(1, 4000, 2)} == {
        (lab.hosts["s2"].mac, "s2-o")}


# Those that are not there.

def test_silent_server(lab):
    path = file_without(lab)
    lab.set_link("s3", False)
    before = state(lab)
    for command in "diff", "apply":
        result, seconds = run_timed(lab, command, path, check=1)
        print(f"{command}: {seconds:.2f} s")
        lines = open(path).read().split("\n")
        place = re.match(rf"{path}:(\d+):(\d+): error: (.*)\n", result.stderr)
        assert place, result.stderr
        assert '"s3"' in lines[int(place[1])]   # The line after its "{".
        assert place[3] == (
            'server "s3": 10.0.0.3 does not answer ARP on bridge "br0"; is it '
            'up? give its mac and interface, or --allow-missing')
        assert result.stdout == "" and result.stderr.count("error") == 1
        assert state(lab) == before
        assert seconds < 3


def test_allow_missing(lab):
    serve_all(lab)
    path = file_without(lab)
    lab.set_link("s3", False)
    result = lab.lbgen("diff", "--allow-missing", path, check=2)
    assert 'warning: server "s3": 10.0.0.3 does not answer' in result.stderr
    result = lab.lbgen("apply", "--allow-missing", path)
    assert 'warning: server "s3": 10.0.0.3 does not answer' in result.stderr
    assert found(lab)["s3"] == ("unknown", "unknown", "no answer", "maint")
    traffic = lab.connect("c1", "10.0.0.100", 80, 300)
    assert traffic.failures == 0 and set(traffic) == {"s1", "s2"}

    # Asked again each time.
    before = state(lab)
    lab.lbgen("apply", "--allow-missing", path)
    assert state(lab) == before
    lab.lbgen("apply", path, check=1)
    assert state(lab) == before
    lab.set_link("s3", True)
    diff = lab.lbgen("diff", path, check=2).stdout
    assert "found no answer -> mac and interface" in diff
    lab.lbgen("apply", path)
    assert found(lab)["s3"][3] == "ready"
    traffic = lab.connect("c1", "10.0.0.100", 80, 300)
    assert traffic.failures == 0 and len(traffic) == 3


def test_all_missing(lab):
    """A pool without any server is no pool that cannot be."""
    for server in lab.servers:
        lab.set_link(server, False)
    path = file_without(lab)
    assert lab.lbgen("apply", path, check=1).stderr.count("error") == 3
    lab.lbgen("apply", "--allow-missing", path)
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.groups() == []


def test_known_server_is_silent(lab):
    """It was there, so it stays there: with a warning, in and out of maint."""
    path = file_without(lab)
    lab.lbgen("apply", path)
    before = state(lab)
    lab.set_link("s2", False)
    for command in "diff", "apply":
        result = lab.lbgen(command, path)
        assert re.search(r'warning: server "s2": 10\.0\.0\.2 does not answer '
                         r'ARP .*02:00:00:00:00:02 on port s2-o',
                         result.stderr)
        assert "s1" not in result.stderr
        assert state(lab) == before
    lab.lbgen("maint", "web/s2", "-b", "br0")
    assert "does not answer" not in lab.lbgen("apply", path).stderr

    # But not if its port is gone.
    lab.lbgen("ready", "web/s2", "-b", "br0")
    lab.vsctl("del-port", "s2-o")
    assert '"s2": 10.0.0.2 does not answer' in lab.lbgen("apply", path,
                                                         check=1).stderr


def test_maint_need_not_answer(lab):
    path = file_without(lab)
    lab.set_link("s2", False)
    content = json.load(open(path))
    content["pools"][0]["servers"][1]["state"] = "maint"
    assert not lab.lbgen("apply", lab.write(content)).stderr
    assert found(lab)["s2"][2:] == ("no answer", "maint")


def test_ready_asks_for_a_missing_server(lab):
    serve_all(lab)
    lab.set_link("s2", False)
    lab.lbgen("apply", "--allow-missing", file_without(lab))
    result = lab.lbgen("ready", "web/s2", "-b", "br0", check=1)
    assert '"s2": 10.0.0.2 does not answer' in result.stderr
    lab.lbgen("weight", "web/s2", "5", "-b", "br0")
    assert found(lab)["s2"][3] == "maint"
    lab.set_link("s2", True)
    lab.lbgen("ready", "web/s2", "-b", "br0")
    assert found(lab)["s2"] == ("02:00:00:00:00:02", "s2-o",
                                "mac and interface", "ready")
    assert len(lab.connect("c1", "10.0.0.100", 80, 300)) == 3


# Those that move.

def test_moved_to_another_port(lab):
    serve_all(lab)
    path = file_without(lab)
    lab.lbgen("apply", path)
    lab.set_link("s2", False)
    take_over(lab, "c2", "s2")
    lab.serve("c2", 8080, name="s2")
    diff = lab.lbgen("diff", path, check=2).stdout
    assert re.search(r"server s2: interface s2-o -> c2-o", diff)
    assert diff.count("\n  server ") == 1
    lab.lbgen("apply", path)
    assert found(lab)["s2"][:2] == ("02:00:00:00:00:02", "c2-o")
    traffic = lab.connect("c1", "10.0.0.100", 80, 300)
    assert traffic.failures == 0 and len(traffic) == 3
    lab.lbgen("diff", path)


def test_two_swap(lab):
    path = file_without(lab)
    lab.lbgen("apply", path)
    for host, other in ("s1", "s2"), ("s2", "s1"):
        lab.run(host, "ip", "address", "flush", "dev", "eth0")
        lab.run(host, "ip", "address", "add", f"{lab.hosts[other].ip}/16",
                "dev", "eth0")
    lab.lbgen("apply", path)
    names = found(lab)
    assert names["s1"][:2] == ("02:00:00:00:00:02", "s2-o")
    assert names["s2"][:2] == ("02:00:00:00:00:01", "s1-o")


def test_another_mac(lab):
    serve_all(lab)
    path = file_without(lab)
    lab.lbgen("apply", path)
    lab.run("s2", "ip", "link", "set", "eth0", "address", "02:bb:00:00:00:02")
    diff = lab.lbgen("diff", path, check=2).stdout
    assert "mac 02:00:00:00:00:02 -> 02:bb:00:00:00:02" in diff
    lab.lbgen("apply", path)
    traffic = lab.connect("c1", "10.0.0.100", 80, 300)
    assert traffic.failures == 0 and len(traffic) == 3


# Those that are not who they should be.

def test_two_hosts_have_one_address(lab):
    take_over(lab, "c2", "s2", mac="02:cc:00:00:00:02")
    for path in file_without(lab), file_without(lab, servers=["s2"]):
        result = lab.lbgen("apply", path, check=1)
        assert re.search(r'error: server "s2": 10\.0\.0\.2 has two answers, '
                         r'from 02:00:00:00:00:02 on port s2-o and from '
                         r'02:cc:00:00:00:02 on port c2-o', result.stderr)
        assert result.stderr.count("error") == 1
    # The file may say who is meant.
    lab.lbgen("apply", file_without(lab, "interface"))
    assert found(lab)["s2"][1] == "s2-o"
    lab.lbgen("apply", file_without(lab, "mac"))
    assert found(lab)["s2"][0] == "02:00:00:00:00:02"


def test_another_mac_than_the_file_gives(lab):
    pool = leave_out(lab.pool(server_port=8080), "interface")
    pool["servers"][1]["mac"] = "02:00:00:00:00:99"
    result = lab.lbgen("apply", lab.file(pool), check=1)
    assert ('error: server "s2": the file gives mac 02:00:00:00:00:99, but '
            '10.0.0.2 answers from 02:00:00:00:00:02 on port s2-o'
            ) in result.stderr


def test_asked_only_at_the_interface_that_the_file_gives(lab):
    pool = leave_out(lab.pool({"s2": 1}), "mac")
    pool["servers"][0]["interface"] = "s1-o"
    capture = lab.capture("s2", "arp")
    result = lab.lbgen("apply", lab.file(pool), check=1)
    assert '"s2": 10.0.0.2 does not answer' in result.stderr
    assert capture.stop().lines() == []
    pool["servers"][0]["interface"] = "nowhere"
    result = lab.lbgen("apply", lab.file(pool), check=1)
    assert 'server "s2": bridge "br0" has no port nowhere' in result.stderr


# What stays on the switch.

def test_diff_leaves_nothing(lab):
    path = file_without(lab)
    lab.lbgen("apply", path)
    lab.ofctl("add-flow", "br0", "table=3,priority=7,ip,actions=drop")
    lab.run("s3", "ip", "link", "set", "eth0", "address", "02:bb:00:00:00:03")
    before = state(lab)
    stats = lab.group_stats()
    lab.lbgen("diff", path, check=2)
    assert state(lab) == before

    def counters(lines):
        return [re.sub(r"duration=[^,]*,", "", line) for line in lines]
    assert counters(lab.group_stats()) == counters(stats)


def test_killed_half_way(lab):
    """What is left then goes by itself, and nobody trips over it."""
    path = file_without(lab)
    lab.set_link("s3", False)
    before = state(lab)
    process = lab.popen(lab.netns, lab.lbgen_path(), "apply", path)
    wait_for(lambda: len([flow for flow in lab.flows()
                          if PROBE_FLOW in flow]) == 3, "answers")
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [flow for flow in lab.flows() if PROBE_FLOW in flow]
    assert len(left) == 3   # For answers, and two of them.
    assert all("hard_timeout=" in flow for flow in left), left
    begin = time.monotonic()
    lab.set_link("s3", True)
    assert PROBE_FLOW not in lab.lbgen("diff", path, check=2).stdout
    wait_for(lambda: state(lab) == before, "clean switch", 15)
    print(f"clean {time.monotonic() - begin:.1f} s after kill -9")


def test_several_at_once(lab):
    """None takes away, or takes for its own, what another one asks for."""
    path = file_without(lab)
    lab.lbgen("apply", path)
    before = state(lab)
    processes = [lab.popen(lab.netns, lab.lbgen_path(), "diff", path,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                 for _ in range(8)]
    for process in processes:
        assert process.communicate() == (b"", b"")
        assert process.returncode == 0
    assert state(lab) == before


def test_export_needs_them(lab):
    path = file_without(lab, "mac", servers=["s2"])
    result = lab.lbgen("export", path, check=1)
    assert ('error: server "s2" needs a mac; only a bridge could tell where '
            'it is') in result.stderr
    assert result.stdout == ""
    lab.lbgen("check", path)


def test_missing_server_leaves(lab):
    """There is nothing of its connections that could be kept."""
    lab.set_link("s3", False)
    path = file_without(lab, on_removal="keep")
    lab.lbgen("apply", "--allow-missing", path)
    content = json.load(open(path))
    del content["pools"][0]["servers"][2]
    lab.lbgen("apply", lab.write(content))
    assert set(found(lab)) == {"s1", "s2"}


def test_found_server_leaves(lab):
    """Its connections go on where it was found."""
    serve_all(lab)
    path = file_without(lab, on_removal="keep")
    lab.lbgen("apply", path)
    hold = lab.hold("c1", "10.0.0.100", 80, 60)
    content = json.load(open(path))
    del content["pools"][0]["servers"][2]
    lab.lbgen("apply", lab.write(content))
    assert hold.ping().alive == 60 and hold.ping().servers["s3"] > 0
