# SPDX-License-Identifier: Apache-2.0
"""A client that lost its connection without a word, and comes back with the
same port, as one does that was restarted or that has used up its ports.

Its SYN fits into no window, and neither do the answer of the server, which
believes that the old connection is there, and the reset that clears it away.
To connection tracking all three are invalid.  They belong to a connection of
the VIP's all the same, and a switch that balances is no firewall."""

import sys

import pytest

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

CLIENT = """
import socket, sys, time
vip, port, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
TCP_REPAIR = 19

def connect():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", port))
    sock.settimeout(timeout)
    sock.connect((vip, 80))
    return sock

first = connect()
first.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
first.close()
begin = time.monotonic()
connect()
print(time.monotonic() - begin)
"""


@pytest.fixture(scope="module")
def shared(module_lab):
    for server in module_lab.servers:
        module_lab.serve(server, 8080)
    return module_lab


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
def test_same_port_again(shared, connections):
    lab = shared
    lab.lbgen("apply", lab.pool_yaml([1, 1, 1], server_port=8080,
                                     connections=connections))
    for port in (7001, 7002, 7003):
        seconds = float(lab.run("c1", sys.executable, "-c", CLIENT,
                                "10.0.0.100", port, 10).stdout)
        # The client sends its SYN again after one second.
        assert seconds < 6


def test_servers_are_reached_directly_as_well(shared):
    """What is no connection to a VIP is still none."""
    shared.lbgen("apply", shared.pool_yaml([1, 1, 1], server_port=8080))
    assert not shared.connect("c1", "10.0.0.100", 80, 20).failures
    assert not shared.connect("c1", shared.hosts["s1"].ip, 8080, 20).failures
