"""Turns samples into the page `docs/benchmarks.md`."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

from tests.benchmarks.catalogue import IPYTHON, LOCAL, OURS, SIDES, Row, Target, Unit
from tests.benchmarks.runner import Result

HEAD = (
    "| | rlm-kernel | `rlms` ipython | `rlms` local | ours / ipython | ours / local | samples | target |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|"
)
INTRODUCTION = """
rlm-kernel and its peer `rlms` did the same work on one machine in one run, in turns, against one server on loopback
whose models have set latencies and scripted replies. Both are as shipped unless a row says otherwise, and every value
is a median. `rlms` **ipython** is its Jupyter kernel in subprocess mode, which isolates nothing; `rlms` **local** runs
cells with `exec` in the host's own process. Ours is the default: a kernel in bubblewrap. The first call of each side is
not counted, but for batches, trees and memory: it loads modules, and touches memory and files for the first time.
""".strip()
MET, MISSED, UNKNOWN = "met", "**not met**", "not measured"
SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
PACKAGES = ("rlm-kernel", "rlms", "ipykernel", "jupyter_client", "ipython", "openai")


@dataclass(frozen=True)
class Circumstances:
    """How the page came to be."""

    command: str
    quick: bool
    load: tuple[float, float]
    """The machine's load average over a minute, before the first measurement and after the last."""
    server_alone: float
    ours: str
    theirs: str
    """What is installed on each side."""


def versions(python: str) -> str:
    """Say what an environment has installed of what matters here."""
    code = (
        "import platform; from importlib import metadata as m; "
        f"have = {{d.metadata['Name'].replace('-', '_').lower() for d in m.distributions()}}; "
        f"names = [n for n in {PACKAGES!r} if n.replace('-', '_') in have]; "
        "print(', '.join(['Python ' + platform.python_version(), *(f'{n} {m.version(n)}' for n in names)]))"
    )
    return subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def page(results: Sequence[Result], circumstances: Circumstances) -> str:
    """Write the whole page."""
    parts = [_introduction(results, circumstances)]
    for section, group in groupby(results, key=lambda result: result.measurement.section):
        parts += [f"## {section}", table(list(group))]
    return "\n\n".join(parts) + "\n"


def table(results: Sequence[Result]) -> str:
    """Write the rows of some measurements, then how they were measured and what failed."""
    rows = [line for result in results for line in lines(result)]
    how = dict.fromkeys(result.measurement.how for result in results)
    failures = dict.fromkeys(
        f"`{_name(side)}` failed in `{result.measurement.name}` ({len(errors)} times): {errors[0]}"
        for result in results
        for side, errors in result.errors.items()
    )
    return "\n".join([HEAD, *rows, "", *(f"- {text}" for text in (*how, *failures))])


def lines(result: Result) -> list[str]:
    """Write the rows of one measurement."""
    return [_line(result, row) for row in result.measurement.rows]


def _introduction(results: Sequence[Result], circumstances: Circumstances) -> str:
    rows = [(result, row) for result in results for row in result.measurement.rows]
    verdicts = [verdict for result, row in rows for _, verdict in _verdicts(result, row)]
    quick = "**A quick run: few repetitions, so the numbers are provisional.** " if circumstances.quick else ""
    machine = f"{os.cpu_count()} CPUs ({_cpu()}), {_memory() / 1e9:.0f} GB, {platform.system()} {platform.release()}"
    facts = {
        "targets": ", ".join(f"{verdicts.count(verdict)} {verdict.strip('*')}" for verdict in (MET, MISSED, UNKNOWN)),
        "machine": machine,
        "load average": "{:.2f} before the run, {:.2f} after it".format(*circumstances.load),
        "rlm-kernel": circumstances.ours,
        "`rlms`": circumstances.theirs,
        "the server alone": f"1,000 requests at 100 ms on 1,000 connections in {circumstances.server_alone:.2f} s",
    }
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"{quick}Written by `{circumstances.command}` on {time.strftime('%Y-%m-%d')}; do not edit.",
            "",
            INTRODUCTION,
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {fact} |" for name, fact in facts.items()),
        ]
    )


def _line(result: Result, row: Row) -> str:
    samples = {side: result.of(side, row.metric) for side in SIDES}
    values = [_value(samples[side], row.unit, failed=bool(result.errors.get(side))) for side in SIDES]
    ratios = [_ratio(samples[OURS], samples[side]) for side in (IPYTHON, LOCAL)]
    counts = " / ".join(str(len(samples[side])) for side in result.measurement.sides)
    targets = "; ".join(f"{target.text}: {verdict}" for target, verdict in _verdicts(result, row))
    return f"| {row.title} | {' | '.join(values)} | {' | '.join(ratios)} | {counts} | {targets} |"


def _verdicts(result: Result, row: Row) -> Iterator[tuple[Target, str]]:
    ours, theirs = result.of(OURS, row.metric), result.of(IPYTHON, row.metric)
    for target in row.targets:
        if not ours or (target.compares and not theirs):
            yield target, UNKNOWN
        else:
            is_met = target.is_met(median(ours), median(theirs) if theirs else 0.0)
            yield target, MET if is_met else MISSED


def _value(samples: list[float], unit: Unit, *, failed: bool) -> str:
    if not samples:
        return "failed" if failed else "-"
    value = median(samples)
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"
    if unit == "seconds":
        return next(f"{value / size:.3g} {name}" for size, name in SECONDS if value >= size or name == "µs")
    return f"{value:.2f}" if unit == "times" else f"{value:.0f}"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    if not ours or not theirs:
        return "-"
    ratio = median(ours) / median(theirs)
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.2g}"


def _name(side: str) -> str:
    return "rlm-kernel" if side == OURS else f"rlms {side}"


def _cpu() -> str:
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    models = (row.partition(":")[2].strip() for row in rows if row.startswith("model name"))
    return next(models, platform.machine())


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
