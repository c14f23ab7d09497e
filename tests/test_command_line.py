# SPDX-License-Identifier: Apache-2.0
"""The command line: commands, options, exit status, standard streams."""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(os.environ.get(
    "SRCDIR", pathlib.Path(__file__).resolve().parent.parent))
LBGEN = os.environ.get("LBGEN", str(TOP / "lbgen" / "lbgen"))

RIGHT = b"pools: []\n"
WRONG = b"pools: 1\n"


def lbgen(*args, text=RIGHT, **kwargs):
    result = subprocess.run([LBGEN, *args], input=text,
                            stdout=kwargs.pop("stdout", subprocess.PIPE),
                            stderr=subprocess.PIPE, timeout=60, **kwargs)
    return (result.returncode, (result.stdout or b"").decode(),
            result.stderr.decode())


@pytest.mark.parametrize("args, message", [
    ([], "no command given"),
    (["--json"], "no command given"),
    (["chekc", "-"], 'unknown command "chekc", did you mean "check"?'),
    (["frobnicate"], 'unknown command "frobnicate"'),
    (["help", "frobnicate"], 'unknown command "frobnicate"'),
    (["check"], '"check" needs FILE'),
    (["check", "-", "more"], '"check" does not take "more"'),
    (["check", "--json", "-"], '"check" has no option --json'),
    (["--dry-run", "check", "-"], '"check" has no option --dry-run'),
    (["check", "-x", "-"], 'unknown option "-x"'),
    (["check", "-vx", "-"], 'unknown option "-x"'),
    (["check", "--frob", "-"], 'unknown option "--frob"'),
    (["check", "--verbos=1", "-"], 'option "--verbose" takes no value'),
    (["--brigde=br0", "check", "-"],
     'unknown option "--brigde", did you mean "--bridge"?'),
    (["check", "-", "-b"], 'option "-b" needs a value'),
    (["check", "-", "--timeout"], 'option "--timeout" needs a value'),
    (["check", "-", "-b", ""], "--bridge needs NAME"),
    (["status", "-b", "br0", "--watch", "--json"],
     "--watch is for people, and does not go with --json"),
    (["diff", "-", "--color=red"],
     '--color must be auto, always or never, not "red"'),
] + [(["check", "-", f"--timeout={value}"],
      f'--timeout must be 1 to 86400 seconds, or as in 10m or 1h, not "{value}"')
     for value in ("", "0", "86401", "25h", "1x", "m", "-1", "+1", " 1", "1.5",
                   "99999999999999999999")])
def test_usage_errors(args, message):
    status, out, err = lbgen(*args)
    assert status == 64
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f"lbgen: {message}"
    assert len(lines) == 2 and lines[1].startswith('lbgen: note: see "lbgen ')


@pytest.mark.parametrize("args", [
    ["check", "-"], ["-b", "br0", "check", "-"], ["check", "-", "-bbr0"],
    ["-vv", "check", "--timeout=1", "-"], ["check", "--timeout", "3600", "-"],
    ["--verb", "check", "-v", "-"], ["check", "--", "-"],
])
def test_options_stand_anywhere(args):
    assert lbgen(*args)[:2] == (0, "")
    assert lbgen(*args, text=WRONG)[:2] == (1, "")


NO_TARGETS = [
    "tcp:300.1.1.1", "tcp:switch.example:6653", "udp:127.0.0.1", "tcp:",
    "tcp:127.0.0.1:99999", "tcp:127.0.0.1:0", "tcp:127.0.0.1:", "tcp:::1",
    "tcp:[::1", "tcp:[10.0.0.1]", "ssl:host", "unix:", "ptcp:6653", ":",
    "nonsense:x"]


@pytest.mark.parametrize("target", NO_TARGETS)
def test_not_a_target(target):
    status, out, err = lbgen("status", "-b", target)
    assert (status, out) == (64, "")
    assert err.splitlines()[0] == (
        f'lbgen: "{target}" is not a bridge: give the name of a bridge, '
        "unix:FILE, tcp:IP[:PORT] or ssl:IP[:PORT]")
    status, out, err = lbgen("check", "-",
                             text=f'bridge: "{target}"\npools: []\n'.encode())
    assert (status, out) == (1, "")
    assert err == (
        "<stdin>:1:9: error: bridge must be the name of a bridge, unix:FILE, "
        f'tcp:IP[:PORT] or ssl:IP[:PORT], not "{target}"\n')


