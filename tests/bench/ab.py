# SPDX-License-Identifier: Apache-2.0
"""The client: three ab(1) side by side, in the client's namespace.

Three, because plain forwarding has three addresses to go to; everybody else
has the VIP three times.
"""

import contextlib
import os
import re
import subprocess
import time
from dataclasses import dataclass

from bench.stage import CLIENT

MOST = 400000       # Requests of one ab: it reserves memory for them.
PATIENCE = 10       # Seconds without any answer until it gives up.


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


def _totals(text, seconds, concurrency):
    """Requests, failures, rate and Mbit/s of one ab that has said 'text'.  One
    that waited in vain for an answer gives up and says nothing but how many
    came before; those that it waited for have failed."""
    done = _number(r"Total of (\d+) requests completed", text)
    if "Complete requests:" not in text:
        return done, concurrency, done / seconds, 0
    return (_number(r"Complete requests: +(\d+)", text),
            _number(r"Failed requests: +(\d+)", text),
            _number(r"Requests per second: +([\d.]+)", text),
            _number(r"Transfer rate: +([\d.]+)", text) * 1024 * 8 / 1e6)


def run(contestant, path, seconds, concurrency, keep=False):
    """Asks the contestant's targets, which are as many as there are processes,
    for 'path' for a while, each from a client address of its own that nobody
    used before: no connection is mistaken for an earlier one.  Returns a
    Result."""
    lab = contestant.lab
    processes, times = [], []
    begin = time.monotonic()
    for i, target in enumerate(contestant.targets()):
        csv = f"{lab.rundir}/ab-{i}.csv"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(csv)
        processes.append((csv, lab.popen(
            CLIENT, "ab", "-q", "-r", "-b", "65536", "-s", str(PATIENCE), "-t",
            str(max(1, round(seconds))), "-n", str(MOST), "-c", str(concurrency), "-e", csv,
            "-B", contestant.next_address(), *(["-k"] if keep else []),
            f"http://{target}{path}", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)))
    totals = []
    for csv, process in processes:
        text = process.communicate()[0]
        lab.forget(process)
        totals.append(_totals(text, time.monotonic() - begin, concurrency))
        if os.path.exists(csv):
            times += _times(csv)
    times.sort()
    requests, failures, rate, mbits = map(sum, zip(*totals))
    return Result(int(requests), int(failures), rate, mbits,
                  _pooled(times, .5), _pooled(times, .99))
