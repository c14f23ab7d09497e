# SPDX-License-Identifier: Apache-2.0
"""No memory is lost or misused over the life of a monitor."""

import pytest

from lab_monitor import Monitor, join_bridge
from test_valgrind import VALGRIND, is_sanitized

pytestmark = [pytest.mark.switch, pytest.mark.slow]


def test_life(module_lab):
    lab = module_lab
    join_bridge(lab)
    servers = {name: lab.serve(name, 8080) for name in lab.servers}
    check = {"type": "tcp", "interval": "500ms", "timeout": "400ms",
             "rise": 1, "fall": 2}
    pool = lab.pool([1, 1, 1], server_port=8080, check=check)
    pool["servers"][1]["check"] = {"type": "http"}
    pool["servers"][2]["check"] = {"type": "icmp"}
    path = lab.file(pool, fallback="normal")
    monitor = Monitor(lab, path, "--metrics-file", f"{lab.rundir}/prom",
                      before=[] if is_sanitized() else VALGRIND)
    monitor.wait_states(s1="up", s3="up", timeout=60)
    servers["s1"].stop()
    monitor.wait_states(s1="down", timeout=60)
    lab.ofctl("del-flows", "br0")
    monitor.wait("somebody else changed it", timeout=60)
    with open(path) as file:
        text = file.read()
    for changed in (text.replace('"weight": 1', '"weight": 2'), "pools: ["):
        with open(path, "w") as file:
            file.write(changed)
        monitor.wait("the file has changed", timeout=60)
    monitor.wait("file refused", timeout=60)
    lab.expect_crash = True
    lab.restart_switch(kill=True)
    monitor.wait("the switch is back", timeout=60)
    lab.lbgen("status", "-b", "br0")
    monitor.process.terminate()
    assert monitor.process.wait(60) == 0, monitor.log()
    assert "==" not in monitor.log(), monitor.log()
