"""What goes wrong elsewhere with the REPL's state and the running of cells (faults 13 to 25), and how it goes here."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlm_kernel import RLM, Completion, ModelError, SandboxError, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.host import doctor
from rlm_kernel.host import session as sessions
from rlm_kernel.host.options.loop import PROMPTS
from rlm_kernel.host.sandboxes import bubblewrap, sandbox_names
from tests.host.script import cell, done, events_of, heard

EXIT = cell("import os; os._exit(3)")
"""Ends the kernel's process."""


def shout(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"].upper()


def printed(completion: Completion, node: str = "0") -> str:
    outputs = [event for event in events_of(completion, events.CellOutput) if event.node == node]
    return "".join(str(event.data.get("text/plain", "")) for event in outputs)


def statuses(completion: Completion) -> list[str]:
    return [event.status for event in events_of(completion, events.CellFinished)]


async def test_children_at_once_keep_their_folders_and_their_output_apart() -> None:
    """3.2, fault 13: REPLs that share a process share its folder and its stdout too; the parent's prints get lost."""
    all_four = asyncio.Barrier(4)

    async def sub(messages: Any) -> str:
        await all_four.wait()  # every child is in the middle of its cell
        return "go on"

    def child(messages: Any) -> str:
        code = (
            "import os\nos.mkdir(context); os.chdir(context)\nprint(context, 1)\nllm_query(context)\nprint(context, 2)"
        )
        return f"{cell(code)}\n{done('os.path.basename(os.getcwd())')}"

    root = ScriptedModel(
        [cell("print('first')\nnames = rlm_query_batched(list('abcd'))\nprint('last')"), done("names")]
    )
    completion = await RLM(root, child_model=child, sub_model=sub, max_depth=2).acompletion("q", "c")
    assert completion.answer == ["a", "b", "c", "d"]
    assert printed(completion) == "first\nlast\n"
    children = [event for event in events_of(completion, events.CallRequested) if event.kind == "rlm"]
    assert [printed(completion, c.call) for c in children] == [f"{c.prompt} 1\n{c.prompt} 2\n" for c in children]


def test_runs_on_four_threads_keep_apart_and_leave_the_program_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """3.2, fault 13: runs on several threads crash each other, because each of them moves the whole program."""
    all_four, here = threading.Barrier(4, timeout=20), Path.cwd()

    def sub(messages: list[dict[str, str]]) -> str:
        all_four.wait()
        return messages[-1]["content"]

    def ask(name: str) -> Completion:
        code = "import os\nos.mkdir(context); os.chdir(context)\nprint(context)\nprint(llm_query(context))"
        return RLM(ScriptedModel([cell(code), done("os.getcwd()")]), sub_model=sub).completion("q", name)

    with ThreadPoolExecutor(4) as pool:
        completions = dict(zip("abcd", pool.map(ask, "abcd"), strict=True))
    assert {name: Path(str(c.answer)).name for name, c in completions.items()} == {name: name for name in "abcd"}
    assert [printed(c) for c in completions.values()] == [f"{name}\n{name}\n" for name in "abcd"]
    assert Path.cwd() == here
    assert capsys.readouterr().out == ""


async def test_a_cell_that_raises_keeps_its_variables_and_what_it_has_paid_for() -> None:
    """3.2, fault 14: after an exception all variables of the cell are gone, and paid replies with them."""
    sub = ScriptedModel(shout)
    bound = "first = llm_query('one')\n_hidden = [llm_query('two')]\n1 / 0"
    unbound = "rest = [llm_query(p) for p in ['three', 'four']] + 1"
    again = "[first, *_hidden, *llm_query_batched(['three', 'four'])]"
    root = ScriptedModel([cell(bound), cell(unbound), done(again)])
    completion = await RLM(root, sub_model=sub).acompletion("q", "c")
    assert completion.answer == ["ONE", "TWO", "THREE", "FOUR"]
    assert statuses(completion) == ["error", "error", "ok"]
    assert len(sub.requests) == 4, "what was paid for once is asked again"


async def test_a_hung_cell_ends_by_itself_and_is_told_from_an_interrupt() -> None:
    """3.2, fault 15: without a time limit one hung cell holds up everything behind it for as long as it likes."""
    hung = "kept = 7\nimport time; time.sleep(99)"
    root = ScriptedModel([f"{cell(hung)}\n{cell('behind = kept')}", cell("raise KeyboardInterrupt"), done("behind")])
    completion = await RLM(root, cell_seconds=0.8).acompletion("q", "c")
    assert completion.answer == 7
    assert statuses(completion) == ["timeout", "ok", "interrupted", "ok"]
    assert "ran too long" in heard(root, 1)
    assert "interrupted" not in heard(root, 1)
    assert "ran too long" not in heard(root, 2)
    assert RLM(root).options.cell_seconds == 120


STUCK = {
    "waits": ("await asyncio.Event().wait()", True),
    "waits when it is cancelled": ("try: await asyncio.sleep(99)\nfinally: await asyncio.sleep(99)", True),
    "cannot be cancelled": ("while True:\n  try: await asyncio.sleep(99)\n  except BaseException: pass", False),
}


@pytest.mark.parametrize(("code", "survives"), STUCK.values(), ids=STUCK)
async def test_a_stuck_await_ends(code: str, survives: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.2, fault 16: an interrupt is believed to have worked; a stuck ``await`` stays, and so does everything else."""
    monkeypatch.setattr(sessions, "INTERRUPT_SECONDS", 1.0 if survives else 0.3)
    root = ScriptedModel([cell("import asyncio\nkept = 7"), cell(code), done("[context, globals().get('kept')]")])
    completion = await RLM(root, cell_seconds=0.5).acompletion("q", "still here")
    assert completion.answer == ["still here", 7 if survives else None]
    assert statuses(completion) == ["ok", "timeout", "ok"]
    assert ("Your variables are lost: kept (int)." in heard(root, 2)) is not survives


async def test_a_dead_kernel_is_replaced_and_no_cell_runs_twice() -> None:
    """3.2, fault 17: a dead kernel ends the session, or its cells run again with everything that they do outside."""
    sent: list[str] = []
    sub = ScriptedModel(shout)
    work = "send('mail')\npaid = llm_query('one')\nanswer['content'] = paid"
    root = ScriptedModel([cell(work), EXIT, done("[llm_query('one'), context, 'paid' in globals()]")])
    completion = await RLM(root, sub_model=sub, tools={"send": sent.append}).acompletion("q", "still here")
    assert completion.answer == ["ONE", "still here", False]
    assert (sent, len(sub.requests)) == (["mail"], 1)
    assert "Your variables are lost: paid (" in heard(root, 2)
    assert statuses(completion) == ["ok", "died", "ok"]


async def test_the_best_answer_outlives_its_kernel_and_failed_turns_can_be_limited() -> None:
    """3.2, fault 17: a session that can only die goes on dying, and what it had found out is lost."""
    fatal = [cell(f"import os; os._exit({status})") for status in range(1, 10)]
    root = ScriptedModel([cell("answer['content'] = 'so far'"), *fatal])
    completion = await RLM(root, max_errors=3).acompletion("q", "c")
    assert (completion.answer, completion.stop_reason) == ("so far", "max_errors")
    assert statuses(completion) == ["ok", "died", "died", "died"]


async def test_what_a_new_kernel_has_again_and_what_it_lost_is_named() -> None:
    """3.2, fault 18: of a snapshot that is restored in part, or grew too large, nobody says what it lacks."""
    given = "[contexts, history[-1]['role'], prepared, limit, 'rows' in globals()]"
    names = "rows, _ = [1], globals().update({f'v{i:04}': i for i in range(5000)})"
    root = ScriptedModel([done("1"), cell("rows = [1]\nby_name = {}"), EXIT, cell(names), EXIT, done(given)])
    async with RLM(root, setup_code="prepared = 'yes'", tools={"limit": 7}) as rlm:
        await rlm.acompletion("q", "one")
        completion = await rlm.acompletion("q", "two")
    assert completion.answer == [["one", "two"], "user", "yes", 7, False]
    assert "Your variables are lost: " in heard(root, 3)
    assert "rows (list), by_name (dict)" in heard(root, 3)
    assert "v4999 (int)" in heard(root, 5)
    assert len(heard(root, 5)) < 6_000


async def test_exits_end_the_cell_and_not_the_program() -> None:
    """3.2, fault 19: ``sys.exit()`` in a cell ends the program of the one who asked."""
    exits = ["import sys; sys.exit(3)", "exit()", "quit()", "raise SystemExit('done')"]
    last = "answer.update(content=kept, ready=True)\nsys.exit()"
    root = ScriptedModel([cell("kept = 7"), *map(cell, exits), cell(last)])
    completion = await RLM(root).acompletion("q", "c")
    assert completion.answer == 7
    assert statuses(completion) == ["ok", *["error"] * 5]
    assert "SystemExit: 3" in heard(root, 2)


TEXT = "\ufeffone\r\ntwo\rthree\n\x0b\x0c\x1c\x85\u2028\x00 é漢字🙂 \t\r\n\r"
LATIN = "é\r\nü\rß\n"
FORMS = [(TEXT, "utf-8", "text"), (TEXT, "utf-8", "file"), (TEXT, "utf-16", "bytes"), ("\r\ud800", "utf-8", "text"),
         (LATIN, "latin-1", "bytes"), (LATIN, "latin-1", "file")]  # fmt: skip


@pytest.mark.parametrize(("text", "encoding", "form"), FORMS)
async def test_text_arrives_exactly_as_it_was(text: str, encoding: str, form: str, tmp_path: Path) -> None:
    """3.2, fault 20: text that goes through a file in the locale's encoding has other line ends afterwards."""
    context: Any = text if form == "text" else text.encode(encoding)
    if form == "file":
        (tmp_path / "input.txt").write_bytes(context)
        context = tmp_path / "input.txt"
    root = ScriptedModel([done("__import__('hashlib').sha256(context.encode('utf-8', 'surrogatepass')).hexdigest()")])
    completion = await RLM(root, encoding=encoding).acompletion("q", context)
    assert completion.answer == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


OVERWRITE = ["context = llm_query = 0", "del context, llm_query", "%reset -f", "llm_query = 0\nraise ValueError"]


@pytest.mark.parametrize("code", OVERWRITE)
async def test_reserved_names_are_back_after_each_cell(code: str) -> None:
    """3.2, fault 21: in a kernel of its own, a REPL never gets back a name that was overwritten."""
    root = ScriptedModel([cell(code), done("[context, llm_query('asked'), rlm_query('too')]")])
    completion = await RLM(root, sub_model=shout).acompletion("q", "still here")
    assert completion.answer == ["still here", "ASKED", "TOO"]
    assert re.search(r"put back: .*\bllm_query\b", heard(root))


@pytest.mark.parametrize(
    "codes",
    [
        ["answer = {'content': 7, 'ready': True}"],
        ["answer = dict(answer, content=7)", "answer['ready'] = True"],
        ["answer = 'seven'", "answer['content'] = 7; answer['ready'] = True"],
        ["del answer", "answer |= {'content': 7, 'ready': True}"],
        ["def f():\n  global answer\n  answer = {'content': 7, 'ready': True}\nf(); 1 / 0"],
    ],
)
async def test_an_answer_counts_however_it_was_set(codes: list[str]) -> None:
    """3.2, fault 21: an ``answer`` that is another dict than the first one is never read."""
    completion = await RLM(ScriptedModel([*map(cell, codes)])).acompletion("q", "c")
    assert (completion.answer, completion.stop_reason) == (7, "answered")


async def test_every_sub_call_is_in_the_journal_and_a_failed_one_says_why() -> None:
    """3.2, fault 22: plain sub-calls of a kernel are not logged, and failed slots of its batches are empty texts."""

    def sub(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"] == "bad":
            raise ModelError("refused")
        return messages[-1]["content"].upper()

    code = """
from concurrent.futures import ThreadPoolExecutor
got = [llm_query("a"), *llm_query_batched(["b", "bad", "c"]), await allm_query("d"), rlm_query("e")]
with ThreadPoolExecutor() as pool: got += pool.map(llm_query, "fgh")
"""
    root = ScriptedModel([cell(code), done("[str(g) for g in got] + [got[2].error]")])
    completion = await RLM(root, sub_model=sub).acompletion("q", "c")
    assert completion.answer == ["A", "B", "Error: refused", "C", "D", "E", "F", "G", "H", "refused"]
    asked = {event.call: event.prompt for event in events_of(completion, events.CallRequested)}
    finished = {asked[event.call]: (event.status, event.text) for event in events_of(completion, events.CallFinished)}
    assert finished == {prompt: ("ok", prompt.upper()) for prompt in "abcdefgh"} | {"bad": ("error", "refused")}


@pytest.mark.parametrize("sub_calls", [True, False])
@pytest.mark.parametrize("prompt", PROMPTS)
async def test_the_prompt_promises_only_what_the_repl_has(prompt: str, sub_calls: bool) -> None:
    """3.2, fault 23: the prompt teaches functions that some environments do not define at all."""
    promised: set[str] = set()

    def root(messages: list[dict[str, str]]) -> str:
        promised.update(re.findall(r"(?<![.\w])([A-Za-z_]\w*)\(", messages[0]["content"]))
        return done(f"[n for n in {sorted(promised)} if not callable(globals().get(n, getattr(__builtins__, n, 0)))]")

    rlm = RLM(root, prompt=prompt, sub_calls=sub_calls, max_depth=2, tools={"add": sum})
    assert (await rlm.acompletion("q", "c")).answer == []
    assert "add" in promised
    asking = {"llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched"} & promised
    assert bool(asking) is sub_calls


@pytest.mark.parametrize("sandbox", sandbox_names())
async def test_each_sandbox_has_all_functions_and_children(sandbox: str) -> None:
    """3.2, fault 23: recursion works in some environments only."""
    every = "[llm_query('a'), *llm_query_batched(['b']), rlm_query('c'), *rlm_query_batched(['d'])]"
    root, child = ScriptedModel([done(every)]), ScriptedModel([done("llm_query(context * 2)")] * 2)
    rlm = RLM(root, child_model=child, sub_model=shout, max_depth=2, sandbox=sandbox)
    assert (await rlm.acompletion("q", "c")).answer == ["A", "B", "CC", "DD"]


async def test_each_reply_goes_to_the_call_that_asked() -> None:
    """3.2, fault 24: on a channel without ids the reply to a call that was given up answers the next one."""
    after = dict(zip("0abcdefg", "1bcdefgh", strict=True))
    asked = {prompt: asyncio.Event() for prompt in "01abcdefgh"}

    async def sub(messages: list[dict[str, str]]) -> str:
        prompt = messages[-1]["content"]
        if prompt in after:  # the last one is answered first
            await asked[after[prompt]].wait()
        asked[prompt].set()
        await asyncio.sleep(0.02)  # what is left of the one that was given up comes before the next one's
        return prompt * 2

    late = "import asyncio\ntry: await asyncio.wait_for(allm_query('0'), 0.05)\nexcept TimeoutError: print('late')"
    pool = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(9)"
    root = ScriptedModel([cell(f"{pool}\n{late}"), done("[llm_query('1'), *pool.map(llm_query, 'abcdefgh')]")])
    completion = await RLM(root, sub_model=sub).acompletion("q", "c")
    assert "late" in heard(root, 1)
    assert completion.answer == ["11", "aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]


async def test_a_sandbox_that_cannot_start_costs_nothing_and_the_doctor_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3.2, fault 25: a runtime that is not installed fails at every step, while the model is paid to try again."""
    monkeypatch.setattr(bubblewrap, "_find", lambda: None)
    root = ScriptedModel([done("1")])
    with pytest.raises(SandboxError, match="bwrap is missing: pip install") as failure:
        await RLM(root, sandbox="bubblewrap").acompletion("q", "c")
    assert root.requests == []
    sandbox = next(check for check in await asyncio.to_thread(doctor.checkup) if check.name == "sandbox")
    assert (sandbox.works, sandbox.detail) == (False, str(failure.value))


async def test_a_sandbox_that_breaks_for_good_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.2, fault 25: a sandbox that is gone for good looks to the model like a mistake in its code."""

    def script(messages: Any) -> str:
        if len(root.requests) == 2:
            monkeypatch.setattr(bubblewrap, "_find", lambda: None)
            for process in psutil.Process().children():
                if process.name() == "bwrap":
                    process.kill()
        return cell(f"import time; time.sleep({30 * (len(root.requests) - 1)})")

    root = ScriptedModel(script)
    with pytest.raises(SandboxError, match="bwrap is missing"):
        await RLM(root, sandbox="bubblewrap").acompletion("q", "c")
    assert len(root.requests) == 2
