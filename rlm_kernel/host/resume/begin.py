"""Makes runs out of journals that go on: resume and fork."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, OptionError, RLMError
from rlm_kernel.events.types import InputKept, RunFinished, RunResumed
from rlm_kernel.host.options import RAISABLE, Options
from rlm_kernel.host.options.saved import to_arguments
from rlm_kernel.host.resume.again import BY_HAND, Again, KeptInput
from rlm_kernel.host.resume.recording import Recording, recording
from rlm_kernel.host.run import Run
from rlm_kernel.journal import EVENTS_FILE, Journal, SavedRun, find, inputs, new_id
from rlm_kernel.journal.blobs import FOLDER as BLOBS
from rlm_kernel.journal.inputs import FOLDER as INPUTS

SavedLike = str | Path | SavedRun

NO_BEGINNING = "{!r} has no beginning of a run. There is nothing to go on with."
NO_MODEL = "The run {} is a person's cell, so there is no model to go on with. Run the cell again."


def resume(run: SavedLike, context: Any = None, **changes: Any) -> Run:
    """Return a run that goes on where another attempt has ended, in the same journal; see `RLM.resume`.

    Await it, iterate over its events, or `start` it.

    Raises
    ------
    OptionError
        An option cannot work, has to be passed again, or the limit that had ended the run is not raised.
    ContextError
        The input is gone, or has changed.
    RLMError
        There is no such run, it cannot be read, or another process is writing it.
    """
    saved = find_run(run, changes)
    journal = Journal(saved.directory)
    journal.open()
    try:
        return _resumed(saved, journal, changes, context)
    except BaseException:
        journal.close()
        raise


def fork(run: SavedLike, turn: int, context: Any = None, *, question: str | None = None, **changes: Any) -> Run:
    """Return a new run that has the first turns of another one, and goes on by itself.

    Parameters
    ----------
    run, context, changes
        As for `resume`: another model, prompt or limit.
    turn
        The last turn that is served; 0 is none.
    question
        Another question.

    Raises
    ------
    OptionError, ContextError, RLMError
        As `resume`; or the run has fewer turns.
    """
    parent = find_run(run, changes)
    had = recording(parent.events()).turns
    if not isinstance(turn, int) or isinstance(turn, bool) or not 0 <= turn <= had:
        raise OptionError(f"turn={turn!r}: the run {parent.id} has {had} turns. Fork it from 0 (nothing) to {had}.")
    folder = Path(changes.get("runs_dir") or parent.directory.parent).expanduser()
    directory = folder / new_id()
    journal = Journal(directory)
    try:
        _copy(parent, directory)
        journal.open()
        return _resumed(SavedRun(directory), journal, changes, context, turn, parent.id, question)
    except BaseException as error:
        journal.close()
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError):
            raise RLMError(f"The fork could not be made at {str(directory)!r}: {error.strerror}.") from error
        raise


def find_run(run: SavedLike, changes: Mapping[str, Any]) -> SavedRun:
    """Find a run where the new one will be, else where runs usually are."""
    try:
        return find(run, changes.get("runs_dir"))
    except RLMError:
        if changes.get("runs_dir") is None:
            raise
        return find(run)


def _resumed(
    saved: SavedRun,
    journal: Journal,
    changes: Mapping[str, Any],
    context: Any,
    turns: int | None = None,
    forked_from: str | None = None,
    question: str | None = None,
) -> Run:
    events = list(saved.events(missing="raise"))
    past = recording(events)
    if not past.run:
        raise RLMError(NO_BEGINNING.format(str(saved.directory)))
    _check(past)
    if turns is not None:
        past.root.cut(turns)
        past.usage, past.seconds = past.root.usage, 0.0
    options = Options.of(**to_arguments(past.options, changes))
    if turns is None and events and isinstance(events[-1], RunFinished):
        _check_raised(events[-1].stop_reason, past.options, options)
    first = RunResumed(
        run=saved.id,
        options=options.public(),
        usage=past.usage,
        turns=turns,
        forked_from=forked_from,
        question=question,
    )
    again = Again(past, first, journal, events, other_input=context is not None)
    (given,) = saved_inputs(saved, past, context)
    return Run(options, question or past.question, given, again=again, directory=saved.directory)


def _check(past: Recording) -> None:
    if past.options.get(BY_HAND):
        raise RLMError(NO_MODEL.format(past.run))
    if past.follows is not None or len(past.inputs) > 1:
        raise RLMError(
            f"The run {past.run} has the REPL of a conversation, which is gone. Only a conversation's first run, with "
            "one input, can be resumed and forked; any can be replayed."
        )


def _check_raised(reason: str, before: Mapping[str, Any], now: Options) -> None:
    if reason in RAISABLE and getattr(now, reason) is not None and getattr(now, reason) <= (before.get(reason) or 0):
        raise OptionError(f"The run was ended by {reason}={before.get(reason)}. Raise it to go on: {reason}=...")


def saved_inputs(saved: SavedRun, past: Recording, context: Any = None) -> list[Any]:
    """Return what the run was given, each as the caller's, the caller's file of before, or a `KeptInput`.

    Raises
    ------
    ContextError
        One is gone, or has changed.
    """
    if context is not None:
        return [context]
    if not past.inputs and past.follows is None:
        raise ContextError(
            f"The journal does not hold the input of {past.run}: it ended before, or a secret is in it. Pass context=."
        )
    return [saved_input(saved.directory, kept) for kept in past.inputs.values()]


def saved_input(directory: Path, kept: InputKept) -> Any:
    """Return one input of a run, as the caller's file of before or a `KeptInput`.

    Raises
    ------
    ContextError
        It is gone, or has changed.
    """
    if (file := _own_file(kept)) is not None:
        return file
    path = directory / INPUTS / Path(kept.path).name
    if not inputs.is_whole(path):
        raise ContextError(f"The journal's input {str(path)!r} is missing or damaged. Pass context= again.")
    try:
        return KeptInput(path, wire.decode(wire.Load, kept.load))
    except RLMError as error:
        raise ContextError(f"The journal's input cannot be loaded: {error} Pass context= again.") from None


def _own_file(kept: InputKept) -> Path | None:
    """Return the caller's own file, if the input is one that was not copied."""
    path = Path(kept.path)
    if not path.is_absolute():
        return None
    try:
        status = path.stat()
    except OSError as error:
        raise ContextError(
            f"The input {kept.path!r} cannot be read any more: {error.strerror}. Pass context=."
        ) from None
    if (status.st_size, status.st_mtime_ns) != (kept.bytes, kept.modified):
        raise ContextError(f"The input {kept.path!r} has changed since the run began. Pass context= to use it anyway.")
    return path


def _copy(parent: SavedRun, directory: Path) -> None:
    """Copy the whole lines of a journal, and link what it refers to."""
    directory.mkdir(mode=0o700, parents=True)
    with (parent.directory / EVENTS_FILE).open("rb") as source, (directory / EVENTS_FILE).open("wb") as target:
        target.writelines(line for line in source if line.endswith(b"\n"))
    for name in (BLOBS, INPUTS):
        if (parent.directory / name).is_dir():
            (directory / name).mkdir(mode=0o700)
            for file in (parent.directory / name).iterdir():
                _link(file, directory / name / file.name)
    with suppress(FileNotFoundError):
        shutil.copyfile(parent.directory / "run.json", directory / "run.json")


def _link(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, target)
