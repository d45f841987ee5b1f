"""What led to an answer, and what of the input was read: in JupyterLab, in the saved notebook, on the exported page."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import Event
from rlm_kernel.exports.html import to_html
from rlm_kernel.provenance import for_tree
from rlm_kernel.provenance.for_tree import Reading
from rlm_magic import widget
from tests.browser.lab import Lab, run_cell
from tests.browser.test_widget import WATCH, ask, row, save, scripted, setup, slowest
from tests.events.stories import began, call, cell, ended, numbered, turn
from tests.providers.fake_servers import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

BOOK = "' '.join(f'On day {n} there were {n * n} gulls over the pier.' for n in range(DAYS))"
ASK = (
    "I ask about a part, twice.\n```repl\nunused = 1\nsame = context[20_000:40_000]\n"
    "replies = [llm_query(f'{word}? ' + same) for word in ('Who', 'Where')]\n"
    "replies.append(llm_query('And? ' + context[-500:]))\n```"
)
DONE = "It is settled.\n```repl\nanswer['content'] = f'{replies[0]} did it.'\nanswer['ready'] = True\n```"
HOSTILE = "</script><img src=x onerror=\\\"document.title='hacked'\\\">"


def replied(prompt: str) -> str:
    return "The butler" if prompt.startswith("Who") else "nothing of that kind"


def strip(tree: Locator, nth: int = 0) -> Locator:
    return tree.get_by_role("slider").nth(nth)


def click_at(page: Page, strip: Locator, share: float) -> None:
    """Click at a place of a strip, from 0 to 1."""
    box = strip.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 8)


def check_both(page: Page, tree: Locator) -> None:
    """Go through what a reader can do, with the pointer and with keys."""
    why = tree.get_by_role("button", name="What led to this answer?")
    expect(why).to_have_attribute("aria-pressed", "false")
    tree.locator(".answer").click()
    expect(why).to_have_attribute("aria-pressed", "true")
    expect(tree.get_by_role("treeitem")).to_have_count(5)
    expect(row(tree, "Call 0.1, quoted")).to_have_attribute("aria-selected", "true")
    expect(row(tree, "Cell 1, variable")).to_be_visible()
    expect(row(tree, "Cell 2, answers")).to_be_visible()
    expect(tree.locator(".led [role=status]")).to_have_text(
        "2 cells and 3 calls; the answer quotes 1 of these calls. Only these rows are shown now."
    )
    tree.locator(".show").select_option("all")
    expect(why).to_have_attribute("aria-pressed", "false")
    why.focus()
    page.keyboard.press("Enter")
    expect(tree.locator(".show")).to_have_value("led")
    page.keyboard.press("Enter")
    expect(tree.locator(".show")).to_have_value("all")
    expect(tree.get_by_role("region", name="Details of the chosen row")).to_contain_text("Its reply is in the answer")

    expect(tree.get_by_role("region", name="Input")).to_contain_text(re.compile(r"% of [\d,]+ characters were read"))
    click_at(page, strip(tree), 30_000 / 46_000)
    expect(tree.locator(".show")).to_have_value("read")
    expect(tree.get_by_role("treeitem")).to_have_count(2)
    expect(row(tree, "Call 0.1")).to_have_attribute("aria-selected", "true")
    expect(tree.locator(".marks")).to_have_text(
        "Marked below the strip: what Call 0.1 read between characters 20,000 and 40,000."
    )
    strip(tree).focus()
    page.keyboard.press("End")
    expect(strip(tree)).to_have_attribute("aria-valuetext", re.compile("Call 0.3"))
    expect(tree.locator(".input .tip")).to_contain_text("Call 0.3")
    page.keyboard.press("Enter")
    expect(row(tree, "Call 0.3")).to_have_attribute("aria-selected", "true")
    strip(tree).focus()
    page.keyboard.press("ArrowLeft")  # the root model has seen the last characters in the preview
    page.keyboard.press("ArrowLeft")
    expect(strip(tree)).to_have_attribute("aria-valuetext", re.compile("no model read this"))
    page.keyboard.press("Enter")
    expect(tree.locator(".input [role=status]")).to_contain_text("no model read this")
    expect(row(tree, "Call 0.3")).to_have_attribute("aria-selected", "true")
    tree.locator(".show").select_option("all")


def test_the_answer_and_the_strip_lead_to_rows_also_in_the_saved_notebook_and_on_the_page(
    jupyter: Lab, page: Page
) -> None:
    with FakeServer(scripted([ASK, DONE], replied)) as server:
        load, book, line = setup(server, BOOK.replace("DAYS", "1_000"))
        line = line.replace("--into verdict", "--result found")
        jupyter.write("led.ipynb", load, book, line, "open('led.html', 'w').write(found.export('html'))")
        tree = ask(page, jupyter, "led.ipynb")
        expect(tree.locator(".badge").first).to_have_text("answered")
    check_both(page, tree)
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea-executeResult").last).to_be_visible()
    save(page, "led.ipynb")
    jupyter.end_kernels()

    page.goto("about:blank")
    page.goto(jupyter.address("led.ipynb"))
    expect(tree.locator(".badge").first).to_have_text("answered")
    check_both(page, tree)
    expect(page.locator(".rlm-saved")).to_be_hidden()

    page.goto((jupyter.folder / "led.html").as_uri())
    check_both(page, page.locator("body.rlm-calltree"))


def test_a_large_input_is_compared_when_asked_for_and_one_that_has_changed_is_a_line(jupyter: Lab, page: Page) -> None:
    write = "from pathlib import Path\n_ = Path('big.txt').write_text(book)"
    with FakeServer(scripted([ASK, DONE, ASK, DONE], replied)) as server:
        load, book, line = setup(server, BOOK.replace("DAYS", "60_000"))
        changed = line.replace("--context book", "--context big.txt")
        jupyter.write("big.ipynb", load, book, line, write, changed, "_ = Path('big.txt').write_text('another')")
        trees = ask(page, jupyter, "big.ipynb")
        tree = trees.first
        expect(tree.locator(".badge").first).to_have_text("answered")
        expect(tree.get_by_role("slider")).to_have_count(0)
        tree.get_by_role("button", name="Show what was read").click()
        expect(strip(tree)).to_be_visible()
        expect(tree.get_by_role("button", name="Show what was read")).to_be_hidden()
        for index in (3, 4):
            run_cell(page, index)
        expect(trees.nth(1).locator(".badge").first).to_have_text("answered")
        run_cell(page, 5)
        expect(page.locator(".jp-InputPrompt").nth(5)).to_have_text("[6]:")
        trees.nth(1).get_by_role("button", name="Show what was read").click()
        expect(trees.nth(1).get_by_role("region", name="Input")).to_contain_text("has changed since the run began")
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()
    save(page, "big.ipynb")
    jupyter.end_kernels()

    page.goto("about:blank")
    page.goto(jupyter.address("big.ipynb"))
    expect(strip(tree)).to_be_visible()
    click_at(page, strip(tree), 30_000 / 2_900_000)
    expect(row(tree, "Call 0.1")).to_have_attribute("aria-selected", "true")


def test_names_of_documents_are_only_text_and_where_nothing_is_known_that_is_said(jupyter: Lab, page: Page) -> None:
    look = "```repl\nprint(llm_query('Who? ' + list(context.values())[0][:5000]))\n```"
    nameless = "```repl\nglobals()['ans' + 'wer'].update(content='It was nobody.', ready=True)\n```"
    with FakeServer(scripted([look, nameless], replied)) as server:
        load, book, line = setup(server, f'{{"{HOSTILE}": {BOOK.replace("DAYS", "500")}, "b": "x " * 500}}')
        line = line.replace("--into verdict", "--result found")
        jupyter.write("names.ipynb", load, book, line, "open('names.html', 'w').write(found.export('html'))")
        tree = ask(page, jupyter, "names.ipynb")
        expect(tree.locator(".badge").first).to_have_text("answered")
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea-executeResult").last).to_be_visible()
    for each in (tree, page.locator("body.rlm-calltree")):
        expect(each.get_by_role("slider")).to_have_count(2)
        expect(each.locator(".strip-name").first).to_contain_text("</script><img src=x onerror=")
        expect(each.locator(".input img, .input script, .input a, .input form")).to_have_count(0)
        strip(each).hover()
        each.get_by_role("button", name="What led to this answer?").click()
        expect(each.locator(".led [role=status]")).to_have_text(
            "Nothing in the cells' code shows what led to this answer."
        )
        expect(each.locator(".show")).to_have_value("all")
        assert page.title() != "hacked"
        page.goto((jupyter.folder / "names.html").as_uri())


class InMemory(Reading):
    """Reads an input that is in no journal."""

    def __init__(self, text: str) -> None:
        super().__init__(Path("/nowhere"))
        self._text = text
        self.apply(events.InputKept(load={"name": "context_0", "kind": "text"}, path="x", bytes=len(text)))

    def _inputs(self, tree: Tree) -> dict[str, Any]:
        return {"context_0": self._text}


def many(text: str, calls: int) -> list[Event]:
    size = len(text) // calls
    asked = [
        event for n in range(calls) for event in call(n + 1, f"Who? {text[n * size : n * size + 2 * size]}", f"man {n}")
    ]
    code = "answer['content'] = str(llm_query_batched(parts))"
    return numbered(*began(), *turn(1, "All.", *cell(code, *asked)), *ended("man 77"))


def test_ten_thousand_calls(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"On day {n} there were {n * n} gulls over the pier." for n in range(100_000))
    stream, started = many(text, 10_000), time.perf_counter()
    content = to_html(stream, InMemory(text))
    page.goto("about:blank")
    with monkeypatch.context() as without:
        without.setattr(for_tree.Reading, "bytes", 0)
        middle = time.perf_counter()
        bare = to_html(stream, InMemory(text))
        ended_at = time.perf_counter()
    assert len(content) - len(bare) < 300_000
    (tmp_path / "many.html").write_text(content)
    page.goto((tmp_path / "many.html").as_uri())
    body = page.locator("body.rlm-calltree")
    expect(strip(body)).to_be_visible()
    page.evaluate(WATCH)
    strip(body).focus()
    for key in ("ArrowRight", "PageUp", "End", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    for share in (0.1, 0.5, 0.9):
        click_at(page, strip(body), share)
    expect(body.locator(".show")).to_have_value("read")
    body.locator(".answer").click()
    expect(row(body, "Call 0.78, quoted")).to_have_attribute("aria-selected", "true")
    body.get_by_role("tree").focus()
    for key in ("ArrowDown", "End", "Home", "PageDown"):
        page.keyboard.press(key)
    assert body.locator(".row").count() < 60
    # With `pytest -s`; docs/calltree.md has the figures.
    print(f"seconds to write the page: {middle - started:.2f}, without the strip {ended_at - middle:.2f};")
    print(f"characters more {len(content) - len(bare):,}; in a widget's state at most {widget.SAVED_CHARACTERS:,};")
    print("milliseconds of the slowest interaction and of the longest task:", slowest(page))
