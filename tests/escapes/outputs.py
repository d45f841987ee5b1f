"""Attempts on the people and programs that read a run: its notebook, its terminal, its journal, its root model."""

from __future__ import annotations

from rlm_kernel.events.types import CellFinished
from tests.escapes.memory import HOST_GROWTH
from tests.escapes.protocol import POISON
from tests.escapes.runs import ask, views, words, written
from tests.escapes.vocabulary import UNHARMED, Attempt, Drive, Scene, Try, attempt, judged

PROMPT_CHARACTERS = 200_000
"""More than this for one cell would be paid for, turn after turn."""


def in_views(*cells: str) -> Drive:
    """Run cells and look at the views."""

    async def drive(scene: Scene) -> list[Try]:
        ran = await ask(scene, *cells, child=lambda _: written("print(context)\nanswer['ready'] = True"), max_depth=2)
        return views(ran.completion)

    return drive


ESCAPES = r"""
import sys
evil = "\x1b]52;c;ZXZpbA==\x07 \x1b]0;title\x07 \x1b[2J\x1b[H\x1b[31m \x9b31m \x1bP+q\x1b\\ \x07\x08\r"
evil += "\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\"
print(evil)
print(evil, file=sys.stderr)
globals()[evil] = evil
answer["content"] = evil
class Loud(Exception):
    __module__ = evil
    def __str__(self): return evil
    def __repr__(self): return evil
display(Loud())
llm_query(evil)
progress(evil)
whatever(lambda: llm_query(evil, model=evil))
rlm_query(evil, context=evil)
rlm_query(evil, context={evil: [evil]})
whatever(lambda: asked(wire.ToolCall("", evil, [evil], {evil: evil})))
raise Loud(evil)
"""

TAGS = r"""
from IPython.display import HTML, SVG, Image, Javascript, Markdown, display
evil = "</pre></details></style><script>alert(1)</script><iframe src=//x.example>"
evil += "<img src=https://x.example/?stolen onerror=alert(1)>"
for kind in (HTML, Javascript, Markdown): display(kind(evil))
for mime in ("text/html", "image/svg+xml", "image/png", "image/jpeg", "application/javascript", "text/markdown",
             "text/latex", "application/vnd.jupyter.widget-view+json", "application/pdf", evil):
    display({mime: evil, "text/plain": evil}, raw=True)
    display({mime: 'x" onerror="alert(1)'}, raw=True)
print(evil)
answer["content"] = [evil, {evil: evil}]
globals()[evil] = evil
llm_query(evil)
progress(evil)
rlm_query(evil, context={evil: evil})
whatever(lambda: asked(wire.ToolCall("", evil, [evil], {evil: evil})))
raise ValueError(evil)
"""

BUNDLE = r"""
display({"text/html": "<b>" * 2_000_000, "text/plain": "x" * 5_000_000, "image/png": "A" * 20_000_000}, raw=True)
display({f"x-{n}/{'y' * 50}": "z" * 50 for n in range(100_000)}, raw=True)
for _ in range(3000): display({"text/html": "<b>x</b>", "text/plain": "y" * 300, "image/png": "A" * 300}, raw=True)
"""


async def _forged_bundle(scene: Scene) -> list[Try]:
    """Past the kernel's own limits: straight to the host."""
    code = (
        words()
        + r"""
own = own_cell()
bundles = [{"text/plain": {"a": [1] * 100_000}, "image/png": ["A"] * 100_000, "text/html": 7},
           {f"x/{n}": "y" for n in range(50_000)}, {"k" * 10_000_000 + "/x": "y"}]
for bundle in bundles: to_iopub(message("display_data", {"data": bundle}, parent=own))
for _ in range(20_000): to_iopub(message("stream", {"name": "stdout", "text": "x"}, parent=own))
"""
    )
    ran = await ask(scene, code)
    return [judged("the host's memory", ran.memory.beyond(HOST_GROWTH)), *views(ran.completion)]


