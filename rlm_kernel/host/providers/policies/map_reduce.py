"""Search, ask, vote: answer a question over an input of any size with a fixed program.

Passages of the context are ranked for the question's terms, a model is asked over the best ones in one batch, and
the reply that the passages support wins. What counts as support is computed here, because a small model follows no
instruction to say that it does not know. This text runs in the box as a cell: standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from math import log
from typing import Any, NamedTuple

NO_SUPPORT = "No passage of the context supports an answer."

ASKED = 8  # passages that the model is asked over
PASSAGE = 900  # characters, some 250 tokens: the smallest models read these best
LINE = 200  # characters: a longer string of a JSON value is a document of its own
CANDIDATES = 300  # passages whose every word is looked at
TERMS = 40  # of a question; a longer one is a document itself
NEAR = 40  # words on each side of the answer that count as near it
SUPPORT = 0.6  # share of the question's weight that must stand near the answer
REQUIRED = 0.75  # terms of this share of the heaviest one's weight must be in the passage
FOUND = 0.75  # share of the answer's own words that must be in the passage
SAME = 0.3  # overlap of the words of two answers that vote together

STOP_WORDS = (
    "a about after all also an and any are as at be been before between but by called can could did do does doing for "
    "from give given had has have he her his how i if in into is it its kind many me more most much my name named no "
    "not of on one or our said she should so some such tell than that the their them then there these they this to "
    "use used uses using was we were what when where which while who whom whose why will with would you your"
)
STOP = frozenset(re.findall(r"\w+", STOP_WORDS))
IRREGULAR = {"wrote": "writ", "written": "writ", "built": "build", "began": "begin", "made": "mak", "won": "win"}
SUFFIX = re.compile(r"(?:ations?|ings?|ies|ied|ed|es|ly|[sey])$")
WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[^\W\d_][^\W\d_A-Z]*|\d+(?:\.\d+)*")  # a part of an identifier
WHOLE = re.compile(r"\d+(?:\.\d+)+|\w+")
HEADING = re.compile(r"^(?:class|def|#{1,6}|(?i:chapter|section|part)) .*", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[^\s.]{2}[.!?])\s+(?=[A-Z\"'(])|\n")
CLAUSE = re.compile(r"[,;:]? (?=\()|[,;:] ")
MARKS = re.compile(r"^[ \t]*(?:#+ ?|r?\"\"\"|''')?|[ \t]*(?:\"\"\"|''')?[ \t]*$", re.MULTILINE)


class Passage(NamedTuple):
    """A piece of the context: its path, the character it begins at, its text, and the heading it stands under."""

    origin: str
    start: int
    text: str
    heading: str = ""


class Search(NamedTuple):
    """A question, the weight of each of its terms, those no answer can do without, and the best passages, scored."""

    question: str
    weights: dict[str, float]
    required: set[str]
    best: list[tuple[float, Passage]]


class Vote(NamedTuple):
    """A supported answer, how well its passage supports it (0 to 1), and the passage."""

    answer: str
    support: float
    passage: Passage


class Decision(NamedTuple):
    """The answer's text and the votes for it; `NO_SUPPORT` and no votes when nothing is supported."""

    text: str
    votes: list[Vote]


def stem(word: str) -> str:
    """Lower a word and cut a common English ending that leaves three letters or more."""
    word = word.lower()
    cut = SUFFIX.search(word, 3)
    return IRREGULAR.get(word) or (word[: cut.start()] if cut else word)


def words(text: str) -> list[str]:
    """Split text and identifiers (snake_case, CamelCase, dotted.names) into stems, in order."""
    return [stem(word) for word in WORD.findall(text)]


def terms(question: str) -> list[str]:
    """Give the stems of a question's content words, each once."""
    found = WORD.findall(question)
    content = [word for word in found if word.lower() not in STOP]
    return list(dict.fromkeys(map(stem, content or found)))[:TERMS]


