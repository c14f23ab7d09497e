# SPDX-License-Identifier: Apache-2.0
"""What is checked between the ways of pools, without a switch.  The messages
are in tests/errors/paths.yaml."""

import json
import os
import resource
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LBGEN = os.environ.get("LBGEN", f"{HERE}/../lbgen/lbgen")


def many_pools(path, **keys):
    """1,000 pools of 10 servers, which are the same ones in groups of 10
    pools."""
    pools = []
    for i in range(1000):
        servers = [{"name": f"s{j}", "ip": f"10.{i // 10}.0.{j + 1}",
                    "mac": f"02:00:00:00:{i // 10:02x}:{j:02x}",
                    "interface": f"p{i // 10}-{j}"} for j in range(10)]
        pools.append({"name": f"p{i}", "vip": f"10.200.{i // 200}.{i % 200}",
                      "port": 80, **keys, "servers": servers})
    path.write_text(json.dumps({"bridge": "br0", "pools": pools}))
    return path


def seconds(path):
    """CPU time of a check that has nothing to say, the least of three."""
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = subprocess.run([LBGEN, "check", path], capture_output=True,
                                text=True, check=True)
        assert result.stderr == ""
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime \
            - before.ru_utime - before.ru_stime
    return min(once() for _ in range(3))


@pytest.mark.parametrize("keys", [
    {"proxy_arp": True, "vip_mac": "02:00:00:00:ff:01"},
    {"vlan": 100},
    {"snat": True},
    {"snat": "10.250.0.1"},
], ids=["proxy_arp", "vlan", "snat", "one-snat"])
def test_pools_are_not_compared_in_pairs(tmp_path, keys):
    """Once 11 times as long as pools without such keys."""
    plain = seconds(many_pools(tmp_path / "plain.yaml"))
    assert seconds(many_pools(tmp_path / "keys.yaml", **keys)) < 3 * plain


def flows(text, *words):
    return [line for line in text.split("\n")
            if all(word in line for word in words)]


def export(tmp_path, *pools):
    servers = [{"name": "s1", "ip": "10.0.0.1", "mac": "02:00:00:00:00:01",
                "interface": "s1-o"}]
    path = tmp_path / "file.yaml"
    path.write_text(json.dumps(
        {"pools": [{"port": 80, "servers": servers, **pool}
                   for pool in pools]}))
    return subprocess.run([LBGEN, "export", path], text=True, check=True,
                          capture_output=True).stdout


def test_pools_share_an_address_for_snat(tmp_path):
    """It has one MAC, whatever the VIPs and their MACs: its own, or that of
    the VIP that it is."""
    text = export(tmp_path,
                  {"name": "a", "vip": "10.0.0.100", "snat": "10.0.0.200"},
                  {"name": "b", "vip": "10.0.0.101", "snat": "10.0.0.200",
                   "vip_mac": "02:00:00:00:ff:01"})
    [arp] = flows(text, "arp,", "arp_tpa=10.0.0.200")
    assert "02:6c:0a:00:00:c8" in arp
    text = export(tmp_path,
                  {"name": "a", "vip": "10.0.0.100", "snat": "10.0.0.101"},
                  {"name": "b", "vip": "10.0.0.101",
                   "vip_mac": "02:00:00:00:ff:01"})
    [arp] = flows(text, "arp,", "arp_tpa=10.0.0.101")
    assert "02:00:00:00:ff:01" in arp


@pytest.mark.parametrize("n, copies", [(256, 256), (257, 0)])
def test_as_many_copies_as_allowed(tmp_path, n, copies):
    """Of an ICMP error to a direct pool; more are none, with a warning."""
    servers = [{"name": f"s{i}", "ip": f"10.1.{i // 200}.{i % 200 + 1}",
                "mac": f"02:00:00:00:{i // 256:02x}:{i % 256:02x}",
                "interface": f"p{i}"} for i in range(n)]
    path = tmp_path / "file.yaml"
    path.write_text(json.dumps({"pools": [
        {"name": "web", "vip": "10.0.0.100", "port": 80, "slots": 1024,
         "connections": "direct", "servers": servers}]}))
    result = subprocess.run([LBGEN, "export", path], text=True, check=True,
                            capture_output=True)
    [flow] = flows(result.stdout, "table=213")
    assert flow.count("output:") == copies
    assert ("ICMP errors about its connections are dropped"
            in result.stderr) == (not copies)


def test_a_server_gets_one_copy(tmp_path):
    """Whatever the number of pools of the VIP, in any order, and none while it
    is in maint."""
    def copies(*pools):
        text = export(tmp_path, *({"vip": "10.0.0.100",
                                   "connections": "direct", **pool}
                                  for pool in pools))
        [flow] = flows(text, "table=213")
        return flow.split("actions=")[1]

    two = [{"name": f"s{i}", "ip": f"10.0.0.{i}", "mac": f"02:00:00:00:00:0{i}",
            "interface": f"s{i}-o"} for i in (1, 2)]
    one = {"name": "one", "port": 80, "servers": two[:1]}
    both = {"name": "both", "port": 81, "servers": two}
    assert copies(one, both).count("output:") == 2
    assert copies(one).count("output:") == 1
    away = {**both, "servers": [two[0], {**two[1], "state": "maint"}]}
    assert copies(away, one) == copies(one)
