"""Where a model's files are: a folder, or what Hugging Face's own cache holds of a hub model. Nothing is downloaded.

A source is a folder's path, or a hub id with an optional revision: "Qwen/Qwen2.5-7B" or "Qwen/Qwen2.5-7B@d149729".
The cache is the one that HF_HOME and HF_HUB_CACHE name; `hf download` fills it, with HF_TOKEN where a model is gated.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.errors import UserError
from engine.models.model_files import is_folder, is_there, read_table, refuse_irregular

HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w.-]+))?")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def snapshot(source: str) -> Path:
    """The folder with the files of a source, as far as they are here.

    Raises:
        UserError: there is no such folder, or the hub model was not downloaded; the text says how to get it.
    """
    folder = Path(source)
    if is_folder(folder):
        return folder
    match = HUB_ID.fullmatch(source)
    if not match:
        raise UserError(
            f"There is no model at {source}. Give a folder with config.json and *.safetensors, or the id of a hub "
            "model that was downloaded before."
        )
    cached = _cached(match["id"], match["revision"] or "main")
    if cached is None:
        raise UserError(_advice(source, match["id"], match["revision"]))
    return cached


def weights_id(source: str) -> str | None:
    """The commit of a downloaded hub model, as "id@commit"; None for a folder.

    Raises:
        UserError: there is nothing of that name, or its weights were not downloaded with it.
    """
    if is_folder(Path(source)):
        return None
    folder = snapshot(source)
    weight_files(folder)
    return f"{source.partition('@')[0]}@{folder.name}"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model's folder: the one, or all that the index names.

    Raises:
        UserError: there are none, only pickled ones, or some are missing.
    """
    single, index = folder / SINGLE, folder / INDEX
    for file in (single, index):
        if is_there(file):
            refuse_irregular(file)
            return [single] if file == single else _shards(index)
    pickled = sorted(file.name for kind in PICKLED for file in folder.glob(kind))
    if pickled:
        raise UserError(
            f"The weights in {folder} are pickled ({pickled[0]}), and reading those could run foreign code. Weights "
            "must be safetensors: look for a revision that has them, or convert them where the file may be trusted, by "
            "loading the model there with transformers and calling its save_pretrained."
        )
    raise UserError(f"There are no weights in {folder}: it needs {SINGLE} or {INDEX}.")


def download_command(source: str) -> str:
    """What to type to get a hub model."""
    name, _, revision = source.partition("@")
    return f"hf download {name}" + (f" --revision {revision}" if revision else "")


def _cached(name: str, revision: str) -> Path | None:
    """A hub model's snapshot in the cache; None where it was never downloaded."""
    from huggingface_hub import try_to_load_from_cache

    try:
        file = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError:  # no name that a hub model can have
        return None
    return Path(file).parent if isinstance(file, str) else None


def _advice(source: str, name: str, revision: str | None) -> str:
    from huggingface_hub import constants

    at = f" at revision {revision}" if revision else ""
    offline = " HF_HUB_OFFLINE is set: unset it for that." if constants.is_offline_mode() else ""
    token = "HF_TOKEN is set" if os.environ.get("HF_TOKEN") else "set HF_TOKEN or run hf auth login"
    return (
        f"There is no model at {name}{at}: it was not downloaded to {constants.HF_HUB_CACHE} (HF_HOME names another "
        f"place). Get it with: {download_command(source)}.{offline} If it is gated, accept its licence at "
        f"https://huggingface.co/{name} first ({token}). Or name a folder that has it, with --arm and --mdm or in a "
        "pairs file."
    )


def _shards(index: Path) -> list[Path]:
    try:
        content = read_table(index)
        names = set(content["weight_map"].values())
    except (KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{index} is not an index of safetensors files: it needs a weight_map.") from error
    foreign = sorted(str(name) for name in names if not re.fullmatch(r"[\w.-]+\.safetensors", str(name)))
    if foreign:
        raise UserError(f"{index} names {foreign[0]!r}, which is no safetensors file beside it.")
    missing = sorted(name for name in names if not is_there(index.parent / name))
    if missing or not names:
        raise UserError(
            f"{index} names {', '.join(missing) or 'no file'}: the weights are not complete. Download again."
        )
    if not isinstance(content.get("metadata"), dict):
        raise UserError(f'{index} has no metadata, which transformers wants there. Add "metadata": {{}} to it.')
    return [index.parent / name for name in sorted(names)]
