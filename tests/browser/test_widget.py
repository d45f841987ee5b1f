"""The live call tree in real JupyterLab: growing, stopped, reloaded, saved, with 10,000 calls, with hostile texts."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.lab import SECONDS, Lab, open_notebook, run_cell
from tests.providers.fake_servers import FakeServer, Hang, Request
from tests.providers.items import Item

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
LOOK = "I look at the book first.\n```repl\nprint(context[:60])\n```"
ASK = "Now I ask.\n```repl\nreply = llm_query('slow ' + context[:60])\nprint(reply)\n```"
DONE = "That settles it.\n```repl\nanswer['content'] = reply\nanswer['ready'] = True\n```"


def scripted(root: list[str], sub: Callable[[str], Item]) -> Callable[[Request], Item]:
    """A server's script: the root's replies in order, and what a sub-call's prompt is answered."""
    replies = iter(root)

    def reply(request: Request) -> Item:
        return next(replies) if len(request.body["messages"]) > 1 else sub(request.prompt)

    return reply


def setup(server: FakeServer, book: str = "'It was the butler. ' * 1000") -> tuple[str, str, str]:
    line = f"%%rlm --context book --into verdict --model openai/any --base-url {server.openai_url}"
    return "%load_ext rlm_magic", f"book = {book}", f"{line}\nWho was it?"


def ask(page: Page, jupyter: Lab, name: str) -> Locator:
    open_notebook(page, jupyter.address(name))
    for index in range(3):
        run_cell(page, index)
    return page.locator(".rlm-calltree")


def row(tree: Locator, name: str) -> Locator:
    return tree.get_by_role("treeitem", name=name)


def save(page: Page, name: str) -> None:
    with page.expect_response(lambda reply: reply.request.method == "PUT" and name in reply.url):
        page.keyboard.press("Control+s")


def refuse_new_kernels(route: Route) -> None:
    route.abort() if route.request.method == "POST" else route.continue_()


def test_the_tree_grows_is_searched_and_is_there_in_the_saved_notebook(
    jupyter: Lab, page: Page, tmp_path: Path
) -> None:
    gate = threading.Event()

    def reply(prompt: str) -> str:
        assert gate.wait(SECONDS)
        return "the <b>butler</b> </details></script><script>document.title='hacked'</script>"

    with FakeServer(scripted([LOOK, ASK, DONE], reply)) as server:
        jupyter.write("grow.ipynb", *setup(server))
        tree = ask(page, jupyter, "grow.ipynb")
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        expect(tree.locator(".badge").first).to_have_text("running")
        expect(row(tree, "Cell 2, running")).to_be_visible()
        chosen = tree.get_by_label("Details of the chosen row")
        expect(chosen.locator("pre[aria-label=Reply]")).to_contain_text("Now I ask.")
        gate.set()
        expect(tree.locator(".badge").first).to_have_text("answered")
    expect(tree.locator(".answer")).to_contain_text("the <b>butler</b> </details></script><script>")
    expect(page.locator(".rlm-saved")).to_be_hidden()

    row(tree, "Cell 2").click()
    expect(chosen.locator(".code-called")).to_have_text(["llm_query", "print"])
    row(tree, "Turn 2").locator(".twisty").click()
    expect(row(tree, "Call 0.1")).to_have_count(0)
    tree.get_by_role("searchbox").fill("DETAILS")
    expect(tree.locator(".found")).to_contain_text("rows")
    expect(chosen.locator("mark.here")).to_have_text("details")
    tree.get_by_role("tree").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(row(tree, "Turn 1")).to_have_attribute("aria-selected", "true")
    save(page, "grow.ipynb")
    jupyter.end_kernels()

    page.goto("about:blank")
    page.goto(jupyter.address("grow.ipynb"))
    expect(tree.locator(".badge").first).to_have_text("answered")
    row(tree, "Call 0.1").click()
    expect(chosen.locator("pre[aria-label=Reply]")).to_contain_text("the <b>butler</b>")
    expect(tree.get_by_role("button", name="Stop run")).to_be_hidden()
    assert page.title() != "hacked"
    jupyter.end_kernels()

    page.goto("about:blank")
    page.route("**/api/sessions*", refuse_new_kernels)
    page.goto(jupyter.address("grow.ipynb"))
    expect(page.locator(".rlm-saved .answer")).to_contain_text("the <b>butler</b>")
    assert jupyter.api("sessions") == []

    book = jupyter.folder / "grow.ipynb"
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", str(book), "--output-dir", tmp_path], check=True)
    page.goto((tmp_path / "grow.html").as_uri())
    expect(page.locator(".rlm-saved .answer")).to_contain_text("the <b>butler</b>")
    page.locator("summary", has_text="reply = llm_query").click()
    expect(page.locator("summary", has_text="0.1 slow It was the butler.")).to_be_visible()
    assert page.title() != "hacked"


