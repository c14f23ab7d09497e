# SPDX-License-Identifier: Apache-2.0
"""Asking servers, nasty ones among them: every answer is bounded in time and
size, and what cannot be used is said."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

LBTEST = os.environ.get("LBTEST", "tests/lbtest")

TIMEOUT = 1.0
SLACK = 2.0                     # For a machine that has other things to do.


@contextlib.contextmanager
def serving(handle, wrap=None):
    """A server on a port of its own; 'handle' is called with each
    connection, in a thread.  Yields the port."""
    listener = socket.create_server(("", 0), backlog=1024)
    sockets = []

    def serve(sock):
        with contextlib.suppress(OSError):
            with wrap(sock) if wrap else sock as wrapped:
                handle(wrapped)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sockets.append(sock)
                threading.Thread(target=serve, args=[sock],
                                 daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in sockets:
            sock.close()


def http(body, status="200 OK", more="", chunks=None):
    """A handler that answers that."""
    def handle(sock):
        sock.recv(65536)
        sock.sendall(f"HTTP/1.1 {status}\r\n{more}Connection: close\r\n\r\n"
                     .encode())
        for chunk in chunks or [body.encode()]:
            sock.sendall(chunk)
    return handle


def poll(tmp_path, *sources, servers=1, pools=1, timeout=TIMEOUT, run=(),
         name="s{1}"):
    """Asks; returns {"web0/s1 0": [line of the answer, ...], ...} and how long
    it took."""
    path = tmp_path / "pools.yaml"
    path.write_text(json.dumps({"pools": [
        {"name": f"web{p}", "vip": f"10.9.{p // 250}.{p % 250 + 1}",
         "port": 80,
         "weights": {"policy": "static", "timeout": timeout,
                     "from": list(sources)},
         "servers": [{"name": name.format(p, i + 1),
                      "ip": f"10.0.{p}.{i + 1}"}
                     for i in range(servers)]} for p in range(pools)]}))
    begin = time.monotonic()
    result = subprocess.run([*run, LBTEST, "poll", path], text=True,
                            capture_output=True)
    took = time.monotonic() - begin
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    answers = {}
    for line in result.stdout.splitlines():
        if line.startswith("web"):
            answers[line] = current = []
        else:
            current.append(line)
    return answers, took


def ask_one(tmp_path, source, **keys):
    answers, took = poll(tmp_path, source, **keys)
    assert took < keys.get("timeout", TIMEOUT) + SLACK
    return answers["web0/s1 0"]


def ask_http(tmp_path, handle, path="", **more):
    with serving(handle) as port:
        return ask_one(tmp_path,
                       {"http": f"http://127.0.0.1:{port}/{path}", **more})


# HTTP

def test_json(tmp_path):
    assert ask_http(tmp_path, http(
        '{"cpu": 37, "memory": 52.5, "stress": 0.445}')) == [
            "cpu 0 + 0.01 * 37", "memory 0 + 0.01 * 52.5",
            "stress 0 + 1 * 0.445"]


def test_json_by_path(tmp_path):
    assert ask_http(
        tmp_path, http('{"a": {"b": [1, {"c": 30}]}, "n": "7", "t": 9}'),
        values={"cpu": "a.b.1.c / 100", "qps": "rate(n)",
                "eps": "t * 2", "io": "a.b.7", "stress": "a.x"}) == [
            "cpu 0 + 0.01 * 30", "rate qps 0 + 1 * 7", "eps 0 + 2 * 9"]


NODE = """\
# HELP node_cpu_seconds_total Seconds.
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 100
node_cpu_seconds_total{cpu="0",mode="iowait"} 10
node_cpu_seconds_total{cpu="0",mode="user"} 5e3
node_cpu_seconds_total{cpu="1",mode="idle"} 1.5e+02
node_memory_MemTotal_bytes 8e+09
node_memory_MemAvailable_bytes 2e+09
node_network_receive_bytes_total{device="eth0"} 1000
node_network_receive_bytes_total{device="lo"} 1e9
node_network_transmit_bytes_total{device="eth0"} 500
node_network_speed_bytes{device="eth0"} 1.25e+09
node_disk_io_time_seconds_total{device="sda"} 3
node_disk_io_time_seconds_total{device="sdb"} 5
"""


def test_node_exporter_text(tmp_path):
    assert ask_http(tmp_path, http(NODE)) == [
        "rate cpu 1 + -1 * 130", "memory 0 + 1 * 0.75",
        "rate network 0 + 8e-10 * 1500", "rate io 0 + 0.5 * 8"]


def test_prometheus_by_path(tmp_path):
    text = ('r{code="200",m="a\\"b"} 7 1395066363000\n'
            'r{code="500", m="}"} 3\nr_other 5\nx +Inf\n')
    assert ask_http(tmp_path, http(text), values={
        "qps": "rate(r)", "eps": 'r{code="500"}', "io": "x",
        "cpu": 'r{m="a\\"b"} / 10'}) == [
            "cpu 0 + 0.1 * 7", "io 0 + 1 * inf", "rate qps 0 + 1 * 10",
            "eps 0 + 1 * 3", "time 1395066363.000"]


@pytest.mark.parametrize("text, error", [
    ("", "the answer is empty"),
    ("<html></html>", "line 1 of the answer is neither JSON nor"),
    ("a 1\nb\n", "line 2 of the answer"), ('a{b="c} 1\n', "line 1"),
    ('a{b=c} 1\n', "line 1"), ("a 1 x\n", "line 1"), ("{", "is not JSON"),
    ("[" * 100000, "is not JSON"), ('{"cpu": [}', "is not JSON"),
    ("\0", "is not text"), ('{"cpu": {}}', "is not a number"),
    ("nothing 1\n", "there is no metric in the answer")])
def test_text_that_is_nothing(tmp_path, text, error):
    line, = ask_http(tmp_path, http(text))
    assert line.startswith("error ") and error in line


@pytest.mark.parametrize("status", ["204 No Content", "401 Unauthorized",
                                    "404 Not Found", "500 Oops"])
def test_status(tmp_path, status):
    assert ask_http(tmp_path, http('{"cpu": 1}', status)) == [
        f"error the status is {status[:3]}, not 200"]


def test_redirections_are_not_followed(tmp_path):
    visits = []
    with serving(lambda sock: visits.append(sock)) as port:
        line, = ask_http(tmp_path, http(
            "", "302 Found", f"Location: http://127.0.0.1:{port}/\r\n"))
    assert "(302), and redirections are not followed" in line
    assert not visits


@pytest.mark.parametrize("handle", [
    lambda sock: time.sleep(30),
    lambda sock: [sock.sendall(bytes([c])) or time.sleep(.2)
                  for c in b"HTTP/1.1 200 OK"],
    lambda sock: [sock.sendall(b"HTTP/1.1 200 OK\r\n")]
    + [sock.sendall(b"a: b\r\n") or time.sleep(.2) for _ in range(99)],
    http("", chunks=(time.sleep(.2) or b"{" for _ in range(99))),
    http("", more="Content-Length: 100\r\n",
         chunks=(time.sleep(9) or b"" for _ in range(9)))],
    ids=["silent", "slow", "headers", "byte by byte", "promises"])
def test_slow_servers(tmp_path, handle):
    assert ask_http(tmp_path, handle) == ["error no answer within 1 s"]


@pytest.mark.parametrize("chunks", [(b" " * 65536 for _ in range(1600)),
                                    (b"a 1\n" * 300000,)])
def test_large_answers(tmp_path, chunks):
    assert ask_http(tmp_path, http("", chunks=chunks)) == [
        "error the answer is longer than 1 MiB"]


def test_refused(tmp_path):
    with serving(lambda sock: None) as port:
        pass
    line, = ask_one(tmp_path, {"http": f"http://127.0.0.1:{port}/"})
    assert "onnect" in line


def test_reset(tmp_path):
    line, = ask_http(tmp_path, lambda sock: None)
    assert line.startswith("error ")


# HTTPS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(key, certificate) for 127.0.0.1."""
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
         path / "key", "-out", path / "cert", "-subj", "/CN=x", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True)
    return path / "key", path / "cert"


