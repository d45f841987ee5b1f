"""Attempts to get out of the box, each made for real. None may succeed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.escapes.table import ATTEMPTS, markdown
from tests.escapes.vocabulary import Attempt, Scene, escaped, otherwise, staged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with staged("bubblewrap") as scene:
        yield scene


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.name for attempt in ATTEMPTS])
async def test_it_does_not_escape(
    attempt: Attempt, scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    outcome = await scene.make(attempt)
    signs = sorted({t.error for t in outcome.tries if t.error is not None})
    record_property("attempt", f"{attempt.name}: {attempt.stopped_by} ({', '.join(signs)})")
    assert outcome.tries, "it tried nothing"
    assert escaped(outcome) is None, f"{attempt.name} got out"
    assert otherwise(attempt, outcome) == {}, f"not stopped by {attempt.stopped_by}"


def test_there_are_at_least_forty_and_each_has_its_own_name() -> None:
    assert len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS) >= 40


def test_the_security_page_has_the_table() -> None:
    assert markdown() in PAGE.read_text(encoding="utf-8"), "python -m tests.escapes table writes it"
