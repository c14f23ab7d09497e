# SPDX-License-Identifier: Apache-2.0
"""export: always the same, and worth the same as apply.

tests/golden has what export prints of each example.  After a change that is
meant to change it, write it anew and look at what git says of it:

    LBGEN_WRITE_GOLDEN=1 tests/run tests/test_export.py
"""

import glob
import os
import re
import subprocess

import pytest

from lab import Lab
from lab_sites import sites
from lab_switch import KINDS, snapshot

SRCDIR = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__),
                                               ".."))
GOLDEN = os.path.join(SRCDIR, "tests", "golden")
EXAMPLES = sorted(glob.glob(os.path.join(SRCDIR, "examples", "*.yaml")))
NAMES = [os.path.basename(path)[:-len(".yaml")] for path in EXAMPLES]

by_example = pytest.mark.parametrize("path", EXAMPLES, ids=NAMES)


def export(*args, **options):
    result = subprocess.run([Lab.lbgen_path(), "export", *args], text=True,
                            capture_output=True, timeout=60, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_is_a_golden_file_for_each_example():
    assert len(NAMES) >= 5
    assert sorted(os.path.basename(path)
                  for path in glob.glob(f"{GOLDEN}/*")) == [
        f"{name}.flows" for name in NAMES]


@by_example
def test_golden(path):
    name = os.path.basename(path)[:-len(".yaml")]
    golden = os.path.join(GOLDEN, f"{name}.flows")
    text = export(path)
    if os.environ.get("LBGEN_WRITE_GOLDEN"):
        with open(golden, "w") as file:
            file.write(text)
    with open(golden) as file:
        assert text == file.read()


@by_example
def test_does_not_depend_on_the_surroundings(path, tmp_path):
    """Neither directory nor file name, environment nor standard input."""
    text = export(path)
    with open(path) as file:
        content = file.read()
    copy = tmp_path / "copy.yaml"
    copy.write_text(content)
    assert export("copy.yaml", cwd=tmp_path, env={"LC_ALL": "C"}) == text
    assert export("-", input=content) == text
    assert export("-b", "other", path) == text


@by_example
def test_lines(path):
    """Groups come before the flows that point to them, and nothing is there
    twice."""
    lines = export(path).rstrip("\n").split("\n")
    kinds = [line.split(" ", 2)[0] for line in lines]
    assert kinds == sorted(kinds, reverse=True)
    assert {"flow"} <= set(kinds) <= {"group", "flow"}
    assert all(re.match("(group|flow) add ", line) for line in lines)
    keys = [line.split(" actions=")[0].split(",", 1 if line[0] == "f" else 0)
            for line in lines]
    assert len({str(key[1:] or key) for key in keys}) == len(lines)


def prepare(make_lab, text):
    """A lab with the ports that the example wants, some of whose servers are
    behind bridges in fail mode "secure"."""
    return make_lab(servers=3, clients=2,
                    fail_mode="secure" if "fallback: normal" in text
                    else "standalone")


@pytest.mark.switch
@by_example
def test_bundle_equals_apply(make_lab, path):
    """What ovs-ofctl makes of export's text is, byte for byte, what apply
    makes of the file; diff and apply find nothing to do."""
    with open(path) as file:
        text = file.read()
    if "gw-o" in text:          # It has ports of its own.
        with sites() as pair:
            check_bundle_equals_apply(pair["w1-o" in text], path)
    else:
        check_bundle_equals_apply(prepare(make_lab, text), path)


def check_bundle_equals_apply(lab, path):
    empty = snapshot(lab)
    lab.ofctl("bundle", "br0", "-", input=export(path))
    assert lab.lbgen("diff", path).stdout == ""
    assert lab.lbgen("apply", path).stdout == "br0: in sync, nothing sent\n"
    dumps = lab.flows(), lab.groups()
    status = lab.lbgen("status", "-b", "br0").stdout
    assert "not as lbgen left" not in status
    lab.lbgen("delete", path)
    assert snapshot(lab) == empty
    lab.lbgen("apply", path)
    assert (lab.flows(), lab.groups()) == dumps


def test_numbers_of_ports():
    """They are not in quotes, which would make names of them."""
    text = export("-", input="""
pools:
  - name: web
    vip: 10.0.0.100
    servers:
      - {name: s1, ip: 10.0.0.1, mac: "02:00:00:00:00:01", interface: 7}
      - {name: s2, ip: 10.0.0.2, mac: "02:00:00:00:00:02", interface: veth7}
""")
    assert "watch_port:7," in text and "watch_port:veth7," in text
    assert '"' not in text.replace("note:", "")


@pytest.mark.switch
def test_many_pools(lab):
    """The same for a large file with all that can be told apart."""
    path = lab.file(*(
        lab.pool([1 + i % 3, 2, 3], name=f"p{i}", vip=f"10.0.{100 + i}.1",
                 server_port=1000 + i, protocol=("tcp", "udp")[i % 2],
                 policy=("wrr", "random", "sticky")[i % 3],
                 connections=("tracked", "stateless")[i // 2 % 2],
                 slots=(16, 32, 64, 128, 256)[i % 5])
        for i in range(60)), table_base=50, priority=77, zone=9,
        entry_table=2, fallback="normal")
    text = export(path)
    lab.ofctl("bundle", "br0", "-", input=text)
    assert lab.lbgen("diff", path).stdout == ""
    # One line is one flow or group.
    assert len(snapshot(lab)) == 1 + len(text.rstrip("\n").split("\n"))


def test_server_without_mac_or_interface(tmp_path):
    """Nothing but a file is there to find them in."""
    path = tmp_path / "file.yaml"
    path.write_text("pools:\n- name: a\n  vip: 10.0.0.100\n  port: 80\n"
                    "  servers:\n  - {name: s1, ip: 10.0.0.1}\n")
    result = subprocess.run([Lab.lbgen_path(), "export", path], text=True,
                            capture_output=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(
        f'{path}:6:5: error: server "s1" needs a mac and an interface')


@pytest.mark.parametrize("ports", [
    ["1-65535"], ["1"], ["65535"], ["8000-8010"], ["80", "443", "8000-8010"],
    ["1-65534"], ["2-3", "5-6", "1024-65535"], ["7", "8", "9"],
])
def test_ports(ports):
    """The matches of a pool mean its ports, each once."""
    text = export("-", input=f"""
pools:
  - name: web
    vip: 10.0.0.100
    ports: [{", ".join(ports)}]
    servers:
      - {{name: s1, ip: 10.0.0.1, mac: "02:00:00:00:00:01", interface: 1}}
""")
    masks = re.findall("cookie=0x6c626702.*,nw_dst=10.0.0.100,tp_dst="
                       "([0-9a-fx]+)(?:/([0-9a-fx]+))? ", text)
    meant = [port for value, mask in masks for port in range(65536)
             if port & int(mask or "0xffff", 0) == int(value, 0)]
    wanted = [port for item in ports for ends in [item.split("-")]
              for port in range(int(ends[0]), int(ends[-1]) + 1)]
    assert sorted(meant) == wanted
    assert len(masks) <= 30 * len(ports)


def test_kinds_of_flows():
    """Two kinds with one number could not be told apart on a bridge."""
    numbers = list(KINDS.values())
    assert len(numbers) > 30 and len(set(numbers)) == len(numbers)
