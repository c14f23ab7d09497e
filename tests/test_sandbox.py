# SPDX-License-Identifier: Apache-2.0
"""tests/sandbox: what happens inside stays inside, however it ends.

These tests run in a sandbox themselves, so they make one in another.
"""

import os
import pathlib
import signal
import subprocess
import time
import uuid

import pytest

TOP = pathlib.Path(os.environ.get("SRCDIR",
                                  pathlib.Path(__file__).parents[1]))
SANDBOX = str(TOP / "tests" / "sandbox")

# Leaves traces of all kinds.  TAG is unlike any other test's, because tests
# that run at the same time share a network namespace.
TRACES = """
set -e
ip link add $TAG type veth peer name ${TAG}p
ip netns add $TAG
touch /run/$TAG $TMPDIR/$TAG
"""

# Starts a process that is hard to stop, as daemons are, then says so and stays.
DAEMON = TRACES + """
setsid sh -c 'trap "" TERM HUP INT; sleep 1000' &
echo ready
sleep 1000
"""

# Starts a switch with a bridge, then says so and stays.
SWITCH = TRACES + """
export OVS_RUNDIR=/run/openvswitch OVS_LOGDIR=/run/openvswitch
export OVS_DBDIR=/run/openvswitch
cd /run/openvswitch
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server --detach --pidfile --log-file --remote=punix:db.sock conf.db
ovs-vsctl --no-wait init
ovs-vswitchd --detach --pidfile --log-file
ovs-vsctl --timeout=20 add-br $TAG-br \\
    -- set bridge $TAG-br datapath_type=netdev -- add-port $TAG-br $TAG
ip link show $TAG-br >/dev/null
echo ready
exec sleep 1000
"""


def run(*args, **kwargs):
    return subprocess.run([SANDBOX, *args], capture_output=True, text=True,
                          timeout=60, **kwargs)


def make_tag():
    return "sb" + uuid.uuid4().hex[:7]


def marked(tag):
    """The processes, by id, that have TAG in their environment."""
    found = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TAG={tag}".encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            pass
    return found


def children(pid):
    words = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in words.split()]


def traces(tag):
    """What is named after TAG out here, besides processes."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    names = [*os.listdir("/sys/class/net"), *os.listdir("/run"), *mounts,
             *os.listdir(os.environ.get("TMPDIR", "/tmp"))]
    return [name for name in names if tag in name]


def wait_until_gone(tag):
    deadline = time.monotonic() + 20
    while marked(tag):
        assert time.monotonic() < deadline, marked(tag)
        time.sleep(0.02)


def start(script, tag, *options):
    """Starts SCRIPT in a sandbox and waits for it to say "ready"."""
    process = subprocess.Popen(
        [SANDBOX, *options, "bash", "-c", script], text=True,
        stdout=subprocess.PIPE, env=dict(os.environ, TAG=tag),
        # As it is where nohup(1) has not had a hand in.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    assert process.stdout.readline() == "ready\n"
    return process


def victims(process):
    """The script, unshare(1) and the sandbox's first process."""
    outer, = [pid for pid in children(process.pid)
              if "unshare" in pathlib.Path(f"/proc/{pid}/comm").read_text()]
    first, = children(outer)
    return {"script": process.pid, "unshare": outer, "first": first}


def kill_and_look(script, victim, sig, *options):
    tag = make_tag()
    process = start(script, tag, *options)
    assert len(marked(tag)) >= 4
    os.kill(victims(process)[victim], sig)
    process.wait(timeout=20)
    wait_until_gone(tag)
    process.stdout.close()
    assert process.returncode != 0
    assert traces(tag) == []


@pytest.mark.parametrize("status", [0, 1, 2, 77])
def test_exit_status_is_the_commands(status):
    assert run("--no-tun", "sh", "-c", f"exit {status}").returncode == status


def test_streams_and_arguments_pass_through():
    result = run("--no-tun", "sh", "-c", 'cat; printf "%s\\n" "$@" >&2',
                 "x", "a b", "$HOME", "", input="in\n")
    assert result.stdout == "in\n"
    assert result.stderr == "a b\n$HOME\n\n"


def test_interrupt_is_not_ignored_inside():
    status = run("--no-tun", "sh", "-c", "kill -INT $$; exit 3").returncode
    assert status == 128 + signal.SIGINT


def test_network_run_and_tmp_are_its_own():
    tag = make_tag()
    result = run("--no-tun", "bash", "-c", TRACES + """
echo /sys/class/net/*
ip netns exec $TAG sh -c 'echo /sys/class/net/*'
echo $$ $(id -u)
""", env=dict(os.environ, TAG=tag))
    assert result.returncode == 0, result.stderr
    net = "/sys/class/net/"
    outer, inner, ids = result.stdout.splitlines()
    assert outer == f"{net}lo {net}{tag} {net}{tag}p"
    assert inner == f"{net}lo"
    pid, uid = map(int, ids.split())
    assert pid < 20
    assert uid == 0
    assert traces(tag) == []


def test_loopback_carries_traffic():
    result = run("--no-tun", "/usr/bin/python3", "-c", """
import socket
server = socket.create_server(("127.0.0.1", 80))
client = socket.create_connection(("127.0.0.1", 80), timeout=5)
client.sendall(b"x")
print(server.accept()[0].recv(1))
""")
    assert result.stdout == "b'x'\n", result.stderr


def test_without_command_says_how():
    result = run()
    assert result.returncode == 1
    assert "usage: tests/sandbox" in result.stderr


@pytest.mark.parametrize("victim, sig", [
    ("script", signal.SIGKILL), ("unshare", signal.SIGKILL),
    ("first", signal.SIGKILL), ("script", signal.SIGTERM),
    ("script", signal.SIGHUP)])
def test_nothing_is_left(victim, sig):
    kill_and_look(DAEMON, victim, sig, "--no-tun")


@pytest.mark.switch
@pytest.mark.parametrize("victim", ["script", "unshare", "first"])
def test_nothing_is_left_of_a_switch(victim):
    kill_and_look(SWITCH, victim, signal.SIGKILL)


def test_daemons_end_with_the_command():
    # One that lived on would hold standard output open, and this would wait.
    result = run("--no-tun", "sh", "-c", "setsid sleep 1000 & echo $!")
    assert result.returncode == 0
    assert int(result.stdout) > 0
