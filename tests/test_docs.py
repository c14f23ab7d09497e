# SPDX-License-Identifier: Apache-2.0
"""The manuals, README.md and HACKING.md against the program.

Whatever the program knows must be described, and whatever is described the
program must know: commands, options, keys with their ranges and defaults,
messages, examples, files of the tree."""

import itertools
import json
import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(os.environ.get(
    "SRCDIR", pathlib.Path(__file__).resolve().parent.parent))
LBGEN = os.environ.get("LBGEN", str(TOP / "lbgen" / "lbgen"))
LBTEST = os.environ.get("LBTEST", str(TOP / "tests" / "lbtest"))

README = (TOP / "README.md").read_text()
HACKING = (TOP / "HACKING.md").read_text()
PAGES = {name: (TOP / "lbgen" / name).read_text()
         for name in ("lbgen.8", "lbgen.yaml.5")}
LBGEN_8 = PAGES["lbgen.8"]
LBGEN_YAML_5 = PAGES["lbgen.yaml.5"]
EXAMPLES = sorted(path.name for path in (TOP / "examples").glob("*.yaml"))


def lbgen(*args, text=""):
    return subprocess.run([LBGEN, *args], input=text, text=True,
                          capture_output=True)


def check(text):
    """Fails unless "lbgen check" has nothing to say of 'text', but for what
    low_bits takes for granted."""
    result = lbgen("check", "-", text=text)
    said = re.sub(r".*: warning: .* with low_bits the last .*\n", "",
                  result.stderr)
    assert (result.returncode, said) == (0, ""), text
    assert ("low_bits: true" in text) == bool(result.stderr)


# Reading mdoc

def section(page, title):
    """The lines of a section."""
    match = re.search(rf'^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)', page, re.M | re.S)
    assert match, f"there is no section {title}"
    return match[1].split("\n")


def literals(page):
    """What stands in ".Bd -literal" displays."""
    return [text.replace("\\e", "\\")
            for text in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", page,
                                   re.M | re.S)]


def items(lines, macro):
    """The arguments of the macros ".It MACRO"."""
    return [line.split(None, 2)[2] for line in lines
            if line.startswith(f".It {macro} ")]


@pytest.mark.parametrize("name", PAGES)
def test_mandoc(name):
    result = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", TOP / "lbgen" / name],
        text=True, capture_output=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


# Commands and options

def help_text(*args):
    result = lbgen("help", *args)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def known_commands():
    listed = help_text().split("commands:\n")[1].split("\n\n")[0]
    commands = [line.split()[0] for line in listed.split("\n")]
    assert "check" in commands
    return commands


def known_options(command):
    """Option rows: ("-b", "--bridge", "NAME"), with None for what is not
    there."""
    rows = re.findall(r"^  (-.|  ),? +(--[a-z-]+)(?: ([A-Z]+))?(?: |$)",
                      help_text(*command).split("options:\n")[1], re.M)
    assert rows
    return {(short.strip() or None, long, argument or None)
            for short, long, argument in rows}


def documented_options():
    """As known_options(), from the manual, and which commands have them:
    None for all."""
    options = {}
    commands = None
    lines = section(LBGEN_8, "OPTIONS")
    for i, line in enumerate(lines):
        if line.startswith(".Ss Options of some"):
            commands = True
        match = re.fullmatch(r"\.It Fl (?:(.) , )?-([a-z-]+)(?: Ar ([A-Z]+))?",
                             line)
        if match:
            short, long, argument = match.groups()
            users = None
            if commands:
                assert lines[i + 1].startswith(".Pq Cm "), line
                users = set(re.findall(r"[a-z]+", lines[i + 1][7:]))
            options[short and f"-{short}", f"--{long}", argument] = users
    return options


def test_commands():
    documented = {line.split()[0]
                  for line in items(section(LBGEN_8, "COMMANDS"), "Cm")}
    synopsis = {line[4:] for line in section(LBGEN_8, "SYNOPSIS")
                if line.startswith(".Cm ")}
    assert documented == synopsis == {*known_commands(), "help"}


def test_options():
    general = known_options([])
    users = {option: None for option in general}
    for command in known_commands():
        for option in known_options([command]) - general:
            users[option] = users.get(option, set()) | {command}
    assert documented_options() == users


def test_exit_status():
    documented = {line.split()[1]
                  for line in section(LBGEN_8, "EXIT STATUS")
                  if line.startswith(".It ")}
    assert documented == {"0", "1", "2", "64"}
    assert lbgen("check").returncode == 64


