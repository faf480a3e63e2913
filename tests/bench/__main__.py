"""`python -m tests.bench`: run it all, print the tables, write docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.bench import report, steps
from tests.bench.figures import Results

STEPS = {
    "queued": steps.queued,
    "cached": steps.cached,
    "processes": steps.processes,
    "streams": steps.streams,
    "pings": steps.pings,
    "loading": steps.loading,
    "huge": steps.huge,
    "starting": steps.starting,
    "sizes": steps.sizes,
}
_DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--only", nargs="+", choices=STEPS, help="these steps, and write no page")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("ipsecfd: network namespaces need root: sudo make bench")
    console = Console(stderr=arguments.json)
    results = Results()
    run = steps.Run(results, arguments.rounds, arguments.seconds)
    wanted = arguments.only or list(STEPS)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(wanted))
        for name in wanted:
            progress.update(task, description=f"{name:10}")
            STEPS[name](run)
            progress.advance(task)
    report.show(results, console)
    if not arguments.only:
        report.write(results, _DOCS, arguments.rounds)
        console.print("Written: docs/performance.md")
    if arguments.json:
        rates = {f"{name}, {load}": rate for (name, load), rate in results.rates.items()}
        figures = [asdict(one) | {"met": one.met} for one in results.figures]
        print(json.dumps({"rates": rates, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
