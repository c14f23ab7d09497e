# SPDX-License-Identifier: Apache-2.0
"""Several lbgens, and others, on one bridge at the same time.

What has to happen at one moment is made to: a relay between lbgen and the
switch stops at a message that a test names, and does there what the test
wants.  A bridge reached by a relay has another lock than the bridge itself,
as if that lbgen ran on another host."""

import getpass
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from lab import GENERATION, wait_for

pytestmark = pytest.mark.switch

BUNDLE_CONTROL = 33
OPEN, COMMIT = 0, 4


class Relay:
    """Listens on a socket of its own for one bridge.  'hooks' maps a type of
    bundle control message to a function, called with the number of messages
    of that type so far before the message is handed on."""

    def __init__(self, lab, name="relay", bridge="br0", hooks=None):
        self.path = f"{lab.rundir}/{name}.mgmt"
        self.upstream = f"{lab.rundir}/{bridge}.mgmt"
        self.hooks = hooks or {}
        self.seen = {OPEN: 0, COMMIT: 0}
        self.problems = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            switch = socket.socket(socket.AF_UNIX)
            switch.connect(self.upstream)
            for args in ((client, switch, self._look),
                         (switch, client, lambda kind, body: None)):
                threading.Thread(target=self._pump, args=args,
                                 daemon=True).start()

    def _pump(self, source, sink, look):
        stream = source.makefile("rb")
        try:
            while header := stream.read(8):
                kind, length = struct.unpack("!xBH4x", header)
                body = stream.read(length - 8)
                look(kind, body)
                sink.sendall(header + body)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _look(self, kind, body):
        if kind == BUNDLE_CONTROL:
            control, = struct.unpack("!4xH", body[:6])
            if control in self.seen:
                self.seen[control] += 1
                if control in self.hooks:
                    try:
                        self.hooks[control](self.seen[control])
                    except Exception as problem:
                        self.problems.append(problem)


def once(function):
    return lambda n: function() if n == 1 else None


class Gate:
    """A hook that waits."""

    def __init__(self):
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, n):
        self.reached.set()
        assert self.open.wait(30)


def generation(lab):
    return [group for group in lab.groups(generation=True)
            if group.startswith(GENERATION)]


def bucket_id(lab):
    group, = generation(lab)
    return re.search(r"bucket_id:(\d+)", group)[1]


def start(lab, *args):
    """Starts lbgen in the background."""
    return lab.popen(lab.netns, lab.lbgen_path(), *args, text=True,
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process, status=0):
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stdout + stderr
    return stdout, stderr


def installed(lab):
    """Everything of lbgen's, and nothing that changes by itself."""
    return lab.flows(), lab.groups(generation=True)


# The lock

def test_second_waits(lab):
    """A second lbgen waits, says so, and then works on what the first one
    left.  Those that change nothing do not wait."""
    web, other = lab.pool_yaml([1, 1, 1]), lab.pool_yaml([3, 2, 2])
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, web)
    assert gate.reached.wait(10)

    second = start(lab, "apply", "-b", f"unix:{relay.path}", other)
    message = second.stderr.readline()
    assert re.fullmatch(
        rf"lbgen: note: waiting for pid {first.pid} \(lbgen apply -b "
        rf"{relay.path} {web}\) to be done with the same bridge "
        r"\(--no-wait\)\n", message), message
    assert relay.seen[OPEN] == 1 and second.poll() is None

    begin = time.monotonic()
    lab.lbgen("status", "-b", relay.path)
    lab.lbgen("diff", "-b", relay.path, web, check=2)
    lab.lbgen("apply", "--dry-run", "-b", relay.path, web, check=2)
    lab.lbgen("export", web)
    assert time.monotonic() - begin < 5
    result = lab.lbgen("apply", "--no-wait", "-b", relay.path, other, check=1)
    assert result.stderr == (
        f'lbgen: bridge "{relay.path}" is being changed by pid {first.pid} '
        f"(lbgen apply -b {relay.path} {web})\n")
    assert second.poll() is None

    gate.open.set()
    assert "+" in finish(first)[0]
    finish(second)
    lab.lbgen("diff", other)
    assert relay.seen[OPEN] == 2


