"""Threads that leave no trace in a run: what code in them prints, shows or asks for goes nowhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Quiet(threading.Thread):
    """Calls a function; it does not keep the kernel's process from ending."""

    def __init__(self, function: Callable[..., None], *args: Any) -> None:
        super().__init__(target=function, args=args, name="rlm-look", daemon=True)


def is_quiet() -> bool:
    """Whether the calling thread is such a one."""
    return type(threading.current_thread()) is Quiet
