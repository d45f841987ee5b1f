"""How an input is read."""

from __future__ import annotations

from dataclasses import dataclass

from rlm_kernel.host.checks import check_choice
from rlm_kernel.host.inputs.decoding import check_decoding

FORMATS = ("auto", "text", "json", "jsonl", "csv", "parquet")


@dataclass(frozen=True, kw_only=True)
class ContextOptions:
    """How an input is read, and what the model is told of it.

    Attributes
    ----------
    encoding, encoding_errors
        How bytes and files become text: an encoding of Python's, and one of ``strict``, ``replace``, ``ignore``,
        ``backslashreplace``, ``surrogateescape`` for what is not valid in it. ``encoding=None`` leaves them bytes.
    context_format
        What a single file is: ``text``, ``json``, ``jsonl``, ``csv``, ``parquet``; ``auto`` goes by its suffix.
    preview
        Whether the model is shown the first and last words of the input, or its shape, before its first turn.
    """

    encoding: str | None = "utf-8"
    encoding_errors: str = "strict"
    context_format: str = "auto"
    preview: bool = True

    def check_context(self) -> None:
        """Refuse what cannot work."""
        check_decoding(self.encoding, self.encoding_errors)
        check_choice("context_format", self.context_format, FORMATS)
