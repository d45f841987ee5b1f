"""What all nodes of a run have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import RLMError
from rlm_kernel.host import inputs, prompts
from rlm_kernel.host.answers.answer_type import AnswerType
from rlm_kernel.host.bus import Bus
from rlm_kernel.host.cache import Cache
from rlm_kernel.host.models import Models
from rlm_kernel.host.options import Options
from rlm_kernel.host.prompts import Prompts
from rlm_kernel.host.redaction import Redactor
from rlm_kernel.host.resume.again import KeptInput
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.host.stops import Stops
from rlm_kernel.host.tools import Tools
from rlm_kernel.host.verify import Verifiers

if TYPE_CHECKING:
    from rlm_kernel.host.repl import Repl

CHILD_QUESTION = "Do what `context` asks, and answer it."
"""The question, where only an input was given."""


@dataclass(frozen=True)
class Shared:
    """What all nodes of a run have in common; children inherit it whole."""

    options: Options
    models: Models
    prompts: Prompts
    cache: Cache
    verifiers: Verifiers
    redactor: Redactor
    bus: Bus
    box: Box
    tools: Tools
    sub_tools: Tools
    stops: Stops = field(default_factory=Stops)
    repls: dict[str, Repl] = field(default_factory=dict)
    """Of the nodes that are at work, by their ids."""

    @classmethod
    def of(cls, options: Options, bus: Bus, box: Box | None = None) -> Shared:
        """Find everything that a run needs, before any model is paid.

        Raises
        ------
        OptionError
            A model, its key, a price, a tool, a secret or a hook is missing or cannot work.
        """
        verifiers = Verifiers(options.before_call, options.after_call, options.approve)
        models = Models(options, verifiers.models)
        tools = Tools.of(options.tools, private=models.secrets)
        sub_tools = tools if options.sub_tools is None else Tools.of(options.sub_tools, private=models.secrets)
        AnswerType.of(options.answer_type)
        return cls(
            options=options,
            models=models,
            prompts=prompts.of(options),
            cache=Cache(options.cache),
            verifiers=verifiers,
            redactor=Redactor([*models.secrets, *tools.secrets, *sub_tools.secrets]),
            bus=bus,
            box=box or Box(options),
            tools=tools,
            sub_tools=sub_tools,
        )


@dataclass(frozen=True)
class Task:
    """What a node has to do."""

    question: str
    context: Any
    """A value, a `Path`, an `Upload`; ``None`` where the REPL has what it needs."""
    answer_type: AnswerType | None = None
    source: str = ""
    """Code of the parent's that runs in the REPL first: functions that it gives to a child."""

    @classmethod
    def of(cls, options: Options, question: str, context: Any, *, has_input: bool) -> Task:
        """Return what a run's root has to do; ``has_input`` where its REPL has one already.

        As in rlms, an input may hold what is asked.
        """
        answer_type = AnswerType.of(options.answer_type)
        if context is None and not has_input:
            return cls("" if options.compat else question, question, answer_type)
        return cls("" if options.compat and question == CHILD_QUESTION else question, context, answer_type)


def check_asked(options: Options, question: str, context: Any, *, goes_on: bool) -> Any:
    """Refuse what cannot be asked; return the input, which is the question where there is no other.

    ``None`` is returned where the input has been checked before: a conversation ``goes_on`` with the ones it has, or
    a journal has kept it.

    Raises
    ------
    RLMError
        The question is empty.
    ContextError
        The input can be none; see `rlm_kernel.host.inputs.check`.
    """
    if not isinstance(question, str) or not question.strip():
        raise RLMError("The question is empty. Write what you want to know about the context.")
    if isinstance(context, KeptInput) or (context is None and goes_on):
        return None
    checked = question if context is None else context
    memory, form = options.memory_mb << 20, options.context_format
    inputs.check(checked, memory, encoding=options.encoding, context_format=form)
    return checked
