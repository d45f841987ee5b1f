"""How bytes become text: checks the options ``encoding`` and ``encoding_errors``."""

from __future__ import annotations

import codecs

from rlm_kernel.errors import OptionError

POLICIES = ("strict", "replace", "ignore", "backslashreplace", "surrogateescape")
"""What may happen to bytes that are not valid: refuse, or keep going in one of Python's ways."""


def check_decoding(encoding: str | None, errors: str) -> None:
    """Refuse an encoding or a policy that cannot work.

    Parameters
    ----------
    encoding
        A text encoding of Python's, such as ``utf-8`` or ``cp1252``; ``None`` leaves bytes as they are.
    errors
        One of `POLICIES`.

    Raises
    ------
    OptionError
        There is no such encoding or policy, or the encoding is not one of text.
    """
    if errors not in POLICIES:
        raise OptionError(f"encoding_errors={errors!r}: expected one of {', '.join(POLICIES)}.")
    if encoding is not None and not (isinstance(encoding, str) and _decodes(encoding)):
        raise OptionError(
            f"encoding={encoding!r}: expected a text encoding that Python knows, such as 'utf-8', 'utf-16', 'latin-1', "
            "'cp1252' or 'shift_jis', or None for bytes."
        )


def _decodes(encoding: str) -> bool:
    """Try it in the way the kernel uses it: from a buffer, in one go; and in the way folders do."""
    try:
        codecs.getincrementaldecoder(encoding)
        return str(memoryview("a".encode(encoding)), encoding) == "a"
    except Exception:  # a codec may raise anything: LookupError, UnicodeError, its own mistakes
        return False
