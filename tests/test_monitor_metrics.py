# SPDX-License-Identifier: Apache-2.0
"""What lbgen monitor tells Prometheus, and whether it is true."""

import json
import os
import re
import resource
import subprocess
import time

import pytest

from lab import wait_for
from lab_monitor import cpu, status
from test_monitor import (CHECK, VIP, Site,     # noqa: F401
                          module_site, site)

pytestmark = pytest.mark.switch

TOP = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__), ".."))
PORT = "9109"


def read(name):
    with open(os.path.join(TOP, name)) as file:
        return file.read()


def parse(text):
    """{name: {(pool, server): value}}, with () for what has no labels."""
    metrics = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed and kind in ("counter", "gauge")
            assert (kind == "counter") == name.endswith("_total")
            typed.add(name)
            metrics[name] = {}
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(
                r'(\w+)(?:\{(.*)\})? (-?[\d.e+-]+)', line).groups()
            key = tuple(re.findall(r'="([^"]*)"', labels or ""))
            assert name in typed and key not in metrics[name], line
            metrics[name][key] = float(value)
    return metrics


# A client that knows nothing of us.
CLIENT = ("python3", "-c", "import sys, urllib.request;"
          "sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20)"
          ".read().decode())")


def fetch(lab, path="/metrics", address="127.0.0.1", check=True):
    return lab.run(lab.netns, *CLIENT, f"http://{address}:{PORT}{path}",
                   check=check)


def test_metrics(site):     # noqa: F811
    lab = site.lab
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    path = site.file([3, 2, 1])
    text_file = f"{lab.rundir}/lbgen.prom"
    with site.monitor(path, "--metrics", PORT, "--metrics-file",
                      text_file) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        assert lab.connect("c1", VIP, 80, 200).failures == 0
        site.kill("s3")
        monitor.wait_states(s3="down")
        got = parse(fetch(lab).stdout)

        servers = status(lab)
        for name, server in servers.items():
            key = ("web", name)
            assert got["lbgen_server_slots"][key] == server["slots"]
            assert got["lbgen_server_weight"][key] == server["weight"]
            assert got["lbgen_server_effective_weight"][key] == \
                server["effective_weight"]
            assert got["lbgen_server_connections_total"][key] == \
                server["connections"]
            assert got["lbgen_server_up"][key] == (name != "s3")
            assert got["lbgen_server_share_ratio"][key] == \
                server["slots"] / 256
        assert sum(got["lbgen_server_connections_total"].values()) == 200
        assert got["lbgen_check_failures_total"]["web", "s3"] >= 3
        assert got["lbgen_check_errors_total"]["web", "s3"] == 0
        assert got["lbgen_check_success"] == {
            ("web", "s1"): 1, ("web", "s2"): 1, ("web", "s3"): 0}
        assert got["lbgen_check_total"]["web", "s1"] >= 3
        assert got["lbgen_switch_connected"] == {(): 1}
        assert got["lbgen_checks"] == {(): 3}
        assert got["lbgen_health_transitions_total"] == {(): 4}
        assert got["lbgen_moved_slots_total"][()] >= 256
        wait_for(lambda: os.path.exists(text_file), "file")
        with open(text_file) as file:
            assert parse(file.read()).keys() == got.keys()

        # Nothing else is there, and not for others.
        assert "404" in fetch(lab, "/", check=False).stderr
        assert "refused" in fetch(lab, address="10.0.9.1",
                                  check=False).stderr

        # The manual and the dashboard know the same names.
        names = set(got)
        manual = read("lbgen/lbgen.8")
        begin = manual.index(".Ss Metrics")
        section = manual[begin:manual.index(".Ss ", begin + 4)]
        assert set(re.findall(r"lbgen_\w+", section)) == names
        board = json.loads(read("examples/grafana-dashboard.json"))
        used = {name for panel in board["panels"]
                for target in panel["targets"]
                for name in re.findall(r"lbgen_\w+", target["expr"])}
        assert used == names


def test_metrics_without_the_switch(site):      # noqa: F811
    lab = site.lab
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    with site.monitor(site.file([1, 1, 1]), "-b", "nope", "--metrics",
                      f"127.0.0.1:{PORT}") as monitor:
        monitor.wait("monitor started")
        got = parse(fetch(lab).stdout)
        assert got["lbgen_switch_connected"] == {(): 0}
        assert "lbgen_server_slots" not in got
        assert monitor.stop() < 4


def test_a_port_has_one_monitor(site):      # noqa: F811
    """Nobody else gets half of the questions: not another monitor, and not
    what a killed one has left at work on the bridge."""
    lab = site.lab
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    path = site.file([1, 1, 1])
    with site.monitor(path, "--metrics", PORT) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        again = lab.lbgen("monitor", "--metrics", PORT, path, check=1)
        assert f"cannot listen at {PORT} for --metrics" in again.stderr
        held = lab.hold("c1", VIP, 80, 30)
        n = monitor.count_lines("bridge updated: .*health")
        site.kill("s3")
        monitor.wait("bridge updated: .*health", n + 1)
        monitor.kill()          # Its child still has to cut connections.
        with site.monitor(path, "--metrics", PORT) as successor:
            successor.wait("monitor started")
            for _ in range(20):
                parse(fetch(lab).stdout)
            successor.wait_states(s3="down")
        held.close()


def test_whoever_reads_the_file_may(site):      # noqa: F811
    lab = site.lab
    text_file = f"{lab.rundir}/private.prom"
    with site.monitor(site.file([1, 1, 1]), "--metrics-file", text_file,
                      before=("sh", "-c", 'umask 077; exec "$@"', "sh")):
        wait_for(lambda: os.path.exists(text_file), "file")
        assert os.stat(text_file).st_mode & 0o777 == 0o644


def test_wrong_address(site):       # noqa: F811
    path = site.file([1, 1, 1])
    result = site.lab.lbgen("monitor", "--metrics", "203.0.113.1:9", path,
                            check=1)
    assert "cannot listen at 203.0.113.1:9 for --metrics" in result.stderr


def test_nobody_can_connect(site):      # noqa: F811
    """Without descriptors: who asks waits, and the processor does not."""
    lab = site.lab
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    with site.monitor(site.file([1, 1, 1]), "--metrics", f"127.0.0.1:{PORT}") \
            as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        pid = monitor.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        asks = lab.popen(lab.netns, *CLIENT,
                         f"http://127.0.0.1:{PORT}/metrics",
                         stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
        before = cpu(pid)
        time.sleep(2)
        assert cpu(pid) - before < 1
        assert asks.poll() is None
        assert len(monitor.log().splitlines()) < 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
        got = parse(asks.communicate(timeout=30)[0])
        assert got["lbgen_server_slots"].keys() == {
            ("web", "s1"), ("web", "s2"), ("web", "s3")}
