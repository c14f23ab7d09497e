# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor: what is lost is put back, files that change are followed, and
nothing that dies leaves a mess."""

import os
import re
import signal
import time

import pytest

from lab import wait_for
from lab_monitor import slots, states, status
from test_monitor import (CHECK, MARGIN, VIP, Site,     # noqa: F401
                          module_site, site)

pytestmark = pytest.mark.switch


def installed(lab):
    """Of lbgen: the flow of an empty bridge does not come back."""
    return ([flow for flow in lab.flows() if "cookie=0x6c6267" in flow],
            lab.groups())


def wait_installed(lab, wanted, since):
    """Waits until the bridge is as it was.  Returns how long that took."""
    wait_for(lambda: installed(lab) == wanted, "repair")
    return time.monotonic() - since


@pytest.fixture
def running(site):      # noqa: F811
    with site.monitor(site.file([1, 1, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        time.sleep(0.3)
        yield site.lab, monitor


@pytest.mark.parametrize("damage", [
    ("del-flows",), ("del-flows", "table=200"), ("del-flows", "table=202"),
    ("del-groups",),
    ("mod-group", "group_id={group},type=all,bucket=drop"),
], ids=lambda d: " ".join(d[:1] + d[1:]))
def test_damage_is_mended(running, damage):
    lab, monitor = running
    wanted = installed(lab)
    n = monitor.count_lines("bridge updated")
    group = re.search(r"group_id=(\d+)", lab.groups()[0])[1]
    command, *rest = damage
    lab.ofctl(command, "br0", *(arg.format(group=group) for arg in rest))
    took = wait_installed(lab, wanted, time.monotonic())
    print(f"mended after {took:.3f} s")
    assert took < 1 + MARGIN
    assert lab.connect("c1", VIP, 80, 100).failures == 0
    monitor.wait("bridge updated", n=n + 1)
    # One line, and then there is peace.
    time.sleep(0.7)
    assert monitor.count_lines("bridge updated") == n + 1


def test_flows_of_others_are_nobodys_business(running):
    lab, monitor = running
    n = monitor.count_lines("bridge updated")
    lab.ofctl("add-flow", "br0", "table=0,priority=7,ip,actions=NORMAL")
    lab.ofctl("add-flow", "br0", "table=90,priority=7,ip,actions=drop")
    time.sleep(0.5)
    assert "priority=7,ip" in "".join(lab.flows())
    lab.ofctl("--strict", "del-flows", "br0", "table=0,priority=7,ip")
    lab.ofctl("del-flows", "br0", "table=90")
    assert monitor.count_lines("bridge updated") == n


def test_another_file_does_not_last(running):
    lab, monitor = running
    path = monitor.process.args[-1]
    begin = time.monotonic()
    lab.lbgen("apply", lab.pool_yaml([5, 1, 1], server_port=8080, port=81))
    wait_for(lambda: lab.lbgen("diff", path, check=None).returncode == 0,
             "the monitor's own file")
    assert time.monotonic() - begin < 1 + MARGIN
    assert status(lab)["s1"]["weight"] == 1


def test_what_fails_again_is_said_again(running):
    """But not each time that it is tried."""
    lab, monitor = running
    wanted = installed(lab)
    says = "bridge .br0. has flows of others in table 200"
    occupy = lab.write("flow delete table=200\n"
                       "flow add table=200,priority=1,actions=drop\n")
    for n in 1, 2:
        lab.ofctl("bundle", "br0", occupy)
        monitor.wait(says, n)
        time.sleep(1)           # It is tried a few times.
        lab.ofctl("--strict", "del-flows", "br0", "table=200,priority=1")
        wait_installed(lab, wanted, time.monotonic())
        monitor.wait("bridge updated: .*somebody else", n)
        assert monitor.count_lines(says) == n


def test_a_switch_that_dies_while_connections_are_cut(site):    # noqa: F811
    """The bridge was right by then, and the connections are those of the
    switch: they are gone with it.  It is said all the same."""
    lab = site.lab
    with site.monitor(site.file([1, 1, 1])) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        held = lab.hold("c1", VIP, 80, 30)
        n = monitor.count_lines("bridge updated: .*health")
        site.kill("s3")
        monitor.wait("bridge updated: .*health", n + 1)
        lab.restart_switch(kill=True)
        monitor.wait("lost bridge .br0. while cutting connections")
        monitor.wait('reason="the switch is back"')
        assert lab.connect("c2", VIP, 80, 60).keys() == {"s1", "s2"}
        held.close()


def test_switch_is_killed(running):
    lab, monitor = running
    wanted = installed(lab)
    lab.expect_crash = True
    lab.restart_switch(kill=True)
    wait_for(lambda: os.path.exists(f"{lab.rundir}/br0.mgmt")
             and lab.ofctl("show", "br0", check=False), "switch")
    took = wait_installed(lab, wanted, time.monotonic())
    print(f"right again {took:.3f} s after the switch")
    assert took < 1 + MARGIN
    # The servers are not blamed.
    assert monitor.count_lines("server down") == 0
    assert monitor.count_lines("switch lost") == 1
    wait_for(lambda: lab.connect("c1", VIP, 80, 20).failures == 0, "service")
    assert states(lab) == {"s1": "up", "s2": "up", "s3": "up"}


def test_bridge_is_made_anew(running):
    lab, monitor = running
    wanted = installed(lab)
    ports = [(host.port, host.ofport) for host in lab.hosts.values()]
    commands = ["--", "del-br", "br0", "--", "add-br", "br0", "--", "set",
                "bridge", "br0", "datapath_type=netdev"]
    for port, ofport in ports:
        commands += ["--", "add-port", "br0", port, "--", "set", "interface",
                     port, f"ofport_request={ofport}"]
    lab.vsctl(*commands[1:])
    took = wait_installed(lab, wanted, time.monotonic())
    print(f"right again {took:.3f} s after the bridge")
    assert took < 1 + MARGIN
    lab.run(lab.netns, "ip", "address", "replace", "10.0.9.1/16", "dev",
            "br0")
    lab.run(lab.netns, "ip", "link", "set", "br0", "up")
    wait_for(lambda: lab.connect("c1", VIP, 80, 20).failures == 0, "service")


def test_starts_without_the_switch(site):      # noqa: F811
    lab = site.lab
    lab.vsctl("del-br", "br0")
    path = site.file([1, 1, 1])
    with site.monitor(path) as monitor:
        monitor.wait("waiting for the switch: bridge=br0")
        time.sleep(0.5)
        assert monitor.count_lines("server") == 0
        commands = ["--", "add-br", "br0", "--", "set", "bridge", "br0",
                    "datapath_type=netdev"]
        for host in lab.hosts.values():
            commands += ["--", "add-port", "br0", host.port, "--", "set",
                         "interface", host.port,
                         f"ofport_request={host.ofport}"]
        lab.vsctl(*commands[1:])
        lab.run(lab.netns, "ip", "address", "replace", "10.0.9.1/16", "dev",
                "br0")
        lab.run(lab.netns, "ip", "link", "set", "br0", "up")
        monitor.wait_states(s1="up", s2="up", s3="up")
        assert lab.connect("c1", VIP, 80, 50).failures == 0


# Files that change

def rewrite(path, text):
    """As editors do: a new file in the place of the old one."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.rename(f"{path}.new", path)


