"""The weights of a model's folder in a plain transformers class, whatever its config calls itself.

1. Class, config and sizes are checked before anything is built (engine/models/supported.py).
2. The class's config is built from what of config.json the computation takes; nothing else of it is read.
3. Safetensors are loaded under their names, those that begin differently renamed. Whatever is missing, left over or of
   another size is an error that lists it: a model that is half random answers too.
4. Every weight is looked at once, in the number format of the run.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from engine.errors import UserError, one_line
from engine.models.architecture import read_config
from engine.models.config_fields import computed
from engine.models.hub import weight_files
from engine.models.model_files import EMBEDDINGS, header_of
from engine.models.supported import check

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NEVER_ZERO = (*EMBEDDINGS, "lm_head.weight", "model.norm.weight", "ln_f.weight")
CHUNK = 2**24  # numbers looked at together
MOST_KEYS = 8  # shown of a list of keys
FAULTS = {"missing_keys": "missing keys", "unexpected_keys": "unexpected keys", "mismatched_keys": "mismatched keys"}


def load_weights(
    folder: Path,
    architecture: str | None = None,
    keys: Mapping[str, str] | None = None,
    dtype: str = "float32",
    device: str | None = None,
    whose: str = "",
) -> PreTrainedModel:
    """The model in a folder, in eval mode and without gradients for its parameters.

    `keys`: what names of weights begin with, and what to put there instead. `device`: "cuda", "cpu", or "auto" for as
    many GPUs as it takes.

    Raises:
        UserError: no weights, pickled or incomplete ones, an unknown class, or keys that are missing, unexpected or of
            another size.
    """
    import transformers

    read_config(folder)  # which is missed first where there is no model at all
    files = weight_files(folder)
    checked = check(folder, files, architecture, keys)
    chosen = getattr(transformers, checked.name)
    renaming = {rf"^{re.escape(old)}": new for old, new in (keys or {}).items()}
    with _quiet():
        try:
            ours = chosen.config_class.from_dict(computed(checked.name, checked.config))
            ours.vocab_size = max(ours.vocab_size, _embedding_rows(files))
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
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the library raises on files that it can't read
            raise UserError(f"The model in {folder} could not be loaded: {one_line(error)}") from error
    _refuse_faults(folder, info, bool(keys))
    refuse_unusable(model, whose or f"the model in {folder}", dtype)
    return model.eval().requires_grad_(False)


def refuse_unusable(model: nn.Module, whose: str, dtype: str) -> None:
    """Weights that no number can come of, looked at once: NaN and infinity anywhere, nothing but zeros where a token
    is read or written.

    Raises:
        UserError: it names the first such tensor.
    """
    for name, parameter in model.named_parameters():
        extremes = [part.aminmax() for part in parameter.detach().flatten().split(CHUNK)]  # NaN spreads to both
        low, high = (torch.stack(ends) for ends in zip(*extremes, strict=True))
        if not bool(low.isfinite().all() & high.isfinite().all()):
            raise UserError(
                f"The weights of {whose} can't be used: {name} holds NaN or infinity, read as {dtype}. Get the file "
                "again, or the checkpoint before it."
            )
        if name.endswith(NEVER_ZERO) and not bool(low.any() | high.any()):
            raise UserError(f"The weights of {whose} can't be used: {name} is zero everywhere. Get the file again.")


def _embedding_rows(files: list[Path]) -> int:
    """Rows of the embedding as it is stored: models get tokens that their config does not count. 0: not found."""
    rows = [tensor.shape[0] for key, tensor in header_of(files).items() if key.endswith(EMBEDDINGS) and tensor.shape]
    return max(rows, default=0)


def _refuse_faults(folder: Path, info: Mapping[str, Any], renamed: bool) -> None:
    faults = []
    for kind, title in FAULTS.items():
        keys = sorted(_shown(key) for key in info.get(kind) or ())
        if keys:
            more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
            faults.append(f"{title}: {', '.join(keys[:MOST_KEYS])}{more}")
    if not faults:
        return
    both = info.get("missing_keys") and info.get("unexpected_keys")
    advice = (
        ' If the names only begin differently, say so in a pairs file, as in mdm_keys = { "denoise_model." = '
        '"transformer." }.'
        if both and not renamed
        else ""
    )
    raise UserError(f"The weights in {folder} do not fit the model: {'; '.join(faults)}.{advice}")


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