def test_environment():
    read = {name for directory in ("lib", "lbgen")
            for path in (TOP / directory).glob("*.c")
            for name in re.findall(r'getenv\("(\w+)"\)', path.read_text())}
    documented = {name for line in items(section(LBGEN_8, "ENVIRONMENT"), "Ev")
                  for name in line.split(" , ")}
    assert {"OVS_RUNDIR", "NOTIFY_SOCKET"} <= read == documented


def test_recipes_use_known_commands():
    """In the manuals and in README.md."""
    shell = "\n".join([README, HACKING,
                       *(f" {line}" for text in literals(LBGEN_8)
                         for line in text.splitlines())])
    used = set(re.findall(r"^ +lbgen ([a-z]+) ", shell, re.M))
    assert {"check", "diff", "apply", "status", "delete"} <= used
    assert used <= set(known_commands())


def test_dev_commands():
    listed = subprocess.run([TOP / "dev", "help"], text=True, check=True,
                            capture_output=True).stdout
    known = set(re.findall(r"^  ([a-z]+) ", listed, re.M))
    used = set(re.findall(r"\./dev ([a-z]+)", README + HACKING))
    assert {"demo", "check", "build"} <= used <= known


def test_files_of_units():
    """Who builds and copies as README.md says has files where units look."""
    assert "./configure --sysconfdir=/etc " in README
    for text in README, LBGEN_8:
        assert re.search(r"^ *install -D .* /etc/lbgen/br0\.yaml$", text, re.M)
        assert not re.search("^ *cp .* /etc/", text, re.M)


# Keys

FULL_POOL = {
    "name": "web", "vip": "10.0.0.100", "port": 80, "policy": "sticky",
    "servers": [{"name": "s1", "ip": "10.0.0.1", "interface": "s1-o",
                 "mac": "02:00:00:00:00:01"}],
}
FULL_PATH = {
    "reply_to": "sender", "snat": "10.0.0.200", "vlan": 100,
}
FULL_SET = {"set": "east", "servers": [{"name": "s9", "ip": "10.0.0.9"}]}


FULL_CHECK = {"type": "https", "port": 1, "address": "10.0.0.9",
              "fast_interval": "1s",
              "method": "GET", "path": "/", "host": "h", "body": "b",
              "ca": "/c"}


def rewrite(tmp_path, model):
    """The settings and the pools of 'model' as the program keeps them in a
    bridge, which is with every key that it knows."""
    path = tmp_path / "model.yaml"
    path.write_text(json.dumps(model))
    result = subprocess.run([LBTEST, "model-write", path], text=True,
                            check=True, capture_output=True)
    settings, *pools = map(json.loads, result.stdout.strip().split("\n"))
    return settings, pools


def documented_keys(title):
    keys = {line.split()[0] for line in items(section(LBGEN_YAML_5, title),
                                              "Cm")}
    assert keys
    return keys


def test_keys(tmp_path):
    settings, pools = rewrite(tmp_path, {"pools": [
        {**FULL_POOL, "drain_timeout": 600, **FULL_PATH, "check": FULL_CHECK,
         "panic": 50, "on_down": "keep",
         "weights": {"policy": "sblb", "from": [{"file": "/load"}]},
         "servers": [{**FULL_POOL["servers"][0], "capacity": 2,
                      "via": "10.0.0.254", "vlan": 200, "watch": "link"},
                     {"name": "s4", "ip": "10.0.0.4", "backup": True}]},
        {**FULL_POOL, "name": "db", "vip": "10.0.0.55", "vlan": 100,
         "policy": "failover"},
        {**FULL_POOL, "name": "rr", "vip": "10.0.0.54", "vlan": 100,
         "policy": "round-robin", "affinity": {}},
        {"name": "dns", "vip": "10.0.0.53", "port": 53,
         "connections": "stateless", "guard": True, "fragments": "drop",
         "servers": [{"name": "s2", "ip": "10.0.0.2"}]},
        {"name": "ftp", "vip": "10.0.0.21", "ports": [20, 21],
         "vlan": "none", "proxy_arp": True,
         "servers": [{"name": "s3", "ip": "10.0.0.3"}]}]})
    pool = {key: value for pool in pools for key, value in pool.items()}
    server = {key: value for server in pools[0]["servers"]
              for key, value in server.items()}

    assert documented_keys("THE FILE") == {*settings, "bridge", "pools", "x-"}
    assert documented_keys("A POOL") == set(pool)
    assert documented_keys("A SERVER") == {*server, "check"}
    assert documented_keys("A CHECK") == {*pool["check"], "command", "source"}

    _, [with_set] = rewrite(tmp_path, {"pools": [
        {**FULL_POOL, "servers": [FULL_SET]}]})
    assert documented_keys("A SET") == {*with_set["servers"][0], "backup"}


