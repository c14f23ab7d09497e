# SPDX-License-Identifier: Apache-2.0
"""What the datapath has cached of a time before: up to Open vSwitch 3.1 it may
modify another flow than the one meant, if two of them have a packet in common,
and the one meant stays as it is (see lib/compile-emit.c)."""

import pytest

from lab_capture import send
from lab_datagrams import Echo, ask, udp_socket
from lab_frames import ethernet, icmp6
from lab_slots import wait_revalidated

pytestmark = pytest.mark.switch

VIP = "10.0.0.100"
SERVER = "10.0.0.1"
PORT = 8080
# Which of two flows is looked at first when flows change is up to chance, so
# there are several.
N_NARROW = 10

POOLS = {
    "tracked": {},
    "unguarded": {"connections": "stateless", "guard": False},
    "guarded": {"connections": "stateless", "guard": True},
}


@pytest.fixture
def lab(make_lab):
    lab = make_lab(servers=1, clients=1)
    lab.sources = lab.client_addresses("c1", N_NARROW + 1)
    lab.sockets = [udp_socket(lab.hosts["c1"], source, 5000)
                   for source in lab.sources]
    lab.ofctl("del-flows", "br0")
    lab.ofctl("add-flow", "br0", "priority=0,actions=NORMAL")
    prefer_wide(lab)
    with Echo(lab, [PORT]):
        yield lab
    for sock in lab.sockets:
        sock.close()


def pool_file(lab, name):
    return lab.pool_yaml(settings={"fallback": "normal"}, protocol="udp",
                         port=80, server_port=PORT, **POOLS[name])


def prefer_wide(lab):
    """The datapath tries flows by the fields that they match, and those fields
    first that it has had first.  These are the few that the wide flow is going
    to match, for a packet that the narrow ones' makers do not look into."""
    s1, c1 = lab.hosts["s1"], lab.hosts["c1"]
    send(s1.netns_path, "eth0",
         ethernet(c1.mac, s1.mac, 0x86dd,
                  icmp6("fe80::1", "fe80::2", 128, bytes(4))))


def ask_server(lab, sockets):
    for sock in sockets:
        assert ask(sock, SERVER, PORT) == ("s1", PORT)


def replies(lab):
    """Datapath flows of what the server sends."""
    return [line for line in lab.dp_flows()
            if "eth(src=02:00:00:00:00:01," in line and "0x0800" in line]


def count_narrow(lab):
    flows = replies(lab)
    return sum(f"dst={source}," in line
               for source in lab.sources for line in flows)


def widen(lab):
    """The clients' datapath flows, which other flows than are there now have
    made, live on beside one for all clients."""
    wait_revalidated(lab)
    ask_server(lab, lab.sockets[:N_NARROW])
    assert not [line for line in replies(lab) if "ipv4(frag=no)" in line]
    ask_server(lab, lab.sockets[N_NARROW:])
    assert len([line for line in replies(lab) if "ipv4(frag=no)" in line]) == 1
    assert count_narrow(lab) >= N_NARROW


def assert_balanced(lab):
    wait_revalidated(lab)
    # From here on a guard knows them.
    for source in lab.sources:
        with udp_socket(lab.hosts["c1"], source) as sock:
            sock.sendto(b"first", (VIP, 80))
    wait_revalidated(lab)
    for sock in lab.sockets:
        assert ask(sock, VIP, 80) == ("s1", PORT)


@pytest.mark.parametrize("name", POOLS)
def test_of_others(lab, name):
    """Flows of others made the narrow ones."""
    flow = f"udp,nw_src={SERVER},tp_src={PORT}"
    for source in lab.sources[:N_NARROW]:
        lab.ofctl("add-flow", "br0",
                  f"priority=10,{flow},nw_dst={source},actions=NORMAL")
    ask_server(lab, lab.sockets[:N_NARROW])
    lab.ofctl("del-flows", "br0", flow)
    widen(lab)
    lab.lbgen("apply", pool_file(lab, name))
    assert_balanced(lab)


@pytest.mark.parametrize("name", POOLS)
def test_of_a_guarded_pool(lab, name):
    """A pool that was here did: what its server sends to others than clients
    goes on unchanged, then as now."""
    lab.lbgen("apply", pool_file(lab, "guarded"))
    ask_server(lab, lab.sockets[:N_NARROW])
    lab.lbgen("delete", "--all", "-b", "br0")
    widen(lab)
    lab.lbgen("apply", pool_file(lab, name))
    assert_balanced(lab)


def test_of_a_guard_without_clients(lab):
    """All datapath flows of what a guarded server sends are equally wide, so
    that no two have a packet in common."""
    lab.lbgen("apply", pool_file(lab, "guarded"))
    wait_revalidated(lab)
    ask_server(lab, lab.sockets)
    assert count_narrow(lab) == len(lab.sources)
    assert_balanced(lab)
