"""What tests of JupyterLab share."""

from __future__ import annotations

from collections.abc import Iterator

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
