# SPDX-License-Identifier: Apache-2.0
"""lbgen refresh on a real switch, with real traffic, load and agents."""

import contextlib
import json
import os
import subprocess
import time

import pytest

from lab import wait_for
from lab_load import Machine
from lab_switch import snapshot

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
CALM = {"smoothing": 0, "max_move": 1, "max_step": 1}


@pytest.fixture(scope="module")
def serving_lab(module_lab):
    for server in module_lab.servers:
        module_lab.serve(server, 8080)
    return module_lab


@pytest.fixture
def lab(serving_lab):
    """Nothing is on the bridge."""
    module_lab = serving_lab
    yield module_lab
    module_lab.lbgen("delete", "--all", "-b", "br0")


def web(lab, weights, file_weights=(3, 2, 2), **keys):
    pool = lab.pool(list(file_weights), server_port=8080)
    return lab.file({**pool, "weights": weights, **keys})


def from_files(lab, policy="adaptive", **keys):
    return {"policy": policy, **CALM, **keys,
            "from": [{"file": f"{lab.rundir}/{{name}}"}]}


def say(lab, **samples):
    for name, sample in samples.items():
        lab.write(sample if isinstance(sample, str) else json.dumps(sample),
                  name)


def refresh(lab, path, *args, check=0):
    return lab.lbgen("refresh", path, *args, check=check)


def report(lab, path, *args, check=0):
    """{server: what is said of it} of the first pool."""
    result = json.loads(refresh(lab, path, "--json", *args,
                                check=check).stdout)
    return {s["name"]: s for s in result["pools"][0]["servers"]}


def slots(lab):
    status = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    return {s["name"]: s["slots"] for s in status["pools"][0]["servers"]}


def test_life(lab):
    """Weights move, stay over apply, and nothing is sent for nothing."""
    say(lab, **{s: {"stress": 0.0} for s in lab.servers})
    path = web(lab, from_files(lab))
    assert "apply the file first" in refresh(lab, path, check=1).stderr
    lab.lbgen("apply", path)
    refresh(lab, path)
    before = snapshot(lab, "br0")
    result = refresh(lab, path)
    assert (result.stdout, result.stderr) == ("", "")
    assert snapshot(lab, "br0") == before
    assert slots(lab) == {"s1": 110, "s2": 73, "s3": 73}

    say(lab, s1={"stress": 1.0})
    assert refresh(lab, path, "--dry-run", check=2).stdout
    assert lab.lbgen("diff", path, "--refresh", check=2).stdout
    lab.lbgen("diff", path)
    assert snapshot(lab, "br0") == before

    assert "s1" in refresh(lab, path).stdout
    low = slots(lab)
    assert low["s1"] == pytest.approx(256 * 1.5 / 5.5, abs=2)
    lab.lbgen("diff", path)
    assert lab.lbgen("apply", path).stdout == (
        lab.lbgen("apply", path).stdout)
    assert slots(lab) == low
    assert " 1.90" in lab.lbgen("status", "-b", "br0").stdout

    plain = lab.file(lab.pool([3, 2, 2], server_port=8080))
    lab.lbgen("apply", plain)       # No "weights" any more: those of the file.
    assert slots(lab) == {"s1": 110, "s2": 73, "s3": 73}


def test_who_has_the_last_word(lab):
    say(lab, **{s: {"stress": 0.0} for s in lab.servers})
    path = web(lab, from_files(lab, slow_start="10m"), (2, 2, 2))
    lab.lbgen("apply", path)
    refresh(lab, path)
    lab.lbgen("weight", "-b", "br0", "web/s2", "6")
    say(lab, s2={"stress": 1.0})
    servers = report(lab, path)
    assert servers["s2"]["why"] == "an operator set its weight"
    assert servers["s2"]["weight"] == 6 and slots(lab)["s2"] == 154
    lab.lbgen("ready", "-b", "br0", "web/s2")

    lab.lbgen("drain", "-b", "br0", "web/s1")
    assert report(lab, path)["s1"]["slots"] == 0
    lab.lbgen("ready", "-b", "br0", "web/s1")   # Starts slowly, at once.
    assert 0 < slots(lab)["s1"] < 20
    assert report(lab, path)["s1"]["slow_start"]


