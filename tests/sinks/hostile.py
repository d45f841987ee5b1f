"""Texts that try to leave the place they are put in, and a run which has them everywhere."""

from __future__ import annotations

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from tests.events.stories import call, cell, child, numbered, output, turn

TEXTS = {
    "tags": "</details></summary></pre></div></style><script>alert(1)</script>",
    "attributes": "\"><img src=x onerror=alert(1)> ' onmouseover='alert(1)",
    "comments": "<!-- <![CDATA[ ]]> <?php ?> &lt;b&gt; &#x3c;script&#x3e; \x00<\x00script>",
    "terminal": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;https://x.example\x1b\\link \x1b[2J\x1bc \x9b31m \r\x08",
    "strings": "\x1bP1$q\x1b\\ \x1b_private\x1b\\ \x1b[",
    "markup": "[bold red]loud[/] [link=https://x.example]x[/link] [/nothing] \\[x] :smile: {{x}} $x$",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u202egnp.exe\u202c \u2067\u0645\u0631\u062d\u0628\u0627 \u200f",
    "combining": "Z" + "\u0335\u0322\u0347\u0489" * 200,
    "surrogates": "\ud800 lone \udfff",
    "long line": "x" * 1_000_000,
    "fences": "`" * 100_000,
    "lines": "line\u2028line\u2029line\x85line\x0bline\r\n" * 100,
}


def run(text: str) -> list[Event]:
    """A run that says the text wherever a model, a document or a provider can say something."""
    about = {"type": "str", "length": 1, "unit": "characters", "description": text}
    inside = [
        *call(1, text, text),
        *call(2, text, text, status="error"),
        *child(3, text, text, *turn(1, text, *cell(text, output(text, node="0.3"), node="0.3"), node="0.3")),
        events.CallRequested(call="0.4", kind="llm", model=text, prompt=text, cell=1),
        *(output(text, kind) for kind in ("stdout", "stderr", "execute_result", "error")),
        events.CellOutput(cell=1, kind="display_data", data={"text/html": text, "image/png": text}),
    ]
    return numbered(
        events.RunStarted(run="r", question=text, options={"system_prompt": text}),
        events.NodeStarted(depth=0, model=text, question=text, context=about),
        *turn(1, text, *cell(text, *inside)),
        *turn(
            2, f"Words.\n```repl\n{text}\n```", *cell(text, output(text, index=2), index=2, iteration=2, status="died")
        ),
        events.Note(text=text),
        events.NodeAnswered(value=text, text=text),
        events.NodeFinished(stop_reason="error", seconds=1.0, error=text),
        events.RunFinished(stop_reason="error", usage=Usage(4, 1000, 100, 1), seconds=1.0, error=text),
    )
