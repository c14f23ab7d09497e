# SPDX-License-Identifier: Apache-2.0
"""The machine that all of this runs on, and how quiet it is."""

import os
import platform
import re
import statistics
import subprocess
import time


def cpu_seconds(pid):
    """Processor time of all threads of a process, in seconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident_mib(pid):
    """What a process has in memory, in MiB."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


def _busy():
    """Jiffies that all processors were busy, and all jiffies."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def foreign_load(seconds=.25):
    """The part of the processors that is busy while we do nothing: 0 to 1."""
    busy, total = _busy()
    time.sleep(seconds)
    busy2, total2 = _busy()
    return (busy2 - busy) / max(total2 - total, 1)


def _processor():
    with open("/proc/cpuinfo") as file:
        match = re.search(r"model name\s*: (.*)", file.read())
    return match[1] if match else platform.machine()


def _version(*command):
    """The first line that a program says to be asked for its version, or
    None."""
    try:
        result = subprocess.run(command, capture_output=True, text=True,
                                timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (result.stdout or result.stderr).strip().split("\n")
    return lines[0].strip()


def describe(lbgen):
    """What figures depend on."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processors": f"{os.cpu_count()} x {_processor()}",
        "kernel": platform.release(),
        "lbgen": _version(lbgen, "--version"),
        "switch": _version("ovs-vswitchd", "--version"),
        "ovn": _version("ovn-nbctl", "--version"),
        "nftables": _version("nft", "--version"),
        "haproxy": _version("haproxy", "-v"),
        "client": _version("ab", "-V"),
        "server": _version("nginx", "-v"),
        "load": os.getloadavg()[0],
    }


def spread(values):
    """How far apart the middle half of 'values' is, relative to their
    median."""
    if len(values) < 4:
        return (max(values) - min(values)) / statistics.median(values)
    quarters = statistics.quantiles(values, n=4)
    return (quarters[2] - quarters[0]) / quarters[1]