def test_silence(lab):
    say(lab, **{s: {"stress": 0.0} for s in lab.servers})
    path = web(lab, from_files(lab))
    lab.lbgen("apply", path)
    refresh(lab, path)
    say(lab, s3="nonsense")
    result = refresh(lab, path)
    assert 'server "s3" says nothing and keeps its weight' in result.stderr
    assert refresh(lab, path).stderr == ""
    before = slots(lab)
    say(lab, s1="", s2={"stress": 1.0})
    result = refresh(lab, path, check=1)
    assert "s1, s3" in result.stderr
    assert slots(lab) == before


def test_two_at_a_time(lab):
    """The second leaves at once."""
    path = web(lab, {"policy": "static", "timeout": 5, "from": [
        {"exec": ["/bin/sleep", "4"]}]})
    lab.lbgen("apply", path)
    first = lab.popen(lab.netns, lab.lbgen_path(), "refresh", path,
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    begin = time.monotonic()
    assert refresh(lab, path, check=1).stderr == (
        f'lbgen: bridge "br0" is being refreshed by pid {first.pid} (lbgen '
        f"refresh {path})\n")
    assert time.monotonic() - begin < 2
    first.wait(30)


def test_nothing_waits_for_servers(lab):
    """While they are asked, the bridge may be changed; what the round makes
    of the answers fits what is there then."""
    say(lab, s1={"stress": 0.0}, s2={"stress": 1.0}, s3={"stress": 0.0})
    path = web(lab, {"policy": "adaptive", **CALM, "timeout": 20, "from": [
        {"exec": ["/bin/sh", "-c", f"touch {lab.rundir}/asked; sleep 6; "
                  f"cat {lab.rundir}/{{name}}"]}]}, (2, 2, 2))
    lab.lbgen("apply", path)
    first = lab.popen(lab.netns, lab.lbgen_path(), "refresh", path,
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: os.path.exists(f"{lab.rundir}/asked"), "questions")
    lab.lbgen("drain", "--no-wait", "-b", "br0", "web/s1")
    lab.lbgen("apply", "--no-wait", path)
    assert first.poll() is None
    assert slots(lab) == {"s1": 0, "s2": 128, "s3": 128}
    stdout, stderr = first.communicate(timeout=30)
    assert (first.returncode, stderr) == (0, b""), stdout
    assert slots(lab) == {"s1": 0, "s2": pytest.approx(256 / 3, abs=1),
                          "s3": pytest.approx(256 * 2 / 3, abs=1)}


def test_the_switch_is_asked(lab):
    """Open connections, and packets per second, with no agent at all."""
    path = web(lab, {"policy": "least-connections", "smoothing": 0},
               (1, 1, 1))
    lab.lbgen("apply", path)
    held = lab.hold("c1", VIP, 80, 150)
    servers = report(lab, path)
    open_now = {name: s["sample"]["connections"]
                for name, s in servers.items()}
    assert open_now == held.ping().servers

    path = web(lab, {"policy": "threshold", "packets": 1, "smoothing": 0,
                     "interval": 1, "timeout": 0.5}, (1, 1, 1))
    lab.lbgen("apply", path)
    first = time.monotonic()
    report(lab, path)
    pings = [held.ping() for _ in range(3)]
    time.sleep(1.5)             # The datapath's counts arrive that late.
    rates = {name: s["sample"].get("packets", 0)
             for name, s in report(lab, path).items()}
    took = time.monotonic() - first
    assert all(ping.alive == 150 for ping in pings)
    assert all(0 < rate for rate in rates.values())
    assert sum(rates.values()) * took >= 300
    held.close()


def test_connections_stay(lab):
    """Over 100 refreshes that move slots all the time."""
    path = web(lab, from_files(lab, deadband=0), (1, 1, 1))
    lab.lbgen("apply", path)
    held = lab.hold("c1", VIP, 80, 300)
    servers = held.ping().servers
    moved = 0
    for i in range(100):
        say(lab, **{s: {"stress": float((i + j) % 3 == 0)}
                    for j, s in enumerate(lab.servers)})
        moved += any(s["slots"] != s["old_slots"]
                     for s in report(lab, path).values())
        if i % 25 == 0:
            traffic = lab.connect("c2", VIP, 80, 200)
            assert traffic.failures == 0
    assert moved >= 99
    ping = held.ping()
    assert ping.alive == 300 and ping.servers == servers
    held.close()


@pytest.mark.slow
def test_real_load(lab):
    """stress-ng on one of three hosts with node-exporters: its share falls
    within three rounds, and it has it again when that is over."""
    with contextlib.ExitStack() as stack:
        machines = {s: Machine(lab, s) for s in lab.servers}
        for machine in machines.values():
            stack.callback(machine.close)
        path = web(lab, {
            "policy": "sblb", "cpu": 1, "memory": 0, "network": 0,
            "interval": 2, "timeout": 1.9, "max_move": "20%",
            "from": [{"exec": ["/usr/bin/nsenter", "--net=/run/netns/"
                               + lab.hosts["s1"].netns[:-2] + "{name}",
                               "/usr/bin/python3", "-c",
                               "import urllib.request as u; print(u.urlopen("
                               "'http://127.0.0.1:9100/metrics')"
                               ".read().decode())"]}]}, (1, 1, 1))
        lab.lbgen("apply", path)
        wait_for(lambda: not any(s["missing"] for s in report(
            lab, path, check=None).values()), "node-exporters")

        def run_rounds(n):
            history = []
            for _ in range(n):
                time.sleep(2)
                servers = report(lab, path, check=None)
                history.append(servers["s1"]["slots"] / 256)
                print({name: (s["slots"], s["sample"], s["complaint"])
                       for name, s in servers.items()})
            return history

        assert run_rounds(4)[-1] == pytest.approx(1 / 3, abs=0.05)
        load = machines["s1"].add(lab.popen(
            "s1", "stress-ng", "--quiet", "--cpu", "2", "--timeout", "90"))
        busy = run_rounds(4)
        load.terminate()
        load.wait()
        idle = run_rounds(12)
        print(f"busy: {busy}; idle: {idle}")
        assert busy[2] < 0.25
        assert idle[-1] == pytest.approx(1 / 3, abs=0.05)


def test_a_port_that_is_gone(lab):
    """Of one server: weights of the others go on."""
    say(lab, **{s: {"stress": 0.0} for s in lab.servers})
    path = web(lab, from_files(lab), (1, 1, 1))
    lab.lbgen("apply", path)
    port = lab.hosts["s3"].port
    lab.vsctl("del-port", "br0", port)
    try:
        say(lab, s1={"stress": 0.5})
        assert f"no port {port}; it is in maint" in refresh(lab, path).stderr
        assert slots(lab)["s1"] < slots(lab)["s2"] and slots(lab)["s3"] == 0
    finally:
        lab.vsctl("add-port", "br0", port, "--", "set", "interface", port,
                  f"ofport_request={lab.hosts['s3'].ofport}")
    lab.lbgen("apply", path)
    assert slots(lab)["s3"] > 0


AGENTS = """
import asyncio
async def answer(reader, writer):
    await asyncio.sleep(0.05)
    writer.write(b"up 100%\\n")
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "0.0.0.0", 9999, backlog=2048)
    await server.serve_forever()
asyncio.run(main())
"""


def test_many_pools(lab):
    """100 pools of 10 servers whose agents take 50 ms each."""
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    lab.popen(lab.netns, "python3", "-c", AGENTS)
    wait_for(lambda: ":9999 " in lab.run(lab.netns, "ss", "-ltn").stdout,
             "agents")
    pools = [{"name": f"p{p}", "vip": f"10.0.{100 + p // 50}.{p % 50 + 1}",
              "port": 80, "slots": 16,
              "weights": {"policy": "static",
                          "from": [{"agent": "{name}:9999"}]},
              "servers": [{"name": f"127.1.{p}.{i + 1}",
                           "ip": f"10.0.0.{i + 1}", "interface": "s1-o",
                           "mac": "02:00:00:00:00:01", "port": 1000 + p}
                          for i in range(10)]} for p in range(100)]
    path = lab.file(*pools)
    lab.lbgen("apply", path)
    times = []
    for _ in range(3):
        begin = time.monotonic()
        result = json.loads(refresh(lab, path, "--json").stdout)
        times.append(time.monotonic() - begin)
    print(f"100 pools of 10 servers, agents of 50 ms: {times}")
    assert len(result["pools"]) == 100
    assert not any(s["missing"] for pool in result["pools"]
                   for s in pool["servers"])
    assert min(times) < 5       # One after another it would be 50.