def test_keys_are_known():
    """One by one, so that it does not matter what the program keeps."""
    top = documented_keys("THE FILE") - {"x-"}
    in_pool = documented_keys("A POOL")
    in_server = documented_keys("A SERVER")
    assert {"bridge"} <= top and {"vip"} <= in_pool and {"mac"} <= in_server
    server = dict.fromkeys(in_server, [])
    pool = dict.fromkeys(in_pool, []) | {
        "servers": [server], "check": dict.fromkeys(
            documented_keys("A CHECK"), [])}
    model = dict.fromkeys(top, []) | {"pools": [pool], "x-any": 1, "y": 1}

    messages = lbgen("check", "-", text=json.dumps(model)).stderr
    assert re.findall(r'unknown key "(.*?)"', messages) == ["y"]


def test_policies():
    listed = subprocess.run([LBTEST, "policies"], text=True, check=True,
                            capture_output=True).stdout
    rows = [line.split() for line in listed.strip().split("\n")]
    text = section(LBGEN_YAML_5, "POLICIES")
    names = [name for name, *_ in rows]

    assert sorted(items(text, "Cm")) == sorted(names)
    assert f".It Cm policy : Cm {' | '.join(names)}" in LBGEN_YAML_5
    for name, _, *params in rows:
        assert (TOP / "examples" / f"{name}.yaml").exists()
        for param in params:
            key, value = param.split("=")
            assert f".It Cm {name} : Bro Cm {key} : " in LBGEN_YAML_5
            if value in ("true", "false"):
                assert (f".It Cm {name} : Bro Cm {key} : Cm true | false Brc"
                        in LBGEN_YAML_5)
                continue
            low, high, value = re.fullmatch(r"(.*)\.\.(.*):(.*)",
                                            value).groups()
            assert f".Cm {key} ,\n{low} to {high}, by default {value}," \
                in "\n".join(text)


def test_weight_policies():
    """Each with its parameters, their ranges and defaults."""
    listed = subprocess.run([LBTEST, "weight-policies"], text=True, check=True,
                            capture_output=True).stdout
    text = "\n".join(section(LBGEN_YAML_5, "CHOOSING A WEIGHT POLICY"))
    place = 0
    for line in listed.strip().split("\n"):
        name, *params = line.split()
        if name != "common":
            place = text.find(f".It Cm {name}\n", place)
            assert place >= 0, name
        for param in params:
            key, low, high, value = re.fullmatch(
                r"(.*)=(.*)\.\.(.*):(.*)", param).groups()
            place = text.find(f".It Cm {key}\n", place)
            assert place >= 0, (name, key)
            assert re.match(rf"{low} to {high}( seconds)?, by default {value}\b",
                            text[text.find("\n", place) + 1:]), (name, key)


def described(key, title):
    """The text about a key, up to the next one."""
    text = "\n".join(section(LBGEN_YAML_5, title))
    match = re.search(rf"^\.It Cm {key} :? ?(.*?)(?=^\.It |^\.El)", text,
                      re.M | re.S)
    assert match, f"{key} is not in {title}"
    return match[1]


def put(title, key, value):
    """A model with 'key' set."""
    pool = json.loads(json.dumps(FULL_POOL)) | {"policy": "wrr"}
    model = {"pools": [pool]}
    {"THE FILE": model, "A POOL": pool,
     "A SERVER": pool["servers"][0]}[title][key] = value
    return model


def accepts(model):
    return lbgen("check", "-", text=json.dumps(model)).returncode == 0


