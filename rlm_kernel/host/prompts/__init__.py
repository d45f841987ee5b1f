"""Messages out of values. The texts are the files beside this one.

`of` gives the dialect that the options ask for: `standard`, our own, or `rlms`, that of the library of this name.
"""

from __future__ import annotations

from rlm_kernel.host.prompts.record import CellRecord, plain
from rlm_kernel.host.prompts.rlms import Rlms
from rlm_kernel.host.prompts.standard import OUTPUT_CHARACTERS, Standard
from rlm_kernel.host.prompts.values import PromptOptions, Prompts, Scene, ToolDoc, Turn

__all__ = ["OUTPUT_CHARACTERS", "CellRecord", "Prompts", "Scene", "ToolDoc", "Turn", "of", "plain"]


def of(options: PromptOptions) -> Prompts:
    """Return the dialect that the options ask for."""
    return Rlms(options) if options.compat == "rlms" else Standard(options)
