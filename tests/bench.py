# SPDX-License-Identifier: Apache-2.0
"""How fast and how big lbgen is, on a switch of its own.

"make bench" runs this in tests/sandbox and prints a table, then the same as
JSON.  Arguments are numbers of pools, by default 1, 10, 100 and 1000.  Each
pool has ten servers and 256 slots.
"""

import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lab import Lab     # noqa: E402

N_SERVERS = 10
REPEAT = 5              # Of what changes nothing; the median counts.

# What is promised for 100 pools: seconds, and MiB.
GOALS = {"check": .1, "export": .1, "first apply": 2.0,
         "apply, nothing to do": .3, "memory": 64}


def write_pools(lab, n, weight=1):
    """A file with 'n' pools.  The first server of the first has 'weight'."""
    pools = [lab.pool({server: 1 + (i + j) % 5
                       for j, server in enumerate(lab.servers)},
                      name=f"pool{i}", vip=f"10.0.{1 + i // 250}.{i % 250 + 1}",
                      server_port=1000 + i) for i in range(n)]
    pools[0]["servers"][0]["weight"] = weight
    for pool in pools:
        pool["vip"] = pool["vip"].replace("10.0.", "10.0.1", 1)
    return lab.file(*pools)


def run_once(lab, args, status):
    """Runs lbgen.  Returns seconds, seconds of its own processor time, and
    MiB.  The latter cannot be less than what this program has itself, which
    its children start out as."""
    command = lab._nsenter(lab.netns) + [lab.lbgen_path(), *args]
    begin = time.monotonic()
    process = subprocess.Popen(command, env=lab.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    _pid, result, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(result)
    assert process.returncode == status, f"lbgen {' '.join(args)}"
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(n, repeat=REPEAT):
    """Returns two mappings from what was done to seconds, the first also with
    "memory", the second of lbgen's own processor time."""
    results, processor, memory = {}, {}, []

    def run(name, *args, status=0, repeat=1):
        runs = [run_once(lab, args, status) for _ in range(repeat)]
        results[name] = statistics.median(run[0] for run in runs)
        processor[name] = statistics.median(run[1] for run in runs)
        memory.extend(run[2] for run in runs)

    with Lab(servers=N_SERVERS, clients=0) as lab:
        path, other = write_pools(lab, n), write_pools(lab, n, weight=50)
        run("check", "check", path, repeat=repeat)
        run("export", "export", path, repeat=repeat)
        run("diff, all new", "diff", path, status=2, repeat=repeat)
        run("first apply", "apply", path)
        run("apply, nothing to do", "apply", path, repeat=repeat)
        run("apply, one weight", "apply", other)
        run("status", "status", "-b", "br0", repeat=repeat)
        run("delete one pool", "delete", "--pool", "pool0", "-b", "br0")
        run("delete all", "delete", "--all", "-b", "br0")
    results["memory"] = max(memory)
    return results, processor


def print_table(results):
    """Seconds become milliseconds, for people."""
    def number(name, value):
        return f"{value:9.0f} MiB" if name == "memory" else (
            f"{1000 * value:10.0f} ms")

    print(f"{'pools of 10 servers':<22}"
          + "".join(f"{n:>13}" for n in results) + f"{'goal for 100':>15}")
    for name in next(iter(results.values())):
        goal = number(name, GOALS[name]) if name in GOALS else ""
        print(f"{name:<22}" + "".join(number(name, result[name])
                                      for result in results.values())
              + f"{goal:>15}")


def main(args):
    results = {n: measure(n)[0] for n in map(int, args or (1, 10, 100, 1000))}
    print_table(results)
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1:])
