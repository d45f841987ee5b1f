"""What an answer must be: a type that pydantic can check, several named ones, or a JSON schema."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.answers.bounded_schema import PROBLEMS, MismatchError, path_text, shorten
from rlm_kernel.host.answers.json_reply import readings
from rlm_kernel.host.answers.structured import Structured

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["AnswerType", "MismatchError"]

MOST_ERRORS = 10_000
"""Pydantic makes a list of all of them."""

_SCHEMA_WORDS = {"$defs", "$ref", "$schema", "allOf", "anyOf", "const", "enum", "items", "oneOf", "properties", "type"}


@dataclass(frozen=True)
class AnswerType:
    """What an answer must be.

    Attributes
    ----------
    schema
        The JSON schema that the model is told.
    """

    schema: Mapping[str, Any]
    _fit: Callable[[Any], Any] = field(repr=False, compare=False)
    _plain: Callable[[Any], Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, value: Any) -> AnswerType | None:
        """Return what the option ``answer_type`` means; ``None`` is any answer.

        Parameters
        ----------
        value
            A type, such as ``int``, ``list[str]``, a dataclass or a pydantic model; a mapping of names to types, for
            several named outputs, which come as a dict; or a JSON schema.

        Raises
        ------
        OptionError
            Pydantic cannot check it, or has no JSON schema to tell the model.
        """
        if value is None:
            return None
        if isinstance(value, Mapping) and _is_schema(value):
            return cls.of_schema(value)
        return cls._of_adapter(_type_of(value), value)

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> AnswerType:
        """Return what a JSON schema means, which may come from model-written code.

        Raises
        ------
        OptionError
            See `Structured`.
        """
        structured = Structured(schema)

        def fit(value: Any) -> Any:
            structured.check(value)
            return value

        return cls(schema, fit, lambda value: value)

    def check(self, value: Any, text: str = "") -> Any:
        """Return the answer as the type asked for.

        Conversion is pydantic's usual one: ``"42"`` is an int and ``"2024-05-01"`` a date; ``"about 42"`` is neither.
        JSON in a ``str`` will do where the value is to be something else, and a number's text where it is to be text.

        Parameters
        ----------
        value
            The REPL's value as JSON; where it was no JSON, its text.
        text
            The value's text.

        Raises
        ------
        MismatchError
            It does not fit: one line per problem, with its path.
        """
        first: MismatchError | None = None
        deeper: MismatchError | None = None
        for meaning in _meanings(value, text):
            try:
                return self._fit(meaning)
            except MismatchError as error:
                first = first or error
                if isinstance(meaning, list | dict):
                    deeper = error
        assert first is not None
        raise deeper or first

    def plain(self, answer: Any) -> Any:
        """Return what `check` gave as JSON again, for the journal."""
        return self._plain(answer)

    @classmethod
    def _of_adapter(cls, kind: Any, shown: Any) -> AnswerType:
        from pydantic import TypeAdapter

        shown = shorten(shown.__qualname__ if isinstance(shown, type) else repr(shown), 100)
        try:
            adapter: TypeAdapter[Any] = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
            schema = adapter.json_schema()
        except Exception as error:  # pydantic's own, and whatever a type's own hooks raise
            reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
            raise OptionError(
                f"answer_type={shown}: pydantic cannot check it and tell the model what it is: {shorten(reason, 200)}. "
                "Give a type such as int, list[str] or a pydantic model."
            ) from error
        return cls(schema, lambda value: _fit(adapter, value), lambda value: adapter.dump_python(value, mode="json"))


def _is_schema(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping is a JSON schema: one of its words stands with JSON behind it, not with a type."""
    return any(isinstance(value.get(word), str | list | dict) for word in _SCHEMA_WORDS)


def _type_of(value: Any, where: str = "answer_type") -> Any:
    """Return a type: a mapping becomes one for a dict with just these keys."""
    if isinstance(value, str) or inspect.isroutine(value):  # pydantic would evaluate the one and call the other
        shown, kind = shorten(repr(value), 100), type(value).__name__
        raise OptionError(f"{where}={shown}: expected a type such as int or list[str], not {kind}.")
    if not isinstance(value, Mapping):
        return value
    if _is_schema(value):
        raise OptionError(f"{where}: a JSON schema among types. Write all of it as one JSON schema, or as types.")
    if not value or not all(isinstance(name, str) and name.strip() for name in value):
        raise OptionError(f"{where}: expected names for the outputs, such as {{'year': int, 'place': str}}.")
    if missing := [name for name, kind in value.items() if kind is None]:
        raise OptionError(f"{where}: the output {missing[0]!r} has no type. For any value, give typing.Any.")
    from typing_extensions import TypedDict  # pydantic's requirement; it does not take typing's before Python 3.12

    make: Any = TypedDict
    outputs = make("Answer", {name: _type_of(kind, f"{where}[{name!r}]") for name, kind in value.items()})
    outputs.__pydantic_config__ = {"extra": "forbid"}
    return outputs


def _meanings(value: Any, text: str) -> Iterator[Any]:
    """Yield what an answer may stand for: itself; where it is text, the JSON in it; where it is a number, its text."""
    yield value
    if isinstance(value, str):
        for reading in readings(value):
            if not reading.guess:
                yield from (found for found in reading.values[:1] if not isinstance(found, str))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield text or str(value)


def _fit(adapter: TypeAdapter[Any], value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise MismatchError(_problems(error)) from None
    except Exception as error:  # a validator of the caller's
        raise MismatchError((("", f"its check raised {type(error).__name__}: {shorten(str(error), 200)}"),)) from error


def _problems(error: ValidationError) -> tuple[tuple[str, str], ...]:
    if error.error_count() > MOST_ERRORS:
        return (("", f"{error.error_count():,} values in it are not what they should be"),)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [(path_text(item["loc"]), shorten(item["msg"], 300)) for item in found[:PROBLEMS]]
    if len(found) > PROBLEMS:
        told[-1] = ("", f"and {len(found) - PROBLEMS + 1:,} more problems")
    return tuple(told)
