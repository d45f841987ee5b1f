"""Runs the benchmarks: ``python -m tests.benchmarks [--quick] [--only NAME ...]``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from tests.benchmarks import load, report, runner, server
from tests.benchmarks.catalogue import MEASUREMENTS

PAGE = Path("docs/benchmarks.md")


def _arguments() -> argparse.Namespace:
    names = ", ".join(measurement.name for measurement in MEASUREMENTS)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"print some rows, write no page: {names}")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to see that everything runs")
    parser.add_argument("--peer", default=".venv-rlms/bin/python", help="Python of the environment that has rlms")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"where to write the page ({PAGE})")
    arguments = parser.parse_args()
    unknown = set(arguments.only or ()) - {measurement.name for measurement in MEASUREMENTS}
    if unknown:
        parser.error(f"no measurement {sorted(unknown)[0]!r}; there are: {names}")
    if not Path(arguments.peer).exists():
        parser.error("the environment of rlms is missing: `make bench` makes it")
    return arguments


def main() -> None:
    """Measure, show the tables, write the page."""
    arguments = _arguments()
    before = os.getloadavg()[0]
    chosen = [m for m in MEASUREMENTS if not arguments.only or m.name in arguments.only]
    results = []
    with server.running() as base_url:
        server_alone = asyncio.run(load.many(base_url, size=1000, milliseconds=100))
        for measurement in chosen:
            print(measurement.name, file=sys.stderr)
            results.append(runner.run(measurement, base_url, arguments.peer, quick=arguments.quick))
            print("\n".join(report.lines(results[-1])), file=sys.stderr)
    if arguments.only:
        print(report.table(results))
        return
    circumstances = report.Circumstances(
        command="make bench ARGS=--quick" if arguments.quick else "make bench",
        quick=arguments.quick,
        load=(before, os.getloadavg()[0]),
        server_alone=server_alone,
        ours=report.versions(sys.executable),
        theirs=report.versions(arguments.peer),
    )
    arguments.page.write_text(report.page(results, circumstances), encoding="utf-8")
    print(f"{arguments.page}: {len(results)} measurements", file=sys.stderr)


if __name__ == "__main__":
    main()
