"""The connection to the kernel is lost while a run goes on, and comes back: the tree catches up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.lab import SECONDS, Lab, browser
from tests.browser.test_widget import ASK, DONE, LOOK, ask, row, scripted, setup
from tests.providers.fake_servers import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


class Wire:
    """The web sockets of a page to its kernels, which can be cut."""

    def __init__(self, page: Page) -> None:
        self.whole = True
        self._open: list[WebSocketRoute] = []
        page.route_web_socket("**/api/kernels/*/channels*", self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        if self.whole:
            self._open.append(route)
            route.connect_to_server()
        else:
            route.close(code=1011)

    def cut(self) -> None:
        """Cut what is open, and what is tried from now on."""
        self.whole = False
        for route in self._open:
            route.close(code=1011)
        self._open.clear()


@pytest.fixture
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


def test_the_tree_catches_up_when_a_lost_connection_is_back(jupyter: Lab, page: Page) -> None:
    gates = {"slow": threading.Event(), "end": threading.Event()}

    def reply(prompt: str) -> str:
        assert gates["slow" if prompt.startswith("slow") else "end"].wait(SECONDS)
        return "the butler"

    second = "And again.\n```repl\nreply = llm_query('the end of ' + context[:60])\n```"
    with FakeServer(scripted([LOOK, ASK, second, DONE], reply)) as server:
        wire = Wire(page)
        jupyter.write("lost.ipynb", *setup(server))
        tree = ask(page, jupyter, "lost.ipynb")
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        wire.cut()
        gates["slow"].set()
        while not any("the end of" in request.prompt for request in server.requests):
            page.wait_for_timeout(50)
        expect(row(tree, "Call 0.1, running")).to_be_visible()
        wire.whole = True
        expect(row(tree, "Call 0.2, running")).to_be_visible()
        gates["end"].set()
        expect(tree.locator(".badge").first).to_have_text("answered")
    expect(tree.locator(".answer")).to_contain_text("the butler")
