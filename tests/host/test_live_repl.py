"""A run's live kernel, looked into from outside: between cells, while one runs, and when it is gone."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from rlm_kernel import RLM, LiveRepl, ReplError, RLMError, Run, ScriptedModel, attach, journal
from tests.host.script import cell, done

SECONDS = 30

BUSY = """
import threading
told = []
threading.Thread(target=lambda: told.append(llm_query('gate'))).start()
beat = 0
while not told:
    beat += 1
print('the end', told)
"""
"""A cell that is busy until the gate opens."""

VALUES = """
import collections, re
chunks = [context[:3], context[3:], {'a': (1, {2}), 3: b'x'}]
word, number, nothing, share, missing = 'wörd', 2**70, None, 0.5, float('nan')
counted = collections.Counter('hello')
reply = llm_query('shout')
match = re.match('a', 'abc')
rows = [{'match': match}]
big = 'x' * 9_000_000
numbers = list(range(3_000_000))
wide = numbers[:500]
for _ in range(4): wide = [wide] * 500
many = {number: number for number in range(30_000)}
class Odd:
    asked = 0
    __class__ = str
    def __repr__(self):
        Odd.asked += 1
        print('NOISE'); display('NOISE')
        return '\\x1b[31mred\\x07 ' + str(Odd.asked)
    __str__ = __len__ = __iter__ = __eq__ = __hash__ = None
class Exits:
    def __repr__(self): raise SystemExit
class Asks:
    def __repr__(self): return llm_query('costs')
class Named(type):
    __name__ = property(lambda cls: 1 / 0)
class Meta(metaclass=Named): pass
odd, exits, asks, meta = Odd(), Exits(), Asks(), Meta()
print(chunks)
"""


class Gate:
    """Holds a model's reply back until a test has looked."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.asked: list[str] = []

    def sub(self, messages: list[dict[str, str]]) -> str:
        self.asked.append(messages[-1]["content"])
        if self.asked[-1] == "gate":
            self.hold()
        return self.asked[-1].upper()

    def hold(self) -> None:
        self.reached.set()
        assert self.open.wait(SECONDS)


@contextmanager
def between_cells(*cells: str, **options: Any) -> Iterator[tuple[Run, Gate]]:
    """A run whose cells have run, and whose model thinks about the answer until the test has looked."""
    gate = Gate()

    def root(messages: list[dict[str, str]]) -> str:
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn == len(cells):
            gate.hold()
        return [*map(cell, cells), done("'end'")][turn]

    run = RLM(root, sub_model=gate.sub, **options).start("q", context="the input")
    try:
        assert gate.reached.wait(SECONDS)
        yield run, gate
    finally:
        gate.open.set()
        run.result()


@contextmanager
def in_a_cell(code: str = BUSY) -> Iterator[tuple[Run, Gate]]:
    """A run whose cell is busy until the test has looked."""
    gate = Gate()
    run = RLM(ScriptedModel([cell(code), done("'end'")]), sub_model=gate.sub).start("q", context="the input")
    try:
        assert gate.reached.wait(SECONDS)
        yield run, gate
    finally:
        gate.open.set()
        run.result()


@pytest.fixture(scope="module")
def values() -> Iterator[LiveRepl]:
    with between_cells(VALUES) as (run, _):
        yield run.repl


def test_a_variable_is_read_as_data(values: LiveRepl) -> None:
    assert values["chunks"] == ["the", " input", {"a": (1, {2}), 3: b"x"}]
    assert values["context"] == "the input"
    assert [values[name] for name in ("word", "number", "nothing", "share")] == ["wörd", 2**70, None, 0.5]
    assert math.isnan(values["missing"])
    assert values["counted"] == {"h": 1, "e": 1, "l": 2, "o": 1}
    assert type(values["reply"]) is str
    assert values["answer"] == {"content": "", "ready": False}


def test_names_are_those_that_the_model_is_told_and_what_it_was_given(values: LiveRepl) -> None:
    names = values.names()
    assert {"context": "str", "answer": "dict", "chunks": "list", "reply": "str", "odd": "Odd"}.items() <= names.items()
    assert not {"llm_query", "re", "Odd", "SHOW_VARS", "In", "_"} & names.keys()
    assert names["meta"] == "Meta"
    assert "chunks" in values
    assert "nope" not in values
    assert len(values) == len(names) == len(list(values))
    assert "chunks" in values._ipython_key_completions_()


