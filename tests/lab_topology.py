# SPDX-License-Identifier: Apache-2.0
"""More than hosts on a switch: addresses on loopback, routers, VLANs."""


def own_vip(lab, server, vip):
    """Makes the VIP an address of the server's own, which it keeps to itself,
    for "connections: direct"."""
    lab.run(server, "sh", "-ec", f"""
        echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
        echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce
        ip address add {vip}/32 dev lo""")
