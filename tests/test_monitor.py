# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor: servers that die and come back, with real traffic."""

import json
import os
import resource
import signal
import threading
import time

import pytest

from lab import assert_shares, wait_for
from lab_monitor import join_bridge, running, slots, states, status

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
CHECK = {"type": "tcp", "interval": "100ms", "rise": 2, "fall": 3,
         "timeout": "2s"}
# For servers that are silent, where CHECK would take long.
IMPATIENT = {**CHECK, "timeout": "100ms"}

# What the machine may add to what follows from the settings, in seconds.
MARGIN = 3


class Site:
    """A lab with servers and, for each test, a monitor."""

    def __init__(self, lab):
        self.lab = lab
        self.servers = {}
        join_bridge(lab)

    def serve(self, *names):
        for name in names:
            self.servers[name] = self.lab.serve(name, 8080)

    def kill(self, name):
        self.servers.pop(name).stop()

    def file(self, weights=None, check=CHECK, **keys):
        keys = {"server_port": 8080, "check": check,
                "settings": {"fallback": "normal"}, **keys}
        return self.lab.pool_yaml(weights, **keys)

    def monitor(self, path, *args, **options):
        return running(self.lab, path, *args, **options)


@pytest.fixture(scope="module")
def module_site(make_module_lab):
    return Site(make_module_lab(servers=4, clients=2))


@pytest.fixture
def site(module_site):
    """All servers run, nothing is installed."""
    site = module_site
    site.serve(*(set(site.lab.servers[:3]) - set(site.servers)))
    yield site
    for server in site.lab.servers:
        site.lab.set_link(server, True)
    if "s4" in site.servers:
        site.kill("s4")
    site.lab.lbgen("delete", "--all", "-b", "br0")


class Requests:
    """One client that connects as fast as it can, until stop()."""

    def __init__(self, lab, client="c1", chunk=50):
        self.lab, self.client, self.chunk = lab, client, chunk
        self.failures, self.total = 0, 0
        self.failed_at = []
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop:
            traffic = self.lab.connect(self.client, VIP, 80, self.chunk)
            self.total += self.chunk
            self.failures += traffic.failures
            if traffic.failures:
                self.failed_at.append(time.monotonic())

    def stop(self):
        self._stop = True
        self._thread.join()