def test_a_part_of_what_is_too_big_is_read(values: LiveRepl) -> None:
    assert values.part("big", 0, 3) == "xxx"
    assert values.part("numbers", -2) == [2_999_998, 2_999_999]
    assert values.part("context", stop=3) == "the"
    assert values.part("chunks", 5, 9) == []


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda repl: repl["nope"], r"There is no variable 'nope'. repl.names\(\) lists"),
        (lambda repl: repl["match"], r"'match' cannot come across: a Match, .* Look at it with repl.show\('match'\)"),
        (lambda repl: repl["rows"], r"what is at rows\[0\]\['match'\] is a Match"),
        (lambda repl: repl["odd"], "'odd' cannot come across: a Odd"),
        (lambda repl: repl["meta"], "a Meta"),
        (lambda repl: repl["big"], r"a str of 9,000,000, .* Take a part of it: repl.part\('big', 0, 100\)"),
        (lambda repl: repl["numbers"], "a list of 3,000,000"),
        (lambda repl: repl["many"], "a dict of 30,000"),
        (lambda repl: repl["llm_query"], "a method"),
        (lambda repl: repl[3], "3 is no name of a variable"),
        (lambda repl: repl.part("number", 0, 1), "'number' is a int: only texts, bytes, lists and tuples"),
        (lambda repl: repl.part("big", "0", 1), "expected whole numbers"),
        (lambda repl: repl.part("big", 0, 2**70), "expected whole numbers"),
        (lambda repl: repl.show("exits"), "'exits' cannot be shown: its own code raised SystemExit"),
        (lambda repl: repl.show("asks"), "its own code raised LLMCallError"),
        (lambda repl: repl.show("nope"), "There is no variable 'nope'"),
        (lambda repl: repl.execute("1"), "Only a kernel that stays can be worked in by hand"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_says_what_to_do(
    values: LiveRepl, look: Callable[[LiveRepl], Any], message: str
) -> None:
    with pytest.raises(ReplError, match=message) as caught:
        look(values)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LookupError)


def test_anything_can_be_shown_as_text(values: LiveRepl) -> None:
    assert values.show("match") == "<re.Match object; span=(0, 1), match='a'>"
    assert values.show("word") == "wörd"
    assert values.show("chunks") == "['the', ' input', {'a': (1, <set>), 3: b'x'}]"
    assert values.show("big").endswith("x\n... and 8,900,000 more characters")
    assert len(values.show("numbers")) < 10_000
    assert len(values.show("wide")) < 200_000
    shown = values.show("odd")
    assert shown.startswith("red ")
    assert repr(shown) == str(shown), "a notebook shows it as it is"


def test_looks_leave_no_trace_in_the_run() -> None:
    with between_cells(VALUES, "before = set(globals()) | {'before'}") as (run, gate):
        asked, repl = list(gate.asked), run.repl
        for name in repl:
            for look in (repl.__getitem__, repl.show):
                try:
                    look(name)
                except ReplError:
                    continue
        assert gate.asked == asked, "nothing was asked"
    events = [event for event in journal.read(run.directory) if event.type != "text_delta"]
    plain = RLM(
        ScriptedModel([cell(VALUES), cell("before = set(globals()) | {'before'}"), done("'end'")]),
        sub_model=lambda messages: messages[-1]["content"].upper(),
    ).completion("q", context="the input")
    assert [event.type for event in events] == [e.type for e in journal.read(plain.run_dir) if e.type != "text_delta"]
    assert "NOISE" not in str([getattr(event, "data", "") for event in events])
    assert run.completion is not None
    assert run.completion.answer == "end"


def test_a_cell_sees_nothing_of_the_looks() -> None:
    probe = "(sorted(n for n in globals() if n not in before), len(In), sorted(Out), _, get_ipython().execution_count)"
    gate = Gate()

    def root(messages: list[dict[str, str]]) -> str:
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn == 1:
            gate.hold()
        return [cell("x = [1]\nbefore = {*globals(), 'before'}\n7"), done(f"repr({probe})")][turn]

    def asked(looking: bool) -> Any:
        gate.reached.clear()
        gate.open.clear()
        run = RLM(root).start("q", context="c")
        assert gate.reached.wait(SECONDS)
        if looking:
            assert (run.repl["x"], run.repl.show("x")) == ([1], "[1]")
        gate.open.set()
        return run.result().answer

    assert asked(looking=True) == asked(looking=False)


def test_a_cell_that_computes_is_looked_into() -> None:
    with in_a_cell() as (run, _):
        while "beat" not in run.repl:
            pass
        seen = run.repl["beat"]
        while run.repl["beat"] == seen:
            pass
        assert run.repl["told"] == []
        assert run.repl.show("context") == "the input"
        assert run.completion is None
    assert run.completion is not None
    (busy, _) = [each for turn in run.completion.tree.root.iterations for each in turn.cells]
    assert "".join(output.data["text/plain"] for output in busy.outputs) == "the end ['GATE']\n"
    assert run.completion.answer == "end"


def test_a_look_that_never_ends_keeps_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_kernel.host.live.live_repl.LOOK_SECONDS", 0.3)
    code = "import time\nclass Ends:\n def __repr__(self):\n  while True: time.sleep(0.01)\nnever = Ends()\n"
    with in_a_cell(code + BUSY) as (run, _):
        for _ in range(4):
            with pytest.raises(ReplError, match=r"no answer within 0.3 s"):
                run.repl.show("never")
        with pytest.raises(ReplError, match="busy with other looks, which do not end"):
            run.repl["told"]
    assert run.completion is not None
    assert run.completion.answer == "end"


