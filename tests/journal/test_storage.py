"""What is on the disk: big texts once, whole lines, older and foreign journals, old runs removed."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import string
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, OptionError, RLMError, ScriptedModel, Secret, runs
from rlm_kernel.events import types as events
from rlm_kernel.events.tree import fold
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.bus import Bus
from rlm_kernel.journal import Journal, SavedRun, find, prune, read, versions, writer
from rlm_kernel.journal.blobs import BLOB_CHARACTERS
from tests.host.script import cell, done
from tests.journal.test_resume import Counting, reply
from tests.providers.fake_servers import FakeServer

LONG = "x" * (BLOB_CHARACTERS + 1)
TOLD = [
    events.RunStarted(run="r", question="q", options={}),
    events.ModelRequested(iteration=1, messages=(Message("system", "short"), Message("user", f"{LONG} ü \ud800"))),
    events.CellOutput(cell=1, kind="stdout", data={"text/plain": LONG, "other": [LONG, {"deep": LONG}]}),
    events.NodeAnswered(value={"blobs": [["text"], "0" * 64], "k": LONG}, text=LONG),
]


def write(run_dir: Path, *stream: events.Event) -> Path:
    journal = Journal(run_dir)
    for event in stream:
        journal(event)
    journal.close()
    return run_dir


class TestBlobs:
    def test_big_texts_are_written_once_and_read_again_wherever_they_stand(self, tmp_path: Path) -> None:
        run = write(tmp_path / "a", *TOLD)
        assert list(read(run)) == TOLD
        assert len(list((run / "blobs").iterdir())) == 2
        assert (run / "events.jsonl").stat().st_size < BLOB_CHARACTERS

    def test_a_value_that_looks_like_a_reference_is_a_value(self, tmp_path: Path) -> None:
        event = events.NodeAnswered(value={"blobs": [[["text"], "../../run.json"]]}, text="t")
        assert list(read(write(tmp_path / "a", event))) == [event]

    @pytest.mark.parametrize("name", ["../run.json", "/etc/passwd", "x", "", 7, None])
    def test_a_reference_to_anything_else_reads_nothing(self, tmp_path: Path, name: Any) -> None:
        run = write(tmp_path / "a", *TOLD)
        line = {"type": "note", "node": "0", "seq": 9, "time": 0.0, "text": None, "blobs": [[["text"], name]]}
        with (run / "events.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        with pytest.raises(RLMError, match="line 5 is damaged"):
            list(read(run, missing="raise"))

    def test_one_that_was_changed_is_not_believed(self, tmp_path: Path) -> None:
        run = write(tmp_path / "a", events.Note(text=LONG))
        (blob,) = (run / "blobs").iterdir()
        blob.write_text("forged")
        assert "is damaged" in next(iter(read(run))).text  # type: ignore[attr-defined]
        with pytest.raises(RLMError, match="is damaged"):
            list(read(run, missing="raise"))


async def test_the_size_is_within_half_of_the_distinct_text(tmp_path: Path) -> None:
    """1 MB of context, 20 turns, 100 sub-calls on slices of it."""
    chance = random.Random(1)
    context = "".join(chance.choices(string.ascii_letters + " \näö", k=1_000_000))
    distinct = [context]

    def sub(messages: list[dict[str, str]]) -> str:
        text = "".join(chance.choices(string.ascii_letters, k=1_000))
        distinct.extend([messages[-1]["content"], text])
        return text

    code = (
        "slices = [context[{0} * 50_000 + n * 10_000 :][:10_000] for n in range(5)]\nprint(llm_query_batched(slices))"
    )
    turns = [cell(code.format(number)) for number in range(19)] + [done("llm_query_batched(['a', 'b', 'c', 'd', 'e'])")]
    completion = await RLM(ScriptedModel(turns), sub_model=sub).acompletion("a question", context)
    assert len(completion.tree.root.calls) == 100
    heard = {
        message.content
        for event in read(completion.run_dir)
        if isinstance(event, events.ModelRequested)
        for message in event.messages
    }
    texts = {*distinct, *turns, *heard}
    size = sum(file.stat().st_size for file in completion.run_dir.rglob("*") if file.is_file())
    assert size < 1.5 * sum(len(text.encode()) for text in texts)


class TestCommit:
    async def test_many_that_wait_share_a_write_to_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[int] = []
        monkeypatch.setattr(writer, "_to_disk", lambda descriptor, blobs: (os.close(descriptor), synced.append(1)))
        journal = Journal(tmp_path)
        bus = Bus([journal], journal.commit)

        async def one(number: int) -> None:
            paid = events.CallFinished(
                call=f"0.{number}", status="ok", text="x", usage=Usage.of_call(1, 1), seconds=1.0
            )
            bus.emit_paid(paid, paid.seconds)
            await bus.kept()
            assert synced

        await asyncio.gather(*(one(number) for number in range(50)))
        assert 1 <= len(synced) <= 2
        await bus.kept()
        assert len(synced) <= 2
        journal.close()
        await journal.commit()

    async def test_what_was_paid_for_is_on_the_disk_before_it_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order: list[str] = []
        to_disk = writer._to_disk

        def slow(descriptor: int, blobs: list[Path]) -> None:
            time.sleep(0.05)
            to_disk(descriptor, blobs)
            order.append("disk")

        monkeypatch.setattr(writer, "_to_disk", slow)

        async def sub(messages: list[dict[str, str]]) -> Any:
            await asyncio.sleep(0.1)
            return reply("paid for")

        tools = {"used": lambda text: order.append("used")}
        root = ScriptedModel([done("used(llm_query('x'))")])
        await RLM(root, sub_model=sub, tools=tools).acompletion("q", "c")
        assert order == ["disk", "used"]

    async def test_a_batch_goes_on_while_the_disk_is_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order: list[str] = []
        asked_all = threading.Event()
        to_disk = writer._to_disk

        def slow(descriptor: int, blobs: list[Path]) -> None:
            if "asked 0" in order:  # not what came before the batch
                order.append("the last was asked" if asked_all.wait(10) else "it was waited for")
            to_disk(descriptor, blobs)
            order.append("disk")

        async def sub(messages: list[dict[str, str]]) -> Any:
            number = messages[0]["content"]
            order.append(f"asked {number}")
            if number == "4":
                asked_all.set()
            await asyncio.sleep(0.1)
            return reply("paid for")

        monkeypatch.setattr(writer, "_to_disk", slow)
        tools = {"used": lambda texts: order.append("used")}
        root = ScriptedModel([done("used(llm_query_batched([str(n) for n in range(5)]))")])
        await RLM(root, sub_model=sub, tools=tools, max_concurrency=1).acompletion("q", "c")
        assert [entry for entry in order if entry.startswith("asked")] == [f"asked {n}" for n in range(5)]
        assert "it was waited for" not in order
        assert order[-2:] == ["disk", "used"]

    async def test_what_cannot_be_kept_ends_the_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The disk says once that it has lost something, also when nobody waits for it just then."""
        told: list[str] = []
        used: list[list[str]] = []

        def failing(descriptor: int, blobs: list[Path]) -> None:
            os.close(descriptor)
            if not told:
                told.append("")
                raise OSError(errno.EIO, "Input/output error")

        async def sub(messages: list[dict[str, str]]) -> Any:
            await asyncio.sleep(0.1)
            return reply("paid for")

        monkeypatch.setattr(writer, "_to_disk", failing)
        root = ScriptedModel([done("used(llm_query_batched([str(n) for n in range(5)]))")] * 3)
        with pytest.raises(RLMError, match="cannot be written: Input/output error"):
            await RLM(root, sub_model=sub, tools={"used": used.append}, max_concurrency=1).acompletion("q", "c")
        assert len(told) == 1
        assert all(text.startswith("Error: The journal") for texts in used for text in texts)


