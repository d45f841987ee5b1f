"""What is measured, how often, and against which target of the issue that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OURS, IPYTHON, LOCAL = SIDES = ("ours", "ipython", "local")

Unit = Literal["seconds", "bytes", "times", "number"]

MB = 1_000_000
GB = 1_000 * MB


@dataclass(frozen=True)
class Target:
    """A promise about a row: our median, and where it is compared, the median of the peer's kernel."""

    text: str
    is_met: Callable[[float, float], bool]
    compares: bool


def at_most(maximum: float, text: str) -> Target:
    return Target(f"≤ {text}", lambda ours, _: ours <= maximum, compares=False)


def share(maximum: float, text: str) -> Target:
    """Bound ours as a share of the peer's."""
    return Target(text, lambda ours, theirs: ours <= maximum * theirs, compares=True)


@dataclass(frozen=True)
class Row:
    """A line of the table: one metric of a measurement."""

    title: str
    metric: str
    unit: Unit = "seconds"
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One function of the workers, called ``repetitions`` times on each side in turn.

    ``warm_up`` calls come before and are not counted: they load modules and make the files that later calls find in
    the page cache. ``served`` measurements are told the server's address.
    """

    name: str
    section: str
    how: str
    call: str
    rows: tuple[Row, ...]
    repetitions: int
    quick: int = 1
    warm_up: int = 1
    sides: tuple[str, ...] = SIDES
    arguments: Mapping[str, Any] = field(default_factory=dict)
    served: bool = False


START, CELLS, CALLS, RUNS, INPUTS, SIZE = (
    "Start",
    "Cells",
    "Sub-calls",
    "Whole runs",
    "Big inputs",
    "Size",
)


def _cell(name: str, code: str) -> Measurement:
    return Measurement(
        name=name,
        section=CELLS,
        how=(
            "A cell in a live kernel: ours between the run's events `cell_started` and `cell_finished` "
            "(journal and all), theirs around `execute_code`, which makes two requests of its kernel."
        ),
        call="cell",
        arguments={"code": code, "count": 100},
        rows=(
            Row(
                f"cell `{code}`",
                "seconds",
                targets=(at_most(0.0016, "1.6 ms"), share(0.4, "< 0.4 of theirs")),
            ),
        ),
        repetitions=5,
        quick=1,
    )


def _batch(concurrency: int | None) -> Measurement:
    setting = "as shipped" if concurrency is None else f"`max_concurrency={concurrency}`"
    first = (share(1 / 3, "3 times sooner than theirs"),) if concurrency is None else ()
    return Measurement(
        name="batch" if concurrency is None else f"batch-{concurrency}",
        section=CALLS,
        how=(
            "`llm_query_batched` over 1,000 prompts, as its cell sees it; every reply is checked, and the "
            "server counts the requests. The ideal is full rounds of calls that cost 100 ms each and nothing "
            "else. `rlms` has no option for the concurrency of `llm_query_batched`."
        ),
        call="batch",
        arguments={"size": 1000, "milliseconds": 100, "concurrency": concurrency},
        rows=(
            Row(f"1,000 sub-calls at 100 ms, {setting}", "seconds", targets=first),
            Row("... over the ideal for that concurrency", "times_ideal", "times", (at_most(1.25, "1.25"),)),
            Row("... most in flight at the server", "in_flight", "number"),
        ),
        repetitions=3,
        quick=2 if concurrency is None else 3,
        warm_up=0,
        sides=SIDES if concurrency is None else (OURS,),
        served=True,
    )


def _context(size: int, kind: str, targets: tuple[Target, ...], peak: tuple[Target, ...]) -> Measurement:
    title = f"{size // MB} MB" if size < GB else f"{size // GB} GB"
    return Measurement(
        name=f"context-{title.replace(' ', '')}-{kind}".lower(),
        section=INPUTS,
        how=(
            "ASCII text into a kernel that is running, until `context` is there; its length is checked. Peak "
            "memory is the kernel process's `VmHWM`. `local` has no kernel: the input stays in the host's "
            "process. `rlms` takes no path."
        ),
        call="context",
        arguments={"characters": size, "kind": kind},
        rows=(
            Row(f"{title} as a `{kind}`", "seconds", targets=targets),
            Row("... peak memory of the kernel", "peak", "bytes", peak),
        ),
        repetitions=5 if size < GB else 3,
        quick=5 if size < GB else 2,
        sides=SIDES if kind == "str" else (OURS,),
    )


MEASUREMENTS = (
    Measurement(
        name="start",
        section=START,
        how=(
            "First kernel: ours from the call of `completion` to the event `node_started`, theirs the "
            "construction of the environment; both with a context of 1 kB in it. First request: from the call"
            " of `completion` to the arrival at the server."
        ),
        call="start",
        rows=(
            Row("first kernel of a run ready", "kernel", targets=(at_most(0.350, "350 ms"),)),
            Row("completion called to root model asked", "asked"),
        ),
        repetitions=10,
        quick=3,
        served=True,
    ),
    Measurement(
        name="child",
        section=START,
        how=(
            "Child kernel: ours from `call_requested` to the child's `node_started`, one child after the "
            "other; theirs makes an environment of the same kind for each child."
        ),
        call="child",
        arguments={"count": 10},
        rows=(
            Row(
                "child kernel ready",
                "kernel",
                targets=(at_most(0.040, "40 ms"), share(1 / 10, "10 times faster than theirs")),
            ),
        ),
        repetitions=3,
    ),
    _cell("cell-assign", "x = 1"),
    _cell("cell-print", "print(1)"),
    Measurement(
        name="sub-call",
        section=CALLS,
        how=(
            "One `llm_query` after the other, timed in the cell. Answered in the host's process: the model is"
            " an object that replies at once, so what is left is the way to it and back with all accounting."
        ),
        call="sub_call",
        arguments={"count": 200},
        rows=(Row("single sub-call, model in the host", "seconds", targets=(at_most(0.0006, "0.6 ms"),)),),
        repetitions=5,
        quick=2,
    ),
    Measurement(
        name="bridge",
        section=CALLS,
        how="The two messages alone: a kernel without engine, ledger and journal.",
        call="bridge",
        arguments={"count": 200},
        rows=(Row("... the wall alone", "seconds"),),
        repetitions=5,
        quick=2,
        sides=(OURS,),
    ),
    Measurement(
        name="sub-call-served",
        section=CALLS,
        how=(
            "Through the server, latency 0: the `openai` SDK and HTTP are in it. Ours streams replies, theirs does not."
        ),
        call="sub_call_served",
        arguments={"count": 100},
        rows=(Row("single sub-call, model behind the server", "seconds"),),
        repetitions=5,
        quick=2,
        served=True,
    ),
    Measurement(
        name="sdk",
        section=CALLS,
        how=(
            "By `create` of the `openai` SDK alone, each on the transport of its side; ours asks with `post`, "
            "which does less."
        ),
        call="sdk",
        arguments={"count": 100},
        rows=(Row("... the SDK's request alone", "seconds"),),
        repetitions=5,
        quick=2,
        served=True,
    ),
    _batch(None),
    _batch(64),
    _batch(256),
    Measurement(
        name="batch-256-alone",
        section=CALLS,
        how=(
            "The same requests, 256 at once, without kernel, engine and journal: the `openai` SDK's `create`, and "
            "`aiohttp`, the HTTP library below it. The ideal is 0.4 s; what is above it is this process's own work."
        ),
        call="alone",
        arguments={"size": 1000, "milliseconds": 100, "concurrency": 256},
        rows=(
            Row("... the same by the SDK alone", "sdk", "times"),
            Row("... the same by bare HTTP alone", "http", "times"),
        ),
        repetitions=3,
        quick=3,
        warm_up=0,
        sides=(OURS,),
        served=True,
    ),
    Measurement(
        name="turns",
        section=RUNS,
        how=(
            "A root model at the server, latency 0, that writes nine cells and then answers. One turn: "
            "between two requests of it, as the server sees them."
        ),
        call="turns",
        arguments={"count": 10},
        rows=(Row("10 turns, whole completion", "whole"), Row("... one turn", "turn")),
        repetitions=5,
        quick=2,
        served=True,
    ),
    Measurement(
        name="tree",
        section=RUNS,
        how=(
            "Every node is an RLM with a REPL of its own and one turn; the answer counts the nodes and is "
            "checked. Both as shipped: `rlms` runs 4 children of a node at once."
        ),
        call="tree",
        arguments={"size": 8},
        rows=(Row("a tree of 1 + 8 + 64 RLM nodes", "seconds"),),
        repetitions=3,
        warm_up=0,
        served=True,
    ),
    Measurement(
        name="tree-one-at-a-time",
        section=RUNS,
        how=(
            "The same tree with `max_concurrent_subcalls=1`: in `local` the children of a node share the process's "
            "working directory and output, and run into one another."
        ),
        call="tree",
        arguments={"size": 8, "one_at_a_time": True},
        rows=(Row("... one child at a time", "seconds"),),
        repetitions=3,
        warm_up=0,
        sides=(LOCAL,),
        served=True,
    ),
    Measurement(
        name="journal",
        section=RUNS,
        how=(
            "20 turns and 300 sub-calls over 1 MB, models that answer at once: the run with its journal and its kept "
            "input, and the same without, in turns. The share is of the run's own time, where models take none."
        ),
        call="journal",
        arguments={"calls": 300},
        rows=(
            Row("a run with 300 sub-calls, journal and all", "with"),
            Row("... the journal's share", "share", "times", (at_most(0.05, "0.05"),)),
        ),
        repetitions=3,
        sides=(OURS,),
    ),
    Measurement(
        name="fold",
        section=RUNS,
        how="From events in memory.",
        call="fold",
        arguments={"calls": 10_000},
        rows=(Row("the tree of 10,000 sub-calls", "seconds", targets=(at_most(1.0, "1 s"),)),),
        repetitions=5,
        sides=(OURS,),
    ),
    Measurement(
        name="notebook",
        section=RUNS,
        how=(
            "As `%%rlm` shows it, in a real ipykernel whose client takes all that it sends, and asks for the tree "
            "over a subshell: with the tree and with `--quiet`, in turns; 64 calls at once. Share of the time without."
        ),
        call="notebook",
        arguments={"calls": 10_000, "milliseconds": 100},
        rows=(
            Row("a run with 10,000 sub-calls at 100 ms, its call tree in a notebook", "with"),
            Row("... the tree's share", "share", "times", (at_most(0.05, "0.05"),)),
        ),
        repetitions=3,
        warm_up=0,
        sides=(OURS,),
    ),
    _context(100 * MB, "str", (at_most(0.15, "0.15 s"),), ()),
    _context(100 * MB, "Path", (at_most(0.15, "0.15 s"),), ()),
    _context(GB, "str", (at_most(1.5, "1.5 s"),), (at_most(2.2 * GB, "2.2 GB"),)),
    _context(GB, "Path", (at_most(1.5, "1.5 s"),), (at_most(2.2 * GB, "2.2 GB"),)),
    Measurement(
        name="coverage",
        section=INPUTS,
        how=(
            "What `coverage` does: an index of 100 MB of ASCII text that does not repeat, then 10,000 prompts, each a "
            "short question with 10,000 characters of it, from all over it; each has to be found whole."
        ),
        call="coverage",
        arguments={"characters": 100 * MB, "prompts": 10_000, "length": 10_000},
        rows=(
            Row("what was read of 100 MB: the index", "index"),
            Row("... matching 10,000 prompts of 10,000 characters", "match"),
        ),
        repetitions=5,
        sides=(OURS,),
    ),
    Measurement(
        name="memory",
        section=SIZE,
        how=(
            "Eight child kernels alive at once, each after one cell, from the host's `smaps_rollup`. Own: "
            "pages that no other process has. PSS: shared pages divided by their users. `local` has no "
            "kernel."
        ),
        call="memory",
        arguments={"count": 8},
        rows=(
            Row("own memory of a child kernel", "own", "bytes", (at_most(15 * MB, "15 MB"),)),
            Row("... PSS", "pss", "bytes"),
        ),
        repetitions=3,
        warm_up=0,
    ),
    Measurement(
        name="imports",
        section=SIZE,
        how=(
            "`from rlm_kernel import RLM` and `from rlm import RLM` in fresh processes; neither loads a "
            "model's SDK then."
        ),
        call="imports",
        rows=(Row("import", "seconds"),),
        repetitions=10,
        quick=3,
    ),
)
