"""A hub id or a local folder -> a loaded model with its tokenizer, mask token, shift and attention direction.

Weights load through plain transformers classes (safetensors only, no remote code) and are then wrapped in a
TransformerBridge, whose hook names are the same for every architecture. Attention direction is never left to
defaults: every forward pass gets an explicit 4D mask, because without one the bridge re-adds a causal triangle
and an MDM would silently run causally.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.errors import UserError
from engine.graph import Graph
from engine.plain import twin_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Model:
    """A model under study. `shifted`: the logits that predict a masked position stand one to its left."""

    bridge: TransformerBridge
    plain: PreTrainedModel  # the same weights in transformers' own modules (engine/plain.py)
    tokenizer: PreTrainedTokenizerBase
    causal: bool
    shifted: bool
    mask_id: int | None
    graph: Graph
    architecture: str

    @property
    def device(self) -> torch.device:
        return self.bridge.W_U.device

    @property
    def pad_id(self) -> int:
        """Any token will do for padding: it is hidden from attention and never read."""
        return self.tokenizer.pad_token_id or 0

    def attention_bias(self, real: Tensor) -> Tensor:
        """The additive 4D mask [batch, 1, pos, pos] for `real` [batch, pos] (False: padding)."""
        keep = real[:, None, None, :].expand(-1, 1, real.shape[1], -1)
        if self.causal:
            keep = keep & torch.ones(real.shape[1], real.shape[1], device=real.device).tril().bool()
        dtype = self.bridge.W_U.dtype
        return torch.zeros(keep.shape, dtype=dtype, device=real.device).masked_fill(~keep, torch.finfo(dtype).min)

    def logits(self, ids: Tensor, real: Tensor | None = None) -> Tensor:
        """[batch, pos, vocab] for `ids` [batch, pos]; hooks of the bridge fire as they are set."""
        real = torch.ones_like(ids, dtype=torch.bool) if real is None else real
        return self.bridge(ids, attention_mask=self.attention_bias(real), return_type="logits")

    def read_position(self, target: int) -> int:
        """Where the logits that predict the token at `target` stand."""
        return target - 1 if self.causal or self.shifted else target


def load_model(
    source: str,
    *,
    causal: bool,
    shifted: bool = False,
    mask_token: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Model:
    """Load a model of a pair from a folder or a hub id.

    Raises:
        UserError: nothing there, not safetensors, weights missing or unexpected, or the mask token unknown.
    """
    from transformers import AutoModelForCausalLM

    if (Path(source).is_absolute() or source.startswith(".")) and not (Path(source) / "config.json").is_file():
        raise UserError(f"There is no model in {source}: the folder has no config.json.")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise UserError(f"The model {source} could not be loaded: {error}") from error
    hf_model, info = loaded
    _refuse_incomplete(source, info)
    hf_model = hf_model.to(device or default_device()).eval().requires_grad_(False)
    hf_model.config.is_causal = causal
    return wrap(hf_model, load_tokenizer(source), causal=causal, shifted=shifted, mask_token=mask_token)


def wrap(
    hf_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    causal: bool,
    shifted: bool = False,
    mask_token: str | None = None,
) -> Model:
    """A loaded transformers model as a `Model`. The bridge replaces its submodules in place."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    architecture, plain = type(hf_model).__name__, twin_of(hf_model)
    bridge = build_bridge_from_module(hf_model, architecture, hf_config=hf_model.config)
    # GPT-2's bridge splits its joint weights into new parameters, which want gradients by default.
    bridge.requires_grad_(False)
    graph = Graph(bridge.cfg.n_layers, bridge.cfg.n_heads)
    return Model(bridge, plain, tokenizer, causal, shifted, _mask_id(tokenizer, mask_token), graph, architecture)


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id; a checkpoint folder without one uses its `mdm` sibling's."""
    from transformers import AutoTokenizer

    folder = Path(source)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file():
        folder = folder.parent.parent / "mdm"
    return AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else source)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _mask_id(tokenizer: PreTrainedTokenizerBase, mask_token: str | None) -> int | None:
    if mask_token is None:
        return None
    mask_id = tokenizer.convert_tokens_to_ids(mask_token)
    if not isinstance(mask_id, int) or mask_id == tokenizer.unk_token_id:
        raise UserError(f"The tokenizer has no mask token {mask_token!r}. Name the pair's real one in pairs.toml.")
    return mask_id


def _refuse_incomplete(source: str, info: dict[str, Any]) -> None:
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(map(str, info.get(kind) or ()))
        if keys:
            shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            raise UserError(f"The weights in {source} do not fit the model: {kind.replace('_', ' ')}: {shown}.")