@contextlib.contextmanager
def serving_tls(certificate, body='{"cpu": 1}'):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    with serving(http(body), lambda sock: context.wrap_socket(
            sock, server_side=True)) as port:
        yield port


def test_https(tmp_path, certificate):
    with serving_tls(certificate) as port:
        assert ask_one(tmp_path, {"http": f"https://127.0.0.1:{port}/",
                                  "ca": str(certificate[1])}) == [
            "cpu 0 + 0.01 * 1"]


def test_https_is_verified(tmp_path, certificate):
    with serving_tls(certificate) as port:
        line, = ask_one(tmp_path, {"http": f"https://127.0.0.1:{port}/"})
    assert "certificate" in line


def test_https_names_are_verified(tmp_path, certificate):
    with serving_tls(certificate) as port:
        line, = ask_one(tmp_path, {"http": f"https://127.0.0.2:{port}/",
                                   "ca": str(certificate[1])})
    assert line.startswith("error ")


def test_https_that_is_none(tmp_path):
    with serving(http('{"cpu": 1}')) as port:
        line, = ask_one(tmp_path, {"http": f"https://127.0.0.1:{port}/"})
    assert line.startswith("error ")


# Agents

def say(text):
    return lambda sock: sock.sendall(text)


@pytest.mark.parametrize("text, lines", [
    (b"75%\n", ["percent 0.75"]), (b"up\n", ["up"]), (b"UP 30%\r\n",
                                                      ["percent 0.3", "up"]),
    (b"drain", ["drain"]), (b"maint\n", ["drain"]), (b"ready,100%\n",
                                                     ["percent 1", "up"]),
    (b"down#broken disk 7\n", ["drain"]), (b"weight:256\n", ["percent 2.56"]),
    (b"weight:50%\tmaxconn:30\n", ["percent 0.5"]), (b"up drain\n", ["drain"]),
    (b"stopped\nup\n", ["drain"]), (b"fail", ["drain"])])
