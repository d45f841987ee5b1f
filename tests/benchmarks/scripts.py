"""What the server's models reply. A model's name is its whole behaviour: ``<script><size>-<latency in ms>``.

`sleep-100` says ``ok`` after 100 ms. The other names are root models: their replies depend on the size in the name and
on how many turns they have had, so the server keeps no state and both sides get the same cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Messages = Sequence[Mapping[str, Any]]

OK = "ok"
"""What a sub-call's model says; the cells below count the replies that are something else."""

TREE_LEVELS = 3
TREE_ITERATIONS = 3
"""One would do; the limit ends a tree that has gone wrong."""

_NAME = re.compile(r"(?P<script>[a-z]+)(?P<size>\d*)-(?P<milliseconds>\d+)")


@dataclass(frozen=True)
class Script:
    """A model's name, read."""

    write: Callable[[int, int], str]
    size: int
    latency: float
    """Seconds."""

    @classmethod
    def named(cls, model: str) -> Script:
        """Read a model's name; ``ValueError`` when it is none of ours."""
        match = _NAME.fullmatch(model)
        if match is None or match["script"] not in SCRIPTS:
            raise ValueError(f"no model {model!r}; scripts: {', '.join(SCRIPTS)}")
        return cls(SCRIPTS[match["script"]], int(match["size"] or 0), int(match["milliseconds"]) / 1000)

    def reply(self, messages: Messages) -> str:
        """Reply to a chat."""
        turn = 1 + sum(message["role"] == "assistant" for message in messages)
        return self.write(self.size, turn)


def _sleep(size: int, turn: int) -> str:
    return OK


def _turns(size: int, turn: int) -> str:
    """Answer on turn ``size``."""
    return _cell(f"x = {turn}") if turn < size else _answer(str(turn))


def _single(size: int, turn: int) -> str:
    """Ask ``size`` sub-calls, one after the other; the answer is the seconds of each."""
    return _cell(
        "import json, time",
        "seconds, wrong = [], 0",
        f"for number in range({size}):",
        "    started = time.perf_counter()",
        f"    wrong += llm_query(f'prompt {{number}}') != {OK!r}",
        "    seconds.append(time.perf_counter() - started)",
        "answer['content'] = json.dumps({'seconds': seconds, 'wrong': wrong})",
        "answer['ready'] = True",
    )


def _batch(size: int, turn: int) -> str:
    """Ask ``size`` sub-calls in one batch; the answer is the seconds of all."""
    return _cell(
        "import json, time",
        f"prompts = [f'prompt {{number}}' for number in range({size})]",
        "started = time.perf_counter()",
        "replies = llm_query_batched(prompts)",
        "seconds = [time.perf_counter() - started]",
        f"wrong = sum(reply != {OK!r} for reply in replies) + abs(len(replies) - {size})",
        "answer['content'] = json.dumps({'seconds': seconds, 'wrong': wrong})",
        "answer['ready'] = True",
    )


def _tree(size: int, turn: int) -> str:
    """Give ``size`` children a level each until the tree has its levels; the answer is the number of nodes.

    ``context`` ends with a node's level, so that one cell serves them all.
    """
    return _cell(
        "level = int(str(context).split()[-1])",
        f"last = level == {TREE_LEVELS - 1}",
        f"parts = [] if last else rlm_query_batched([f'level {{level + 1}}'] * {size})",
        "answer['content'] = str(1 + sum(int(part) for part in parts))",
        "answer['ready'] = True",
    )


SCRIPTS: dict[str, Callable[[int, int], str]] = {
    "sleep": _sleep,
    "turns": _turns,
    "single": _single,
    "batch": _batch,
    "tree": _tree,
}


def nodes(size: int) -> int:
    """Count the nodes of the tree that `tree<size>` makes."""
    return sum(size**level for level in range(TREE_LEVELS))


def _cell(*lines: str) -> str:
    return "\n".join(["```repl", *lines, "```"])


def _answer(content: str) -> str:
    return _cell(f"answer['content'] = {content!r}", "answer['ready'] = True")
