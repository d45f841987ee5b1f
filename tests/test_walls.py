"""The walls between the rooms, and the names the packages offer."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rlm_kernel
import rlm_magic

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "rlm_kernel/kernel": {
        "rlm_kernel.data",
        "rlm_kernel.look",
        "rlm_kernel.kernel",
        "rlm_kernel.packing",
        "rlm_kernel.removal",
        "rlm_kernel.wire",
        "rlm_kernel.errors",
        "rlm_kernel.zmtp",
    },
    "rlm_kernel/data.py": set(),
    "rlm_kernel/look.py": set(),
    "rlm_kernel/removal.py": set(),
    "rlm_kernel/packing.py": set(),
    "rlm_kernel/schema.py": set(),
    "rlm_kernel/zmtp.py": set(),
    "rlm_kernel/wire.py": {"rlm_kernel.errors", "rlm_kernel.schema"},
    "rlm_kernel/errors.py": set(),
    "rlm_kernel/events": {"rlm_kernel.events", "rlm_kernel.schema"},
    "rlm_kernel/sinks": {"rlm_kernel.sinks", "rlm_kernel.events", "rlm_kernel.errors"},
    "rlm_kernel/exports": {
        "rlm_kernel.exports",
        "rlm_kernel.events",
        "rlm_kernel.errors",
        "rlm_kernel.provenance.for_tree",
        "rlm_kernel.sinks.text",
        "rlm_kernel.sinks.calltree",
        "rlm_kernel.host.parse",
    },
    "rlm_kernel/provenance": {
        "rlm_kernel.provenance",
        "rlm_kernel.events",
        "rlm_kernel.errors",
        "rlm_kernel.journal",
        "rlm_kernel.sinks.text",
        "rlm_kernel.sinks.calltree",
        "rlm_kernel.host.resume",
    },
    "rlm_kernel/imports": {"rlm_kernel.imports", "rlm_kernel.events", "rlm_kernel.errors"},
    "rlm_kernel/journal": {
        "rlm_kernel.journal",
        "rlm_kernel.events",
        "rlm_kernel.errors",
        "rlm_kernel.exports",
        "rlm_kernel.provenance.for_tree",
        "rlm_kernel.sinks.html",
    },
    "rlm_magic": {
        "rlm_magic",
        "rlm_kernel.arguments",
        "rlm_kernel.events",
        "rlm_kernel.provenance.for_tree",
        "rlm_kernel.sinks",
        *rlm_kernel.__all__,
    },
}
STANDARD_LIBRARY_ONLY = (
    "rlm_kernel/wire.py",
    "rlm_kernel/data.py",
    "rlm_kernel/errors.py",
    "rlm_kernel/events",
    "rlm_kernel/host/parse.py",
    "rlm_kernel/zmtp.py",
)
SDKS = {
    "openai",
    "anthropic",
    "pandas",
    "polars",
    "pyarrow",
    "xllamacpp",
    "genai_prices",
    "pydantic",
    "jsonschema",
    "nbformat",
}


def files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(file: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Names a file imports; of ``from rlm_kernel import X``, X."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "rlm_kernel":
            names = (alias.name for alias in node.names)
            yield from (name if name in rlm_kernel.__all__ else f"rlm_kernel.{name}" for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room]
    for file in files(room):
        for name in imports(file):
            ours = name.startswith(("rlm_kernel", "rlm_magic")) or name in rlm_kernel.__all__
            fine = any(name == door or name.startswith(f"{door}.") for door in allowed)
            assert fine or not ours, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("place", STANDARD_LIBRARY_ONLY)
def test_values_are_made_of_the_standard_library(place: str) -> None:
    for file in files(place):
        for name in imports(file):
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or top == "rlm_kernel", f"{file.relative_to(ROOT)} imports {name}"


def test_sdks_are_imported_inside_functions() -> None:
    for file in files("rlm_kernel"):
        loaded = {name.partition(".")[0] for name in imports(file, top_level_only=True)}
        assert not loaded & SDKS, f"{file.relative_to(ROOT)} imports {loaded & SDKS} when it is imported"


def modules_after(statement: str) -> set[str]:
    """``sys.modules`` of a fresh process after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import rlm_kernel")
    assert not [name for name in loaded if name.startswith("rlm_kernel.")]
    assert not loaded & {*SDKS, "IPython", "ipykernel", "zmq", "rich"}


def test_importing_the_kernel_loads_no_host_and_no_sdk() -> None:
    loaded = modules_after("import rlm_kernel.kernel.app")
    strangers = ("rlm_kernel.host", "rlm_kernel.sinks", "rlm_kernel.events")
    assert not [name for name in loaded if name.startswith(strangers)]
    assert not loaded & {*SDKS, "httpx", "requests", "aiohttp", "rich"}


def test_importing_the_rlm_class_loads_no_sdk() -> None:
    assert not modules_after("from rlm_kernel import RLM") & SDKS


def test_every_public_name_is_there_and_sorted() -> None:
    assert rlm_kernel.__all__ == sorted(rlm_kernel.__all__)
    for name in rlm_kernel.__all__:
        assert getattr(rlm_kernel, name) is not None
        assert name in dir(rlm_kernel)
    assert rlm_magic.__all__ == ["load_ipython_extension"]
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rlm_kernel.nonsense  # noqa: B018


def test_files_stay_small() -> None:
    """A file past 300 lines holds two ideas."""
    for file in [*files("rlm_kernel"), *files("rlm_magic")]:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= 320, f"{file.relative_to(ROOT)} has {lines} lines"


def test_the_loop_fits_on_one_screen() -> None:
    loop = next(
        node
        for node in ast.walk(ast.parse((ROOT / "rlm_kernel/host/engine.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "run"
    )
    assert loop.end_lineno is not None
    assert loop.end_lineno - loop.lineno < 45


def test_no_constructor_takes_more_than_ten_parameters() -> None:
    """Written by hand or by a dataclass; the options are flat by design, each group of them in a file of its own."""
    for file in files("rlm_kernel"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef) or "host/options" in str(file):
                continue
            if any(isinstance(base, ast.Name) and base.id == "Event" for base in node.bases):
                continue
            written = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            made = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
            for function in written:
                count = len(function.args.args) + len(function.args.kwonlyargs) - 1
                assert count <= 10, f"{file.relative_to(ROOT)}: {node.name} takes {count}"
            if made and not written:
                required = [f for f in node.body if isinstance(f, ast.AnnAssign) and f.value is None]
                assert len(required) <= 10, f"{file.relative_to(ROOT)}: {node.name} needs {len(required)}"
