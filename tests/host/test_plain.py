"""The same question as plain calls: what stands in the prompt, what it costs, how the answers spread."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

from rlm_kernel import ContextError, OptionError, RLMError, ScriptedModel, from_paths
from rlm_kernel.errors import ModelError
from rlm_kernel.events.values import Usage
from rlm_kernel.host.options import Options
from rlm_kernel.host.plain import PlainResult, Spread, plain_calls
from rlm_kernel.host.plain_text import as_text, least_characters
from rlm_kernel.host.providers import Reply
from tests.providers.fake_servers import FakeServer, Status, Text


async def ask(
    model: Any, context: Any = "the book", times: int = 1, question: str = "Who?", **options: Any
) -> PlainResult:
    return await plain_calls(Options.of(model=model, **options), question, context, times=times)


# --- the calls


async def test_one_call_has_the_whole_input_and_the_question_in_its_prompt() -> None:
    model = ScriptedModel([Reply("Mustard.", Usage(1, 90, 10, cost=0.5), finish="stop")])
    result = await ask(model, "line one\nline {two}\n" * 100, question="Who {did} it?")
    ((message,),) = model.requests
    assert message.role == "user"
    assert "line one\nline {two}\n" * 100 in message.content
    assert message.content.endswith("\n\nWho {did} it?")
    assert (result.answer, result.cost, result.usage.tokens) == ("Mustard.", 0.5, 100)
    assert (result.model, result.characters, result.problem) == ("scripted", len(message.content), None)
    assert result.calls[0].finish == "stop"


async def test_without_an_input_the_question_stands_alone() -> None:
    model = ScriptedModel(["yes"])
    assert (await ask(model, None, question="Is it?")).answer == "yes"
    assert model.requests[0][0].content == "Is it?"


async def test_answers_and_what_they_took_are_spread() -> None:
    replies = [("Mustard.\n", 100), (" Mustard.", 300), ("Plum.", 200), ("Mustard.", 400), ("White.", 50)]
    model = ScriptedModel([Reply(text, Usage(1, tokens, 1, cost=tokens / 100)) for text, tokens in replies])
    result = await ask(model, times=5)
    assert result.answers == [("Mustard.", 3), ("Plum.", 1), ("White.", 1)]
    assert result.answer == "Mustard."
    assert result.token_spread == Spread(51, 201, 401)
    assert result.cost_spread == Spread(0.5, 2.0, 4.0)
    assert result.cost == 10.5
    assert result.usage.calls == 5
    assert result.seconds_spread is not None
    assert 0 <= result.seconds_spread.min <= result.seconds_spread.median <= result.seconds_spread.max <= result.seconds


async def test_they_are_asked_at_once() -> None:
    together = asyncio.Barrier(4)

    async def asked(messages: Any) -> str:
        await together.wait()
        return "r"

    class Model(ScriptedModel):
        async def complete(self, messages: Any, on_text: Any = None, *, max_tokens: int | None = None) -> Reply:
            return Reply(await asked(messages), Usage.of_call(None, None))

    async with asyncio.timeout(10):
        result = await ask(Model([]), times=4)
    assert result.answers == [("r", 4)]
    assert (result.cost, result.cost_spread, result.token_spread) == (None, None, None)  # unknown is not zero


async def test_one_that_fails_is_told_and_the_others_count() -> None:
    model = ScriptedModel(["a", ModelError("the provider is busy"), "a"])
    result = await ask(model, times=3)
    assert result.answers == [("a", 2)]
    assert result.errors == [("the provider is busy", 1)]
    assert [call.error is None for call in result.calls] == [True, False, True]


async def test_when_all_fail_there_is_no_answer_and_every_reason() -> None:
    model = ScriptedModel([ModelError("no"), ModelError("no"), ModelError("never")])
    result = await ask(model, times=3)
    assert (result.answer, result.answers, result.seconds_spread) == ("", [], None)
    assert result.errors == [("no", 2), ("never", 1)]


async def test_thoughts_are_the_answer_where_there_is_no_other() -> None:
    assert (await ask(ScriptedModel([Reply("  ", Usage(1), reasoning="thought")]))).answer == "thought"


async def test_a_program_in_the_roots_place_is_not_asked_but_its_sub_model() -> None:
    model = ScriptedModel(["said"], "sub")
    result = await ask("policy/map-reduce", sub_model=model)
    assert (result.model, result.answer) == ("sub", "said")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_over_the_real_sdks_usage_and_price_are_the_providers(provider: str) -> None:
    with FakeServer([Text("four", (1000, 100)), Status(400, "odd"), Text("four", (1000, 300))]) as server:
        url = server.openai_url if provider == "openai" else server.anthropic_url
        name = f"{provider}/m"
        options: Any = {"base_url": url, "api_key": "k", "prices": {name: (1, 10)}, "sampling": {"max_tokens": 50}}
        result = await ask(name, "a long book", 3, **options)
        assert len(server.requests) == 3
        assert all("a long book" in request.prompt for request in server.requests)
        assert {request.body["max_tokens"] for request in server.requests} == {50}
    assert result.answers == [("four", 2)]
    assert result.cost_spread == Spread(0.002, 0.003, 0.004)
    ((reason, times),) = result.errors
    assert times == 1
    assert "HTTP 400: odd" in reason


async def test_the_key_is_in_no_failure() -> None:
    with FakeServer([Status(401, "bad key sk-secret-1234567")]) as server:
        result = await ask("openai/m", base_url=server.openai_url, api_key="sk-secret-1234567")
    assert "sk-secret" not in repr(result)
    assert "HTTP 401" in result.errors[0][0]


# --- limits


async def test_money_is_reserved_before_a_call_and_what_does_not_fit_is_not_asked() -> None:
    with FakeServer([Text("r", (1000, 100))] * 5) as server:
        options: Any = {"base_url": server.openai_url, "api_key": "k", "prices": {"openai/m": (100, 100)}}
        result = await ask("openai/m", "x" * 1000, 5, max_cost=0.3, **options)
        assert len(server.requests) == len(result.replies) < 5
        assert all(0 < request.body["max_tokens"] < 3000 for request in server.requests)  # what the money allows
    assert result.replies
    assert {reason for reason, _ in result.errors} == {"The run's limit max_cost=0.3 is reached."}


async def test_tokens_are_limited() -> None:
    model = ScriptedModel(["r"])
    result = await ask(model, "x" * 10_000, max_tokens=100)
    assert (model.requests, result.errors) == ([], [("The run's limit max_tokens=100 is reached.", 1)])


async def test_time_is_limited_and_what_came_in_time_counts() -> None:
    order = iter([0.0, 30.0])

    async def slow(messages: Any) -> str:
        await asyncio.sleep(next(order))
        return "in time"

    result = await ask(slow, times=2, max_seconds=1.0)
    assert result.answers == [("in time", 1)]
    assert result.errors == [("The run's limit max_seconds=1 is reached.", 1)]
    assert result.seconds < 10


async def test_sub_calls_are_not_what_these_are() -> None:
    assert (await ask(ScriptedModel(["a"]), max_calls=0)).answer == "a"


async def test_a_price_that_is_not_known_is_refused_where_money_is_limited() -> None:
    with pytest.raises(OptionError, match="max_cost needs the price"):
        await ask(ScriptedModel(["a"]), max_cost=1)


async def test_cancelling_ends_every_request() -> None:
    left = []

    class Model(ScriptedModel):
        async def complete(self, messages: Any, on_text: Any = None, *, max_tokens: int | None = None) -> Reply:
            try:
                await asyncio.Event().wait()
            finally:
                left.append(1)
            raise AssertionError

    task = asyncio.create_task(ask(Model([]), times=3))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left == [1, 1, 1]


async def test_a_mistake_of_a_providers_is_raised_and_no_request_goes_on_alone() -> None:
    left = []

    class Model(ScriptedModel):
        async def complete(self, messages: Any, on_text: Any = None, *, max_tokens: int | None = None) -> Reply:
            self.requests.append(messages)
            if len(self.requests) == 3:
                raise KeyError("not a model's error")
            try:
                await asyncio.Event().wait()
            finally:
                left.append(1)
            raise AssertionError

    with pytest.raises(KeyError):
        await ask(Model([]), times=3)
    assert left == [1, 1]


# --- what does not fit


async def test_what_is_longer_than_the_window_is_told_and_nothing_is_asked() -> None:
    model = ScriptedModel(["never"])
    result = await ask(model, "x" * 80_000, times=3, context_window=10_000)
    assert (model.requests, result.calls, result.usage, result.answer) == ([], (), Usage(), "")
    assert result.window == 10_000
    over = result.characters // 4 - 10_000
    assert result.problem is not None
    assert f"scripted reads 10,000: {over:,} too many." in result.problem


async def test_a_window_that_is_published_is_known() -> None:
    result = await ask("openai/gpt-4o-mini", "x" * 3_000_000, api_key="k")  # no server: it must not be asked
    assert result.problem is not None
    assert result.window == 128_000


async def test_what_fits_into_the_window_is_asked() -> None:
    assert (await ask(ScriptedModel(["a"]), "x" * 39_000, context_window=10_000)).answer == "a"


async def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.txt"
    with file.open("wb") as out:
        out.truncate(1 << 33)  # 8 GiB, and none of them on the disk
    result = await ask(ScriptedModel(["never"]), file, memory_mb=1 << 20)
    assert result.characters == 1 << 31
    assert result.problem is not None
    assert "no prompt may have more than 4,000,000" in result.problem


# --- bad input


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "3", None, 1001])
async def test_a_number_of_calls_that_is_none_is_refused(times: Any) -> None:
    model = ScriptedModel(["a"])
    with pytest.raises(OptionError, match="times="):
        await ask(model, times=times)
    assert model.requests == []


@pytest.mark.parametrize("context", ["", [], {}, b"", Path("/nowhere/at/all"), pandas.DataFrame(), object(), 3])
async def test_an_input_that_is_none_is_refused(context: Any) -> None:
    with pytest.raises(ContextError):
        await ask(ScriptedModel(["a"]), context)


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_a_question_that_is_none_is_refused(question: str) -> None:
    with pytest.raises(RLMError, match="The question is empty"):
        await ask(ScriptedModel(["a"]), question=question)


# --- inputs as text


def text_of(context: Any, **options: Any) -> str:
    return as_text(context, Options.of(**options))


def test_text_and_bytes_stand_as_they_are() -> None:
    assert text_of("é\ud800") == "é\ud800"
    assert text_of("é".encode("latin-1"), encoding="latin-1") == "é"
    assert text_of(bytearray(b"a\xff"), encoding_errors="replace") == "a\ufffd"
    assert text_of(memoryview(b"ab")) == "ab"


@pytest.mark.parametrize(
    ("context", "options", "told"),
    [
        (b"a\xff", {}, "not utf-8 text .*near byte 1.*encoding="),
        (b"a", {"encoding": None}, "Pass encoding="),
        ({1: 2}, {}, "keys that are not str"),
        ([float("nan")], {}, r"context\[0\] is nan"),
        ({"a": [b"x"]}, {}, r"context\['a'\]\[0\] is of type bytes. Decode bytes"),
    ],
)
def test_what_cannot_be_text_is_refused_with_what_to_do(context: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ContextError, match=told):
        text_of(context, **options)


def test_lists_and_dicts_are_json() -> None:
    chat = [{"role": "user", "content": "Häh?"}]
    assert json.loads(text_of(chat)) == chat
    assert "Häh?" in text_of(chat)
    assert text_of((1, "a", None)) == '[1, "a", null]'
    assert text_of({"name": "Bob", "age": "7"}) == '{"name": "Bob", "age": "7"}'


@pytest.mark.parametrize("how", [lambda folder: folder, lambda folder: from_paths([folder])])
def test_a_folder_is_its_texts_below_their_paths(tmp_path: Path, how: Callable[[Path], Any]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("x = 1\ny = 2\n")
    (tmp_path / "c.md").write_text("# Title\n\nText.")
    (tmp_path / "d.bin").write_bytes(b"\0\1")
    assert text_of(how(tmp_path)) == "=== a/b.py ===\nx = 1\ny = 2\n\n\n=== c.md ===\n# Title\n\nText."


def test_files_are_their_text(tmp_path: Path) -> None:
    for name in ("a.txt", "a.json", "a.jsonl", "a.csv"):
        (tmp_path / name).write_text("{}\n1,é", encoding="utf-8")
        assert text_of(tmp_path / name) == "{}\n1,é"


def test_frames_are_csv(tmp_path: Path) -> None:
    rows = {"n": [1, 2], "s": ["a", "b,c"]}
    expected = 'n,s\n1,a\n2,"b,c"\n'
    assert text_of(pandas.DataFrame(rows)) == expected
    assert text_of(polars.DataFrame(rows)) == expected
    assert text_of(pandas.DataFrame(rows, index=["x", "y"])) == ',n,s\nx,1,a\ny,2,"b,c"\n'
    assert json.loads(text_of(polars.DataFrame({"n": [[1, 2]]}))) == {"n": [1, 2]}


def test_a_parquet_file_is_json_lines(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"n": [1, 2], "when": pandas.to_datetime(["2026-01-01", "2026-01-02"])})
    frame.to_parquet(tmp_path / "a.parquet")
    first, second = text_of(tmp_path / "a.parquet").splitlines()
    assert json.loads(first) == {"n": 1, "when": "2026-01-01 00:00:00"}
    assert json.loads(second)["n"] == 2
    data = io.BytesIO()
    frame.to_parquet(data)
    assert text_of(data.getvalue(), context_format="parquet").startswith('{"n": 1')
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ContextError, match="no Parquet file"):
        text_of(tmp_path / "b.parquet")


def test_the_least_length_is_never_more_than_the_length(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("🙂" * 1000, encoding="utf-8")
    for context in ("abc", ["abc", 1, {"a": "b"}], {"a": "bc\n"}, b"abc", file, tmp_path, pandas.DataFrame({"a": [1]})):
        options = Options.of()
        assert least_characters(context, options) <= len(as_text(context, options))
    assert least_characters(file, Options.of()) == 1000
