"""Tools as JSON for the journal, and back: code whole, the rest by name. A value may be what nobody should read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools.entries import Source

Stand = Callable[[str], Any]
"""From a name to what stands in for a function or a secret."""


def to_json(tools: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be written down of a caller's tools."""
    return {name: _saved(given) for name, given in tools.items()}


def names(saved: Any) -> list[str]:
    """Return the tools that have to be passed again: all but code."""
    return [name for name, entry in _entries(saved).items() if entry.get("kind") != "source"]


def values(saved: Any) -> list[str]:
    """Return the tools that are values."""
    return [name for name, entry in _entries(saved).items() if entry.get("kind") == "value"]


def from_json(saved: Any, functions: Stand, secrets: Stand) -> dict[str, Any]:
    """Return tools again, with something in the place of functions and secrets, and without values."""
    entries = {name: entry for name, entry in _entries(saved).items() if entry.get("kind") != "value"}
    return {name: _restored(name, entry, functions, secrets) for name, entry in entries.items()}


def _entries(saved: Any) -> dict[str, dict[str, Any]]:
    if isinstance(saved, list):  # journals of version 1 have names alone
        return {str(name): {"kind": "function"} for name in saved}
    return {str(name): entry for name, entry in (saved or {}).items() if isinstance(entry, dict)}


def _saved(given: Any) -> dict[str, Any]:
    if isinstance(given, dict) and given.keys() == {"tool", "description"}:
        return _saved(given["tool"]) | {"description": given["description"]}
    if isinstance(given, Source):
        return {"kind": "source", "code": given.code}
    if isinstance(given, Secret):
        return {"kind": "secret"}
    return {"kind": "function" if callable(given) else "value"}


def _restored(name: str, entry: Mapping[str, Any], functions: Stand, secrets: Stand) -> Any:
    match entry.get("kind"):
        case "source":
            tool: Any = Source(str(entry.get("code", "")))
        case "secret":
            tool = secrets(name)
        case _:
            tool = functions(name)
    description = entry.get("description")
    return {"tool": tool, "description": description} if isinstance(description, str) else tool
