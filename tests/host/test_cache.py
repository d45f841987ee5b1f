"""Answers that are there already, on their way, or in a folder."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.host.cache import Answered, Cache

Ask = Callable[[], Awaitable[tuple[str, int]]]


class Model:
    """Counts how often it is asked; answers when it is let go."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()

    async def __call__(self) -> tuple[str, int]:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        return f"text {number}", number


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks go on until something has happened."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


KEY = Cache.key("openai/x", {"temperature": 0}, "What is it?")


async def test_a_call_that_is_repeated_is_answered_from_memory_and_says_so() -> None:
    cache, model = Cache(True), Model()
    assert await cache.answer(KEY, model) == Answered("text 1", False, 1)
    assert await cache.answer(KEY, model) == Answered("text 1", True, None)
    assert model.asked == 1


async def test_without_a_cache_every_call_asks() -> None:
    cache, model = Cache(False), Model()
    both = await asyncio.gather(cache.answer(KEY, model), cache.answer(KEY, model))
    assert sorted(answered.text for answered in both) == ["text 1", "text 2"]
    assert not any(answered.cached for answered in both)
    assert not cache.enabled


async def test_whatever_decides_an_answer_is_in_the_key() -> None:
    keys = {
        KEY,
        Cache.key("openai/y", {"temperature": 0}, "What is it?"),
        Cache.key("openai/x", {"temperature": 1}, "What is it?"),
        Cache.key("openai/x", {"temperature": 0}, "What is it"),
        Cache.key("openai/x", {"temperature": 0}, "What is it?", {"type": "string"}),
        Cache.key("openai/x", {"temperature": 0}, "What is it?", system="Be brief."),
        Cache.key("openai/x", {"temperature": 0}, "What is it?", depth=2),
        Cache.key("openai/x", {"temperature": 0}, "What is it?\ud800"),
    }
    assert len(keys) == 8
    assert Cache.key("m", {"a": 1, "b": {"c": 2, "d": 3}}, "p") == Cache.key("m", {"b": {"d": 3, "c": 2}, "a": 1}, "p")


async def test_a_value_that_json_has_not_equals_only_itself() -> None:
    one, other = object(), object()
    assert Cache.key("m", {"a": one}, "p") == Cache.key("m", {"a": one}, "p")
    assert Cache.key("m", {"a": one}, "p") != Cache.key("m", {"a": other}, "p")


async def test_identical_calls_in_flight_share_one_request() -> None:
    cache, model = Cache(True), Model(open_gate=False)
    tasks = [asyncio.create_task(cache.answer(KEY, model)) for _ in range(50)]
    await until(lambda: model.asked == 1)
    model.gate.set()
    answers = await asyncio.gather(*tasks)
    assert model.asked == 1
    assert [a.cached for a in answers].count(False) == 1
    assert {a.text for a in answers} == {"text 1"}
    assert [a.result for a in answers if a.result is not None] == [1], "only the one that asked is charged"


async def test_when_the_asker_is_cancelled_the_next_asks_and_nobody_is_left() -> None:
    cache, model = Cache(True), Model(open_gate=False)
    tasks = [asyncio.create_task(cache.answer(KEY, model)) for _ in range(4)]
    await until(lambda: model.asked == 1)
    tasks[0].cancel()
    await until(lambda: model.asked == 2)
    tasks[1].cancel()
    await until(lambda: model.asked == 3)
    model.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(a) for a in answers] == [asyncio.CancelledError] * 2 + [Answered] * 2
    assert [a.text for a in answers[2:]] == ["text 3"] * 2  # type: ignore[union-attr]
    assert model.asked == 3


