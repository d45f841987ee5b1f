"""Checks values against a JSON schema that nobody trusts: the work is bounded, whatever the schema and the value are.

The validation is jsonschema's (draft 2020-12). Model-written code may choose the schema and steer the reply, so what
could fetch from elsewhere or run for ever is refused, or done in another way:

- a schema has a most size and depth, and refers only to itself (``#``) and to its own ``$defs``;
- every step of the validation is counted, since ``anyOf`` and ``$ref`` can multiply them without end;
- ``pattern`` is matched by Rust's regular expressions, by way of pydantic, in time linear in the text;
- ``uniqueItems`` compares hashes and not every item with every other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import islice
from typing import Any

from rlm_kernel.errors import OptionError, RLMError

SCHEMA_CHARACTERS = 50_000
SCHEMA_DEPTH = 40
VALUE_DEPTH = 100
STEPS = 1_000_000
"""For one check: about a second at the very most."""
REFERENCE_STEPS = 4
ERROR_STEPS = 20
PATTERNS = 16
"""Kept when they are compiled: each may take 10 MB."""
COMPILE_STEPS = 4 * STEPS
"""For a second of compiling."""
NAMES = 20
PROBLEMS = 10
"""Told of one value."""

_KEYWORDS = (
    *("$ref", "additionalProperties", "allOf", "anyOf", "const", "contains", "dependentRequired", "enum"),
    *("exclusiveMaximum", "exclusiveMinimum", "if", "items", "maxItems", "maxLength", "maxProperties", "maximum"),
    *("minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "oneOf", "prefixItems"),
    *("properties", "propertyNames", "required", "type"),
)
_ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "properties")
_REFUSED = (
    *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef", "$schema", "dependencies"),
    *("dependentSchemas", "patternProperties", "unevaluatedItems", "unevaluatedProperties"),
)
_DEFINITION = re.compile(r"#/\$defs/([\w.-]+)")
"""A pointer with more parts, or with escapes, could lead to what is no schema."""


class MismatchError(RLMError):
    """A value is not what was asked for. Its text has one line for each problem, at most 10.

    Attributes
    ----------
    problems
        Pairs of a path such as ``people[3].name`` (empty for the whole value) and a message.
    """

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{path}: {message}" if path else message for path, message in self.problems)


class _TooMuchWorkError(Exception):
    pass


class Work:
    """What may still be done, over one check or several."""

    def __init__(self) -> None:
        self.left = STEPS

    def take(self, steps: int) -> None:
        """Count steps; when too many are counted, the check ends."""
        self.left -= steps
        if self.left < 0:
            raise _TooMuchWorkError


_work: ContextVar[Work] = ContextVar("work")


class BoundedSchema:
    """A JSON schema that has been checked itself.

    Raises
    ------
    OptionError
        It is no valid schema, or uses what is refused here.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.text = _text_of(schema)
        self._validator = _validator(self.text)

    def check(self, value: Any, work: Work | None = None) -> None:
        """Check a value of JSON. May take a second for a big one: call it in a thread.

        Raises
        ------
        MismatchError
            It does not fit, or is too large to be checked.
        """
        if not _is_shallow(value, VALUE_DEPTH):
            raise MismatchError((("", f"it is nested deeper than {VALUE_DEPTH} levels"),))
        token = _work.set(work or Work())
        try:
            problems = tuple(_problem(error) for error in islice(self._validator.iter_errors(value), PROBLEMS))
        except (_TooMuchWorkError, RecursionError):
            raise MismatchError((("", "it is too large, or too far from the schema, to be checked"),)) from None
        except ArithmeticError as error:
            raise MismatchError((("", f"it holds a number that cannot be checked: {error}"),)) from None
        finally:
            _work.reset(token)
        if problems:
            raise MismatchError(problems)


def path_text(parts: Any) -> str:
    """Return names and positions as ``people[3].name``, cut where they are long."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return shorten(text.removeprefix("."), 200)


def shorten(text: str, most: int) -> str:
    """Cut text in its middle to about so many characters: what is said of a value stands at its end."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} [... {len(text) - most:,} characters ...] {text[-(most // 2) :]}"


def _text_of(schema: Mapping[str, Any]) -> str:
    if not isinstance(schema, Mapping):
        raise OptionError(f"A JSON schema is an object such as {{'type': 'array'}}, not {type(schema).__name__}.")
    plain = {name: value for name, value in schema.items() if name not in ("$id", "$schema")}
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"The JSON schema is not JSON: {shorten(str(error), 200)}.") from None
    if len(text) > SCHEMA_CHARACTERS or not _is_shallow(plain, SCHEMA_DEPTH):
        raise OptionError(
            f"The JSON schema is too large: {len(text):,} characters; at most {SCHEMA_CHARACTERS:,}, "
            f"and {SCHEMA_DEPTH} levels. Ask for less at once."
        )
    return text


@lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    """Check a schema, and return its validator. A batch asks for the same one many times."""
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry

    schema = json.loads(text)
    _check_names(schema)
    try:
        # Without a format checker, which would compile what calls itself a regular expression.
        Draft202012Validator.check_schema(schema, format_checker=None)
    except SchemaError as error:
        where = path_text(error.absolute_path)
        raise OptionError(f"The JSON schema is not valid: {f'{where}: ' if where else ''}{_said(error)}.") from None
    token = _work.set(Work())
    try:
        _restrict(schema, schema.get("$defs", {}))
    except _TooMuchWorkError:
        raise OptionError("The JSON schema's patterns are too large. Ask for less at once.") from None
    finally:
        _work.reset(token)
    return _bounded_class()(schema, registry=Registry())  # an empty registry fetches nothing