def test_file_changes(site):        # noqa: F811
    lab = site.lab
    path = site.file([1, 1, 1])
    heavier = site.file([1, 1, 2])
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        with open(path) as file:
            first = file.read()
        with open(heavier) as file:
            second = file.read()
        rewrite(path, second)
        wait_for(lambda: slots(lab)["s3"] == 128, "new weights")

        # A bad one changes nothing, and is told of with line and column.
        rewrite(path, second.replace('"weight": 2', '"weight": -2'))
        monitor.wait("file refused: file=.*; the one before stays in force")
        assert re.search(rf'{path}:\d+:\d+: error: server "s3": weight must '
                         'be 0 to 65535, not -2', monitor.log())
        # It is not what a repair goes by either.
        lab.ofctl("del-flows", "br0")
        wait_for(lambda: status(lab) and slots(lab)["s3"] == 128, "repair")
        rewrite(path, second.replace("[", "{", 1))
        monitor.wait("file refused", n=2)
        rewrite(path, first)
        wait_for(lambda: slots(lab)["s3"] < 90, "old weights")

        # The same text is no news, but SIGHUP always is.
        n = monitor.count_lines("the file has changed")
        rewrite(path, first)
        os.utime(path)
        time.sleep(0.4)
        assert monitor.count_lines("the file has changed") == n
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait("the file has changed", n=n + 1)
        # Health went on through all that.
        assert monitor.count_lines("server (down|starting)") == 0
        assert monitor.count_lines("server up") == 3


@pytest.mark.slow
def test_a_file_far_behind_a_link(site):        # noqa: F811
    """Its directory is not the one that is watched: it is looked at all the
    same, if less often."""
    lab = site.lab
    os.makedirs(f"{lab.rundir}/far")
    path = f"{lab.rundir}/link.yaml"
    target = f"{lab.rundir}/far/pool.yaml"
    with open(site.file([1, 1, 1])) as file:
        first = file.read()
    rewrite(target, first)
    os.symlink(target, path)
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        rewrite(target, first.replace('"s3"', '"s33"'))
        wait_for(lambda: "s33" in slots(lab), "s33", 30)


