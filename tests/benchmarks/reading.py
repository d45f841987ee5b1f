"""What of a big input was read: the index of it, and the matching of many prompts."""

from __future__ import annotations

import random
import string
import time

from rlm_kernel.provenance.matching import Matcher
from tests.benchmarks import inputs, worker
from tests.benchmarks.worker import Samples

QUESTION = "Does this mention a leak? Answer with the line that says so, or with nothing.\n\n>"


def coverage(characters: int, prompts: int, length: int) -> Samples:
    """Index a text that does not repeat, and find in it what many prompts have of it, each behind a question."""
    text = _text(characters)
    step = (characters - length) // prompts
    starts = [number * step for number in range(prompts)]
    asked = [QUESTION + text[start : start + length] for start in starts]
    began = time.perf_counter()
    matcher = Matcher([text])
    indexed = time.perf_counter()
    found = [list(matcher.find(prompt)) for prompt in asked]
    matched = time.perf_counter()
    right = sum((0, start, start + length) in slices for start, slices in zip(starts, found, strict=True))
    worker.check("prompts that were found whole", right, prompts)
    return {"index": [indexed - began], "match": [matched - indexed]}


def _text(characters: int) -> str:
    """Return the usual text, with other letters in each megabyte, so that nothing of it repeats."""
    block, letters, chance = inputs.text(inputs.BLOCK), list(string.ascii_lowercase), random.Random(7)
    pieces = []
    for _ in range(0, characters, inputs.BLOCK):
        chance.shuffle(letters)
        pieces.append(block.translate(str.maketrans(string.ascii_lowercase, "".join(letters))))
    return "".join(pieces)[:characters]
