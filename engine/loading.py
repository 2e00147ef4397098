"""The weights of a model's folder in a plain transformers class, whatever its config calls itself.

1. The class is the one that is asked for, else the one that config.json names; never code that comes with the model.
2. Its config is built from config.json, without what only such code would read.
3. Safetensors are loaded under their names, those that begin differently renamed. Whatever is missing, left over or of
   another size is an error that lists it: a model that is half random answers too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import UserError
from engine.hub import weight_files
from engine.shape import read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOREIGN = ("model_type", "auto_map", "architectures", "transformers_version", "_name_or_path", "torch_dtype", "dtype")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight")
MOST_KEYS = 8  # shown of a list of keys
FAULTS = {"missing_keys": "missing keys", "unexpected_keys": "unexpected keys", "mismatched_keys": "mismatched keys"}


def load_weights(
    folder: Path,
    architecture: str | None = None,
    keys: Mapping[str, str] | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> PreTrainedModel:
    """The model in a folder, in eval mode and without gradients for its parameters.

    `keys`: what names of weights begin with, and what to put there instead. `device`: "cuda", "cpu", or "auto" for as
    many GPUs as it takes.

    Raises:
        UserError: no weights, pickled or incomplete ones, an unknown class, or keys that are missing, unexpected or of
            another size.
    """
    config = read_config(folder)
    if "quantization_config" in config:
        raise UserError(f"The weights in {folder} are quantised. Gradients need plain ones: fp32, bf16 or fp16.")
    files = weight_files(folder)
    chosen = model_class(folder, config, architecture)
    ours = chosen.config_class.from_dict({key: value for key, value in config.items() if key not in FOREIGN})
    ours.vocab_size = max(ours.vocab_size, _embedding_rows(files))
    renaming = {rf"^{re.escape(old)}": new for old, new in (keys or {}).items()}
    with _quiet():
        try:
            model, info = chosen.from_pretrained(
                str(folder),
                config=ours,
                dtype=getattr(torch, dtype),
                key_mapping=renaming or None,
                device_map=device,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"The model in {folder} could not be loaded: {error}") from error
    _refuse_faults(folder, info, bool(keys))
    return model.eval().requires_grad_(False)


def model_class(folder: Path, config: Mapping[str, Any], architecture: str | None = None) -> Any:
    """The transformers class that loads a folder.

    Raises:
        UserError: transformers has no such class for causal language models.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as BY_TYPE

    known = {str(name) for name in BY_TYPE.values()}
    told = config.get("architectures") or [None]
    names = [architecture] if architecture else [*told, BY_TYPE.get(str(config.get("model_type")))]
    name = next((str(one) for one in names if one in known), None)
    if name is None:
        what = architecture or told[0] or config.get("model_type")
        raise UserError(
            f"transformers has no language model {what!r}, which {folder / 'config.json'} names, and code that comes "
            "with a model is never run. Name the class that fits in a pairs file, as in architecture = "
            '"Qwen2ForCausalLM".'
        )
    return getattr(transformers, name)


def _embedding_rows(files: list[Path]) -> int:
    """Rows of the embedding as it is stored: models get tokens that their config does not count. 0: not found."""
    from safetensors import SafetensorError, safe_open

    rows = 0
    for path in files:
        try:
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a dictionary
                    if key.endswith(EMBEDDINGS):
                        rows = max(rows, file.get_slice(key).get_shape()[0])
        except SafetensorError as error:
            raise UserError(f"{path} cannot be read as safetensors: {error}. Download it again.") from error
    return rows


def _refuse_faults(folder: Path, info: Mapping[str, Any], renamed: bool) -> None:
    found = []
    for kind, title in FAULTS.items():
        keys = sorted(_shown(key) for key in info.get(kind) or ())
        if keys:
            more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
            found.append(f"{title}: {', '.join(keys[:MOST_KEYS])}{more}")
    if not found:
        return
    both = info.get("missing_keys") and info.get("unexpected_keys")
    advice = (
        ' If the names only begin differently, say so in a pairs file, as in mdm_keys = { "denoise_model." = '
        '"transformer." }.'
        if both and not renamed
        else ""
    )
    raise UserError(f"The weights in {folder} do not fit the model: {'; '.join(found)}.{advice}")


def _shown(key: Any) -> str:
    """A key; one of another size comes with the size in the file and the model's."""
    if isinstance(key, tuple):
        name, stored, wanted = key
        return f"{name} ({list(stored)} in the file, {list(wanted)} in the model)"
    return str(key)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own report, which says the same at length."""
    from transformers.utils import logging as reports

    level = reports.get_verbosity()
    reports.set_verbosity(logging.CRITICAL)
    reports.disable_progress_bar()
    try:
        yield
    finally:
        reports.set_verbosity(level)
        reports.enable_progress_bar()
