# SPDX-License-Identifier: Apache-2.0
"""lib/document-json.h reads what it accepts as the reader of YAML does."""

import json
import random
import string

import pytest

from test_reading import lbtest



def trees(text):
    """What both readers make of it."""
    return (lbtest("document-json", text=text.encode()),
            lbtest("document", "-", text=text.encode()))


@pytest.mark.parametrize("text", [
    '{"lbgen":1,"id":51207,"members":[2241,877],"slots":"AABA+/-"}',
    '{}', '[]', '""', '{"a":[],"b":{},"c":""}', '[[[1,-2.5,1e9,1E9]]]',
    r'{"a":"x\"y\\","b":"\\\"","c":"~ !#$%&*?:,[]{}@`|><\'"}'
    .replace("\\'", "'"),
    '{"yes":true,"no":false,"none":null,"1":"2"}',
    '{"<<":{"a":1},"b":2}', r'{"a":"tab\u0009del\u007fA\u0041"}',
    "[" * 32 + "1" + "]" * 32])
def test_same_tree(text):
    """Nodes, quotes and places."""
    fast, slow = trees(text)
    assert fast and fast == slow


@pytest.mark.parametrize("text", [
    "", " ", "a", "'a'", '{"a": 1}', "[1, 2]", "{a:1}", '{"a":1,}', "[1,]",
    '{"a":1', '["a"', '["a', '"a', "[1]]", "[1] ", '{"a":1,"a":2}',
    '{"a":&x 1}', "[*x]", "[!!str a]", '"\\x41"', '"\\n"', '"\\u0000"',
    '"\\u00e9"', '"é"', '"a\tb"', '"a\nb"', "{1:2}", '{"a"}', '{"a":}',
    "[" * 33 + "1" + "]" * 33, "[1,,2]", "[#]", "[-]x", '{"a\\', '"\\u12'])
def test_left_to_the_other(text):
    assert lbtest("document-json", text=text.encode()) == ""


def make(chance, depth=0):
    kind = chance.random()
    if depth < 4 and kind < .3:
        return [make(chance, depth + 1) for _ in range(chance.randrange(5))]
    if depth < 4 and kind < .6:
        return {f"k{i}" + chance.choice(string.punctuation):
                make(chance, depth + 1) for i in range(chance.randrange(5))}
    if kind < .8:
        return "".join(chance.choice(string.printable[:95])
                       for _ in range(chance.randrange(12)))
    return chance.choice([0, 1, -5, 65535, 1.5, True, None])


def test_many_at_random():
    chance = random.Random(7)
    texts = [json.dumps(make(chance), separators=(",", ":"))
             for _ in range(200)]
    accepted = 0
    for text in texts:
        fast, slow = trees(text)
        accepted += fast != ""
        assert fast in ("", slow), text
    assert accepted > 190


@pytest.mark.switch
def test_records_are_read_fast(lab):
    """All that lbgen writes into records but what is not ASCII."""
    lab.lbgen("apply", lab.pool_yaml([1, 2, 3], server_port=8080,
                                     affinity={"by": "client"},
                                     check={"type": "tcp"}))
    lab.lbgen("weight", "web/s1", "50%", "-b", "br0")
    lab.lbgen("drain", "web/s2", "-b", "br0")
    texts = [bytes.fromhex(flow.split("note:")[1].split()[0].replace(".", ""))
             .rstrip(b"\0").decode()
             for flow in lab.flows() if "note:7b" in flow]
    assert len(texts) == 2
    for text in texts:
        fast, slow = trees(text)
        assert fast and fast == slow