def test_one_call_is_stopped_and_then_the_run(jupyter: Lab, page: Page) -> None:
    batch = "```repl\nreplies = llm_query_batched(['fast', 'slow one', 'slow two'])\n```"
    with FakeServer(scripted([batch], lambda prompt: "done" if prompt == "fast" else Hang())) as server:
        jupyter.write("stop.ipynb", *setup(server), "1 + 1")
        tree = ask(page, jupyter, "stop.ipynb")
        row(tree, "Call 0.2, running").click()
        tree.get_by_role("button", name="Stop call 0.2").click()
        expect(row(tree, "Call 0.2, cancelled, slow one, The call was stopped.")).to_be_visible()
        expect(row(tree, "Call 0.3, running")).to_be_visible()
        expect(tree.locator(".badge").first).to_have_text("running")
        expect(tree.locator(".idle").first).to_contain_text("idle")
        tree.get_by_role("button", name="Stop run").first.click()
        expect(tree.locator(".badge").first).to_have_text("stopped")
    expect(page.locator(".jp-OutputArea", has_text="The run was stopped; its journal is").first).to_be_visible()
    assert "Traceback" not in page.locator(".jp-Notebook").inner_text()
    run_cell(page, 3)
    expect(page.locator(".jp-OutputArea-executeResult").last).to_contain_text("2")


def test_a_page_that_is_reloaded_and_a_kernel_that_is_restarted_in_mid_run(jupyter: Lab, page: Page) -> None:
    gate = threading.Event()

    def reply(prompt: str) -> Item:
        assert gate.wait(SECONDS)
        return "him" if gate.is_set() else Hang()

    with FakeServer(scripted([LOOK, ASK, DONE], reply)) as server:
        jupyter.write("again.ipynb", *setup(server))
        tree = ask(page, jupyter, "again.ipynb")
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        save(page, "again.ipynb")
        page.reload()
        expect(page.locator(".rlm-saved, .rlm-calltree").first).to_be_visible()
        gate.set()
        expect(tree.locator(".badge").first).to_have_text("answered")
        expect(row(tree, "Call 0.1")).to_be_visible()

    with FakeServer(scripted([LOOK, ASK], lambda prompt: Hang())) as server:
        jupyter.write("restart.ipynb", *setup(server))
        tree = ask(page, jupyter, "restart.ipynb")
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        kernel = next(each["kernel"]["id"] for each in jupyter.api("sessions") if each["path"] == "restart.ipynb")
        for process in psutil.process_iter(["cmdline"]):
            if any(kernel in argument for argument in process.info["cmdline"] or ()):
                process.kill()
        expect(tree.locator(".told")).to_have_text("The kernel is gone: this is what the run had come to.")
        expect(row(tree, "Call 0.1")).to_be_visible()
        expect(tree.get_by_role("button", name="Stop")).to_have_count(0)


BEGIN = """
import sys
sys.path.insert(0, {root!r})
from tests.browser.synthetic import show
"""


def synthetic(page: Page, jupyter: Lab, name: str, *calls: str) -> Locator:
    """Widgets of runs that never were: their events are written down."""
    jupyter.write(name, BEGIN.format(root=str(ROOT)), *calls)
    open_notebook(page, jupyter.address(name))
    for index in range(1 + len(calls)):
        run_cell(page, index)
    return page.locator(".rlm-calltree")


def test_texts_of_models_are_only_text_and_long_ones_come_when_asked_for(jupyter: Lab, page: Page) -> None:
    texts = ("attributes", "terminal", "long line")
    shown = [f"show('hostile', {name!r})" for name in texts]
    trees = synthetic(page, jupyter, "hostile.ipynb", *shown, "show('nothing')", "show('long')")
    expect(trees).to_have_count(5)
    for nth in range(3):
        tree = trees.nth(nth)
        expect(tree.locator(".badge").first).to_have_text("failed")
        tree.get_by_role("tree").focus()
        page.keyboard.press("Home")
        for _ in range(tree.locator(".row").count()):
            page.keyboard.press("ArrowDown")
    expect(trees.nth(3).get_by_role("treeitem")).to_have_count(1)
    row(trees.nth(4), "Turn 1").click()
    part = trees.nth(4).locator(".part", has_text="Reply")
    expect(part).to_contain_text("the first 1,000,000 of 5,000,000 characters")
    part.get_by_role("button", name="Next page").click()
    expect(part).to_contain_text("page 2 of 50")
    found = page.evaluate(
        """() => {
          const inside = [...document.querySelectorAll(".rlm-calltree *")];
          const active = /^(script|iframe|object|embed|img|form|a|svg)$/;
          const ids = inside.map((element) => element.id).filter(Boolean);
          return {
            active: inside.filter(({ localName }) => active.test(localName)).length,
            handlers: inside.filter(({ attributes }) => [...attributes].some(({ name }) => /^on/.test(name))).length,
            same: ids.length - new Set(ids).size,
          };
        }"""
    )
    assert found == {"active": 0, "handlers": 0, "same": 0}


