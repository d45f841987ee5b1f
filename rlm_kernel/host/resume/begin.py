"""Makes runs out of journals: resume, replay, fork."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, OptionError, RLMError
from rlm_kernel.events.types import InputKept, RunFinished, RunResumed, RunStarted
from rlm_kernel.host.options import RAISABLE, Options
from rlm_kernel.host.options.saved import NOT_SAVED, to_arguments
from rlm_kernel.host.resume.again import BY_HAND, Again, KeptInput
from rlm_kernel.host.resume.recording import Recording, recording
from rlm_kernel.host.resume.unrecorded import Unrecorded, unrecorded_secret, unrecorded_tool
from rlm_kernel.host.run import Run, new_id
from rlm_kernel.host.tools import saved as tools
from rlm_kernel.journal import EVENTS_FILE, Journal, SavedRun, find, inputs
from rlm_kernel.journal.blobs import FOLDER as BLOBS
from rlm_kernel.journal.inputs import FOLDER as INPUTS

SavedLike = str | Path | SavedRun


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
    saved = _find(run, changes)
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
    parent = _find(run, changes)
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


def replay(run: SavedLike, context: Any = None, **changes: Any) -> Run:
    """Return a run that does the same again with no model at all: its cells run, and what they ask is in the journal.

    It keeps no journal of its own. What is not recorded is an error.

    Raises
    ------
    OptionError, ContextError, RLMError
        As `resume`.
    """
    saved = _find(run, changes)
    past = recording(saved.events(missing="raise"), strict=True)
    _check(saved, past)
    options = Options.of(**to_arguments(past.options, _without_models(past, changes) | changes))
    first = RunStarted(run=past.run, question=past.question, options=past.options)
    return Run(
        options, past.question, saved_input(saved, past, context), again=Again(past, first), directory=saved.directory
    )


def _find(run: SavedLike, changes: Mapping[str, Any]) -> SavedRun:
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
    _check(saved, past)
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
    return Run(
        options, question or past.question, saved_input(saved, past, context), again=again, directory=saved.directory
    )


def _check(saved: SavedRun, past: Recording) -> None:
    if not past.run:
        raise RLMError(f"{str(saved.directory)!r} has no beginning of a run. There is nothing to go on with.")
    if past.options.get(BY_HAND):
        raise RLMError(
            f"The run {past.run} is a person's cell, so there is no model to go on with. Run the cell again."
        )
    if past.follows is not None:
        raise RLMError(
            f"The run {past.run} went on in the REPL of {past.follows}, in a conversation, and that REPL is gone. "
            "Only a conversation's first run can be resumed, replayed or forked."
        )


def _check_raised(reason: str, before: Mapping[str, Any], now: Options) -> None:
    if reason in RAISABLE and getattr(now, reason) is not None and getattr(now, reason) <= (before.get(reason) or 0):
        raise OptionError(f"The run was ended by {reason}={before.get(reason)}. Raise it to go on: {reason}=...")


def saved_input(saved: SavedRun, past: Recording, context: Any = None) -> Any:
    """Return what the run gets as its input: the caller's, the caller's file of before, or a `KeptInput`.

    Raises
    ------
    ContextError
        It is gone, or has changed.
    """
    kept = past.input
    if context is not None:
        return context
    if kept is None:
        raise ContextError(f"The journal does not hold the input of {past.run}: its run ended before. Pass context=.")
    if (file := _own_file(kept)) is not None:
        return file
    path = saved.directory / INPUTS / Path(kept.path).name
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


def _without_models(past: Recording, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that ask nobody: what a replay needs instead of models, tools, hooks and limits on money."""
    options = past.options
    named = {
        name: Unrecorded(str(options[name])) for name in ("model", "sub_model", "child_model") if options.get(name)
    }
    models = {
        int(key) if key.isdecimal() else key: Unrecorded(str(name))
        for key, name in (options.get("models") or {}).items()
    }
    replaced: dict[str, Any] = {
        "model": Unrecorded("recorded"),
        **named,
        "models": models,
        "sampling": {},
        "sub_sampling": {},
        "base_url": None,
        "before_call": None,
        "after_call": None,
        "max_tokens": None,
        "max_cost": None,
        "max_seconds": None,
        "max_journal_mb": None,
        "cache": options.get("cache") is not False,
    }
    for name in ("tools", "sub_tools"):
        if (values := tools.values(options.get(name))) and name not in changes:
            raise OptionError(f"The journal does not hold values of tools: pass {name}= again ({', '.join(values)}).")
        if options.get(name) is not None:
            replaced[name] = tools.from_json(options[name], unrecorded_tool, unrecorded_secret)
    return {name: value for name, value in replaced.items() if name in options or name in options.get(NOT_SAVED, ())}


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
