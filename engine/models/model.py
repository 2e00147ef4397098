"""A hub id or a local folder -> a loaded model with its tokenizer, mask token, shift and attention direction.

Weights load through plain transformers classes (safetensors only, no remote code) and are then wrapped in a
TransformerBridge, whose hook names are the same for every architecture. Attention direction is never left to
defaults: every forward pass gets an explicit 4D mask, because without one the bridge re-adds a causal triangle
and an MDM would silently run causally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.circuits.graph import Graph
from engine.errors import UserError, one_line
from engine.models.batching import release
from engine.models.control import add_missing_rows
from engine.models.fast_model import blocks_of, copy_sharing_weights
from engine.models.light_tokenizer import MASK
from engine.models.loading import load_weights
from engine.models.model_files import read_table, refuse_irregular_in
from engine.models.pair import CONTROL, TOKENIZER, Pair, model_title
from engine.models.scorable import architecture_of, keys_of, mask_of, reader_of, refuse_mask_beyond, refuse_unscorable
from engine.models.sliding_windows import narrow, refuse_beyond, windows_of
from engine.models.sources import snapshot

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Model:
    """A model under study. `shifted`: the logits that predict a masked position are one to its left."""

    bridge: TransformerBridge
    plain: PreTrainedModel  # the same weights in transformers' own modules (engine/models/fast_model.py)
    tokenizer: PreTrainedTokenizerBase
    causal: bool
    shifted: bool
    mask_id: int | None
    graph: Graph
    architecture: str
    windows: tuple[int | None, ...] = ()  # of attention, by layer; None: a layer attends to everything

    @property
    def device(self) -> torch.device:
        return self.bridge.W_U.device

    @property
    def pad_id(self) -> int:
        """Any token with an embedding will do for padding: it is hidden from attention and never read."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) and 0 <= pad < len(self.bridge.W_E) else 0

    def attention_bias(self, real: Tensor) -> Tensor:
        """The additive 4D mask [batch, 1, pos, pos] for `real` [batch, pos] (False: padding).

        Layers with a sliding window narrow it themselves (engine/models/sliding_windows.py).

        Raises:
            UserError: an MDM's input is longer than its window.
        """
        if not self.causal:
            refuse_beyond(self.windows, real.shape[1])
        keep = real[:, None, None, :].expand(-1, 1, real.shape[1], -1)
        if self.causal:
            keep = keep & torch.ones(real.shape[1], real.shape[1], device=real.device).tril().bool()
        dtype = self.bridge.W_U.dtype
        return torch.zeros(keep.shape, dtype=dtype, device=real.device).masked_fill(~keep, torch.finfo(dtype).min)

    def logits(self, ids: Tensor, real: Tensor | None = None, at: Sequence[int] | None = None) -> Tensor:
        """[batch, pos, vocab] for `ids` [batch, pos]; hooks of the bridge fire as they are set.

        With `at` only the logits of those positions, [batch, at, vocab], which saves much where a vocabulary is large.
        """
        real = torch.ones_like(ids, dtype=torch.bool) if real is None else real
        kept = {} if at is None else {"logits_to_keep": torch.tensor(list(at), device=ids.device)}
        return self.bridge(ids, attention_mask=self.attention_bias(real), return_type="logits", **kept)

    def next_logits(self, ids: Tensor, cache: DynamicCache) -> Tensor:
        """[batch, vocab] at the last position of `ids` [batch, pos], for a model that attends causally.

        Only the tokens that `cache` does not hold are run; their keys and values are added to it.
        """
        start = cache.get_seq_length()
        bias = self.attention_bias(torch.ones_like(ids, dtype=torch.bool))[:, :, start:]  # [batch, 1, new, pos]
        return self.bridge(
            ids[:, start:],
            attention_mask=bias,
            position_ids=torch.arange(start, ids.shape[1], device=ids.device)[None],
            past_key_values=cache,
            use_cache=True,
            return_type="logits",
            logits_to_keep=1,
        )[:, -1]

    @property
    def cached_bytes(self) -> int:
        """Bytes that a key-value cache holds for one token."""
        read = [weights for block in blocks_of(self.plain) for weights in block.weights()[1:]]  # keys' and values'
        return sum(weights.shape[0] * weights.shape[1] * weights.element_size() for weights in read)

    def words(self, ids: Sequence[int]) -> list[str]:
        """Tokens as the tokenizer writes them, one for every id of `ids` [pos].

        The mask is shown as such where it is an ordinary token or none at all; rows without a token as "<id 7>".
        """
        words = self.tokenizer.convert_ids_to_tokens(list(ids))
        own = self.mask_id in self.tokenizer.all_special_ids
        return [
            MASK if token == self.mask_id and not own else f"<id {token}>" if word is None else word
            for token, word in zip(ids, words, strict=True)
        ]

    def read_position(self, target: int) -> int:
        """The position of the logits that predict the token at `target`."""
        return target - 1 if self.causal or self.shifted else target


