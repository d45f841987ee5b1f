"""With one protection turned off, its attempt does get out: no test of `test_escapes` passes for another reason."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.escapes.protections import PROTECTIONS, Protection
from tests.escapes.table import ATTEMPTS
from tests.escapes.vocabulary import Scene, escaped, staged

NAMED = {attempt.name: attempt for attempt in ATTEMPTS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with staged("bubblewrap") as scene:
        yield scene


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("protection", PROTECTIONS, ids=[protection.name for protection in PROTECTIONS])
async def test_without_it_the_attempt_succeeds(
    protection: Protection, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turn_off in protection.off:
        turn_off(monkeypatch)
    outcome = await scene.make(NAMED[protection.attempt], afresh=True)
    assert escaped(outcome) is not None, {t.label: t.error for t in outcome.tries}