def _check_names(schema: Any) -> None:
    """Refuse long lists of anything but texts where a schema has names: jsonschema compares each item with each."""
    level = [schema]
    while level:
        for item in (item for item in level if isinstance(item, dict)):
            dependent = item.get("dependentRequired")
            several = dependent.values() if isinstance(dependent, dict) else ()
            for names in (item.get("type"), item.get("required"), *several):
                if isinstance(names, list) and len(names) > NAMES and not all(isinstance(name, str) for name in names):
                    raise OptionError(
                        "The JSON schema is not valid: 'type' and 'required' are texts, or lists of them."
                    )
        level = _below(level)


def _restrict(schema: Any, definitions: Mapping[str, Any]) -> None:
    """Refuse keywords that are unbounded, and references to anything but a definition that is looked at here too."""
    if isinstance(schema, bool):
        return
    if found := [name for name in _REFUSED if name in schema]:
        raise OptionError(f"The JSON schema uses {found[0]!r}, which is not supported. Leave it out.")
    reference = schema.get("$ref", "#")
    match = _DEFINITION.fullmatch(reference)
    if reference != "#" and (match is None or match[1] not in definitions):
        raise OptionError(
            f"The JSON schema refers to {shorten(reference, 100)!r}; expected '#', or '#/$defs/NAME' of its own."
        )
    if "pattern" in schema:
        _compiled(schema["pattern"])
    places: list[tuple[Any, Any]] = [(schema, name) for name in _ONE if name in schema]
    places += [(schema[name], index) for name in _LIST for index in range(len(schema.get(name, ())))]
    places += [(schema[name], key) for name in _NAMED for key in schema.get(name, {})]
    for holder, place in places:
        if holder[place] is False and not (holder is schema and place in ("additionalProperties", "items")):
            holder[place] = {"not": {}}  # false says the whole value in its message, and nothing would count it
        _restrict(holder[place], definitions)


@cache
def _bounded_class() -> Any:
    """Return jsonschema's validator with the steps of every keyword counted, and no other keywords."""
    from jsonschema import Draft202012Validator as Draft
    from jsonschema.validators import create

    keywords = {name: _counted(Draft.VALIDATORS[name]) for name in _KEYWORDS}
    keywords["$ref"] = _counted(Draft.VALIDATORS["$ref"], REFERENCE_STEPS)
    keywords |= {"pattern": _counted(_check_pattern), "uniqueItems": _counted(_check_unique)}
    return create(meta_schema=Draft.META_SCHEMA, validators=keywords)


def _counted(check: Callable[..., Iterator[Any] | None], steps: int = 1) -> Callable[..., Iterator[Any]]:
    def counted(validator: Any, expected: Any, value: Any, schema: Any) -> Iterator[Any]:
        work = _work.get()
        work.take(steps + _size(expected) + _size(value))
        for error in check(validator, expected, value, schema) or ():
            work.take(ERROR_STEPS + len(error.message) // 64)  # messages hold the whole value
            yield error

    return counted


def _size(value: Any) -> int:
    return len(value) // 64 if isinstance(value, str) else len(value) if isinstance(value, list | dict) else 0


def _compiled(pattern: str) -> Any:
    """Return what `_pattern` does, and count the time that it takes: a short one may need 10 MB and 0.1 s."""
    started = time.thread_time()
    compiled = _pattern(pattern)
    _work.get().take(int((time.thread_time() - started) * COMPILE_STEPS))
    return compiled


@lru_cache(maxsize=PATTERNS)
def _pattern(pattern: str) -> Any:
    """Return what matches a pattern anywhere in a text."""
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        reason = shorten(str(error).splitlines()[-1].strip(), 200)
        raise OptionError(
            f"The JSON schema's pattern {shorten(pattern, 100)!r} cannot be used: {reason}. "
            "Look-around and back-references are not supported."
        ) from None


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _compiled(pattern).isinstance_python(value):
        yield ValidationError(f"{shorten(value, 200)!r} does not match {pattern!r}")


def _check_unique(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(value, list) and len({_hashable(item) for item in value}) < len(value):
        yield ValidationError("an item is there more than once")


def _hashable(value: Any) -> Any:
    """Return what is equal for JSON values that are: 1 and 1.0 are, 1 and true are not."""
    _work.get().take(1)
    if isinstance(value, dict):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return (bool, value) if isinstance(value, bool) else value


def _is_shallow(value: Any, levels: int) -> bool:
    """Whether nothing is nested deeper than so many levels."""
    level = [value]
    for _ in range(levels):
        level = _below(level)
        if not level:
            return True
    return False


def _below(level: list[Any]) -> list[Any]:
    inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, list | dict))
    return [below for items in inner for below in items]


def _problem(error: Any) -> tuple[str, str]:
    """Return the path and the message of an error; of alternatives that all fail, those of the nearest one."""
    from jsonschema.exceptions import best_match

    nearest = best_match([error]) or error
    return path_text(nearest.absolute_path), _said(nearest)


def _said(error: Any) -> str:
    return shorten(error.message, 300)