def test_a_cell_whose_many_calls_wait_is_looked_into() -> None:
    """The host reads no more of them for a while; what it is told of variables comes another way."""
    reached, gate = threading.Event(), threading.Event()

    async def sub(messages: Any) -> str:
        reached.set()
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return "x"

    code = "prompts = [str(n) for n in range(7_000)]\ngot = llm_query_batched(prompts)"
    root = ScriptedModel([cell(code), done("len(got)")])
    run = RLM(root, sub_model=sub, max_calls=20_000).start("q", context="c")
    assert reached.wait(SECONDS)
    calls = run._node.repl.session.calls  # type: ignore[union-attr]
    while not calls._holding:
        time.sleep(0.01)
    assert len(run.repl["prompts"]) == 7_000
    gate.set()
    assert run.result().answer == 7_000


def test_many_threads_read_at_once() -> None:
    with between_cells("chunks = [list(range(100)) for _ in range(100)]") as (run, _), ThreadPoolExecutor(12) as pool:
        reads = list(pool.map(lambda _: run.repl["chunks"], range(40)))
    assert all(read == [list(range(100))] * 100 for read in reads)


def test_a_child_is_looked_into_by_its_id_while_it_is_at_work() -> None:
    gate = Gate()
    child = [cell("inner = context.upper()\nllm_query('gate')"), done("inner")]
    root = ScriptedModel([cell("got = rlm_query('look', context='of the child')"), done("got")])
    run = RLM(root, models={1: ScriptedModel(child)}, sub_model=gate.sub, max_depth=2).start("q", context="of the root")
    assert gate.reached.wait(SECONDS)
    assert run.repl_of("0.1")["inner"] == "OF THE CHILD"
    assert run.repl["context"] == "of the root"
    assert attach(run.id[:-2], node="0.1")["context"] == "of the child"
    with pytest.raises(ReplError, match=r"node 0.9 of run .* has no live kernel. Nodes that have one now: 0, 0.1"):
        run.repl_of("0.9")["context"]
    with pytest.raises(ReplError, match="Nodes that have one now: 0, 0.1"):
        attach(run.id, node="0.9")
    gate.open.set()
    assert run.result().answer == "OF THE CHILD"
    with pytest.raises(ReplError, match=r"node 0.1 .* Nodes that have one now: none"):
        run.repl_of("0.1")["context"]


def test_a_run_is_found_while_it_lives_and_then_the_error_says_what_to_do() -> None:
    with between_cells("x = 1") as (run, _):
        assert attach()["x"] == attach("last")["x"] == attach(run.id)["x"] == 1
        assert repr(attach()) == f"<LiveRepl: run {run.id}>"
        assert run.repl.connection_file.stat().st_mode & 0o777 == 0o600
        assert run.repl.connection_file.parent.stat().st_mode & 0o077 == 0
        repl = run.repl
    assert not repl.is_live
    assert repr(repl).endswith("ended>")
    for look in (lambda: repl["x"], repl.names, lambda: repl.connection_file, lambda: attach(run.id)):
        with pytest.raises(ReplError, match=rf"{run.id}: it is over.*--session NAME.*%rlm_names {run.id}"):
            look()
    with pytest.raises(RLMError, match="There is no run 'nonsense'"):
        attach("nonsense")


def test_a_run_of_before_has_no_kernel_here() -> None:
    done_before = RLM(ScriptedModel([done("1")])).completion("q", context="c").run_dir
    with pytest.raises(ReplError, match=rf"is over, and its kernel has ended.*%rlm --resume {done_before.name}"):
        attach(done_before.name)


def test_a_kernel_that_dies_while_it_is_looked_at() -> None:
    code = """import os, time
class Ends:
    def __repr__(self): time.sleep(60)
never = Ends()
llm_query('gate')
os._exit(1)"""
    with in_a_cell(code) as (run, gate), ThreadPoolExecutor(1) as pool:
        look = pool.submit(run.repl.show, "never")
        time.sleep(0.2)
        gate.open.set()
        with pytest.raises(ReplError, match="its kernel has ended"):
            look.result(SECONDS)
    assert run.completion is not None
    assert run.completion.answer == "end"


async def test_in_the_loop_that_drives_the_run_reading_is_awaited() -> None:
    seen: list[Any] = []

    async def root(messages: list[dict[str, str]]) -> str:
        if len(messages) > 2:
            repl = run.repl
            seen.extend([await repl.aread("x"), await repl.anames(), await repl.ashow("x"), await repl.apart("x", 1)])
            with pytest.raises(ReplError, match="Await repl.aread"):
                repl["x"]
            seen.append(await asyncio.to_thread(repl.__getitem__, "x"))
            return done("1")
        return cell("x = [1, 2]")

    run = RLM(root).stream("q", context="c")
    with pytest.raises(ReplError, match="has no live kernel. Nodes that have one now: none"):
        await run.repl.aread("x")
    async for _ in run:
        pass
    assert seen == [[1, 2], seen[1], "[1, 2]", [2], [1, 2]]
    assert seen[1]["x"] == "list"


async def test_from_another_loop_reading_is_awaited_too() -> None:
    with between_cells("x = [1, 2]") as (run, _):
        assert await run.repl.aread("x") == [1, 2]
        assert run.repl["x"] == [1, 2]
