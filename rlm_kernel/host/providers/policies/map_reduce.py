"""Search, ask, vote: answer a question over an input of any size with a fixed program.

Passages of the context are ranked for the question's terms, a model is asked over the best ones in one batch, and
the reply that the passages support wins. What counts as support is computed here, because a small model follows no
instruction to say that it does not know. This text runs in the box as a cell: standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log
from typing import Any, NamedTuple

NO_SUPPORT = "No passage of the context supports an answer."

PASSAGE = 900  # characters: about 400 tokens, which the smallest models still read reliably
LINE = 200  # characters: longer strings of a JSON value are documents of their own
CANDIDATES = 300  # passages whose every word is looked at
NEAR = 40  # words on each side of the answer in which the question's terms count as near
SUPPORT = 0.6  # share of the question's weight that must stand near the answer
FOUND = 0.75  # share of the answer's own words that must stand in the passage

STOP = frozenset(
    "a about after all also an and any are as at be been before between but by called can could did do does doing for "
    "from give given had has have he her his how i if in into is it its kind many me more most much my name named no "
    "not of on one or our said she should so some such tell than that the their them then there these they this to "
    "use used uses using was we were what when where which while who whom whose why will with would you your".split()
)
WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[^\W\d_][^\W\d_A-Z]*|\d+(?:\.\d+)*")
IRREGULAR = {"wrote": "writ", "written": "writ", "built": "build", "began": "begin", "made": "mak", "won": "win"}
WHOLE = re.compile(r"\d+(?:\.\d+)+|\w+")
SUFFIX = re.compile(r"(?:ations?|ings?|ies|ied|ed|es|ly|[sey])$")
HEADING = re.compile(r"^(?:class|def|#{1,6}|(?i:chapter|section|part)) .*", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[^\s.]{2}[.!?])\s+(?=[A-Z\"'(])|\n")


class Passage(NamedTuple):
    """A piece of the context: where it comes from, at which character it begins, and its text."""

    origin: str
    start: int
    text: str
    heading: str = ""


class Search(NamedTuple):
    """A question, the weight of each of its terms, and the best passages with their scores, best first."""

    question: str
    weights: dict[str, float]
    best: list[tuple[float, Passage]]


class Vote(NamedTuple):
    """A supported answer, how well its passage supports it (0 to 1), and the passage."""

    answer: str
    support: float
    passage: Passage


class Decision(NamedTuple):
    """The answer's text and the votes for it; no votes when nothing is supported."""

    text: str
    votes: list[Vote]


def words(text: str) -> list[str]:
    """Split text and identifiers (snake_case, CamelCase, dotted.names) into stems, in order."""
    return [stem(word) for word in WORD.findall(text)]


def stem(word: str) -> str:
    """Lower a word and cut a common English ending that leaves three letters or more."""
    word = word.lower()
    if word in IRREGULAR:
        return IRREGULAR[word]
    cut = SUFFIX.search(word, 3)
    return word[: cut.start()] if cut else word


def terms(question: str) -> list[str]:
    """Give the stems of a question's content words, each once."""
    content = [word for word in WORD.findall(question) if word.lower() not in STOP]
    return list(dict.fromkeys(map(stem, content or WORD.findall(question))))


def documents(value: Any, origin: str = "") -> Iterator[tuple[str, str]]:
    """Walk a context of any JSON type; yield each text with its path. Short values of one parent stay together."""
    if isinstance(value, str):
        yield origin or "context", value
        return
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(_list(value))
    lines = []
    for key, item in items:
        if isinstance(item, Mapping | list | tuple) or (isinstance(item, str) and ("\n" in item or len(item) > LINE)):
            yield from documents(item, f"{origin}/{key}" if origin else str(key))
        else:
            lines.append(f"{key}: {item}" if isinstance(value, Mapping) else str(item))
    if lines:
        yield origin or "context", "\n".join(lines)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def passages(context: Any) -> list[Passage]:
    """Cut a context into passages of at most `PASSAGE` characters, at paragraphs, lines, sentences or spaces."""
    return [piece for origin, text in documents(context) for piece in _pieces(origin, text)]


