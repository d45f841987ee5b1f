"""Background runs in real JupyterLab: their trees grow while other cells run, are stopped, and outlive the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import SECONDS, Lab, open_notebook, run_cell
from tests.providers.fake_servers import FakeServer, Hang, Request
from tests.providers.items import Item

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LOOK = "I look at the book first.\n```repl\nprint(context[:60])\n```"
ASK = "Now I ask.\n```repl\nreply = llm_query('slow ' + context[:60])\nprint(reply)\n```"
DONE = "That settles it.\n```repl\nanswer['content'] = reply\nanswer['ready'] = True\n```"
BEGIN = ("%load_ext rlm_magic", "book = 'It was the butler. ' * 1000")


class Slow:
    """A server's script: each run's call waits until it may be answered."""

    def __init__(self, answer: str = "him") -> None:
        self.gate = threading.Event()
        self._answer = answer

    def __call__(self, request: Request) -> Item:
        messages = request.body["messages"]
        if len(messages) == 1:
            return self._answer if self.gate.wait(SECONDS) else Hang()
        return [LOOK, ASK, DONE][sum(message["role"] == "assistant" for message in messages)]


def question(server: FakeServer, line: str = "--into verdict") -> str:
    return f"%%rlm --background --context book {line} --model openai/any --base-url {server.openai_url}\nWho was it?"


def opened(page: Page, jupyter: Lab, name: str, *cells: str) -> None:
    """Open a notebook with these cells below the first two, which have run."""
    jupyter.write(name, *BEGIN, *cells)
    open_notebook(page, jupyter.address(name))
    run_cell(page, 0)
    run_cell(page, 1)


def cell(page: Page, index: int) -> Locator:
    return page.locator(".jp-CodeCell").nth(index)


def badge(place: Page | Locator) -> Locator:
    return place.locator(".rlm-calltree .badge").first


def row(place: Page | Locator, name: str) -> Locator:
    return place.locator(".rlm-calltree").get_by_role("treeitem", name=name)


def save(page: Page, name: str) -> None:
    with page.expect_response(lambda reply: reply.request.method == "PUT" and name in reply.url):
        page.keyboard.press("Control+s")


def test_the_next_cells_run_while_the_tree_grows_and_then_the_name_is_there(
    jupyter: Lab, page: Page, tmp_path: Path
) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        opened(page, jupyter, "background.ipynb", question(server), "print('meanwhile', 6 * 7)", "print(verdict)")
        run_cell(page, 2)
        expect(cell(page, 2).locator(".jp-InputPrompt")).to_have_text("[3]:")
        run_cell(page, 3)
        expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("meanwhile 42\n")
        expect(row(cell(page, 2), "Call 0.1, running")).to_be_visible()
        expect(badge(cell(page, 2))).to_have_text("running")
        run_cell(page, 4)
        expect(cell(page, 4).locator(".jp-OutputArea-output")).to_contain_text("name 'verdict' is not defined")
        page.screenshot(path=tmp_path / "running.png")
        slow.gate.set()
        expect(badge(cell(page, 2))).to_have_text("answered")
        expect(cell(page, 2).locator(".answer").first).to_have_text("him")
        run_cell(page, 4)
        expect(cell(page, 4).locator(".jp-OutputArea-output")).to_have_text("him\n")
        page.screenshot(path=tmp_path / "answered.png")
    expect(page.locator(".rlm-calltree")).to_have_count(1)
    save(page, "background.ipynb")
    saved = (jupyter.folder / "background.ipynb").read_text()
    html = json.loads(saved)["cells"][2]["outputs"][1]["data"]["text/html"]
    assert "answered" in "".join(html)
    jupyter.end_kernels()
    page.goto("about:blank")
    page.goto(jupyter.address("background.ipynb"))
    expect(badge(page)).to_have_text("answered")


def test_one_of_two_is_stopped_by_its_button(jupyter: Lab, page: Page, tmp_path: Path) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        opened(page, jupyter, "two.ipynb", question(server, "-o one"), question(server, "-o two"), "print(two)")
        run_cell(page, 2)
        run_cell(page, 3)
        for index in (2, 3):
            expect(row(cell(page, index), "Call 0.1, running")).to_be_visible()
        cell(page, 2).get_by_role("button", name="Stop run").first.click()
        expect(badge(cell(page, 2))).to_have_text("stopped")
        expect(cell(page, 2).locator(".jp-OutputArea")).to_contain_text("The run was stopped. Its journal is")
        expect(cell(page, 2).locator(".jp-OutputArea")).to_contain_text("one was not set.")
        expect(badge(cell(page, 3))).to_have_text("running")
        slow.gate.set()
        expect(badge(cell(page, 3))).to_have_text("answered")
        cell(page, 2).locator(".jp-OutputArea-output").last.scroll_into_view_if_needed()
        page.screenshot(path=tmp_path / "stopped.png")
        run_cell(page, 4)
        expect(cell(page, 4).locator(".jp-OutputArea-output")).to_have_text("him\n")


def test_a_page_that_is_reloaded_in_mid_run_has_the_live_tree_again(jupyter: Lab, page: Page, tmp_path: Path) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        opened(page, jupyter, "reload.ipynb", question(server), "print(verdict)")
        run_cell(page, 2)
        expect(row(page, "Turn 1")).to_be_visible()
        save(page, "reload.ipynb")
        page.reload()
        expect(row(page, "Call 0.1, running")).to_be_visible()
        expect(badge(page)).to_have_text("running")
        expect(page.get_by_role("button", name="Stop run").first).to_be_visible()
        page.screenshot(path=tmp_path / "reloaded.png")
        slow.gate.set()
        expect(badge(page)).to_have_text("answered")
        run_cell(page, 3)
        expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("him\n")


def test_a_cell_that_is_run_again_shows_the_newer_run_only(jupyter: Lab, page: Page) -> None:
    old, new = Slow("an older answer"), Slow("a newer answer")
    with FakeServer(lambda request: script[-1](request)) as server:
        script = [old]
        opened(page, jupyter, "again.ipynb", question(server), "print(verdict)")
        run_cell(page, 2)
        expect(row(page, "Call 0.1, running")).to_be_visible()
        script.append(new)
        run_cell(page, 2)
        expect(page.locator(".rlm-calltree")).to_have_count(1)
        expect(row(page, "Call 0.1, running")).to_be_visible()
        new.gate.set()
        expect(badge(page)).to_have_text("answered")
        old.gate.set()
        page.wait_for_timeout(2000)
        expect(page.locator(".rlm-calltree .answer")).to_have_text(["a newer answer"])
        run_cell(page, 3)
        expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("a newer answer\n")
    save(page, "again.ipynb")
    saved = json.loads((jupyter.folder / "again.ipynb").read_text())
    states = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert sum("saved" in each["state"] for each in states.values()) == 1, "the older run's tree is in no cell"


@pytest.fixture
def configured(jupyter: Lab) -> Iterator[Lab]:
    yield jupyter
    jupyter.set("kernels-settings")


def test_where_messages_wait_for_the_cell_the_stop_button_interrupts_no_other_cell(configured: Lab, page: Page) -> None:
    configured.set("kernels-settings", commsOverSubshells="disabled")
    busy = "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\nprint('to its end')"
    with FakeServer(Slow()) as server:
        opened(page, configured, "busy.ipynb", question(server), busy)
        run_cell(page, 2)
        expect(row(page, "Call 0.1, running")).to_be_visible()
        run_cell(page, 3)
        page.get_by_role("button", name="Stop run").first.click()
        expect(page.locator(".told").first).to_contain_text("The kernel is busy with another cell.")
        expect(badge(page)).to_have_text("running")
        (configured.folder / "go").touch()
        expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("to its end\n")
        expect(badge(page)).to_have_text("stopped")


def test_cells_are_approved_while_other_cells_run(jupyter: Lab, page: Page) -> None:
    with FakeServer([LOOK, "```repl\nanswer['content'] = 'him'\nanswer['ready'] = True\n```"]) as server:
        opened(page, jupyter, "approve.ipynb", question(server, "--approve"), "print(6 * 7)")
        run_cell(page, 2)
        run_cell(page, 3)
        expect(cell(page, 3).locator(".jp-OutputArea-output")).to_have_text("42\n")
        form = page.locator(".rlm-approve")
        expect(form.locator("strong")).to_have_text("May this run? Cell 1")
        save(page, "approve.ipynb")
        page.reload()
        form.get_by_role("button", name="Run", exact=True).click()
        expect(form.locator("strong")).to_have_text("May this run? Cell 2")
        form.get_by_label("The cell's code").fill("answer['content'] = 'her'\nanswer['ready'] = True")
        form.get_by_role("button", name="Run as changed").click()
        expect(badge(page)).to_have_text("answered")
        expect(page.locator(".rlm-calltree .answer")).to_have_text("her")