def refreshable(lab, weights):
    """A file with weights that follow what files say."""
    return lab.file({**lab.pool(weights), "weights": {
        "policy": "adaptive", "smoothing": 0, "max_move": 1,
        "from": [{"file": f"{lab.rundir}/{{name}}"}]}})


def say_stress(lab, *values):
    for name, value in zip(lab.servers, values):
        lab.write(json.dumps({"stress": value}), name)


def test_refresh_waits_for_a_change(lab):
    """A round that meets another command has not failed."""
    path = refreshable(lab, [4, 4, 4])
    say_stress(lab, 1, 0, 0)
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, path)
    assert gate.reached.wait(10)
    second = start(lab, "refresh", "-b", relay.path, path)
    time.sleep(0.5)
    assert second.poll() is None
    gate.open.set()
    finish(first)
    # When it began, nothing was installed: there was nobody to ask.
    assert finish(second)[0] == ""

    gate = Gate()
    relay.hooks[OPEN] = lambda n: n == 2 and gate(n)
    first = start(lab, "drain", "-b", relay.path, "web/s2")
    assert gate.reached.wait(10)
    result = lab.lbgen("refresh", "--no-wait", "-b", relay.path, path, check=1)
    assert "is being changed by pid" in result.stderr
    second = start(lab, "refresh", "-b", relay.path, path)
    assert "waiting for pid" in second.stderr.readline()
    gate.open.set()
    finish(first)
    assert "s1" in finish(second)[0]


def test_no_message_for_a_short_wait(lab):
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, lab.pool_yaml([1, 1, 1]))
    assert gate.reached.wait(10)
    second = start(lab, "apply", "-b", relay.path, lab.pool_yaml([2, 1, 1]))
    time.sleep(0.1)
    gate.open.set()
    assert finish(first)[1] == ""
    assert finish(second)[1] == ""


@pytest.mark.parametrize("command", [
    ["delete", "--all"], ["drain", "web/s1"], ["maint", "web/s1"],
    ["ready", "web/s1"], ["weight", "web/s1", "2"]])
def test_all_that_change_lock(module_lab, command):
    lab = module_lab
    path = lab.pool_yaml([1, 1, 1])
    lab.lbgen("apply", path)
    name = f"relay-{command[0]}"
    gate = Gate()
    relay = Relay(lab, name, hooks={OPEN: lambda n: n == 1 and gate(n)})
    holder = start(lab, "apply", "-b", relay.path, lab.pool_yaml([3, 1, 1]))
    assert gate.reached.wait(10)
    result = lab.lbgen(*command, "--no-wait", "-b", relay.path, check=1)
    assert "is being changed by pid" in result.stderr
    gate.open.set()
    finish(holder)
    lab.lbgen(*command, "--no-wait", "-b", relay.path)
    assert not relay.problems


def test_lock_ends_with_its_process(lab):
    path = lab.pool_yaml([1, 1, 1])
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, path)
    assert gate.reached.wait(10)
    first.send_signal(signal.SIGKILL)
    finish(first, -signal.SIGKILL)
    lab.lbgen("apply", "--no-wait", "-b", relay.path, path)
    gate.open.set()
    lab.lbgen("diff", path)


def test_one_lock_whatever_the_name(lab):
    """A name, a file, a vconn and a link mean the same bridge."""
    os.symlink(f"{lab.rundir}/br0.mgmt", f"{lab.rundir}/link")
    path = lab.pool_yaml([1, 1, 1])
    for name in ("br0", f"{lab.rundir}/br0.mgmt", f"{lab.rundir}/link",
                 f"unix:{lab.rundir}/./br0.mgmt"):
        lab.lbgen("apply", "-b", name, path)
    assert sorted(n for n in os.listdir(lab.rundir) if "lbgen." in n) == [
        "lbgen.br0.lock"]
    assert os.stat(f"{lab.rundir}/lbgen.br0.lock").st_size == 0


