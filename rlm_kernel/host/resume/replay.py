"""A run that does the same again with no model at all, and compares."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from rlm_kernel.errors import ContextError, ModelError, OptionError, RLMError
from rlm_kernel.events.types import Event, RunFinished, RunStarted, StopReason
from rlm_kernel.host import loop
from rlm_kernel.host.answers.answer import Answer
from rlm_kernel.host.bus import Sink
from rlm_kernel.host.completion import Completion
from rlm_kernel.host.conversation import Conversation
from rlm_kernel.host.options import Options
from rlm_kernel.host.options.saved import NOT_SAVED, to_arguments
from rlm_kernel.host.resume.again import BY_HAND, Again
from rlm_kernel.host.resume.begin import NO_BEGINNING, SavedLike, find_run, saved_inputs
from rlm_kernel.host.resume.playback import Playback
from rlm_kernel.host.resume.recorded import JournalEnds
from rlm_kernel.host.resume.recording import Recording, recording
from rlm_kernel.host.resume.unrecorded import Unrecorded, unrecorded_secret, unrecorded_tool
from rlm_kernel.host.run import Run
from rlm_kernel.host.shared import Task
from rlm_kernel.host.tools import saved as tools
from rlm_kernel.journal import SavedRun, find

TOOLS = ("tools", "sub_tools")
NO_LIMITS: dict[str, Any] = {"max_tokens": None, "max_cost": None, "max_seconds": None, "max_journal_mb": None}
"""What a replay cannot use up."""
SHOWN_CHARACTERS = 200
"""Of an answer that is another one."""


def replay(run: SavedLike, context: Any = None, **changes: Any) -> Replay:
    """Return a run that does the same again with no model at all: its cells run, and what they ask is in the journal.

    What is shown, its tree and its events, is what the journal holds; a call that is not recorded is an error. It keeps
    no journal of its own. For a run that went on in a conversation, the cells of those before it run first. Where
    cells cannot run, because what they need is in no journal, the run is only shown, and a warning says why.

    Raises
    ------
    OptionError, RLMError
        As `rlm_kernel.resume`.
    """
    saved = find_run(run, changes)
    last = _replay(saved, context, changes)
    first = last
    while not last.only_shown and (follows := first.past.follows) is not None:
        try:
            first = _replay(find(follows, saved.directory.parent), None, changes)
            why = first.only_shown
        except RLMError as error:
            why = str(error)
        if why:
            last.only_shown = f"It went on in the REPL of {follows}, whose cells have to run first. {why}"
        last.earlier.insert(0, first)
    if last.only_shown and last.past.root.cells:
        warnings.warn(f"{saved.id} is shown, and its cells do not run: {last.only_shown}", stacklevel=2)
    return last


def _replay(saved: SavedRun, context: Any, changes: dict[str, Any]) -> Replay:
    events = list(saved.events(missing="raise"))
    past = recording(events, strict=True)
    if not past.run:
        raise RLMError(NO_BEGINNING.format(str(saved.directory)))
    options, inputs, why = Options.of(model=Unrecorded("recorded")), [], _missing_tools(past, changes)
    if past.options.get(BY_HAND):
        why = "A person had typed them, into a kernel that is gone."
    if not why:
        try:
            inputs = saved_inputs(saved, past, context)
            options = Options.of(**to_arguments(past.options, _without_models(past, changes) | changes))
        except ContextError as error:  # of an imported run, whose options are another library's, too
            why = str(error)
        except OptionError as error:  # what the run had is not on this machine, such as a sandbox of somebody's
            if changes:
                raise
            why = str(error)
    return Replay(saved, past, events, options, inputs, why)


def _missing_tools(past: Recording, changes: Mapping[str, Any]) -> str:
    """Say which values of tools have to be passed."""
    for name in TOOLS:
        if name not in changes and (values := tools.values(past.options.get(name))):
            return f"The journal does not hold values of tools. Pass {name}= again ({', '.join(values)})."
    return ""


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
        "approve": None,
        **NO_LIMITS,
        "cache": options.get("cache") is not False,
    }
    for name in TOOLS:
        if options.get(name) is not None and name not in changes:
            replaced[name] = tools.from_json(options[name], unrecorded_tool, unrecorded_secret)
    return {name: value for name, value in replaced.items() if name in options or name in options.get(NOT_SAVED, ())}


class Replay(Run):
    """A run of the journal, done again: its cells run in a fresh kernel, and what they ask is in the journal.

    What is shown is what the journal holds, event by event, moved to the present, as the engine comes to the same.
    Where it can come no further, the rest is shown as it was: what had ended the run from outside (time, Ctrl-C, a
    failure, a crash), and what cells now do otherwise, which is an error too.

    Parameters
    ----------
    saved, past, events
        The run, and what it holds.
    options
        As it had them, without models.
    inputs
        What it was given. In a conversation that may be nothing, or several.
    only_shown
        Why no cell can run: what they need is in no journal.

    Attributes
    ----------
    only_shown
        As given.
    earlier
        The runs before it in a conversation, first to last: their cells run first, in the same REPL.
    """

    def __init__(
        self,
        saved: SavedRun,
        past: Recording,
        events: Sequence[Event],
        options: Options,
        inputs: Sequence[Any],
        only_shown: str = "",
    ) -> None:
        self._playback: Playback
        self._recorded_events = events
        context = inputs[-1] if inputs else None
        first = RunStarted(run=past.run, question=past.question, options=past.options)
        super().__init__(options, past.question, context, again=Again(past, first), directory=saved.directory)
        if context is None:  # it has those of the runs before it
            self._task = Task(past.question, None, self._task.answer_type)
        self.past = past
        self.earlier: list[Replay] = []
        self.only_shown = only_shown
        self._inputs = inputs
        self._shown: Answer | None = None

    async def complete(self) -> Completion:
        """Do the same again; see `Run.complete`.

        Raises
        ------
        ModelError
            A cell asked for what is not in the journal, the answer is another one, or the journal has no end.
        RLMError
            The run had failed: with the same words.
        """
        if self.only_shown or (not self.earlier and len(self._inputs) == 1 and not self.past.continued):
            return await super().complete()
        conversation = Conversation(self._options, self._shared.tools)
        try:
            await conversation.open()
            self._conversation = conversation
            return await super().complete()
        finally:
            await loop.to_the_end(conversation.close())

    async def _as_before(self, conversation: Conversation) -> None:
        """Run for the sake of what it leaves in a REPL; it may have failed."""
        self._conversation = conversation
        try:
            await super().complete()
        except RLMError as error:
            if not self._ended_with(error):
                raise

    def _sinks(self, views: Sequence[Sink]) -> Sequence[Sink]:
        self._playback = Playback(self._recorded_events, views)
        return [self._playback.heard]

    async def _answered(self) -> StopReason:
        end = self._playback.end
        try:
            reason = await self._in_all_parts()
            self._check(reason, end)
        except JournalEnds:
            reason = self._as_recorded(end)
        except RLMError:
            self._playback.over = True
            raise
        self._playback.over = True
        self._warn()
        if end is None:
            raise ModelError(
                f"The journal of {self.id} ends here: its host was killed, or is still at it. `resume` goes on with it."
            )
        if end.error is not None:
            raise RLMError(end.error)
        return reason

    async def _in_all_parts(self) -> StopReason:
        """Run those before it, this one to its end, and on wherever a limit had been raised."""
        if self.only_shown:
            raise JournalEnds("There is nothing to run.")
        if self._conversation is not None:
            for run in self.earlier:
                await run._as_before(self._conversation)
            for one in self._inputs[:-1]:
                await self._conversation.add_context(one)
        reason = await super()._answered()
        for limits in self.past.continued:
            if reason == "answered":
                break
            self._options = self._options.with_limits(
                **{name: value for name, value in limits.items() if name not in NO_LIMITS}
            )
            self._ledger.account.raise_limits(self._options)
            reason = await super()._answered()
        return reason

    def _ended_with(self, error: RLMError) -> bool:
        end = self._playback.end
        return end is not None and end.error == str(error)

    def _as_recorded(self, end: RunFinished | None) -> StopReason:
        """End as the journal does: what is left of it happened to the run from outside."""
        if (answered := self._playback.answered) is not None:
            self._shown = Answer(answered.value, answered.text)
        return "error" if end is None else end.stop_reason

    @property
    def _best(self) -> Answer:
        return self._shown or super()._best

    def _check(self, reason: StopReason, end: RunFinished | None) -> None:
        """Compare the end with the journal's."""
        assert self._node is not None
        text, answered = self._node.best.text, self._playback.answered
        was = "" if answered is None else answered.text
        if end is not None and (reason, text) != (end.stop_reason, was):
            raise ModelError(
                f"The replay came to {text[:SHOWN_CHARACTERS]!r} ({reason}); "
                f"in the journal it is {was[:SHOWN_CHARACTERS]!r} ({end.stop_reason})."
            )

    def _warn(self) -> None:
        """Say what cells have printed otherwise."""
        if differences := self.past.root.differences:
            more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
            warnings.warn(f"Replay of {self.id}: {differences[0]}{more} What is shown is the journal's.", stacklevel=2)