def test_a_file_that_is_written_slowly(site):        # noqa: F811
    """A part of it, which may well be right as it is, does not count."""
    lab = site.lab
    path = site.file([1, 1, 1])
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        with open(path) as file:
            text = file.read()
        os.remove(path)
        with open(path, "w") as file:
            file.write('{"bridge": "br0", "pools": []}\n')
            file.flush()
            time.sleep(1)
            file.seek(0)
            file.write(text.replace('"s3"', '"s33"'))
        wait_for(lambda: "s33" in slots(lab), "s33")
        log = monitor.log()
        assert "file refused" not in log
        assert not re.search(r'"the file has changed" changes=\d+ '
                             r'moved_slots=0', log), log


def test_another_bridge_needs_another_monitor(site):      # noqa: F811
    path = site.file([1, 1, 1])
    with site.monitor(path) as monitor:
        monitor.wait("bridge updated")
        with open(path) as file:
            text = file.read()
        rewrite(path, text.replace('"br0"', '"br1"'))
        monitor.wait("names another bridge, br1; for that, start the monitor")


def test_pools_come_and_go(site):      # noqa: F811
    lab = site.lab
    web = lab.pool([1, 1, 1], server_port=8080, check=CHECK)
    other = lab.pool([1, 1], name="other", vip="10.0.0.101", check="tcp",
                     server_port=8080)
    path = lab.file(web, fallback="normal")
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        with open(lab.file(web, other, fallback="normal")) as file:
            rewrite(path, file.read())
        wait_for(lambda: set(states(lab, "other").values()) == {"up"}, "other")
        with open(lab.file(other, fallback="normal")) as file:
            rewrite(path, file.read())
        wait_for(lambda: not status(lab, "web"), "web to go")
        assert set(states(lab, "other").values()) == {"up"}


# Sudden ends

def assert_whole(lab, path):
    """The bridge is what some file says, all of it."""
    assert lab.lbgen("diff", path, check=None).returncode in (0, 2)
    assert '"drift": 0' in lab.lbgen("status", "-b", "br0", "--json").stdout \
        or not status(lab)


def test_monitor_is_killed_while_it_updates(site):      # noqa: F811
    """At different moments of a failover and of an apply; whatever was under
    way is done whole or not at all, and the next one puts it right."""
    lab = site.lab
    path = site.file([1, 1, 1])
    for i in range(6):
        with site.monitor(path) as monitor:
            monitor.wait_states(s1="up", s2="up", s3="up")
            site.kill("s1")
            monitor.wait("server down")
            time.sleep(i * 0.004)
            monitor.kill()
        wait_for(lambda: not lab.lbgen("diff", path, check=None).stderr,
                 "the last job")
        assert_whole(lab, path)
        with site.monitor(path) as monitor:
            monitor.wait_states(s1="down")
            assert lab.connect("c1", VIP, 80, 50).failures == 0
            site.serve("s1")
            monitor.wait_states(s1="up")


def test_both_are_killed(site):      # noqa: F811
    lab = site.lab
    path = site.file([1, 1, 1])
    lab.expect_crash = True
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        monitor.kill()
    lab.restart_switch(kill=True)
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")
        wait_for(lambda: lab.connect("c1", VIP, 80, 50).failures == 0,
                 "service")
        assert_whole(lab, path)


@pytest.mark.traffic            # Sanitizers keep freed memory for a while.
def test_no_leak(site):      # noqa: F811
    """Descriptors and memory stay what they are over failovers, repairs and
    reloads."""
    lab = site.lab
    path = site.file([1, 1, 1], check={**CHECK, "interval": "20ms",
                                       "fall": 2})
    with open(path) as file:
        text = file.read()
    with site.monitor(path) as monitor:
        monitor.wait_states(s1="up", s2="up", s3="up")

        def stir():
            site.kill("s1")
            monitor.wait_states(s1="down")
            lab.ofctl("del-flows", "br0")
            site.serve("s1")
            n = monitor.count_lines("the file has changed")
            rewrite(path, text + "\n" * (n + 1))
            monitor.wait("the file has changed", n=n + 1)
            monitor.wait_states(s1="up")
            time.sleep(0.3)

        def idle_fds():
            """Without those of checks that are under way."""
            return min(monitor.n_fds() for _ in range(100))

        stir()
        fds, memory = idle_fds(), monitor.memory()
        for _ in range(3):
            stir()
        wait_for(lambda: idle_fds() <= fds, "descriptors")
        print(f"{fds} descriptors, {memory} -> {monitor.memory()} kB")
        assert monitor.memory() <= memory + 1500