def test_bridges_have_locks_of_their_own(make_lab):
    lab = make_lab(bridges=("br0", "br1"), host_bridge={"s2": "br1"})
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, lab.pool_yaml({"s1": 1}))
    assert gate.reached.wait(10)
    lab.lbgen("apply", "--no-wait", "-b", "br1", lab.pool_yaml({"s2": 1}))
    gate.open.set()
    finish(first)


@pytest.mark.parametrize("trap", ["link", "dangling", "directory", "fifo"])
def test_traps_in_place_of_the_lock(module_lab, trap):
    """Whatever is put there, nothing else is written to, nothing hangs, and
    the command does its work."""
    lab = module_lab
    victim = lab.write("precious\n", "victim")
    name = f"{lab.rundir}/lbgen.br0.lock"
    if os.path.exists(name):
        os.unlink(name)
    if trap == "directory":
        os.mkdir(name)
    elif trap == "fifo":
        os.mkfifo(name)
    else:
        os.symlink(victim if trap == "link" else f"{victim}-new", name)
    path = lab.pool_yaml([1, 2, len(trap)])
    result = lab.lbgen("apply", path)
    if trap != "fifo":
        assert re.match(r'lbgen: warning: cannot lock bridge "br0" \(.*: .*\); '
                        "other lbgens that change it at the same time are "
                        "noticed, but do not wait\n", result.stderr)
    lab.lbgen("diff", path)
    with open(victim) as file:
        assert file.read() == "precious\n"
    assert not os.path.exists(f"{victim}-new")
    os.rmdir(name) if trap == "directory" else os.unlink(name)


def test_removed_lock_file(lab):
    """Who waits for a file that is removed meanwhile does not end up with a
    lock that nobody else looks at."""
    gate = Gate()
    relay = Relay(lab, hooks={OPEN: lambda n: n == 1 and gate(n)})
    first = start(lab, "apply", "-b", relay.path, lab.pool_yaml([1, 1, 1]))
    assert gate.reached.wait(10)
    os.unlink(f"{lab.rundir}/lbgen.relay.lock")
    second_gate = Gate()
    relay.hooks[OPEN] = lambda n: second_gate(n) if n == 2 else None
    second = start(lab, "apply", "-b", relay.path, lab.pool_yaml([2, 1, 1]))
    assert second_gate.reached.wait(10)
    lab.lbgen("delete", "--all", "--no-wait", "-b", relay.path, check=1)
    gate.open.set()
    finish(first)
    second_gate.open.set()
    finish(second)


# Generations

def test_generation_says_who(lab):
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1]))
    group, = generation(lab)
    note = bytes.fromhex(re.search(r"note:([0-9a-f.]+)", group)[1]
                         .replace(".", ""))
    who = f"lbgen {getpass.getuser()}@{socket.gethostname()}"
    assert note.rstrip(b"\0").decode() == who


def test_generation_is_a_function_of_what_is_installed(lab):
    paths = lab.pool_yaml([1, 1, 1]), lab.pool_yaml([1, 1, 2])
    seen = []
    for path in (*paths, *paths):
        lab.lbgen("delete", "--all", "-b", "br0")
        assert generation(lab) == []
        lab.lbgen("apply", path)
        seen.append(bucket_id(lab))
    assert seen[:2] == seen[2:] and len(set(seen)) == 2
    before = installed(lab)
    lab.lbgen("apply", paths[1])
    assert installed(lab) == before


def test_generation_is_not_shown(lab):
    path = lab.pool_yaml([1, 1, 1])
    preview = lab.lbgen("diff", path, check=2).stdout
    assert "1818361856" not in preview + lab.lbgen("export", path).stdout
    assert re.search(r"\+1 ~0 -0 groups", lab.lbgen("apply", path).stdout) \
        or "1818361856" not in lab.lbgen("status", "-b", "br0").stdout
    assert lab.lbgen("diff", path).stdout == ""
    assert json.loads(lab.lbgen("status", "--json", "-b", "br0")
                      .stdout)["drift"] == 0


