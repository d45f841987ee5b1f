"""What stands between the REPL and the models: tools, the cache, hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.types import Event
from rlm_kernel.host.checks import check_function
from rlm_kernel.host.tools import check_tools


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What stands between the REPL and the models.

    Attributes
    ----------
    tools
        Name -> a function that runs on the host, a JSON value, a `Secret` or `Source` (code that runs in the REPL).
    sub_tools
        The tools of child RLMs; ``None`` inherits ``tools``, ``{}`` is none.
    cache
        ``True`` answers a repeated sub-call of the run from memory, a folder keeps answers for other runs too.
    before_call, after_call
        Look at each sub-call, and at each result: functions, sync or async, or a ``provider/model`` that judges.
    runs_dir
        Where journals go; ``RLM_RUNS_DIR``, else a folder of Jupyter's data directory.
    on_event
        Called with each event, on the run's own thread.
    """

    tools: Mapping[str, Any] = field(default_factory=dict)
    sub_tools: Mapping[str, Any] | None = None
    cache: bool | str | Path = True
    before_call: Any = None
    after_call: Any = None
    runs_dir: str | Path | None = None
    on_event: Callable[[Event], None] | None = None

    def check_calls(self) -> None:
        """Refuse what cannot work."""
        check_tools(self.tools)
        if self.sub_tools is not None:
            check_tools(self.sub_tools, "sub_tools")
        if not isinstance(self.cache, bool | str | Path):
            raise OptionError(f"cache={self.cache!r}: expected True, False or a folder.")
        check_function("on_event", self.on_event)
