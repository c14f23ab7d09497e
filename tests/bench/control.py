# SPDX-License-Identifier: Apache-2.0
"""Chapter 4: from a file to the switch, for many pools.

Each pool has ten servers and 256 slots.  The limits are ovs-ofctl, which only
sends what "lbgen export" printed, and OVN, told of the same load balancers.
"""

import json
import os
import shutil
import statistics
import subprocess
import time

from bench import machine, settings
from bench.ovn_central import OvnCentral
from bench.relay import Relay
from bench.report import Table, say
from lab import Lab

N_SERVERS = 10
REPEAT = 5              # Of what changes nothing; the median counts.

# What is promised for 100 pools: seconds, and MiB.
GOALS = {"check": .1, "export": .1, "first apply": 2.0,
         "apply, nothing to do": .3, "memory": 64}

# First apply, at most so many times what ovs-ofctl takes.
LIMIT = 1.2

# What OVN is not asked for any more: it would take minutes.
MOST_FOR_OVN = 1000


def addresses(lab, n):
    """'n' servers behind the lab's hosts."""
    hosts = [lab.hosts[name] for name in lab.servers]
    return [{"name": f"s{j + 1}", "ip": f"10.2.{j // 250}.{j % 250 + 1}",
             "mac": f"02:00:00:02:{j >> 8:02x}:{j & 255:02x}",
             "interface": hosts[j % len(hosts)].port} for j in range(n)]


def vip(i):
    return f"10.1.{i // 250}.{i % 250 + 1}"


def write_pools(lab, n, n_servers=N_SERVERS, weight=1):
    """A file with 'n' pools.  The first server of the first has 'weight'."""
    servers = addresses(lab, n_servers)
    pools = []
    for i in range(n):
        pools.append({"name": f"pool{i}", "vip": vip(i), "protocol": "tcp",
                      "port": 80, "servers": [
                          {**server, "port": 1000 + i,
                           "weight": 1 + (i + j) % 5}
                          for j, server in enumerate(servers)]})
    pools[0]["servers"][0]["weight"] = weight
    # A pool in a line: with a line for each key, 5,000 are too much of a file.
    lines = ",\n".join(json.dumps(pool, separators=(", ", ": "))
                       for pool in pools)
    return lab.write(f"bridge: br0\npools: [\n{lines}]\n")


