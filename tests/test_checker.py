# SPDX-License-Identifier: Apache-2.0
"""Checks against real servers, the nasty ones above all: each within its time,
none takes more memory than it should, none disturbs the others."""

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LBTEST = os.environ.get("LBTEST", os.path.join(HERE, "lbtest"))

ADDRESS = "10.99.0.1"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")

# Has a route, and nobody is there.  Workers share a network, which knows that
# after a while and says so: each asks for another one.
NOBODY = f"10.99.0.{10 + int(WORKER[2:])}"

TIMEOUT = 300                   # Milliseconds.


def listener():
    """A socket that listens on ADDRESS."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((ADDRESS, 0))
    sock.listen(64)
    return sock


class Nasty:
    """A server that does with each connection what a function says."""

    def __init__(self, behave):
        self.socket = listener()
        self.port = self.socket.getsockname()[1]
        self.n = 0
        self._behave = behave
        self._stop = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while not self._stop:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.n += 1
            threading.Thread(target=self._serve, args=(connection,),
                             daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            self._behave(connection)

    def close(self):
        self._stop = True
        self.socket.close()


def say(text):
    def behave(connection):
        connection.recv(65536)
        connection.sendall(text.encode())
    return behave


def silent(connection):
    time.sleep(60)


def a_byte_per_second(connection):
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n":
        connection.sendall(bytes([byte]))
        time.sleep(1)


def flood(head):
    """Sends without end, after 'head'."""
    def behave(connection):
        connection.recv(65536)
        connection.sendall(head)
        while True:
            connection.sendall(b"x: " + b"y" * 65000 + b"\r\n")
    return behave


def reset(connection):
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          b"\x01\0\0\0\0\0\0\0")


def redirect(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n"
                       b"Content-Length: 0\r\n\r\n")


OK = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


@pytest.fixture(scope="module", autouse=True)
def address():
    """In the sandbox's own network, which other workers share: whoever is
    first makes it, and it goes with the sandbox."""
    subprocess.run(["sh", "-ec", f"""
        ip address replace {ADDRESS}/32 dev lo
        # What is sent there goes nowhere.
        ip link add hole type veth peer name hole-end || true
        ip address replace 10.99.0.3/24 dev hole
        ip link set hole-end up
        ip link set hole up"""], check=True)


class Result:
    """What "lbtest checker" says."""

    def __init__(self, text):
        *lines, last = text.splitlines()
        self.changes = [line.split("/", 1)[1] for line in lines
                        if "->" in line]
        self.servers = {}
        self.unable = {}
        for line in lines:
            name, says, error = line.partition(" cannot be checked: ")
            if says:
                self.unable[name.split("/")[1]] = error
            elif "->" not in line:
                name, n, failed, took, error = line.split(" ", 4)
                self.servers[name.split("/")[1]] = (int(n), int(failed),
                                                    int(took), error)
        numbers = re.findall(r"\d+", last)
        self.checks, self.memory, self.cpu = map(int, numbers)

    def error(self, name="s1"):
        n, failed, _, error = self.servers[name]
        assert n and n == failed, (n, failed)
        return error


def checker_command(tmp_path, checks, ms, pools=None, **keys):
    """What runs one server for each of 'checks'."""
    path = tmp_path / "checks.yaml"
    path.write_text(json.dumps({"pools": pools or [{
        "name": "web", "vip": "10.0.0.100", "port": 80, **keys,
        "servers": [{"name": f"s{i + 1}", "ip": ADDRESS, "port": i + 1,
                     "check": {"interval": "200ms", "timeout": f"{TIMEOUT}ms",
                               "fall": 1, "rise": 1, **check}}
                    for i, check in enumerate(checks)]}]}))
    return [LBTEST, "checker", path, str(ms)]


# Sanitizers would keep what was freed.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": ":".join(
    [os.environ.get("ASAN_OPTIONS", ""), "quarantine_size_mb=1"])}


def run(tmp_path, checks, ms=1500, before=(), **keys):
    """Runs one server for each of 'checks', by way of 'before'."""
    command = checker_command(tmp_path, checks, ms, **keys)
    result = subprocess.run([*before, *command], text=True, env=ENVIRONMENT,
                            capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    return Result(result.stdout)


def http(server, **keys):
    return {"type": "http", "port": server.port, **keys}


def assert_in_time(result, name="s1"):
    """Generous, as the machine may be busy; the check's own time is not."""
    took = result.servers[name][2]
    assert took < TIMEOUT + 1500, took