# Another lbgen between reading and commit

def overtake(lab, *command, before, by, hook=OPEN):
    """Installs 'before' and runs the command by a relay; 'by' is run when the
    command has read the bridge and is about to change it."""
    if before:
        lab.lbgen("apply", before)
    relay = Relay(lab, hooks={hook: once(by)})
    result = lab.lbgen(*command, "-b", relay.path)
    assert not relay.problems
    return relay, result


@pytest.mark.parametrize("moment", [OPEN, COMMIT])
@pytest.mark.parametrize("before", ["nothing", "a pool"])
def test_apply_overtaken_by_apply(lab, before, moment):
    """The changes computed from the old state would leave some of the other's
    flows behind; they are refused and made anew."""
    mine = lab.file(lab.pool([3, 2, 2]))
    others = lab.file(lab.pool([1, 1]), lab.pool([1, 1, 1], name="more",
                                                 vip="10.0.0.101"))
    relay, result = overtake(
        lab, "apply", mine, hook=moment,
        before=lab.pool_yaml([1, 5, 5]) if before == "a pool" else None,
        by=lambda: lab.lbgen("apply", others))
    assert relay.seen[OPEN] == 2
    # "more" is taken off again, with its chain.
    assert "groups +0 ~1 -2," in result.stdout
    assert lab.lbgen("diff", mine).stdout == ""
    assert not any("10.0.0.101" in flow for flow in lab.flows())


def test_apply_overtaken_by_the_same(lab):
    path = lab.pool_yaml([3, 2, 2])
    relay, result = overtake(lab, "apply", path, before=None,
                             by=lambda: lab.lbgen("apply", path))
    assert relay.seen[OPEN] == 1
    lab.lbgen("diff", path)


def test_apply_overtaken_by_delete(lab):
    path = lab.pool_yaml([3, 2, 2])
    relay, _ = overtake(lab, "apply", path, before=lab.pool_yaml([1, 1, 1]),
                        by=lambda: lab.lbgen("delete", "--all", "-b", "br0"))
    assert relay.seen[OPEN] == 2
    lab.lbgen("diff", path)


def test_apply_overtaken_by_other_tables(lab):
    """The generation is the same wherever the tables are."""
    path = lab.pool_yaml([3, 2, 2])
    moved = lab.pool_yaml([3, 2, 2], settings={"table_base": 100})
    relay, _ = overtake(lab, "apply", path, before=lab.pool_yaml([1, 1, 1]),
                        by=lambda: lab.lbgen("apply", moved))
    assert relay.seen[OPEN] == 2
    lab.lbgen("diff", path)
    assert not any("table=10" in flow for flow in lab.flows())


def test_delete_overtaken_by_apply(lab):
    one, two = lab.pool([1, 1, 1]), lab.pool([1, 1], name="two",
                                             vip="10.0.0.101")
    three = lab.pool([1], name="three", vip="10.0.0.102")
    after = lab.file(one, two, three)
    relay, _ = overtake(lab, "delete", "--pool", "web",
                        before=lab.file(one, two),
                        by=lambda: lab.lbgen("apply", after))
    assert relay.seen[OPEN] == 2
    lab.lbgen("diff", lab.file(two, three))


def test_overrides_at_the_same_time(lab):
    """None is lost."""
    path = lab.pool_yaml([1, 1, 1])
    relay, _ = overtake(
        lab, "drain", "web/s1", before=path,
        by=lambda: lab.lbgen("weight", "web/s2", "7", "-b", "br0"))
    assert relay.seen[OPEN] == 2
    servers = json.loads(lab.lbgen("status", "--json", "-b", "br0")
                         .stdout)["pools"][0]["servers"]
    assert servers[0]["slots"] == 0
    assert servers[1]["slots"] > 3 * servers[2]["slots"] > 0
    lab.lbgen("diff", path)


