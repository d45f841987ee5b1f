"""Inputs of children on their way from a kernel: pieces of text that become a file on the host, never read there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlm_kernel import wire
from rlm_kernel.errors import ContextError

MAX_UPLOADS = 10_000
"""Inputs on their way at once, of one kernel."""
ID_CHARACTERS = 100
"""Of an input's name; the kernel's own are short."""


@dataclass
class Upload:
    """An input that a kernel has sent: a file with the text of a ``str``, or JSON."""

    path: Path
    kind: Literal["text", "json"]
    bytes: int = 0
    hash: Any = field(default_factory=hashlib.sha256)
    sealed: bool = False
    """Whether a call has named it: what it holds is then known by its hash, and must stay the same."""
    broken: bool = False
    """Whether a piece could not be written."""
    users: int = 0
    last: bool = False
    """Whether the last call that names it has come."""

    @property
    def digest(self) -> str:
        """The content's hash."""
        return f"{self.kind}:{self.hash.hexdigest()}"

    def text(self) -> str:
        """Read it: for a call that is answered by a model after all."""
        return self.path.read_text(encoding="utf-8", errors="surrogatepass")


class Uploads:
    """The inputs that one kernel has sent. ``most`` is the number of bytes they may have together."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._left = most
        self._number = 0
        self._uploads: dict[str, Upload] = {}

    def add(self, part: wire.Part) -> None:
        """Append a piece. What is too much is dropped, and its upload is unknown; what comes after its call, too."""
        upload = self._uploads.get(part.id)
        if upload is None:
            if len(self._uploads) >= MAX_UPLOADS or len(part.id) > ID_CHARACTERS:
                return
            self._number += 1
            upload = self._uploads[part.id] = Upload(self._folder / f"upload-{self._number}", part.kind)
        if upload.sealed:
            return
        data = part.text.encode("utf-8", "surrogatepass")
        self._left -= len(data)
        upload.bytes += len(data)
        upload.hash.update(data)
        if self._left >= 0:
            try:
                with upload.path.open("ab") as file:
                    file.write(data)
            except OSError:  # the host's disk is full: whoever uses the input hears of it
                upload.broken = True

    def get(self, upload_id: str) -> Upload:
        """Return an upload for a call, which discards it when it has ended.

        Raises
        ------
        ContextError
            It never came, or all of them together are too big.
        """
        upload = self._uploads.get(upload_id)
        if upload is None or self._left < 0 or upload.broken or not upload.path.exists():
            raise ContextError("The context= did not arrive: it is empty, or too big. Pass less, or raise disk_mb.")
        upload.sealed = True
        upload.users += 1
        return upload

    def discard(self, upload_id: str, *, more: bool = False) -> None:
        """Forget an upload and remove its file, unless calls name it that are under way, or (``more``) to come."""
        upload = self._uploads.get(upload_id)
        if upload is None:
            return
        upload.users -= 1
        upload.last = upload.last or not more
        if upload.last and upload.users <= 0:
            del self._uploads[upload_id]
            self._left += upload.bytes
            upload.path.unlink(missing_ok=True)