def assert_small(result):
    """Far less than the 100 MB that servers and programs send."""
    assert 0 < result.memory < 80000, result.memory


@pytest.mark.parametrize("behave, error", [
    (silent, "no answer in 300 ms"),
    (a_byte_per_second, "no answer in 300 ms"),
    (flood(b"HTTP/1.1 200 OK\r\n"), "more than 65536 bytes of headers"),
    (redirect, "status 302, not 200-299"),
    (reset, "Recv failure: Connection reset by peer"),
    (lambda c: c.recv(65536), "Empty reply from server"),
    (say("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
     "status 503, not 200-299"),
    (say("SSH-2.0-OpenSSH_9.2\r\n"), "Received HTTP/0.9 when not allowed"),
], ids=["silent", "slow", "headers", "redirect", "reset", "empty", "503",
        "garbage"])
def test_nasty_http(tmp_path, behave, error):
    server = Nasty(behave)
    result = run(tmp_path, [http(server)])
    assert result.error() == error
    assert_in_time(result)
    assert result.changes == ["s1 unknown -> down"]
    assert_small(result)
    server.close()


@pytest.mark.parametrize("check", [
    {"type": "http"}, {"type": "https", "verify": False}])
def test_http_of_nobody(tmp_path, check):
    """A connection that never comes about.  libcurl closes its socket first
    and says so later, which "lbtest" does not put up with."""
    result = run(tmp_path, [{**check, "port": 80, "address": NOBODY}])
    assert result.error() == "no answer in 300 ms"
    assert_in_time(result)


@pytest.mark.parametrize("keys, up", [
    ({}, True),
    # What counts came first.
    ({"body": "needle"}, True),
    ({"body": "haystack"}, False),
])
def test_no_more_is_read_than_needed(tmp_path, keys, up):
    """100 MB and no end: the connection is closed when it is clear what the
    answer means."""
    server = Nasty(flood(b"HTTP/1.1 200 OK\r\n\r\nneedle"))
    result = run(tmp_path, [http(server, **keys)])
    assert result.changes == [f"s1 unknown -> {'up' if up else 'down'}"]
    assert_small(result)
    assert_in_time(result)
    server.close()


def test_http(tmp_path):
    requests = []

    def behave(connection):
        requests.append(connection.recv(65536).decode())
        connection.sendall(OK.encode())

    server = Nasty(behave)
    result = run(tmp_path, [http(server, path="/health?a=b", method="GET",
                                 host="www.example.com", body="ok")])
    assert result.changes == ["s1 unknown -> up"]
    lines = requests[0].split("\r\n")
    assert lines[0] == "GET /health?a=b HTTP/1.1"
    assert f"Host: www.example.com:{server.port}" in lines
    result = run(tmp_path, [http(server, method="HEAD", status=200)])
    assert requests[-1].startswith("HEAD / HTTP/1.1\r\n")
    assert f"Host: {ADDRESS}:{server.port}\r\n" in requests[-1]
    assert result.changes == ["s1 unknown -> up"]
    assert run(tmp_path, [http(server, status="201-204")]).error() == \
        "status 200, not 201-204"
    assert run(tmp_path, [http(server, body="no")]).error() == \
        "status 200, but without the text expected"
    server.close()


# TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """For www.example.com, by itself."""
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                    "-keyout", path / "key", "-out", path / "cert", "-days",
                    "2", "-subj", "/CN=www.example.com", "-addext",
                    "subjectAltName=DNS:www.example.com"], check=True,
                   capture_output=True)
    return path


