"""Reads a file into one ``str`` that grows in place: at the peak there is the text, and a piece of the file."""

from __future__ import annotations

import codecs
import ctypes
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from rlm_kernel.errors import ContextError

BUFFER_BYTES = 1 << 16
"""It stays in the processor's cache."""

ASCII = 127
ASCII_INSIDE = ("ascii", "utf-8", "iso8859-1", "cp1252")
"""Encodings in which bytes below 128 are ASCII, whatever comes before them."""

PIECE_BYTES = 16 << 20
"""Large enough for huge pages (`GLIBC_TUNABLES` in the kernel's environment): half the time of pieces of 1 MB."""


# Python's own C API for a str that is filled after it was made. The text is a plain pointer to it: CPython lets nobody
# write to a str that a second reference leads to.
_new_text = ctypes.pythonapi.PyUnicode_New
_new_text.restype, _new_text.argtypes = ctypes.c_void_p, (ctypes.c_ssize_t, ctypes.c_uint32)
_copy_characters = ctypes.pythonapi.PyUnicode_CopyCharacters
_copy_characters.restype = ctypes.c_ssize_t
_copy_characters.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.py_object, ctypes.c_ssize_t, ctypes.c_ssize_t)
_release = ctypes.pythonapi.Py_DecRef
_release.restype, _release.argtypes = None, (ctypes.c_void_p,)


def read_text(path: str, encoding: str, errors: str) -> str:
    """Decode a file; line ends are kept, and a byte order mark where the encoding keeps it.

    The text is that of `bytes.decode`, but ``utf-16`` and ``utf-32`` need a byte order mark: no order is guessed.
    The file is read, not mapped: a mapped file that its owner shortens meanwhile ends the process.

    Raises
    ------
    ContextError
        It is not valid in that encoding; the text names the byte.
    """
    text = _ascii(path) if codecs.lookup(encoding).name in ASCII_INSIDE else None
    return _joined(read_pieces(path, encoding, errors, PIECE_BYTES)) if text is None else text


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


def _ascii(path: str) -> str | None:
    """Read a big file of nothing but ASCII; ``None`` for every other.

    The text is made in its whole length and then filled, so that each page of it is touched once. That halves the
    time: to touch memory is what takes it.
    """
    with Path(path).open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < PIECE_BYTES:
            return None
        text, filled = _new_text(size, ASCII), 0
        try:
            buffer = bytearray(BUFFER_BYTES)
            view = memoryview(buffer)
            while read := file.readinto(buffer):
                if filled + read > size:  # somebody writes it
                    return None
                _copy_characters(text, filled, str(view[:read], "ascii"), 0, read)
                filled += read
            return ctypes.cast(text, ctypes.py_object).value if filled == size else None
        except UnicodeDecodeError:
            return None
        finally:
            _release(text)


def _joined(pieces: Iterable[str]) -> str:
    """Return what ``"".join`` would, which needs twice the memory."""
    text = ""
    for piece in pieces:
        text += piece
    return text


# CPython appends in place to a local str that nothing else refers to; 3.11 does it once the loop has run for a while.
_joined("warm" * 100)
