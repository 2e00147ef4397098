"""The registry of ARM/MDM pairs: assets/pairs.toml, and what a pair is.

A user's own pairs come from the file that CIRCUITS_PAIRS names; a pair there replaces one of the same name here.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine import settings
from engine.errors import UserError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FIELDS = {
    "title": str,
    "arm": str,
    "mdm": str,
    "mask_token": str,
    "shifted": bool,
    "steps": list,
    "steps_dir": str,
    "note": str,
    "published": dict,
    "prompts": str,
}
PROMPTS = ("words", "natural")
REQUIRED = ("title", "arm", "mdm")


@dataclass(frozen=True)
class Pair:
    """An ARM and the MDM post-trained from it. The MDM attends in both directions, whatever its config says.

    `arm`, `mdm`: a hub id or a folder; relative folders start at `base`. `shifted`: the MDM predicts a masked
    position from the one to its left. `steps`: post-training checkpoints, in `steps_dir`/NNNNNN. `prompts`: how tasks
    speak to it, one of PROMPTS; None: in words where its tokenizer knows whole words only, else in natural text.
    """

    name: str
    title: str
    arm: str
    mdm: str
    mask_token: str | None = None
    shifted: bool = False
    steps: tuple[int, ...] = ()
    steps_dir: str | None = None
    note: str = ""
    published: dict[str, Any] = field(default_factory=dict)
    prompts: str | None = None
    base: Path = settings.MODELS

    def folder(self, model: str) -> str:
        """Where "arm", "mdm" or "step:N" is: a folder's path, or a hub id.

        Raises:
            UserError: the pair has no such checkpoint.
        """
        if model in ("arm", "mdm"):
            return self._resolve(self.arm if model == "arm" else self.mdm)
        step = model.removeprefix("step:")
        if not step.isdecimal() or int(step) not in self.steps:
            there = ", ".join(f"step:{n}" for n in self.steps) or "no checkpoints"
            raise UserError(f"The pair {self.name} has no model {model!r}. It has arm, mdm and {there}.")
        return str(self._folder(self.steps_dir or "") / f"{int(step):06d}")

    def _resolve(self, source: str) -> str:
        folder = self._folder(source)
        is_hub_id = HUB_ID.fullmatch(source) and not folder.is_dir()
        return source if is_hub_id else str(folder)

    def _folder(self, source: str) -> Path:
        return self.base / Path(source).expanduser()


def pairs() -> dict[str, Pair]:
    """Every registered pair by name, in the order of the files.

    Raises:
        UserError: a file is missing or says something a pair does not have.
    """
    found = _read(settings.PAIRS, settings.MODELS)
    own = settings.user_pairs_path()
    return found | (_read(own, own.parent) if own else {})


def pair_named(name: str) -> Pair:
    known = pairs()
    if name not in known:
        raise UserError(f"There is no pair called {name!r}. Choose one of: {', '.join(known)}.")
    return known[name]


def weights_id(source: str) -> str:
    """What the numbers of a model come from: sha256 of a folder's config and safetensors, or a hub model's commit.

    Raises:
        UserError: there is no model in the folder, or the hub model was not downloaded yet.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _hub_commit(source)
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("config.json"), *folder.glob("tokenizer*.json")])
    if not any(file.suffix == ".safetensors" for file in files) or not (folder / "config.json").exists():
        raise UserError(f"There is no model in {source}: it needs config.json and weights in *.safetensors.")
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(f"{file.name} {_file_digest(file, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@cache
def _file_digest(file: Path, size: int, modified: int) -> str:
    """sha256 of a file, read again only when its size or time of change is another."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hub_commit(source: str) -> str:
    missing = UserError(
        f"There is no model at {source}. Give a folder with config.json and *.safetensors, or the id of a hub model "
        f"that was downloaded before (hf download {source})."
    )
    if not HUB_ID.fullmatch(source):
        raise missing
    from huggingface_hub.constants import HF_HUB_CACHE

    ref = Path(HF_HUB_CACHE) / f"models--{source.replace('/', '--')}" / "refs" / "main"
    if not ref.is_file():
        raise missing
    return f"{source}@{ref.read_text().strip()}"


def _read(file: Path, base: Path) -> dict[str, Pair]:
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise UserError(f"The pairs file {file} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The pairs file {file} is not valid TOML: {error}.") from error
    return {name: _pair(name, table, base, file) for name, table in tables.items()}


def _pair(name: str, table: Any, base: Path, file: Path) -> Pair:
    if not isinstance(table, dict):
        raise UserError(f"{name} in {file} is not a table. Write [{name}] and its fields below it.")
    for key, value in table.items():
        if key not in FIELDS:
            raise UserError(f"The pair {name} in {file} has an unknown field {key!r}. Known: {', '.join(FIELDS)}.")
        if type(value) is not FIELDS[key]:
            raise UserError(f"{key} of the pair {name} in {file} is {value!r}. It must be a {FIELDS[key].__name__}.")
    for key in REQUIRED:
        if key not in table:
            raise UserError(f"The pair {name} in {file} lacks the field {key!r}.")
    steps = table.get("steps", [])
    if not all(type(step) is int and step >= 0 for step in steps):
        raise UserError(f"steps of the pair {name} in {file} is {steps!r}. It must be a list of step numbers.")
    if table.get("prompts", "words") not in PROMPTS:
        allowed = ", ".join(PROMPTS)
        raise UserError(f"prompts of the pair {name} in {file} is {table['prompts']!r}. Choose one of: {allowed}.")
    if steps and "steps_dir" not in table:
        raise UserError(f"The pair {name} in {file} has steps but lacks the field 'steps_dir'.")
    return Pair(name=name, base=base, **{**table, "steps": tuple(sorted(steps))})
