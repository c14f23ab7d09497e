# SPDX-License-Identifier: Apache-2.0
"""Runs chapters, by default all of them, and writes the JSON."""

import importlib
import json
import sys
import time

from bench import machine, settings
from bench.report import say
from lab import Lab

CHAPTERS = {"datapath": "What a connection, a request and a byte cost",
            "balance": "Shares asked for, and what comes of them",
            "disturbance": "Who is moved when a pool changes",
            "control": "From a file to the switch",
            "refresh": "Weights by load: what a round costs, what it brings",
            "failover": "How long a service is away when its server dies"}


def write(results):
    """After each chapter, so that what there is outlives an interrupt."""
    with open(settings.JSON, "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def main(args):
    unknown = [arg for arg in args if arg not in CHAPTERS]
    if unknown:
        sys.exit(f"bench: no chapter {unknown[0]}; there are "
                 + ", ".join(CHAPTERS))
    begin = time.monotonic()
    results = {"machine": machine.describe(Lab.lbgen_path())}
    for name, value in results["machine"].items():
        say(f"{name:<11} {value}")
    for i, (chapter, title) in enumerate(CHAPTERS.items()):
        if not args or chapter in args:
            say(f"\n{i + 1}. {title} ({chapter})\n")
            module = importlib.import_module(f"bench.{chapter}")
            results[chapter] = module.run()
            results["seconds"] = time.monotonic() - begin
            write(results)
    say(f"\n{results['seconds']:.0f} s; all figures are in {settings.JSON}")


if __name__ == "__main__":
    main(sys.argv[1:])
