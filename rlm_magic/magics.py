"""``%%rlm`` and ``%rlm``: a question in a cell, answered over a variable or a file."""

from __future__ import annotations

import keyword
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import MagicArgumentParser
from traitlets import Float, Integer, Unicode

from rlm_kernel import RLM, RLMError
from rlm_kernel.arguments import NAMES, add_options, decoding, options
from rlm_magic.context import find
from rlm_magic.display import watch

PARSER = MagicArgumentParser("%%rlm", description="Answer a question over an input of any size.")
PARSER.add_argument(
    "-c", "--context", metavar="NAME", help="a variable, a file, a folder or a glob; without it, the question itself"
)
PARSER.add_argument("-o", "--into", metavar="NAME", help="the variable that gets the answer")
PARSER.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
add_options(PARSER)
PARSER.add_argument("question", nargs="*", help="the question, when there is no cell below")


@magics_class
class RLMMagics(Magics):
    """The magic, and its defaults: ``%config RLMMagics.model = "..."`` or ``c.RLMMagics.model`` in a config file."""

    model = Unicode(None, allow_none=True, help="The root model; by default the embedded one.").tag(config=True)
    sub_model = Unicode(None, allow_none=True, help="The model of plain sub-calls.").tag(config=True)
    base_url = Unicode(None, allow_none=True, help="Another address of the provider's protocol.").tag(config=True)
    sandbox = Unicode(None, allow_none=True, help="The box for model-written code.").tag(config=True)
    memory_mb = Integer(None, allow_none=True, help="Memory of each kernel, in MiB.").tag(config=True)
    max_depth = Integer(None, allow_none=True, help="Levels of REPLs.").tag(config=True)
    max_iterations = Integer(None, allow_none=True, help="Turns of the root model.").tag(config=True)
    max_calls = Integer(None, allow_none=True, help="Sub-calls of the whole run.").tag(config=True)
    max_tokens = Integer(None, allow_none=True, help="Tokens of the whole run.").tag(config=True)
    max_seconds = Float(None, allow_none=True, help="Seconds of the whole run.").tag(config=True)
    encoding = Unicode(None, allow_none=True, help="How files and bytes become text.").tag(config=True)
    encoding_errors = Unicode(None, allow_none=True, help="What is not valid in the encoding.").tag(config=True)
    runs_dir = Unicode(None, allow_none=True, help="Where journals go.").tag(config=True)

    @line_cell_magic
    def rlm(self, line: str, cell: str | None = None) -> None:
        """Answer a question over an input of any size with a Recursive Language Model."""
        try:
            arguments = PARSER.parse_argstring(line)
        except ValueError as error:  # a quotation mark that stands alone
            raise UsageError(f"{error}.") from None
        question = " ".join([*arguments.question, cell or ""]).strip()
        if not question:
            raise UsageError("Write the question in the cell, below the %%rlm line.")
        if arguments.into is not None and (not arguments.into.isidentifier() or keyword.iskeyword(arguments.into)):
            raise UsageError(f"--into {arguments.into!r}: expected a variable name.")
        assert self.shell is not None
        try:
            chosen = {**self._configured(), **options(arguments)}
            context = find(arguments.context, self.shell.user_ns, **decoding(chosen))
            run = RLM(**chosen).start(question, context)
            completion = watch(run, notebook=hasattr(self.shell, "kernel"), quiet=arguments.quiet)
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None
        if arguments.into is not None:
            self.shell.user_ns[arguments.into] = completion.answer
        if completion.stop_reason == "cancelled":  # an error, so that "Run All" stops here too
            raise UsageError(f"The run was stopped; its journal is {completion.run_dir}.")

    def _configured(self) -> dict[str, Any]:
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}


RLMMagics.rlm.__doc__ = PARSER.format_help()
