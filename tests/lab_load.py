# SPDX-License-Identifier: Apache-2.0
"""Load on single hosts of a lab, and node-exporters that see it.

All hosts of a lab share one kernel, whose /proc/stat knows only the machine.
A host here has a /proc/stat of its own, as lxcfs gives to a container: what
the processes of that host have used of one CPU, and the rest as idle.  The
load is real, and so is the exporter that reads it."""

import os
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def used_ticks(pid):
    """CPU time of a process and the children that it waited for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return sum(int(field) for field in fields[11:15])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            for child in file.read().split():
                yield int(child)
                yield from children(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return


class Machine:
    """The CPU of one host.  'add' processes to it; 'close' at the end."""

    def __init__(self, lab, host, port=9100):
        self.begin = time.monotonic()
        self.pids, self.known, self.gone = [], {}, 0
        self.proc = f"{lab.rundir}/proc-{host}"
        os.mkdir(self.proc)
        for name in ("meminfo", "net", "loadavg", "self"):
            os.symlink(f"/proc/{name}", f"{self.proc}/{name}")
        self.stop = threading.Event()
        self.write()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        lab.popen(host, "prometheus-node-exporter",
                  f"--web.listen-address=:{port}",
                  f"--path.procfs={self.proc}", "--collector.disable-defaults",
                  "--collector.cpu", "--collector.meminfo",
                  stderr=open(f"{lab.rundir}/exporter-{host}", "w"))

    def add(self, process):
        self.pids.append(process.pid)
        return process

    def used(self):
        """Ticks so far.  What a process had used stays when it is gone."""
        now = {}
        for pid in self.pids:
            for each in (pid, *children(pid)):
                now[each] = used_ticks(each) or self.known.get(each, 0)
        self.known |= now
        return sum(self.known.values())

    def write(self):
        total = (time.monotonic() - self.begin) * TICKS
        user = min(self.used(), total)
        text = f"{user:.0f} 0 0 {total - user:.0f} 0 0 0 0 0 0\n"
        with open(f"{self.proc}/stat.new", "w") as file:
            file.write(f"cpu  {text}cpu0 {text}ctxt 1\nbtime 1\n")
        os.rename(f"{self.proc}/stat.new", f"{self.proc}/stat")

    def run(self):
        while not self.stop.wait(0.05):
            self.write()

    def close(self):
        self.stop.set()
        self.thread.join()
