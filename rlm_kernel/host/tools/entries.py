"""What a caller passes as ``tools`` becomes checked entries; bad ones are refused before any model is paid."""

from __future__ import annotations

import ast
import inspect
import symtable
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import OptionError
from rlm_kernel.host.checks import check_mapping
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools.names import RESERVED_NAMES, check_name
from rlm_kernel.host.tools.results import NotJSONError, check_json, dump
from rlm_kernel.host.tools.signatures import (
    call_text,
    documentation,
    first_paragraph,
    fixed_by_partial,
    signature_of,
)

EXAMPLE = "{'search': search_function}"
ON_SECRETS = "a secret value: pass it to a tool; it cannot be read."


@dataclass(frozen=True, slots=True)
class Source:
    """Code that runs in the REPL before the model's: a function that needs nothing of the host, an import.

    It crosses once, as it is, so it has to define the name that it is passed under.

    Examples
    --------
    >>> tools = {"words": Source("def words(text): return text.split()")}
    """

    code: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function that runs on the host. ``fixed`` are keywords that the caller has given a value, for good."""

    call: Callable[..., Any]
    usage: str
    doc: str
    signature: inspect.Signature | None = field(compare=False)
    fixed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, and what a model reads about it."""

    tool: Function | Source | Secret | Any
    """A JSON value, where it is none of the others."""
    text: str


def check_tools(mapping: Any, option: str = "tools") -> None:
    """Refuse tools that cannot work, without reading a secret's environment variable.

    Raises
    ------
    OptionError
        In one line, with the tool's name.
    """
    read(mapping, option=option)


def read(mapping: Any, reserved: Collection[str] = RESERVED_NAMES, option: str = "tools") -> dict[str, Entry]:
    """Turn what the caller passed into entries; see `check_tools`."""
    check_mapping(option, mapping, EXAMPLE)
    entries: dict[str, Entry] = {}
    for name, given in mapping.items():
        check_name(name, reserved, option)
        where = f"{option}[{name!r}]"
        if _is_described(given):
            entry = _entry(name, given["tool"], where)
            entries[name] = replace(entry, text=_join(entry.text, given["description"]))
        else:
            entry = _entry(name, given, where)
            doc = entry.tool.doc if isinstance(entry.tool, Function) else _source_doc(name, entry.tool)
            entries[name] = replace(entry, text=_join(entry.text, first_paragraph(doc)))
    values = {name: entry.tool for name, entry in entries.items() if is_value(entry.tool)}
    if (size := len(dump(values))) > wire.CALL_CHARACTERS:
        raise OptionError(f"{option}: values of {size:,} characters in all. Pass what is long as context=.")
    return entries


def is_value(tool: Any) -> bool:
    """Whether a tool is a JSON value."""
    return not isinstance(tool, Function | Source | Secret)


def _is_described(given: Any) -> bool:
    """Whether it is of the form that `rlms` has for a tool with a description."""
    return isinstance(given, dict) and given.keys() == {"tool", "description"} and isinstance(given["description"], str)


def _entry(name: str, tool: Any, where: str) -> Entry:
    if isinstance(tool, Secret):
        return Entry(tool, ON_SECRETS)
    if isinstance(tool, Source):
        _check_source(name, tool, where)
        return Entry(tool, _source_usage(name, tool))
    if callable(tool):
        if inspect.isgeneratorfunction(tool) or inspect.isasyncgenfunction(tool):
            raise OptionError(f"{where}: a generator's results cannot cross one by one. Return a list of them.")
        signature = signature_of(tool)
        usage = call_text(name, signature)
        return Entry(Function(tool, usage, documentation(tool), signature, fixed_by_partial(tool)), f"`{usage}`.")
    try:
        value = check_json(tool)
    except NotJSONError as error:
        raise OptionError(f"{where}: {error.at('the value')} {_advice(tool)}") from None
    return Entry(value, f"a value of type {type(value).__name__}.")


def _advice(value: Any) -> str:
    if inspect.ismodule(value):
        return "For a module, pass Source('import ...')."
    return "Or pass a function that uses it on the host, Source('...') that makes it in the REPL, or context=."


def _check_source(name: str, source: Source, where: str) -> None:
    if not isinstance(source.code, str):
        raise OptionError(f"{where}: Source(code) takes text, not {type(source.code).__name__}.")
    try:
        compile(source.code, name, "exec", dont_inherit=True)
        names = symtable.symtable(source.code, name, "exec")
    except SyntaxError as error:
        raise OptionError(f"{where}: line {error.lineno} of its code is no Python: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise OptionError(f"{where}: its code does not compile: {error or type(error).__name__}.") from None
    defined = [symbol.get_name() for symbol in names.get_symbols() if symbol.is_assigned() or symbol.is_imported()]
    if name not in defined:
        found = f"it defines {', '.join(defined)}" if defined else "it defines no name"
        raise OptionError(f"{where}: its code does not define {name!r}; {found}.")


def _definition(name: str, source: Source) -> ast.stmt | None:
    """Return the last function or class of that name."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = [node for node in ast.parse(source.code).body if isinstance(node, kinds) and node.name == name]
    return found[-1] if found else None


def _source_usage(name: str, source: Source) -> str:
    node = _definition(name, source)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        wait = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"`{wait}{name}({ast.unparse(node.args)}){returns}`."
    return "a class." if isinstance(node, ast.ClassDef) else "defined in the REPL."


def _source_doc(name: str, tool: Any) -> str:
    node = _definition(name, tool) if isinstance(tool, Source) else None
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return (ast.get_docstring(node) or "") if isinstance(node, documented) else ""


def _join(text: str, more: str) -> str:
    return f"{text} {more.strip()}" if more.strip() else text
