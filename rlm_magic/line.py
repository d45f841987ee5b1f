"""Reads what stands in a ``%%rlm`` cell: the options on its line, and the question."""

from __future__ import annotations

import keyword
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser
from IPython.utils.process import arg_split  # type: ignore[attr-defined]
from IPython.utils.text import DollarFormatter, FullEvalFormatter

from rlm_kernel.arguments import add_estimate, add_options

PARSER = MagicArgumentParser("%rlm", description="Answer a question over an input of any size.")
PARSER.add_argument(
    "-c",
    "--context",
    metavar="NAME",
    help="a variable, a file, a folder or a glob; cells:3-9 are this notebook's cells with these numbers, a list of "
    "their code and their output as far as IPython keeps it (texts, results and errors; no pictures), notebook all of "
    "them; without it, the question itself",
)
PARSER.add_argument("-o", "--into", metavar="NAME", help="the variable that gets the answer")
PARSER.add_argument(
    "--result", metavar="NAME", help="the variable that gets all of it: .answer, .tree, .usage, .to_notebook()"
)
PARSER.add_argument(
    "--expand", action="store_true", help="fill in {name} in the question with variables; {{ stands for a brace"
)
PARSER.add_argument(
    "--session",
    metavar="NAME",
    help="ask in a kernel that stays: its variables and inputs are there for the next question with the same NAME, "
    "until %%rlm_close NAME or the end of this kernel; its options are those of the first question",
)
PARSER.add_argument("--approve", action="store_true", help="show each cell before it runs: run, edit, skip, stop")
PARSER.add_argument(
    "--background",
    action="store_true",
    help="return at once: the tree grows here while other cells run, and --into and --result are filled in the end",
)
PARSER.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
PARSER.add_argument("--resume", metavar="RUN", help="go on with a run where it ended; last is the newest")
PARSER.add_argument("--replay", metavar="RUN", help="do the same as a run did, with no model at all")
PARSER.add_argument("--vs-plain", metavar="N", type=int, help="ask the same in N plain calls too, and compare")
add_estimate(PARSER)
add_options(PARSER)
PARSER.add_argument("question", nargs="*", help="the question, when there is no cell below")


class _Word(str):
    """A word of the line with its variables filled in; ``raw`` is how it was written."""

    raw: str


def read(line: str, cell: str | None, user_ns: Mapping[str, Any]) -> tuple[Namespace, str]:
    """Return the options and the question.

    In options ``{name}`` and ``$name`` are filled in, as IPython does it on the line of any magic; in the question only
    ``{name}``, and only with ``--expand``.

    Raises
    ------
    UsageError
        One of them cannot be, in one line.
    """
    try:
        arguments = PARSER.parse_args([_word(raw, user_ns) for raw in arg_split(line)])
    except ValueError as error:  # a quotation mark that stands alone
        raise UsageError(f"{error}.") from None
    for option in ("into", "result"):
        name = getattr(arguments, option)
        if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
            raise UsageError(f"--{option} {name!r}: expected a variable name.")
    question = " ".join([*(getattr(word, "raw", word) for word in arguments.question), cell or ""]).strip()
    return arguments, _filled_in(question, user_ns) if arguments.expand else question


def _word(raw: str, user_ns: Mapping[str, Any]) -> _Word:
    try:
        word = _Word(DollarFormatter().vformat(raw, (), dict(user_ns)))
    except Exception:  # what cannot be filled in stays as it is, as IPython has it
        word = _Word(raw)
    word.raw = raw
    return word


def _filled_in(question: str, user_ns: Mapping[str, Any]) -> str:
    try:
        return str(FullEvalFormatter().vformat(question, (), dict(user_ns)))
    except Exception as error:  # whatever an expression raises
        raise UsageError(
            f"--expand cannot fill in the question: {type(error).__name__}: {error}. Write {{{{ and }}}} for braces."
        ) from None
