"""The journal: every event in a private directory, readable whatever happened to its writer."""

from __future__ import annotations

import fcntl
import json
import stat
from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_data_dir

from rlm_kernel.errors import RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.codec import to_json
from rlm_kernel.events.values import Usage
from rlm_kernel.journal import Journal, default_runs_dir, read
from tests.events.stories import mystery

RUN = mystery()
KEPT = [event for event in RUN if not isinstance(event, events.TextDelta)]


def write(run_dir: Path, *stream: events.Event) -> Path:
    """The file of a journal that holds a stream."""
    journal = Journal(run_dir)
    for event in stream:
        journal(event)
    journal.close()
    return run_dir / "events.jsonl"


def test_what_is_read_is_what_was_told_without_the_pieces_of_text(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "a", *RUN)
    assert list(read(tmp_path / "runs" / "a")) == KEPT


def test_who_looks_whether_a_run_is_live_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a", RUN[0])
    with file.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr("rlm_kernel.journal.writer.time.sleep", lambda _: looking.close())
        write(tmp_path / "a", RUN[1])
    assert list(read(tmp_path / "a")) == RUN[:2]


def test_the_directory_is_for_its_owner_only_and_says_what_the_run_is(tmp_path: Path) -> None:
    write(tmp_path / "a", *RUN)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    what = json.loads((tmp_path / "a" / "run.json").read_text())
    finished = what.pop("finished")
    assert what == {
        "run": "20260101-120000-abcdef",
        "question": "Which chapter first names the murderer, and how?",
        "started": RUN[0].time,
        "version": events.SCHEMA_VERSION,
        "options": {},
    }
    end = KEPT[-1]
    assert isinstance(end, events.RunFinished)
    assert (finished["stop_reason"], finished["seconds"]) == (end.stop_reason, end.seconds)
    assert Usage(**finished["usage"]) == end.usage


def test_each_event_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a")
    for count, event in enumerate(KEPT, 1):
        journal(event)
        assert len(list(read(tmp_path / "a"))) == count
    journal.close()
    journal.close()


def test_nothing_is_made_before_the_first_event(tmp_path: Path) -> None:
    Journal(tmp_path / "a").close()
    assert not (tmp_path / "a").exists()


def test_a_journal_cut_off_at_any_byte_of_its_last_line_gives_the_events_before_it(tmp_path: Path) -> None:
    file = write(tmp_path / "a", *KEPT[:3])
    whole = file.read_bytes()
    for left in range(len(to_json(KEPT[2])) + 1):
        file.write_bytes(whole[: -1 - left])
        assert list(read(tmp_path / "a")) == KEPT[:2]


def test_a_journal_that_was_cut_off_can_be_continued(tmp_path: Path) -> None:
    file = write(tmp_path / "a", *KEPT[:3])
    with file.open("ab") as stream:
        stream.write(to_json(events.Note(text="x" * 200_000)).encode()[:-5])
    write(tmp_path / "a", *KEPT[3:])
    assert list(read(tmp_path / "a")) == KEPT


@pytest.mark.parametrize("garbage", [b"}{\n", b"\n", b"\xff\xfe\x00\n", b'{"type": "note"}\n', b"\x00" * 100 + b"\n"])
def test_damage_in_the_middle_is_told_with_its_line(tmp_path: Path, garbage: bytes) -> None:
    file = write(tmp_path / "a", *KEPT[:4])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], garbage, *lines[2:]]))
    reader = read(tmp_path / "a")
    assert [next(reader), next(reader)] == KEPT[:2]
    with pytest.raises(RLMError, match=r"events\.jsonl', line 3 is damaged: "):
        next(reader)


def test_a_missing_journal_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RLMError, match=r"There is no journal at '.*nowhere': No such file"):
        list(read(tmp_path / "nowhere"))


def test_a_directory_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RLMError, match=r"journal '.*file/a' cannot be written: .*RLM_RUNS_DIR"):
        Journal(tmp_path / "file" / "a")(RUN[0])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_and_the_journal_can_still_be_closed(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path)
    for _ in range(2):
        with pytest.raises(RLMError, match="cannot be written: No space left on device"):
            journal(events.Note(text="hello"))
    journal.close()


def test_runs_go_to_jupyters_data_directory_or_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RLM_RUNS_DIR", str(tmp_path))
    assert default_runs_dir() == tmp_path
    monkeypatch.setenv("RLM_RUNS_DIR", "~/runs")
    assert default_runs_dir() == Path.home() / "runs"
    monkeypatch.delenv("RLM_RUNS_DIR")
    assert default_runs_dir() == Path(jupyter_data_dir(), "rlm", "runs")
