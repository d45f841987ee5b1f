"""An exported notebook in real JupyterLab: it is shown, and nothing that a model wrote in it has an effect."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Dialog, Page, expect

from rlm_kernel.exports.notebook import to_notebook
from tests.browser.lab import Lab, browser
from tests.events import stories
from tests.exports.test_notebook import TEXTS
from tests.sinks import hostile

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

FOUND = """() => {
  const every = (place, what) => [...place.querySelectorAll(what)];
  const all = (places, what) => every(document, places).flatMap((place) => every(place, what));
  const words = '.jp-RenderedMarkdown', outputs = '.jp-OutputArea-output', both = `${words}, ${outputs}`;
  const handlers = (element) => [...element.attributes].some((one) => one.name.startsWith('on'));
  const addresses = (places) => all(places, 'a').map((link) => link.getAttribute('href')).filter((href) => href);
  return {
    active: all(both, 'script, iframe, object, embed, form, svg, mjx-container').length,
    links: addresses(words).filter((href) => !href.startsWith('#')),
    schemes: addresses(outputs).filter((href) => !/^https?:/.test(href)),
    images: all(both, 'img').map((image) => image.src).filter((source) => !source.startsWith('data:')),
    handlers: all(both, '*').filter(handlers).length,
  };
}"""
"""What could act or load. JupyterLab itself makes links of addresses in plain outputs."""


@pytest.fixture
def page() -> Iterator[Page]:
    """A page; what a script would say in a dialog fails the test."""
    said: list[str] = []

    def listen(dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            said.append(dialog.message)
        dialog.accept()

    with browser() as opened:
        opened.on("dialog", listen)
        yield opened
    assert said == []


def shown(jupyter: Lab, page: Page, name: str, book: nbformat.NotebookNode) -> None:
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, jupyter.folder / name)
    page.goto(jupyter.address(name))
    expect(page.locator(".jp-RenderedMarkdown h1").first).to_be_visible()


def test_a_run_is_shown_with_its_answer_its_cells_and_its_calls(jupyter: Lab, page: Page) -> None:
    shown(jupyter, page, "mystery.ipynb", to_notebook(stories.mystery()))
    expect(page.locator(".jp-RenderedMarkdown h1")).to_contain_text("Which chapter first names the murderer, and how?")
    expect(page.locator(".jp-RenderedMarkdown strong", has_text="every chapter")).to_be_visible()
    expect(page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")).to_contain_text("11 chapters")
    calls = page.locator(".jp-RenderedMarkdown details", has_text="12 sub-calls").first
    reply = calls.locator("pre", has_text="He was in the pantry.").last
    expect(reply).to_be_hidden()
    for folded in (
        "12 sub-calls",
        "0.12 Whose alibi",
        "Iteration 1 The alibis",
        "1 sub-call",
        "0.12.1 Check the alibi",
    ):
        calls.locator("summary", has_text=folded).last.click()
    expect(reply).to_be_visible()


@pytest.mark.parametrize(
    "names", [("links", "mathematics", "attributes", "markup"), ("tags", "blank lines", "blocks")], ids=" ".join
)
def test_nothing_in_it_has_an_effect(names: tuple[str, ...], jupyter: Lab, page: Page) -> None:
    text = "\n\n".join(TEXTS[name] for name in names)
    shown(jupyter, page, f"{names[0]}.ipynb", to_notebook(hostile.run(text)))
    for folded in page.locator(".jp-RenderedMarkdown > details > summary").all():
        folded.click()
    assert page.evaluate(FOUND) == {"active": 0, "links": [], "schemes": [], "images": [], "handlers": 0}


def test_the_search_for_effects_finds_them(jupyter: Lab, page: Page) -> None:
    source = "# A heading\n\n[a](https://x.example) ![b](https://x.example/b.png) $x$"
    shown(jupyter, page, "open.ipynb", nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)]))
    expect(page.locator("mjx-container")).to_be_visible()
    found = page.evaluate(FOUND)
    assert found["active"] == 1
    assert found["links"] == ["https://x.example"]
    assert len(found["images"]) == 1
