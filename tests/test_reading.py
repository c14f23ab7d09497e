# SPDX-License-Identifier: Apache-2.0
"""Files: what is read from them, and what is said about mistakes in them.

Every tests/errors/NAME.yaml goes through "lbgen check", whose messages must be
those in NAME.err.  To write the .err files anew, run this file once with
LBGEN_REGENERATE=1 in the environment, and read what "git diff" shows."""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import subprocess

import pytest

TOP = pathlib.Path(os.environ.get(
    "SRCDIR", pathlib.Path(__file__).resolve().parent.parent))
LBGEN = os.environ.get("LBGEN", str(TOP / "lbgen" / "lbgen"))
LBTEST = os.environ.get("LBTEST", str(TOP / "tests" / "lbtest"))
ERRORS = TOP / "tests" / "errors"
CORPUS = TOP / "tests" / "fuzz" / "corpus"

MIB = 1024 * 1024

# AddressSanitizer reserves terabytes of addresses, and is slow.
SANITIZED = b"__asan_init" in pathlib.Path(LBGEN).read_bytes()
PATIENCE = 10 if SANITIZED else 1


def run(*args, text=b"", memory=None, **kwargs):
    """Runs a program on the bytes 'text', in at most 'memory' bytes."""
    def limit():
        if memory and not SANITIZED:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    if "stdin" not in kwargs:
        kwargs["input"] = text
    return subprocess.run(args, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, preexec_fn=limit,
                          timeout=60, **kwargs)


def cpu_time():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def within(seconds):
    """Programs run in this context must not take more processor time, which
    unlike time on the clock does not depend on what else the machine does."""
    start = cpu_time()
    yield
    assert cpu_time() - start < seconds * PATIENCE


def check(text, name="-", **kwargs):
    """Exit status and messages of "lbgen check" for a file with 'text'."""
    result = run(LBGEN, "check", name, text=text, **kwargs)
    assert result.stdout == b""
    return result.returncode, result.stderr.decode()


def lbtest(*args, text=b"", status=0):
    result = run(LBTEST, *args, text=text)
    assert result.returncode == status, result.stderr.decode()
    return result.stdout.decode()


def document(text):
    return lbtest("document", "-", text=text.encode()).rstrip("\n")


def values(text):
    """The tree that 'text' stands for, without places."""
    return re.sub("@[0-9]+:[0-9]+", "", document(text))


def pools(text):
    return [json.loads(line) for line in
            lbtest("model-write", "-", text=text.encode()).splitlines()[1:]]


# Messages
# --------

CASES = sorted(path.stem for path in ERRORS.glob("*.yaml"))


def test_cases_are_there():
    assert len(CASES) > 80
    assert CASES == sorted(path.stem for path in ERRORS.glob("*.err"))


@pytest.mark.parametrize("name", CASES)
def test_messages(name):
    expected = ERRORS / f"{name}.err"
    result = run(LBGEN, "check", f"{name}.yaml", cwd=ERRORS)
    if os.environ.get("LBGEN_REGENERATE"):
        expected.write_bytes(result.stderr)
    assert result.stderr == expected.read_bytes()
    assert result.returncode == (1 if b": error: " in result.stderr else 0)
    assert result.stdout == b""
    assert result.stderr, "a file without mistakes belongs elsewhere"


def test_messages_keep_the_order_of_the_file():
    out = lbtest("diags").split("--\n")
    assert out[0] == (
        "b.yaml:2:3: error: first\n"
        "b.yaml:2:7: warning: second \\x1b[31m\\xc2\\x9b é\n"
        "b.yaml:9:7: note: note on the second\n"
        "lbgen: note: another\n"
        "b.yaml:3:1: error: third\n"
        "a.yaml: warning: as a whole\n"
        "lbgen: no file\n")
    # The second flush printed nothing; the third one not all.
    lines = out[1].splitlines()
    assert lines[-2:] == ["lbgen: and 2 more errors", "55 2"]
    assert len(lines) == 2 * 50 + 2
    assert lines[0] == "a.yaml:1:0: error: 0"
    assert lines[-3] == "a.yaml:50:0: note: on 49"


