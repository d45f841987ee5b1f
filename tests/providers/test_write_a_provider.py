"""The page for authors of providers: its code is a provider, found by its entry point, that passes its own checks."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.host.providers import ModelOptions, provider_names, resolve
from rlm_kernel.host.providers.compatible import Preset
from rlm_kernel.host.providers.conformance import CHECKS
from tests.providers.chat import ask

PAGE = (Path(__file__).resolve().parents[2] / "docs/write-a-provider.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PRESET, PROVIDER, CHECKED = (text for language, text in BLOCKS if language == "python")
PROJECT = tomllib.loads(next(text for language, text in BLOCKS if language == "toml"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package, as an installer would leave it."""
    monkeypatch.setitem(sys.modules, "ollama_native", None)  # so that it is taken out again
    monkeypatch.delitem(sys.modules, "ollama_native")
    (tmp_path / "ollama_native.py").write_text(PROVIDER)
    (tmp_path / "test_ollama_native.py").write_text(CHECKED)
    name, version = PROJECT["project"]["name"], PROJECT["project"]["version"]
    info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = [
        f"[{group}]\n" + "".join(f"{entry} = {value}\n" for entry, value in names.items())
        for group, names in PROJECT["project"]["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(entries))
    return tmp_path


def test_the_pages_package_passes_every_check(package: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "test_ollama_native.py",
    ]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert f"{len(CHECKS)} passed" in done.stdout, done.stdout[-3000:]


async def test_its_entry_point_is_found(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(package)
    assert "ollama-native" in provider_names()
    model = resolve("ollama-native/library/llama3.2", ModelOptions(base_url="http://127.0.0.1:9"))
    assert model.name == "ollama-native/library/llama3.2"
    with pytest.raises(ModelError, match="at http://127.0.0.1:9 failed"):
        await ask(model)
    await model.aclose()
    with pytest.raises(OptionError, match="does not take sampling"):
        resolve("ollama-native/m", ModelOptions(sampling={"temprature": 0}))


def test_the_preset_of_the_page_is_one() -> None:
    names: dict[str, object] = {}
    exec(PRESET, names)
    acme = names["acme"]
    assert isinstance(acme, Preset)
    assert (acme.key_variable, acme.url_variable) == ("ACME_API_KEY", "ACME_BASE_URL")
    for field in re.findall(r"`(\w+)`", PAGE.split("say what is different")[0].rsplit("\n\n", 1)[1]):
        assert field in Preset.__dataclass_fields__ or field == "max_tokens", field


def test_a_package_that_cannot_be_loaded_is_one_line(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "ollama_native.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(package)
    with pytest.raises(
        OptionError, match=r"'ollama-native' \(ollama_native:OllamaModel\) cannot be loaded: ModuleNotFound"
    ):
        resolve("ollama-native/m", ModelOptions())


def test_an_unknown_provider_comes_with_the_nearest_one() -> None:
    with pytest.raises(
        OptionError, match="Unknown provider 'openrooter'.*Did you mean 'openrouter'.*Providers: anthropic"
    ):
        resolve("openrooter/a/b", ModelOptions())