def tls(certificate, behave):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")

    def wrapped(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            behave(secure)
    return Nasty(wrapped)


def test_https(tmp_path, certificate):
    server = tls(certificate, say(OK))
    good = {"type": "https", "port": server.port, "host": "www.example.com",
            "ca": str(certificate / "cert")}
    assert run(tmp_path, [good]).changes == ["s1 unknown -> up"]
    assert run(tmp_path, [{"type": "https", "port": server.port,
                           "verify": False}]).changes == ["s1 unknown -> up"]
    assert "certificate" in run(tmp_path, [{**good, "ca": "/etc/ssl/certs/"
                                            "ca-certificates.crt"}]).error()
    assert "www.example.org" in run(
        tmp_path, [{**good, "host": "www.example.org"}]).error()
    server.close()


def test_authorities_that_are_gone(tmp_path, certificate):
    """That says nothing of the server."""
    server = tls(certificate, say(OK))
    ca = tmp_path / "ca.pem"
    shutil.copy(certificate / "cert", ca)
    command = checker_command(
        tmp_path, [{"type": "https", "port": server.port, "ca": str(ca),
                    "host": "www.example.com"}], 1500)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as p:
        assert next(p.stdout) == "web/s1 unknown -> up\n"
        ca.unlink()
        assert str(ca) in next(p.stdout)
        result = Result(p.stdout.read())
    server.close()
    assert not result.changes
    assert result.servers["s1"][1] == 0


@pytest.mark.parametrize("behave", [
    silent, say("HTTP/1.1 400 What?\r\n\r\n"), reset, a_byte_per_second,
    lambda c: c.sendall(os.urandom(65536))], ids=["silent", "plain", "reset",
                                                  "slow", "noise"])
def test_nasty_tls(tmp_path, behave):
    server = Nasty(behave)
    result = run(tmp_path, [{"type": "https", "port": server.port,
                             "verify": False}])
    assert result.error()
    assert_in_time(result)
    server.close()


# TCP

def test_tcp(tmp_path):
    server = Nasty(silent)
    closed = listener()
    port = closed.getsockname()[1]
    closed.close()
    result = run(tmp_path, [{"type": "tcp", "port": server.port},
                            {"type": "tcp", "port": port},
                            {"type": "tcp", "port": 80, "address": NOBODY},
                            {"type": "tcp", "port": 80,
                             "address": "203.0.113.1"}])
    assert sorted(result.changes) == [
        "s1 unknown -> up", "s2 unknown -> down", "s3 unknown -> down",
        "s4 unknown -> down"]
    assert result.error("s2") == "Connection refused"
    assert result.error("s3") == "no answer in 300 ms"
    assert result.error("s4") == "Network is unreachable"
    server.close()


def test_many_shares_one_check(tmp_path):
    """However many pools ask the same, it is asked once."""
    server = Nasty(silent)
    pools = [{"name": f"p{i}", "vip": f"10.0.1.{i + 1}", "port": 80,
              "check": {"type": "tcp", "port": server.port, "fall": i + 1,
                        "interval": "100ms"},
              "servers": [{"name": "s1", "ip": ADDRESS}]} for i in range(20)]
    result = run(tmp_path, None, pools=pools, ms=1000)
    assert result.checks == 1
    assert len(result.changes) == 20
    assert 5 <= server.n <= 11
    server.close()


# Programs

def program(tmp_path, text):
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return {"type": "exec", "command": [str(path), "a b"]}


def test_exec(tmp_path):
    check = program(tmp_path, f"""
        test "$1" = "a b" || exit 9
        test "$LBGEN_POOL/$LBGEN_SERVER" = web/s1 || exit 8
        test "$LBGEN_ADDRESS:$LBGEN_PORT" = {ADDRESS}:1 || exit 7
        read x && exit 6
        exit 0""")
    assert run(tmp_path, [check]).changes == ["s1 unknown -> up"]
    check = program(tmp_path, "echo 'no luck'; echo more; exit 3")
    assert run(tmp_path, [check]).error() == "exit status 3: no luck"
    check = program(tmp_path, "kill -9 $$")
    assert run(tmp_path, [check]).error() == "signal 9"
    missing = {"type": "exec", "command": "/nonexistent/check"}
    assert run(tmp_path, [missing]).error() == \
        "/nonexistent/check: No such file or directory"


def test_exec_is_killed_with_all_that_it_started(tmp_path):
    check = program(tmp_path, f"""
        sleep 61.5 &
        echo $! > {tmp_path}/child
        trap '' TERM
        sleep 62.5""")
    result = run(tmp_path, [check])
    assert result.error() == "no answer in 300 ms"
    assert_in_time(result)
    pid = int((tmp_path / "child").read_text())
    state = f"/proc/{pid}/stat"
    deadline = time.monotonic() + 5
    while os.path.exists(state):
        with open(state) as file:
            if file.read().split()[2] == "Z":
                break
        assert time.monotonic() < deadline, "the program's child still runs"
        time.sleep(0.01)


def test_exec_that_prints_without_end(tmp_path):
    check = program(tmp_path, "exec yes")
    result = run(tmp_path, [check], ms=2000)
    assert result.error() == "no answer in 300 ms"
    assert_small(result)
    assert_in_time(result)


# Pings, ARP and neighbour discovery

def test_icmp(tmp_path):
    result = run(tmp_path, [{"type": "icmp"},
                            {"type": "icmp", "address": NOBODY}])
    assert sorted(result.changes) == ["s1 unknown -> up",
                                      "s2 unknown -> down"]


# Workers share a network: each has a cable of its own.
NET4 = f"10.98.{WORKER[2:]}"
NET6 = f"fd00:98:{WORKER[2:]}"
ARP = {"type": "arp", "address": f"{NET4}.2"}
ND = {"type": "nd", "address": f"{NET6}::2"}


@pytest.fixture(scope="module")
def neighbor():
    """A host at the other end of a cable, NET4.2 and NET6::2."""
    host, port = f"nd-{WORKER}", f"nd-{WORKER}"
    # Addresses that may be used at once.
    subprocess.run(["sh", "-ec", f"""
        ip netns add {host}
        ip link add {port} type veth peer name eth0 netns {host}
        ip address add {NET4}.1/24 dev {port}
        ip address add {NET6}::1/64 dev {port} nodad
        ip -n {host} address add {NET4}.2/24 dev eth0
        ip -n {host} address add {NET6}::2/64 dev eth0 nodad
        ip link set {port} up
        ip -n {host} link set eth0 up"""], check=True)
    yield host
    subprocess.run(["ip", "link", "del", port], check=True)
    subprocess.run(["ip", "netns", "del", host], check=True)


def test_arp(tmp_path, neighbor):
    """Of a host at the other end of a cable."""
    result = run(tmp_path, [ARP,
                            {"type": "arp", "address": f"{NET4}.3"},
                            {"type": "arp", "address": "203.0.113.9"}])
    assert sorted(result.changes) == [
        "s1 unknown -> up", "s2 unknown -> down", "s3 unknown -> down"]
    assert result.error("s2") == "no answer in 300 ms"
    assert "no interface" in result.error("s3")


def test_nd(tmp_path, neighbor):
    result = run(tmp_path, [ND, {"type": "nd", "address": f"{NET6}::3"},
                            {"type": "nd", "address": "2001:db8::9"}])
    assert sorted(result.changes) == [
        "s1 unknown -> up", "s2 unknown -> down", "s3 unknown -> down"]
    assert result.error("s2") == "no answer in 300 ms"
    assert "no interface" in result.error("s3")


def test_nd_asks_the_address_of_its_family(tmp_path, neighbor):
    """A server of both families is asked at that of IPv6."""
    pool = {"name": "web", "vip": ["10.0.0.100", "fd00::100"], "port": 80,
            "check": {"type": "nd", "interval": "100ms", "fall": 1},
            "servers": [{"name": "s1", "ip": [ADDRESS, f"{NET6}::2"]}]}
    result = run(tmp_path, None, pools=[pool])
    assert result.changes == ["s1 unknown -> up"]


def test_nd_goes_down_in_time_and_comes_back(tmp_path, neighbor):
    """After fall times interval and the time-out, not before."""
    check = {**ND, "interval": "100ms", "timeout": "100ms", "fall": 5}
    process = subprocess.Popen(
        checker_command(tmp_path, [check], 3000), text=True,
        stdout=subprocess.PIPE)
    lines = iter(process.stdout.readline, "")
    assert "unknown -> up" in next(lines)
    begin = time.monotonic()
    link = ["ip", "-n", neighbor, "link", "set", "eth0"]
    subprocess.run([*link, "down"], check=True)
    assert "up -> down" in next(lines)
    took = time.monotonic() - begin
    assert 0.35 < took < 0.5 + 0.1 + 2, took
    subprocess.run([*link, "up"], check=True)
    subprocess.run(["ip", "-n", neighbor, "address", "replace",
                    f"{NET6}::2/64", "dev", "eth0", "nodad"], check=True)
    assert "down -> up" in next(lines)
    process.wait(20)


@pytest.mark.parametrize("kind", ["arp", "nd"])
def test_says_which_capability_is_missing(tmp_path, neighbor, kind):
    """Nothing but raw sockets takes one."""
    check = ND if kind == "nd" else {"type": kind, "address": "10.99.0.2"}
    result = run(tmp_path, [check],
                 before=["setpriv", "--bounding-set=-net_raw",
                         "--inh-caps=-net_raw"])
    assert result.unable == {
        "s1": "cannot ask: Operation not permitted (CAP_NET_RAW)"}
    assert result.servers["s1"] == (0, 0, 0, "")
    assert not result.changes


@pytest.mark.parametrize("kind", ["tcp", "http", "exec", "icmp", "arp", "nd"])
def test_own_shortage_is_not_blamed_on_the_server(tmp_path, neighbor, kind):
    """The server is up all the time, but cannot be asked for a while."""
    server = Nasty(say(OK))
    check = {"tcp": {"port": server.port}, "http": {"port": server.port},
             "exec": {"command": ["/bin/true"]}, "arp": ARP, "nd": ND}
    check = check.get(kind, {})
    command = checker_command(tmp_path, [{"type": kind, **check}], 2500)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as p:
        assert next(p.stdout) == "web/s1 unknown -> up\n"
        usual = resource.prlimit(p.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(p.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        assert next(p.stdout) \
            == "web/s1 cannot be checked: Too many open files\n"
        time.sleep(0.5)
        resource.prlimit(p.pid, resource.RLIMIT_NOFILE, usual)
        result = Result(p.stdout.read())
    server.close()
    assert not result.changes
    n, failed, _, error = result.servers["s1"]
    assert n >= 4 and (failed, error) == (0, "")


# All together

def test_the_nasty_do_not_disturb_the_nice(tmp_path):
    nasty = [Nasty(behave) for behave in (
        silent, a_byte_per_second, flood(b"HTTP/1.1 200 OK\r\n"), reset,
        flood(b"HTTP/1.1 200 OK\r\n\r\n"))]
    nice = Nasty(say(OK))
    slow = program(tmp_path, "sleep 10")
    result = run(tmp_path, [http(server) for server in nasty * 4]
                 + [slow, http(nice)], ms=2000)
    assert result.servers["s22"][1] == 0, result.servers["s22"]
    assert result.servers["s22"][0] >= 4
    assert_small(result)
    for server in nasty + [nice]:
        server.close()
