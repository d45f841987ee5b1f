"""What tests of JupyterLab share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import SECONDS, Lab, browser, chromium, lab

expect.set_options(timeout=SECONDS * 1000)

WITHOUT_KERNEL = "Cannot read properties of null (reading 'kernel')"
"""JupyterLab's own error where a session could not be had."""


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab over a folder of its own; without a browser the test is skipped, and in CI it fails."""
    chromium()
    with lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Chromium's on which no script fails."""
    with browser() as opened:
        wrong: list[str] = []
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        yield opened
    assert [error for error in wrong if error != WITHOUT_KERNEL] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: ``RLM_PICTURES=docs`` renews those of the documentation."""
    return Path(os.environ.get("RLM_PICTURES", tmp_path))
