"""``rlm doctor``, ``rlm models``: what works on this machine."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the commands."""
    doctor = commands.add_parser("doctor", help="say what works on this machine")
    doctor.add_argument("--sandbox", metavar="NAME", help="check everything that a sandbox has to do and to prevent")
    doctor.set_defaults(run=_doctor)

    models = commands.add_parser("models", help="the embedded models")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    install = actions.add_parser("install", help="fetch a model's weights")
    install.add_argument("name", help="such as smollm2")
    install.set_defaults(run=_install)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.sandbox is not None:
        return _check_sandbox(arguments.sandbox)
    from rlm_kernel.host.doctor import checkup

    checks = checkup()
    for check in checks:
        print(check)
    return 0 if all(check.works or check.optional for check in checks) else 1


def _check_sandbox(name: str) -> int:
    import asyncio

    from rlm_kernel.host.sandboxes import provisioner_name
    from rlm_kernel.host.sandboxes.conformance import conform

    provisioner_name(name)
    outcomes = asyncio.run(conform(name))
    for outcome in outcomes:
        print(outcome)
    return 0 if all(outcome.error is None for outcome in outcomes) else 1


def _install(arguments: argparse.Namespace) -> int:
    from rlm_kernel.host.providers.weights import install

    install(arguments.name)
    return 0
