# SPDX-License-Identifier: Apache-2.0
"""lbgen-monitor@.service: what systemd makes of it, and what its command does
as another user, with nothing but a group."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from lab_monitor import Monitor, join_bridge
from test_systemd import TOP, settings

UNITS = ["lbgen@", "lbgen-refresh@", "lbgen-monitor@"]
USER, GROUP = 4711, 4712        # Of the service; of the switch's sockets.


def unit_text(name, sbindir="/bin", sysconfdir="/etc"):
    """As make makes it."""
    text = (TOP / "systemd" / f"{name}.service.in").read_text()
    return (text.replace("@sbindir@", sbindir)
            .replace("@sysconfdir@", sysconfdir))


UNIT = settings(unit_text("lbgen-monitor@"))
SERVICE = UNIT["Service"]


@pytest.fixture
def units(tmp_path):
    """A directory with all units, and stand-ins for those of others."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    shutil.copy("/bin/true", tmp_path / "lbgen")
    for name in UNITS:
        (tmp_path / f"{name}.service").write_text(
            unit_text(name, sbindir=str(tmp_path)))
    shutil.copy(TOP / "systemd" / "lbgen-refresh@.timer", tmp_path)
    for name in ("ovs-vswitchd", "openvswitch-switch", "openvswitch"):
        (tmp_path / f"{name}.service").write_text(
            "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    return tmp_path


def analyze(units, *args):
    return subprocess.run(
        ["systemd-analyze", *args], text=True, capture_output=True,
        env=dict(os.environ, SYSTEMD_UNIT_PATH=f"{units}:"))


@pytest.mark.parametrize("name", [f"{name}br0.service" for name in UNITS]
                         + ["lbgen-refresh@br0.timer"])
def test_systemd_understands_it(units, name):
    shutil.copy(units / name.replace("br0", ""), units / name)
    result = analyze(units, "verify", "--man=no", units / name)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_drop_in_is_understood(units):
    """The one that gives access."""
    drop_in = units / "ovs-vswitchd.service.d"
    drop_in.mkdir()
    shutil.copy(TOP / "systemd" / "ovs-vswitchd-lbgen.conf", drop_in)
    result = analyze(units, "verify", "--man=no",
                     units / "ovs-vswitchd.service")
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def exposure(units, name):
    result = analyze(units, "security", "--offline=true", "--no-pager",
                     units / f"{name}.service")
    return float(re.search(r"Overall exposure level.*: ([\d.]+)",
                           result.stdout)[1])


def test_is_well_shut_in(units):
    """As systemd counts: 10 is a service that may do all that root may."""
    assert exposure(units, "lbgen-monitor@") <= 2.0
    assert exposure(units, "lbgen@") <= 3.5
    assert exposure(units, "lbgen-refresh@") <= 3.5
    path = units / "lbgen-monitor@.service"
    path.write_text(path.read_text().replace("CapabilityBoundingSet=\n", ""))
    assert exposure(units, "lbgen-monitor@") > 2.0


def test_the_user_is_made(tmp_path):
    if not shutil.which("systemd-sysusers"):
        pytest.skip("there is no systemd-sysusers")
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}",
                    TOP / "systemd" / "lbgen.conf"], check=True)
    assert SERVICE["User"] == ["lbgen"]
    line, = (tmp_path / "etc/passwd").read_text().splitlines()
    assert line.startswith("lbgen:")
    assert line.endswith("nologin")


# The command itself.

def grant_access(lab):
    """What the drop-in does, and the restart that it takes."""
    drop_in = settings((TOP / "systemd" / "ovs-vswitchd-lbgen.conf")
                       .read_text())
    for command in drop_in["Service"]["ExecStartPre"]:
        lab.run(lab.netns, *shlex.split(
            command.replace("/run/openvswitch", lab.rundir)
            .replace("lbgen ", f"{GROUP} ")))
    before = os.umask(int(drop_in["Service"]["UMask"][0], 8))
    try:
        lab.restart_switch()
    finally:
        os.umask(before)


def confine(capabilities="", groups=GROUP):
    """What runs the unit's command as the unit says: the user, his groups, his
    capabilities, all else read-only."""
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv")
    names = ",".join(["-all"] + [f"+{name}" for name in capabilities.split()])
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}",
            f"--groups={groups or USER}", f"--inh-caps={names}",
            f"--ambient-caps={names}", f"--bounding-set={names}",
            "--no-new-privs"]


def only_one_user():
    with open("/proc/self/uid_map") as file:
        return int(file.read().split()[2]) < USER


needs_users = pytest.mark.skipif(only_one_user(),
                                 reason="only root can have other users here")


@pytest.fixture(scope="module")
def module_service(make_module_lab):
    lab = make_module_lab()
    join_bridge(lab)
    grant_access(lab)
    lab.services = {name: lab.serve(name, 8080) for name in lab.servers}
    return lab


@pytest.fixture
def lab(module_service):
    yield module_service
    module_service.lbgen("delete", "--all", "-b", "br0")


CHECK = {"interval": "100ms", "fall": 2, "rise": 1}


def file(lab, checks=3 * [{"type": "tcp"}], check=CHECK, **keys):
    """One server for each of 'checks'."""
    pool = lab.pool([1] * len(checks), server_port=8080, **keys)
    for server, kind in zip(pool["servers"], checks):
        server["check"] = {**check, **kind}
    path = lab.file(pool, fallback="normal")
    os.chmod(path, 0o644)
    return path


@contextlib.contextmanager
def monitor(lab, path, before=(), env=()):
    m = Monitor(lab, path, before=before,
                env=["env", *env] if env else ())
    try:
        yield m
    finally:
        print(m.log())
        if m.process.poll() is None:
            m.kill()