# Trees
# -----

def test_places():
    assert document("a: [é, b,\n    'c']\nd:\n  - e: {f: g}\n") == (
        "{a@1:1: [é@1:5, b@1:8, \"c\"@2:5]@1:4, "
        "d@3:1: [{e@4:5: {f@4:9: g@4:12}@4:8}@4:5]@4:3}@1:1")


def test_anchors_keep_the_place_where_they_are_written():
    assert document("a: &x [1]\nb: *x\nc: &x 2\nd: *x\n") == (
        "{a@1:1: [1@1:8]@1:4, b@2:1: [1@1:8]@1:4, "
        "c@3:1: 2@3:4, d@4:1: 2@3:4}@1:1")


@pytest.mark.parametrize("text, tree", [
    ("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}",
     "{a: {x: 1, y: 1}, b: {y: 2, x: 1}}"),
    ("b: {y: 2, <<: {x: 1, y: 1}}", "{b: {y: 2, x: 1}}"),
    ("b: {<<: [{x: 1}, {x: 2, y: 2}, {z: 3, y: 3}], w: 0}",
     "{b: {w: 0, x: 1, y: 2, z: 3}}"),
    ("a: &a {<<: {x: 1, y: 1}, y: 2}\nb: {<<: [{z: 3}, *a]}",
     "{a: {y: 2, x: 1}, b: {z: 3, y: 2, x: 1}}"),
    ("b: {<<: {}, x: 1}", "{b: {x: 1}}"),
    ("b: {<<: [], x: 1}", "{b: {x: 1}}"),
    ("b: {'<<': {x: 1}}", "{b: {\"<<\": {x: 1}}}"),
    ("a: &k x\n*k : 1", "{a: x, x: 1}"),
    ("? \n: 1", "{: 1}"),
])
def test_merge_keys_and_anchors(text, tree):
    assert values(text) == tree


def test_line_ends_and_byte_order_mark():
    assert document("\ufeffa: b\r\nc: d\r\n") == \
        "{a@1:1: b@1:4, c@2:1: d@2:4}@1:1"


def test_depth_limit():
    assert values("[" * 32 + "]" * 32) == "[" * 32 + "]" * 32
    result = run(LBTEST, "document", "-", text=b"[" * 33 + b"]" * 33)
    assert result.stderr == b"<stdin>:1:33: error: more than 32 levels\n"


# Hostile files
# -------------

def laughs(levels, width):
    lines = ["x-0: &a0 [lol]"]
    for i in range(levels):
        lines.append(f"x-{i + 1}: &a{i + 1} "
                     f"[{', '.join([f'*a{i}'] * width)}]")
    return "\n".join(lines + ["pools: []"]).encode()


def hostile(text, memory=256 * MIB, seconds=1, **kwargs):
    with within(seconds):
        status, messages = check(text, memory=memory, **kwargs)
    assert status == 1
    assert len(messages) < 10000
    return messages


def test_billion_laughs():
    # Level 5 has 211111 values, and the ninth of them is one too many.
    assert hostile(laughs(9, 10)) == (
        "<stdin>:7:51: error: with aliases expanded, the file has more than "
        "2000000 values, which is the limit\n")


def test_billion_laughs_by_merging():
    lines = ["x-0: &a0 {k: v}"]
    for i in range(40):
        lines.append(f"x-{i + 1}: &a{i + 1} {{<<: [*a{i}, *a{i}]}}")
    assert "with aliases expanded" in hostile("\n".join(lines).encode())


def test_as_many_values_as_allowed():
    text = laughs(5, 10)
    assert check(text, memory=256 * MIB) == (0, "")


