# SPDX-License-Identifier: Apache-2.0
"""More than hosts on a switch: addresses on loopback, routers, VLANs, and
links that go down."""

import ipaddress

from lab import Host, wait_for
from lab_slots import wait_revalidated


def own_vip(lab, server, vip):
    """Makes the VIP an address of the server's own, which it keeps to itself,
    for "connections: direct"."""
    lab.run(server, "sh", "-ec", f"""
        echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
        echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce
        ip address add {vip}/{128 if ':' in vip else 32} dev lo""")


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


def add_ipv6_behind(lab, router, name, address):
    """Gives a host of add_behind() an address of IPv6 as well, and the router
    the first one of that network."""
    interface = ipaddress.ip_interface(address)
    gateway = next(interface.network.hosts())
    lab.run(router, "sh", "-ec", f"""
        echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
        ip address add {gateway}/{interface.network.prefixlen} dev {name} nodad
        ip address add fe80::1/64 dev {name} nodad""")
    lab.run(name, "sh", "-ec", f"""
        for conf in all default lo eth0; do
            echo 0 > /proc/sys/net/ipv6/conf/$conf/accept_ra
            echo 0 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6
        done
        ip address add {address} dev eth0 nodad
        ip route add default via {gateway}""")
    lab.hosts[name].ip6 = str(interface.ip)


def add_route(lab, hosts, network, router):
    """Has 'hosts' send packets for 'network' to the host 'router', or nowhere
    if that is None."""
    via = router and (lab.hosts[router].ip6 if ":" in network
                      else lab.hosts[router].ip)
    how = f"via {via}" if router else ""
    for host in hosts:
        lab.run(host, "sh", "-ec", f"""
            ip route replace {'' if router else 'blackhole'} {network} {how}
            ip neighbour flush dev eth0""")


def enter_vlan(lab, host, vlan, address):
    """Puts 'host', with another address, into a VLAN: behind a switch of its
    own, whose trunk is the host's port of br0 from now on."""
    h = lab.hosts[host]
    trunk, other, bridge = f"t-{host}", f"u-{host}", f"v-{host}"
    lab.run(host, "sh", "-ec", f"""
        ip address flush dev eth0
        ip address add {address}/16 dev eth0""")
    lab.run(lab.netns, "sh", "-ec", f"""
        ip link add {trunk} type veth peer name {other}
        ip link set {trunk} up
        ip link set {other} up
        ethtool -K {trunk} tx off txvlan off rxvlan off
        ethtool -K {other} tx off txvlan off rxvlan off""")
    lab.vsctl("del-port", h.bridge, h.port, "--", "add-br", bridge, "--",
              "set", "bridge", bridge, "datapath_type=netdev", "--",
              "add-port", bridge, h.port, f"tag={vlan}", "--",
              "add-port", bridge, other, "--", "add-port", h.bridge, trunk)
    h.port = trunk


def is_live(lab, server):
    desc = lab.ofctl("dump-ports-desc", "br0", str(lab.hosts[server].ofport))
    return "LIVE" in desc


def set_link(lab, server, up):
    """Also waits until the switch has noticed."""
    lab.set_link(server, up)
    wait_for(lambda: is_live(lab, server) == up, f"link of {server}")
    wait_revalidated(lab)
