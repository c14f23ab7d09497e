# SPDX-License-Identifier: Apache-2.0
"""What a switch has and what it is sent, in a form that tests can compare."""

import os
import re
from collections import Counter

from lab import GENERATION, HERE, wait_for


def cookie_kinds():
    """What flows of lbgen are for, as lib/layout.h numbers them."""
    top = os.environ.get("SRCDIR", os.path.dirname(HERE))
    with open(os.path.join(top, "lib", "layout.h")) as file:
        text = re.search(r"enum cookie_kind \{(.*?)\};", file.read(), re.S)[1]
    kinds, value = {}, 0
    for name, number in re.findall(r"^ +COOKIE_(\w+)(?: = (\w+))?", text,
                                   re.M):
        value = int(number, 0) if number else value + 1
        kinds[name] = value
    return kinds


KINDS = cookie_kinds()

# Of a bridge that lbgen has not been at, as snapshot() has it.
NORMAL = "flow cookie=0,table=0,priority=0 actions=NORMAL"


def cookie_kind(line):
    """What a flow of lbgen's is for: the fourth byte of its cookie."""
    match = re.search(r"cookie=0x6c6267(\w\w)", line)
    return int(match[1], 16) if match else None


def snapshot(lab, bridge="br0"):
    """All flows and groups of the bridge, but for the generation, as a set of
    lines, in the words of lbgen's own reports: "flow cookie=...", "group
    group_id=..."."""
    lines = set()
    dump = lab.ofctl("--no-stats", "--names", "dump-flows", bridge)
    for line in dump.split("\n"):
        if "actions=" in line:
            line = line.strip().replace(", ", ",")
            if "cookie=" not in line:
                line = f"cookie=0,{line}"
            if not re.match(r"cookie=\w+,table=", line):
                line = re.sub(r"^(cookie=\w+),", r"\1,table=0,", line)
            lines.add(f"flow {line}")
    dump = lab.ofctl("--names", "dump-groups", bridge)
    for line in dump.split("\n"):
        if "group_id=" in line and GENERATION not in line:
            lines.add(f"group {line.strip()}")
    return lines


def plain(text):
    """A flow or group of lbgen's reports as snapshot() has it."""
    return text.replace("weight:1,", "")


class Messages:
    """What the switch receives, by names of messages, while this is open:

        with Messages(lab) as messages:
            ...
        assert not messages["OFPT_BUNDLE_ADD_MESSAGE"]
    """

    def __init__(self, lab):
        self.lab = lab
        self.log = f"{lab.rundir}/ovs-vswitchd.log"

    def __enter__(self):
        self.lab.appctl("vlog/disable-rate-limit", "vconn")
        self.lab.appctl("vlog/set", "vconn:file:dbg")
        with open(self.log) as log:
            log.seek(0, 2)
            self.start = log.tell()
        self.counts = None
        return self

    def _read(self):
        with open(self.log, errors="replace") as log:
            log.seek(self.start)
            return log.read()

    def __exit__(self, *exc):
        # The log is written by a thread of its own.  This is the last entry.
        self.lab.ofctl("dump-aggregate", "br0")
        wait_for(lambda: "received: OFPST_AGGREGATE" in self._read(), "log")
        self.lab.appctl("vlog/set", "vconn:file:info")
        self.counts = Counter(re.findall(r"received: (OFP\w+)", self._read()))

    def __getitem__(self, name):
        return self.counts[name]


CHANGING = ("OFPT_FLOW_MOD", "OFPT_GROUP_MOD", "OFPT_BUNDLE_CONTROL",
            "OFPT_BUNDLE_ADD_MESSAGE", "OFPT_TABLE_MOD", "OFPT_PORT_MOD",
            "OFPT_METER_MOD", "OFPT_SET_CONFIG", "OFPT_PACKET_OUT")


def changing(messages):
    """Those that may change the switch."""
    return {name: messages[name] for name in CHANGING if messages[name]}
