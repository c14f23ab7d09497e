# SPDX-License-Identifier: Apache-2.0
"""lbgen monitor in a lab."""

import contextlib
import json
import os
import re
import signal
import time

from lab import wait_for

HOST = "10.0.9.1"               # The switch's own host, on the bridge.


def join_bridge(lab, bridge="br0"):
    """Gives the switch's own host an address on the bridge, for checks."""
    lab.run(lab.netns, "ip", "address", "replace", f"{HOST}/16", "dev", bridge)
    lab.run(lab.netns, "ip", "link", "set", bridge, "up")


def status(lab, pool="web"):
    """Servers of an installed pool by name, as status tells of them."""
    text = lab.lbgen("status", "-b", lab.bridges[0], "--json").stdout
    for installed in json.loads(text)["pools"]:
        if installed["name"] == pool:
            return {server["name"]: server for server in installed["servers"]}
    return {}


def slots(lab, pool="web"):
    return {name: server["slots"]
            for name, server in status(lab, pool).items()}


def states(lab, pool="web"):
    return {name: server["health"] and server["health"]["state"]
            for name, server in status(lab, pool).items()}


def cpu(pid):
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Monitor:
    """A running monitor and its log.  Ends with the lab, or by stop()."""

    count = 0

    def __init__(self, lab, path, *args, before=(), env=()):
        Monitor.count += 1
        self.lab = lab
        self.path = path
        self.log_name = f"{lab.rundir}/monitor{Monitor.count}.log"
        with open(self.log_name, "w") as log:
            self.process = lab.popen(lab.netns, *env, *before,
                                     lab.lbgen_path(), "monitor", *args, path,
                                     stderr=log)

    def log(self):
        with open(self.log_name, errors="replace") as log:
            return log.read()

    def count_lines(self, pattern):
        return len(re.findall(pattern, self.log()))

    def wait(self, pattern, n=1, timeout=20):
        """Waits for the nth line that matches."""
        def there():
            assert self.process.poll() is None, self.log()
            return self.count_lines(pattern) >= n
        try:
            wait_for(there, pattern, timeout)
        except Exception:
            print(self.log())
            raise

    def wait_states(self, timeout=20, **wanted):
        """Waits until servers of the pool "web" are in these states."""
        def right():
            got = states(self.lab)
            return all(got.get(k) == v for k, v in wanted.items())
        try:
            wait_for(right, f"states {wanted}", timeout)
        except Exception:
            print(self.log())
            raise

    def memory(self):
        """Resident, in kB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, how=signal.SIGTERM):
        """Ends it.  Returns how long that took, in seconds."""
        begin = time.monotonic()
        self.process.send_signal(how)
        assert self.process.wait(20) == 0, self.log()
        return time.monotonic() - begin


@contextlib.contextmanager
def running(lab, path, *args, **options):
    """A monitor for as long as the block; its log is shown if that fails."""
    monitor = Monitor(lab, path, *args, **options)
    try:
        yield monitor
    except BaseException:
        print(monitor.log())
        raise
    finally:
        if monitor.process.poll() is None:
            monitor.process.terminate()
            monitor.process.wait()
