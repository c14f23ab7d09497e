# SPDX-License-Identifier: Apache-2.0
"""round-robin at any rate: what of it is exact, and what is left beyond what
the switch can do.

SYNs are sent as frames, each from a source port and address of its own, and
seen where they come out, at the servers' interfaces.  Nobody answers, so that
they are all that the switch has to do.  Those that the switch is too slow for
are lost before it has seen them, as the network of any host loses packets.

The last test measures more with LBGEN_TURN_RATES, such as "1000,2000,4000,0":
a row for each number of SYNs a second, 0 for as fast as they can be sent."""

import itertools
import mmap
import os
import socket
import struct
import time
from collections import Counter

import pytest

import turn_model
from lab_capture import ETH_P_ALL, SOL_PACKET, socket_in
from lab_frames import checksum, ethernet
from lab_slots import settle

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"

# Of packet(7).
PACKET_RX_RING = 5
PACKET_VERSION = 10
TPACKET_V2 = 1
BLOCK = 1 << 20
FRAME = 256
N_FRAMES = 32768


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(servers=3, clients=1)
    for server in lab.servers:
        lab.run(server, "ip", "address", "flush", "dev", "eth0")
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "--all", "-b", "br0")


def syn(lab, number):
    """The frame of connection 'number', and of no other."""
    client = lab.hosts["c1"]
    src = socket.inet_aton(f"10.1.{number >> 14}.1")
    dst = socket.inet_aton(VIP)
    tcp = struct.pack("!HHIIBBHHH", 10000 + (number & 0x3fff), 80, number, 0,
                      0x50, 2, 65535, 0, 0)
    total = checksum(src + dst + struct.pack("!HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", total) + tcp[18:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0,
                       src, dst)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ethernet("02:00:00:00:00:99", client.mac, 0x800, head + tcp)


class Listener:
    """The SYNs that come to a server.  The kernel writes them into a ring of
    memory (packet(7), packet_mmap), so that nobody needs to run for them
    meanwhile."""

    def __init__(self, host):
        self.sock = socket_in(host.netns_path, socket.AF_PACKET,
                              socket.SOCK_RAW, 0)
        self.sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self.sock.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack(
            "IIII", BLOCK, N_FRAMES * FRAME // BLOCK, FRAME, N_FRAMES))
        self.ring = mmap.mmap(self.sock.fileno(), N_FRAMES * FRAME)
        self.sock.bind(("eth0", ETH_P_ALL))

    def numbers(self):
        """Of all connections whose SYN has come."""
        numbers = []
        for offset in range(0, N_FRAMES * FRAME, FRAME):
            status, _, _, begin = struct.unpack_from("IIIH", self.ring, offset)
            if not status & 1:
                break
            frame = self.ring[offset + begin:offset + begin + 54]
            if frame[12:14] == b"\x08\0" and frame[23] == 6:
                numbers.append(struct.unpack("!I", frame[38:42])[0])
        return numbers

    def close(self):
        self.ring.close()
        self.sock.close()


def send(lab, n, rate):
    """Sends 'n' SYNs, 'rate' a second, or as fast as can be.  Returns how many
    a second it were."""
    frames = [syn(lab, i) for i in range(n)]
    sock = socket_in(lab.hosts["c1"].netns_path, socket.AF_PACKET,
                     socket.SOCK_RAW, 0)
    with sock:
        sock.bind(("eth0", 0))
        begin = time.monotonic()
        for i, frame in enumerate(frames):
            while rate and time.monotonic() - begin < i / rate:
                time.sleep(.0005)
            while True:
                try:
                    sock.send(frame)
                    break
                except OSError:     # The queue of the interface is full.
                    time.sleep(.0001)
        return n / (time.monotonic() - begin)


def connect(lab, weights, n, rate):
    """Sends SYNs to a pool.  Returns how many a second, and who got them, a
    list of (number, server) in the order that they were sent."""
    lab.lbgen("apply", lab.pool_yaml(weights, policy="round-robin"))
    settle(lab)
    listeners = {name: Listener(lab.hosts[name]) for name in lab.servers}
    try:
        sent = send(lab, n, rate)
        got = None
        while True:
            before, got = got, sorted(
                (number, name) for name, listener in listeners.items()
                for number in listener.numbers())
            if got == before:
                return sent, got
            time.sleep(.3)
    finally:
        for listener in listeners.values():
            listener.close()


def turns(weights):
    order = turn_model.order(turn_model.quotas(weights))
    return [f"s{i + 1}" for i in order]


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 2, 2]])
def test_exact_well_below(lab, weights):
    """None is lost and each takes its turn."""
    _, got = connect(lab, weights, 600, 300)
    assert got == list(zip(range(600), itertools.cycle(turns(weights))))


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 2, 2]])
def test_shares_beyond(lab, weights):
    """Far more than the switch can do.  Those that it saw are shared out to a
    turn."""
    _, got = connect(lab, weights, 8000, 0)
    count = Counter(name for _, name in got)
    assert len(got) > 500
    for i, weight in enumerate(weights):
        share = len(got) * weight / sum(weights)
        assert abs(count[f"s{i + 1}"] - share) <= max(weights)


@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 2, 2]])
def test_measure(lab, weights):
    print(f"\nweights {weights}: SYNs sent/s, lost %, out of turn, shares %")
    for rate in map(int, os.environ.get("LBGEN_TURN_RATES",
                                        "500").split(",")):
        n = max(3000, min(rate * 3 or 30000, 30000))
        sent, got = connect(lab, weights, n, rate)
        lab.lbgen("delete", "--all", "-b", "br0")
        wrong = sum(name != turn for (_, name), turn
                    in zip(got, itertools.cycle(turns(weights))))
        assert got and not wrong
        count = Counter(name for _, name in got)
        print(f"{sent:9.0f} {100 - 100 * len(got) / n:7.2f} {wrong:6}  ",
              *(f"{100 * count[s] / len(got):.3f}" for s in lab.servers))
