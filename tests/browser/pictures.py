"""``python -m tests.browser.pictures`` writes the pictures of the call tree in ``docs``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab import SECONDS, browser, lab
from tests.browser.test_widget import ask, row, scripted, setup, synthetic
from tests.providers.fake_servers import FakeServer

DOCS = Path(__file__).resolve().parents[2] / "docs"


def picture(theme: str, file: str) -> None:
    """Show a run in JupyterLab with a theme, and write what is seen of it."""
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as jupyter, browser() as page:
        jupyter.set("themes", theme=f"JupyterLab {theme}")
        page.set_viewport_size({"width": 1500, "height": 950})
        tree = synthetic(page, jupyter, "tree.ipynb", "show('mystery', seconds=5)")
        expect(tree.locator(".badge").first).to_have_text("answered")
        page.keyboard.press("Control+b")
        row(tree, "Cell 2").click()
        tree.get_by_role("tree").evaluate("(tree) => { tree.scrollTop = 0; }")
        page.mouse.move(0, 0)
        tree.screenshot(path=DOCS / file)


LOG = (
    "'\\n'.join(f'Day {n}. {n * 7 % 9 + 1} ships in the harbour, and {n * 5 % 13} at the pier. '"
    " + ('The lamp was out.' if n == 371 else 'All quiet.') for n in range(1500))"
)
PARTS = (
    "I ask about the months that I have not seen, a part at a time.\n```repl\n"
    "parts = [context[start:start + 4000] for start in range(4000, 44_000, 4000)]\n"
    "found = llm_query_batched([f'On which day was the lamp out? {part}' for part in parts])\nprint(found)\n```"
)
AGAIN = (
    "One of them has seen it. I make sure.\n```repl\n"
    "at = context.index('The lamp was out')\nsure = llm_query('Is it certain? ' + context[at - 1500:at + 1500])\n```"
)
DONE = "It is.\n```repl\nanswer['content'] = f'On {found[4]}: {sure}'\nanswer['ready'] = True\n```"


def replied(prompt: str) -> str:
    """What the model of sub-calls says."""
    if prompt.startswith("Is it"):
        return "the lamp was out."
    return "day 371" if "The lamp was out." in prompt else "no such day"


def reading(theme: str, file: Path) -> None:
    """Ask a question of scripted models in JupyterLab, and write what is seen of the answer and of the input."""
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as jupyter, browser() as page:
        jupyter.set("themes", theme=f"JupyterLab {theme}")
        page.set_viewport_size({"width": 1500, "height": 1250})
        with FakeServer(scripted([PARTS, AGAIN, DONE], replied)) as server:
            load, book, line = setup(server, LOG)
            jupyter.write("read.ipynb", load, book, line.replace("Who was it?", "On which day was the lamp out?"))
            tree = ask(page, jupyter, "read.ipynb")
            expect(tree.locator(".badge").first).to_have_text("answered")
        page.keyboard.press("Control+b")
        tree.get_by_role("button", name="What led to this answer?").click()
        row(tree, "Call 0.11").click()
        page.mouse.move(0, 0)
        tree.screenshot(path=file)


if __name__ == "__main__":
    expect.set_options(timeout=SECONDS * 1000)
    picture("Light", "calltree_light.png")
    picture("Dark", "calltree_dark.png")
    reading("Light", DOCS / "calltree_input.png")