WATCH = """
window.__slow = [];
window.__tasks = [];
new PerformanceObserver((list) => { for (const event of list.getEntries()) __slow.push([event.name, event.duration]); })
  .observe({ type: "event", durationThreshold: 16 });
new PerformanceObserver((list) => { for (const task of list.getEntries()) __tasks.push(task.duration); })
  .observe({ type: "longtask" });
"""


def slowest(page: Page) -> tuple[float, float]:
    """Milliseconds of the slowest interaction and of the longest task. The machine and the test do other things too."""
    slow = [took for _, took in page.evaluate("__slow")]
    return max(slow, default=0), round(max(page.evaluate("__tasks"), default=0))


def test_ten_thousand_calls_are_drawn_as_far_as_they_are_seen(jupyter: Lab, page: Page) -> None:
    tree = synthetic(page, jupyter, "many.ipynb", "show('many', seconds=4)")
    expect(tree.locator(".badge").first).to_have_text("running")
    page.evaluate(WATCH)
    row(tree, "Run, ").click()
    tree.get_by_role("tree").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "PageDown", "End", "Home"):
        page.keyboard.press(key)
    expect(tree.locator(".badge").first).to_have_text("answered")
    growing = slowest(page)
    page.evaluate("__slow.length = __tasks.length = 0")
    tree.get_by_role("button", name="Unfold all").click()
    tree.get_by_role("tree").focus()
    for key in ("End", "PageUp", "Home", "PageDown"):
        page.keyboard.press(key)
    assert tree.locator(".row").count() < 60
    tree.locator(".order").select_option("cost")
    tree.get_by_role("tree").focus()
    page.keyboard.press("Home")
    expect(tree.locator(".row b").nth(3)).to_have_text("Call 0.10000")
    tree.locator(".order").select_option("time")
    tree.locator(".show").select_option("failed")
    expect(tree.locator(".row")).to_have_count(10)
    tree.locator(".show").select_option("all")
    tree.get_by_role("searchbox").press_sequentially("brass valve")
    expect(tree.locator(".found")).to_contain_text("of 10 rows")
    tree.get_by_role("button", name="Next place").click()
    tree.get_by_role("button", name="Fold all", exact=True).click()
    # With `pytest -s`, on a quiet machine; docs/calltree.md has the figures.
    print("milliseconds of the slowest interaction and of the longest task: growing", growing, "ended", slowest(page))


@pytest.fixture
def configured(jupyter: Lab) -> Iterator[Lab]:
    yield jupyter
    jupyter.configure()
    jupyter.set("kernels-settings")


def test_without_a_widget_manager_the_tree_grows_as_html(configured: Lab, page: Page) -> None:
    configured.configure(without=["@jupyter-widgets/jupyterlab-manager"])
    with FakeServer(scripted([f"It costs $5, or $10. {LOOK}", ASK, DONE], lambda prompt: Hang())) as server:
        configured.write("plain.ipynb", *setup(server), "%%markdown\n$x$")
        ask(page, configured, "plain.ipynb")
        shown = page.locator(".rlm-saved")
        expect(shown.locator("summary", has_text="Iteration 2")).to_be_visible()
        expect(shown.locator(".badge")).to_contain_text("running")
        page.locator("[data-command='notebook:interrupt-kernel'], button[title*='Interrupt']").first.click()
        expect(shown.locator(".badge")).to_contain_text("stopped")
    run_cell(page, 3)
    expect(page.locator("mjx-container")).to_have_count(1)
    expect(shown).to_contain_text("It costs $5, or $10.")


def test_where_messages_wait_for_the_cell_the_stop_button_interrupts(configured: Lab, page: Page) -> None:
    configured.set("kernels-settings", commsOverSubshells="disabled")
    with FakeServer(scripted([LOOK, ASK, DONE], lambda prompt: Hang())) as server:
        configured.write("deaf.ipynb", *setup(server))
        tree = ask(page, configured, "deaf.ipynb")
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        tree.get_by_role("button", name="Stop run").first.click()
        page.wait_for_timeout(2000)
        expect(tree.locator(".badge").first).to_have_text("running")
        expect(tree.locator(".badge").first).to_have_text("stopped")
