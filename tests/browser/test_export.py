"""The one-file page in a real browser, from disk: seen, searched, walked with keys, and closed to what it holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.html import to_html
from tests.browser.lab import FLAGS, chromium
from tests.events.stories import START, began, call, cell, ended, mystery, numbered, output, turn
from tests.sinks import hostile

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CALLS = 10_000
WATCH = """
window.__tasks = [];
new PerformanceObserver((list) => { for (const task of list.getEntries()) __tasks.push(task.duration); })
  .observe({ type: "longtask", buffered: true });
window.__refused = [];
document.addEventListener("securitypolicyviolation", (event) => __refused.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclasses.dataclass
class Opened:
    """A page, and what happened on it that should not."""

    page: Page
    folder: Path
    wrong: list[str]

    def open(self, stream: list[Event], name: str = "run.html") -> Page:
        file = self.folder / name
        file.write_text(to_html(stream), encoding="utf-8")
        self.page.goto(file.as_uri())
        expect(self.page.locator(".row").first).to_be_visible()
        return self.page

    def row(self, text: str) -> Any:
        return self.page.get_by_role("treeitem", name=text)


@pytest.fixture
def opened(chrome: Browser, tmp_path: Path) -> Iterator[Opened]:
    context = chrome.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.add_init_script(WATCH)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: asked.url.startswith("file:") or wrong.append(f"request: {asked.url[:99]}"))
    yield Opened(page, tmp_path, wrong)
    assert wrong == []
    context.close()


def detail(page: Page) -> Any:
    return page.locator(".detail")


def longest_task(page: Page) -> float:
    """Milliseconds of the longest time the page could not answer."""
    return float(page.evaluate("Math.max(0, ...__tasks)"))


def many(calls: int = CALLS) -> list[Event]:
    """Calls of one cell, 16 at a time; every 1000th is about a valve, the 500th of each thousand fails."""
    begun = numbered(*began("Which reports mention a leak?"), *turn(1, "All of them.\n```repl\nask()\n```"))
    at = begun[-1].time
    stream: list[Event] = [*begun, events.CellStarted(iteration=1, cell=1, code="ask()", time=at)]
    pairs = []
    for n in range(1, calls + 1):
        prompt = f"Does report {n} mention a leak?\n" + f"pressure {n} nominal, " * 100
        fails = n % 1000 == 500
        usage = Usage() if fails else Usage(1, 500 + n, 10, cost=n / 1e6)
        asked, answered = call(n, prompt, "", usage=usage)
        text = "the provider is busy" if fails else "Yes: the brass valve." if n % 1000 == 0 else "No."
        finish = {"text": text, "status": "error" if fails else "ok", "time": at + n / 16 + 0.9}
        pairs += [dataclasses.replace(asked, time=at + n / 16), dataclasses.replace(answered, **finish)]
    stream += sorted(pairs, key=lambda event: event.time)
    end = at + calls / 16 + 2
    stream.append(events.CellFinished(cell=1, status="ok", seconds=end - at, time=end))
    stream += [dataclasses.replace(event, time=end) for event in ended("Ten of them.")]
    return stream


def test_a_run_is_shown_with_its_tree_its_figures_and_the_texts_of_the_chosen_row(opened: Opened) -> None:
    page = opened.open(mystery())
    expect(page.get_by_role("heading", level=1)).to_have_text("Which chapter first names the murderer, and how?")
    expect(page.locator(".badge").first).to_have_text("answered")
    expect(page.get_by_role("region", name="Answer")).to_contain_text("The butler, in chapter 3")
    assert page.locator(".row").count() == 24
    child = opened.row("Child 0.12")
    assert child.locator(".tokens").all_inner_texts() == ["1,420", "1,000"]
    child.click()
    expect(detail(page).get_by_role("heading", level=2)).to_have_text("Child 0.12 answered")
    expect(detail(page).locator("pre[aria-label='Question']")).to_have_text("Whose alibi is false?")
    opened.row("Call 0.7,").click()
    expect(detail(page).locator("pre.error")).to_have_text("429: the provider is busy")
    detail(page).get_by_role("button", name="Turn 2").click()
    expect(detail(page).locator("pre.prose").first).to_contain_text("Now I ask about **every chapter** at once")
    expect(detail(page).locator(".figures tbody tr").nth(1)).to_have_text("Tokens1,0006,620")


