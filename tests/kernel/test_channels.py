"""The kernel's channels against real clients: libzmq's sockets, which know nothing of our end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session
from tornado.ioloop import IOLoop

from rlm_kernel.kernel.channels import Part, Router
from rlm_kernel.kernel.iopub import PromptIOPub
from tests.kernel.vocabulary import kernel, run, until

LENGTHS = (0, 1, 254, 255, 256, 257, 65_536, 3_000_000)
SECONDS = 20


def listening(folder: Path) -> tuple[socket.socket, str]:
    """A listening unix socket, and where a client connects."""
    path = str(folder / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    return listener, f"ipc://{path}"


@contextmanager
def client(kind: int, address: str, **options: Any) -> Iterator[zmq.asyncio.Socket]:
    """A socket of libzmq's."""
    with zmq.asyncio.Context() as context, context.socket(kind) as made:
        made.linger = 0
        for name, value in options.items():
            setattr(made, name, value)
        made.connect(address)
        yield made


async def received(peer: zmq.asyncio.Socket) -> list[bytes]:
    async with asyncio.timeout(SECONDS):
        return list(await peer.recv_multipart())


@asynccontextmanager
async def router(folder: Path) -> AsyncIterator[tuple[Router, str, asyncio.Queue[list[bytes]]]]:
    """A router that puts what it hears into a queue."""
    listener, address = listening(folder)
    with listener:
        made, heard = Router(listener, IOLoop.current()), asyncio.Queue[list[bytes]]()

        async def hear(parts: list[Part]) -> None:
            heard.put_nowait([part.bytes for part in parts])

        made.on_recv(hear)
        yield made, address, heard


async def test_messages_of_all_lengths_cross_both_ways(tmp_path: Path) -> None:
    parts = [bytes([number % 256]) * length for number, length in enumerate(LENGTHS)]
    async with router(tmp_path) as (made, address, heard):
        with client(zmq.DEALER, address, identity=b"me") as dealer:
            await dealer.send_multipart(parts)
            async with asyncio.timeout(SECONDS):
                sender, *got = await heard.get()
            assert (sender, got) == (b"me", parts)
            made.send_multipart([b"me", *parts])
            made.send_multipart([b"me", b"second"])
            assert await received(dealer) == parts
            assert await received(dealer) == [b"second"]


async def test_a_client_without_a_name_gets_its_own_replies(tmp_path: Path) -> None:
    async with router(tmp_path) as (made, address, heard):
        with client(zmq.DEALER, address) as one, client(zmq.DEALER, address) as other:
            await one.send_multipart([b"one"])
            await other.send_multipart([b"other"])
            async with asyncio.timeout(SECONDS):
                names = {text: name for name, text in [await heard.get(), await heard.get()]}
            assert names[b"one"] != names[b"other"]
            for text, name in names.items():
                made.send_multipart([name, text])
            assert await received(one) == [b"one"]
            assert await received(other) == [b"other"]


async def test_a_client_that_comes_back_under_its_name_gets_the_replies(tmp_path: Path) -> None:
    async with router(tmp_path) as (made, address, heard):
        with client(zmq.DEALER, address, identity=b"me") as first:
            await first.send_multipart([b"first"])
            await asyncio.wait_for(heard.get(), SECONDS)
            with client(zmq.DEALER, address, identity=b"me") as second:
                await second.send_multipart([b"second"])
                await asyncio.wait_for(heard.get(), SECONDS)
                made.send_multipart([b"me", b"to whom?"])
                assert await received(second) == [b"to whom?"]
        await until(lambda: not made._peers)
        made.send_multipart([b"me", b"nobody is there"])
        assert made.flush() == 1


@contextmanager
def iopub(folder: Path) -> Iterator[tuple[PromptIOPub, str]]:
    """Iopub and its thread; the main thread, in which tests run, sends by itself while SIGINT is ignored."""
    listener, address = listening(folder)
    made = PromptIOPub(listener, Session(key=b"key"))
    made.start()
    try:
        yield made, address
    finally:
        made.stop()
        made.close()


@contextmanager
def no_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def welcomed(subscriber: zmq.asyncio.Socket) -> None:
    """Wait until the kernel knows of a subscription: it says so to those who have subscribed to it."""
    assert b"iopub_welcome" in b"".join(await received(subscriber))


async def test_a_subscriber_is_welcomed_and_hears_its_topics(tmp_path: Path) -> None:
    with iopub(tmp_path) as (made, address), client(zmq.SUB, address) as every, client(zmq.SUB, address) as some:
        every.subscribe(b"")
        await welcomed(every)
        some.subscribe(b"stream")
        await welcomed(some)
        made.send_multipart([b"status", b"not for all"])
        made.send_multipart([b"stream.stdout", b"for both"])
        assert await received(some) == [b"stream.stdout", b"for both"]
        some.subscribe(b"status")
        await welcomed(some)
        some.unsubscribe(b"stream")
        made.send_multipart([b"status", b"again"])
        assert await received(some) == [b"status", b"again"]
        heard = [await received(every) for _ in range(3)]
        assert [b"status", b"not for all"] in heard


@pytest.mark.parametrize("ignored", [True, False], ids=["sent by the main thread", "sent by its own thread"])
async def test_what_one_says_comes_in_its_order_and_whole(tmp_path: Path, ignored: bool) -> None:
    """Also where the other end reads slowly, so that most of it waits, and where a thread says something too."""
    count, text = 2_000, b"x" * 5_000

    def say(name: bytes) -> None:
        for number in range(count):
            made.send_multipart([name, b"%d" % number, text])

    with iopub(tmp_path) as (made, address), client(zmq.SUB, address, rcvhwm=10) as subscriber:
        subscriber.subscribe(b"")
        await welcomed(subscriber)
        thread = threading.Thread(target=say, args=(b"thread",))
        with no_interrupts() if ignored else nullcontext():
            thread.start()
            say(b"main")
        heard: dict[bytes, list[int]] = {b"main": [], b"thread": []}
        for _ in range(2 * count):
            name, number, body = await received(subscriber)
            assert body == text
            heard[name].append(int(number))
        assert heard == {b"main": [*range(count)], b"thread": [*range(count)]}
        thread.join()


async def test_interrupts_cut_no_message_in_two() -> None:
    """SIGINT arrives at any moment of a cell that displays without end; what the host hears next is whole."""
    code = "from IPython.display import display\nwhile True: display({'n': 1}); print(len('x' * 5_000))"
    async with kernel(cell_seconds=20.0) as session:
        for number in range(15):
            cell = asyncio.create_task(run(session, code, ok=False))
            await asyncio.sleep(0.05 + number / 700)
            session.interrupt()
            assert (await cell).result.status == "interrupted"
            after = await run(session, f"print({number})\n{number}")
            assert after.text == f"{number}\n{number}"


async def test_what_forks_print_cuts_no_message_of_the_kernels_in_two() -> None:
    """They have the same connections and would write into the middle of a message; their output is dropped."""
    code = """
import os, warnings
from IPython.display import display
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12
for _ in range(4):
    if os.fork() == 0:
        for number in range(300): print('child', number, flush=True)
        os._exit(0)
for number in range(300): display({'number': number, 'text': 'x' * 1_000})
while True:
    try: os.wait()
    except ChildProcessError: break
print('parent')
"""
    async with kernel() as session:
        cell = await run(session, code)
        assert "child" not in cell.text
        assert cell.text.count("'number'") == 300
        assert cell.text.endswith("parent\n")
        assert (await run(session, "print(llm_query('on'))")).text == "ON\n"