def documents(value: Any, origin: str = "") -> Iterator[tuple[str, str]]:
    """Walk a context of any type; yield paths and texts. Short values of one parent are one document."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        yield origin or "context", value
        return
    if hasattr(value, "columns"):  # a frame of polars or pandas: a document for each row
        value = value.to_dicts() if hasattr(value, "to_dicts") else value.to_dict("records")
    named = isinstance(value, Mapping)
    items: Iterable[tuple[Any, Any]] = enumerate(value if isinstance(value, list | tuple) else [value])
    lines = []
    for key, item in value.items() if named else items:
        if isinstance(item, Mapping | list | tuple) or (isinstance(item, str) and (len(item) > LINE or "\n" in item)):
            yield from documents(item, f"{origin}/{key}" if origin else str(key))
        else:
            lines.append(f"{key}: {item}" if named else str(item))
    if lines:
        yield origin or "context", "\n".join(lines)


def passages(context: Any) -> list[Passage]:
    """Cut a context into passages of at most `PASSAGE` characters, at paragraphs, lines, sentences or spaces."""
    found = []
    for origin, text in documents(context):
        heading = ""
        for start, end in spans(text):
            piece = text[start:end]
            found.append(Passage(origin, start, piece, heading))
            heading = (HEADING.findall(piece) or [heading])[-1][:LINE]
    return found


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each passage of a text begins and ends."""
    start = 0
    while start < len(text):
        end, middle = start + PASSAGE, start + PASSAGE // 2
        if end < len(text):
            breaks = (text.rfind(mark, middle, end) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
            end = next((at for at in breaks if at > middle), end)
        yield start, min(end, len(text))
        start = end


def rank(pieces: Sequence[Passage], question: str, k: int = ASKED) -> Search:
    """Find the ``k`` passages that speak most of the question's terms, rare ones above all."""
    counts = {term: occurrences(pieces, term) for term in terms(question)}
    present = {term: log(1 + len(pieces) / (0.5 + len(found))) for term, found in counts.items() if found}
    # A word that the context never uses tells no passages apart, but its absence lowers every answer's support.
    weights = dict.fromkeys(counts, sum(present.values()) / (len(present) or 1)) | present
    required = {term for term, weight in present.items() if weight > REQUIRED * max(present.values())}
    rough: dict[int, float] = {}
    for term, found in counts.items():
        for at, count in found.items():
            rough[at] = rough.get(at, 0.0) + weights[term] * count / (count + 1)
    candidates = [pieces[at] for at in nlargest(CANDIDATES, rough, key=rough.__getitem__)]
    scored = [(score(piece, question, weights), piece) for piece in candidates]
    return Search(question, weights, required, nlargest(k, scored, key=lambda pair: pair[0]))


def occurrences(pieces: Sequence[Passage], term: str) -> dict[int, int]:
    """Count per passage the words and path names that begin with ``term``."""
    # The literal stands before its lookbehind, and plain `in` before both: tens of megabytes take under a second.
    begins = re.compile(f"{re.escape(term)}(?<![^\\W\\d_]{re.escape(term)})").findall
    capitals = {term.capitalize(), term.upper()} - {term}
    found = {}
    for at, piece in enumerate(pieces):
        text = piece.text
        count = len(begins(text)) if term in text else 0
        count += sum(map(text.count, capitals)) + (term in piece.origin.lower())
        if count:
            found[at] = count
    return found


def score(piece: Passage, question: str, weights: Mapping[str, float]) -> float:
    """Score a passage: terms it has (saturating, as in BM25), terms in its path, terms close together, phrases."""
    stems = words(piece.text)
    places = [(at, word) for at, word in enumerate(stems) if word in weights]
    counts = Counter(word for _, word in places)
    named = names(piece, weights)
    frequent = sum(weights[word] * 2.2 * n / (n + 1.2) for word, n in counts.items())
    windows = (
        named.union(word for at, word in places[i : i + NEAR] if at < first + NEAR)
        for i, (first, _) in enumerate(places)
    )
    close = max((weight(window, weights) for window in windows), default=0.0)
    phrases = set(pairwise(words(question))).intersection(pairwise(stems))
    phrase = sum(min(weights.get(a, 0.0), weights.get(b, 0.0)) for a, b in phrases)
    return frequent + weight(named, weights) + 1.5 * close + phrase


def names(piece: Passage, weights: Mapping[str, float]) -> set[str]:
    """Give the terms that begin a word of the passage's path, or stand in its heading."""
    path, heading = words(piece.origin), words(piece.heading)
    return {term for term in weights if term in heading or any(part.startswith(term) for part in path)}


def weight(found: Iterable[str], weights: Mapping[str, float]) -> float:
    """Add the weights of terms."""
    return sum(weights.get(word, 0.0) for word in found)


def describe(search: Search) -> str:
    """Tell which passages are the best, for a person."""
    lines = [f"{score:7.1f}  {piece.origin} at {piece.start:,}" for score, piece in search.best]
    return "\n".join([f"terms: {', '.join(search.weights)}", *(lines or ["no passage has any of them"])])


def ask(search: Search, batch: Callable[[list[str]], list[str]]) -> list[str]:
    """Ask over each passage: its text, an empty line, the question; small models want nothing else.

    Raises
    ------
    RuntimeError
        Every call failed: then nothing can be said about support.
    """
    replies = batch([f"{clean(piece.text)}\n\nQuestion: {search.question}" for _, piece in search.best])
    if replies and all(hasattr(reply, "error") for reply in replies):
        raise RuntimeError(f"every sub-call failed; the first: {replies[0]}")
    return replies


def clean(text: str) -> str:
    """Drop what only costs tokens: comment marks, quotes of docstrings, indentation, empty lines."""
    return "\n".join(line for line in MARKS.sub("", text).split("\n") if line)


def answers(reply: str) -> Iterator[str]:
    """Yield a reply's first sentence, then what is left of it clause by clause: a small model adds to what it read."""
    sentence = SENTENCE.split(reply.strip(), maxsplit=1)[0].strip()
    yield sentence
    for cut in reversed(list(CLAUSE.finditer(sentence))):
        yield sentence[: cut.start()]


def supported(answer: str, piece: Passage, search: Search) -> float:
    """Measure how well a passage supports an answer, from 0 (not at all) to 1.

    What the answer adds to the question must stand in the passage, near the question's own terms; names and numbers
    all of it, other words most of it, in any form.
    """
    new = added(answer, search.question)
    tokens = WHOLE.findall(piece.text)
    stems = set(words(piece.text))
    exact = {token.lower() for token in tokens}
    present = {word for word in new if word.lower() in exact or (word.islower() and stem(word) in stems)}
    strict = {word for word in new if not word.isalpha() or not word.islower()}
    if not fits(search.question, new) or strict - present or len(present) < FOUND * len(new):
        return 0.0
    named = names(piece, search.weights)
    if search.required - named - stems:
        return 0.0
    keys = {word.lower() for word in strict or present}
    around = (tokens[max(0, at - NEAR) : at + NEAR] for at, token in enumerate(tokens) if token.lower() in keys)
    near = max((weight(named.union(words(" ".join(window))), search.weights) for window in around), default=0.0)
    share = near / (sum(search.weights.values()) or 1.0)
    return share if share >= SUPPORT else 0.0


def added(answer: str, question: str) -> set[str]:
    """Give the content words of an answer, identifiers whole, that the question does not have."""
    asked = {word.lower() for word in WHOLE.findall(question)}.union(words(question))
    known = asked | STOP
    return {word for word in WHOLE.findall(answer) if not {word.lower(), stem(word)} & known}


def fits(question: str, new: Iterable[str]) -> bool:
    """Whether what an answer adds is of the kind that the question asks for: a name, a number, anything at all."""
    asks = question.strip().lower()
    if re.match(r"(by |from |to )?who(m|se)?\b", asks):
        return any(not word.islower() and word.isalpha() for word in new)
    if re.match(r"(in )?(when|(what|which) year|how (many|much|old))\b", asks):
        return any(word[0].isdigit() for word in new)
    return any(new)


def decide(search: Search, replies: Sequence[str]) -> Decision:
    """Let the supported answers vote: those that add nearly the same words to the question vote together."""
    votes = []
    for (_, piece), reply in zip(search.best, replies, strict=True):
        tried = ((answer, supported(answer, piece, search)) for answer in answers(reply))
        votes += [Vote(answer, support, piece) for answer, support in tried if support][:1]
    if not votes:
        return Decision(NO_SUPPORT, [])
    adds = [{word.lower() for word in added(vote.answer, search.question)} for vote in votes]
    totals = [sum(v.support**2 * overlap(mine, other) for v, other in zip(votes, adds, strict=True)) for mine in adds]
    best = totals.index(max(totals))
    return Decision(votes[best].answer, [v for v, a in zip(votes, adds, strict=True) if overlap(adds[best], a) >= SAME])


def overlap(one: set[str], other: set[str]) -> float:
    """Measure what two sets share, from 0 to 1."""
    return len(one & other) / len(one | other)


def report(decision: Decision) -> str:
    """Tell the answer and the evidence for it, for a person."""
    lines = [decision.text]
    for vote in decision.votes:
        excerpt = " ".join(clean(vote.passage.text).split())[:LINE]
        lines.append(f"support {vote.support:.2f}  {vote.passage.origin} at {vote.passage.start:,}: {vote.answer}")
        lines.append(f"    {excerpt} ...")
    return "\n".join(lines)