def test_refresh_overtaken_by_override(lab):
    """The answers do for what is there now."""
    path = refreshable(lab, [4, 4, 4])
    say_stress(lab, 1, 0, 0)
    relay, _ = overtake(
        lab, "refresh", path, before=path,
        by=lambda: lab.lbgen("drain", "web/s2", "-b", "br0"))
    assert relay.seen[OPEN] == 2
    servers = json.loads(lab.lbgen("status", "--json", "-b", "br0")
                         .stdout)["pools"][0]["servers"]
    assert servers[1]["slots"] == 0
    assert 0 < servers[0]["slots"] < servers[2]["slots"]


def test_refresh_overtaken_by_refresh(lab):
    """Two rounds at a time are one: the older answers have nothing to add."""
    path = refreshable(lab, [4, 4, 4])
    say_stress(lab, 1, 0, 0)
    seen = []

    def others_round():
        lab.lbgen("refresh", path)
        seen.extend(installed(lab))
    relay, result = overtake(lab, "refresh", path, before=path,
                             by=others_round)
    assert (result.stdout, result.stderr) == ("", "")
    assert relay.seen[OPEN] == 1
    assert list(installed(lab)) == seen


def test_always_overtaken(lab):
    """It gives up, says who is in the way, and has changed nothing."""
    paths = [lab.pool_yaml([n, 1, 1]) for n in range(2, 20)]
    relay = Relay(lab, hooks={OPEN: lambda n: lab.lbgen("apply", paths[n])})
    result = lab.lbgen("apply", "-b", relay.path, lab.pool_yaml([1, 1, 1]),
                       check=1)
    assert re.search(
        rf'bridge "{relay.path}" was changed 6 times by others while this was '
        rf"about to, the last time by {getpass.getuser()}@"
        + re.escape(socket.gethostname()), result.stderr)
    assert relay.seen[OPEN] == 6 and not relay.problems
    lab.lbgen("diff", paths[6])


def test_overtaken_after_the_commit(lab):
    """Not an error: we were done, then it was another one's turn."""
    mine, others = lab.pool_yaml([3, 2, 2]), lab.pool_yaml([1, 1, 9])
    gate = Gate()
    relay = Relay(lab)

    class Late:
        """Delays what the switch says after the commit."""
    seen = []

    def commit(n):
        seen.append(n)
        threading.Thread(target=gate, args=(n,), daemon=True).start()
    relay.hooks[COMMIT] = commit
    pump = relay._look
    groups = []

    def look(kind, body):
        # Multipart requests after the commit are the reading back.
        if kind == 18 and seen and not groups:
            groups.append(kind)
            lab.lbgen("apply", others)
        pump(kind, body)
    relay._look = look
    result = lab.lbgen("apply", "-b", relay.path, mine)
    gate.open.set()
    assert re.search(r"took the changes, and was then changed again by \S+@",
                     result.stderr)
    lab.lbgen("diff", others)


# Others than lbgen

def test_change_by_hand_is_mended(lab):
    """What ovs-ofctl does between reading and commit shows when the bridge is
    read back, and is mended in a second step."""
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1]))
    path = lab.pool_yaml([3, 2, 2])
    before = set(lab.flows())

    def by_hand():
        lab.ofctl("del-flows", "br0", "arp")
        lab.ofctl("add-flow", "br0",
                  "cookie=0x6c62670500000000,table=200,tcp,actions=drop")
    relay = Relay(lab, hooks={COMMIT: once(by_hand)})
    result = lab.lbgen("apply", "-b", relay.path, path)
    assert re.search(r"warning: something else changed \d flows or groups of "
                     r"lbgen's on bridge .* at the same time; they are mended",
                     result.stderr)
    assert relay.seen[COMMIT] == 2 and not relay.problems
    assert lab.lbgen("diff", path).stdout == ""
    assert len(before) == len(lab.flows())


