"""Logs of other harnesses, and how real ones are made."""

from __future__ import annotations

from pathlib import Path

LOGS = Path(__file__).parent / "logs"
"""Short ones: of `rlms`, written by its own logger (`write_rlms_log.py`; the sentences of its prompts are shortened
and left out); of fast-rlm, written by hand as its logger writes them."""

PEER = Path(__file__).resolve().parents[2] / ".venv-rlms" / "bin" / "python"
"""A Python that has `rlms`, where `make bench` has installed it."""

WRITER = Path(__file__).parent / "write_rlms_log.py"
