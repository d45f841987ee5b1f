"""``%rlm_attach``: steps into the live kernel of a run or a session."""

from __future__ import annotations

import keyword
import shlex

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from rlm_kernel import LiveRepl, RLMError, attach
from rlm_magic.sessions import SESSIONS
from rlm_magic.table import Table


@magics_class
class AttachingMagics(Magics):
    """Shows what is in a live kernel, and gives a handle on it."""

    @magic_arguments()
    @argument("run", nargs="?", default="last", metavar="RUN", help="a session's name, a run's id, or last")
    @argument("--node", default="0", metavar="ID", help="a child that is at work, such as 0.3; 0 is the root")
    @argument("--into", default="repl", metavar="NAME", help="the variable that gets the live kernel")
    @line_magic
    def rlm_attach(self, line: str) -> None:
        """Open the live kernel of a run or a session, to read its variables: repl["name"].

        While a %%rlm cell runs, use it in a subshell: JupyterLab's right mouse button has "New Subshell Console for
        Notebook".
        """
        assert self.shell is not None
        arguments = parse_argstring(self.rlm_attach, line)
        name = arguments.into
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"--into {name!r}: expected a variable name.")
        try:
            repl = _found(arguments.run, arguments.node)
            names, connection = repl.names(), repl.connection_file
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None
        self.shell.user_ns[name] = repl
        display(Table(("variable", "type"), list(names.items()), "There are no variables yet."))
        stays = f", {name}.execute('code') between two questions" if repl.stays else ""
        print(f"{name}['variable'] reads one, {name}.show('variable') shows it{stays}.")  # noqa: T201
        print(f"A console of Jupyter's: jupyter console --existing {shlex.quote(str(connection))}")  # noqa: T201


def _found(run: str, node: str) -> LiveRepl:
    session = SESSIONS.find(run)
    if session is None:
        return attach(run, node)
    if node == "0":
        return session.repl
    if session.last is None:
        raise UsageError(f"The session {run} has been asked nothing yet, so no child is at work.")
    return session.last.repl_of(node)
