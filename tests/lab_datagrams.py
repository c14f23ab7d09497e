# SPDX-License-Identifier: Apache-2.0
"""Datagrams of any size, and packets of any protocol, between the hosts of a
lab.

Sockets are in the hosts' namespaces and all belong to the test itself, so that
it sees what a server got and from whom, beside what the client was told."""

import contextlib
import selectors
import socket
import struct
import threading
import time

from lab_capture import socket_in

# Kernels may know nothing of it.
IPPROTO_SCTP = 132
IPPROTO_GRE = 47
IPPROTO_ESP = 50


def udp_socket(host, address="", port=0, ipv6=False):
    sock = socket_in(host.netns_path,
                     socket.AF_INET6 if ipv6 else socket.AF_INET,
                     socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


def raw_socket(host, protocol):
    """Sends packets of a protocol, and receives all of it that the host
    gets, each with its IP header."""
    sock = socket_in(host.netns_path, socket.AF_INET, socket.SOCK_RAW,
                     protocol)
    sock.bind((host.ip, 0))
    return sock


class Echo:
    """Servers that send each datagram back, with their name and port in
    front."""

    def __init__(self, lab, ports, servers=None, ipv6=False):
        self.seen = {}          # Name -> list of (address, port, data).
        self.stopping = False
        self.selector = selectors.DefaultSelector()
        for name in servers or lab.servers:
            self.seen[name] = []
            for port in ports:
                sock = udp_socket(lab.hosts[name], port=port, ipv6=ipv6)
                self.selector.register(sock, selectors.EVENT_READ,
                                       (name, port))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            for key, _ in self.selector.select(0.05):
                name, port = key.data
                data, peer = key.fileobj.recvfrom(70000)
                self.seen[name].append((*peer[:2], port, data))
                with contextlib.suppress(OSError):
                    key.fileobj.sendto(f"{name} {port} ".encode() + data,
                                       peer)

    def close(self):
        self.stopping = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def ask(sock, vip, port, data=b"hello", timeout=2.0):
    """Sends 'data' and returns the name and the port of who has sent it back
    whole, and as the VIP; or None."""
    sock.settimeout(timeout)
    sock.sendto(data, (vip, port))
    try:
        answer, peer = sock.recvfrom(70000)
    except TimeoutError:
        return None
    assert peer[:2] == (vip, port)
    name, server_port, rest = answer.split(b" ", 2)
    assert rest == data
    return name.decode(), int(server_port)


def crc32c(data):
    """The checksum of SCTP (RFC 9260, appendix A)."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def sctp(src_port, dst_port, tag=1, chunk=b"\x01\0\0\x14" + bytes(16)):
    """An SCTP packet with one chunk, by default INIT."""
    head = struct.pack("!HHI", src_port, dst_port, tag)
    crc = crc32c(head + bytes(4) + chunk)
    return head + struct.pack("<I", crc) + chunk


def parse_sctp(packet):
    """Source port, destination port and whether the checksum is right, of an
    IP packet."""
    body = packet[(packet[0] & 15) * 4:]
    src, dst, _ = struct.unpack("!HHI", body[:8])
    return src, dst, (struct.unpack("<I", body[8:12])[0]
                      == crc32c(body[:8] + bytes(4) + body[12:]))


def drain(sock, wait=0.3):
    """All packets that a raw socket gets within a while, in which nothing is
    to come any more: (source address, packet)."""
    packets = []
    deadline = time.monotonic() + wait
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            packet, peer = sock.recvfrom(70000)
        except TimeoutError:
            break
        packets.append((peer[0], packet))
    return packets
