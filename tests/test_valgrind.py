# SPDX-License-Identifier: Apache-2.0
"""No memory is lost or misused, whether lbgen succeeds or fails."""

import pytest

from lab import Lab

pytestmark = [pytest.mark.switch, pytest.mark.slow]

# What is still reachable at the end is libopenvswitch's own.
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=77",
            "--errors-for-leak-kinds=definite,indirect,possible"]


def is_sanitized():
    """Valgrind and AddressSanitizer cannot both be there."""
    with open(Lab.lbgen_path(), "rb") as program:
        return b"__asan_init" in program.read()


@pytest.fixture(scope="module")
def valgrind(module_lab):
    """A function that runs lbgen under valgrind."""
    lab = module_lab

    def run(status, *args):
        before = [] if is_sanitized() else VALGRIND
        result = lab.run(lab.netns, *before, lab.lbgen_path(), *args,
                         check=False)
        assert result.returncode == status, result.stderr
        assert "==" not in result.stderr
        return result
    return run


def test_life(module_lab, valgrind):
    """From nothing to two pools, another weight, drift and away."""
    lab = module_lab
    first = lab.pool_yaml([3, 2, 2])
    second = lab.file(lab.pool([1, 2]),
                      lab.pool([1, 1, 1], name="b", port=53, protocol="udp",
                               policy="sticky", connections="stateless"))
    valgrind(0, "export", second)
    valgrind(0, "apply", first)
    valgrind(2, "diff", second)
    valgrind(0, "apply", second)
    valgrind(0, "status", "-b", "br0")
    lab.ofctl("del-groups", "br0")
    valgrind(0, "status", "-b", "br0", "--json")
    valgrind(0, "apply", "--json", second)
    valgrind(0, "delete", "--pool", "b", "-b", "br0")
    valgrind(0, "delete", "--all", "-b", "br0")
    assert lab.groups() == []


def test_failures(module_lab, valgrind):
    lab = module_lab
    valgrind(1, "status", "-b", "nope")
    valgrind(1, "status", "-b", "tcp:127.0.0.1:1")
    valgrind(64, "status", "--nonsense")
    valgrind(1, "delete", "-b", "br0", "--pool", "nope")
    valgrind(1, "check", lab.write("bridge: br0\npools: [{name: a, vip: 1}]\n"))
    valgrind(1, "check", lab.write("a: [1, 2\nb: *c\n"))
    pool = lab.pool([1, 1, 1])
    pool["servers"][1]["interface"] = "nope"
    valgrind(1, "apply", lab.file(pool))
    # The switch refuses.
    lab.vsctl("--", "--id=@t", "create", "Flow_Table", "flow_limit=1",
              "overflow_policy=refuse", "--", "set", "Bridge", "br0",
              "flow_tables:202=@t")
    result = valgrind(1, "apply", lab.pool_yaml())
    assert "refused a change and is unchanged" in result.stderr
    lab.vsctl("clear", "Bridge", "br0", "flow_tables")


def test_damaged_records(module_lab, valgrind):
    lab = module_lab
    path = lab.pool_yaml()
    lab.lbgen("apply", path)
    for flow in lab.flows():
        if "actions=note:" in flow:
            lab.ofctl("add-flow", "br0", flow.replace(", ", ",").replace(
                " actions=", ",actions=")[:-90])
    valgrind(0, "status", "-b", "br0")
    valgrind(2, "diff", path)
    valgrind(0, "apply", path)
    valgrind(0, "delete", path)


def test_refresh(module_lab, valgrind):
    """All kinds of sources, answers and silence."""
    lab = module_lab
    lab.write('{"cpu": 10, "memory": 20}', "s1")
    lab.write("drain", "s2")
    pool = lab.pool([3, 2, 2])
    path = lab.file({**pool, "weights": {
        "policy": "adaptive", "timeout": 3, "slow_start": "1m", "from": [
            {"file": f"{lab.rundir}/{{name}}"},
            {"exec": ["/bin/echo", '{"cpu": 30, "memory": 30}']},
            {"http": "http://127.0.0.1:9/"}, {"agent": "127.0.0.1:9"},
            "switch"]}})
    valgrind(0, "apply", path)
    valgrind(0, "refresh", path, "-v")
    lab.write('{"cpu": 90, "memory": 90}', "s1")
    valgrind(2, "diff", path, "--refresh")
    valgrind(0, "refresh", path, "--json")
    valgrind(0, "status", "-b", "br0", "--json")
    broken = lab.file({**pool, "weights": {
        "policy": "orca", "timeout": 3, "from": [
            {"exec": ["/bin/false"]}, {"http": "http://127.0.0.1:9/"}]}})
    valgrind(1, "refresh", broken)
    valgrind(0, "delete", "--all", "-b", "br0")
