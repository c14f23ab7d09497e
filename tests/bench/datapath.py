# SPDX-License-Identifier: Apache-2.0
"""Chapter 1: what a connection, a request and a byte cost."""

import contextlib
import os
import re
import statistics

from bench import ab, machine, settings
from bench.contestants import CONTESTANTS
from bench.contestants.base import Unavailable
from bench.report import Table, say
from bench.stage import BIG

CONNECTIONS = 10        # At a time, of each ab.

# The goals: figure, of whom, at least so many times that of whom.
GOALS = [("new", "stateless", .97, "plain"), ("new", "tracked", 1.05, "ovn"),
         ("new", "tracked", 1.5, "nftables"),
         ("new", "tracked", 1.9, "haproxy"),
         ("new", "tracked", 15, "controller"),
         ("cpu", "stateless", 1.05, "plain"), ("cpu", "tracked", 1, "ovn")]

COLUMNS = [("new", "new conn/s", "{:.0f}"), ("keep", "kept req/s", "{:.0f}"),
           ("bulk", "bulk Mbit/s", "{:.0f}"), ("p50", "p50 ms", "{:.2f}"),
           ("p99", "p99 ms", "{:.2f}"), ("cpu", "switch cpu", "{:.2f}"),
           ("others", "other cpu", "{:.2f}"), ("passes", "passes", "{:.2f}"),
           ("subtables", "subtables", "{:.2f}"),
           ("upcalls", "upcalls", "{:.1f}"), ("flows", "dp flows", "{:.0f}"),
           ("failures", "failed", "{:.0f}")]


def pmd_stats(lab):
    """What the switch's threads have done so far."""
    text = lab.appctl("dpif-netdev/pmd-stats-show")

    def total(pattern):
        return sum(float(n) for n in re.findall(pattern + r": *([\d.]+)",
                                                text))

    return {"packets": total("packets received"),
            "recirculations": total("packet recirculations"),
            "megaflow": total("megaflow hits"),
            "lookups": total(r"avg. subtable lookups per megaflow hit"),
            "emc": total("emc hits"),
            "upcalls": total("miss with success upcall")}


class Meter:
    """What happens between enter and exit."""

    def __init__(self, contestant):
        self.lab = contestant.lab
        self.others = contestant.processes

    def _read(self):
        return (machine.cpu_seconds(self.lab.vswitchd.pid),
                sum(machine.cpu_seconds(process.pid)
                    for process in self.others), pmd_stats(self.lab))

    def __enter__(self):
        self.lab.appctl("dpif-netdev/pmd-stats-clear")
        self.before = self._read()
        return self

    def __exit__(self, *exc):
        after = self._read()
        self.cpu = after[0] - self.before[0]
        self.other_cpu = after[1] - self.before[1]
        self.stats = after[2]


def measure_new(contestant, seconds):
    """New connections, one request each."""
    with Meter(contestant) as meter:
        result = ab.run(contestant, "/", seconds, CONNECTIONS)
    stats, n = meter.stats, max(result.requests, 1)
    return {
        "new": result.rate, "p50": result.p50, "p99": result.p99,
        "failures": result.failures, "cpu": meter.cpu * 1e4 / n,
        "others": meter.other_cpu * 1e4 / n,
        "passes": 1 + stats["recirculations"] / max(stats["packets"], 1),
        "subtables": stats["lookups"],
        "upcalls": stats["upcalls"] * 1e4 / n,
        "flows": len(contestant.lab.dp_flows())}


def perform(contestant, seconds):
    """One turn.  Returns a mapping from figures to numbers."""
    # Flows of the last turn have been forgotten: begin warm.
    ab.run(contestant, "/", 1, CONNECTIONS)
    figures = measure_new(contestant, seconds)
    half = max(1, round(seconds / 2))
    kept = ab.run(contestant, "/", half, CONNECTIONS, keep=True)
    bulk = ab.run(contestant, "/big", half, 1, keep=True)
    figures["keep"], figures["bulk"] = kept.rate, bulk.mbits
    figures["failures"] += kept.failures + bulk.failures
    return figures


def start(stack):
    """Starts all that are wanted and can.  Returns them."""
    ready = []
    for contestant in CONTESTANTS:
        if not settings.wants(contestant.name):
            continue
        try:
            contestant.start(stack)
            ready.append(contestant)
        except Unavailable as e:
            say(f"  {contestant.name}: left out, {e}")
    return ready


def compete(contestants, seconds, rounds):
    """Lets them take turns, each round beginning with another.  Returns a
    mapping from names to lists of figures, and how busy the machine was
    without us."""
    turns = {contestant.name: [] for contestant in contestants}
    foreign = []
    for i in range(rounds):
        foreign.append(machine.foreign_load())
        shift = i * 3 % len(contestants)
        for contestant in contestants[shift:] + contestants[:shift]:
            turns[contestant.name].append(perform(contestant, seconds))
    return turns, foreign


def ratios(turns, figure, name, other):
    """The ratio of two contestants in each round."""
    return [a[figure] / b[figure]
            for a, b in zip(turns[name], turns[other]) if b[figure]]


def check_goals(turns):
    """Returns what has become of each goal that can be told, with the limit:
    what plain forwarding would have come to."""
    results = []
    for figure, name, goal, other in GOALS:
        if name in turns and other in turns:
            got = statistics.median(ratios(turns, figure, name, other))
            limit = None
            if "plain" in turns and other != "plain":
                limit = statistics.median(ratios(turns, figure, "plain",
                                                 other))
            results.append({
                "figure": figure, "name": name, "other": other, "goal": goal,
                "ratio": got, "limit": limit,
                "reached": got <= goal if figure == "cpu" else got >= goal})
    return results


def print_results(contestants, medians, turns):
    table = Table("", *(title for _, title, _ in COLUMNS),
                  *(["of plain"] if "plain" in turns else []))
    for contestant in contestants:
        name = contestant.name
        row = [text.format(medians[name][figure])
               for figure, _, text in COLUMNS]
        if "plain" in turns:
            of_plain = statistics.median(ratios(turns, "new", name, "plain"))
            row.append(f"{of_plain:.2f}")
        table.row(name, *row)
    table.print()
    for contestant in contestants:
        say(f"  {contestant.name:<12} {contestant.what}")


def print_goals(goals):
    for goal in goals:
        word = "at most" if goal["figure"] == "cpu" else "at least"
        say(f"  {'reached' if goal['reached'] else 'MISSED ':<8}"
            f"{goal['figure']} of {goal['name']}: {goal['ratio']:.2f} of "
            f"{goal['other']}, {word} {goal['goal']}"
            + (f" (plain forwarding: {goal['limit']:.2f})"
               if goal["limit"] else ""))


def run():
    """Runs the chapter.  Returns what goes into the JSON."""
    with contextlib.ExitStack() as stack:
        contestants = start(stack)
        turns, foreign = compete(contestants, settings.SECONDS,
                                 settings.ROUNDS)
    medians = {name: {figure: statistics.median(t[figure] for t in each)
                      for figure in each[0]} for name, each in turns.items()}
    goals = check_goals(turns)
    print_results(contestants, medians, turns)
    print_goals(goals)
    noise = {name: machine.spread([t["new"] for t in each])
             for name, each in turns.items()}
    say(f"  middle half of {settings.ROUNDS} rounds within "
        f"{max(noise.values()):.0%} of the median (worst contestant); "
        f"{statistics.median(foreign):.0%} of {os.cpu_count()} processors "
        "busy with other things")
    return {"medians": medians, "turns": turns, "goals": goals,
            "noise": noise, "foreign_load": foreign, "bulk_mib": BIG}
