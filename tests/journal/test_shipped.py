"""The runs that come with the project are replayed, in real kernels, and tell the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rlm_kernel
from rlm_kernel.events.tree import fold
from rlm_kernel.journal import read, runs
from tests.journal.vocabulary import replayed

JOURNALS = Path(__file__).resolve().parents[2] / "notebooks" / "journals"
SHIPPED = sorted(saved.id for saved in runs(JOURNALS))


def test_there_are_some_and_they_are_listed() -> None:
    page = (JOURNALS / "README.md").read_text(encoding="utf-8")
    assert SHIPPED == ["harbour", "source"]
    assert all(f"| `{name}` |" in page for name in SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
async def test_it_is_replayed_to_the_same_tree(name: str) -> None:
    before = list(read(JOURNALS / name))
    again = await rlm_kernel.replay(JOURNALS / name)
    assert replayed(again.tree) == replayed(fold(before))
    assert list(read(JOURNALS / name)) == before


@pytest.mark.timeout(120)
def test_the_notebook_about_them_runs_and_shows_what_it_says() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--nbval-lax", "02_look_again.ipynb"]
    done = subprocess.run(command, cwd=JOURNALS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
