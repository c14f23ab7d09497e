# SPDX-License-Identifier: Apache-2.0
"""lbgen in its ways of balancing and of keeping connections."""

from bench.contestants.base import Contestant, Unavailable
from bench.stage import SERVER_PORT


class Lbgen(Contestant):
    """One pool of three servers, with 'keys' besides."""

    def __init__(self, name, what, **keys):
        super().__init__()
        self.name = name
        self.what = what
        self.keys = keys

    def set_up(self):
        path = self.lab.pool_yaml(self.weights, server_port=SERVER_PORT,
                                  **self.keys)
        checked = self.lab.lbgen("check", path, check=None)
        if checked.returncode:
            raise Unavailable("this lbgen does not know it yet: "
                              + checked.stderr.strip().split("\n")[0])
        self.lab.lbgen("apply", path)

    def reweight(self, weights):
        self.weights = weights
        self.set_up()


LBGEN = [
    Lbgen("stateless", "lbgen, connections: stateless",
          connections="stateless"),
    Lbgen("tracked", "lbgen, connections: tracked"),
    Lbgen("sticky", "lbgen, policy: sticky", policy="sticky"),
    Lbgen("round-robin", "lbgen, policy: round-robin", policy="round-robin"),
]