@needs_users
@pytest.mark.switch
def test_a_group_is_enough(lab):
    """To apply, to repair, to check, to cut connections; root's lbgens and this
    one keep out of each other's way."""
    web = lab.popen("s2", sys.executable, "-m", "http.server", "8081",
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = file(lab, [{"type": "tcp"}, {"type": "http", "port": 8081},
                      {"type": "tcp"}])
    with monitor(lab, path, confine()) as m:
        m.wait_states(s1="up", s2="up", s3="up")
        with open(f"/proc/{m.process.pid}/status") as status:
            text = status.read()
        assert re.search(rf"Uid:\s+{USER}\s", text)
        assert re.search(r"CapEff:\s+0+\n", text)
        lab.ofctl("del-flows", "br0")
        m.wait("bridge updated: .*somebody else changed it")
        assert lab.connect("c1", "10.0.0.100", 80, 50).failures == 0
        hold = lab.hold("c1", "10.0.0.100", 80, 30)
        lab.services.pop("s1").stop()
        m.wait("server down: .*server=s1")
        m.wait("connections cut: ")
        hold.close()
        lab.lbgen("weight", "web/s3", "5", "-b", "br0")
        assert "cannot lock" not in m.log()
        lock = os.stat(f"{lab.rundir}/lbgen.br0.lock")
        assert (lock.st_gid, lock.st_mode & 0o777) == (GROUP, 0o660)
        assert m.stop() < 1 + MARGIN
    web.terminate()
    web.wait()
    lab.services["s1"] = lab.serve("s1", 8080)


MARGIN = 2                      # What the machine may add, in seconds.


@needs_users
@pytest.mark.switch
def test_without_the_group(lab):
    """It says why it waits."""
    with monitor(lab, file(lab), confine(groups=None)) as m:
        m.wait('waiting for the switch: bridge=br0 '
               'error="Permission denied"')


@needs_users
@pytest.mark.switch
def test_capability_of_raw_sockets(lab):
    """Without it checks that need it say so; with it alone they work."""
    path = file(lab, [{"type": kind} for kind in ("icmp", "arp", "tcp")])
    lab.run(lab.netns, "sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
    with monitor(lab, path, confine()) as m:
        m.wait_states(s3="up")
        m.wait(r"cannot check: pool=web server=s1 error=\"cannot ask: "
               r"(Permission denied|Operation not permitted) \(CAP_NET_RAW or "
               r"net.ipv4.ping_group_range\)")
        m.wait(r"cannot check: pool=web server=s2 error=\"cannot ask: "
               r"Operation not permitted \(CAP_NET_RAW\)")
        m.stop()
    with monitor(lab, path, confine("net_raw")) as m:
        m.wait_states(s1="up", s2="up", s3="up")


# What it tells systemd.

class Notified:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(10)
        self.messages = []      # (when, text)

    def wait(self, pattern, n=1):
        """Reads on until 'n' messages have matched."""
        while sum(bool(re.search(pattern, text))
                  for _, text in self.messages) < n:
            text = self.socket.recv(4096).decode()
            self.messages.append((time.monotonic(), text))
        return [when for when, text in self.messages
                if re.search(pattern, text)]


@pytest.fixture
def notified(lab):
    notified = Notified(f"{lab.rundir}/notify")
    yield notified
    notified.socket.close()
    os.unlink(notified.path)


def environment(notified, interval=1):
    return [f"NOTIFY_SOCKET={notified.path}",
            f"WATCHDOG_USEC={int(interval * 1e6)}"]


@pytest.mark.switch
def test_says_that_it_works(lab, notified):
    """READY=1 at once, WATCHDOG=1 twice in its time, STOPPING=1 at the end,
    which comes in less than a second."""
    assert (SERVICE["Type"], SERVICE["WatchdogSec"]) == (["notify"], ["10"])
    with monitor(lab, file(lab), env=environment(notified)) as m:
        ready, = notified.wait("READY=1")
        notified.wait("STATUS=keeps bridge br0")
        beats = notified.wait("WATCHDOG=1", 5)
        assert 1.5 < beats[4] - beats[0] < 2.5 + MARGIN
        assert m.stop() < 1 + MARGIN
        notified.wait("STOPPING=1")


@pytest.mark.switch
def test_a_hang_is_noticed(lab, notified):
    """By nothing being said."""
    with monitor(lab, file(lab), env=environment(notified)) as m:
        notified.wait("WATCHDOG=1", 2)
        m.process.send_signal(signal.SIGSTOP)
        notified.socket.settimeout(2)
        with pytest.raises(TimeoutError):
            notified.wait("WATCHDOG=1", 20)
        m.process.send_signal(signal.SIGCONT)
        notified.wait("WATCHDOG=1", len(notified.messages) + 1)


@pytest.mark.switch
def test_starts_without_a_switch(make_lab):
    """Ready all the same: it waits, and begins when there is one."""
    lab = make_lab(servers=1, clients=1)
    lab.serve("s1", 8080)
    notified = Notified(f"{lab.rundir}/notify")
    lab.vsctl("set", "bridge", "br0", "protocols=[]")
    path = file(lab, [{"type": "tcp", "from": "switch"}])
    lab.vswitchd.terminate()
    lab.vswitchd.wait()
    with monitor(lab, path, env=environment(notified)) as m:
        notified.wait("READY=1\nSTATUS=waiting for bridge br0")
        m.wait('waiting for the switch: bridge=br0 error="')
        notified.wait("WATCHDOG=1", 3)
        lab.restart_switch()
        notified.wait("STATUS=keeps bridge br0")
        m.wait_states(s1="up")
        assert lab.connect("c1", "10.0.0.100", 80, 10).failures == 0
        assert m.stop() < 1 + MARGIN
