"""What tests of JupyterLab share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import SECONDS, Lab, chromium, lab

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab over a folder of its own; without a browser the test is skipped, and in CI it fails."""
    chromium()
    with lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: ``RLM_PICTURES=docs`` renews those of the documentation."""
    return Path(os.environ.get("RLM_PICTURES", tmp_path))
