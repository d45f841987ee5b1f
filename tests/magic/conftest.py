"""A notebook whose cells go on in the background."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.magic.background import ENDED, Cells
from tests.magic.vocabulary import Notebook, notebook


@pytest.fixture(scope="module")
def _kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))
        with notebook() as kernel:
            assert kernel.run("%load_ext rlm_magic").ok
            yield kernel


@pytest.fixture
def cells(_kernel: Notebook) -> Iterator[Cells]:
    _kernel.run("book = 'It was the butler.'; verdict = 'an older one'")
    yield Cells(_kernel)
    _kernel.run("%rlm_stop")
    _kernel.run(ENDED)
