"""``%%rlm`` in real JupyterLab in a real browser: growing, folding, stopping, saved and reopened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.lab import Lab, browser, open_notebook, run_cell
from tests.providers.fake_servers import FakeServer, Hang

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LOOK = "I look at the book first.\n```repl\nprint(context[:60])\n```"
ASK = "Now I ask.\n```repl\nimport time\nreply = llm_query(context)\nprint(reply)\ntime.sleep(2)\n```"
DONE = "That settles it.\n```repl\nanswer['content'] = reply\nanswer['ready'] = True\n```"
HOSTILE = (
    "the <b>butler</b> </details><script>document.title='hacked'</script><img src=x onerror=document.title='hacked'>"
)


@pytest.fixture
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


def setup(server: FakeServer) -> tuple[str, str, str]:
    """The three cells of a notebook that asks the server."""
    line = f"%%rlm --context book --into verdict --model openai/any --base-url {server.openai_url}"
    return "%load_ext rlm_magic", "book = 'It was the butler. ' * 1000", f"{line}\nWho was it?"


def ask(page: Page, jupyter: Lab, name: str) -> None:
    open_notebook(page, jupyter.address(name))
    for index in range(3):
        run_cell(page, index)


def test_the_tree_grows_unfolds_is_saved_and_reopens_without_a_kernel(jupyter: Lab, page: Page, tmp_path: Path) -> None:
    with FakeServer([LOOK, ASK, HOSTILE, DONE]) as server:
        jupyter.write("grow.ipynb", *setup(server))
        ask(page, jupyter, "grow.ipynb")
        output = page.locator(".jp-OutputArea .rlm")
        expect(output.locator(".badge")).to_contain_text("running")
        expect(output.locator("summary", has_text="Iteration 2")).to_be_visible()
        expect(output.locator(".badge")).to_contain_text("running")
        page.screenshot(path=tmp_path / "growing.png")
        expect(output.locator(".badge")).to_contain_text("answered")
    expect(output.locator(".answer")).to_contain_text("the <b>butler</b> </details><script>")
    cell = output.locator("summary", has_text="reply = llm_query(context)")
    cell.click()
    expect(output.locator("pre", has_text="time.sleep(2)")).to_be_visible()
    page.screenshot(path=tmp_path / "answered.png")
    assert page.title() != "hacked"

    with page.expect_response(lambda reply: reply.request.method == "PUT" and "grow.ipynb" in reply.url):
        page.keyboard.press("Control+s")
    jupyter.end_kernels()

    page.goto("about:blank")
    page.route("**/api/sessions*", refuse_new_kernels)
    page.goto(jupyter.address("grow.ipynb"))
    reopened = page.locator(".jp-OutputArea .rlm")
    expect(reopened.locator(".badge")).to_contain_text("answered")
    expect(reopened.locator(".answer")).to_contain_text("the <b>butler</b>")
    assert jupyter.api("sessions") == []
    page.locator(".jp-Dialog button").first.click()  # Lab says that it could not start a kernel
    page.screenshot(path=tmp_path / "reopened.png")
    assert page.title() != "hacked"


def refuse_new_kernels(route: Route) -> None:
    route.abort() if route.request.method == "POST" else route.continue_()


def test_the_stop_button_stops_the_run_and_keeps_the_tree(jupyter: Lab, page: Page, tmp_path: Path) -> None:
    with FakeServer([LOOK, Hang()]) as server:
        jupyter.write("stop.ipynb", *setup(server), "1 + 1")
        ask(page, jupyter, "stop.ipynb")
        output = page.locator(".jp-OutputArea .rlm")
        expect(output.locator("summary", has_text="Iteration 2")).to_be_visible()
        page.locator("[data-command='notebook:interrupt-kernel'], button[title*='Interrupt']").first.click()
        expect(output.locator(".badge")).to_contain_text("stopped")
    expect(page.locator(".jp-OutputArea", has_text="The run was stopped; its journal is").first).to_be_visible()
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea-executeResult").last).to_contain_text("2")
    page.screenshot(path=tmp_path / "stopped.png")


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


def test_a_person_chooses_the_rlm_kernel_and_asks_by_hand(jupyter: Lab, page: Page, tmp_path: Path) -> None:
    child = "```repl\nanswer['content'] = llm_query(context[:13])\nanswer['ready'] = True\n```"
    (jupyter.folder / "book.txt").write_text("It was the butler. " * 1000)
    page.goto(f"{jupyter.url}/lab?token=test&reset")
    card = page.locator(".jp-LauncherCard[title='RLM']").first
    icon = card.locator("img, svg").first
    expect(icon).to_be_visible()
    page.wait_for_function("icon => icon.tagName == 'svg' || icon.naturalWidth > 0", arg=icon.element_handle())
    assert "kernelspecs/rlm/logo" in (icon.get_attribute("src") or ""), "its own, not the letter that Lab draws"
    page.screenshot(path=tmp_path / "launcher.png")
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
    expect(outputs.locator(".rlm .badge")).to_contain_text("done")
    expect(outputs.locator(".rlm")).to_contain_text("child RLM")
    expect(outputs).to_contain_text("The butler.")
    expect(outputs.locator(".jp-OutputArea-executeResult")).to_contain_text("IT WAS HIM")
    call = outputs.locator(".rlm summary", has_text="Who was it?")
    call.click()
    expect(outputs.locator(".rlm pre", has_text="Who was it? It was the butler.")).to_be_visible()
    page.screenshot(path=tmp_path / "by-hand.png")
