"""Options as JSON for the journal, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.tools import saved as tools

if TYPE_CHECKING:
    from rlm_kernel.host.options import Options

PRIVATE = ("api_key", "on_event", "runs_dir", "tools", "sub_tools", "answer_type")
"""What the journal does not hold, or not as it is."""
NOT_SAVED = "not_saved"
"""In the journal: the options whose values JSON cannot hold, such as functions. Their names are there."""


def to_json(options: Options) -> dict[str, Any]:
    """Return options without keys and functions. Of those there are the names; of a type for answers, its schema."""
    from rlm_kernel.host.answers.answer_type import AnswerType

    saved: dict[str, Any] = {}
    lost: list[str] = []
    for field in dataclasses.fields(options):
        if field.name not in PRIVATE:
            whole, saved[field.name] = _plain(getattr(options, field.name))
            lost += [] if whole else [field.name]
    answer_type = AnswerType.of(options.answer_type)
    saved["answer_type"] = None if answer_type is None else dict(answer_type.schema)
    for name in ("tools", "sub_tools"):
        given = getattr(options, name)
        saved[name] = None if given is None else tools.to_json(given)
        lost += [name] if tools.names(saved[name]) else []
    return saved | {NOT_SAVED: lost}


def to_arguments(saved: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Options.of` that make options of the journal again, with changes.

    Raises
    ------
    OptionError
        What the journal could not hold is not among the changes.
    """
    from rlm_kernel.host.options import Options

    lost = [name for name in saved.get(NOT_SAVED, ()) if name not in changes]
    if lost:
        again = ", ".join(f"{name}=" for name in lost)
        had = "; ".join(f"{name} was {_shown(name, saved)}" for name in lost)
        raise OptionError(
            f"The journal does not hold functions, values of tools and secrets: pass {again} again ({had})."
        )
    known = {field.name for field in dataclasses.fields(Options)} - set(saved.get(NOT_SAVED, ()))
    arguments = {name: value for name, value in saved.items() if name in known}
    for name in ("tools", "sub_tools"):
        if arguments.get(name) is not None and name not in changes:
            arguments[name] = tools.from_json(arguments[name], str, str)  # all are code, else they were lost
    models = arguments.get("models")
    if isinstance(models, dict):
        arguments["models"] = {int(key) if key.isdecimal() else key: model for key, model in models.items()}
    return arguments | dict(changes)


def _plain(value: Any) -> tuple[bool, Any]:
    """Return a value as JSON, and whether that is all of it."""
    if value is None or isinstance(value, str | int | float | bool):
        return True, value
    if isinstance(value, Path):
        return True, str(value)
    if isinstance(value, Mapping):
        items = {str(key): _plain(item) for key, item in value.items()}
        return all(whole for whole, _ in items.values()), {key: item for key, (_, item) in items.items()}
    if isinstance(value, list | tuple):
        several = [_plain(item) for item in value]
        return all(whole for whole, _ in several), [item for _, item in several]
    return False, getattr(value, "name", None) or getattr(value, "__name__", type(value).__name__)


def _shown(name: str, saved: Mapping[str, Any]) -> str:
    """Return what the journal knows of an option that it could not hold."""
    if name in ("tools", "sub_tools"):
        return ", ".join(tools.names(saved.get(name)))
    return repr(saved.get(name))
