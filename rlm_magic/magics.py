"""``%%rlm`` and ``%rlm``: a question in a cell, answered over a variable or a file."""

from __future__ import annotations

import keyword
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from traitlets import Float, Integer, Unicode

from rlm_kernel import RLM, RLMError
from rlm_magic.context import find
from rlm_magic.display import watch


@magics_class
class RLMMagics(Magics):
    """The magic and its defaults; set them with ``%config RLMMagics.model = "..."`` or in a configuration file."""

    model = Unicode(None, allow_none=True, help="The root model, provider/model. Default: the embedded one.").tag(
        config=True
    )
    sub_model = Unicode(None, allow_none=True, help="The model of plain sub-calls. Default: the root model.").tag(
        config=True
    )
    base_url = Unicode(None, allow_none=True, help="Another address that speaks the provider's protocol.").tag(
        config=True
    )
    sandbox = Unicode("bubblewrap", help="The box for model-written code.").tag(config=True)
    max_depth = Integer(1, help="Levels of REPLs; at 1 every sub-call is a plain completion.").tag(config=True)
    max_iterations = Integer(30, help="Turns of the root model.").tag(config=True)
    max_calls = Integer(1000, allow_none=True, help="Sub-calls of the whole run.").tag(config=True)
    max_tokens = Integer(None, allow_none=True, help="Tokens of the whole run.").tag(config=True)
    max_seconds = Float(None, allow_none=True, help="Seconds of the whole run.").tag(config=True)
    runs_dir = Unicode(None, allow_none=True, help="Where journals go.").tag(config=True)

    @magic_arguments()
    @argument("-c", "--context", metavar="NAME", help="a variable, a file, a folder or a glob; without it, the question")
    @argument("-m", "--model", help="the root model, provider/model")
    @argument("-s", "--sub-model", help="the model of plain sub-calls")
    @argument("--base-url", metavar="URL", help="another address that speaks the provider's protocol")
    @argument("--sandbox", help="the box for model-written code: bubblewrap, or process, which isolates nothing")
    @argument("--depth", dest="max_depth", type=int, metavar="N", help="levels of REPLs")
    @argument("--max-iterations", type=int, metavar="N", help="turns of the root model")
    @argument("--max-calls", type=int, metavar="N", help="sub-calls of the whole run")
    @argument("--max-tokens", type=int, metavar="N", help="tokens of the whole run")
    @argument("--max-seconds", type=float, metavar="S", help="seconds of the whole run")
    @argument("-o", "--into", metavar="NAME", help="the variable that gets the answer")
    @argument("-q", "--quiet", action="store_true", help="print the answer only")
    @argument("question", nargs="*", help="the question, when there is no cell below")
    @line_cell_magic
    def rlm(self, line: str, cell: str | None = None) -> None:
        """Answer a question over an input of any size with a Recursive Language Model."""
        arguments = parse_argstring(self.rlm, line)
        question = " ".join([*arguments.question, cell or ""]).strip()
        into = arguments.into
        if not question:
            raise UsageError("Write the question in the cell, below the %%rlm line.")
        if into is not None and (not into.isidentifier() or keyword.iskeyword(into)):
            raise UsageError(f"--into {into!r}: expected a variable name.")
        try:
            context = find(arguments.context, self.shell.user_ns)
            run = RLM(**self._options(arguments)).start(question, context)
            completion = watch(run, notebook=hasattr(self.shell, "kernel"), quiet=arguments.quiet)
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None
        if into is not None:
            self.shell.user_ns[into] = completion.answer
        if completion.stop_reason == "cancelled":  # an error, so that "Run All" stops here too
            raise UsageError(f"The run was stopped. What there is of it: {completion.run_dir}")

    def _options(self, arguments: Any) -> dict[str, Any]:
        """Return the options: the line's, else the configured ones."""
        names = [name for name in self.class_own_traits(config=True)]
        given = {name: getattr(arguments, name, None) for name in names}
        return {name: getattr(self, name) if value is None else value for name, value in given.items()}