@pytest.mark.parametrize("unit", [
    "a,", "{},", "[],", "&a b,", "a: b,", "'a',", "? ,", "*a,", "<<: [],",
    "é: é,", "\"\\n\",", "#\n", "\n- ", "- ", "\n", "a: ", "? ", "&a ",
    "*a ", "!a ", "%a ", "[", "{", "]", "-", "'", "\"", "|\n", "---\n",
    "...\n", "\t", " ", "a\n",
])
def test_much_of_little(unit):
    """8 MB of the same takes neither much memory nor much time."""
    size = 1000000 if SANITIZED else 8000000
    body = unit * (size // len(unit.encode()))
    for begin in "[", "[&a b,", "{", "", "pools: ":
        with within(3):
            status, messages = check((begin + body).encode(),
                                     memory=512 * MIB)
        assert status == 1
        assert "out of memory" not in messages


def test_many_keys_and_anchors():
    """Nothing takes time in proportion to the square of their number."""
    n = 300000
    keys = "".join(f"k{i}: &a{i} v\n" for i in range(n))
    aliases = "".join(f"- *a{i}\n" for i in range(0, n, 3))
    text = f"x-k:\n{' '.join(['', *keys.splitlines(True)])}x-a:\n{aliases}"
    assert "pools is missing" in hostile(text.encode()[:8 * MIB], seconds=5)


def test_one_pool_many_times():
    """Aliases make a small file a large model."""
    servers = ", ".join(f"{{name: s{i}, ip: 10.1.{i // 250}.{i % 250 + 1}}}"
                        for i in range(4000))
    text = f"x-s: &s [{servers}]\npools:\n" + "".join(
        f"- {{name: p{i}, vip: 10.0.0.1, port: {i + 1}, servers: *s}}\n"
        for i in range(90))
    with within(5):
        status, messages = check(text.encode(), memory=512 * MIB)
    assert status == 0
    assert "gets 0.05 % (2 of 4096 slots)" in messages


def test_large_file(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(10 * MIB)
    message = "error: the file is larger than 8 MiB, which is the limit\n"
    assert hostile(b"", name=str(path), memory=32 * MIB) == \
        f"{path}: {message}"
    assert hostile(b"# large\n" * 1500000, memory=64 * MIB) == \
        f"<stdin>: {message}"


def test_largest_file():
    text = b"pools: []\n" + b"#" * (8 * MIB - 10)
    assert check(text) == (0, "")
    assert check(text + b"#")[0] == 1


def test_files_that_are_none(tmp_path):
    def messages(name, **kwargs):
        return hostile(b"", name=str(name), memory=32 * MIB, **kwargs)

    assert messages("/dev/zero") == \
        "/dev/zero: error: the file is not text: it has null bytes\n"
    assert messages("/dev/null") == "/dev/null: error: the file is empty\n"
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\2\1\1\0")
    assert messages(program) == \
        f"{program}: error: the file is not text: it has null bytes\n"
    assert messages(tmp_path) == \
        f"{tmp_path}: error: cannot read: it is a directory\n"
    assert messages(tmp_path / "none") == \
        f"{tmp_path / 'none'}: error: cannot open: no such file\n"
    assert messages(tmp_path / "none" / "none") == \
        f"{tmp_path / 'none' / 'none'}: error: cannot open: no such file\n"


def test_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "secret.yaml"
    path.write_text("pools: []\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        # Root reads everything; a loop of links can be read by nobody.
        path.unlink()
        path.symlink_to(path)
        expected = "Too many levels of symbolic links"
    else:
        expected = "permission denied"
    assert hostile(b"", name=str(path)) == \
        f"{path}: error: cannot open: {expected}\n"


def test_endless_input():
    """A pipe that never ends is read up to the limit."""
    with subprocess.Popen(["yes", "# and so on"],
                          stdout=subprocess.PIPE) as yes:
        assert "larger than 8 MiB" in hostile(b"", stdin=yes.stdout,
                                              memory=64 * MIB)
        yes.stdout.close()
        yes.kill()


def test_fifo(tmp_path):
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    with subprocess.Popen([LBGEN, "check", str(fifo)],
                          stderr=subprocess.PIPE) as process:
        # In pieces, the first of which ends within a character.
        with fifo.open("wb", buffering=0) as stream:
            stream.write("pools: []\n# é".encode()[:-1])
            stream.write("# é\nbrige: 1\n".encode()[-11:])
        assert process.stderr.read() == \
            f"{fifo}:3:1: error: unknown key \"brige\", did you mean " \
            "\"bridge\"?\n".encode()


def test_closed_standard_input():
    result = run("/bin/sh", "-c", '"$0" check - <&-', LBGEN)
    assert result.returncode == 1
    assert b"<stdin>: error: cannot read: " in result.stderr


# Models
# ------

SMALL = """
pools:
  - name: web
    vip: 10.0.0.100
    port: 80
    servers:
      - {name: s1, ip: 10.0.0.1}
"""

FULL = """
bridge: br0
entry_table: 7
table_base: 100
priority: 2
zone: 65535
fallback: normal
x-server: &server {name: s1, ip: 10.0.0.1, mac: "02:00:00:00:00:0A",
                   interface: s1-o, port: 8080, weight: 0, state: drain}
pools:
  - name: A.b_c-9
    vip: 10.0.0.100
    vip_mac: 02:00:00:00:01:00
    protocol: udp
    port: 65535
    policy: sticky
    sticky: {prefix: 24}
    connections: stateless
    slots: 16
    servers:
      - *server
      - {<<: *server, name: "2", ip: "10.0.0.2", interface: 65279,
         weight: 65535, state: maint}
      - {name: three, ip: 10.0.0.3, interface: LOCAL}
      - {name: four, ip: 10.0.0.4, interface: "(s)[4]{}<>&*|;"}
  - {name: www, vip: 10.0.1.255, port: 1, policy: random,
     servers: [{name: s1, ip: 10.0.0.1}]}
"""


def test_defaults():
    out = lbtest("model-write", "-", text=SMALL.encode())
    assert out == (
        '{"entry_table":0,"table_base":200,"priority":40000,"zone":27746,'
        '"fallback":"none"}\n'
        '{"name":"web","vip":"10.0.0.100","vip_mac":"02:6c:0a:00:00:64",'
        '"protocol":"tcp","port":80,"policy":"wrr","connections":"tracked",'
        '"on_removal":"cut","on_empty":"drop","watch":"auto","slots":256,'
        '"servers":[{"name":"s1","ip":"10.0.0.1","port":80,"weight":1,'
        '"state":"ready"}]}\n')


def test_everything():
    out = lbtest("model-write", "-", text=FULL.encode()).splitlines()
    assert json.loads(out[0]) == {
        "entry_table": 7, "table_base": 100, "priority": 2, "zone": 65535,
        "fallback": "normal"}
    server = {"name": "s1", "ip": "10.0.0.1", "mac": "02:00:00:00:00:0a",
              "interface": "s1-o", "port": 8080, "weight": 0,
              "state": "drain"}
    assert json.loads(out[1]) == {
        "name": "A.b_c-9", "vip": "10.0.0.100",
        "vip_mac": "02:00:00:00:01:00", "protocol": "udp", "port": 65535,
        "policy": "sticky", "sticky": {"prefix": 24, "low_bits": False},
        "connections": "stateless", "on_empty": "drop", "watch": "auto",
        "slots": 16, "servers": [
            server,
            dict(server, name="2", ip="10.0.0.2", interface="65279",
                 weight=65535, state="maint"),
            {"name": "three", "ip": "10.0.0.3", "interface": "LOCAL",
             "port": 65535, "weight": 1, "state": "ready"},
            {"name": "four", "ip": "10.0.0.4",
             "interface": "(s)[4]{}<>&*|;", "port": 65535, "weight": 1,
             "state": "ready"}]}
    assert len(out) == 3


def test_a_policy_keeps_its_default_parameters():
    text = SMALL.replace("servers:", "policy: sticky\n    servers:")
    assert pools(text)[0]["sticky"] == {"prefix": 32, "low_bits": False}
    text = text.replace("sticky\n", "sticky\n    sticky: {}\n")
    assert pools(text)[0]["sticky"] == {"prefix": 32, "low_bits": False}


@pytest.mark.parametrize("text", [SMALL, FULL])
def test_written_pools_read_the_same(text):
    settings, *lines = lbtest("model-write", "-",
                              text=text.encode()).splitlines(True)
    assert lbtest("settings-rewrite", text=settings.encode()) == settings
    assert lbtest("pool-rewrite", text="".join(lines).encode()) == \
        "".join(lines)


def random_model(rng):
    used = set()

    def unused(make):
        while (value := make()) in used:
            pass
        used.add(value)
        return value

    def server(i):
        n = unused(lambda: rng.randrange(1, 1 << 24))
        address = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        result = {"name": f"{rng.choice('aZ9_')}{i}", "ip": address}
        if rng.random() < .5:
            result["mac"] = f"02:00:00:{n >> 16:02x}:{n >> 8 & 255:02X}:01"
        if rng.random() < .5:
            result["interface"] = rng.choice(
                [rng.randrange(1, 65280), f"p{n % 9999}-o", "LOCAL"])
        if rng.random() < .5:
            result["port"] = rng.randrange(1, 65536)
        if rng.random() < .5:
            result["weight"] = rng.choice([0, 1, 65535,
                                           rng.randrange(65536)])
        if rng.random() < .5:
            result["state"] = rng.choice(["ready", "drain", "maint"])
        if rng.random() < .3 and result.get("interface") != "LOCAL":
            result["watch"] = rng.choice(["link", "none"])
        if i and rng.random() < .3:
            result["backup"] = True
        return result

    def pool(i):
        n = unused(lambda: rng.randrange(1, 1 << 16))
        result = {"name": f"pool.{i}", "vip": f"192.168.{n >> 8}.{n & 255}",
                  "port": rng.randrange(1, 65536),
                  "servers": [server(i) for i in range(rng.randrange(1, 9))]}
        for key, choices in (("protocol", ["tcp", "udp"]),
                             ("policy", ["wrr", "random", "sticky",
                                         "failover"]),
                             ("on_empty", ["drop", "pass"]),
                             ("watch", ["auto", "none"]),
                             ("connections", ["tracked", "stateless"]),
                             ("slots", [16, 32, 64, 128, 256])):
            if rng.random() < .5:
                result[key] = rng.choice(choices)
        if result.get("policy") == "sticky" and rng.random() < .5:
            result["sticky"] = {"prefix": rng.randrange(1, 33),
                                "low_bits": False}
        if result.get("policy") == "failover" and rng.random() < .5:
            result["failover"] = {"preempt": rng.choice([True, False])}
        if result.get("connections") == "stateless":
            if rng.random() < .5:
                result["guard"] = rng.choice([True, False])
        else:
            if rng.random() < .5:
                result["on_removal"] = rng.choice(["cut", "keep"])
            if result.get("policy") == "sticky" and rng.random() < .5:
                result["drain_timeout"] = rng.randrange(1, 65536)
        return result

    return {"pools": [pool(i) for i in range(rng.randrange(1, 9))]}


def with_defaults(pool):
    """What lbgen must make of 'pool'."""
    octets = [int(octet) for octet in pool["vip"].split(".")]
    result = {"vip_mac": "02:6c:" + ":".join(f"{o:02x}" for o in octets),
              "protocol": "tcp", "policy": "wrr", "connections": "tracked",
              "on_empty": "drop", "watch": "auto", "slots": 256, **pool}
    if result["policy"] == "sticky":
        result.setdefault("sticky", {"prefix": 32,
                                     "low_bits": False})
    if result["policy"] == "failover":
        result.setdefault("failover", {"preempt": True})
    if result["connections"] == "tracked":
        result.setdefault("on_removal", "cut")
    result["servers"] = [
        {"port": pool["port"], "weight": 1, "state": "ready", **server}
        for server in pool["servers"]]
    for server in result["servers"]:
        if "mac" in server:
            server["mac"] = server["mac"].lower()
        if "interface" in server:
            server["interface"] = str(server["interface"])
    return result


@pytest.mark.parametrize("seed", range(20))
def test_random_models(seed):
    model = random_model(random.Random(seed))
    text = json.dumps(model)
    assert pools(text) == [with_defaults(pool) for pool in model["pools"]]
    lines = lbtest("model-write", "-", text=text.encode())
    lines = lines.split("\n", 1)[1]
    assert lbtest("pool-rewrite", text=lines.encode()) == lines


# What is legal
# -------------

@pytest.mark.parametrize("text", [
    "pools: []",
    "x-anything: {a: [1, 2]}\npools: []",
    "bridge: unix:/run/openvswitch/br0.mgmt\npools: []",
    "bridge: 'ssl:[::1]:6653'\npools: []",
    "# comment\n%YAML 1.1\n---\npools: []\n...\n".split("\n", 1)[1],
    # One address, ports and protocols apart.
    "pools:\n"
    "- {name: a, vip: 10.0.0.9, port: 80,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n"
    "- {name: b, vip: 10.0.0.9, port: 81,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n"
    "- {name: c, vip: 10.0.0.9, port: 80, protocol: udp,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n",
    # Stateless pools with servers' ports of their own.
    "pools:\n"
    "- {name: a, vip: 10.0.0.9, port: 80, connections: stateless, guard: false,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n"
    "- {name: b, vip: 10.0.0.9, port: 81, connections: stateless, guard: false,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n"
    "- {name: c, vip: 10.0.0.9, port: 80, protocol: udp,"
    " connections: stateless, guard: false, fragments: drop,"
    " servers: [{name: s, ip: 10.0.0.1}]}\n",
    # Weights that 256 slots divide well enough.
    "pools:\n"
    "- {name: a, vip: 10.0.0.9, port: 80, servers: ["
    "{name: a, ip: 10.0.0.1, weight: 100},"
    "{name: b, ip: 10.0.0.2, weight: 100},"
    "{name: c, ip: 10.0.0.3, weight: 5}]}\n",
])
def test_nothing_to_say(text):
    assert check(text.encode()) == (0, "")


# Small things
# ------------

def test_addresses():
    good = {
        "10.0.0.100": "v4 10.0.0.100 02:6c:0a:00:00:64",
        "255.255.255.255": "v4 255.255.255.255 02:6c:ff:ff:ff:ff",
        "0.0.0.0": "v4 0.0.0.0 02:6c:00:00:00:00",
    }
    bad = ["", "10.0.0.300", "10.0.0.1/24", "10.0.0", "10.0.0.1.", "1",
           " 10.0.0.1", "10.0.0.1 ", "010.0.0.1", "0x0a.0.0.1", "10.0.0.-1",
           "10.0.0.1\n", "::ffff:10.0.0.1", "1:2:3:4:5:6:7", "::g", ":::",
           "fe80::1%eth0", "٣.0.0.1"]
    assert lbtest("ip", *good).splitlines() == list(good.values())
    assert lbtest("ip", *bad).splitlines() == ["invalid"] * len(bad)


def test_ipv6_addresses():
    out = lbtest("ip", "2001:DB8::0:1", "::", "::1", "fe80::1",
                 "2001:db8::2").splitlines()
    assert [line.split()[:2] for line in out] == [
        ["v6", "2001:db8::1"], ["v6", "::"], ["v6", "::1"], ["v6", "fe80::1"],
        ["v6", "2001:db8::2"]]
    macs = [line.split()[2] for line in out]
    assert len(set(macs)) == len(macs)
    assert all(mac.startswith("02:6c:") for mac in macs)


def test_macs():
    good = ["02:00:00:00:00:01", "AB:cd:Ef:00:99:aF"]
    bad = ["", "02:00:00:00:00:1ff", "02:00:00:00:00", "02:00:00:00:00:01:",
           "02:00:00:00:00:01:02", "02-00-00-00-00-01", "020000000001",
           "2:0:0:0:0:1", "02:00:00:00:00:0g", " 02:00:00:00:00:01",
           "02:00:00:00:00:01 ", "+2:00:00:00:00:01", "0x:00:00:00:00:01"]
    assert lbtest("mac", *good).splitlines() == [mac.lower() for mac in good]
    assert lbtest("mac", *bad).splitlines() == ["invalid"] * len(bad)


def distance(a, b):
    """Restricted Damerau-Levenshtein distance, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    best = min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1,
               distance(a[1:], b[1:]) + (a[0] != b[0]))
    if a[1:2] == b[:1] and b[1:2] == a[:1]:
        best = min(best, distance(a[2:], b[2:]) + 1)
    return best


def test_edit_distance():
    rng = random.Random(1)
    words = ["", "weight", "wieght", "vip"]
    words += ["".join(rng.choices("abc", k=rng.randrange(6)))
              for _ in range(60)]
    pairs = [(rng.choice(words), rng.choice(words)) for _ in range(300)]
    args = [word for pair in pairs for word in pair]
    assert [int(line) for line in lbtest("edit-distance", *args).split()] == \
        [distance(a, b) for a, b in pairs]


def test_edit_distance_of_long_words():
    for n in 62, 63, 64, 5000:
        assert lbtest("edit-distance", "a" * n, "a" * n) == \
            ("0\n" if n < 64 else f"{n}\n")


@pytest.mark.parametrize("word, nearest", [
    ("wieght", "weight"), ("weigth", "weight"), ("Weight", "weight"),
    ("por", "port"), ("ports", "port"), ("i", "ip"), ("zzz", "(none)"),
    ("", "(none)"), ("heights", "weight"), ("freighter", "(none)"),
    ("x" * 1000, "(none)"),
])
def test_nearest(word, nearest):
    assert lbtest("nearest", word, "weight", "port", "ip").strip() == nearest


# Fuzzing
# -------

def survives(texts):
    """Whatever 'texts' are, lbgen reads or refuses them, and in time."""
    statuses = set()
    for text in texts:
        with within(1):
            status, messages = check(text, memory=256 * MIB)
        assert status in (0, 1), (text, messages)
        assert (status == 1) == (" error: " in messages), (text, messages)
        statuses.add(status)
    return statuses


def test_corpus():
    texts = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    assert len(texts) > 10
    assert survives(texts) == {0, 1}


SPECIAL = b"\n\t :-[]{},&*!|>'\"%@`#?~\0\x80\xff"


def mutate(rng, text):
    """'text' with some bytes changed, moved or gone."""
    data = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 5])):
        i = rng.randrange(len(data) + 1)
        j = min(len(data), i + rng.choice([1, 1, 2, 8, 40]))
        kind = rng.randrange(5)
        if kind == 0:
            data[i:j] = b""
        elif kind == 1:
            data[i:i] = data[i:j]
        elif kind == 2:
            data[i:i] = bytes([rng.choice(SPECIAL)])
        elif kind == 3 and i < len(data):
            data[i] ^= 1 << rng.randrange(8)
        else:
            data[i:i] = rng.choice([b"- ", b"<<: ", b"*server", b"&server ",
                                    b"99999999999", b"~", b"---\n"])
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed):
    rng = random.Random(seed)
    texts = [SMALL.encode(), FULL.encode()]
    texts += [path.read_bytes()
              for path in sorted((TOP / "examples").glob("*.yaml"))]
    assert survives(mutate(rng, rng.choice(texts))
                    for _ in range(100)) == {0, 1}
