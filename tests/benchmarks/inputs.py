"""The big inputs: ASCII text that does not repeat within a megabyte."""

from __future__ import annotations

import random
from pathlib import Path

BLOCK = 1_000_000
SMALL = "A context of one line.\n" * 44
"""About a kilobyte."""


def text(characters: int) -> str:
    """Return the same text for the same size, in every process."""
    return (_block() * (characters // BLOCK + 1))[:characters]


def write(file: Path, characters: int) -> None:
    """Write the same to a file, a piece at a time: who asks about a file has not its text in memory."""
    block = _block()
    with file.open("w") as out:
        for start in range(0, characters, BLOCK):
            out.write(block[: characters - start])


def _block() -> str:
    letters = random.Random(7)
    words = ["".join(letters.choices("etaoinshrdlucmfw", k=letters.randint(2, 9))) for _ in range(5_000)]
    lines = (" ".join(letters.choices(words, k=12)) for _ in range(BLOCK // 60))
    return "\n".join(lines)[: BLOCK - 1] + "\n"
