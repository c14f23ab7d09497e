# SPDX-License-Identifier: Apache-2.0
"""All who take part, one file each."""

from bench.contestants.controller import Controller
from bench.contestants.haproxy import Haproxy
from bench.contestants.lbgen import LBGEN
from bench.contestants.naive import Naive
from bench.contestants.nftables import Nftables
from bench.contestants.ovn import Ovn
from bench.contestants.plain import Plain

CONTESTANTS = [Plain(), *LBGEN, Ovn(), Nftables(), Haproxy(), Controller(),
               Naive()]
