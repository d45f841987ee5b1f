"""All attempts, and their table in ``docs/security.md``."""

from __future__ import annotations

from tests.escapes import (
    asking,
    children,
    conversations,
    exhaustion,
    files,
    looks,
    network,
    outputs,
    privileges,
    processes,
    protocol,
    secret_values,
    siblings,
    tools,
)
from tests.escapes.vocabulary import Attempt

GROUPS: dict[str, list[Attempt]] = {
    "Files": files.ATTEMPTS,
    "Processes": processes.ATTEMPTS,
    "The system's kernel": privileges.ATTEMPTS,
    "Sockets": network.ATTEMPTS,
    "Other kernels of the same run": siblings.ATTEMPTS,
    "Using up the machine": exhaustion.ATTEMPTS,
    "The protocol": protocol.ATTEMPTS,
    "Tools and secrets": [*tools.ATTEMPTS, *secret_values.ATTEMPTS],
    "Children and their inputs": children.ATTEMPTS,
    "Asking without end": asking.ATTEMPTS,
    "After an answer": conversations.ATTEMPTS,
    "Who looks into a live kernel": looks.ATTEMPTS,
    "Who reads a run": outputs.ATTEMPTS,
}
ATTEMPTS = [attempt for attempts in GROUPS.values() for attempt in attempts]

NEEDS_NAMESPACE = {"signals to everyone", "signals to a sibling", "signals to the warm parent"}
"""They try to end every process they can reach: only where a namespace of processes stands around them."""


def markdown() -> str:
    """Return the table."""
    lines = ["| attempt | what it tries | stopped by |", "|---|---|---|"]
    for group, attempts in GROUPS.items():
        lines.append(f"| **{group}** | | |")
        lines += [f"| {attempt.name} | {attempt.tries} | {attempt.stopped_by} |" for attempt in attempts]
    return "\n".join(lines) + "\n"
