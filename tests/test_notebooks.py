"""The notebooks of the repository run, with the real embedded model, and what they show is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FIRST = NOTEBOOKS / "01_first_run.ipynb"

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]


def trees(notebook: Path) -> list[str]:
    """The HTML that the notebook's ``%%rlm`` cells show."""
    asked = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.source.startswith("%%rlm")]
    shown = [output.data for cell in asked for output in cell.outputs]
    return [data["text/html"] for data in shown if "text/html" in data]  # the widget has none


def test_the_first_run_passes_under_nbval_and_its_answers_are_right() -> None:
    """Cells with NBVAL_CHECK_OUTPUT say whether the answers are right, and have to say again what is saved."""
    checks = [cell for cell in nbformat.read(FIRST, as_version=4).cells if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert [cell.outputs[0].data["text/plain"] for cell in checks] == ["True"] * 3
    nbval = ["-p", "no:cacheprovider", "-q", "--nbval-lax", "--nbval-cell-timeout=280", "--timeout=280"]
    command = [sys.executable, "-m", "pytest", *nbval, str(FIRST)]
    done = subprocess.run(command, cwd=NOTEBOOKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_saved_first_run_shows_its_answers_and_trees() -> None:
    shown = trees(FIRST)
    assert len(shown) == 3
    for page, answer in zip(shown, ("21", "CycleError", "Greg Ward"), strict=True):
        assert answer in page
        assert "<details" in page
        assert "<script" not in page