class TestVersions:
    def test_a_newer_journal_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        newer = events.RunStarted(run="r", question="q", options={}, version=events.SCHEMA_VERSION + 1)
        run = write(tmp_path / "a", newer)
        before = (run / "events.jsonl").read_bytes()
        with pytest.raises(RLMError, match=r"newer rlm-kernel: journal version 3, this one reads up to 2\."):
            list(read(run))
        with pytest.raises(RLMError, match="newer rlm-kernel"):
            RLM.resume(run)
        assert (run / "events.jsonl").read_bytes() == before

    @pytest.mark.parametrize("version", ["1", None, 0, True, -1])
    def test_a_foreign_one_is_refused(self, tmp_path: Path, version: Any) -> None:
        run = write(tmp_path / "a", *TOLD)
        lines = (run / "events.jsonl").read_text().splitlines()
        first = json.dumps(json.loads(lines[0]) | {"version": version})
        (run / "events.jsonl").write_text("\n".join([first, *lines[1:]]) + "\n")
        with pytest.raises(RLMError, match=r"is not a journal of rlm-kernel|is damaged"):
            list(read(run))

    def test_every_older_version_has_a_reader(self) -> None:
        assert set(versions.UPGRADES) == set(range(1, events.SCHEMA_VERSION))

    async def test_a_journal_of_version_1_is_resumed(self) -> None:
        """It had neither keys nor inputs."""
        root = ScriptedModel([reply(cell("found = llm_query('one')")), reply("It is one.")])
        first = await RLM(root, sub_model=Counting(), max_iterations=1).acompletion("q", "c")
        file = first.run_dir / "events.jsonl"
        new = ("key", "source", "recorded", "finish", "last", "follows")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        old = [{k: v for k, v in line.items() if k not in new} for line in lines if line["type"] != "input_kept"]
        old[0]["version"] = 1
        file.write_text("\n".join(map(json.dumps, old)) + "\n")
        sub = Counting()
        options: dict[str, Any] = {"model": ScriptedModel([reply(done("found"))]), "sub_model": sub}
        with pytest.raises(RLMError, match="does not hold the input"):
            RLM.resume(first.run_dir, **options, max_iterations=5)
        again = await asyncio.to_thread(RLM.resume, first.run_dir, "c", **options, max_iterations=5)
        assert (again.answer, sub.prompts) == ("ONE", [])