@pytest.mark.parametrize("title, key", [
    ("THE FILE", "entry_table"), ("THE FILE", "table_base"),
    ("THE FILE", "priority"), ("THE FILE", "zone"), ("A POOL", "port"),
    ("A SERVER", "port"), ("A SERVER", "weight"),
])
def test_ranges(title, key, tmp_path):
    text = described(key, title)
    low, high = map(int, re.search(r"(\d+) to (\d+)", text).groups())

    def model(value):
        # A base must be above the entry table, so that goes down with it.
        rest = {"entry_table": 0} if key == "table_base" else \
            {"table_base": 238} if key == "entry_table" else {}
        return put(title, key, value) | rest

    assert accepts(model(low)) and not accepts(model(low - 1))
    assert not accepts(model(high + 1))
    if key != "entry_table":
        assert accepts(model(high))

    default = re.search(r"by default (\d+)\.", text)
    if default:
        settings, [pool] = rewrite(tmp_path, {"pools": [FULL_POOL]})
        where = {"THE FILE": settings, "A POOL": pool,
                 "A SERVER": pool["servers"][0]}[title]
        assert where[key] == int(default[1])


@pytest.mark.parametrize("key, what, make", [
    ("proxy_arp", r"up to (\d+) of them",
     lambda n: {"proxy_arp": [f"10.1.{i}.0/24" for i in range(n)]}),
    ("command", r"up to (\d+) arguments",
     lambda n: {"check": {"type": "exec", "command": ["/x"] * (n + 1)}}),
    ("exec", r"up to (\d+) arguments",
     lambda n: {"weights": {"policy": "adaptive",
                            "from": [{"exec": ["/x"] * (n + 1)}]}}),
])
def test_limits(key, what, make):
    """How long lists may be."""
    text = "\n".join(described(key, title) for title in
                     ("A POOL", "A CHECK", "CHOOSING A WEIGHT POLICY")
                     if f"\n.It Cm {key} :" in
                     "\n".join(section(LBGEN_YAML_5, title)))
    n = int(re.search(what, text.replace("\n", " "))[1])

    def model(n):
        return {"pools": [FULL_POOL | {"policy": "wrr"} | make(n)]}

    assert accepts(model(n)) and not accepts(model(n + 1))


def test_slots(tmp_path):
    text = described("slots", "A POOL")
    values = [int(n) for n in re.findall(r"\d+", text)]
    default = values.pop()
    _, [pool] = rewrite(tmp_path, {"pools": [FULL_POOL]})
    assert pool["slots"] == default
    assert [n for n in (*range(0, 600), 1000, 1024, 2000, 2048, 4000, 4095,
                        4096, 4097, 8192)
            if accepts(put("A POOL", "slots", n))] == values


@pytest.mark.parametrize("title, key", [
    ("THE FILE", "fallback"), ("A POOL", "protocol"),
    ("A POOL", "connections"), ("A SERVER", "state"),
])
def test_words(title, key, tmp_path):
    """All words that may be a value, as the program lists them; and which is
    the default."""
    text = described(key, title)
    words = re.match(r"Cm (.*)", text)[1].split(" | ")
    result = lbgen("check", "-", text=json.dumps(put(title, key, "zzzzzz")))
    listed = re.search(r"must be (.*), not \"zzzzzz\"", result.stderr)[1]
    assert re.split(", | or ", listed) == words

    default = re.search(r"(?:By default\n\.Cm (\w+)|^\.Cm (\w+) ,\nthe "
                        r"default)", text, re.M)
    settings, [pool] = rewrite(tmp_path, {"pools": [FULL_POOL]})
    where = {"THE FILE": settings, "A POOL": pool,
             "A SERVER": pool["servers"][0]}[title]
    assert where[key] == (default[1] or default[2])


# Messages

def source_formats():
    """The string literals of the sources, joined as C joins them."""
    literal = r'"(?:[^"\\\n]|\\.)*"'
    for path in itertools.chain(*((TOP / d).glob("*.c")
                                  for d in ("lib", "lbgen",
                                                               "policies"))):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        text = re.sub(r'"\s*PRI\w+\s*"', "u", text)
        text = re.sub(r'"\s*PRI\w+', 'u"', text)
        for match in re.findall(rf"{literal}(?:\s*{literal})*", text):
            joined = "".join(part[1:-1]
                             for part in re.findall(literal, match))
            yield joined.replace('\\"', '"').replace("\\\\", "\\")


def format_to_regex(text):
    """A format of printf() as a regular expression."""
    text = re.escape(text).replace("%%", "\0")
    text = re.sub(r"%(?:\\\.|[\d*l.z])*s", "(?:.*)", text)
    text = re.sub(r"%[\dl.z]*[dux]", r"(?:-?[\\da-f]+)", text)
    text = re.sub(r"%(?:\\\.|\d)*f", r"(?:[\\d.]+)", text)
    return text.replace("\0", "%")


