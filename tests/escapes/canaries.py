"""What an escape would reach: a file, a process, listeners, another run. Each tells when it was."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

HOST_PROCESS = "read line  # "


class Canaries:
    """Planted on the host, open to everyone where that is possible: only the box protects them.

    Parameters
    ----------
    user
        The box's user, where it is not the host's: the process is that user's, so that only the box protects it.
    """

    def __init__(self, user: int | None) -> None:
        self._user = user
        self.secret = secrets.token_hex(16)
        self.word = f"word{secrets.token_hex(6)}"
        """In the command line of the host's process."""
        self.mark = f"escaped-{secrets.token_hex(6)}"
        """A file of this name anywhere outside the box was made by an attempt."""
        self.folder = Path(tempfile.mkdtemp(prefix="canaries-"))
        self.folder.chmod(0o777)
        self.secret_file = self.folder / "secret"
        self.secret_file.write_text(self.secret)
        self.precious = self.folder / "precious"
        self.precious.write_text("unchanged")
        self.precious.chmod(0o666)
        self.tcp = _listener(socket.AF_INET, ("127.0.0.1", 0))
        self.udp = _listener(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)
        self.abstract = _listener(socket.AF_UNIX, f"\0{self.word}")
        self.abstract_datagrams = _listener(socket.AF_UNIX, f"\0{self.word}-d", socket.SOCK_DGRAM)
        self.path = _listener(socket.AF_UNIX, str(self.folder / "stream"))
        self.path_datagrams = _listener(socket.AF_UNIX, str(self.folder / "datagrams"), socket.SOCK_DGRAM)
        self.listeners = [
            ("TCP", self.tcp),
            ("UDP", self.udp),
            ("abstract stream", self.abstract),
            ("abstract datagram", self.abstract_datagrams),
            ("path stream", self.path),
            ("path datagram", self.path_datagrams),
        ]
        self.process = self._start_process()
        os.environ["CANARY_API_KEY"] = self.secret

    def plant_in(self, inputs: Path) -> None:
        """Put sockets where a box can see them: into its read-only inputs."""
        self.listeners.append(("stream in the inputs", _listener(socket.AF_UNIX, str(inputs / "stream"))))
        datagrams = _listener(socket.AF_UNIX, str(inputs / "datagrams"), socket.SOCK_DGRAM)
        self.listeners.append(("datagram in the inputs", datagrams))

    def described(self) -> dict[str, Any]:
        """Return what an attacker is told: everything but the secret."""
        home = Path.home()
        return {
            "secret_file": str(self.secret_file),
            "precious": str(self.precious),
            "folder": str(self.folder),
            "home": str(home),
            "python_folders": [sys.prefix, sys.base_prefix, *site.getsitepackages(), *_sources()],
            "places": [str(place) for place in self.places()],
            "mark": self.mark,
            "tcp": self.tcp.getsockname(),
            "udp": self.udp.getsockname(),
            "abstract": f"\0{self.word}",
            "abstract_datagrams": f"\0{self.word}-d",
            "path": str(self.folder / "stream"),
            "path_datagrams": str(self.folder / "datagrams"),
            "pid": self.process.pid,
            "test_pid": os.getpid(),
            "word": self.word,
        }

    def places(self) -> list[Path]:
        """Return folders of the host that attempts try to write to."""
        temporary = {Path(folder) for folder in ("/tmp", "/var/tmp", tempfile.gettempdir())}
        system = {Path(folder) for folder in ("/", "/etc", "/usr", "/usr/lib", "/dev", "/var", "/run")}
        python = {Path(folder) for folder in (sys.prefix, sys.base_prefix, *site.getsitepackages(), *_sources())}
        return sorted({self.folder, Path.home(), Path.cwd(), *temporary, *system, *python})

    def touched(self, said: str) -> list[str]:
        """Say which canaries an attempt reached, and make them ready for the next one."""
        evidence = [f"the {name} listener was reached" for name, sock in self.listeners if _reached(sock)]
        if self.secret in said:
            evidence.append("the box knows the secret")
        if self.process.poll() is not None:
            evidence.append(f"the host's process was ended ({self.process.returncode})")
            self.process = self._start_process()
        elif psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED:
            evidence.append("the host's process was stopped")
            self.process.kill()
        for place in self.places():
            if os.path.lexists(place / self.mark):
                evidence.append(f"a file was made in {place}")
                with contextlib.suppress(OSError):
                    (place / self.mark).unlink()
        if self.precious.read_text() != "unchanged":
            evidence.append("a file of the host was changed")
            self.precious.write_text("unchanged")
        return evidence

    def remove(self) -> None:
        """Take all of it away."""
        os.environ.pop("CANARY_API_KEY", None)
        self.process.kill()
        self.process.wait()
        for _, sock in self.listeners:
            sock.close()
        shutil.rmtree(self.folder)

    def _start_process(self) -> subprocess.Popen[bytes]:
        argv = ["/bin/sh", "-c", HOST_PROCESS + self.word]
        environment = {"CANARY_API_KEY": self.secret}
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, user=self._user, group=self._user)
        assert self.secret in Path(f"/proc/{process.pid}/environ").read_text()
        return process


def _sources() -> list[str]:
    """Return where this project's own files are: an editable install makes them visible."""
    return [str(Path(__file__).resolve().parents[2] / "rlm_kernel")]


def _listener(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.listen()
    sock.setblocking(False)
    if family == socket.AF_UNIX and address[0] != "\0":
        Path(address).chmod(0o777)
    return sock


def _reached(sock: socket.socket) -> bool:
    """Whether anything has come, which is then taken."""
    came = False
    with contextlib.suppress(BlockingIOError):
        while True:
            if sock.type == socket.SOCK_STREAM:
                sock.accept()[0].close()
            else:
                sock.recv(65536)
            came = True
    return came
