# SPDX-License-Identifier: Apache-2.0
"""The demo shows what it says, and fails when it should."""

import re
import subprocess
import sys

import pytest

import demo

pytestmark = [pytest.mark.switch, pytest.mark.traffic]


def table(text):
    """The rows that begin with a server's name, as lists of fields."""
    return [line.split() for line in text.split("\n")
            if re.match(r"  s\d ", line)]


def test_demo():
    result = subprocess.run([sys.executable, demo.__file__], text=True,
                            capture_output=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not result.stderr
    first, second, status = (table(part) for part in re.split(
        r"4000 requests to|What the switch counted", result.stdout)[1:])

    for rows, weights in (first, (3, 2, 2)), (second, (1, 2, 2)):
        assert [row[0] for row in rows] == ["s1", "s2", "s3"]
        assert tuple(int(row[1]) for row in rows) == weights
        assert sum(int(row[4]) for row in rows) == 4000
        for _name, weight, asked, got, count in rows:
            share = int(weight) / sum(weights)
            assert asked == f"{share:.2%}"
            assert got == f"{int(count) / 4000:.2%}"
            assert abs(int(count) / 4000 - share) < .03
    assert [int(row[7]) for row in status] == [
        int(one[4]) + int(two[4]) for one, two in zip(first, second)]

    assert result.stdout.count("  0 failed, ") == 2
    assert "\n$ lbgen diff web.yaml\n\n" in result.stdout
    assert ("  59 of 256 slots move: 23.05% of new connections go to another "
            "server\n--- br0\n+++ web.yaml\n") in result.stdout
    assert re.search(r"\n\(and \d+ lines more\)\n\$ lbgen apply web.yaml\n",
                     result.stdout)
    assert "\n$ lbgen status -b br0\nbridge br0: 0 pools\n" in result.stdout


@pytest.fixture
def broken(monkeypatch):
    """A function that has the demo start its servers in another way."""
    start = demo.start_server

    def replace(instead):
        monkeypatch.setattr(demo, "start_server", lambda lab, host, name:
                            instead(start, lab, host, name))
        monkeypatch.setattr(demo, "REQUESTS", 500)
    return replace


def test_server_is_down(broken, capsys):
    broken(lambda start, lab, host, name:
           start(lab, host, name) if host != "s2" else None)
    assert demo.main() == 1
    assert "requests failed: [Errno 111] Connection refused" \
        in capsys.readouterr().out


@pytest.mark.parametrize("name, complaint", [
    ("s1", "s1 got"),
    ("sX", "unknown server"),
])
def test_wrong_server_answers(broken, capsys, name, complaint):
    broken(lambda start, lab, host, _name:
           start(lab, host, name if host == "s2" else host))
    assert demo.main() == 1
    assert f"The demo failed: {complaint}" in capsys.readouterr().out
