# SPDX-License-Identifier: Apache-2.0
"""A lab: a real switch with real hosts, for one test.

    with Lab(servers=3, clients=2) as lab:
        for server in lab.servers:
            lab.serve(server, 8080)
        lab.lbgen("apply", lab.pool_yaml({"s1": 3, "s2": 2, "s3": 2},
                                         server_port=8080))
        traffic = lab.connect("c1", "10.0.0.100", 80, 3000)
        assert traffic.failures == 0
        assert_shares(traffic, {"s1": 3, "s2": 2, "s3": 2})

Each lab has its own ovsdb-server and ovs-vswitchd in a run directory and a
network namespace of its own, so labs run side by side.  A host is a network
namespace with one interface, eth0, whose other end is a port of a bridge:

    server s1, s2, ...  10.0.0.1, ...  02:00:00:00:00:01, ...  port s1-o, ...
    client c1, c2, ...  10.0.1.1, ...  02:00:00:00:01:01, ...  port c1-o, ...

or, with lists of names instead of numbers, those of a well-known lab for
students, as "mn --topo single,7 --mac" makes them, any of which may serve:

    host   h1, h2, ...  10.0.0.1, ...  00:00:00:00:00:01, ...  port h1-o, ...

All are in 10.0.0.0/16, so there is room for VIPs from 10.0.0.100.  With "ipv6"
they have addresses of that as well, in fd00::/64:

    server s1, s2, ...  fd00::1, ...
    client c1, c2, ...  fd00::1:1, ...

Their link-local addresses are alike, fe80::1 and fe80::1:1.  They look for no
duplicates and for no routers, so all that they send of themselves are a report
of multicast groups when they start, and doubts about their neighbours.  Works
only in tests/sandbox; at the end of the lab all its processes are gone, and
the test fails if the switch crashed or logged an error.
"""

import contextlib
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

import lab_traffic
from lab_capture import Capture
from lab_traffic import assert_shares   # noqa: F401, for those who import us

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

# Source ports of the traffic.  Out of the way of servers and of tests that
# open sockets of their own.
FIRST_SOURCE_PORT = 10000
LAST_SOURCE_PORT = 60000

# The group that lbgen keeps its generation in, see lib/generation.h.
GENERATION = "group_id=1818361856,"


def is_chain(line):
    """Whether a line of ovs-ofctl(8) is on a group of lbgen that only leads to
    others, or is there to be watched: see lib/layout.h."""
    group_id = int(re.search(r"group_id=(\d+)", line)[1])
    return (group_id == 0x6c630000
            or group_id >> 16 in (0x6c64, 0x6c65, 0x6c68, 0x6c69))



class LabError(Exception):
    """The lab itself, or the switch in it, does not work."""


@dataclass
class Host:
    """A network namespace with one interface to a bridge."""
    name: str
    mac: str
    ip: str
    bridge: str
    netns: str                  # Name, as for ip(8).
    port: str                   # Name of the bridge's port.
    ofport: int
    ip6: str = ""               # "" in a lab without IPv6.
    more_addresses: int = 0     # See Lab.client_addresses().
    more_addresses6: int = 0
    next_source_port: int = FIRST_SOURCE_PORT

    @property
    def netns_path(self):
        return f"/run/netns/{self.netns}"

    def __str__(self):
        return self.name


def require_sandbox():
    if os.geteuid() != 0 or os.environ.get("TMPDIR") != "/run/tmp":
        raise LabError("a lab works only in tests/sandbox: use tests/run")


def listens(path):
    """Whether somebody listens on the socket.  There is a moment between its
    having a name and that."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def wait_for(condition, what, timeout=10.0):
    """Waits until 'condition' returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout} s")
        time.sleep(0.005)


