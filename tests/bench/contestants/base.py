# SPDX-License-Identifier: Apache-2.0
"""What the comparison wants of everybody who takes part."""

import shutil

from bench.stage import CLIENT, PORT, PROCESSES, VIP, Stage
from lab import wait_for


ADDRESSES = 600         # Of the client.


class Unavailable(Exception):
    """Cannot take part.  Says why."""


class Contestant:
    """One way of getting requests to three servers.  Subclasses say who they
    are, which programs and helpers they need, and set themselves up."""

    name = None             # For BENCH_ONLY, and in the table.
    what = None             # In one line.
    programs = ()           # That must be installed.
    helpers = ()            # More hosts on the switch.
    fail_mode = "standalone"

    def __init__(self):
        self.lab = None
        self.weights = {"s1": 1, "s2": 1, "s3": 1}
        self.processes = []     # That stand in the path, besides the switch.
        self.client_addresses = []
        self.n_used = 0         # Of those.

    def start(self, stack, names=False, more_servers=0):
        """Starts a switch and what it needs.  'stack' ends them.  With
        'names', servers only say who they are; 'more_servers' are there but
        get no connections.  Raises Unavailable."""
        for program in self.programs:
            if not shutil.which(program):
                raise Unavailable(f"{program} is not installed")
        self.lab = stack.enter_context(Stage(
            len(self.weights) + more_servers, self.helpers, self.fail_mode,
            names))
        self.set_up()
        if names:
            wait_for(lambda: self.lab.connect(CLIENT, VIP, PORT).total(),
                     f"{self.name}: an answer", 20)
            return
        for target in set(self.targets()):
            wait_for(lambda target=target: self.lab.answers(target),
                     f"{self.name}: an answer", 20)

    def set_up(self):
        raise NotImplementedError

    def reweight(self, weights):
        """Changes who gets how much, as its user would."""
        raise NotImplementedError

    def next_address(self):
        """An address of the client's that was not used for longest."""
        if not self.client_addresses:
            self.client_addresses = self.addresses(ADDRESSES)
        self.n_used += 1
        return self.client_addresses[self.n_used % ADDRESSES]

    def hosts(self):
        """The servers that get connections."""
        return [self.lab.hosts[name] for name in self.weights]

    def addresses(self, n):
        """Gives the client 'n' addresses more.  Returns them."""
        return self.lab.client_addresses(CLIENT, n)

    def targets(self):
        """Where the processes of the client go."""
        return [f"{VIP}:{PORT}"] * PROCESSES

    def spawn(self, where, *args):
        """Starts a program that works for this contestant: what it says goes
        to a file in the run directory."""
        with open(f"{self.lab.rundir}/{args[0]}.out", "w") as out:
            process = self.lab.popen(where, *args, stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def know_vip(self):
        """Tells the client where the VIP is, for those who answer no ARP."""
        self.lab.run(CLIENT, "ip", "neigh", "replace", VIP, "lladdr",
                     "02:6c:0a:00:00:64", "dev", "eth0", "nud", "permanent")
