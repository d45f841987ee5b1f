"""A person approves cells in real JupyterLab: lets one run, changes one, skips one, stops the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab, open_notebook, run_cell
from tests.providers.fake_servers import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CELLS = [
    "print(context[:10])",
    "found = 'the cook'",
    "import shutil\nshutil.rmtree('/')  # </textarea><script>document.title='hacked'</script>",
    "answer['content'] = found\nanswer['ready'] = True",
]


def begun(jupyter: Lab, page: Page, server: FakeServer, name: str) -> Locator:
    """Run a question with ``--approve``; return its form."""
    line = f"%%rlm --context book --into verdict --model openai/any --base-url {server.openai_url} --approve"
    jupyter.write(
        name, "%load_ext rlm_magic\nbook = 'It was the butler. ' * 1000", f"{line}\nWho was it?", "print(verdict)"
    )
    open_notebook(page, jupyter.address(name))
    for index in range(2):
        run_cell(page, index)
    return page.locator(".rlm-approve")


def script() -> list[str]:
    return [f"```repl\n{code}\n```" for code in CELLS]


def test_each_cell_is_run_changed_or_skipped(jupyter: Lab, page: Page, pictures: Path) -> None:
    with FakeServer(script()) as server:
        form = begun(jupyter, page, server, "approve.ipynb")
        code = form.get_by_label("The cell's code")
        for number, run in enumerate(CELLS, 1):
            expect(form.locator("strong")).to_have_text(f"May this run? Cell {number}")
            expect(code).to_have_value(run)
            if number == 2:
                code.fill("found = 'the butler'")
                form.screenshot(path=pictures / "approve.png")
                form.get_by_role("button", name="Run as changed").click()
                expect(form.get_by_role("status")).to_have_text("Cell 2: changed")
            elif number == 3:
                form.get_by_label("Why the cell should not run").fill("it deletes everything")
                form.get_by_role("button", name="Skip").click()
                expect(form.get_by_role("status")).to_have_text("Cell 3: skipped")
            else:
                form.get_by_role("button", name="Run", exact=True).click()
        tree = page.locator(".rlm-calltree")
        expect(tree.locator(".badge").first).to_have_text("answered")
        expect(tree.locator(".answer")).to_contain_text("the butler")
        expect(form.locator(".form")).to_be_hidden()
        heard = [message["content"] for message in server.requests[-1].body["messages"]]
    assert any("This cell was changed before it ran" in text for text in heard)
    assert any("This cell was not run: it deletes everything" in text for text in heard)
    assert page.title() != "hacked"


def test_the_run_is_stopped(jupyter: Lab, page: Page) -> None:
    with FakeServer(script()) as server:
        form = begun(jupyter, page, server, "stop.ipynb")
        form.get_by_role("button", name="Stop the run").click()
        expect(page.locator(".rlm-calltree .badge").first).to_have_text("stopped")
        expect(form.locator(".form")).to_be_hidden()
    assert len(server.requests) == 1
