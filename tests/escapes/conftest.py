"""With ``-v``, pytest ends with what stopped each attempt."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write a line for each attempt that was made."""
    if terminalreporter.verbosity <= 0:
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [value for report in reports for name, value in report.user_properties if name == "attempt"]
    if lines:
        terminalreporter.section("what stopped each attempt")
        for line in lines:
            terminalreporter.write_line(line)
