# SPDX-License-Identifier: Apache-2.0
"""Switches that cannot be reached, say nonsense, stop in mid-sentence or die:
one message that says what and what to do, exit status 1, no hang, and never
half a dump taken for the whole."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from lab import wait_for
from lab_switch import snapshot

pytestmark = pytest.mark.switch

# What ovs-vswitchd logs when we leave in mid-sentence.
BROKEN_PIPE = r"vconn_stream\|ERR\|send: (Broken pipe|Connection reset)"
READING = "while reading what is installed"


def fails(lab, *args, within=None, **options):
    """Runs lbgen, which must fail in a civilised way.  Returns what it says
    on standard error."""
    begin = time.monotonic()
    result = lab.lbgen(*args, check=1, **options)
    seconds = time.monotonic() - begin
    assert within is None or seconds < within, f"took {seconds:.1f} s"
    assert result.stdout == "" and result.stderr.endswith("\n")
    return result.stderr


# Not there.

def test_no_such_bridge(module_lab):
    lab = module_lab
    lab.vsctl("add-br", "br9", "--", "set", "bridge", "br9",
              "datapath_type=netdev")
    error, note = fails(lab, "status", "-b", "br1").rstrip("\n").split("\n")
    assert error == (f'lbgen: cannot reach bridge "br1": there is no '
                     f"{lab.rundir}/br1.mgmt")
    assert note.startswith(f"lbgen: note: bridges in {lab.rundir}: ")
    assert sorted(note.split(": ")[-1].split(", ")) == ["br0", "br9"]
    lab.vsctl("del-br", "br9")
    assert fails(lab, "apply", lab.write("bridge: brX\npools: []\n")) \
        .startswith('lbgen: cannot reach bridge "brX": there is no ')
    assert fails(lab, "status", "-b", "unix:/run/none.mgmt") == (
        'lbgen: cannot reach bridge "unix:/run/none.mgmt": there is no '
        "/run/none.mgmt\n")


def test_no_run_directory(module_lab, monkeypatch):
    lab = module_lab
    monkeypatch.setitem(lab.env, "OVS_RUNDIR", "/run/nowhere")
    assert fails(lab, "status", "-b", "br0") == (
        'lbgen: cannot reach bridge "br0": there is no '
        "/run/nowhere/br0.mgmt\n"
        "lbgen: note: there is no directory /run/nowhere; is Open vSwitch "
        "running? (OVS_RUNDIR)\n")
    os.makedirs("/run/nowhere")
    assert "bridges in /run/nowhere: none; is Open vSwitch running?" in fails(
        lab, "status", "-b", "br0")
    os.rmdir("/run/nowhere")


@pytest.mark.parametrize("kind", ["file", "dead", "tcp"])
def test_nobody_listens(module_lab, kind):
    lab = module_lab
    path = f"{lab.rundir}/{kind}.sock"
    target = f"unix:{path}"
    if kind == "file":
        with open(path, "w"):
            pass
    elif kind == "dead":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(path)
    else:
        target = "tcp:127.0.0.1:9"
        lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    assert fails(lab, "status", "-b", target, within=5) == (
        f'lbgen: cannot reach bridge "{target}" at {target}: Connection '
        "refused; is ovs-vswitchd running?\n")


def test_no_permission(module_lab):
    """The sandbox has no other user, but it has capabilities to do without."""
    lab = module_lab
    os.chmod(f"{lab.rundir}/br0.mgmt", 0)
    result = lab.run(lab.netns, "setpriv", "--bounding-set=-all",
                     "--inh-caps=-all", lab.lbgen_path(), "status", "-b",
                     "br0", check=False)
    os.chmod(f"{lab.rundir}/br0.mgmt", 0o750)
    assert result.returncode == 1 and result.stderr == (
        'lbgen: cannot reach bridge "br0": no permission for '
        f"{lab.rundir}/br0.mgmt; run as root or as a user who may open it\n")


def test_openflow_15_is_off(lab):
    path = lab.pool_yaml()
    lab.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13")
    for _ in range(10):
        assert fails(lab, "apply", path, within=3) == (
            'lbgen: bridge "br0" does not speak OpenFlow 1.5, only up to '
            "version 0x04; allow it with: ovs-vsctl add bridge br0 protocols "
            "OpenFlow15\n")
    lab.vsctl("add", "bridge", "br0", "protocols", "OpenFlow15")
    lab.lbgen("apply", path)


# In the file.

def test_port_is_missing(module_lab):
    lab = module_lab
    path = lab.write("""\
