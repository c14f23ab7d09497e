# SPDX-License-Identifier: Apache-2.0
"""The unit that applies a file at boot and after a restart of the switch."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

TOP = pathlib.Path(os.environ.get(
    "SRCDIR", pathlib.Path(__file__).resolve().parent.parent))
LBGEN = os.environ.get("LBGEN", str(TOP / "lbgen" / "lbgen"))


def unit_text(sbindir=os.path.dirname(LBGEN), sysconfdir="/etc"):
    """The unit as make makes it."""
    text = (TOP / "systemd" / "lbgen@.service.in").read_text()
    return (text.replace("@sbindir@", sbindir)
            .replace("@sysconfdir@", sysconfdir))


def settings(text):
    """{section: {key: [value, ...]}}"""
    result, section = {}, None
    for line in text.split("\n"):
        if line.startswith("["):
            section = result.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return result


UNIT = settings(unit_text())


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(|s|min)", text).groups()
    return int(number) * (60 if unit == "min" else 1)


def test_all_is_replaced():
    assert not re.search(r"@(?!\.service|NAME|system-service)", unit_text())


def test_follows_the_switch():
    """Starts with ovs-vswitchd, after it, stops and restarts with it."""
    for key in ("Requires", "PartOf", "After"):
        assert "ovs-vswitchd.service" in UNIT["Unit"][key][0].split()
    assert UNIT["Install"]["WantedBy"] == ["ovs-vswitchd.service"]
    # Else a restart of the switch would find nothing to restart.
    assert UNIT["Service"]["RemainAfterExit"] == ["yes"]
    assert UNIT["Service"]["Type"] == ["oneshot"]


def test_tries_come_to_an_end():
    """Even if each of them takes as long as it may: otherwise the limit would
    never be reached."""
    service, unit = UNIT["Service"], UNIT["Unit"]
    assert service["Restart"] == ["on-failure"]
    burst = int(unit["StartLimitBurst"][0])
    pause = seconds(service["RestartSec"][0])
    longest = seconds(service["TimeoutStartSec"][0]) + pause
    assert burst * longest <= seconds(unit["StartLimitIntervalSec"][0]) + 60
    assert burst * pause >= 100
    assert service["RestartPreventExitStatus"] == ["64"]


@pytest.fixture
def analyze(tmp_path):
    """A function that lets systemd judge a unit."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")

    def run(text):
        path = tmp_path / "lbgen@br0.service"
        path.write_text(text)
        # Units of its own stand for the switch's, which need not be here.
        for name in ("ovs-vswitchd", "openvswitch-switch", "openvswitch"):
            (tmp_path / f"{name}.service").write_text(
                "[Service]\nType=oneshot\nExecStart=/bin/true\n")
        return subprocess.run(
            ["systemd-analyze", "verify", "--man=no", path], text=True,
            capture_output=True,
            env=dict(os.environ, SYSTEMD_UNIT_PATH=f"{tmp_path}:"))
    return run


def test_systemd_understands_it(analyze):
    result = analyze(unit_text())
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.parametrize("right, wrong", [
    ("Restart=on-failure", "Restart=always"),       # Not for oneshot.
    ("ProtectSystem=strict", "ProtectSystems=strict"),
    ("/lbgen apply", "/no-such-program apply")])
def test_systemd_understands_mistakes(analyze, right, wrong):
    assert unit_text().count(right)
    result = analyze(unit_text().replace(right, wrong))
    assert result.returncode or result.stderr


@pytest.mark.switch
def test_commands(lab):
    """What it runs does what it is for."""
    sysconfdir = f"{lab.rundir}/etc"
    os.makedirs(f"{sysconfdir}/lbgen")
    path = lab.pool_yaml([1, 1, 1])
    shutil.copy(path, f"{sysconfdir}/lbgen/br0.yaml")
    service = settings(unit_text(sysconfdir=sysconfdir))["Service"]
    for key in ("ExecStart", "ExecReload"):
        command, = service[key]
        lab.run(lab.netns, *shlex.split(command.replace("%i", "br0")))
        lab.lbgen("diff", path)
        lab.ofctl("del-flows", "br0")


@pytest.mark.switch
def test_what_it_may_do_is_enough(lab):
    """With no capabilities but those, and all else read-only."""
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv")
    capabilities = UNIT["Service"]["CapabilityBoundingSet"][0].lower()
    wanted = ",".join(["-all"] + [f"+{name.removeprefix('cap_')}"
                                  for name in capabilities.split()])
    path = lab.pool_yaml([1, 1, 1])
    lab.run(lab.netns, "unshare", "--mount", "sh", "-ec", f"""
        mount --bind {lab.rundir} {lab.rundir}
        mount -o remount,bind,ro /
        exec setpriv --bounding-set={wanted} --inh-caps={wanted} \
            --no-new-privs {lab.lbgen_path()} apply {path}""")
    lab.lbgen("diff", path)
    assert os.path.exists(f"{lab.rundir}/lbgen.br0.lock")
