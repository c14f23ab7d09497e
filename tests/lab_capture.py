# SPDX-License-Identifier: Apache-2.0
"""What passes an interface, without a race.

A tcpdump process in the background may lose what has not reached it when it is
stopped.  So this opens the packet socket itself: the kernel queues a packet
there before anyone sees its answer.  tcpdump compiles the filter and prints
the result.
"""

import ctypes
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_OUTGOING = 4
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10

libc = ctypes.CDLL(None, use_errno=True)


def set_netns(fd):
    if libc.setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


def socket_in(netns, *args):
    """A socket stays in the namespace that it was made in."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    away = os.open(netns, os.O_RDONLY)
    try:
        set_netns(away)
        try:
            return socket.socket(*args)
        finally:
            set_netns(home)
    finally:
        os.close(home)
        os.close(away)


def compile_filter(text):
    """Returns the filter as an array of struct sock_filter."""
    lines = subprocess.run(["tcpdump", "-ddd", "-y", "EN10MB", text],
                           text=True, check=True,
                           capture_output=True).stdout.split("\n")
    return b"".join(struct.pack("=HBBI", *map(int, line.split()))
                    for line in lines[1:] if line)


def tcpdump_command():
    """tcpdump gives up root's rights even to read a file, and fails where it
    may not, as in most user namespaces.  There it runs as somebody else."""
    with open("/proc/self/setgroups") as file:
        denied = file.read() == "deny\n"
    return ["unshare", "--user", "--map-user=1"] * denied + [
        "tcpdump"] + ["-Z", "root"] * (not denied)


def with_tag(data, control):
    """Puts the VLAN tag back, which the kernel has set aside."""
    for level, kind, aux in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, tci, tpid = struct.unpack("=I12xHH", aux)
            if status & TP_STATUS_VLAN_VALID:
                return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def send(netns, interface, frame):
    """Sends a raw Ethernet frame."""
    with socket_in(netns, socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((interface, 0))
        sock.send(frame)


class Capture:
    """All packets on 'interface' that 'text', a tcpdump filter, lets through,
    from now until stop().  As a context manager it stops at the end."""

    def __init__(self, netns, interface, text=""):
        self.packets = []       # (outgoing, bytes), in order.
        self.socket = socket_in(netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        if text:
            code = compile_filter(text)
            buffer = ctypes.create_string_buffer(code)
            self.socket.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER,
                struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
        self.socket.bind((interface, ETH_P_ALL))
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        """Reads until the queue is empty after stop() has been called."""
        self.socket.settimeout(0.02)
        while True:
            last = self.stopping.is_set()
            try:
                while True:
                    data, control, _, address = self.socket.recvmsg(65536, 256)
                    data = with_tag(data, control)
                    self.packets.append((address[2] == PACKET_OUTGOING, data))
            except TimeoutError:
                if last:
                    return

    def stop(self):
        """Returns 'self' with everything that came before this call."""
        if not self.stopping.is_set():
            self.stopping.set()
            self.thread.join()
            _seen, lost = struct.unpack("II", self.socket.getsockopt(
                SOL_PACKET, PACKET_STATISTICS, 8))
            self.socket.close()
            if lost:
                raise RuntimeError(f"{lost} packets missed")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def lines(self, *options, outgoing=None):
        """One line of tcpdump for each packet, Ethernet header included.
        'outgoing' picks one direction, as seen from the interface's owner.
        Among 'options' may be "-v"."""
        with tempfile.TemporaryFile() as file:
            file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536,
                                   1))
            for direction, data in self.packets:
                if outgoing is None or direction == outgoing:
                    file.write(struct.pack("=IIII", 0, 0, len(data),
                                           len(data)) + data)
            file.seek(0)
            text = subprocess.run(
                [*tcpdump_command(), "-nn", "-e", "-t", *options, "-r", "-"],
                stdin=file, text=True, check=True, capture_output=True).stdout
        # With -v one packet takes several lines, indented.
        return re.sub(r"\n(    |\t *)", " ", text).split("\n")[:-1]