def says(source, message):
    """True if 'message' is what a format prints, or the beginning of it.
    Beginnings that are hardly more than conversions do not count."""
    words = source.split(" ")
    for n in range(1, len(words) + 1):
        start = " ".join(words[:n]).rstrip(";:,")
        pattern = format_to_regex(start)
        if n < len(words):
            # A beginning must not take the rest of the message for a value.
            pattern = re.sub(r"\(\?:\.\*\)$", r"\\S+", pattern)
        if (len(re.sub(r"%[\w.]+|[^a-z]", "", start)) >= 7
                and re.fullmatch(rf'(?:(?:pool|server) ".*?": )?{pattern}',
                                 message)):
            return True
    return False


@pytest.mark.parametrize("name", PAGES)
def test_messages(name):
    """Each message that a manual explains is one that the program has."""
    formats = set(source_formats())
    messages = [item.replace("\\(dq", '"')
                for item in items(section(PAGES[name], "DIAGNOSTICS"), "Sy")]
    assert len(messages) > 10
    unknown = []
    for message in messages:
        text = message.removesuffix("...").rstrip(" :")
        if not any(says(source, text) for source in formats):
            unknown.append(message)
    assert not unknown, "\n".join(unknown)


# Examples

def complete(text):
    """Makes a file of an example that is a part of one."""
    def indent(n, text):
        return "".join(f"{' ' * n}{line}\n" for line in text.splitlines())

    if text.startswith("weights:"):
        text += "servers: [{name: s1, ip: 10.0.0.1}]\n"
        text = "- name: web\n  vip: 10.0.0.100\n  port: 80\n" + indent(2, text)
    if text.startswith("servers:"):
        text = "- name: web\n  vip: 10.0.0.100\n  port: 80\n" + indent(2, text)
    if text.startswith("- name:"):
        text = "pools:\n" + indent(2, text)
    if not re.search("^pools:", text, re.M):
        text += "pools: []\n"
    return text


def is_yaml(text):
    return re.match(r"(- )?[a-z-]+:( |\n)", text)


def yaml_blocks():
    blocks = [text for page in PAGES.values() for text in literals(page)
              if is_yaml(text)]
    blocks += re.findall(r"^```yaml\n(.*?)^```", README, re.M | re.S)
    return blocks


@pytest.mark.parametrize("text", yaml_blocks())
def test_yaml_block(text):
    check(complete(text))


def test_yaml_blocks_are_found():
    assert sum(map(bool, map(is_yaml, literals(LBGEN_8)))) >= 1
    assert sum(map(bool, map(is_yaml, literals(LBGEN_YAML_5)))) >= 5
    [example] = re.findall(r"^```yaml\n(.*?)^```", README, re.M | re.S)
    assert len(example.splitlines()) <= 20


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    """It is right, can be compiled, is installed and is mentioned."""
    text = (TOP / "examples" / name).read_text()
    check(text)
    export = lbgen("export", "-", text=text)
    assert (export.returncode, export.stderr) == (0, "")
    assert f"examples/{name}" in (TOP / "examples/automake.mk").read_text()
    assert f"(examples/{name})" in README


# The tree

def test_files_exist():
    """What README.md and HACKING.md name is there."""
    text = README + HACKING
    names = set(re.findall(r"`((?:[a-z.-]+/)+[A-Za-z0-9_.*-]*)`", text))
    names |= set(re.findall(r"\]\(([A-Za-z0-9_./-]+)\)", text))
    assert {"lib/layout.h", "tests/lab.py", "HACKING.md"} <= names
    missing = [name for name in names
               if not re.search("NAME|^[.]ovs", name)
               and not list(TOP.glob(name.rstrip("/")))]
    assert missing == []


def test_policy_walk():
    """HACKING.md quotes policies/random.c as it is, in order and whole."""
    recipe = HACKING.split("## Add a policy")[1].split("\n## ")[0]
    source = (TOP / "policies" / "random.c").read_text()
    place = 0
    quoted = 0
    for block in re.findall(r"^```c\n(.*?)^```", recipe, re.M | re.S):
        found = source.find(block, place)
        assert found >= 0, block
        place = found + len(block)
        quoted += len(block)
    assert quoted > 0.6 * len(source)


def test_news_has_version():
    version = re.search(r"AC_INIT\(\[lbgen\], \[(.*?)\]\)",
                        (TOP / "configure.ac").read_text())[1]
    assert (TOP / "NEWS").read_text().startswith(f"{version} - ")