def test_change_by_hand_again_and_again(lab):
    path = lab.pool_yaml([3, 2, 2])
    relay = Relay(lab)
    pump = relay._look

    def look(kind, body):
        if kind == 18 and relay.seen[COMMIT]:
            lab.ofctl("del-flows", "br0", "arp")
        pump(kind, body)
    relay._look = look
    result = lab.lbgen("apply", "-b", relay.path, path, check=1)
    assert "took the changes but is not as it should be: 1 flows or groups " \
        "differ" in result.stderr
    assert relay.seen[COMMIT] == 2


@pytest.mark.parametrize("command, n_opens", [
    (["del-groups", "br0"], 2),
    (["--strict", "del-flows", "br0"], 1)])
def test_all_is_gone_between_reading_and_commit(lab, command, n_opens):
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1]))
    path = lab.pool_yaml([3, 2, 2])
    relay = Relay(lab, hooks={OPEN: once(lambda: lab.ofctl(*command))})
    lab.lbgen("apply", "-b", relay.path, path)
    lab.lbgen("diff", path)
    assert relay.seen[OPEN] >= n_opens and not relay.problems


def test_group_of_others_in_the_place_of_the_generation(lab):
    lab.ofctl("add-group", "br0", f"{GENERATION}type=all,bucket=output:1")
    result = lab.lbgen("apply", lab.pool_yaml([1, 1, 1]), check=1)
    assert 'has a group 1818361856 that is not lbgen\'s' in result.stderr
    assert lab.flows() == ["priority=0 actions=NORMAL"]


@pytest.mark.parametrize("edit", [
    f"del-groups br0 {GENERATION[:-1]}",
    f"mod-group br0 {GENERATION}type=select,selection_method=hash,"
    "selection_method_param=0x6c626762"])
def test_damaged_generation(lab, edit):
    """Nothing is wrong then; the next change makes another one."""
    path, other = lab.pool_yaml([1, 1, 1]), lab.pool_yaml([3, 2, 2])
    lab.lbgen("apply", path)
    before = bucket_id(lab)
    lab.ofctl(*edit.split(" "))
    lab.lbgen("diff", path)
    lab.lbgen("apply", other)
    lab.lbgen("apply", path)
    assert bucket_id(lab) == before
    lab.lbgen("delete", "--all", "-b", "br0")
    assert lab.groups(generation=True) == []


# Everything at once

def test_crowd(lab):
    """Eight lbgens at a time, half of them past the lock: every one does what
    it was told or says that it was overtaken too often, and whoever looks on
    sees one file or another, whole."""
    def file(n):
        pools = [lab.pool([n % 7 + 1, n % 3 + 1, 1])]
        if n % 2:
            pools.append(lab.pool([1, n], name="two", vip="10.0.0.101"))
        return lab.file(*pools)
    files = [file(n) for n in range(6)]
    lab.lbgen("apply", files[0])
    relays = [Relay(lab, f"relay{n}") for n in range(4)]
    running, looks, gave_up = [], 0, 0
    for n in range(48):
        bridge = relays[n % 8].path if n % 8 < 4 else "br0"
        running.append(start(lab, "apply", "-b", bridge, files[n % 6]))
        if len(running) == 8:
            status = json.loads(lab.lbgen("status", "--json", "-b", "br0")
                                .stdout)
            assert status["drift"] == 0
            looks += 1
            process = running.pop(0)
            stdout, stderr = process.communicate(timeout=60)
            gave_up += process.returncode
            assert not process.returncode or "was changed 6 times" in stderr
    for process in running:
        process.communicate(timeout=60)
    opens = sum(relay.seen[OPEN] for relay in relays)
    print(f"48 applies, {looks} looks, {gave_up} gave up, {opens} bundles "
          "of the 24 that did not wait")
    assert any(lab.lbgen("diff", path, check=None).returncode == 0
               for path in files)
    assert not os.path.exists(f"{lab.rundir}/lbgen.br1.lock")
    wait_for(lambda: len(generation(lab)) == 1, "one generation")
