# SPDX-License-Identifier: Apache-2.0
"""Servers whose "mac" or "interface" the file leaves out, found by neighbour
discovery through the switch."""

import pytest

from lab import assert_shares
from lab_slots import settle
from test_discovery import PROBE_FLOW, found, leave_out

pytestmark = pytest.mark.switch

VIP4 = "10.0.0.100"
VIP6 = "fd00::100"
ADVERTS = "icmp6 and ip6[40] == 136"
SOLICITATIONS = "icmp6 and ip6[40] == 135"


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(ipv6=True)
    for server in lab.servers:
        lab.serve(server, 8080)
    return lab


@pytest.fixture(autouse=True)
def clean(lab):
    yield
    lab.lbgen("delete", "-b", "br0", "--all")


def file_without(lab, *keys, vip=VIP6, **pool_keys):
    return lab.file(leave_out(lab.pool(vip=vip, server_port=8080,
                                       **pool_keys), *keys))


def place(lab, name):
    host = lab.hosts[name]
    return host.mac, host.port


@pytest.mark.parametrize("keys, said", [
    ([], "mac and interface"), (["mac"], "mac"), (["interface"], "interface")])
@pytest.mark.parametrize("vip", [VIP6, [VIP4, VIP6]], ids=["v6", "both"])
def test_found(lab, vip, keys, said):
    path = file_without(lab, *keys, vip=vip)
    result = lab.lbgen("apply", path)
    assert result.stderr == ""
    settle(lab)
    assert found(lab) == {name: (*place(lab, name), said, "ready")
                          for name in lab.servers}
    traffic = lab.connect("c1", VIP6, 80, 600)
    assert traffic.failures == 0
    assert_shares(traffic, [1, 1, 1], 600)
    assert lab.lbgen("diff", path).stdout == ""
    assert not [flow for flow in lab.flows() if PROBE_FLOW in flow]


def test_what_is_asked(lab):
    """Solicitations as RFC 4861 wants them, from an address that is nobody's,
    and answers that only lbgen hears."""
    path = file_without(lab)
    with lab.capture("s1", "icmp6") as server, \
            lab.capture("c1", ADVERTS) as client:
        lab.lbgen("apply", path)
    # Without those of the other hosts' kernels.
    asked = [line for line in server.lines("-v", outgoing=False)
             if "solicitation" in line and not line.startswith("02:")]
    assert any("who has fd00::1" in line for line in asked)
    for line in asked:
        assert line.startswith("06:6c:"), line
        assert " > 33:33:ff:00:00:0" in line
        assert "hlim 255" in line and "sum ok" in line
        assert "fe80::46c:" in line and "> ff02::1:ff00:" in line
        assert "source link-address option (1), length 8 (1): 06:6c" in line
    assert [line for line in server.lines(outgoing=True)
            if "neighbor advertisement" in line]
    assert client.packets == []


def test_asked_at_its_interface_only(lab):
    path = file_without(lab, "mac")
    with lab.capture("s1", SOLICITATIONS) as capture:
        lab.lbgen("apply", path)
    lines = capture.lines(outgoing=False)
    assert any("who has fd00::1" in line for line in lines)
    assert not any("who has fd00::2" in line for line in lines)


def test_no_answer(lab):
    lab.run("s2", "ip", "address", "del", "fd00::2/64", "dev", "eth0")
    try:
        path = file_without(lab)
        assert ('server "s2": fd00::2 does not answer neighbour discovery on '
                'bridge "br0"; is it up?'
                in lab.lbgen("apply", path, check=1).stderr)
        result = lab.lbgen("apply", path, "--allow-missing")
        assert "it is in maint until an apply finds it" in result.stderr
        assert found(lab)["s2"] == ("unknown", "unknown", "no answer", "maint")
        # Half of a host is a host.
        result = lab.lbgen("apply", file_without(lab, vip=[VIP4, VIP6]))
        assert ('server "s2": fd00::2 does not answer neighbour discovery on '
                'bridge "br0"; taken to be where 10.0.0.2 is' in result.stderr)
        assert found(lab)["s2"][:2] == place(lab, "s2")
    finally:
        lab.run("s2", "ip", "address", "add", "fd00::2/64", "dev", "eth0",
                "nodad")
    assert lab.lbgen("apply", file_without(lab)).stderr == ""
    assert found(lab)["s2"][:2] == place(lab, "s2")


def test_two_places(lab):
    """An address of each family, but on two hosts."""
    pool = leave_out(lab.pool([1, 1], vip=[VIP4, VIP6]))
    pool["servers"][0]["ip"] = ["10.0.0.1", "fd00::3"]
    message = ('server "s1": 10.0.0.1 answers from 02:00:00:00:00:01 on port '
               's1-o, and fd00::3 from 02:00:00:00:00:03 on port s3-o; a '
               'server is one host behind one port')
    assert message in lab.lbgen("apply", lab.file(pool), check=1).stderr


def test_two_answers(lab):
    lab.run("c2", "ip", "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
    try:
        assert ("fd00::1 has two answers, from 02:00:00:00:00:01 on port s1-o "
                "and from 02:00:00:00:01:02 on port c2-o"
                in lab.lbgen("apply", file_without(lab), check=1).stderr)
    finally:
        lab.run("c2", "ip", "address", "del", "fd00::1/64", "dev", "eth0")
    assert lab.lbgen("apply", file_without(lab)).stderr == ""
