"""``%%rlm`` and ``%rlm``: a question in a cell, answered over a variable or a file."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import Bool, Float, Integer, Unicode

from rlm_kernel import RLM, Approver, RLMError, Run, compare, give_names, replay, resume
from rlm_kernel.arguments import CONFIGURED, HELP, decoding, options
from rlm_magic import ahead
from rlm_magic.background import BACKGROUND, check, kept
from rlm_magic.context import find
from rlm_magic.display import watch
from rlm_magic.line import PARSER, read
from rlm_magic.names import NAMES
from rlm_magic.sessions import SESSIONS

TRAITS = {str: Unicode, int: Integer, float: Float, bool: Bool}

_Configurable: Any = type(
    "_Configurable",
    (Magics,),
    {n: TRAITS[kind](None, allow_none=True, help=text).tag(config=True) for n, (kind, text) in CONFIGURED.items()},
)
"""Magics with a trait for each option of a run."""


@magics_class
class RLMMagics(_Configurable):  # type: ignore[misc]
    """The magic, and its defaults: ``%config RLMMagics.model = "..."`` or ``c.RLMMagics.model`` in a config file."""

    @no_var_expand
    @line_cell_magic
    def rlm(self, line: str, cell: str | None = None) -> None:
        """Answer a question over an input of any size with a Recursive Language Model."""
        assert self.shell is not None
        arguments, question = read(line, cell, self.shell.user_ns)
        if not question and arguments.resume is None and arguments.replay is None:
            raise UsageError("Write the question in the cell, below the %%rlm line.")
        in_notebook = hasattr(self.shell, "kernel")
        if arguments.background:
            check(arguments, notebook=in_notebook)
        try:
            chosen = {**self.configured(), **options(arguments)}
            context = find(arguments.context, self.shell, **decoding(chosen))
            if arguments.estimate:
                ahead.say(arguments, chosen, question, context)
                return
            if arguments.background:
                context = kept(context)
            approver = Approver() if arguments.approve else None
            run = self._begin(arguments, question, context, chosen, approver)
            if arguments.background:
                BACKGROUND.begin(run, self.shell, arguments, approver)
                return
            completion = watch(run.start(), notebook=in_notebook, quiet=arguments.quiet, approver=approver)
            if arguments.vs_plain is not None:
                plain = RLM(**chosen).plain(run.question, context, times=arguments.vs_plain)
                display(compare({"RLM": completion, "plain": plain}))
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None
        values = {arguments.into: completion.answer, arguments.result: completion}
        NAMES.fill(self.shell.user_ns, {name: value for name, value in values.items() if name is not None})
        if completion.stop_reason == "cancelled":  # an error, so that "Run All" stops here too
            raise UsageError(f"The run was stopped; its journal is {completion.run_dir}.")

    @line_magic
    def rlm_names(self, line: str) -> None:
        """Put a run's REPL names into this notebook: ``%rlm_names RUN``, or ``last``.

        ``context`` is the run's input, ``answer`` is fresh, and what `llm_query`, `rlm_query` and the run's tools are
        asked is answered by its journal: nothing is paid. The cells that you then run are a model's code, with your
        rights.
        """
        assert self.shell is not None
        try:
            names = give_names(line.strip() or "last", self.shell.user_ns)
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None
        print("From the journal:", ", ".join(names))  # noqa: T201

    @line_magic
    def rlm_close(self, line: str) -> None:
        """End a session of ``--session`` and its kernel: ``%rlm_close NAME``; without a name, all of them."""
        names = line.split() or SESSIONS.names
        try:
            for name in names:
                SESSIONS.close(name)
        except RLMError as error:
            raise UsageError(str(error)) from None

    def _begin(
        self, arguments: Any, question: str, context: Any, chosen: dict[str, Any], approver: Approver | None
    ) -> Run:
        """Return the run that the line asks for. One of the journal has its own options, but for those on the line."""
        approve = {} if approver is None else {"approve": approver}
        if approve and (arguments.session or arguments.replay):
            raise UsageError("--approve needs a run of its own, and not --session or --replay, which asks nobody.")
        again = [option for option in ("resume", "replay") if getattr(arguments, option) is not None]
        if again and arguments.vs_plain is not None:
            raise UsageError("--vs-plain needs a new run, and not --resume or --replay.")
        if arguments.session is not None and (again or arguments.vs_plain is not None):
            raise UsageError(
                "--session asks the next question in its own kernel, without --resume, --replay, --vs-plain."
            )
        if not again:
            new = arguments.session is None
            rlm = RLM(**chosen | approve) if new else SESSIONS.get(arguments.session, options(arguments), chosen)
            ahead.look(self, arguments, rlm, question, context)
            return rlm.stream(question, context)
        if arguments.ask_above is not None:
            raise UsageError("--ask-above needs a new run, and not --resume or --replay.")
        if len(again) > 1:
            raise UsageError("Give --resume or --replay, not both.")
        begin = {"resume": resume, "replay": replay}[again[0]]
        where = {} if self.runs_dir is None else {"runs_dir": self.runs_dir}
        run = begin(getattr(arguments, again[0]), context, **where | options(arguments) | approve)
        if question and question != run.question:
            run.abandon()
            raise UsageError(f"That run was asked something else: {run.question[:200]!r}. Leave the cell empty.")
        return run

    def configured(self) -> dict[str, Any]:
        """Return the options that are set, as keywords of `rlm_kernel.RLM`."""
        return {name: value for name in HELP if (value := getattr(self, name)) is not None}


RLMMagics.rlm.__doc__ = PARSER.format_help()
