"""Attempts on what comes after a completion: the next one in the same REPL, and the end of what was under way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel import RLM, Completion, RLMError, ScriptedModel, journal
from tests.escapes.runs import ANSWER, words, written
from tests.escapes.vocabulary import UNHARMED, Attempt, Drive, Scene, Try, attempt, differs, judged

MOST_SECONDS = 20.0
"""Two completions, with cells that are stopped after a second."""
PROMPT_CHARACTERS = 50_000


@dataclass
class Talk:
    """A conversation: what the root model writes in each of its completions, and what came of them."""

    root: ScriptedModel
    completions: list[Completion] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Sub-calls that a model has answered."""

    @property
    def answers(self) -> list[str]:
        """What was answered."""
        return [completion.text for completion in self.completions]

    @property
    def longest(self) -> int:
        """Characters of the longest message that the root model was sent."""
        return max(len(message.content) for request in self.root.requests for message in request)


async def talk(scene: Scene, *cells: str, delay: float = 0.0, **options: Any) -> Talk:
    """Have a conversation with a completion for each cell, and look at it a while after its last one."""
    root = ScriptedModel(lambda _: written(words() + cells[len(held.completions) + len(held.errors)] + ANSWER))
    held = Talk(root)

    async def sub(messages: list[dict[str, str]]) -> str:
        await asyncio.sleep(delay)
        held.asked.append(messages[-1]["content"])
        return "reply"

    options = {"sub_model": sub, "sandbox": scene.sandbox, "cell_seconds": 1.0, "max_iterations": 2, **options}
    async with RLM(root, **options) as rlm:
        for _ in cells:
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    held.completions.append(await rlm.acompletion("a question", context="the input"))
            except (RLMError, TimeoutError) as error:
                held.errors.append(f"{type(error).__name__}: {str(error)[:200]}")
        await asyncio.sleep(delay + 0.3)
    return held


def deaf(msg_type: str) -> Drive:
    """Have the kernel answer no request of the host's of a type any more."""

    async def drive(scene: Scene) -> list[Try]:
        started = time.monotonic()
        held = await talk(scene, f"kernel.shell_handlers['{msg_type}'] = lambda *args: None\n", "context\n")
        seconds = time.monotonic() - started
        return [
            judged("the answers", differs(held.answers, ["answered"] * 2)),
            judged("the host waited", f"{seconds:.0f} s" if seconds > MOST_SECONDS else None),
        ]

    return drive


LOADED = """
replies = [
    {{"type": 7, "length": "x"}}, {{"error": ["x"]}}, {{"error": "e" * 10_000_000}},
    {{"length": -5, "unit": "u" * 1_000_000, "description": "d" * 10_000_000, "preview": "p" * 10_000_000}},
]
def load(stream, ident, parent):
    kernel.session.send(stream, "rlm_load_reply", replies[{number}], parent, ident=ident)
kernel.shell_handlers["rlm_load_request"] = load
"""


async def _lying_load(scene: Scene) -> list[Try]:
    """What an input is said to be is part of the next prompt."""
    tries = []
    for number in range(4):
        held = await talk(scene, LOADED.format(number=number), "context\n")
        longest = held.longest if held.longest > PROMPT_CHARACTERS else None
        tries += [
            judged(f"the answer before reply {number}", differs(held.answers[:1], ["answered"])),
            judged(f"the root model's prompt after reply {number}", longest),
            judged(f"an endless error after reply {number}", [error for error in held.errors if "Timeout" in error]),
        ]
    return tries


async def _forged_replies(scene: Scene) -> list[Try]:
    """Ids of requests are counted, so those of the next completion's are known."""
    code = """
begin, _, number = own_cell()["msg_id"].rpartition("_")
lie = {"type": "str", "length": 6, "unit": "characters", "description": "forged", "preview": "forged"}
for ahead in range(1, 60):
    parent = {**own_cell(), "msg_id": f"{begin}_{int(number) + ahead}"}
    for msg_type in ("rlm_bind_reply", "rlm_load_reply"): to_shell(message(msg_type, lie, parent=parent))
"""
    held = await talk(scene, code, "answer['content'] = context\n" + "answer['ready'] = True\n#")
    said = [message.content for request in held.root.requests for message in request if "forged" in message.content]
    return [judged("the next completion", [text for text in said if "rpartition" not in text]), *_both(held)]


def _both(held: Talk) -> list[Try]:
    return [judged("the answers", differs((len(held.completions), held.errors), (2, [])))]


async def _spending_on(scene: Scene) -> list[Try]:
    """Calls that are under way when an answer is there: nobody waits for them, and the account is closed."""
    code = """
import time
for number in range(20): to_control(message("rlm_call", call(f"late {number}", f"{number}")))
to_control(message("rlm_tool", tool_call("progress", "p", "late")))
time.sleep(0.2)
"""
    held = await talk(scene, code, "1\n", delay=0.7)
    ends = [list(journal.read(completion.run_dir))[-1].type for completion in held.completions]
    return [
        judged("calls that a model has answered", held.asked),
        judged("events after the end", differs(ends, ["run_finished"] * 2)),
        *_both(held),
    ]


async def _between(scene: Scene) -> list[Try]:
    """A thread that goes on asking when its cell, and its completion, have ended."""
    code = """
import threading, time
def on():
    for number in range(300):
        to_control(message("rlm_call", call(f"between {number}", f"l{number}")))
        to_control(message("rlm_tool", tool_call("progress", f"t{number}", "between")))
        to_control(piece(f"u{number}", "between"))
        time.sleep(0.01)
threading.Thread(target=on, daemon=True).start()
"""
    held = await talk(scene, code, "import time; time.sleep(0.2)\n")
    ends = [list(journal.read(completion.run_dir))[-1].type for completion in held.completions]
    return [judged("events after the end", differs(ends, ["run_finished"] * 2)), *_both(held)]


ATTEMPTS: list[Attempt] = [
    attempt(
        "a kernel that binds nothing",
        "leave the host's request to take the next completion's tools without a reply",
        "cell time",
        UNHARMED,
        deaf("rlm_bind_request"),
    ),
    attempt(
        "a kernel that loads nothing",
        "leave the host's request to load the next input without a reply",
        "cell time",
        UNHARMED,
        deaf("rlm_load_request"),
    ),
    attempt(
        "a load that lies",
        "say of an input what has wrong types, and 10 MB of what the root model then reads",
        "schema check",
        UNHARMED,
        _lying_load,
    ),
    attempt(
        "replies before their requests",
        "forge what the host is told of tools and inputs of the next completion",
        "ids of requests",
        UNHARMED,
        _forged_replies,
    ),
    attempt(
        "spending on",
        "answer, and leave sub-calls under way that nobody waits for",
        "cancelled with the run",
        UNHARMED,
        _spending_on,
    ),
    attempt(
        "calls between completions",
        "go on asking from a thread when the run has ended",
        "nobody answers",
        UNHARMED,
        _between,
    ),
]
