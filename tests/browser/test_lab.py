"""What real JupyterLab offers of ours, in a real browser; `test_widget.py` is about the call tree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, browser, open_notebook, run_cell

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


def test_tab_completes_the_magics_options_and_variables(jupyter: Lab, page: Page) -> None:
    jupyter.write("tab.ipynb", "%load_ext rlm_magic", "book_of_books = 'x'", "")
    open_notebook(page, jupyter.address("tab.ipynb"))
    run_cell(page, 0)
    run_cell(page, 1)
    expect(page.locator(".jp-InputPrompt").nth(1)).to_have_text("[2]:")
    cell, completer = page.locator(".jp-CodeCell").nth(2).locator(".cm-content"), page.locator(".jp-Completer")
    cell.click()
    for typed, offered in (("%%rlm --conte", "--context"), (" book_of", "book_of_books")):
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
        expect(completer).to_contain_text(offered)
        page.keyboard.press("Enter")
    expect(cell).to_have_text("%%rlm --context book_of_books")


def test_the_rlm_kernel_is_in_the_launcher(jupyter: Lab, page: Page) -> None:
    page.goto(f"{jupyter.url}/lab?token=test&reset")
    expect(page.locator(".jp-LauncherCard[title='RLM']").first).to_be_visible()
