"""What real JupyterLab offers of ours, in a real browser; `test_widget.py` is about the call tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, browser, open_notebook, run_cell
from tests.providers.fake_servers import FakeServer

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


def test_a_person_chooses_the_rlm_kernel_and_asks_by_hand(jupyter: Lab, page: Page, pictures: Path) -> None:
    child = "```repl\nanswer['content'] = llm_query(context[:13])\nanswer['ready'] = True\n```"
    (jupyter.folder / "book.txt").write_text("It was the butler. " * 1000)
    page.goto(f"{jupyter.url}/lab?token=test&reset")
    card = page.locator(".jp-LauncherCard[title='RLM']").first
    icon = card.locator("img, svg").first
    expect(icon).to_be_visible()
    page.wait_for_function("icon => icon.tagName == 'svg' || icon.naturalWidth > 0", arg=icon.element_handle())
    assert "kernelspecs/rlm/logo" in (icon.get_attribute("src") or ""), "its own, not the letter that Lab draws"
    page.locator(".jp-Launcher-body").screenshot(path=pictures / "launcher.png")
    card.click()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("RLM | Idle")
    with FakeServer(["The butler.", child, "IT WAS HIM"]) as server:
        setting = f"%config RLMMagics.model = 'openai/any'\n%config RLMMagics.base_url = '{server.openai_url}'"
        question = (
            "first = llm_query(f'Who was it? {context[:18]}')\nprint(first)\nrlm_query('And again?', context=context)"
        )
        for index, code in enumerate((setting, "%context book.txt", question)):
            cell = page.locator(".jp-CodeCell").nth(index)
            cell.locator(".cm-content").click()
            page.keyboard.insert_text(code)
            run_cell(page, index)
            expect(cell.locator(".jp-InputPrompt")).to_have_text(f"[{index + 1}]:")
    outputs = page.locator(".jp-CodeCell").nth(2).locator(".jp-Cell-outputArea")
    tree = outputs.locator(".rlm-calltree")
    expect(tree.locator(".badge").first).to_have_text("done")
    expect(outputs).to_contain_text("The butler.")
    expect(outputs.locator(".jp-OutputArea-executeResult")).to_contain_text("IT WAS HIM")
    tree.get_by_role("treeitem", name="Call 0.1").click()
    expect(tree.locator("pre[aria-label=Prompt]")).to_contain_text("Who was it? It was the butler.")
    expect(tree.get_by_role("treeitem", name="Child 0.2")).to_be_visible()
    page.set_viewport_size({"width": 1100, "height": 1400})
    page.locator(".jp-CodeCell").nth(2).screenshot(path=pictures / "rlm_kernel.png")
