"""The line of past runs and the question above a threshold, in real JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from rlm_kernel.events.values import Usage
from tests.browser.lab import Lab, lab, open_notebook, run_cell
from tests.estimate.past import wrote
from tests.providers.fake_servers import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

MODEL = "openai/gpt-5-mini"
DONE = "```repl\nanswer['content'] = context.split()[-1]\nanswer['ready'] = True\n```"


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    runs = tmp_path / ".runs"  # where runs in this JupyterLab go
    runs.mkdir()
    monkeypatch.setenv("RLM_RUNS_DIR", str(runs))
    for number, calls in enumerate((40, 72, 120)):
        usage, seconds = Usage.of_call(12_000, 400), 1.5 * calls
        wrote(number, calls=calls, usage=usage, seconds=seconds, options={"model": MODEL, "sub_model": None})
    with lab(tmp_path) as running:
        yield running


def test_the_question_is_asked_in_an_input_box(jupyter: Lab, page: Page, pictures: Path) -> None:
    journals = sorted(os.listdir(os.environ["RLM_RUNS_DIR"]))
    with FakeServer([DONE]) as server:
        server_is = f"%config RLMMagics.base_url = '{server.openai_url}'"
        book = "book = 'It was the butler. ' * 652_632"
        line = f"%%rlm --context book --into verdict --model {MODEL} --ask-above 0.25"
        jupyter.write("ask.ipynb", f"%load_ext rlm_magic\n{server_is}\n{book}", f"{line}\nWho was it?")
        open_notebook(page, jupyter.address("ask.ipynb"))
        run_cell(page, 0)
        run_cell(page, 1)
        output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
        box = output.locator("input.jp-Stdin-input")
        past = "12.4 MB of text, about 3.1 M tokens; past runs like this: 40 to 120 calls, $0.15 to $0.46, 1 to 3 min"
        expect(output).to_contain_text(past)
        expect(output.locator(".jp-Stdin-prompt")).to_contain_text(
            "This may cost $0.15 to $0.46 by 3 past runs, above your $0.25. Start it? [y/N]"
        )
        page.locator(".jp-CodeCell").nth(1).screenshot(path=pictures / "ask_above.png")
        box.fill("n")
        box.press("Enter")
        expect(output).to_contain_text("Not started, as you said; nothing was asked and nothing paid.")
        expect(output).not_to_contain_text("Traceback")
        assert server.requests == []
        assert sorted(os.listdir(os.environ["RLM_RUNS_DIR"])) == journals

        run_cell(page, 1)
        box.fill("y")
        box.press("Enter")
        tree = page.locator(".rlm-calltree")
        expect(tree.locator(".badge").first).to_have_text("answered")
        expect(output).to_contain_text(past)
        page.keyboard.press("Control+s")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    saved = nbformat.read(jupyter.folder / "ask.ipynb", as_version=4).cells[1].outputs
    assert saved[0].data["text/plain"].startswith(past), "the first of the cell's outputs"
