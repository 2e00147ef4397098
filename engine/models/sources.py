"""Where a model is, whatever it is named by: its folder, made first where it comes from other files.

A source is one of
1. a folder, or a hub id that was downloaded (engine/models/hub.py),
2. a GGUF file, as a path or of an installed package (engine/models/gguf_files.py),
3. one of these and folders of adapters, which are merged into it in their order (engine/models/adapters.py):
   "BASE + ADAPTER + ADAPTER".

What is made from others is made by `snapshot`, once. `weights_id` and `there` make nothing, so that pages can ask them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.errors import UserError
from engine.models import adapters, gguf_files, hub
from engine.models.derived_folders import derived_folder, make_once
from engine.models.model_files import is_folder, is_there, refuse_irregular
from engine.models.weights_identity import digest_of

AND = " + "


def adapted(base: str, *folders: Path | None) -> str:
    """A source with adapters; None among them is none.

    Raises:
        UserError: a path cannot stand in one.
    """
    parts = [*base.split(AND), *(str(folder) for folder in folders if folder is not None)]
    odd = next((part for part in parts if AND in part), None)
    if odd is not None:
        raise UserError(f"The adapter in {odd} has {AND!r} in its path, which stands between adapters. Rename it.")
    return AND.join(parts)


def snapshot(source: str) -> Path:
    """The folder with the files of a source, as far as they are here.

    Raises:
        UserError: it is not here; the text says how to get it. Or it can't be converted or merged.
    """
    base, folders = _parts(source)
    if folders:
        made_from = adapters.adapted_id(weights_id(base), folders)
        return make_once(derived_folder(made_from), lambda folder: adapters.merge(snapshot(base), folders, folder))
    return gguf_files.folder_of(source) if _is_gguf(source) else hub.snapshot(source)


def there(source: str) -> Path | None:
    """The folder of a source; None where it is still to be made.

    Raises:
        UserError: what it is made from is not here.
    """
    if not is_derived(source):
        return hub.snapshot(source)
    folder = derived_folder(weights_id(source))
    return folder if folder.is_dir() else None


def is_derived(source: str) -> bool:
    """Whether the folder of a source is made from other files."""
    return bool(_parts(source)[1]) or _is_gguf(source)


def weights_id(source: str) -> str:
    """What the numbers of a model come from: sha256 of a folder's config and safetensors, a hub model's commit, sha256
    of a GGUF file, or sha256 of what is merged.

    Raises:
        UserError: there is no model in the folder, or the hub model, package or adapter is not here.
    """
    base, folders = _parts(source)
    if folders:
        return adapters.adapted_id(weights_id(base), folders)
    if _is_gguf(source):
        return gguf_files.gguf_id(source)
    return hub.weights_id(source) or _folder_id(source)


def get_command(source: str) -> str | None:
    """What to type for what a source lacks of the hub or of a package index; None where it lacks nothing of these."""
    base = _parts(source)[0]
    try:
        weights_id(base)
        return None
    except UserError:
        pass
    if _is_gguf(base):
        return gguf_files.install_command(base)
    return hub.download_command(base) if hub.HUB_ID.fullmatch(base) else None


def _parts(source: str) -> tuple[str, list[Path]]:
    """The base of a source and its adapters."""
    if AND not in source or is_folder(Path(source)):
        return source, []
    base, *folders = source.split(AND)
    return base, [Path(folder) for folder in folders]


def _is_gguf(source: str) -> bool:
    return gguf_files.is_gguf(source) and not is_folder(Path(source))


def _folder_id(source: str) -> str:
    folder = Path(source)
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("config.json"), *folder.glob("tokenizer*.json")])
    if not any(file.suffix == ".safetensors" for file in files) or not is_there(folder / "config.json"):
        raise UserError(f"There is no model in {source}: it needs config.json and weights in *.safetensors.")
    digest = hashlib.sha256()
    for file in files:
        refuse_irregular(file)
        digest.update(f"{file.name} {digest_of(file)}\n".encode())
    return digest.hexdigest()