def load(pair: Pair, model: str, dtype: str = "float32", device: str | None = None) -> Model:
    """Load "arm", "mdm", "control" or "step:N" of a pair, after freeing models that are no longer referenced.

    `device`: "cuda", "cpu", or "auto" for as many GPUs as it takes.

    Raises:
        UserError: nothing there, not safetensors, weights missing or unexpected, or the mask unknown.
    """
    release()
    folder, causal = snapshot(pair.folder(model)), model == "arm"
    refuse_unscorable(pair, model)
    whose, keys = f"the {model_title(model)} of the pair {pair.name} ({folder})", keys_of(pair, model)
    hf_model = load_weights(folder, architecture_of(pair), keys, dtype, _place(device), whose)
    hf_model.config.is_causal = causal
    reader = reader_of(pair, model)
    tokenizer, mask = _tokenizer_in(Path(pair.tokenizer(model))), None if causal else mask_of(pair, reader)
    if model == CONTROL:
        add_missing_rows(hf_model, reader, max(len(tokenizer), mask + 1 if isinstance(mask, int) else 0))
    _refuse_unembedded(tokenizer, hf_model.config.vocab_size, folder)
    return wrap(hf_model, tokenizer, causal=causal, shifted=pair.shifted, mask_token=mask)


def load_model(
    source: str,
    *,
    causal: bool,
    shifted: bool = False,
    mask_token: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Model:
    """Load a model from a folder or a hub id, without a pair.

    Raises:
        UserError: nothing there, not safetensors, weights missing or unexpected, or the mask token unknown.
    """
    hf_model = load_weights(snapshot(source), dtype=dtype, device=_place(device))
    hf_model.config.is_causal = causal
    return wrap(hf_model, load_tokenizer(source), causal=causal, shifted=shifted, mask_token=mask_token)


def wrap(
    hf_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    causal: bool,
    shifted: bool = False,
    mask_token: str | int | None = None,
) -> Model:
    """A loaded transformers model as a `Model`. The bridge replaces its submodules in place.

    `mask_token`: a token of the tokenizer, or an id that the tokenizer may lack.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    architecture, plain = type(hf_model).__name__, copy_sharing_weights(hf_model)
    bridge = build_bridge_from_module(hf_model, architecture, hf_config=hf_model.config)
    # GPT-2's bridge splits its joint weights into new parameters, which want gradients by default.
    bridge.requires_grad_(False)
    graph = Graph(bridge.cfg.n_layers, bridge.cfg.n_heads)
    mask_id = _mask_id(tokenizer, mask_token, len(bridge.W_E))
    windows = windows_of(hf_model.config, graph.n_layers)
    if causal:
        narrow((block.attn for block in bridge.blocks), windows)
        narrow((block.attention for block in blocks_of(plain)), windows)
    return Model(bridge, plain, tokenizer, causal, shifted, mask_id, graph, architecture, tuple(windows))


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id; a checkpoint folder without one uses its `mdm` sibling's."""
    folder = snapshot(source)
    if not (folder / TOKENIZER).is_file() and (folder.parent.parent / "mdm").is_dir():
        folder = folder.parent.parent / "mdm"
    return _tokenizer_in(folder)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _place(device: str | None) -> str | None:
    """Where weights are loaded to; None: main memory, where they are without any further help."""
    return None if device == "cpu" or default_device() == "cpu" else device or default_device()


def _tokenizer_in(folder: Path) -> PreTrainedTokenizerBase:
    """A folder's tokenizer, of the class that it names; where that is its own code, a plain one of tokenizer.json."""
    import transformers

    refuse_irregular_in(folder)
    tokenizer_config, config = read_table(folder / "tokenizer_config.json"), read_table(folder / "config.json")
    named: Any = getattr(transformers, str(tokenizer_config.get("tokenizer_class")), None)
    if not (isinstance(named, type) and issubclass(named, transformers.PreTrainedTokenizerBase)):
        # AutoTokenizer goes by the model's type, and would ask on the terminal whether code of a folder may be run.
        own_code = "auto_map" in tokenizer_config | config
        named = transformers.PreTrainedTokenizerFast if own_code else transformers.AutoTokenizer
    try:
        tokenizer = named.from_pretrained(str(folder), local_files_only=True)
        tokenizer("")  # odd values of its config come out only when it is used
    except Exception as error:  # whatever the library raises on files that it can't read
        raise UserError(f"The tokenizer in {folder} could not be loaded: {one_line(error)}") from error
    return tokenizer


def _refuse_unembedded(tokenizer: PreTrainedTokenizerBase, rows: int, folder: Path) -> None:
    if tokenizer.vocab_size > rows:
        raise UserError(
            f"The tokenizer has {tokenizer.vocab_size} tokens, but the model in {folder} has embeddings for {rows}. "
            "They do not belong together."
        )
    beyond = [token for token in tokenizer("").input_ids if token >= rows]
    if beyond:
        raise UserError(
            f"The tokenizer puts token {beyond[0]} around every prompt, but the model in {folder} has embeddings for "
            f"tokens 0 to {rows - 1}. They do not belong together."
        )


def _mask_id(tokenizer: PreTrainedTokenizerBase, mask: str | int | None, rows: int) -> int | None:
    if mask is None:
        return None
    mask_id = mask if isinstance(mask, int) else tokenizer.convert_tokens_to_ids(mask)
    if not isinstance(mask_id, int) or (mask_id == tokenizer.unk_token_id and mask != mask_id):
        raise UserError(f"The tokenizer has no mask token {mask!r}. Name the pair's real one in pairs.toml.")
    refuse_mask_beyond(mask_id, rows)
    return mask_id