def test_agent(tmp_path, text, lines):
    with serving(say(text)) as port:
        assert ask_one(tmp_path, {"agent": f"127.0.0.1:{port}"}) == lines


@pytest.mark.parametrize("text", [
    b"", b"\n", b"so-so\n", b"75\n", b"-5%\n", b"1e3%\n", b"999999%\n",
    b"50% so-so\n", b"x" * 5000 + b"\n", b"\xff\xfe\n", b"\0\n"])
def test_agents_that_make_no_sense(tmp_path, text):
    with serving(say(text)) as port:
        line, = ask_one(tmp_path, {"agent": f"127.0.0.1:{port}"})
    assert line.startswith("error ")


def test_agents_that_do_not_end(tmp_path):
    with serving(lambda sock: [sock.sendall(b"u" * 65536)
                               for _ in range(1600)]) as port:
        assert ask_one(tmp_path, {"agent": f"127.0.0.1:{port}"}) == [
            "error the answer is longer than 1 MiB"]
    with serving(lambda sock: [sock.sendall(b"up")] + [time.sleep(9)]
                 ) as port:
        assert ask_one(tmp_path, {"agent": f"127.0.0.1:{port}"}) == [
            "error no answer within 1 s"]
        # The line is enough, whatever the connection does.
    with serving(lambda sock: [sock.sendall(b"up\n")] + [time.sleep(9)]
                 ) as port:
        assert ask_one(tmp_path, {"agent": f"127.0.0.1:{port}"}) == ["up"]


# Files and programs

def test_file(tmp_path):
    (tmp_path / "s1").write_text("drain\n")
    answer = ask_one(tmp_path, {"file": f"{tmp_path}/{{name}}"})
    assert answer[0] == "drain"
    assert abs(float(answer[1].split()[1]) - time.time()) < 60


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, error in (("nothing", "No such file"), (".", "not a file"),
                        ("fifo", "not a file")):
        line, = ask_one(tmp_path, {"file": f"{tmp_path}/{name}"})
        assert error in line
    with open(tmp_path / "long", "w") as file:
        file.truncate(100 * 1024 * 1024)
    line, = ask_one(tmp_path, {"file": f"{tmp_path}/long"})
    assert "longer than 1 MiB" in line


def test_exec(tmp_path):
    """Arguments are what they are: no shell looks at them."""
    assert ask_one(tmp_path, {"exec": [
        "/usr/bin/printf", "%s", '{"cpu": 5, "x": "$(id);{name}"}']}) == [
        "cpu 0 + 0.01 * 5"]
    assert ask_one(tmp_path, {"exec": ["/bin/sh", "-c", "echo 7$1%", "{name}",
                                       "5"]}) == ["percent 0.75"]