class TestTrouble:
    def test_a_full_disk_loses_nothing_that_can_still_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal = Journal(tmp_path / "a")
        journal(TOLD[0])
        full = True

        class Disk:
            def __init__(self, file: Any) -> None:
                self._file = file

            def write(self, data: bytes) -> int:
                if full:
                    self._file.write(data[:10])  # it takes the beginning of a line
                    raise OSError(28, "No space left on device")
                return int(self._file.write(data))

            def __getattr__(self, name: str) -> Any:
                return getattr(self._file, name)

        monkeypatch.setattr(journal, "_file", Disk(journal.open()))
        with pytest.raises(RLMError, match=r"cannot be written: No space left on device\. What is in it stays\."):
            journal(events.Note(text="one"))
        assert list(read(tmp_path / "a")) == TOLD[:1]
        full = False
        journal(events.Note(text="two"))
        journal.close()
        assert [event.text for event in read(tmp_path / "a") if isinstance(event, events.Note)] == ["one", "two"]

    async def test_in_a_folder_that_cannot_be_written_a_run_is_shown_replayed_and_forked_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await RLM(ScriptedModel([done("1")]), runs_dir=tmp_path / "here").acompletion("q", "c")
        opened = Path.open

        def read_only(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if self.is_relative_to(first.run_dir) and set(mode) & set("wax+"):
                raise OSError(30, "Read-only file system")  # what root is told too
            return opened(self, mode, *args, **kwargs)

        monkeypatch.setattr(Path, "open", read_only)
        with pytest.raises(RLMError, match="cannot be written: Read-only file system"):
            RLM.resume(first.run_dir, model=ScriptedModel([]))
        assert SavedRun(first.run_dir).tree.answer == "1"
        assert (await asyncio.to_thread(RLM.replay, first.run_dir)).answer == 1
        other = {"model": ScriptedModel([]), "runs_dir": tmp_path / "there"}
        assert (await asyncio.to_thread(RLM.fork, first.run_dir, 1, **other)).answer == 1

    def test_a_run_that_is_being_written_can_be_read(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "a")
        journal(TOLD[0])
        saved = SavedRun(tmp_path / "a")
        assert (saved.state, saved.question, len(list(saved.events()))) == ("running", "q", 1)
        with pytest.raises(RLMError, match="is being written by another process. Nothing was changed"):
            Journal(tmp_path / "a").open()
        journal.close()
        assert SavedRun(tmp_path / "a").state == "interrupted"


class TestRuns:
    async def three(self, folder: Path) -> list[Path]:
        made = []
        for number in range(3):
            rlm = RLM(ScriptedModel([done(str(number))]), runs_dir=folder)
            made.append((await rlm.acompletion(f"question {number}", "the same input")).run_dir)
            os.utime(made[-1] / "events.jsonl", (time.time() - 86_400 * (3 - number),) * 2)
        return made

    async def test_they_are_listed_found_and_pruned(self, tmp_path: Path) -> None:
        made = await self.three(tmp_path)
        assert [saved.directory for saved in runs(tmp_path)] == made[::-1]
        assert [saved.question for saved in runs(tmp_path)] == ["question 2", "question 1", "question 0"]
        assert find("last", tmp_path).state == "answered"
        assert find(made[0].name, tmp_path).directory == find(made[0]).directory == made[0]
        with pytest.raises(RLMError, match="3 runs begin with '2'"):
            find("2", tmp_path)
        assert len(list((tmp_path / ".inputs").iterdir())) == 1, "the same input is there once"
        assert [saved.directory for saved in prune(tmp_path, older_than=2.5, dry_run=True)] == made[:1]
        assert len(runs(tmp_path)) == 3
        assert [saved.directory for saved in prune(tmp_path, keep=1)] == made[1::-1]
        assert [saved.directory for saved in runs(tmp_path)] == made[2:]
        assert len(list((tmp_path / ".inputs").iterdir())) == 1
        prune(tmp_path, keep=0)
        assert list((tmp_path / ".inputs").iterdir()) == []
        assert runs(tmp_path) == runs(tmp_path / "nowhere") == []

    async def test_one_that_is_being_written_stays(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "a")
        journal(TOLD[0])
        assert prune(tmp_path, keep=0) == []
        journal.close()
        assert len(prune(tmp_path, keep=0)) == 1

    @pytest.mark.parametrize("choice", [{}, {"keep": -1}, {"older_than": -0.5}])
    def test_a_choice_that_says_nothing_is_refused(self, tmp_path: Path, choice: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="Say what may go"):
            prune(tmp_path, **choice)


async def test_no_key_no_header_and_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    planted = ["sk-planted-key", "planted-secret-value"]
    turns = [cell("print(fetch(token), llm_query('Authorization: Bearer sk-planted-key'))"), done("fetch(token)")]
    with FakeServer([turns[0], "the key is sk-planted-key", turns[1]]) as server:
        rlm = RLM(
            "openai/any",
            base_url=server.openai_url,
            api_key=planted[0],
            tools={"fetch": lambda token: f"fetched with {token}", "token": Secret("T", planted[1])},
            runs_dir=tmp_path,
        )
        completion = await rlm.acompletion(f"What of {planted[0]}?", "c")
        assert any(planted[0] in request.headers["authorization"] for request in server.requests)
    assert completion.stop_reason == "answered"
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        content = file.read_bytes()
        assert not any(secret.encode() in content for secret in planted), file


def test_ten_thousand_calls_fold() -> None:
    usage = Usage.of_call(400, 20)
    stream: list[events.Event] = [TOLD[0], events.CellStarted(iteration=1, cell=1, code="llm_query_batched(prompts)")]
    for number in range(10_000):
        call = f"0.{number + 1}"
        stream.append(
            events.CallRequested(call=call, kind="llm", model="m", prompt=f"{number} {LONG}", cell=1, key=str(number))
        )
        stream.append(events.CallFinished(call=call, status="ok", text="reply", usage=usage, seconds=1.0))
    tree = fold(stream)
    assert len(tree.root.calls) == 10_000
    assert tree.usage.tokens == 4_200_000
