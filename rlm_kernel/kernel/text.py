"""Reads a file into one ``str`` that grows in place: at the peak there is the text, and a piece of the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from rlm_kernel.errors import ContextError

PIECE_BYTES = 16 << 20
"""Large enough for huge pages (`GLIBC_TUNABLES` in the kernel's environment): half the time of pieces of 1 MB."""


def read_text(path: str, encoding: str, errors: str) -> str:
    """Decode a file; line ends are kept, and a byte order mark where the encoding keeps it.

    The text is that of `bytes.decode`, but ``utf-16`` and ``utf-32`` need a byte order mark: no order is guessed.
    The file is read, not mapped: a mapped file that its owner shortens meanwhile ends the process.

    Raises
    ------
    ContextError
        It is not valid in that encoding; the text names the byte.
    """
    return _joined(read_pieces(path, encoding, errors, PIECE_BYTES))


def read_pieces(path: str, encoding: str, errors: str, size: int) -> Iterator[str]:
    """Decode a file ``size`` bytes at a time; raises as `read_text` does."""
    with Path(path).open("rb", buffering=0) as file:
        try:
            yield from codecs.iterdecode(iter(partial(file.read, size), b""), encoding, errors)
            return
        except UnicodeDecodeError as error:
            byte = file.tell() - len(error.object) + error.start  # what the codec holds ends where the file was read to
            reason = f"byte {byte:,} is not valid {encoding} ({error.reason})"
        except UnicodeError as error:  # of the whole: a byte order mark is missing
            reason = str(error)
    raise ContextError(f"{reason}. Choose another encoding=, or an encoding_errors= such as 'replace'.")


def check_text(path: str, encoding: str, errors: str) -> None:
    """Raise what `read_text` does, and keep nothing: for readers that do not say which byte they stopped at."""
    for _ in read_pieces(path, encoding, errors, PIECE_BYTES):
        pass


def _joined(pieces: Iterable[str]) -> str:
    """Return what ``"".join`` would, which needs twice the memory."""
    text = ""
    for piece in pieces:
        text += piece
    return text


# CPython appends in place to a local str that nothing else refers to; 3.11 does it once the loop has run for a while.
_joined("warm" * 100)
