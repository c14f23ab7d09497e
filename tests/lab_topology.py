# SPDX-License-Identifier: Apache-2.0
"""More than hosts on a switch: addresses on loopback, routers, VLANs."""

import ipaddress

from lab import Host


def own_vip(lab, server, vip):
    """Makes the VIP an address of the server's own, which it keeps to itself,
    for "connections: direct"."""
    lab.run(server, "sh", "-ec", f"""
        echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
        echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce
        ip address add {vip}/32 dev lo""")


def add_behind(lab, router, name, address):
    """Adds a host with 'address', as "172.16.1.2/24", behind the host
    'router', which becomes one and has the first address of that network.
    Nobody else has a route there: see add_route()."""
    interface = ipaddress.ip_interface(address)
    gateway = next(interface.network.hosts())
    number = len(lab.hosts) + 1
    host = Host(name=name, ip=str(interface.ip),
                mac=f"02:00:00:00:ff:{number:02x}", bridge=None,
                netns=f"{lab.netns}-{name}", port=None, ofport=0)
    lab.add_netns([host.netns])
    lab.hosts[name] = host
    lab.run(router, "sh", "-ec", f"""
        echo 1 > /proc/sys/net/ipv4/ip_forward
        echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
        echo 0 > /proc/sys/net/ipv4/conf/eth0/send_redirects
        ip link add {name} type veth peer name eth0 address {host.mac} \\
            netns {host.netns}
        ip address add {gateway}/{interface.network.prefixlen} dev {name}
        ip link set {name} up
        ethtool -K {name} tx off""")
    lab.run(name, "sh", "-ec", f"""
        ip link set lo up
        ip address add {address} dev eth0
        ip link set eth0 up
        ethtool -K eth0 tx off
        ip route add default via {gateway}""")
    return host


def add_route(lab, hosts, network, router):
    """Has 'hosts' send packets for 'network' to the host 'router', or nowhere
    if that is None."""
    how = f"via {lab.hosts[router].ip}" if router else ""
    for host in hosts:
        lab.run(host, "sh", "-ec", f"""
            ip route replace {'' if router else 'blackhole'} {network} {how}
            ip neighbour flush dev eth0""")


def enter_vlan(lab, host, vlan, address=None):
    """Puts the host's address into a VLAN of its interface, as on a trunk."""
    address = address or lab.hosts[host].ip
    lab.run(host, "sh", "-ec", f"""
        ip address flush dev eth0
        ip link add link eth0 name eth0.{vlan} type vlan id {vlan}
        ip link set eth0.{vlan} up
        ip address add {address}/16 dev eth0.{vlan}""")
