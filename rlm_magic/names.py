"""The variables that runs fill: ``--into`` and ``--result``. Runs may go on at once, and want the same name."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rlm_kernel import Run


class Names:
    """Who fills which variable: of several runs the one that was begun last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._promised: dict[str, Run] = {}

    def promise(self, run: Run, namespace: dict[str, Any], into: str | None, result: str | None) -> None:
        """Note what a run will fill, when it begins in the background.

        Until then ``result`` is the run, and ``into`` is not there: an older value would be taken for the new one.
        """
        with self._lock:
            for name in (into, result):
                if name is not None:
                    self._promised[name] = run
                    namespace.pop(name, None)
            if result is not None:
                namespace[result] = run

    def keep(self, run: Run, namespace: dict[str, Any], values: Mapping[str, Any]) -> list[str]:
        """Fill what was promised to a run; return the names that a newer run has taken."""
        with self._lock:
            own = [name for name in values if self._promised.get(name) is run]
            for name in own:
                del self._promised[name]
                namespace[name] = values[name]
        return [name for name in values if name not in own]

    def forget(self, run: Run) -> None:
        """Note that a run will fill nothing any more."""
        with self._lock:
            self._promised = {name: other for name, other in self._promised.items() if other is not run}

    def fill(self, namespace: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Fill variables for a run that has ended in its cell: it is newer than those that go on."""
        with self._lock:
            for name, value in values.items():
                self._promised.pop(name, None)
                namespace[name] = value


NAMES = Names()
