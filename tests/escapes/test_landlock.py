"""The same attempts in the ``landlock`` sandbox, but for what only a namespace stops: `docs/security.md` names it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rlm_kernel.kernel.confinement import landlock_version
from tests.escapes.table import GROUPS, NEEDS_NAMESPACE
from tests.escapes.vocabulary import Attempt, Scene, escaped, staged

LEFT_OPEN = {
    "changing the input": "Landlock knows nothing of attributes",
    "descriptors of others": "a process of the host can be named, though nothing can be done with it",
    "a process that hops": "without a namespace nobody can end what is faster",
}
ROOMS = ("Files", "Processes", "The system's kernel", "Sockets", "Other kernels of the same run")
MADE = [
    attempt
    for room in ROOMS
    for attempt in GROUPS[room]
    if attempt.name not in NEEDS_NAMESPACE and attempt.name not in LEFT_OPEN
]

pytestmark = pytest.mark.skipif(landlock_version() < 6, reason="signals are covered from Landlock 6 on")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with staged("landlock") as scene:
        yield scene


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("attempt", MADE, ids=[attempt.name for attempt in MADE])
async def test_it_does_not_escape(attempt: Attempt, scene: Scene) -> None:
    outcome = await scene.make(attempt)
    assert outcome.tries, "it tried nothing"
    assert escaped(outcome) is None, f"{attempt.name} got out"
