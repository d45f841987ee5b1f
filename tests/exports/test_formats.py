"""The registry: every format writes every run, and is loaded only when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rlm_kernel import OptionError, exports
from tests.events import stories
from tests.sinks import hostile


@pytest.mark.parametrize("name", exports.FORMATS)
def test_every_format_writes_a_run_and_the_beginning_of_one(name: str) -> None:
    assert exports.export(stories.mystery(), name)
    for stream in ([], stories.mystery()[:5], hostile.run(hostile.TEXTS["surrogates"])):
        assert isinstance(exports.export(stream, name), str)
        exports.export(stream, name).encode()


@pytest.mark.parametrize("name", exports.FORMATS)
def test_it_needs_a_stream_only_once(name: str) -> None:
    assert exports.export(iter(stories.mystery()), name) == exports.export(stories.mystery(), name)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"Unknown format 'pdf'\. Formats: notebook, html, markdown, viewer, chat\."):
        exports.export([], "pdf")
    with pytest.raises(OptionError, match="Unknown format"):
        exports.file_name("r", "pdf")


@pytest.mark.parametrize(
    ("run", "format_name", "file"),
    [
        ("20260101-120000-abcdef", "notebook", "rlm-20260101-120000-abcdef.ipynb"),
        ("20260101-120000-abcdef", "viewer", "rlm-20260101-120000-abcdef.jsonl"),
        ("20260101-120000-abcdef", "chat", "rlm-20260101-120000-abcdef-chat.jsonl"),
        ("../../etc/pass wd\x00", "markdown", "rlm-etc-pass-wd.md"),
        ("", "html", "rlm-run.html"),
    ],
)
def test_names_of_files(run: str, format_name: str, file: str) -> None:
    assert exports.file_name(run, format_name) == file


def test_a_format_is_loaded_when_it_is_used() -> None:
    code = (
        "import sys\nfrom rlm_kernel import exports\n"
        "loaded = {'rlm_kernel.exports.notebook', 'nbformat', 'pandas', 'rlm_kernel.exports.html'} & set(sys.modules)\n"
        "assert not loaded, loaded\nexports.export([], 'markdown')\nexports.export([], 'viewer')\n"
        "assert not {'nbformat', 'pandas', 'openai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
