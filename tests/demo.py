# SPDX-License-Identifier: Apache-2.0
"""What lbgen does, shown on a real switch with real HTTP.

"./dev demo" runs this in tests/sandbox.  It starts a private Open vSwitch,
three nginx servers and two clients, applies examples/wrr.yaml, asks, changes a
weight and asks again.  The exit status is 1 if a request failed, or if a share
is not the one that was asked for, or if anything else is not as it should be.
"""

import http.client
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lab import Lab, assert_shares, wait_for    # noqa: E402
from lab_http import HttpServer     # noqa: E402

VIP = "10.0.0.100"
REQUESTS = 2000                 # Of each client, in each round.
FIRST_SOURCE_PORT = 20000
MAX_FAILURES = 20               # Then a client gives up.
DIFF_LINES = 8                  # Of the flow level, before it is cut off.


class DemoFailed(Exception):
    """Something is not as it should be."""


def say(text=""):
    print(text, flush=True)


def show(lab, command, status=0, keep=None):
    """Shows and runs a command, where the switch is.  Returns its output.
    Prints of it what 'keep' returns, by default everything."""
    say(f"$ {command}")
    args = shlex.split(command)
    if args[0] == "lbgen":
        args[0] = os.path.abspath(lab.lbgen_path())
    result = lab.run(lab.netns, *args, check=False)
    output = result.stdout + result.stderr
    text = (keep or str)(output)
    if text:
        say(text.rstrip("\n"))
    if result.returncode != status:
        raise DemoFailed(f"exit status {result.returncode}, not {status}")
    return output


# Servers and clients.

def start_server(lab, host, name):
    """Starts an nginx on 'host' that answers with 'name'."""
    HttpServer(lab, host, 8080, name)


def ask(source, port):
    """Sends one request over a connection of its own.  Returns who answered,
    or "!" and what went wrong."""
    connection = http.client.HTTPConnection(VIP, 80, timeout=3,
                                            source_address=(source, port))
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read().decode().strip()
    except (OSError, http.client.HTTPException) as e:
        return f"!{e}"
    finally:
        connection.close()
    return body if response.status == 200 else f"!status {response.status}"


def client(source, n, first_port):
    """Runs in a client's network namespace: sends 'n' requests one after the
    other and prints how many each server answered.

    Source ports are given rather than left to chance, so that the switch
    hashes the same ones in each run."""
    answers = Counter()
    failures = 0
    for port in range(first_port, first_port + n):
        answer = ask(source, port)
        answers[answer] += 1
        failures += answer.startswith("!")
        if failures > MAX_FAILURES:
            break
    json.dump(answers, sys.stdout)


def send_requests(lab, first_port):
    """Sends requests from all clients at once.  Returns a Counter of the
    servers' answers and the seconds it took."""
    begin = time.monotonic()
    clients = [lab.popen(name, sys.executable, __file__, "--client",
                         lab.hosts[name].ip, REQUESTS, first_port,
                         stdout=subprocess.PIPE, text=True)
               for name in lab.clients]
    answers = Counter()
    for process in clients:
        answers.update(json.loads(process.communicate()[0]))
    return answers, time.monotonic() - begin


# The show.

