"""The notebooks of the repository run, with the real embedded model, and show what they found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FIRST = NOTEBOOKS / "01_first_run.ipynb"

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def trees(notebook: Path) -> list[str]:
    """The HTML that the notebook's ``%%rlm`` cells show."""
    asked = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.source.startswith("%%rlm")]
    shown = [output.data for cell in asked for output in cell.outputs]
    return [data["text/html"] for data in shown if "text/html" in data]  # the widget has none


def test_the_first_run_executes_top_to_bottom_and_its_answers_are_right(tmp_path: Path) -> None:
    copy = shutil.copytree(NOTEBOOKS, tmp_path / "notebooks") / FIRST.name
    run("jupyter", "execute", "--inplace", str(copy), cwd=tmp_path)
    cells = nbformat.read(copy, as_version=4).cells
    checks = [cell.outputs[0].data["text/plain"] for cell in cells if ".check(" in cell.source]
    assert checks == ["True"] * 3
    shown = trees(copy)
    assert len(shown) == 3
    assert all("answered" in page and "local/smollm2" in page for page in shown)


def test_the_first_run_passes_under_nbval() -> None:
    run("pytest", "-p", "no:cacheprovider", "-q", "--nbval-lax", "--nbval-cell-timeout=120", str(FIRST), cwd=NOTEBOOKS)


def test_the_saved_first_run_shows_its_answers_and_trees() -> None:
    shown = trees(FIRST)
    assert len(shown) == 3
    for page, answer in zip(shown, ("21", "CycleError", "Greg Ward"), strict=True):
        assert answer in page
        assert "<details" in page
        assert "<script" not in page
