# SPDX-License-Identifier: Apache-2.0
"""Chapter 6: what weights by load cost and what they bring.

Cost: one round of "lbgen refresh" for many pools of ten servers, whose agents
are real and reached over loopback, and answer after 50 ms.  The first round
has nothing to compare with; the median is of those after it.

Gain: the experiment of the SBLB paper (100 clients at a time, policies side by
side) and that of adaptive round robin in containers, on hosts of our own: two
servers of which one is three times as strong.  What they are short of is
workers, 6 and 2, each busy for 20 ms with a request; nothing else is limited,
so the machine's own CPUs do not blur it.  Utilisation is the busy time of the
workers, which is what each server reports as its CPU.  "refresh" runs each
second, and each policy has time to settle before it is measured.
"""

import json
import re
import shutil
import statistics
import threading
import time

from bench import machine, settings
from bench.control import run_once
from bench.report import Table, say
from lab import Lab, wait_for

VIP = "10.0.0.100"
STRENGTH = {"s1": 6, "s2": 2}   # Workers.
CLIENTS = 100
SETTLE = 12

SERVER = r"""
import asyncio, json, sys, time
workers, size = int(sys.argv[1]), 4096
busy, begin, free = 0.0, time.monotonic(), None
last = [begin, 0.0]

async def answer(reader, writer):
    global busy
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"GET /load"):
            now = time.monotonic()
            load = (busy - last[1]) / (now - last[0]) / workers
            last[:] = [now, busy]
            body = json.dumps({"cpu": min(100, 100 * load), "memory": 10,
                               "busy": busy}).encode()
        else:
            async with free:
                start = time.monotonic()
                await asyncio.sleep(0.02)
                busy += time.monotonic() - start
            body = b"x" * size
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()

async def main():
    global free
    free = asyncio.Semaphore(workers)
    server = await asyncio.start_server(answer, "0.0.0.0", 8080, backlog=1024)
    await server.serve_forever()

asyncio.run(main())
"""


def source(path):
    """Asks a server from its own namespace: the lab's switch has no address
    in the servers' network."""
    return {"exec": ["/usr/bin/nsenter", "--net=" + path, "/usr/bin/python3",
                     "-Sc", "import socket as s; c = s.create_connection(("
                     "'127.0.0.1', 8080)); c.send(b'GET /load HTTP/1.1\\r\\n"
                     "\\r\\n'); c.settimeout(1); d = b''\n"
                     "while x := c.recv(4096): d += x\n"
                     "print(d.decode().split('\\r\\n\\r\\n')[1])"]}


def policies(path):
    common = {"interval": 1, "timeout": 0.9, "max_move": "20%",
              "from": [source(path)]}
    sblb = {**common, "policy": "sblb", "cpu": 1, "memory": 0, "network": 0}
    return {
        "random": ("random", [1, 1], None, {}),
        "wrr 1:1": ("wrr", [1, 1], None, {}),
        "adaptive": ("wrr", [1, 1], None, {**common, "policy": "adaptive"}),
        "sblb": ("wrr", [1, 1], None, sblb),
        "sblb, capacity 3:1": ("wrr", [1, 1], [3, 1], sblb),
        "orca": ("wrr", [1, 1], None,
                 {**common, "policy": "orca",
                  "from": [*common["from"], "switch"]}),
        "wrr 3:1": ("wrr", [3, 1], None, {}),
    }


def write_file(lab, policy, weights, capacities, refresh):
    pool = lab.pool(weights, server_port=8080, policy=policy)
    if refresh:
        pool["weights"] = refresh
    for server, capacity in zip(pool["servers"], capacities or []):
        server["capacity"] = capacity
    return lab.file(pool)


class Refresher:
    """Runs "lbgen refresh" each second, if there is anything to refresh."""

    def __init__(self, lab, path):
        self.lab, self.path = lab, path
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(1):
            self.lab.lbgen("refresh", self.path, check=None)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def busy_seconds(lab):
    """{server: seconds that its workers were busy}"""
    result = {}
    for name in STRENGTH:
        text = lab.run(name, "/usr/bin/python3", "-c",
                       source("")["exec"][4]).stdout
        result[name] = json.loads(text)["busy"]
    return result


def run_hey(lab, seconds):
    return lab.run("c1", "hey", "-z", f"{seconds}s", "-c", str(CLIENTS),
                   "-t", "5", "-disable-keepalive", f"http://{VIP}/",
                   timeout=seconds + 60).stdout


def measure(lab, settings, seconds, settle=SETTLE):
    """One policy: a mapping of figures."""
    policy, weights, capacities, refresh = settings
    path = write_file(lab, policy, weights, capacities, refresh)
    lab.lbgen("apply", path)
    with Refresher(lab, path if refresh else "/nonexistent"):
        run_hey(lab, settle)
        before = busy_seconds(lab)
        text = run_hey(lab, seconds)
        after = busy_seconds(lab)
    status = json.loads(lab.lbgen("status", "--json", "-b", "br0").stdout)
    slots = [server["slots"] for server in status["pools"][0]["servers"]]
    lab.lbgen("delete", "--all", "-b", "br0")
    return {
        # Not what hey says: it divides by the time until the last is done.
        "rate": int(re.search(r"\[200\]\s+(\d+) responses", text)[1])
        / seconds,
        "mean": 1000 * float(re.search(r"Average:\s+([\d.]+)", text)[1]),
        "p95": 1000 * float(re.search(r"95%+ in ([\d.]+)", text)[1]),
        "share": slots[0] / sum(slots),
        "use": [(after[name] - before[name]) / seconds / workers
                for name, workers in STRENGTH.items()],
    }


