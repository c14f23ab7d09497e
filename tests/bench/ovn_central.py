# SPDX-License-Identifier: Apache-2.0
"""OVN on a lab's switch: databases, northd and a controller, all in the lab's
run directory, with the lab's bridge for its integration bridge."""

import os

from lab import listens, wait_for

SCHEMAS = "/usr/share/ovn"


class OvnCentral:
    """Runs until the lab ends."""

    def __init__(self, lab):
        self.lab = lab
        dir = lab.rundir
        lab.env.update(OVN_RUNDIR=dir, OVN_LOGDIR=dir, OVN_DBDIR=dir,
                       OVN_SYSCONFDIR=dir,
                       OVN_NB_DB=f"unix:{dir}/nb.sock",
                       OVN_SB_DB=f"unix:{dir}/sb.sock")
        self.databases = [self._database(which) for which in ("nb", "sb")]
        self.northd = self._daemon(
            None, "ovn-northd", f"--ovnnb-db=unix:{dir}/nb.sock",
            f"--ovnsb-db=unix:{dir}/sb.sock")
        lab.run(None, "ovn-nbctl", "init")
        lab.run(None, "ovn-sbctl", "init")
        lab.vsctl("set", "open_vswitch", ".", "external_ids:system-id=bench",
                  f"external_ids:ovn-remote=unix:{dir}/sb.sock",
                  "external_ids:ovn-encap-type=geneve",
                  "external_ids:ovn-encap-ip=127.0.0.1",
                  f"external_ids:ovn-bridge={lab.bridges[0]}")
        self.controller = self._daemon(lab.netns, "ovn-controller",
                                       f"unix:{dir}/db.sock")

    def _database(self, which):
        dir = self.lab.rundir
        self.lab.run(None, "ovsdb-tool", "create", f"{dir}/{which}.db",
                     os.path.join(SCHEMAS, f"ovn-{which}.ovsschema"))
        process = self._daemon(None, "ovsdb-server", f"{dir}/{which}.db",
                               f"--remote=punix:{dir}/{which}.sock",
                               f"--unixctl={dir}/{which}.ctl", name=which)
        wait_for(lambda: listens(f"{dir}/{which}.sock"), f"ovn {which}")
        return process

    def _daemon(self, where, program, *args, name=None):
        name = name or program
        with open(f"{self.lab.rundir}/{name}.out", "w") as out:
            return self.lab.popen(
                where, program, *args, "--no-chdir", "-vconsole:off",
                "-vsyslog:off", f"--pidfile={self.lab.rundir}/{name}.pid",
                f"--log-file={self.lab.rundir}/{name}.log", stdout=out,
                stderr=out)

    def processes(self):
        return [*self.databases, self.northd, self.controller]

    def nbctl(self, *args, timeout=60):
        """Runs one transaction; 'args' are words, "--" between commands."""
        return self.lab.run(None, "ovn-nbctl", *args, timeout=timeout).stdout