def run_once(lab, args, status=0, program=None, stdin=subprocess.DEVNULL):
    """Runs lbgen, or another program.  Returns seconds, seconds of its own
    processor time, and MiB.  The latter cannot be less than what this program
    has itself, which its children start out as."""
    command = lab._nsenter(lab.netns) + [program or lab.lbgen_path(), *args]
    begin = time.monotonic()
    process = subprocess.Popen(command, env=lab.env, stdin=stdin,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    errors = process.stderr.read()
    process.stderr.close()
    _pid, result, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(result)
    assert process.returncode == status, f"{' '.join(command)}: {errors}"
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Steps:
    """Runs lbgen and keeps what it took: 'seconds', 'processor' (seconds of
    lbgen's own processor time), 'switch' (of ovs-vswitchd's)."""

    def __init__(self, lab):
        self.lab = lab
        self.seconds, self.processor, self.switch = {}, {}, {}
        self.memory = []

    def run(self, name, *args, status=0, repeat=1):
        pid = self.lab.vswitchd.pid
        before = machine.cpu_seconds(pid)
        runs = [run_once(self.lab, args, status) for _ in range(repeat)]
        self.switch[name] = (machine.cpu_seconds(pid) - before) / repeat
        self.seconds[name] = statistics.median(run[0] for run in runs)
        self.processor[name] = statistics.median(run[1] for run in runs)
        self.memory.extend(run[2] for run in runs)


def run_steps(lab, n, n_servers, repeat):
    """The life of a file with 'n' pools.  Leaves the bridge empty."""
    path = write_pools(lab, n, n_servers)
    other = write_pools(lab, n, n_servers, weight=50)
    steps = Steps(lab)
    steps.run("check", "check", path, repeat=repeat)
    steps.run("export", "export", path, repeat=repeat)
    steps.run("diff, all new", "diff", path, status=2, repeat=repeat)
    steps.run("first apply", "apply", path)
    steps.run("apply, nothing to do", "apply", path, repeat=repeat)
    steps.run("apply, one weight", "apply", other)
    steps.run("status", "status", "-b", "br0", repeat=repeat)
    steps.run("status of one pool", "status", "pool0", "-b", "br0",
              repeat=REPEAT)
    steps.run("explain", "explain", "pool0", "10.0.1.1:1000", "-b", "br0",
              repeat=REPEAT)
    steps.run("weight", "weight", "pool0/s2", "7", "-b", "br0")
    steps.run("drain", "drain", "pool0/s3", "-b", "br0")
    steps.run("ready", "ready", "pool0/s3", "-b", "br0")
    steps.run("delete one pool", "delete", "--pool", "pool0", "-b", "br0")
    steps.run("delete all", "delete", "--all", "-b", "br0")
    return steps


def measure(n, repeat=REPEAT, n_servers=N_SERVERS):
    """Returns two mappings from what was done to seconds, the first also with
    "memory", the second of processor time, lbgen's and ovs-vswitchd's."""
    with Lab(servers=N_SERVERS, clients=0) as lab:
        steps = run_steps(lab, n, n_servers, repeat)
    return ({**steps.seconds, "memory": max(steps.memory)},
            {name: seconds + steps.switch[name]
             for name, seconds in steps.processor.items()})


# The limits.

def against_ofctl(lab, n, n_servers, repeat):
    """First apply and ovs-ofctl with the same text, taking turns.  Returns
    the seconds of each."""
    path = write_pools(lab, n, n_servers)
    text = f"{lab.rundir}/bundle.txt"
    with open(text, "w") as file:
        subprocess.run([lab.lbgen_path(), "export", path], stdout=file,
                       stderr=subprocess.DEVNULL, check=True, env=lab.env)
    times = {"apply": [], "ofctl": []}
    for _ in range(repeat):
        times["apply"].append(run_once(lab, ["apply", path])[0])
        run_once(lab, ["delete", "--all", "-b", "br0"])
        times["ofctl"].append(run_once(
            lab, ["-O", "OpenFlow15", "bundle", "br0", text],
            program="ovs-ofctl")[0])
        for command in ("del-flows", "del-groups"):
            lab.ofctl(command, "br0")
    return times


def traffic(lab, n, n_servers):
    """What lbgen sends and is sent, by what it does."""
    path = write_pools(lab, n, n_servers)
    other = write_pools(lab, n, n_servers, weight=50)
    result = {}
    for name, args in (("first apply", ["apply", path]),
                       ("apply, nothing to do", ["apply", path]),
                       ("apply, one weight", ["apply", other]),
                       ("weight", ["weight", "pool0/s1", "7"])):
        with Relay(lab) as relay:
            lab.lbgen(*args, "-b", relay.bridge, timeout=600)
        result[name] = {"sent": dict(relay.sent), "sent bytes":
                        relay.sent_bytes, "received": dict(relay.received),
                        "received bytes": relay.received_bytes}
    lab.lbgen("delete", "--all", "-b", "br0", timeout=600)
    return result


def ovn_balancer(i, n_servers):
    backends = ",".join(f"10.2.{j // 250}.{j % 250 + 1}:{1000 + i}"
                        for j in range(n_servers))
    return ["--", "--may-exist", "lb-add", f"lb{i}", f"{vip(i)}:80", backends,
            "tcp"]


def against_ovn(n, n_servers):
    """Tells OVN of as many load balancers on a logical switch with one port
    here.  Returns seconds until the switch has them, with OVN's default of
    flows for each, until one has a server less, and until all are gone."""
    with Lab(servers=1, clients=0) as lab:
        central = OvnCentral(lab)
        central.nbctl("ls-add", "net", "--", "lsp-add", "net", "s1")
        lab.vsctl("set", "interface", lab.hosts["s1"].port,
                  "external_ids:iface-id=s1")
        central.nbctl("--wait=hv", "sync")

        def timed(*words):
            begin = time.monotonic()
            central.nbctl("--wait=hv", *words, timeout=900)
            return time.monotonic() - begin

        names = [f"lb{i}" for i in range(n)]
        first = timed(*(word for i in range(n)
                        for word in [*ovn_balancer(i, n_servers), "--",
                                     "ls-lb-add", "net", names[i]]))
        return {"first apply": first,
                "apply, one weight": timed(*ovn_balancer(0, n_servers - 1)),
                "delete all": timed(*(w for name in names
                                      for w in ("--", "lb-del", name))),
                "memory": sum(machine.resident_mib(process.pid)
                              for process in central.processes())}


# The chapter.

def size(n, n_servers):
    """All about one size of file."""
    repeat = REPEAT if n * n_servers < 10000 else 1
    with Lab(servers=N_SERVERS, clients=0) as lab:
        empty = machine.resident_mib(lab.vswitchd.pid)
        limit = against_ofctl(lab, n, n_servers, 3 if n <= 1000 else 1)
        steps = run_steps(lab, n, n_servers, repeat)
        result = {
            "pools": n, "servers": n_servers, "seconds": steps.seconds,
            "processor": steps.processor, "switch": steps.switch,
            "memory": max(steps.memory), "limit": limit,
            "of_ofctl": statistics.median(
                a / b for a, b in zip(limit["apply"], limit["ofctl"])),
            "switch_memory": machine.resident_mib(lab.vswitchd.pid) - empty,
            "traffic": traffic(lab, n, n_servers) if n <= 1000 else None}
    if n <= MOST_FOR_OVN and settings.wants("ovn") \
            and shutil.which("ovn-northd"):
        result["ovn"] = against_ovn(n, n_servers)
    return result


def milliseconds(value):
    return "" if value is None else f"{1000 * value:.0f}"


def print_results(results):
    table = Table("ms", *(f"{r['pools']} x {r['servers']}" for r in results))
    for name in results[0]["seconds"]:
        table.row(name, *(milliseconds(r["seconds"][name]) for r in results))
    table.row("ovs-ofctl, same text", *(
        milliseconds(statistics.median(r["limit"]["ofctl"]))
        for r in results))
    for name in ("first apply", "apply, one weight", "delete all"):
        table.row(f"OVN, {name}", *(
            milliseconds(r.get("ovn", {}).get(name)) for r in results))
    for title, key in (("lbgen, MiB", "memory"),
                       ("ovs-vswitchd more, MiB", "switch_memory")):
        table.row(title, *(f"{r[key]:.0f}" for r in results))
    table.row("OVN, MiB", *(f"{r['ovn']['memory']:.0f}" if "ovn" in r else ""
                            for r in results))
    table.print()


def print_processor(results):
    """What a busy machine disturbs less than how long it takes."""
    say()
    table = Table("ms of processor time, lbgen + switch",
                  *(f"{r['pools']} x {r['servers']}" for r in results))
    for name in results[0]["processor"]:
        table.row(name, *(f"{milliseconds(r['processor'][name])} + "
                          f"{milliseconds(r['switch'][name])}"
                          for r in results))
    table.print()
    say()


def print_traffic(results):
    for r in results:
        for name, passed in (r["traffic"] or {}).items():
            sent = ", ".join(f"{n} {what}" for what, n
                             in sorted(passed["sent"].items()))
            say(f"  {r['pools']} x {r['servers']}, {name}: "
                f"{passed['sent bytes']:,} bytes sent ({sent}), "
                f"{passed['received bytes']:,} received")


def print_goals(results):
    for r in results:
        say(f"  {'reached' if r['of_ofctl'] <= LIMIT else 'MISSED ':<8}"
            f"first apply of {r['pools']} x {r['servers']}: "
            f"{r['of_ofctl']:.2f} of ovs-ofctl, at most {LIMIT}")


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    sizes = [(n, N_SERVERS) for n in settings.POOLS]
    if 1000 in settings.POOLS:
        sizes.append((10, 1000))
    # Of the others who take part, OVN can be left out, and lbgen cannot.
    if not settings.wants("lbgen", "ovn", "ovs-ofctl"):
        return []
    results = [size(*each) for each in sizes]
    print_results(results)
    print_processor(results)
    print_traffic(results)
    print_goals(results)
    return results
