"""What a text claims that can be looked up in another: quotations, dates, numbers, names. Pure.

Words and months are English, proper names are what has a capital letter inside a sentence: in languages that write
other words so (German), or that have no capitals, leave the names out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["quotation", "date", "number", "name"]

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NO_CLAIM = frozenset(
    ("false", "i", "json", "n/a", "never", "no", "nobody", "none", "not", "nothing", "null", "true", "unknown", "yes")
)
"""What replies say for themselves, with a capital or in quotation marks."""

_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY_AND_MONTH = (rf"\b{_DAY}(?: of)? {_MONTH}(?![a-z])", rf"\b{_MONTH} {_DAY}(?!\d)")
_DAYS = tuple(re.compile(form, re.IGNORECASE) for form in _DAY_AND_MONTH)
_DATES = (
    re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b"),
    *(re.compile(rf"{form},? (?P<year>\d{{4}})\b", re.IGNORECASE) for form in _DAY_AND_MONTH),
)

_MARKS = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2018\u2019\u201a", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014", "-")
    | {"\u00ad": None}
)
"""Typographic quotation marks, apostrophes and dashes as plain ones; soft hyphens as nothing."""

_QUOTED = re.compile(r'(?<![\w"])"((?:[^"\n]|\n(?![^\S\n]*\n)){1,2000})"(?!\w)|^> ?(.+)$', re.MULTILINE)
_LEFT_OUT = re.compile(r"\.{3,}|\[[^\]\n]{0,40}\]")
_MARKER = re.compile(r"^[^\S\n]*(?:\(?\d{1,3}[.)]|#+)\s|\[\d{1,3}\]", re.MULTILINE)
"""The numbers of a list's items, and those that refer to a source."""
_NUMBER = re.compile(r"(?<!\w)(?<!\d[.,])\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+(?:['&-][^\W_]+)*")
_LABEL = re.compile(r"^[^.:\n]{1,60}:(?=\s)", re.MULTILINE)
_BEGIN = re.compile(r"(?:^|[.!?:;]['\")\]*]*\s)[\s'\"(\[*_>-]*$")
"""What stands before the first word of a sentence, or of a line."""


@dataclass(frozen=True)
class Claim:
    """Something that a text says: as it stands there, and as it is compared."""

    kind: Kind
    text: str
    key: str


class Passage:
    """A text in which claims are looked up."""

    def __init__(self, text: str) -> None:
        self._text = plain(text)

    def holds(self, claim: Claim) -> bool:
        """Whether the passage has what is claimed."""
        if claim.kind == "quotation":
            return claim.key in self._text
        if claim.kind == "number":
            return claim.key in self._numbers
        if claim.kind == "name":
            return self._has_word(claim.key) or all(map(self._has_word, claim.key.split("-")))
        year, _, day = claim.key.partition("-")
        return claim.key in self._dates or (day in self._days and year in self._numbers)

    def _has_word(self, word: str) -> bool:
        stem = word.removesuffix("'s")
        return any(form in self._words for form in (word, stem, f"{stem}s", stem.removesuffix("s"), f"{stem}'s"))

    @cached_property
    def _dates(self) -> set[str]:
        return {key for _, _, key in _dates(self._text)}

    @cached_property
    def _days(self) -> set[str]:
        found = (_month_and_day(match) for form in _DAYS for match in form.finditer(self._text))
        return {*found, *(key.partition("-")[2] for key in self._dates)}

    @cached_property
    def _numbers(self) -> set[str]:
        spelled = {str(number) for number, word in enumerate(SMALL) if word in self._words}
        in_dates = {str(int(part)) for key in self._dates for part in key.split("-")}
        return {_number(match[0]) for match in _NUMBER.finditer(self._text)} | spelled | in_dates

    @cached_property
    def _words(self) -> set[str]:
        words = set(_WORD.findall(self._text))
        months = {MONTHS[int(key.split("-")[1]) - 1] for key in self._dates}
        return words | {part for word in words for part in word.split("-")} | months


def claims(text: str, *, names: bool = True) -> list[Claim]:
    """Find what a text claims, each claim once: quotations, dates, numbers, names."""
    text = _marked(text)
    found = list(_quotations(text))
    text = _MARKER.sub(" ", text)
    dates = list(_dates(text))
    found += [Claim("date", text[start:end], key) for start, end, key in dates]
    for start, end, _ in sorted(dates, reverse=True):
        text = f"{text[:start]} {text[end:]}"
    found += [Claim("number", match[0], _number(match[0])) for match in _NUMBER.finditer(text)]
    found += _names(text) if names else ()
    return list({(claim.kind, claim.key): claim for claim in found}.values())


def plain(text: str) -> str:
    """Return text as it is compared: plain marks, no case, one space between words."""
    return " ".join(_marked(text).casefold().split())


def _marked(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_MARKS)


def _quotations(text: str) -> Iterator[Claim]:
    for match in _QUOTED.finditer(text):
        for part in _LEFT_OUT.split(match[1] or match[2]):
            key = plain(part).strip(" .,;:!?*_")
            if key and key not in NO_CLAIM:
                yield Claim("quotation", part.strip(), key)


def _dates(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where dates stand, and the dates as year-month-day."""
    for form in _DATES:
        for match in form.finditer(text):
            day = _month_and_day(match)
            if 1 <= int(day.partition("-")[0]) <= 12:
                yield match.start(), match.end(), f"{match['year']}-{day}"


def _month_and_day(match: re.Match[str]) -> str:
    month = match["month"].lower()
    number = int(month) if month.isdecimal() else 1 + [name[:3] for name in MONTHS].index(month)
    return f"{number}-{int(match['day'])}"


def _number(text: str) -> str:
    """Return a number without separators of thousands, and without zeros that say nothing."""
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    whole, _, decimals = text.replace(",", ".").partition(".")
    decimals = decimals if "." in decimals else decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def _names(text: str) -> Iterator[Claim]:
    """Yield words with a capital that do not begin a sentence; and those that do, where the whole line is one name."""
    for line in _LABEL.sub("", text).splitlines():
        words = list(_WORD.finditer(line))
        is_name = all(_is_capital(word[0]) or not word[0].isalpha() for word in words)
        for word in words:
            key = plain(word[0])
            begins = not is_name and _BEGIN.search(line[max(0, word.start() - 80) : word.start()])
            if _is_capital(word[0]) and not begins and len(key) > 1 and key not in NO_CLAIM:
                yield Claim("name", word[0], key)


def _is_capital(word: str) -> bool:
    return word[0].isupper()