class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.next_port = FIRST_SOURCE_PORT
        self.answers = Counter()    # Of all rounds.

    def shell(self, command, status=0, keep=None):
        return show(self.lab, command, status, keep)

    def serve(self, weights):
        """Sends requests and holds the answers against 'weights'."""
        n = REQUESTS * len(self.lab.clients)
        say(f"{n} requests to http://{VIP}/, each over a new connection, from "
            f"{' and '.join(self.lab.clients)}:")
        say()
        answers, seconds = send_requests(self.lab, self.next_port)
        self.next_port += REQUESTS
        failures = {what: count for what, count in answers.items()
                    if what.startswith("!")}
        got = answers - Counter(failures)
        self.print_shares(weights, got)
        say(f"  {sum(failures.values())} failed, {seconds:.1f} s")
        say()
        for what, count in failures.items():
            raise DemoFailed(f"{count} requests failed: {what[1:]}")
        try:
            assert_shares(got, weights, n, errors=3)
        except AssertionError as e:
            raise DemoFailed(str(e)) from None
        say("All answered, and the shares are right: within half a slot and "
            "three standard\nerrors of what was asked for.")
        say()
        self.answers += got
        self.wait_for_counters()

    @staticmethod
    def print_shares(weights, got):
        total = sum(got.values()) or 1
        say("  server   weight    asked      got   requests")
        for name, weight in weights.items():
            say(f"  {name:<8} {weight:>6} {weight / sum(weights.values()):>8.2%}"
                f" {got[name] / total:>8.2%} {got[name]:>10}")
        for name in sorted(set(got) - set(weights)):
            say(f"  {name:<8}  unknown {got[name] / total:>17.2%} "
                f"{got[name]:>10}")

    def run(self):
        for name in self.lab.servers:
            start_server(self.lab, name, name)
        say("A switch of our own, bridge br0: nginx servers "
            f"{', '.join(self.lab.servers)} listen on port 8080, each\n"
            "answers with its name.  There is no proxy and no controller.")
        say()
        self.shell("cat web.yaml")
        say()
        self.first_weights()
        self.other_weights()
        self.end()

    def first_weights(self):
        self.shell("lbgen check web.yaml")
        self.shell("lbgen apply web.yaml")
        say()
        self.serve({"s1": 3, "s2": 2, "s3": 2})
        say("Is the bridge what the file says?  If so, diff prints nothing:")
        say()
        if self.shell("lbgen diff web.yaml"):
            raise DemoFailed("lbgen diff found something")
        say()

    def other_weights(self):
        say("Another weight: first to see what it would do, then to do it.")
        say()
        self.shell("sed -i '/name: s1/s/weight: 3/weight: 1/' web.yaml")
        self.shell("lbgen diff web.yaml", 2, shorten_diff)
        self.shell("lbgen apply web.yaml")
        self.shell("lbgen diff web.yaml")
        say()
        self.serve({"s1": 1, "s2": 2, "s3": 2})

    def end(self):
        say("What the switch counted, which needs no file:")
        say()
        self.shell("lbgen status -b br0")
        say()
        counted = self.connections()
        if counted != self.answers:
            raise DemoFailed(f"the servers answered {dict(self.answers)}, the "
                             f"switch counted {dict(counted)}")
        say("These are the connections that the servers have answered, to the "
            "last one.")
        say()
        self.shell("lbgen delete web.yaml")
        self.shell("lbgen status -b br0")
        if self.lab.flows() != ["priority=0 actions=NORMAL"] \
                or self.lab.groups():
            raise DemoFailed("something of lbgen is left on the bridge")

    def connections(self):
        """What the switch has counted for each server."""
        result = self.lab.lbgen("status", "-b", "br0", "--json")
        pool, = json.loads(result.stdout)["pools"]
        return Counter({server["name"]: server["connections"]
                        for server in pool["servers"]})

    def wait_for_counters(self):
        """The switch's counters lag behind by up to a second, and what it has
        not counted yet when slots move goes to the slots' new servers."""
        wait_for(lambda: self.connections().total() == self.answers.total(),
                 "the switch's counters")


def shorten_diff(text):
    """Keeps the pools of a diff, and of the flow level the first lines."""
    lines = text.split("\n")
    level = next((i for i, line in enumerate(lines)
                  if line.startswith("--- ")), len(lines))
    end = level + DIFF_LINES
    cut = len(lines[end:]) - 1
    return "\n".join(lines[:end]
                     + ([f"(and {cut} lines more)"] if cut > 0 else []))


def main():
    example = os.path.join(HERE, "..", "examples", "wrr.yaml")
    back = os.getcwd()
    begin = time.monotonic()
    with Lab(servers=3, clients=2) as lab:
        shutil.copy(example, f"{lab.rundir}/web.yaml")
        os.chdir(lab.rundir)
        try:
            Demo(lab).run()
        except DemoFailed as e:
            say()
            say(f"The demo failed: {e}")
            return 1
        finally:
            os.chdir(back)
    say()
    say(f"Done in {time.monotonic() - begin:.0f} s.  Nothing is left of the "
        "switch, the servers and the clients.")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main())
