# SPDX-License-Identifier: Apache-2.0
from bench.contestants.base import Contestant
from bench.stage import SERVER_PORT


class Plain(Contestant):
    """The limit: the client asks the servers themselves, and the bridge is a
    learning switch without any flow of ours."""

    name = "plain"
    what = "no balancing: a learning switch, one ab for each server"

    def set_up(self):
        pass

    def targets(self):
        return [f"{host.ip}:{SERVER_PORT}" for host in self.hosts()]