async def _inflated_prompt(scene: Scene) -> list[Try]:
    """Everything of a cell's report that the root model is told."""
    code = (
        words()
        + r"""
report = {"ready": False, "is_json": False, "value": None, "text": "t" * 5_000_000,
          "restored": ["r" * 1000] * 5000, "variables": {f"v{n}" * 100: "t" * 1000 for n in range(5000)}}
type(kernel).finish_metadata = lambda self, parent, metadata, content: {"rlm": report}
class Named: pass
Named.__name__ = "N" * 1_000_000
print("x" * 900_000)
raise Named() if False else ValueError("e" * 1_000_000)
"""
    )
    ran = await ask(scene, code)
    longest = max(len(request[-1].content) for request in ran.root.requests)
    too_long = longest if longest > PROMPT_CHARACTERS else None
    return [judged("the root model's prompt", too_long), *views(ran.completion)]


async def _deep_answer(scene: Scene) -> list[Try]:
    """JSON which the kernel can write and the host might not."""
    deep = "value = 1\nfor _ in range({depth}): value = [value]\nanswer['content'] = value\n"
    forged = (
        words()
        + r"""
depth = 960
raw = b'{"rlm": {"ready": false, "is_json": true, "text": "x", "value": ' + b"[" * depth + b"]" * depth + b"}}"
own = own_cell()
to_shell(message("execute_reply", {"status": "ok"}, parent=own, metadata=raw))
"""
    )
    ran = await ask(scene, *(deep.format(depth=depth) for depth in (200, 500, 900, 5000)), forged)
    cells = [event for event in ran.events if isinstance(event, CellFinished)]
    return [judged("cells that never end", [c for c in cells if c.status != "ok"]), *views(ran.completion)]


async def _poisoned_run(scene: Scene) -> list[Try]:
    """The poison of the protocol's attempts, with a whole run behind the session."""
    code = (
        words()
        + POISON
        + r"""
own = own_cell()
surrogate = b'{"id": "s", "kind": "llm", "prompts": ["\\ud800"], "model": "\\udfff"}'
for content in (*poison.values(), surrogate):
    to_control(message("rlm_call", content))
    for msg_type in ("stream", "display_data", "error"): to_iopub(message(msg_type, content, parent=own))
to_iopub(message("stream", b'{"name": "stdout", "text": "\\ud800"}', parent=own))
to_iopub(message("display_data", b'{"data": {"text/plain": "\\ud800", "\\udfff": "x"}}', parent=own))
numbers = b'{"data": {"text/plain": NaN, "text/html": Infinity, "application/json": [[1e999]]}}'
to_iopub(message("display_data", numbers, parent=own))
print(llm_query("lone \ud800 surrogate"))
answer["content"] = "lone \udfff surrogate"
"""
    )
    return views((await ask(scene, code)).completion)


ATTEMPTS: list[Attempt] = [
    attempt(
        "terminal sequences",
        "set the clipboard and the title of the terminal, clear it, colour it, from every place that shows a text",
        "control characters are not shown",
        UNHARMED,
        in_views(words() + ESCAPES),
    ),
    attempt(
        "tags and scripts",
        "put scripts, foreign images and frames into the notebook's page, by outputs, notes, tools and children",
        "everything is shown as text",
        UNHARMED,
        in_views(words() + TAGS),
    ),
    attempt(
        "a huge bundle",
        "show 30 MB at once, 100,000 formats, and 3,000 pictures",
        "limit on a cell's output",
        UNHARMED,
        in_views(BUNDLE),
    ),
    attempt(
        "a forged bundle",
        "send outputs past the kernel's own limits: of other types, of 50,000 formats, in 20,000 messages",
        "limit on a cell's output",
        UNHARMED,
        _forged_bundle,
    ),
    attempt(
        "an inflated prompt",
        "make the root model's next prompt long and dear: names, types, errors and restored names without end",
        "limit on what the root model is told",
        UNHARMED,
        _inflated_prompt,
    ),
    attempt(
        "a deep answer",
        "answer with lists in lists, up to 5,000 deep",
        "schema check",
        UNHARMED,
        _deep_answer,
    ),
    attempt(
        "a poisoned run",
        "send the worst JSON and texts that UTF-8 cannot write to a whole run, with its journal and its views",
        "schema check",
        UNHARMED,
        _poisoned_run,
    ),
]
