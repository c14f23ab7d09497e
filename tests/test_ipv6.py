# SPDX-License-Identifier: Apache-2.0
"""VIPs of IPv6, alone and beside IPv4, with real traffic."""

import pytest

from lab import assert_shares
from lab_slots import apply

pytestmark = [pytest.mark.switch, pytest.mark.traffic]

VIP4 = "10.0.0.100"
VIP6 = "fd00::100"


@pytest.fixture(scope="module")
def lab(make_module_lab):
    lab = make_module_lab(ipv6=True)
    for server in lab.servers:
        for proto in "tcp", "udp":
            lab.serve(server, 8080, proto)
    return lab


@pytest.mark.parametrize("connections", ["tracked", "stateless"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_shares(lab, connections, protocol):
    apply(lab, lab.pool_yaml([3, 2, 2], vip=VIP6, connections=connections,
                             protocol=protocol, server_port=8080))
    traffic = lab.connect("c1", VIP6, 80, 2000, proto=protocol)
    assert traffic.failures == 0
    assert_shares(traffic, [3, 2, 2], 2000)