def test_a_server_dies_and_comes_back(site):
    lab = site.lab
    with site.monitor(site.file([1, 1, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        before = slots(lab)
        assert sum(before.values()) == 256
        held = lab.hold("c1", VIP, 80, 60)
        on_s2 = held.ping().servers["s2"]
        assert on_s2

        begin = time.monotonic()
        site.kill("s2")
        monitor.wait(r'server down: pool=web server=s2 was=up '
                     'error="Connection refused"')
        wait_for(lambda: slots(lab)["s2"] == 0, "slots")
        took = time.monotonic() - begin
        print(f"taken out after {took:.3f} s")
        assert took < 0.3 + MARGIN
        # Its slots, and no others: the rest keep what they have.
        after = slots(lab)
        assert after["s2"] == 0 and sum(after.values()) == 256
        assert after["s1"] >= before["s1"] and after["s3"] >= before["s3"]
        moved = monitor.log().split("health has changed")[-1]
        assert f"moved_slots={before['s2']}" in moved
        traffic = lab.connect("c2", VIP, 80, 500)
        assert traffic.failures == 0
        assert_shares(traffic, {"s1": 1, "s2": 0, "s3": 1}, 500)
        # Those of the others go on.
        assert held.ping().alive == 60 - on_s2

        server = status(lab)["s2"]
        assert server["health"]["error"] == "Connection refused"
        assert server["state"] == "ready" and server["weight"] == 1
        assert server["effective_weight"] == 0
        text = lab.lbgen("status", "-b", "br0").stdout
        assert "  s2 is down since " in text
        assert ": Connection refused\n  health: 2 of 3 up\n" in text

        site.serve("s2")
        monitor.wait_states(s2="up")
        assert slots(lab) == before
        assert status(lab)["s2"]["health"]["error"] is None
        held.close()


def test_a_cable_is_cut(site):
    """Silence, other than a refusal, costs the timeout on top."""
    lab = site.lab
    with site.monitor(site.file([1, 1, 1], check=IMPATIENT)) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        held = lab.hold("c1", VIP, 80, 60)
        on_s3 = held.ping().servers["s3"]
        begin = time.monotonic()
        lab.set_link("s3", False)
        monitor.wait("server down: pool=web server=s3")
        monitor.wait(r"bridge updated: .*health")
        took = time.monotonic() - begin
        print(f"taken out after {took:.3f} s")
        assert took < 3 * 0.1 + 0.1 + MARGIN
        traffic = lab.connect("c2", VIP, 80, 300)
        assert (traffic.failures, traffic["s3"]) == (0, 0)
        # They are cut: a client that asks again hears at once that its
        # connection is gone, from another server, instead of nothing.
        monitor.wait("connections cut: bridge=br0 n=")
        ping = held.ping()
        assert ping.alive == 60 - on_s3
        assert ping.stalled == 0 and ping.reset == on_s3
        held.close()


def test_own_shortage(site):
    """A monitor without descriptors takes nobody out: not those that live, and
    one that is dead once it can see that again."""
    with site.monitor(site.file([1, 1, 1])) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        usual = resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        for name in "s1", "s2", "s3":
            m.wait(f'cannot check: pool=web server={name} '
                   'error="Too many open files"')
        site.kill("s2")
        time.sleep(1)
        assert set(states(site.lab).values()) == {"up"}
        resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE, usual)
        m.wait_states(s1="up", s2="down", s3="up")
        # Not again for each check.
        assert m.count_lines("cannot check") == 3


def test_connections_are_kept_if_asked(site):
    """The check is wrong here; the server lives."""
    lab = site.lab
    path = site.file([1, 1, 1], on_down="keep",
                     check={**CHECK, "type": "http"})
    with site.monitor(path) as monitor:
        # Our servers do not speak HTTP.
        monitor.wait("server starting")
        monitor.wait("bridge updated", n=2)
        assert slots(lab) == {"s1": 0, "s2": 0, "s3": 0}
    lab.lbgen("delete", "--all", "-b", "br0")

    good = site.file([1, 1, 1], on_down="keep", check=CHECK)
    with site.monitor(good) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        held = lab.hold("c1", VIP, 80, 30)
        assert held.ping().alive == 30
        with open(good) as file:
            text = file.read()
        with open(good, "w") as file:
            file.write(text.replace('"tcp",\n        "interval"',
                                    '"http",\n        "interval"'))
        monitor.wait("server down", n=3)
        wait_for(lambda: slots(lab) == {"s1": 0, "s2": 0, "s3": 0}, "slots")
        assert held.ping().alive == 30
        held.close()


def test_traffic_while_a_server_dies(site):
    """Only what comes in between the death and its discovery fails."""
    lab = site.lab
    with site.monitor(site.file([1, 1, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        requests = Requests(lab)
        time.sleep(0.5)
        died = time.monotonic()
        site.kill("s1")
        monitor.wait("server down")
        monitor.wait(r"bridge updated: .*health")
        found = time.monotonic()
        time.sleep(1)
        requests.stop()
        print(f"{requests.failures} of {requests.total} failed, "
              f"{found - died:.2f} s")
        assert requests.total > requests.failures
        # A chunk that began before may end after.
        assert all(died <= t for t in requests.failed_at)
        clean = lab.connect("c1", VIP, 80, 300)
        assert clean.failures == 0


def test_new_servers_prove_themselves(site):
    lab = site.lab
    path = site.file([1, 1, 1])
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        more = site.file([1, 1, 1, 1])
        with open(more) as new, open(path, "w") as file:
            file.write(new.read())
        monitor.wait('bridge updated: .*reason="the file has changed"')
        # Nobody is there yet.
        monitor.wait("server starting: pool=web server=s4 was=starting "
                     'error="Connection refused"')
        wait_for(lambda: status(lab)["s4"]["health"]["error"], "error")
        assert states(lab)["s4"] == "starting"
        assert slots(lab)["s4"] == 0
        site.serve("s4")
        monitor.wait_states(s4="up")
        assert slots(lab)["s4"] == 64


def test_panic(site):
    lab = site.lab
    with site.monitor(site.file([1, 1, 1], panic=50)) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        site.kill("s1")
        monitor.wait_states(s1="down")
        assert slots(lab)["s1"] == 0
        site.kill("s2")
        monitor.wait_states(s2="down")
        # Two of three are too many: something else is wrong.
        wait_for(lambda: min(slots(lab).values()) >= 85, "panic")
        assert "count as up (panic)" in lab.lbgen("status", "-b", "br0").stdout
        site.serve("s1")
        monitor.wait_states(s1="up")
        wait_for(lambda: slots(lab)["s2"] == 0, "end of panic")


@pytest.fixture
def late_dumps(site):
    """What is cached is looked at when something changes, and else seldom."""
    site.lab.vsctl("set", "open_vswitch", ".",
                   "other_config:max-revalidator=4000")
    yield
    site.lab.vsctl("remove", "open_vswitch", ".", "other_config",
                   "max-revalidator")


def test_a_death_waits_for_no_cuts(site, late_dumps):
    """Not even where another pool panics, as it has for long."""
    lab = site.lab
    web = lab.pool([1, 1, 1], server_port=8080, check=CHECK)
    other = lab.pool([1, 1, 1], server_port=8080, name="other",
                     vip="10.0.0.101", panic=50,
                     check={**CHECK, "port": 9000})
    services = [lab.serve(name, 9000) for name in lab.servers[:3]]
    with site.monitor(lab.file(web, other, fallback="normal")) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        monitor.wait("server up: pool=other", 3)
        for service in services:
            service.stop()
        monitor.wait("server down: pool=other", 3)
        wait_for(lambda: min(slots(lab, "other").values()) >= 85, "panic")
        held = lab.hold("c1", VIP, 80, 60)
        time.sleep(1.5)         # Nothing is left to cut of the others.
        n = monitor.count_lines("bridge updated")
        n_cut = monitor.count_lines("connections cut")
        site.kill("s1")
        monitor.wait("bridge updated", n + 1)
        site.kill("s2")
        monitor.wait("bridge updated", n + 2)
        monitor.wait("connections cut", n_cut + 2, timeout=40)
        log = monitor.log()
        death = log.index("server down: pool=web server=s2")
        cut = log.index("connections cut", log.index("down: pool=web"))
        assert death < log.index("bridge updated", death) < cut, log
        held.close()


def test_operators_stand_beside_health(site):
    lab = site.lab
    with site.monitor(site.file([3, 2, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        lab.lbgen("drain", "-b", "br0", "web/s1")
        lab.lbgen("weight", "-b", "br0", "web/s2", "5")
        site.kill("s3")
        monitor.wait_states(s3="down")
        server = status(lab)
        assert server["s1"]["effective_state"] == "drain"
        assert server["s2"]["effective_weight"] == 5
        assert slots(lab) == {"s1": 0, "s2": 256, "s3": 0}
        # An apply by hand keeps both.
        lab.lbgen("apply", "-b", "br0", monitor.process.args[-1])
        assert slots(lab) == {"s1": 0, "s2": 256, "s3": 0}
        assert states(lab)["s3"] == "down"
        lab.lbgen("ready", "-b", "br0", "web/s1")
        lab.lbgen("ready", "-b", "br0", "web/s2")
        wait_for(lambda: slots(lab)["s1"] == 154, "weights of the file")


def test_successor_goes_on(site):
    """kill -9: the bridge stays, and the next one knows who is down."""
    lab = site.lab
    path = site.file([1, 1, 1])
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        site.kill("s2")
        monitor.wait_states(s2="down")
        monitor.kill()
    flows, groups = lab.flows(), lab.groups()
    assert lab.lbgen("diff", path).returncode == 0
    assert lab.connect("c1", VIP, 80, 200).failures == 0
    since = status(lab)["s2"]["health"]["since"]
    with site.monitor(path) as monitor:
        monitor.wait("bridge is right: .*started")
        time.sleep(0.5)
        assert (lab.flows(), lab.groups()) == (flows, groups)
        assert status(lab)["s2"]["health"]["since"] == since
        # It was down, so one success does not do.
        site.serve("s2")
        monitor.wait("server up: pool=web server=s2 was=down")
        assert monitor.count_lines("server up") == 1
        assert monitor.stop() < 1 + MARGIN


def test_stop(site):
    """At once, whatever is under way, and the bridge stays."""
    lab = site.lab
    slow = lab.write("#!/bin/sh\nsleep 30\n", "slow")
    lab.run(None, "chmod", "+x", slow)
    path = site.file([1, 1, 1], check={"type": "exec", "command": slow,
                                       "interval": "100ms",
                                       "timeout": "60s"})
    for how in signal.SIGTERM, signal.SIGINT:
        with site.monitor(path) as monitor:
            monitor.wait("bridge (updated|is right)")
            time.sleep(0.3)
            took = monitor.stop(how)
            print(f"stopped after {took:.3f} s")
            assert took < 1 + MARGIN
            assert monitor.log().endswith("the bridge stays as it is\n")
        assert status(lab)


def test_many_die_at_once(site):
    """One update; on a busy machine they may be noticed one by one, while
    another update is under way."""
    lab = site.lab
    path = site.file([1, 1, 1], check=IMPATIENT)
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        n = monitor.count_lines("bridge updated")
        for server in "s1", "s2", "s3":
            lab.set_link(server, False)
        monitor.wait("server down", n=3)
        wait_for(lambda: slots(lab) == {"s1": 0, "s2": 0, "s3": 0}, "slots")
        assert monitor.count_lines("bridge updated") - n <= 4


def test_refresh_inside(site):
    """Weights follow what servers report, at the interval of the file."""
    lab = site.lab
    for name, load in ("s1", 0), ("s2", 100), ("s3", 0):
        lab.write(f'{{"cpu": {load}, "memory": {load}, "stress": '
                  f'{load / 100}}}', name)
    pool = lab.pool([4, 4, 4], server_port=8080, check=CHECK)
    path = lab.file({**pool, "weights": {
        "policy": "adaptive", "interval": 1, "timeout": 0.5, "smoothing": 0,
        "max_step": 1, "max_move": 1,
        "from": [{"file": f"{lab.rundir}/{{name}}"}]}}, fallback="normal")
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        wait_for(lambda: 0 < slots(lab)["s2"] < 70, "refreshed weights")
        # A death in between takes nothing of that back.
        site.kill("s1")
        monitor.wait_states(s1="down")
        assert 0 < slots(lab)["s2"] < 110


@pytest.mark.parametrize("mistake", ["nonsense", "another bridge"])
def test_refresh_goes_by_the_file_in_force(site, mistake):
    """Not by one that was refused."""
    lab = site.lab
    pool = lab.pool([4, 4, 4], server_port=8080)
    say = {name: lab.write('{"stress": 0}', name) for name in lab.servers[:3]}
    weights = {"policy": "adaptive", "interval": 1, "timeout": 0.5,
               "smoothing": 0, "max_step": 1, "max_move": 1,
               "from": [{"file": f"{lab.rundir}/{{name}}"}]}
    path = lab.file({**pool, "weights": weights}, fallback="normal")
    with site.monitor(path) as monitor:
        monitor.wait("bridge (updated|is right)")
        with open(path, "w") as file:
            file.write("pools: nonsense\n" if mistake == "nonsense" else
                       json.dumps({"bridge": "br9", "pools": [pool]}))
        monitor.wait("file refused")
        with open(say["s2"], "w") as file:
            file.write('{"stress": 1}')
        wait_for(lambda: 0 < slots(lab)["s2"] < 70, "refreshed weights")
        assert "error" not in monitor.log().split("stays in force")[1]


def test_refresh_while_the_file_changes(site):
    """More often than rounds are due."""
    lab = site.lab
    pool = lab.pool([4, 4, 4], server_port=8080)
    path = lab.file({**pool, "weights": {
        "interval": 2, "timeout": 1, "from": [{"exec": [
            "/bin/sh", "-c", f"echo >>{lab.rundir}/rounds; echo up"]}]}},
        fallback="normal")
    rounds = f"{lab.rundir}/rounds"
    with site.monitor(path) as monitor:
        monitor.wait("bridge (updated|is right)")
        begin = time.monotonic()
        while not os.path.exists(rounds):
            assert time.monotonic() - begin < 2 + MARGIN
            monitor.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
        # And no more often than that.
        monitor.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        with open(rounds) as file:
            assert file.read() == "\n"


def test_a_server_dies_while_agents_hang(site):
    """Nothing waits for the round of weights."""
    lab = site.lab
    pool = lab.pool([1, 1, 1], server_port=8080, check=CHECK)
    path = lab.file({**pool, "weights": {
        "interval": 6, "timeout": 5.9, "from": [{"exec": [
            "/bin/sh", "-c", f"touch {lab.rundir}/asked; sleep 60"]}]}},
        fallback="normal")
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        wait_for(lambda: os.path.exists(f"{lab.rundir}/asked"), "a round", 20)
        begin = time.monotonic()
        site.kill("s2")
        wait_for(lambda: slots(lab)["s2"] == 0, "slots")
        took = time.monotonic() - begin
        print(f"taken out after {took:.3f} s")
        assert took < 0.3 + MARGIN