bridge: br0
pools:
  - name: web
    vip: 10.0.0.100
    port: 80
    servers:
      - {name: s1, ip: 10.0.0.1, mac: "02:00:00:00:00:01", interface: s1-o}
      - {name: s2, ip: 10.0.0.2, mac: "02:00:00:00:00:02", interface: nope}
      - {name: s3, ip: 10.0.0.3, mac: "02:00:00:00:00:03", interface: 77}
""")
    before = snapshot(lab)
    text = fails(lab, "apply", path)
    assert (f'{path}:8:9: error: server "s2": bridge "br0" has no port nope\n'
            in text)
    assert (f'{path}:9:9: error: server "s3": bridge "br0" has no port 77\n'
            in text)
    assert snapshot(lab) == before


# Standard output.

def test_output_that_nobody_takes(module_lab):
    lab = module_lab
    path = lab.pool_yaml()
    for args in (("export", path), ("diff", path), ("status", "-b", "br0"),
                 ("diff", "--json", path)):
        for redirection, why in ((">/dev/full", "No space left on device"),
                                 (">&-", "Bad file descriptor")):
            result = lab.run(lab.netns, "sh", "-c", f'"$0" "$@" {redirection}',
                             lab.lbgen_path(), *args, check=False)
            assert result.returncode == 1, (args, redirection)
            # Why is no longer known if it was not the last write.
            assert re.fullmatch("lbgen: cannot write to standard output"
                                f"(: {why})?\n", result.stderr), (args, why)
    result = lab.run(lab.netns, "bash", "-c",
                     '"$0" "$@" | true; echo ${PIPESTATUS[0]}',
                     lab.lbgen_path(), "export", path)
    assert result.stdout == "1\n"
    assert "cannot write to standard output" in result.stderr


# Peers that misbehave.

class Proxy:
    """Stands between lbgen and the bridge.  Passes on 'limit' bytes of what
    the switch says, then closes, or says nothing more if 'stall'.  Without a
    switch it listens and never says a word."""

    def __init__(self, lab, limit=0, stall=False, switch=True, first=b""):
        self.path = f"{lab.rundir}/proxy{time.monotonic_ns()}"
        self.target = f"unix:{self.path}"
        self.switch = f"{lab.rundir}/br0.mgmt" if switch else None
        self.limit, self.stall, self.first = limit, stall, first
        self.passed = 0
        self.sockets = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.sockets.append(self.listener)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.thread.join(5)
        assert not self.thread.is_alive()

    def _run(self):
        with contextlib.suppress(OSError):
            client = self.listener.accept()[0]
            self.sockets.append(client)
            client.sendall(self.first)
            if not self.switch:
                while client.recv(65536):
                    pass
                return
            switch = socket.socket(socket.AF_UNIX)
            self.sockets.append(switch)
            switch.connect(self.switch)
            threading.Thread(target=self._forward, daemon=True,
                             args=(client, switch)).start()
            self._backward(switch, client)

    @staticmethod
    def _forward(client, switch):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                switch.sendall(data)
            switch.shutdown(socket.SHUT_RDWR)

    def _backward(self, switch, client):
        while data := switch.recv(65536):
            data = data[:self.limit - self.passed]
            client.sendall(data)
            self.passed += len(data)
            if self.passed >= self.limit:
                if not self.stall:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                while switch.recv(65536):
                    pass
                return


NO_HELLO = ('lbgen: bridge "{}" gave no answer for 1 seconds; is it an '
            "OpenFlow switch, and is ovs-vswitchd running? (--timeout)\n")


@pytest.mark.parametrize("first", [
    b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x06", b"\x06\x00\x00\x10\x00"],
    ids=["mute", "http", "one byte", "half a hello"])
def test_peer_that_does_not_speak(module_lab, first):
    lab = module_lab
    with Proxy(lab, switch=False, first=first) as proxy:
        text = fails(lab, "--timeout", "1", "status", "-b", proxy.target,
                     within=5)
    assert text == NO_HELLO.format(proxy.target)


@pytest.fixture(scope="module")
def full_lab(make_module_lab):
    """Its dump is some 40 KB: several messages."""
    lab = make_module_lab(servers=3, clients=0)
    lab.expect_errors = BROKEN_PIPE
    path = lab.file(*(lab.pool([1, 2, 3], name=f"p{i}", vip="10.0.0.100",
                               port=1000 + i) for i in range(40)))
    lab.lbgen("apply", path)
    lab.path = path
    with Proxy(lab, limit=10 ** 9) as proxy:
        lab.lbgen("diff", "-b", proxy.target, path)
    lab.dump_size = proxy.passed
    assert lab.dump_size > 500000
    return lab


def cut_points(size):
    """In the first messages, around 64 KiB, and evenly."""
    return sorted({1, 7, 8, 16, 17, 100, 5000, 65535, 65536, 65537, 65552,
                   size - 100, size - 9, size - 1,
                   *range(size // 9, size, size // 9)})


def test_dump_that_breaks_off(full_lab):
    """Nothing is taken for the whole, wherever the connection is cut: were
    it, diff would find flows to add."""
    lab = full_lab
    for limit in cut_points(lab.dump_size):
        with Proxy(lab, limit) as proxy:
            text = fails(lab, "diff", "-b", proxy.target, lab.path, within=10)
        name = re.escape(proxy.target)
        assert re.fullmatch(
            rf'lbgen: (cannot reach bridge "{name}" at {name}: .+'
            rf'|lost bridge "{name}" {READING}: '
            r"(connection closed|Connection reset by peer|Broken pipe|"
            r"what it said broke off or made no sense))\n",
            text), (limit, text)


@pytest.mark.parametrize("part", [0.001, .1, .5, .999])
def test_dump_that_stalls(full_lab, part):
    lab = full_lab
    with Proxy(lab, int(lab.dump_size * part), stall=True) as proxy:
        text = fails(lab, "--timeout", "1", "diff", "-b", proxy.target,
                     lab.path, within=3)
    assert text == (f'lbgen: bridge "{proxy.target}" gave no answer for 1 '
                    f"seconds {READING}; is ovs-vswitchd busy or stopped? "
                    "(--timeout)\n")


def test_apply_that_breaks_off(full_lab):
    """The bridge has the old or the new, and the message says so."""
    lab = full_lab
    other = lab.file(*(lab.pool([3, 2, 1], name=f"p{i}", vip="10.0.0.100",
                                port=1000 + i) for i in range(40)))
    with Proxy(lab, limit=10 ** 9) as proxy:
        lab.lbgen("apply", "-b", proxy.target, other)
    whole = proxy.passed
    lab.lbgen("apply", lab.path)
    # What is said after the first dump: of the bundle, and a second dump.
    for limit in (lab.dump_size + 1, lab.dump_size + 24,
                  (lab.dump_size + whole) // 2, whole - 1):
        with Proxy(lab, limit) as proxy:
            text = fails(lab, "apply", "-b", proxy.target, other, within=10)
        assert text.startswith(f'lbgen: lost bridge "{proxy.target}" while ')
        found = [lab.lbgen("diff", path, check=None).returncode
                 for path in (lab.path, other)]
        assert sorted(found) == [0, 2], limit
        lab.lbgen("apply", lab.path)


def test_switch_is_stopped(lab):
    """ovs-vswitchd hangs: a time-out.  It goes on: all is well."""
    lab.expect_errors = BROKEN_PIPE
    path = lab.pool_yaml()
    lab.lbgen("apply", path)
    lab.vswitchd.send_signal(signal.SIGSTOP)
    text = fails(lab, "--timeout", "1", "apply", path, within=3)
    lab.vswitchd.send_signal(signal.SIGCONT)
    assert text == NO_HELLO.format("br0")
    lab.lbgen("diff", path)


def test_switch_dies_during_apply(lab):
    lab.expect_crash = True
    lab.expect_errors = "."
    files = [lab.file(*(lab.pool([w, 2, 3], name=f"p{i}", vip="10.0.0.100",
                                 port=1000 + i) for i in range(100)))
             for w in (1, 2)]
    begin = time.monotonic()
    lab.lbgen("apply", files[0])
    seconds = time.monotonic() - begin
    for part in (.3, .6, .8):
        process = lab.popen(lab.netns, lab.lbgen_path(), "apply", files[1],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
        time.sleep(seconds * part)
        lab.restart_switch(kill=True)
        stdout, stderr = process.communicate(timeout=15)
        assert process.returncode in (0, 1)
        if process.returncode:
            assert stdout == "" and re.fullmatch(
                'lbgen: (lost|cannot reach) bridge "br0".*\n', stderr)
        wait_for(lambda: lab.lbgen("status", "-b", "br0",
                                   check=None).returncode == 0, "new switch")
        lab.lbgen("apply", files[0])
        assert lab.lbgen("diff", files[0]).stdout == ""


# Bridges that listen.

def test_tcp(lab):
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    lab.vsctl("set-controller", "br0", "ptcp:6653:127.0.0.1")
    path = lab.pool_yaml()
    wait_for(lambda: lab.lbgen("status", "-b", "tcp:127.0.0.1",
                               check=None).returncode == 0, "ptcp")
    lab.lbgen("apply", "-b", "tcp:127.0.0.1", path)
    assert lab.lbgen("diff", path).stdout == ""
    assert lab.lbgen("diff", "-b", "tcp:127.0.0.1:6653", path).stdout == ""
    status = lab.lbgen("status", "-b", "tcp:127.0.0.1:6653")
    assert status.stdout.startswith("bridge tcp:127.0.0.1:6653: 1 pool")


def make_certificates(directory):
    """An authority, and what it signed for a switch and for us; "other" is
    signed by nobody.  Returns a function from names to paths."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=directory,
                       capture_output=True)

    for name in "ca", "other":
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-keyout", f"{name}-key.pem", "-out", f"{name}.pem", "-subj",
                f"/CN={name}")
    for name in "switch", "us":
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout",
                f"{name}-key.pem", "-out", f"{name}.csr", "-subj",
                f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem",
                "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                "-out", f"{name}.pem")
    return lambda name: os.path.join(directory, f"{name}.pem")


