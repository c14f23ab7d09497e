# SPDX-License-Identifier: Apache-2.0
"""Counts what passes between lbgen and a switch: a socket of its own in
front of the bridge's, of which each OpenFlow message is looked at."""

import contextlib
import os
import socket
import struct
import threading
from collections import Counter

NAMES = {0: "hello", 1: "error", 2: "echo", 3: "echo", 4: "experimenter",
         14: "flow mod", 15: "group mod", 18: "multipart", 19: "multipart",
         20: "barrier", 21: "barrier", 33: "bundle control", 34: "bundle add"}


class _Direction(threading.Thread):
    """Passes on what comes in at one socket, and counts it."""

    def __init__(self, source, target):
        super().__init__(daemon=True)
        self.source, self.target = source, target
        self.messages, self.bytes = Counter(), 0
        self.rest = b""

    def run(self):
        with contextlib.suppress(OSError):
            while data := self.source.recv(1 << 18):
                self.target.sendall(data)
                self.bytes += len(data)
                self._count(data)
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)

    def _count(self, data):
        data = self.rest + data
        at = 0
        while len(data) - at >= 8:
            _version, kind, size = struct.unpack_from("!BBH", data, at)
            if size < 8 or len(data) - at < size:
                break
            self.messages[NAMES.get(kind, str(kind))] += 1
            at += size
        self.rest = data[at:]


class Relay:
    """Use its 'bridge' for lbgen's --bridge while it is open; then see 'sent'
    and 'received', Counters of messages, and the numbers of bytes."""

    def __init__(self, lab, bridge="br0"):
        self.switch = f"{lab.rundir}/{bridge}.mgmt"
        self.path = f"{lab.rundir}/relay.mgmt"
        self.bridge = f"unix:{self.path}"

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.directions = []
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                switch = socket.socket(socket.AF_UNIX)
                switch.connect(self.switch)
                self.sockets += [client, switch]
                pair = (_Direction(client, switch), _Direction(switch, client))
                self.directions.append(pair)
                for direction in pair:
                    direction.start()

    def __exit__(self, *exc):
        for pair in self.directions:
            for direction in pair:
                direction.join(10)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.sockets:
            each.close()
        os.unlink(self.path)
        self.sent = sum((p[0].messages for p in self.directions), Counter())
        self.received = sum((p[1].messages for p in self.directions),
                            Counter())
        self.sent_bytes = sum(p[0].bytes for p in self.directions)
        self.received_bytes = sum(p[1].bytes for p in self.directions)
