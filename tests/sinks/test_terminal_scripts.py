"""The live view in a script, at a real terminal: a pseudo-terminal of the system's, in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SCRIPT = """
import sys, time
from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.sinks.terminal import TerminalView

def sub(messages):
    time.sleep(0.4)
    return "reply " + messages[-1]["content"]

root = ScriptedModel([
    "I ask.\\n```repl\\nprint(llm_query_batched(['one', 'two']))\\n```",
    "Done.\\n```repl\\nanswer['content'] = 'forty-two'\\nanswer['ready'] = True\\n```",
])
with TerminalView() as view:
    completion = RLM(root, sub_model=sub, sandbox="process", on_event=view).completion("What is it?", context="text")
    print("ANSWER", completion.answer)
"""
HANGS = """
import asyncio
from rlm_kernel import RLM
from rlm_kernel.sinks.terminal import TerminalView

async def never(messages):
    await asyncio.Event().wait()

with TerminalView() as view:
    RLM(never, sandbox="process", on_event=view).completion("What is it?", context="text")
"""


@dataclass
class Ended:
    """What a script left: on its terminal, on its standard output, and its status."""

    terminal: str
    stdout: str
    status: int


def run(code: str, *, interrupt_at: str = "", **environment: str) -> Ended:
    """Run code with a terminal as its standard error and input, and a pipe as its standard output.

    It gets a Ctrl-C when its terminal shows ``interrupt_at``.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**inherited, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    )
    os.close(slave)
    shown = bytearray()
    interrupted = threading.Event()

    def read() -> None:
        while True:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # the other side is closed
                return
            shown.extend(piece)
            seen = COLOURS.sub("", shown.decode(errors="replace"))
            if interrupt_at and interrupt_at in seen and not interrupted.is_set():
                interrupted.set()
                process.send_signal(signal.SIGINT)
            if not piece:
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        stdout, _ = process.communicate(timeout=50)
    finally:
        process.kill()
        reader.join()
        os.close(master)
    return Ended(shown.decode(), stdout.decode(), process.returncode)


def test_a_script_shows_its_run_live_and_at_the_end_the_whole_tree() -> None:
    ended = run(SCRIPT)
    assert (ended.status, ended.stdout) == (0, "ANSWER forty-two\n")
    seen = COLOURS.sub("", ended.terminal)
    live, last = seen[: seen.rindex("\x1b[2K")], seen[seen.rindex("\x1b[2K") :]
    assert re.search(r"running · turn 1 · .* · 2 running · ", live)
    assert "forty-two" in last
    assert "What is it?" in last
    assert "reply one" in last
    assert ended.terminal.count("\x1b[?25l") == ended.terminal.count("\x1b[?25h") == 1  # the cursor is back
    assert "\x1b[32m" in ended.terminal


def test_no_color_takes_the_colours_and_leaves_the_tree() -> None:
    ended = run(SCRIPT, NO_COLOR="1")
    assert "forty-two" in ended.terminal
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", ended.terminal)


def test_quiet_leaves_the_terminal_alone() -> None:
    ended = run(SCRIPT, RLM_QUIET="1")
    assert (ended.terminal, ended.stdout) == ("", "ANSWER forty-two\n")


def test_a_dumb_terminal_gets_no_control_sequence_and_one_tree() -> None:
    ended = run(SCRIPT, TERM="dumb")
    assert "\x1b" not in ended.terminal
    assert ended.terminal.count("What is it?") == 1
    assert "forty-two" in ended.terminal


def test_a_terminal_that_is_not_of_utf_8_gets_what_it_can_show() -> None:
    ended = run(SCRIPT, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.status == 0
    assert ended.terminal.isascii()
    assert "forty-two" in ended.terminal


def test_an_interrupt_ends_the_run_and_gives_the_cursor_back() -> None:
    ended = run(HANGS, interrupt_at="turn 1")
    assert ended.status == -signal.SIGINT
    assert "KeyboardInterrupt" in ended.terminal
    seen = COLOURS.sub("", ended.terminal)
    assert "stopped  What is it?" in seen
    assert ended.terminal.rindex("\x1b[?25h") > ended.terminal.rindex("\x1b[?25l")


def test_without_a_terminal_a_script_writes_only_what_it_prints() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=50, check=True)
    assert (done.stdout, done.stderr) == ("ANSWER forty-two\n", "")