def test_the_tree_is_walked_folded_and_left_with_keys_alone(opened: Opened) -> None:
    page = opened.open(mystery())
    tree = page.get_by_role("tree")
    tree.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    chosen = page.locator("[aria-selected=true]")
    expect(chosen).to_have_attribute("aria-label", re.compile(r"Turn 2, Now I ask about .*, 6,620 tokens, 1\.5 s"))
    assert tree.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert [chosen.get_attribute(f"aria-{name}") for name in ("level", "posinset", "setsize")] == ["2", "2", "4"]
    expect(chosen).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowLeft")
    expect(chosen).to_have_attribute("aria-expanded", "false")
    expect(opened.row("Call 0.1,")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(chosen).to_have_attribute("aria-label", re.compile(r"Cell 2, names = llm_.*, 5,620 tokens, 2\.3 s"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(chosen).to_have_attribute("aria-level", "2")
    page.keyboard.press("End")
    expect(chosen).to_contain_text("2 of 14 files were skipped.")
    page.keyboard.press("Enter")
    expect(detail(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(tree).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_search_goes_through_prompts_replies_code_and_outputs_and_back(opened: Opened) -> None:
    page = opened.open(mystery())
    page.keyboard.press("/")
    page.keyboard.type("PANTRY")
    expect(page.locator(".found")).to_have_text("1 of 2 rows")
    expect(detail(page).locator("mark.here")).to_have_text("pantry")
    chosen = page.locator("[aria-selected=true]")
    expect(chosen).to_contain_text("print(llm_query(context))")
    page.keyboard.press("Enter")
    expect(page.locator(".found")).to_have_text("2 of 2 rows")
    expect(chosen).to_contain_text("Call 0.12.1")
    page.keyboard.press("Enter")
    expect(page.locator(".found")).to_have_text("1 of 2 rows")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".found")).to_have_text("2 of 2 rows")
    page.get_by_role("searchbox").fill("re.split(r")
    expect(chosen).to_contain_text("Turn 1")
    expect(page.locator(".found")).to_have_text("1 of 2 rows")
    page.get_by_role("searchbox").fill("nowhere to be found")
    expect(page.locator(".found")).to_have_text("Nothing found")
    page.keyboard.press("Escape")
    expect(page.locator(".found")).to_have_text("")
    expect(page.locator("mark")).to_have_count(0)


def test_ten_thousand_calls_open_scroll_sort_and_are_searched_without_a_stall(opened: Opened) -> None:
    page = opened.open(many())
    page.wait_for_function("performance.getEntriesByName('open').length === 1")
    assert page.locator("script.data[data-form=gzip]").count() == 0, "what was read is gone"
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator(".row").count() < 100
    page.get_by_role("tree").focus()
    page.keyboard.press("End")
    expect(opened.row(f"Call 0.{CALLS},")).to_be_visible()
    assert page.locator(".row").count() < 100
    page.get_by_role("tree").evaluate("(tree) => { tree.scrollTop = tree.scrollHeight / 2; }")
    expect(opened.row("Call 0.5000,")).to_be_visible()

    page.get_by_role("searchbox").fill("brass valve")
    expect(page.locator(".found")).to_have_text("1 of 10 rows")
    page.get_by_role("button", name="Next place").click()
    expect(page.locator("[aria-selected=true]")).to_contain_text("Call 0.2000")
    page.locator(".show").select_option("found")
    assert page.locator(".row b").all_inner_texts() == [f"Call 0.{n}000" for n in range(1, 11)]
    page.locator(".show").select_option("failed")
    assert page.locator(".row b").all_inner_texts() == ["Call 0.500", *(f"Call 0.{n}500" for n in range(1, 10))]
    page.locator(".show").select_option("all")
    page.locator(".order").select_option("cost")
    page.get_by_role("tree").focus()
    page.keyboard.press("Home")
    names = page.locator(".row b").all_inner_texts()
    assert names[:6] == ["Run", "Turn 1", "Cell 1", "Call 0.10000", "Call 0.9999", "Call 0.9998"]
    assert longest_task(page) < 1000


def test_the_timeline_leads_to_the_rows_and_can_be_looked_at_closely(opened: Opened) -> None:
    page = opened.open(many(320))
    expect(page.locator(".legend")).to_contain_text("320 calls, up to 15 at once")
    canvas = page.locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.move(*middle)
    tip = page.locator(".timeline .tip")
    expect(tip).to_contain_text("Call 0.")
    named = tip.locator("b").inner_text()
    page.mouse.down()
    page.mouse.up()
    expect(detail(page).get_by_role("heading", level=2)).to_contain_text(named)
    expect(page.locator("[aria-selected=true]")).to_contain_text(named)
    page.mouse.down()
    page.mouse.move(middle[0] + 100, middle[1], steps=3)
    page.mouse.up()
    expect(page.get_by_role("button", name="Show all of it")).to_be_visible()
    page.get_by_role("button", name="Show all of it").click()
    expect(page.get_by_role("button", name="Show all of it")).to_be_hidden()


def test_a_text_of_five_million_characters_is_paged_searched_and_copied_whole(opened: Opened) -> None:
    text = "All quiet in the pantry tonight.\n" * 160_000 + "Except for 😀 the butler\u202e."
    page = opened.open(numbered(*began(), *turn(1, text), *ended("a")))
    opened.row("Turn 1").click()
    pages = detail(page).locator(".pages").first
    expect(pages).to_contain_text("page 1 of 265")
    assert detail(page).locator("pre").first.evaluate("(pre) => pre.textContent.length") == 20_000
    detail(page).get_by_role("button", name="Next page").click()
    expect(pages).to_contain_text("page 2 of 265")
    page.get_by_role("searchbox").fill("the butler")
    expect(detail(page).locator("mark.here")).to_have_text("the butler")
    expect(pages).to_contain_text("page 265 of 265")
    detail(page).get_by_role("button", name="Copy: Reply").click()
    expect(detail(page).get_by_role("button", name="Copy: Reply")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text.replace("\u202e", "⟨U+202E⟩")
    assert longest_task(page) < 1000


TRAPS = {
    **hostile.TEXTS,
    "canary": "<img src=x onerror=window.canary=1><script>window.canary=1</script>${window.canary=1}{{canary=1}}",
    "data": "</script><script>window.canary=1</script>\\u003c/script>\",window.canary=1,\"",
    "names": "__proto__",
}  # fmt: skip


def test_nothing_that_a_run_holds_runs_or_asks_for_anything(opened: Opened) -> None:
    for name, text in TRAPS.items():
        page = opened.open(hostile.run(text), "trap.html")
        page.get_by_role("button", name="Unfold all").click()
        page.get_by_role("tree").focus()
        page.keyboard.press("Home")
        for _ in range(page.locator(".row").count()):
            expect(detail(page).get_by_role("heading", level=2)).to_be_visible()
            page.keyboard.press("ArrowDown")
        page.get_by_role("searchbox").fill(text[:40])
        expect(page.locator(".found")).not_to_have_text("Searching …")
        assert page.evaluate("[window.canary, document.images.length, __refused]") == [None, 0, []], name
        assert page.title() != "hacked"
        assert opened.wrong == [], name


def test_the_policy_would_stop_what_got_in(opened: Opened) -> None:
    """Attacks that the page's own code does not allow: even these come to nothing, so the policy is in force."""
    page = opened.open(mystery())
    beacons: list[Any] = []
    page.on("requestfailed", lambda asked: beacons.append(asked))
    page.evaluate(
        """() => {
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/beacon.png";
          document.body.append(image);
          const sheet = document.createElement("style");
          sheet.textContent = "body { display: none }";
          document.head.append(sheet);
        }"""
    )
    page.wait_for_function("__refused.length >= 2")
    assert {"img-src", "style-src-elem"} <= set(page.evaluate("__refused"))
    assert page.evaluate(
        """() => {
          try { document.body.innerHTML = "<b>markup</b>"; return "it ran"; } catch (error) { return error.name; }
        }"""
    ) == "TypeError"  # fmt: skip
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "csp" in str(beacons[0].failure)
    told = ("Content Security Policy", "TrustedHTML", "beacon.png")
    opened.wrong[:] = [line for line in opened.wrong if not any(word in line for word in told)]


def test_right_to_left_text_stays_in_its_own_place(opened: Opened) -> None:
    opened.open(numbered(*began(), *turn(1, "x", *cell("c", *call(1, "שלום עולם", "مرحبا"))), *ended("a")))
    row = opened.row("Call 0.1")
    places = [row.locator(part).bounding_box()["x"] for part in ("b", ".said", ".came", ".tokens >> nth=0")]
    assert places == sorted(places)


def test_without_javascript_the_question_the_answer_and_the_totals_are_there(chrome: Browser, tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    file.write_text(to_html(mystery()), encoding="utf-8")
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    expect(page.locator("h1")).to_have_text("Which chapter first names the murderer, and how?")
    expect(page.locator(".answer")).to_be_visible()
    expect(page.locator(".totals")).to_contain_text("8,620")
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator("#app")).to_be_hidden()
    context.close()


def test_it_is_dark_where_the_reader_wants_it_dark(opened: Opened) -> None:
    page = opened.open(mystery())
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light


def test_pictures_of_cells_are_shown(opened: Opened) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    plot = events.CellOutput(cell=1, kind="display_data", data={"image/png": pixel, "text/plain": "<Figure>"})
    page = opened.open(numbered(*began(), *turn(1, "x", *cell("plot()", plot, output("done"))), *ended("a")))
    opened.row("Cell 1").click()
    assert detail(page).locator("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1


def test_a_run_that_still_goes_on_is_a_page_too(opened: Opened) -> None:
    page = opened.open([event for event in mystery() if event.time < START + 2.05])
    expect(page.locator(".badge").first).to_have_text("running")
    expect(opened.row("Call 0.4, running")).to_be_visible()
