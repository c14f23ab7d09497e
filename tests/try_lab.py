# SPDX-License-Identifier: Apache-2.0
"""A file of pools, tried on a switch with seven hosts.

"./dev lab" runs this in tests/sandbox.  It starts a private Open vSwitch with
hosts h1 to h7, 10.0.0.1 to 10.0.0.7, applies the file, starts a web server on
each host that the file has a server on, and sends requests to each pool, one
after the other: from the hosts that are named, by default once from each host
that is no server.  What comes out is who got which server.

With --shell there is a shell afterwards, where the switch is: "h4 COMMAND" runs
a command on host h4, and lbgen, ovs-ofctl and ovs-vsctl find the switch."""

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from demo import DemoFailed, say, show      # noqa: E402
from lab import Lab     # noqa: E402
from lab_http import HttpServer, ask    # noqa: E402
from lab_monitor import join_bridge     # noqa: E402

DEFAULT = os.path.join(HERE, "..", "examples", "lab-round-robin.yaml")
HOSTS = [f"h{i}" for i in range(1, 8)]
ANY_PORT = 80                   # Asked for in pools for every port.

SHELL_HELP = """\
A shell where the switch is; its end is the end of the lab.

  h4 COMMAND               runs a command on h4, as in: h4 {ask}
  lbgen apply lab.yaml     the file is a copy
  ovs-ofctl -O OpenFlow15 dump-flows br0
"""


def flat_servers(items):
    """All servers of a list in a file, those in sets as well."""
    for item in items:
        if "set" in item:
            yield from flat_servers(item["servers"])
        else:
            yield item


def pool_port(pool):
    """A port that the pool is for."""
    port = pool["ports"][0] if "ports" in pool else pool.get("port", ANY_PORT)
    return int(str(port).split("-")[0])


def server_hosts(pool):
    """(host, server) for each server of the pool.  Fails if there is no such
    host."""
    for server in flat_servers(pool["servers"]):
        number = re.fullmatch(r"10\.0\.0\.([1-7])", str(server.get("ip")))
        if not number:
            raise DemoFailed(f"server \"{server['name']}\" is on none of the "
                             "hosts of this lab, 10.0.0.1 to 10.0.0.7")
        yield f"h{number[1]}", server


def agent_ports(pool):
    """Ports on which servers are asked for their metrics by HTTP."""
    for source in pool.get("weights", {}).get("from", []):
        url = source.get("http", "") if isinstance(source, dict) else ""
        port = re.fullmatch(r"http://\{ip\}:(\d+)/metrics", url)
        if port:
            yield int(port[1])


def start_servers(lab, pools):
    """One web server for each port of each host, and idle agents.  Returns
    them by host and port."""
    started = {}

    def start(host, port, name):
        if (host, port) not in started:
            started[host, port] = HttpServer(lab, host, port, name)

    for pool in pools:
        for host, server in server_hosts(pool):
            start(host, server.get("port", pool_port(pool)), server["name"])
            for port in agent_ports(pool):
                start(host, port, server["name"])
                started[host, port].say(cpu=0, memory=0, stress=0)
    return started


def ask_in_turn(lab, pool, hosts):
    """One request to the pool from each of 'hosts'.  Yields (host, port of
    the client, name of the server)."""
    for host in hosts:
        try:
            name, port = ask(lab, host, pool["vip"], pool_port(pool))
        except OSError as e:
            raise DemoFailed(f"{host} got no answer: {e}") from None
        yield host, port, name


def open_shell(lab, pools):
    """A shell with a command for each host."""
    directory = f"{lab.rundir}/bin"
    os.mkdir(directory)
    os.symlink(os.path.abspath(lab.lbgen_path()), f"{directory}/lbgen")
    for host in lab.hosts.values():
        path = f"{directory}/{host}"
        with open(path, "w") as file:
            file.write("#!/bin/sh\n"
                       f'exec nsenter --net={host.netns_path} "${{@:-bash}}"\n')
        os.chmod(path, stat.S_IRWXU)
    pool = pools[0]
    url = f"http://{pool['vip']}:{pool_port(pool)}/"
    say()
    say(SHELL_HELP.format(
        ask=f"python3 -c 'import urllib.request as u; "
            f"print(u.urlopen(\"{url}\").read())'"
        if not shutil.which("curl") else f"curl {url}"))
    subprocess.run(
        ["nsenter", f"--net=/run/netns/{lab.netns}", "bash", "--norc"],
        cwd=lab.rundir, env={**lab.env, "PS1": "lab$ ",
                             "PATH": f"{directory}:{os.environ['PATH']}"})


def try_file(lab, pools, clients):
    """Applies lab.yaml and asks.  Returns what ask_in_turn() yields."""
    start_servers(lab, pools)
    show(lab, "lbgen apply lab.yaml")
    answers = []
    for pool in pools:
        say()
        say(f"{len(clients)} connections to pool {pool['name']}, "
            f"http://{pool['vip']}:{pool_port(pool)}/, one after the other:")
        say()
        for host, port, name in ask_in_turn(lab, pool, clients):
            say(f"{host} -> {name}")
            answers.append((host, port, name))
    say()
    show(lab, "lbgen connections -b br0")
    say()
    show(lab, "lbgen status -b br0")
    return answers


def read_pools(path):
    """The pools of a file, if it is one for this lab."""
    try:
        with open(path) as file:
            pools = yaml.safe_load(file)["pools"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as e:
        raise DemoFailed(f"{path}: {e!r}") from None
    for pool in pools:
        if pool.get("protocol", "tcp") not in ("tcp", "any") \
                or not isinstance(pool["vip"], str) or ":" in pool["vip"]:
            raise DemoFailed(f"pool \"{pool['name']}\" is not for HTTP by "
                             "IPv4, which is all that this lab speaks")
    return pools


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="./dev lab", description="Apply FILE to a private switch with "
        "hosts h1 to h7, and say which server each HOST gets.")
    parser.add_argument("--shell", action="store_true",
                        help="open a shell there afterwards")
    parser.add_argument("file", metavar="FILE", nargs="?", default=DEFAULT,
                        help="pools whose servers are on 10.0.0.1 to "
                             "10.0.0.7; default examples/lab-round-robin.yaml")
    parser.add_argument("hosts", metavar="HOST", nargs="*",
                        help="who asks, in this order; default all that are "
                             "no servers")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.hosts) - set(HOSTS))
    if unknown:
        parser.error(f"there are hosts h1 to h7, and no {unknown[0]}")
    return args


def run(args):
    pools = read_pools(args.file)
    servers = {host for pool in pools for host, _ in server_hosts(pool)}
    clients = args.hosts or [name for name in HOSTS if name not in servers]
    back = os.getcwd()
    with Lab(servers=[], clients=HOSTS) as lab:
        shutil.copy(args.file, f"{lab.rundir}/lab.yaml")
        os.chdir(lab.rundir)
        join_bridge(lab)
        try:
            try_file(lab, pools, clients)
            if args.shell:
                open_shell(lab, pools)
        finally:
            os.chdir(back)


def main(argv):
    try:
        run(parse(argv))
    except DemoFailed as e:
        say()
        say(f"This did not work: {e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