@pytest.mark.parametrize("target", [
    "br0", "unix:/x", "/x", "x/y", "tcp:10.0.0.1", "tcp:10.0.0.1:6653",
    "ssl:[fd00::1]", "tcp:[fe80::1%eth0]:65535"])
def test_target(target):
    text = f'bridge: "{target}"\npools: []\n'.encode()
    assert lbgen("check", "-", "-b", target, text=text) == (0, "", "")


@pytest.mark.parametrize("args", [
    ["status"], ["status", "--watch"], ["connections"],
    ["explain", "web", "10.0.0.1"], ["drain", "web/s1"], ["maint", "web/s1"],
    ["ready", "web/s1"], ["weight", "web/s1", "2"], ["delete", "--all"],
    ["delete", "--pool", "web"]])
def test_which_bridge(args):
    """Where there is no file that could say so."""
    status, out, err = lbgen(*args)
    assert (status, out) == (64, "")
    assert err.splitlines()[0] == "lbgen: which bridge? give -b BRIDGE"


@pytest.mark.parametrize("where", [
    "x", "0", "70000", "99999", "80x", "-1", "+80", "localhost:9", "1.2.3:9",
    ":9", "[::1]", "[::1:9", "10.0.0.1:", "999999999999999999999"])
def test_metrics_address(tmp_path, where):
    """The systemd unit does not start again what ends so."""
    path = tmp_path / "pools.yaml"
    path.write_bytes(b"bridge: br0\npools: []\n")
    status, out, err = lbgen("monitor", path, "--metrics", where)
    assert (status, out) == (64, "")
    assert err.splitlines()[0] == \
        f'lbgen: --metrics must be PORT or ADDRESS:PORT, not "{where}"'


def commands():
    """The commands that the help lists."""
    out = lbgen("--help")[1]
    block = out.split("commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in block.splitlines()]


def test_help():
    assert "check" in commands()
    for args in (["-h"], ["help"], ["help", "--help"], ["help", "help"],
                 ["help", "-h", "help"]):
        assert lbgen(*args) == lbgen("--help")
    assert lbgen("--help")[0] == 0
    for command in commands():
        status, out, err = lbgen("help", command)
        assert (status, err) == (0, "")
        assert out.startswith(f"usage: lbgen {command} ")
        assert lbgen(command, "--help") == (status, out, err)
        assert lbgen("-h", command) == (status, out, err)


def test_help_fits_a_terminal():
    for args in [["--help"]] + [["help", name] for name in commands()]:
        for line in lbgen(*args)[1].splitlines():
            assert len(line) < 80, line


def test_help_is_in_columns():
    """The summaries of commands, and those of options, all begin at the same
    place."""
    for args in [["--help"]] + [["help", name] for name in commands()]:
        for block in lbgen(*args)[1].split("\n\n")[1:]:
            rows = [line for line in block.splitlines() if line[0] == " "]
            starts = [n for n in range(4, 40)
                      if all(len(row) > n and row[n - 2:n] == "  "
                             and row[n] != " " for row in rows)]
            assert starts or not rows, block


def test_help_lists_only_options_that_the_command_takes():
    assert "--json" not in lbgen("help", "check")[1]
    assert "--json" in lbgen("help", "diff")[1]
    assert "--timeout" in lbgen("help", "check")[1]


def test_version():
    status, out, err = lbgen("--version")
    assert (status, err) == (0, "")
    assert lbgen("-V") == (status, out, err)
    lines = out.splitlines()
    assert lines[0].startswith("lbgen ")
    assert lines[1].startswith("libopenvswitch ")


def test_output_that_cannot_be_written():
    with open("/dev/full", "wb") as full:
        assert lbgen("--help", stdout=full) == (
            1, "", "lbgen: cannot write to standard output: "
            "No space left on device\n")


def test_output_that_nobody_reads():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        assert lbgen("--help", stdout=stream) == (
            1, "", "lbgen: cannot write to standard output: Broken pipe\n")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-",
                                    "0<&- 1>&- 2>&-"])
def test_closed_streams(closed, tmp_path):
    """What is closed is not mistaken for the file that is opened next."""
    path = tmp_path / "pools.yaml"
    path.write_bytes(RIGHT)
    result = subprocess.run(["/bin/sh", "-c", f'"$0" check "$1" {closed}',
                             LBGEN, path], capture_output=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert path.read_bytes() == RIGHT
