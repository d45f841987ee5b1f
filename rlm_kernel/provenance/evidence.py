"""Which cells and sub-calls an answer came from: the names that its last cell uses, and the cells that made them.

This is a static backward slice (Weiser, "Program Slicing", ICSE 1981) over the cells of a node. What it names may have
led to the answer; what it leaves out has not, unless it changed a value in a way that no name shows.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from dataclasses import dataclass, field

from rlm_kernel.events.nodes import Cell, Node, Tree

_BUILT_IN = frozenset(dir(builtins))
_PURE = frozenset(dir(str)) | {"get", "items", "keys", "values", "search", "findall", "finditer", "match"}
"""Methods that change nothing."""
_INPUTS = frozenset(("context", "history"))
"""Names that the REPL gives back after each cell."""


@dataclass(frozen=True)
class Evidence:
    """What led to an answer.

    Attributes
    ----------
    cells
        Each as node id and the cell's number, from the first to the one that answered.
    calls
        The ids of the sub-calls that those cells made.
    quoted
        Those of them whose result holds the answer's text, or is held by it.
    """

    cells: tuple[tuple[str, int], ...] = ()
    calls: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


def evidence_of(tree: Tree) -> Evidence:
    """Return what led to a run's answer; nothing where there is none, or where the model has only said it."""
    cells: list[tuple[str, int]] = []
    calls: list[Node] = []
    if tree.answer:
        _of_node(tree.root, cells, calls)
    answer = " ".join(tree.answer.split()).casefold()
    quoted = [call.id for call in calls if _share(answer, " ".join(call.text.split()).casefold())]
    return Evidence(tuple(cells), tuple(call.id for call in calls), tuple(quoted))


def _of_node(node: Node, cells: list[tuple[str, int]], calls: list[Node]) -> None:
    """Add a node's part; children that its cells have asked come with theirs."""
    for cell in _slice([cell for turn in node.iterations for cell in turn.cells]):
        cells.append((node.id, cell.index))
        for call in cell.calls:
            calls.append(call)
            if call.iterations:
                _of_node(call, cells, calls)


def _slice(cells: list[Cell]) -> list[Cell]:
    """Return the cells that the last one that answered needs, and it."""
    names = [_names(cell.code) for cell in cells]
    answering = [
        number for number, (_, made) in enumerate(names) if "answer" in made and cells[number].status in ("ok", None)
    ]
    if not answering:
        return []
    needed, taken = {"answer"}, []
    for number in range(answering[-1], -1, -1):
        used, made = names[number]
        if cells[number].status == "skipped" or not (made & needed):
            continue
        taken.append(cells[number])
        needed |= used
    return taken[::-1]


def _names(code: str) -> tuple[set[str], set[str]]:
    """Return the names that code uses, and those that it makes or changes."""
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(("%", "!", "?"))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the model's code, such as "\d" without an r: not the reader's to mend
            found = _in(ast.parse("\n".join(lines)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # it has not run either
        return set(), set()
    return found.used - _BUILT_IN, (found.made | found.changed) - _INPUTS


@dataclass
class _Found:
    """Names in a piece of code: used, bound, and those whose value may be changed in place."""

    used: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def without(self, names: set[str]) -> _Found:
        """Return it as seen from outside of a scope that has names of its own."""
        return _Found(self.used - names, self.made - names, self.changed - names)


def _in(node: ast.AST) -> _Found:
    """Return the names in a piece of code, as seen from outside."""
    found = _Found()
    for below in map(_in, ast.iter_child_nodes(node)):
        found.used |= below.used
        found.made |= below.made
        found.changed |= below.changed
    match node:
        case ast.Name(ctx=ast.Load()):
            found.used.add(node.id)
        case ast.Name():
            found.made.add(node.id)
        case ast.alias():
            found.made.add((node.asname or node.name).split(".")[0])
        case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
            found.changed |= _root(node)
        case ast.Call(func=ast.Attribute() as method) if method.attr not in _PURE:
            found.changed |= _root(method)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return found.without({name for part in node.generators for name in _in(part.target).made})
        case ast.Lambda():
            return found.without({argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)})
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            arguments = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
            found = found.without(arguments | found.made)
            found.made.add(node.name)
        case ast.ClassDef():
            found = found.without(found.made)
            found.made.add(node.name)
    return found


def _root(node: ast.expr) -> set[str]:
    """Return the name that an expression such as ``a.b[c].d`` begins with."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _share(answer: str, text: str) -> bool:
    """Whether one of two texts holds the other; a word or two of a long one says nothing, nor a part of a number."""
    short, long = sorted((answer, text), key=len)
    if not short or short not in long or (len(short) < 3 and short != long):
        return False
    before, after = (r"(?<!\d)" if short[0].isdigit() else ""), (r"(?!\d)" if short[-1].isdigit() else "")
    return re.search(before + re.escape(short) + after, long) is not None