def _pieces(origin: str, text: str) -> Iterator[Passage]:
    heading = ""
    for start, end in _spans(text):
        piece = text[start:end]
        yield Passage(origin, start, piece, heading)
        found = HEADING.findall(piece)
        heading = found[-1] if found else heading


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = start + PASSAGE
        if end < len(text):
            ends = (text.rfind(mark, start + PASSAGE // 2, end) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
            end = next((at for at in ends if at > start + PASSAGE // 2), end)
        yield start, min(end, len(text))
        start = end


def rank(pieces: Sequence[Passage], question: str, k: int = 10) -> Search:
    """Find the ``k`` passages that speak most of the question's terms, rare ones above all."""
    counts = {term: _counts(pieces, term) for term in terms(question)}
    weights = {term: log(1 + len(pieces) / (0.5 + len(counts[term]))) for term in counts}
    rough: Counter[int] = Counter()
    for term, found in counts.items():
        for at, count in found.items():
            rough[at] += weights[term] * count / (count + 1)  # type: ignore[assignment]
    candidates = [pieces[at] for at, _ in rough.most_common(CANDIDATES)]
    scored = [(score(piece, question, weights), piece) for piece in candidates]
    scored.sort(key=lambda pair: -pair[0])
    return Search(question, weights, scored[:k])


def _counts(pieces: Sequence[Passage], term: str) -> dict[int, int]:
    """Count the words that begin with ``term`` per passage, at the speed of `str` methods where it is absent."""
    begins = re.compile(f"{re.escape(term)}(?<![^\\W\\d_]{re.escape(term)})").findall
    title, upper = term.capitalize(), term.upper()
    found = {}
    for at, piece in enumerate(pieces):
        text = piece.text
        count = (term in text and len(begins(text))) + text.count(title) + (upper != title and text.count(upper))
        named = term in piece.origin.lower()
        if count or named:
            found[at] = count + named
    return found


def score(piece: Passage, question: str, weights: Mapping[str, float]) -> float:
    """Score a passage: terms it has (BM25's saturation), terms in its path, terms close together, phrases."""
    stems = words(piece.text)
    places = [(at, word) for at, word in enumerate(stems) if word in weights]
    counts = Counter(word for _, word in places)
    named = _named(piece, weights)
    frequent = sum(weights[word] * 2.2 * n / (n + 1.2) for word, n in counts.items())
    windows = (named.union(word for at, word in places if first <= at < first + NEAR) for first, _ in places)
    close = max((_weight(window, weights) for window in windows), default=0.0)
    pairs = set(zip(asked := words(question), asked[1:], strict=False))
    phrases = {pair for pair in zip(stems, stems[1:], strict=False) if pair in pairs}
    phrase = sum(min(weights.get(a, 0), weights.get(b, 0)) for a, b in phrases)
    return frequent + _weight(named, weights) + 1.5 * close + phrase


def _named(piece: Passage, weights: Mapping[str, float]) -> set[str]:
    """Give the terms that begin a word of the passage's path, or stand in its heading."""
    path = words(piece.origin)
    return {term for term in weights if any(part.startswith(term) for part in path)}.union(words(piece.heading))


def _weight(found: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weights[word] for word in found if word in weights)


def prompts(search: Search) -> list[str]:
    """Write one prompt per passage: the text, an empty line, the question; small models want nothing else."""
    return [f"{clean(piece.text)}\n\nQuestion: {search.question}" for _, piece in search.best]


def clean(text: str) -> str:
    """Drop what only costs tokens: comment marks, quotes of docstrings, indentation, empty lines."""
    lines = (re.sub(r"^[ \t]*(?:#+ ?|r?\"\"\"|''')?|[ \t]*(?:\"\"\"|''')?[ \t]*$", "", line) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def supported(answer: str, piece: Passage, search: Search) -> float:
    """Measure how well a passage supports an answer, 0 for not at all.

    What the answer adds to the question must stand in the passage, near the question's own terms.
    """
    new = added(answer, search.question)
    whole = WHOLE.findall(piece.text)
    present = new.intersection(word.lower() for word in whole)
    numbers = {word for word in new if word[0].isdigit()}
    if not fits(answer, search.question, new) or numbers - present or len(present) < FOUND * len(new):
        return 0.0
    named = _named(piece, search.weights)
    if required(search.weights) - named.union(words(piece.text)):
        return 0.0
    total = sum(search.weights.values())
    around = (whole[max(0, at - NEAR) : at + NEAR] for at, word in enumerate(whole) if word.lower() in present)
    near = max(_weight(named.union(words(" ".join(window))), search.weights) for window in around)
    return near / total if near >= SUPPORT * total else 0.0


def added(answer: str, question: str) -> set[str]:
    """Give the content words of an answer, identifiers whole, that the question does not have."""
    asked = {word.lower() for word in WHOLE.findall(question)}.union(words(question))
    new = {word.lower() for word in WHOLE.findall(answer)} - asked - STOP
    return {word for word in new if stem(word) not in asked}


def required(weights: Mapping[str, float]) -> set[str]:
    heaviest = max(weights.values())
    return {word for word, weight in weights.items() if weight > 0.75 * heaviest}


def fits(answer: str, question: str, new: set[str]) -> bool:
    """Whether an answer is of the kind that the question's first words ask for: a name, a number."""
    asks = question.lower()
    if not new:
        return False
    if re.search(r"\bwho(m|se)?\b", asks):
        return any(word.lower() in new for word in WHOLE.findall(answer) if word[0].isupper())
    if re.search(r"\b(when|what year|which year|how (many|much|old))\b", asks):
        return any(word[0].isdigit() for word in new)
    return True


def decide(search: Search, replies: Sequence[str]) -> Decision:
    """Let the supported replies vote: those that add the same words to the question vote together."""
    votes = []
    for (_, piece), reply in zip(search.best, replies, strict=True):
        answer = first_sentence(reply)
        support = supported(answer, piece, search)
        if support:
            votes.append(Vote(answer, support, piece))
    if not votes:
        return Decision(NO_SUPPORT, [])
    def key(v): return added(v.answer, search.question)
    def overlap(a, b):
        a, b = key(a), key(b)
        return len(a & b) / len(a | b) if a | b else 0
    def total(v): return sum(o.support ** 2 * overlap(v, o) for o in votes)
    best = max(votes, key=total)
    return Decision(best.answer, [v for v in votes if overlap(v, best) >= 0.3])


def first_sentence(reply: str) -> str:
    """Trim a reply to its first sentence."""
    return SENTENCE.split(reply.strip(), maxsplit=1)[0].strip()
