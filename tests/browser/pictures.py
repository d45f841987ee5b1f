"""``python -m tests.browser.pictures`` writes the pictures of the call tree in ``docs``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab import SECONDS, browser, lab
from tests.browser.test_widget import row, synthetic

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


if __name__ == "__main__":
    expect.set_options(timeout=SECONDS * 1000)
    picture("Light", "calltree_light.png")
    picture("Dark", "calltree_dark.png")
