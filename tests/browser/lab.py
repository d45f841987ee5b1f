"""A real JupyterLab and a real browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

TOKEN = "test"
SECONDS = 40
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


def chromium() -> str:
    """The browser's path; without one the test is skipped, and in CI it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium here (Debian: apt install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


@dataclass
class Lab:
    """A running JupyterLab over a folder."""

    url: str
    folder: Path

    def address(self, notebook: str) -> str:
        return f"{self.url}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token={TOKEN}&reset"

    def api(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.url}/api/{path}?token={TOKEN}", method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def end_kernels(self) -> None:
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def configure(self, *, without: Sequence[str] = ()) -> None:
        """Say which extensions a page that is loaded from now on does without."""
        disabled = {"disabledExtensions": dict.fromkeys(without, True)}
        (self.folder / ".config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))

    def set(self, plugin: str, **values: Any) -> None:
        """Give a plugin of `apputils` its settings, for pages that are loaded from now on."""
        address = f"{self.url}/lab/api/settings/@jupyterlab/apputils-extension:{plugin}?token={TOKEN}"
        body = json.dumps({"raw": json.dumps(values)}).encode()
        with urllib.request.urlopen(urllib.request.Request(address, body, method="PUT"), timeout=SECONDS):
            pass

    def write(self, name: str, *cells: str) -> None:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on a free loopback port, ended at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / ".config"
    (config / "labconfig").mkdir(parents=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(quiet))
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(folder / ".runtime")}
    environment["RLM_RUNS_DIR"] = str(folder / ".runs")
    with (folder / ".lab.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    running = Lab(f"http://127.0.0.1:{port}", folder)
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                running.api("status")
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / ".lab.log").read_text()
                assert process.poll() is None, (folder / ".lab.log").read_text()
        yield running
    finally:
        running.end_kernels()
        process.terminate()
        process.wait(timeout=SECONDS)


@contextmanager
def browser() -> Iterator[Page]:
    """A page in headless Chromium."""
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = chrome.new_page(viewport={"width": 1100, "height": 1000})
        page.set_default_timeout(SECONDS * 1000)
        try:
            yield page
        finally:
            chrome.close()


def open_notebook(page: Page, address: str) -> None:
    """Open a notebook and wait until its kernel can run cells."""
    page.goto(address)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")


def run_cell(page: Page, index: int) -> None:
    """Run one cell of the open notebook, as Shift+Enter does, and see that it has begun."""
    cell = page.locator(".jp-CodeCell").nth(index)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-InputPrompt")).not_to_have_text("[ ]:")