def test_ssl(lab, tmp_path):
    lab.expect_errors = f"stream_ssl|SSL|send: Protocol error|{BROKEN_PIPE}"
    pem = make_certificates(tmp_path)
    lab.run(lab.netns, "ip", "link", "set", "lo", "up")
    lab.vsctl("set-ssl", pem("switch-key"), pem("switch"), pem("ca"), "--",
              "set-controller", "br0", "pssl:6653:127.0.0.1")
    target = "ssl:127.0.0.1"
    good = ["-b", target, "-p", pem("us-key"), "-c", pem("us"), "-C",
            pem("ca")]
    wait_for(lambda: lab.lbgen("status", *good, check=None).returncode == 0,
             "pssl")
    path = lab.pool_yaml()
    lab.lbgen("apply", *good, path)
    assert lab.lbgen("diff", *good, path).stdout == ""
    assert lab.lbgen("diff", path).stdout == ""

    text = fails(lab, "status", "-b", target)
    assert text == (f'lbgen: "{target}" needs --private-key, --certificate '
                    "and --ca-cert (more with -v)\n")
    text = fails(lab, "status", *good[:-1], "/none.pem")
    assert text == "lbgen: cannot read /none.pem: No such file or directory\n"
    text = fails(lab, "status", "-b", target, "-p", pem("us-key"), "-c",
                 pem("other"), "-C", pem("ca"))
    assert text == (f'lbgen: "{target}" needs --private-key, --certificate '
                    "and --ca-cert, PEM files that fit together (more with "
                    "-v)\n")
    # The wrong authority; a certificate that the switch does not trust.
    wrong = [good[:-1] + [pem("other")],
             ["-b", target, "-p", pem("other-key"), "-c", pem("other"), "-C",
              pem("ca")]]
    for args in wrong:
        text = fails(lab, "--timeout", "3", "status", *args, within=5)
        assert f'bridge "{target}"' in text and text.endswith(
            "; does it listen for SSL, and do the certificates fit? (more "
            "with -v)\n"), text
    # One side speaks TLS and the other does not.
    text = fails(lab, "--timeout", "1", "status", "-b", "tcp:127.0.0.1:6653",
                 within=3)
    assert 'bridge "tcp:127.0.0.1:6653" ' in text, text
    lab.vsctl("set-controller", "br0", "ptcp:6654:127.0.0.1")
    wait_for(lambda: lab.lbgen("status", "-b", "tcp:127.0.0.1:6654",
                               check=None).returncode == 0, "ptcp")
    text = fails(lab, "--timeout", "1", "status", "-b", "ssl:127.0.0.1:6654",
                 *good[2:], within=3)
    assert 'bridge "ssl:127.0.0.1:6654" ' in text, text
