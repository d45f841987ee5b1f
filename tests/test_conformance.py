"""The conformance suite that sandbox authors run, against every sandbox that comes with the package."""

from __future__ import annotations

import pytest

from rlm_kernel.__main__ import main
from rlm_kernel.host.sandboxes import sandbox_names
from rlm_kernel.host.sandboxes.conformance import CHECKS, conform

ISOLATING = ("bubblewrap", "landlock")


@pytest.mark.parametrize("sandbox", sandbox_names())
async def test_every_check_holds(sandbox: str) -> None:
    outcomes = await conform(sandbox, isolation=sandbox in ISOLATING)
    assert len(outcomes) == sum(sandbox in ISOLATING or not check.isolation for check in CHECKS)
    assert [str(outcome) for outcome in outcomes if outcome.error is not None] == []


def test_the_command_says_what_process_does_not_isolate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--sandbox", "process"]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = {line.split()[1] for line in lines if line.startswith("FAIL")}
    assert {"files", "network", "processes"} <= failed
    assert not failed & {check.name for check in CHECKS if not check.isolation}


def test_an_unknown_sandbox_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--sandbox", "jail"]) == 1
    assert capsys.readouterr().err.startswith("rlm: Unknown sandbox 'jail'. Choose one of: ")
