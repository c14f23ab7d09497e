# SPDX-License-Identifier: Apache-2.0
"""Slots as the switch has them, and what its datapath does."""

import re

# What is lbgen's, as ovs-ofctl(8) reads it.
OURS = "cookie=0x6c62670000000000/0xffffff0000000000"


def settle(lab):
    """Empties the datapath's cache, which otherwise follows a change of flows
    only shortly after it, and brings the counters of flows up to date."""
    lab.appctl("revalidator/purge")


def wait_revalidated(lab):
    """Waits until the datapath has followed the last change by itself.  The
    first round may have begun before the change was made."""
    for _ in range(2):
        lab.appctl("revalidator/wait")


def apply(lab, path, *options):
    """Applies a file; no packet meets old flows any more.  Returns what lbgen
    says."""
    out = lab.lbgen("apply", path, *options).stdout
    settle(lab)
    return out


def slot_tables(lab, bridge=None):
    """Returns a mapping from ids of groups to tuples: for each slot, the
    member id of the server that owns it."""
    tables = {}
    for line in lab.groups(bridge):
        number = int(re.search(r"group_id=(\d+)", line)[1])
        buckets = line.split("bucket=bucket_id:")[1:]
        slots = [int(bucket.split(",")[0]) for bucket in buckets]
        assert slots == list(range(len(buckets))), line
        tables[number] = tuple(
            int(re.search(r"set_field:(0x[0-9a-f]+)->reg0", bucket)[1], 0)
            for bucket in buckets)
    return tables


def slot_table(lab, bridge=None):
    """The only one."""
    table, = slot_tables(lab, bridge).values()
    return table


def member_names(lab, bridge=None):
    """Names of servers by member id, which are looked up in the flows that set
    the servers' MACs."""
    names = {host.mac: host.name for host in lab.hosts.values()}
    owner = {}
    for flow in lab.flows(bridge, OURS):
        member = re.search(r",reg0=(0x[0-9a-f]+) ", flow)
        mac = re.search(r"set_field:([0-9a-f:]{17})->eth_dst", flow)
        if member and mac:
            owner[int(member[1], 0)] = names[mac[1]]
    return owner


def slot_servers(lab, bridge=None):
    """The slots of the only pool by names of servers."""
    owner = member_names(lab, bridge)
    return tuple(owner[member] for member in slot_table(lab, bridge))


def moved(before, after):
    """Number of slots that differ."""
    assert len(before) == len(after)
    return sum(a != b for a, b in zip(before, after))


def coverage(lab, name):
    """A counter of ovs-vswitchd.  One never hit is 0."""
    found = re.search(rf"^{name} .*total: (\d+)", lab.appctl("coverage/show"),
                      re.M)
    return int(found[1]) if found else 0


def upcalls(lab):
    """How many packets the datapath had no flow for."""
    missed, lost = re.search(r"missed:(\d+) lost:(\d+)",
                             lab.appctl("dpctl/show")).groups()
    assert lost == "0"
    return int(missed)
