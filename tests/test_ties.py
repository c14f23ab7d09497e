# SPDX-License-Identifier: Apache-2.0
"""No packet meets two flows of one priority that do different things: which of
them the switch took would be anybody's guess."""

import glob
import ipaddress
import itertools
import json
import os
import random
import re
import subprocess

import pytest

from lab import Lab

SRCDIR = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__),
                                               ".."))
EXAMPLES = sorted(glob.glob(os.path.join(SRCDIR, "examples", "*.yaml")))

# What short words of ovs-ofctl(8) stand for: EtherType and protocol.
WORDS = {"ip": (0x800, None), "icmp": (0x800, 1), "tcp": (0x800, 6),
         "udp": (0x800, 17), "sctp": (0x800, 132), "arp": (0x806, None),
         "ipv6": (0x86dd, None), "icmp6": (0x86dd, 58), "tcp6": (0x86dd, 6),
         "udp6": (0x86dd, 17), "sctp6": (0x86dd, 132)}
FRAGMENTS = {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (3, 3),
             "not_later": (0, 2)}
CT_STATES = {name: 1 << i for i, name in enumerate(
    ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"))}
ADDRESSES = re.compile(r"(nw|ipv6|arp|ct_nw|ct_ipv6)_(src|dst|spa|tpa)"
                       "|nd_target")
ALL = (1 << 128) - 1


def address(text):
    if "." in text or ":" in text:
        return int(ipaddress.ip_address(text))
    return int(text, 0)


def value(name, text):
    """A value and its mask."""
    if name == "nw_frag":
        return FRAGMENTS[text]
    if name == "ct_state":
        bits = re.findall(r"([+-])(\w+)", text)
        return (sum(CT_STATES[bit] for sign, bit in bits if sign == "+"),
                sum(CT_STATES[bit] for _, bit in bits))
    if name in ("in_port", "dl_dst"):
        return text, None
    text, _, mask = text.partition("/")
    if ADDRESSES.fullmatch(name):
        if mask.isdigit():
            width = 128 if ":" in text else 32
            return address(text), (1 << width) - (1 << width - int(mask))
        return address(text), address(mask) if mask else ALL
    return int(text, 0), int(mask, 0) if mask else ALL


def parse(line):
    """Table, priority, match and actions of a flow."""
    match, actions = line.split(" actions=", 1)
    fields = {}
    for word in match.split("cookie=", 1)[1].split(",")[1:]:
        name, _, text = word.partition("=")
        if name in WORDS:
            dl_type, proto = WORDS[name]
            fields["dl_type"] = dl_type, ALL
            if proto is not None:
                fields["nw_proto"] = proto, ALL
        elif name == "dl_vlan":
            fields["vlan_tci"] = 0x1000 | int(text), 0x1fff
        else:
            name = {"arp_spa": "nw_src", "arp_tpa": "nw_dst",
                    "arp_op": "nw_proto", "icmp_type": "tp_src",
                    "icmp_code": "tp_dst"}.get(name, name)
            fields[name] = value(name, text)
    if fields.get("nw_frag", (0, 0))[0] & 1:
        # The switch takes their ports for 0.
        fields |= {"tp_src": (0, ALL), "tp_dst": (0, ALL)}
    place = fields.pop("table")[0], fields.pop("priority")[0]
    # Which bit of the hash is looked at makes no difference.
    return place, fields, re.sub(r"move:NXM_NX_DP_HASH\[\d+\]->"
                                 r"NXM_NX_REG15\[31\],", "", actions)


def meet(a, b):
    """Whether some packet matches both."""
    for name in a.keys() & b.keys():
        (x, x_mask), (y, y_mask) = a[name], b[name]
        if x != y if x_mask is None else (x ^ y) & x_mask & y_mask:
            return False
    return True


def ties(path):
    result = subprocess.run([Lab.lbgen_path(), "export", path], text=True,
                            capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr
    flows = sorted((parse(line) for line in result.stdout.split("\n")
                    if line.startswith("flow add")), key=lambda flow: flow[0])
    return [(a, b) for _, group in itertools.groupby(flows, lambda f: f[0])
            for a, b in itertools.combinations(list(group), 2)
            if a[2] != b[2] and meet(a[1], b[1])]


@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_examples(path):
    assert ties(path) == []


def server(n, port=None, **keys):
    """In both families."""
    return {"name": f"s{n}", "ip": [f"10.0.0.{n}", f"fd00::{n}"],
            "mac": f"02:00:00:00:00:{n:02x}", "interface": str(n), **keys}


def pool(name, *servers, vip=100, **keys):
    return {"name": name, "vip": [f"10.0.0.{vip}", f"fd00::{vip}"],
            "servers": list(servers), **keys}


def no_ties(tmp_path, *pools):
    path = tmp_path / "pools.yaml"
    path.write_text(json.dumps({"bridge": "br0", "pools": list(pools)}))
    assert ties(path) == []


def test_direct_servers_that_claim_the_vip(tmp_path):
    """Beside servers that ask for their clients."""
    s1, s2 = dict(server(1), ip="10.0.0.1"), dict(server(2), ip="10.0.0.2")
    no_ties(tmp_path,
            {"name": "direct", "vip": "10.0.0.100", "port": 80,
             "connections": "direct", "servers": [s1]},
            {"name": "hidden", "vip": "10.0.0.101", "port": 80,
             "proxy_arp": True, "servers": [s2]})


SNAT = ["10.0.0.200", "fd00::200"]


def test_every_protocol_from_an_address_of_its_own(tmp_path):
    no_ties(tmp_path,
            pool("all", server(1), protocol="any", snat=SNAT),
            pool("web", server(1), vip=101, port=80, snat=SNAT),
            pool("dns", server(1), vip=102, port=53, protocol="udp",
                 snat=SNAT))


def test_direct_vip_that_others_see_as_their_client(tmp_path):
    no_ties(tmp_path,
            pool("direct", server(1), vip=200, port=81, connections="direct"),
            pool("web", server(2), port=80, snat=SNAT))


VLANS = [None, 10, 20, "none"]


@pytest.mark.parametrize("seed", range(30))
def test_what_is_right_can_be_exported(tmp_path, seed):
    """Pools that check has nothing to say against need no flow with different
    actions, and no flows that meet."""
    rng = random.Random(seed)
    n_right = 0
    for _ in range(40):
        pools = []
        vlans = rng.sample(VLANS, 2)
        for name in "abc"[:rng.randint(2, 3)]:
            vlan = rng.choice(vlans)
            pools.append({
                "name": name,
                "vip": f"10.0.0.{rng.choice([100, 101, 102, 200])}",
                **rng.choice([{"port": 80}, {"port": 81}, {"port": 40000},
                              {}]),
                "protocol": rng.choice(["tcp", "udp", "any"]),
                "servers": [{
                    "name": f"s{n}", "ip": f"10.0.0.{n}",
                    "mac": f"02:00:00:00:00:0{n}", "interface": "trunk",
                    **({"vlan": rng.choice([10, 20, 30])}
                       if vlan and rng.random() < .5 else {})}
                    for n in rng.sample(range(1, 4), 2)],
                **({"vlan": vlan} if vlan else {}),
                **rng.choice([{}, {}, {"snat": True}, {"snat": "10.0.0.200"},
                              {"proxy_arp": True},
                              {"connections": "stateless", "guard": True},
                              {"connections": "direct"}])})
        path = tmp_path / "file.yaml"
        path.write_text(json.dumps({"pools": pools}))
        check = subprocess.run([Lab.lbgen_path(), "check", path],
                               capture_output=True)
        if check.returncode == 0:
            assert ties(path) == []
            n_right += 1
    assert n_right


def test_errors_with_and_without_a_vlan(tmp_path):
    """On one trunk."""
    trunk = {"interface": "1"}
    no_ties(tmp_path,
            pool("plain", server(1, **trunk), port=80,
                 snat=["10.0.0.201", "fd00::201"]),
            pool("tagged", server(2, **trunk), vip=101, port=80, vlan=20,
                 snat=SNAT),
            pool("untagged", server(3, **trunk), vip=102, port=80,
                 vlan="none", snat=SNAT))


def test_hidden_clients_in_another_vlan(tmp_path):
    """What a server of one pool sends is no matter of another pool's
    proxy_arp, though they share a port."""
    one, two = (dict(server(n, interface="1"), ip=f"10.0.0.{n}")
                for n in (1, 2))
    no_ties(tmp_path,
            {"name": "hidden", "vip": "10.0.0.100", "port": 80,
             "proxy_arp": True, "servers": [one]},
            {"name": "tagged", "vip": "10.0.0.101", "port": 80, "vlan": 20,
             "servers": [two]})
