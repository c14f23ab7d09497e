# SPDX-License-Identifier: Apache-2.0
"""Frames as they are, sent and received by the hosts of a lab."""

import ipaddress
import socket
import struct
import time

from lab_capture import (ETH_P_ALL, PACKET_OUTGOING, SOL_PACKET,
                         socket_in)

PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip6(text):
    return ipaddress.IPv6Address(text).packed


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(dst, src, ethertype, payload, vlan=None):
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return mac(dst) + mac(src) + tag + struct.pack("!H", ethertype) + payload


def icmp6(src, dst, kind, body, code=0, hop_limit=255):
    """An IPv6 packet (RFC 8200) with an ICMPv6 message (RFC 4443): 'body' is
    what follows the checksum."""
    length = 4 + len(body)
    pseudo = ip6(src) + ip6(dst) + struct.pack("!II", length, 58)
    total = checksum(pseudo + struct.pack("!BBH", kind, code, 0) + body)
    return (struct.pack("!IHBB", 6 << 28, length, 58, hop_limit) + ip6(src)
            + ip6(dst) + struct.pack("!BBH", kind, code, total) + body)


class Wire:
    """Sockets that send and receive frames in all hosts of a lab."""

    def __init__(self, lab):
        self.lab = lab
        self.sockets = {}
        for host in lab.hosts.values():
            sock = socket_in(host.netns_path, socket.AF_PACKET,
                             socket.SOCK_RAW, 0)
            sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            sock.bind(("eth0", ETH_P_ALL))
            sock.setblocking(False)
            self.sockets[host.name] = sock

    def close(self):
        for sock in self.sockets.values():
            sock.close()

    @staticmethod
    def receive(sock):
        """Returns all frames that have come in since the last call."""
        frames = []
        while True:
            try:
                data, control, _, address = sock.recvmsg(2048, 256)
            except BlockingIOError:
                return frames
            # The kernel has put the tag aside.
            (_, _, aux), = control
            status, tci, tpid = struct.unpack("=I12xHH", aux)
            if status & TP_STATUS_VLAN_VALID:
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
            if address[2] != PACKET_OUTGOING:
                frames.append(data)

    def send(self, host, frame):
        """Sends a frame from 'host'.  Returns, for each host that got any,
        the list of frames that it got."""
        for sock in self.sockets.values():
            self.receive(sock)
        self.sockets[host].send(frame)
        # Hundreds of times as long as an answer takes.
        time.sleep(0.3)
        return {name: frames for name, sock in self.sockets.items()
                if (frames := self.receive(sock))}
