# SPDX-License-Identifier: Apache-2.0
"""The client: three ab(1) side by side, in the client's namespace.

Three, because plain forwarding has three addresses to go to; everybody else
has the VIP three times.
"""

import re
import subprocess
from dataclasses import dataclass

PROCESSES = 3
MOST = 400000       # Requests of one ab: it reserves memory for them.


@dataclass
class Result:
    """Of all three together."""
    requests: int
    failures: int
    rate: float             # Requests per second.
    mbits: float            # Mbit/s of content and headers.
    p50: float              # Milliseconds, connecting included.
    p99: float


def _number(pattern, text):
    match = re.search(pattern, text)
    return float(match[1]) if match else 0.0


def _times(path):
    """The 100 percentiles that ab writes, in ms."""
    with open(path) as file:
        return [float(line.split(",")[1]) for line in list(file)[1:]]


def _pooled(times, part):
    """A percentile of the three distributions together."""
    return times[min(int(part * len(times)), len(times) - 1)] if times else 0


def run(lab, host, targets, path, seconds, concurrency, keep=False):
    """Asks 'targets' ("address:port"), which are as many as there are
    processes, for 'path' for a while.  Returns a Result."""
    processes, files = [], []
    for i, target in enumerate(targets):
        files.append(f"{lab.rundir}/ab-{i}.csv")
        processes.append(lab.popen(
            host, "ab", "-q", "-r", "-b", "65536", "-t", str(seconds), "-n",
            str(MOST), "-c", str(concurrency), "-e", files[-1],
            *(["-k"] if keep else []), f"http://{target}{path}",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    texts = [process.communicate()[0] for process in processes]
    for process, text in zip(processes, texts):
        lab._processes.remove(process)
        if process.returncode:
            raise RuntimeError(f"ab: {text}")
    times = sorted(t for file in files for t in _times(file))
    failed = sum(_number(r"Failed requests: +(\d+)", t) for t in texts)
    return Result(
        requests=int(sum(_number(r"Complete requests: +(\d+)", t)
                         for t in texts)),
        failures=int(failed),
        rate=sum(_number(r"Requests per second: +([\d.]+)", t)
                 for t in texts),
        mbits=sum(_number(r"Transfer rate: +([\d.]+)", t)
                  for t in texts) * 1024 * 8 / 1e6,
        p50=_pooled(times, .5), p99=_pooled(times, .99))