async def test_one_that_waits_can_be_cancelled_alone() -> None:
    cache, model = Cache(True), Model(open_gate=False)
    asker, first, second = (asyncio.create_task(cache.answer(KEY, model)) for _ in range(3))
    await until(lambda: model.asked == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    model.gate.set()
    assert (await asker).text == (await second).text == "text 1"
    assert model.asked == 1


async def test_an_error_goes_to_all_that_wait_and_is_not_kept() -> None:
    cache, gate, asked = Cache(True), asyncio.Event(), 0

    async def fails() -> tuple[str, int]:
        nonlocal asked
        asked += 1
        await gate.wait()
        raise ModelError("overloaded")

    tasks = [asyncio.create_task(cache.answer(KEY, fails)) for _ in range(3)]
    await until(lambda: asked == 1)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["overloaded"] * 3
    assert asked == 1
    assert await cache.answer(KEY, Model()) == Answered("text 1", False, 1)


async def test_an_error_that_nobody_waits_for_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(True)

    async def fails() -> tuple[str, int]:
        raise ModelError("overloaded")

    with pytest.raises(ModelError):
        await cache.answer(KEY, fails)
    del cache
    await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_call_below_its_own_call_asks_instead_of_waiting_for_itself() -> None:
    cache, model = Cache(True), Model()

    async def child() -> tuple[str, int]:
        below = await asyncio.create_task(cache.answer(KEY, model))
        return f"child of {below.text}", 0

    async with asyncio.timeout(5):
        assert (await cache.answer(KEY, child)).text == "child of text 1"


async def test_what_was_not_used_for_longest_is_forgotten_when_memory_is_full() -> None:
    cache, asked = Cache(True, memory_bytes=3_500), []

    async def ask(name: str) -> bool:
        async def reply() -> tuple[str, None]:
            asked.append(name)
            return "x" * 1000, None

        return (await cache.answer(name, reply)).cached

    assert [await ask(name) for name in "abcadabc"] == [False, False, False, True, False, True, False, False]
    assert asked == ["a", "b", "c", "d", "b", "c"]


async def test_a_text_that_does_not_fit_at_all_is_answered_all_the_same() -> None:
    cache, model = Cache(True, memory_bytes=10), Model()
    assert (await cache.answer(KEY, model)).text == "text 1"
    assert (await cache.answer(KEY, model)).text == "text 2"


async def test_a_folder_answers_other_runs(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    await Cache(folder).answer(KEY, Model(), model="openai/x")
    model = Model(open_gate=False)  # would wait for ever if it were asked
    async with asyncio.timeout(5):
        assert await Cache(str(folder)).answer(KEY, model) == Answered("text 1", True, None)


async def test_files_are_private_and_say_nothing_of_the_prompt(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    await Cache(folder).answer(KEY, Model(), model="openai/x")
    (file,) = [path for path in folder.rglob("*") if path.is_file()]
    assert file.relative_to(folder).as_posix() == f"{KEY[:2]}/{KEY[2:]}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    content = json.loads(file.read_text())
    assert content.pop("time") > 0
    assert content == {"version": 1, "key": KEY, "model": "openai/x", "text": "text 1"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "te',
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"version": 1, "key": "another", "text": "planted"}).encode(),
        json.dumps({"version": 99, "key": KEY, "text": "planted"}).encode(),
        json.dumps({"version": 1, "key": KEY, "text": 3}).encode(),
    ],
)
async def test_a_damaged_or_foreign_file_is_ignored_and_rewritten(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / KEY[:2] / f"{KEY[2:]}.json"
    file.parent.mkdir()
    file.write_bytes(content)
    assert await Cache(tmp_path).answer(KEY, Model()) == Answered("text 1", False, 1)
    assert json.loads(file.read_text())["text"] == "text 1"


async def test_a_link_or_a_pipe_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / KEY[:2] / f"{KEY[2:]}.json"
    file.parent.mkdir()
    secret = tmp_path / "elsewhere.json"
    secret.write_text(json.dumps({"version": 1, "key": KEY, "text": "planted"}))
    file.symlink_to(secret)
    assert (await Cache(tmp_path).answer(KEY, Model())).text == "text 1"
    assert json.loads(secret.read_text())["text"] == "planted", "the link was replaced, not written through"
    file.unlink()
    os.mkfifo(file)
    async with asyncio.timeout(5):
        assert (await Cache(tmp_path).answer(KEY, Model())).text == "text 1"


async def test_a_text_that_is_no_valid_unicode_survives(tmp_path: Path) -> None:
    async def ask() -> tuple[str, None]:
        return "a\ud800b\x00\u2028", None

    await Cache(tmp_path).answer(KEY, ask)
    assert (await Cache(tmp_path).answer(KEY, ask)) == Answered("a\ud800b\x00\u2028", True, None)


async def test_models_without_a_lasting_name_are_kept_out_of_the_folder(tmp_path: Path) -> None:
    cache, model = Cache(tmp_path), Model()
    await cache.answer(KEY, model, keep=False)
    assert (await cache.answer(KEY, model, keep=False)).cached, "but in memory they are"
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_fails_later_costs_no_answer(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / KEY[:2]).write_text("a file where a folder should be")
    assert (await cache.answer(KEY, Model())).text == "text 1"
    assert cache.problem is not None
    assert str(tmp_path) in cache.problem
    assert [path.name for path in tmp_path.iterdir()] == [KEY[:2]], "no temporary file is left"


@pytest.mark.parametrize("where", ["", "  ", "{file}", "{file}/below", "a\0b", "~nobody-of-this-name/x", "/proc/rlm"])
def test_a_folder_that_cannot_be_used_is_refused_at_once(tmp_path: Path, where: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OptionError, match="answers cannot be kept there: .*Choose a folder") as refusal:
        Cache(where.format(file=file))
    assert len(str(refusal.value).splitlines()) == 1
