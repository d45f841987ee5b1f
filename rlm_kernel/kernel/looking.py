"""Lets a person look into the REPL, also while a cell runs, and changes nothing by it.

What the host asks comes on the control channel, and each look has a thread of its own: the control thread stays free
for the replies of sub-calls and for interrupts, even where an object's own ``__repr__`` never ends. Such a thread
prints nothing and asks no model (`quiet.py`), so that a look leaves no trace in the run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlm_kernel import data, wire
from rlm_kernel.errors import WireError
from rlm_kernel.kernel.quiet import Quiet
from rlm_kernel.kernel.shown import at_length
from rlm_kernel.look import LOOKS, Look, Seen

if TYPE_CHECKING:
    from rlm_kernel.kernel.kernel import RLMKernel

TEXT_CHARACTERS = 100_000
NAMES = 10_000
"""The newest, where there are more."""
SLICED = (str, bytes, bytearray, list, tuple)


class Looks:
    """Answers ``rlm_look_request``."""

    def __init__(self, kernel: RLMKernel) -> None:
        self._kernel = kernel
        self._under_way = threading.BoundedSemaphore(LOOKS)

    def request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Begin a look. Control thread only."""
        try:
            look = wire.decode(Look, parent["content"])
        except WireError:
            return
        if not self._under_way.acquire(blocking=False):
            self._reply(Seen(problem="busy"), parent)
            return
        try:
            Quiet(self._answer, look, parent).start()
        except RuntimeError:  # no more threads
            self._under_way.release()
            self._reply(Seen(problem="busy"), parent)

    def _answer(self, look: Look, parent: dict[str, Any]) -> None:
        try:
            seen = self.see(look)
        except BaseException as error:  # whatever an object's own code raises
            seen = Seen(problem="raised", type=data.type_name(type(error)))
        finally:
            self._under_way.release()
        self._kernel.control_thread.io_loop.add_callback(self._reply, seen, parent)

    def _reply(self, seen: Seen, parent: dict[str, Any]) -> None:
        """Answer on iopub: control is not read while too many calls wait. Control thread only."""
        session, iopub = self._kernel.session, self._kernel.iopub_socket
        assert session is not None
        session.send(iopub, "rlm_look_reply", wire.encode(seen), parent, ident=b"rlm_look_reply")

    def see(self, look: Look) -> Seen:
        """Return what is there."""
        assert self._kernel.shell is not None
        names, user_ns = self._kernel.namespace, self._kernel.shell.user_ns
        if look.what == "names":
            made = names.variables(NAMES)
            return Seen(names=made, given=names.given(), marks=_marks(user_ns, made))
        if look.name not in user_ns:
            return Seen(problem="missing")
        value = user_ns[look.name]
        kind = data.type_name(type(value))
        if look.start is not None or look.stop is not None:
            base = next((base for base in SLICED if issubclass(type(value), base)), None)
            if base is None:
                return Seen(problem="no_parts", type=kind)
            value = base.__getitem__(value, slice(look.start, look.stop))
        if look.what == "text":
            return Seen(type=kind, data=_text(value))
        try:
            return Seen(type=kind, data=data.dump(value))
        except data.NotData as error:
            return Seen(problem="no_data", type=kind, inner=error.kind, where=error.where)
        except data.TooBig:
            return Seen(problem="too_big", type=kind, length=_length(value))


def _text(value: Any) -> str:
    """Return a value as text: plain data in bounded time, whatever else as its own ``repr``."""
    text = at_length(value, TEXT_CHARACTERS)
    if text is not None:
        return text
    text = repr(value)
    more = len(text) - TEXT_CHARACTERS
    return text if more <= 0 else f"{text[:TEXT_CHARACTERS]}\n... and {more:,} more characters"


def _marks(user_ns: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return for each variable what is another text when it is another object, or longer or shorter."""
    return {name: f"{id(value):x} {_length(value)}" for name in names for value in [user_ns.get(name)]}


def _length(value: Any) -> int:
    """Return how long plain data is, without calling code of its own; of other values 0."""
    kinds = (*SLICED, dict, set, frozenset)
    return next((base.__len__(value) for base in kinds if issubclass(type(value), base)), 0)