@pytest.mark.parametrize("script, error", [
    ("echo up; exit 3", "it exited with status 3"),
    ("echo up; kill -9 $$", "it was killed by signal 9"),
    ("yes up", "it prints more than 1 MiB"),
    ("exec sleep 99", "no answer within 1 s"),
    ("echo up; sleep 99", "no answer within 1 s"),
    ("exit 0", "the answer is empty")])
def test_programs_that_fail(tmp_path, script, error):
    assert ask_one(tmp_path, {"exec": ["/bin/sh", "-c", script]}) == [
        f"error {error}"]


def test_no_such_program(tmp_path):
    line, = ask_one(tmp_path, {"exec": ["/no/such/program"]})
    assert "No such file" in line


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(") ")[1][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("end", ["sleep 99", "echo up"])
def test_children_are_killed(tmp_path, end):
    """Whether the program itself ends or not."""
    script = (f"sleep 1000 & echo $! >{tmp_path}/child; "
              f"echo $$ >{tmp_path}/self; {end}")
    ask_one(tmp_path, {"exec": ["/bin/sh", "-c", script]})
    for name in ("self", "child"):
        pid = int((tmp_path / name).read_text())
        deadline = time.monotonic() + 20    # Left alone, it takes 1000.
        while is_alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_programs_have_nothing_of_ours(tmp_path):
    script = "ls /proc/$$/fd | tr '\\n' ' ' >&2; ls /proc/self/fd | wc -l " \
             f">{tmp_path}/n; echo up"
    assert ask_one(tmp_path, {"exec": ["/bin/sh", "-c", script]}) == ["up"]
    assert int((tmp_path / "n").read_text()) <= 4


# Many

def test_programs_can_be_ended(tmp_path):
    """Whatever is ignored here: the monitor's children ignore several."""
    poll(tmp_path, {"exec": ["/bin/sh", "-c", "grep SigIgn /proc/self/status "
                             f">{tmp_path}/ignored"]},
         run=["env", "--ignore-signal=TERM,INT,HUP,PIPE,USR1"])
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    # Signals 32 and 33 are the C library's own: nobody can set them.
    assert ignored & ~(3 << 31) == 0


def test_all_at_once(tmp_path):
    """A thousand agents that take 50 ms each, well under their sum."""
    with serving(lambda sock: time.sleep(0.05) or sock.sendall(b"up\n")
                 ) as port:
        answers, took = poll(tmp_path, {"agent": f"{{name}}:{port}"},
                             servers=10, pools=100, timeout=20,
                             name="127.1.{}.{}")
    assert len(answers) == 1000
    assert all(answer == ["up"] for answer in answers.values())
    assert took < 10            # One after another it would be 50.


def test_the_dead_cost_one_timeout(tmp_path):
    with serving(lambda sock: time.sleep(30)) as port:
        answers, took = poll(
            tmp_path, *({"http": f"http://127.0.0.{i + 1}:{port}/"}
                        for i in range(4)),
            {"agent": f"127.0.0.1:{port}"}, servers=1, pools=20)
    assert len(answers) == 100
    assert took < TIMEOUT + SLACK


def test_names_that_nobody_knows(tmp_path):
    """The name service may be silent for longer than a server may."""
    (tmp_path / "resolv.conf").write_text(
        "nameserver 127.0.0.53\noptions timeout:5 attempts:2\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.53", 53))
        answers, took = poll(
            tmp_path, {"http": "http://nobody.example/"}, run=[
                "unshare", "--mount", "sh", "-c", "mount --bind "
                f'{tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"', "-"])
    assert answers["web0/s1 0"] == ["error no answer within 1 s"]
    assert took < TIMEOUT + SLACK


def test_the_same_question_is_asked_once(tmp_path):
    visits = []

    def handle(sock):
        visits.append(1)
        http('{"cpu": 1}')(sock)

    with serving(handle) as port:
        answers, _ = poll(tmp_path, {"http": f"http://127.0.0.1:{port}/"},
                          servers=3, pools=5)
    assert len(answers) == 15 and len(visits) == 1
    assert all(answer == ["cpu 0 + 0.01 * 1"] for answer in answers.values())


def test_few_descriptors(tmp_path):
    """They take turns then."""
    with serving(say(b"up\n")) as port:
        answers, _ = poll(
            tmp_path, *({"agent": f"127.0.0.{i + 1}:{port}"}
                        for i in range(8)), servers=1, pools=1,
            run=["prlimit", "--nofile=80:80"])
    assert len(answers) == 8 and all(a == ["up"] for a in answers.values())