def start(lab):
    for name, workers in STRENGTH.items():
        lab.run(name, "ip", "link", "set", "lo", "up")
        lab.popen(name, "python3", "-c", SERVER, str(workers))
    time.sleep(1)
    lab.run("c1", "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000",
            "net.ipv4.tcp_tw_reuse=1")


def netns_pattern(lab):
    """The path of a server's namespace, with {name} in it."""
    path = lab.hosts["s1"].netns_path
    assert path.endswith("s1")
    return path[:-2] + "{name}"


def run_gain(seconds):
    """Returns a mapping from policies to figures."""
    results = {}
    if not shutil.which("hey"):
        say("  gain: left out, hey is not installed")
        return results
    with Lab(servers=2, clients=1) as lab:
        start(lab)
        for name, each in policies(netns_pattern(lab)).items():
            if settings.wants(name):
                results[name] = measure(lab, each, seconds)
    return results


def print_gain(results):
    table = Table("", "req/s", "gain", "mean ms", "p95 ms", "s1 share",
                  "use s1", "use s2")
    base = next(iter(results.values()))["rate"]
    for name, m in results.items():
        table.row(name, f"{m['rate']:.0f}", f"{m['rate'] / base:.2f}",
                  f"{m['mean']:.0f}", f"{m['p95']:.0f}", f"{m['share']:.2f}",
                  f"{m['use'][0]:.2f}", f"{m['use'][1]:.2f}")
    table.print()


# What it costs.

AGENT_PORT = 9999
AGENT_SECONDS = 0.05
MOST_POOLS = 1000           # Of settings.POOLS, for as many agents.
N_SERVERS = 10
N_ROUNDS = 3                # After the first.

AGENTS = f"""
import asyncio
async def answer(reader, writer):
    await asyncio.sleep({AGENT_SECONDS})
    try:
        writer.write(b"up 75%\\n")
        await writer.drain()
        writer.close()
    except OSError:
        pass
async def main():
    server = await asyncio.start_server(answer, "0.0.0.0", {AGENT_PORT},
                                        backlog=4096)
    await server.serve_forever()
asyncio.run(main())
"""


def write_many(lab, n):
    """'n' pools whose servers are called by the addresses of their agents."""
    return lab.file(*({
        "name": f"p{i}", "vip": f"10.1.{i // 250}.{i % 250 + 1}", "port": 80,
        "weights": {"policy": "static",
                    "from": [{"agent": f"{{name}}:{AGENT_PORT}"}]},
        "servers": [{"name": f"127.{1 + i // 250}.{i % 250}.{j + 1}",
                     "ip": f"10.0.0.{j + 1}", "port": 1000 + i,
                     "interface": lab.hosts["s1"].port,
                     "mac": "02:00:00:00:00:01"}
                    for j in range(N_SERVERS)]} for i in range(n)))


def run_cost(n):
    """Times the rounds of a file with 'n' pools."""
    with Lab(servers=1, clients=0) as lab:
        lab.run(lab.netns, "ip", "link", "set", "lo", "up")
        agents = lab.popen(lab.netns, "/usr/bin/python3", "-c", AGENTS)
        wait_for(lambda: f":{AGENT_PORT} " in lab.run(
            lab.netns, "ss", "-Hltn").stdout, "the agents")
        path = write_many(lab, n)
        lab.lbgen("apply", path, timeout=600)
        rounds = [run_once(lab, ["refresh", path])
                  for _ in range(1 + N_ROUNDS)]
        return {"pools": n, "servers": N_SERVERS,
                "first": rounds[0][0],
                "seconds": statistics.median(r[0] for r in rounds[1:]),
                "processor": statistics.median(r[1] for r in rounds[1:]),
                "memory": max(r[2] for r in rounds),
                "agents": machine.cpu_seconds(agents.pid) / len(rounds)}


def print_cost(results):
    table = Table("one round", *(f"{r['pools']} x {r['servers']}"
                                 for r in results))
    for title, key, factor in (
            ("first, ms", "first", 1000), ("ms", "seconds", 1000),
            ("of its own processor time, ms", "processor", 1000),
            ("of the agents', ms", "agents", 1000), ("MiB", "memory", 1)):
        table.row(title, *(f"{factor * r[key]:.0f}" for r in results))
    table.print()


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    cost = [run_cost(n) for n in settings.POOLS if n <= MOST_POOLS]
    print_cost(cost)
    say()
    gain = run_gain(max(1, round(5 * settings.SECONDS)))
    if gain:
        print_gain(gain)
    return {"cost": cost, "gain": gain}