class Lab:
    """See above.  'servers' and 'clients' are how many there are, or names.
    'fail_mode' is "standalone", so that a bridge without flows is a learning
    switch, or "secure".  Hosts are spread over 'bridges' by
    'host_bridge', a mapping from their names; the first bridge is the
    default."""

    def __init__(self, servers=3, clients=2, bridges=("br0",),
                 fail_mode="standalone", host_bridge=None, ipv6=False):
        self.bridges = list(bridges)
        self.fail_mode = fail_mode
        self.host_bridge = host_bridge or {}
        self.ipv6 = ipv6
        self.hosts = {}
        self.servers = self._host_names("s", servers)
        self.clients = self._host_names("c", clients)
        self.start_time = None  # Seconds that the start took.
        self.expect_crash = False
        self.expect_errors = None   # Regular expression for lines of the log.
        self.ovsdb = None           # Processes.
        self.vswitchd = None
        self._processes = []
        self._captures = []
        self._files = 0

    # Life and death.

    def __enter__(self):
        require_sandbox()
        begin = time.monotonic()
        self.rundir = tempfile.mkdtemp(prefix="lab-", dir="/run")
        os.chmod(self.rundir, 0o755)
        self.netns = os.path.basename(self.rundir)
        self.env = dict(os.environ, OVS_RUNDIR=self.rundir,
                        OVS_LOGDIR=self.rundir, OVS_DBDIR=self.rundir,
                        OVS_SYSCONFDIR=self.rundir)
        try:
            self._start_database()
            self.add_netns([self.netns])
            self._start_switch()
            self.add_hosts(self.servers + self.clients)
        except BaseException:
            self._stop()
            raise
        self.start_time = time.monotonic() - begin
        return self

    def __exit__(self, exc_type, exc, traceback):
        problems = self._stop()
        if problems and exc_type is None:
            raise LabError("\n".join(problems))
        for problem in problems:
            print(problem)      # The exception under way matters more.

    def _start_database(self):
        conf = f"{self.rundir}/conf.db"
        subprocess.run(["ovsdb-tool", "create", conf, SCHEMA], check=True,
                       env=self.env)
        self.ovsdb = self._start_daemon(
            None, "ovsdb-server", conf,
            f"--remote=punix:{self.rundir}/db.sock")

    def _start_switch(self):
        wait_for(lambda: listens(f"{self.rundir}/db.sock"), "ovsdb-server")
        self.vsctl("--no-wait", "init")
        self.vswitchd = self._start_daemon(self.netns, "ovs-vswitchd",
                                           f"unix:{self.rundir}/db.sock")
        commands = []
        for bridge in self.bridges:
            commands += ["--", "add-br", bridge, "--", "set", "bridge", bridge,
                         "datapath_type=netdev",
                         f"fail-mode={self.fail_mode}"]
        self.vsctl(*commands[1:])

    def _start_daemon(self, netns, name, *args):
        with open(f"{self.rundir}/{name}.err", "a") as stderr:
            return self.popen(netns, name, *args, "--no-chdir",
                              f"--pidfile={self.rundir}/{name}.pid",
                              f"--log-file={self.rundir}/{name}.log",
                              "-vconsole:off", "-vsyslog:off", stderr=stderr)

    def restart_switch(self, kill=False):
        """Stops ovs-vswitchd, the hard way if 'kill', and starts another one.
        Flows and groups are gone then."""
        self.vswitchd.kill() if kill else self.vswitchd.terminate()
        self.vswitchd.wait()
        self._processes.remove(self.vswitchd)
        self.vswitchd = self._start_daemon(self.netns, "ovs-vswitchd",
                                           f"unix:{self.rundir}/db.sock")
        self.vsctl("set", "open_vswitch", ".", "other_config:restarts="
                   f"{time.monotonic_ns()}")

    def _stop(self):
        """Ends all that was started.  Returns a list of problems."""
        for capture in self._captures:
            capture.stop()
        problems = self._stop_daemon("ovs-vswitchd", self.vswitchd)
        problems += self._stop_daemon("ovsdb-server", self.ovsdb)
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(BrokenPipeError):
                    if stream:
                        stream.close()
        problems += self._log_problems()
        names = [host.netns for host in self.hosts.values()] + [self.netns]
        self._ip_batch(None, [f"netns del {name}" for name in names
                              if os.path.exists(f"/run/netns/{name}")])
        shutil.rmtree(self.rundir)
        return problems

    def _stop_daemon(self, name, process):
        """Returns a list of problems."""
        if process is None:
            return []
        if process.poll() is not None:
            return [] if self.expect_crash else [
                f"{name} died: status {process.returncode}"]
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            return [f"{name} does not end"]
        return []

    def _log_problems(self):
        problems = []
        harmless = self.expect_errors or "(?!)"
        for name in ("ovs-vswitchd.log", "ovs-vswitchd.err",
                     "ovsdb-server.log", "ovsdb-server.err"):
            path = f"{self.rundir}/{name}"
            if not os.path.exists(path):
                continue
            with open(path, errors="replace") as log:
                for line in log:
                    if (re.search(r"\|(ERR|EMER)\||assertion", line)
                            and not re.search(harmless, line)):
                        problems.append(f"{name}: {line.rstrip()}")
        return problems

    # Hosts.

    @staticmethod
    def _host_names(letter, which):
        return (list(which) if not isinstance(which, int)
                else [f"{letter}{i + 1}" for i in range(which)])

    def _ip_batch(self, netns, commands):
        nsenter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        subprocess.run([*nsenter, "ip", "-batch", "-"], text=True, check=True,
                       input="".join(f"{c}\n" for c in commands))

    def add_netns(self, names):
        """Adds network namespaces, which are for the caller to delete."""
        self._ip_batch(None, [f"netns add {name}" for name in names])
        for name in names:
            subprocess.run(
                ["nsenter", f"--net=/run/netns/{name}", "sh", "-ec", """
                    cd /proc/sys/net
                    echo 1 > ipv6/conf/all/disable_ipv6
                    echo 1 > ipv6/conf/default/disable_ipv6
                    echo 2 > ipv4/conf/all/arp_announce
                    echo 1 > ipv4/tcp_tw_reuse
                """], check=True)

    def _new_host(self, name):
        number = int(re.sub(r"\D", "", name))
        network = 1 if name.startswith("c") else 0
        vendor = "00" if name.startswith("h") else "02"
        ip6 = f"fd00::1:{number}" if network else f"fd00::{number}"
        return Host(name=name, ip=f"10.0.{network}.{number}",
                    ip6=ip6 if self.ipv6 else "",
                    mac=f"{vendor}:00:00:00:{network:02x}:{number:02x}",
                    bridge=self.host_bridge.get(name, self.bridges[0]),
                    netns=f"{self.netns}-{name}", port=f"{name}-o",
                    ofport=len(self.hosts) + 1)

    def add_hosts(self, names):
        """Adds hosts, each called "s", "c" or "h" and a number from 1 to
        255."""
        for name in names:
            self.hosts[name] = self._new_host(name)
        hosts = [self.hosts[name] for name in names]
        if not hosts:
            return
        self.add_netns([host.netns for host in hosts])
        self._ip_batch(self.netns, [
            line for host in hosts for line in (
                f"link add {host.port} type veth peer name eth0 "
                f"address {host.mac} netns {host.netns}",
                f"link set {host.port} up")])
        for host in hosts:
            self.run(host.name, "sh", "-ec", f"""
                ip link set lo up
                ip address add {host.ip}/16 dev eth0
                ip link set eth0 up
                ethtool -K eth0 tx off""")
            if self.ipv6:
                self._add_ipv6(host)
            self.run(self.netns, "ethtool", "-K", host.port, "tx", "off")
        commands = []
        for host in hosts:
            commands += ["--", "add-port", host.bridge, host.port, "--", "set",
                         "interface", host.port,
                         f"ofport_request={host.ofport}"]
        self.vsctl(*commands[1:])

    def _add_ipv6(self, host):
        self.run(host.name, "sh", "-ec", f"""
            cd /proc/sys/net/ipv6
            echo 1 > ip_nonlocal_bind
            for conf in conf/all conf/default conf/lo conf/eth0; do
                echo 1 > $conf/addr_gen_mode
                echo 0 > $conf/accept_ra
                echo 0 > $conf/dad_transmits
                echo 0 > $conf/disable_ipv6
            done
            ip address add {host.ip6}/64 dev eth0 nodad
            ip address add {host.ip6.replace('fd00', 'fe80')}/64 dev eth0 nodad
            """)

    def set_link(self, host, up):
        """Plugs or pulls the host's cable."""
        self._ip_batch(self.hosts[host].netns,
                       [f"link set eth0 {'up' if up else 'down'}"])
        if up:
            # Routes go when a link does.
            for other in self.hosts.values():
                if other.more_addresses and other.name != host:
                    self._add_route(self.hosts[host], other)

    def _more_addresses(self, host):
        return f"10.{list(self.hosts).index(host) + 1}.0.0/16"

    def _add_route(self, host, to):
        self._ip_batch(host.netns, [
            f"route replace {self._more_addresses(to.name)} via {to.ip}"])

    def client_addresses(self, host, n):
        """Gives 'host' 'n' addresses more, for connect(sources=...), and
        returns them.  They are behind it, as a router's customers are: nobody
        sends ARP requests for them, the other hosts have a route."""
        number = list(self.hosts).index(host) + 1
        base = self._more_addresses(host)
        if not self.hosts[host].more_addresses:
            self._ip_batch(self.hosts[host].netns,
                           [f"route add local {base} dev lo"])
            for other in self.hosts.values():
                if other.name != host:
                    self._add_route(other, self.hosts[host])
        first = self.hosts[host].more_addresses + 1
        self.hosts[host].more_addresses += n
        return [f"10.{number}.{i // 250}.{i % 250 + 1}"
                for i in range(first, first + n)]

    def client_addresses6(self, host, n, length=64):
        """As client_addresses(), of IPv6: each in a network of its own, of
        that 'length'."""
        number = list(self.hosts).index(host) + 1
        base = int(ipaddress.IPv6Address(f"fd00:{number:x}::"))
        network = f"{ipaddress.IPv6Address(base)}/32"
        if not self.hosts[host].more_addresses6:
            self._ip_batch(self.hosts[host].netns,
                           [f"route add local {network} dev lo"])
            for other in self.hosts.values():
                if other.name != host:
                    self._ip_batch(other.netns, [
                        f"route add {network} via {self.hosts[host].ip6}"])
        first = self.hosts[host].more_addresses6 + 1
        self.hosts[host].more_addresses6 += n
        return [str(ipaddress.IPv6Address(base + (i << (128 - length)) + 1))
                for i in range(first, first + n)]

    # Programs.

    def _nsenter(self, where):
        """'where' is the name of a host or of a network namespace, or None for
        the sandbox's own."""
        if where is None:
            return []
        if where in self.hosts:
            where = self.hosts[where].netns
        return ["nsenter", f"--net=/run/netns/{where}"]

    def run(self, where, *args, check=True, input=None, timeout=60):
        """Runs a program to its end.  Returns a CompletedProcess with text."""
        command = [*self._nsenter(where), *map(str, args)]
        result = subprocess.run(
            command, text=True, env=self.env, capture_output=True,
            timeout=timeout,
            **({"input": input} if input is not None
               else {"stdin": subprocess.DEVNULL}))
        if check and result.returncode:
            raise LabError(f"{' '.join(command)}: status {result.returncode}\n"
                           f"{result.stdout}{result.stderr}")
        return result

    def popen(self, where, *args, **options):
        """Starts a program that ends with the lab at the latest."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen([*self._nsenter(where), *map(str, args)],
                                   env=self.env, **options)
        self._processes.append(process)
        return process

    def lbgen(self, *args, check=0, input=None, timeout=60):
        """Runs lbgen where the switch is.  Fails unless the exit status is
        'check', which may be None for any.  Returns a CompletedProcess."""
        result = self.run(self.netns, self.lbgen_path(), *args, check=False,
                          input=input, timeout=timeout)
        assert check is None or result.returncode == check, (
            f"lbgen {' '.join(map(str, args))}: status {result.returncode}, "
            f"not {check}\n{result.stdout}{result.stderr}")
        return result

    @staticmethod
    def lbgen_path():
        return os.environ.get("LBGEN", os.path.join(os.path.dirname(HERE),
                                                    "lbgen", "lbgen"))

    def vsctl(self, *args):
        return self.run(None, "ovs-vsctl", "--timeout=20",
                        f"--db=unix:{self.rundir}/db.sock", *args).stdout

    def appctl(self, *args):
        """Asks ovs-vswitchd."""
        with open(f"{self.rundir}/ovs-vswitchd.pid") as pidfile:
            pid = pidfile.read().strip()
        return self.run(None, "ovs-appctl",
                        f"--target={self.rundir}/ovs-vswitchd.{pid}.ctl",
                        *args).stdout

    def ofctl(self, *args, check=True, input=None, version="OpenFlow15"):
        return self.run(None, "ovs-ofctl", "-O", version, *args, check=check,
                        input=input).stdout

    # What the switch has.

    def flows(self, bridge=None, match="", stats=False):
        """Lines of ovs-ofctl(8), sorted."""
        options = [] if stats else ["--no-stats"]
        text = self.ofctl(*options, "--no-names", "dump-flows",
                          bridge or self.bridges[0],
                          *([match] if match else []))
        return sorted(line.strip() for line in text.split("\n")
                      if "actions=" in line)

    def groups(self, bridge=None, generation=False, chains=False):
        """Without the group that says which generation this is, unless that
        is wanted: no packet meets it.  Also without those that only lead to
        others or watch (lib/compile-chain.c), unless these are wanted."""
        text = self.ofctl("--no-names", "dump-groups",
                          bridge or self.bridges[0])
        return sorted(line.strip() for line in text.split("\n")
                      if "group_id=" in line
                      and (generation or GENERATION not in line)
                      and (generation or chains or not is_chain(line)))

    def group_stats(self, bridge=None):
        text = self.ofctl("dump-group-stats", bridge or self.bridges[0])
        return sorted(line.strip() for line in text.split("\n")
                      if "group_id=" in line and GENERATION not in line
                      and not is_chain(line))

    def dp_flows(self):
        """Flows that the datapath has cached."""
        return [line for line in self.appctl("dpctl/dump-flows").split("\n")
                if "actions:" in line]

    # Traffic.

    def serve(self, host, port, proto="tcp", name=None, address=None):
        """Starts a server that answers with 'name', by default the host's, on
        an 'address', by default all that the host has.  Returns a
        lab_traffic.Server."""
        return lab_traffic.Server(self, host, port, proto, name or host,
                                  address or ("::" if self.ipv6
                                              else "0.0.0.0"))

    def _client(self, host, vip, port, n, concurrency, sources, proto,
                timeout, peer):
        host = self.hosts[host]
        sources = list(sources or [host.ip6 if ":" in vip else host.ip])
        turns = -(-n // len(sources))
        if host.next_source_port + turns > LAST_SOURCE_PORT:
            host.next_source_port = FIRST_SOURCE_PORT
        first = host.next_source_port
        host.next_source_port += turns
        return [proto, vip, port, n, concurrency, int(timeout * 1000),
                first, *([peer] if peer else [])], sources

    def connect(self, host, vip, port, n=1, concurrency=32, sources=None,
                proto="tcp", timeout=3.0, peer=None):
        """Makes 'n' new connections, one question each.  Returns
        lab_traffic.Traffic, a Counter of the servers' names.  An answer counts
        only if the server saw the client's own address or 'peer'.

        Source ports go up from 10000 and 'sources' take turns, so a test that
        is run again does the same."""
        arguments, sources = self._client(host, vip, port, n, concurrency,
                                          sources, proto, timeout, peer)
        limit = 60 + n / concurrency * timeout * 2
        return lab_traffic.connect(self, host, arguments, sources, limit)

    def hold(self, host, vip, port, n, sources=None, proto="tcp", timeout=3.0,
             concurrency=200, peer=None):
        """Opens 'n' connections that stay.  Returns lab_traffic.Hold."""
        arguments, sources = self._client(host, vip, port, n, concurrency,
                                          sources, proto, timeout, peer)
        return lab_traffic.Hold(self, host, arguments, sources)

    def capture(self, where, text=""):
        """Starts to record what passes the interface of a host, or a port of
        the switch, and the tcpdump filter 'text'.  Returns Capture."""
        if where in self.hosts:
            capture = Capture(self.hosts[where].netns_path, "eth0", text)
        else:
            capture = Capture(f"/run/netns/{self.netns}", where, text)
        self._captures.append(capture)
        return capture

    # Files for lbgen.

    def write(self, content, name=None):
        """Writes text, or anything else as JSON (which is YAML), to a file and
        returns its path."""
        self._files += 1
        path = f"{self.rundir}/{name or f'file{self._files}.yaml'}"
        with open(path, "w") as file:
            file.write(content if isinstance(content, str)
                       else json.dumps(content, indent=2) + "\n")
        return path

    def pool(self, weights=None, name="web", vip="10.0.0.100", port=80,
             protocol="tcp", server_port=None, **keys):
        """Returns a pool as a file would have it.  'weights' is a mapping from
        names of servers, or a list for s1, s2 and so on; by default it is all
        servers with 1.  'port' may be a list, or None for every port.  'vip' may be a list of an address of each family.
        'keys' go into the pool as they are."""
        if weights is None:
            weights = {server: 1 for server in self.servers}
        elif not isinstance(weights, dict):
            weights = {f"s{i + 1}": w for i, w in enumerate(weights)}
        servers = []
        for server, weight in weights.items():
            host = self.hosts[server]
            ips = [host.ip6 if ":" in address else host.ip
                   for address in ([vip] if isinstance(vip, str) else vip)]
            servers.append({"name": server,
                            "ip": ips[0] if isinstance(vip, str) else ips,
                            "mac": host.mac, "interface": host.port,
                            "weight": weight})
            if server_port:
                servers[-1]["port"] = server_port
        ports = {} if port is None else \
            {"ports" if isinstance(port, list) else "port": port}
        return {"name": name, "vip": vip, "protocol": protocol, **ports,
                **keys, "servers": servers}

    def file(self, *pools, **settings):
        """Writes a file with these pools and returns its path."""
        return self.write({"bridge": self.bridges[0], **settings,
                           "pools": list(pools)})

    def pool_yaml(self, weights=None, settings=None, **keys):
        """Writes a file with one pool, made by pool(), and returns its
        path."""
        return self.file(self.pool(weights, **keys), **(settings or {}))
