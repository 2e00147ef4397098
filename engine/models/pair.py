"""What a pair is, and its table in a TOML file: every field checked by name and type, in both directions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine import settings
from engine.errors import UserError
from engine.models.architecture import Shape
from engine.models.hub import HUB_ID, snapshot
from engine.models.model_files import is_folder
from engine.models.shift_evidence import SOURCES, ShiftEvidence

NAME = re.compile(r"[\w.+-]{1,80}", re.ASCII)
DTYPES = ("float32", "bfloat16")
CONTROL = "control"  # the ARM's own weights, read as the MDM is
REVISION = re.compile(r"[\w.-]+")
CLASS = re.compile(r"[A-Z]\w*")
TOKENIZER = "tokenizer.json"
PROMPTS = ("words", "natural")


@dataclass(frozen=True)
class Pair:
    """An ARM and the MDM post-trained from it. The MDM attends in both directions, whatever its config says.

    `arm`, `mdm`: a hub id or a folder; relative folders start at `base`.
    `arm_revision`, `mdm_revision`: the commit of a hub model.
    `architecture`: the transformers class that loads both; None: what the ARM's config says.
    `mask_token` or `mask_id`: what stands for an unknown token; neither: what the MDM's files say.
    `shifted`: the MDM predicts a masked position from the one to its left.
    `shift_evidence`: how that is known, of a pair of two folders; None: this table says it.
    `mdm_keys`: what the names of its weights begin with, and what to put there instead.
    `prompts`: how tasks speak to it, one of PROMPTS; None: in words where its tokenizer knows whole words only, else in
    natural text.
    `dtype`: preferred where it fits.
    `shape`: the numbers of the architecture, for when no config.json is here.
    `licence`: where it is accepted, when a model is gated.
    `steps`: post-training checkpoints, in `steps_dir`/NNNNNN.
    """

    name: str
    title: str
    arm: str
    mdm: str
    arm_revision: str | None = None
    mdm_revision: str | None = None
    architecture: str | None = None
    mask_token: str | None = None
    mask_id: int | None = None
    shifted: bool = False
    shift_evidence: ShiftEvidence | None = None
    mdm_keys: Mapping[str, str] = field(default_factory=dict)
    prompts: str | None = None
    dtype: str | None = None
    shape: Shape | None = None
    licence: str | None = None
    steps: tuple[int, ...] = ()
    steps_dir: str | None = None
    note: str = ""
    base: Path = settings.MODELS

    @property
    def mask(self) -> str | int | None:
        """The mask as a token or its id; None: what the MDM's files say."""
        return self.mask_token if self.mask_id is None else self.mask_id

    @property
    def how_read(self) -> str:
        """How the MDM is read, and how that is known, in a sentence; empty where this table says it."""
        return self.shift_evidence.text(self.shifted) if self.shift_evidence else ""

    @property
    def misread(self) -> bool:
        """Whether the MDM's answers clearly say that it is read the wrong way."""
        return self.shift_evidence is not None and self.shift_evidence.contradicts(self.shifted)

    def folder(self, model: str) -> str:
        """Where "arm", "mdm" or "step:N" is: a folder's path, or a hub id with its revision ("id@revision").

        The control's weights are the ARM's.

        Raises:
            UserError: the pair has no such checkpoint.
        """
        if model in ("arm", CONTROL):
            return self._resolve(self.arm, self.arm_revision)
        if model == "mdm":
            return self._resolve(self.mdm, self.mdm_revision)
        step = model.removeprefix("step:")
        if not step.isdecimal() or int(step) not in self.steps:
            there = ", ".join(f"step:{n}" for n in self.steps) or "no checkpoints"
            raise UserError(f"The pair {self.name} has no model {model!r}. It has arm, mdm, control and {there}.")
        return str(self._folder(self.steps_dir or "") / f"{int(step):06d}")

    def tokenizer(self, model: str) -> str:
        """The folder of the tokenizer that a model is read with: its own, else that of the MDM, else that of the ARM.

        An MDM has the tokenizer of its ARM and a mask, which is known by its number where its own files are another
        library's. The control is read with the MDM's.

        Raises:
            UserError: the pair has no such checkpoint, or its models are not here.
        """
        first = "mdm" if model == CONTROL else model
        tried = [
            snapshot(self.folder(one)) for one in dict.fromkeys((first, "mdm" if model != "arm" else "arm", "arm"))
        ]
        return str(next((folder for folder in tried if (folder / TOKENIZER).is_file()), tried[0]))

    def reading(self, model: str) -> dict[str, Any]:
        """What of this table changes the numbers of a model, its weights aside: only what departs from how pairs were
        read before there was a choice, so that runs from then still count.
        """
        found: dict[str, Any] = {"reading": None if model == "arm" else [self.mask, self.shifted]}
        if self.architecture is not None:
            found["architecture"] = self.architecture
        if self.prompts != "words":
            found["prompts"] = self.prompts
        if self.mdm_keys and model not in ("arm", CONTROL):
            found["keys"] = dict(self.mdm_keys)
        return found

    def _resolve(self, source: str, revision: str | None) -> str:
        folder = self._folder(source)
        is_hub_id = HUB_ID.fullmatch(source) and not is_folder(folder)
        if not is_hub_id:
            return str(folder)
        return f"{source}@{revision}" if revision else source

    def _folder(self, source: str) -> Path:
        return self.base / Path(source).expanduser()


TYPES: dict[str, type] = {
    "title": str,
    "arm": str,
    "mdm": str,
    "arm_revision": str,
    "mdm_revision": str,
    "architecture": str,
    "mask_token": str,
    "mask_id": int,
    "shifted": bool,
    "shift_evidence": dict,
    "mdm_keys": dict,
    "prompts": str,
    "dtype": str,
    "shape": dict,
    "licence": str,
    "steps": list,
    "steps_dir": str,
    "note": str,
}
REQUIRED = ("title", "arm", "mdm")
SHAPE_TYPES = {one.name: bool if one.type == "bool" else int for one in fields(Shape)}
SHAPE_OPTIONAL = ("gated",)
EVIDENCE_TYPES: dict[str, type] = {"source": str, "weights": str, "before": float, "there": float, "guess": float}


def pair_of(name: str, table: Any, base: Path, file: Path) -> Pair:
    """The pair that a table of a file describes.

    Raises:
        UserError: an unknown or missing field, a wrong type or a value that a pair cannot have; the text names it.
    """
    where = f"of the pair {name} in {file}"
    if not isinstance(table, dict):
        raise UserError(f"{name} in {file} is not a table. Write [{name}] and its fields below it.")
    if not NAME.fullmatch(name):
        raise UserError(f"The pair {name!r} in {file} has a name with odd characters. Use letters, digits and . + - _.")
    _refuse_unknown(table, TYPES, f"The pair {name} in {file}", where)
    for key in REQUIRED:
        if key not in table:
            raise UserError(f"The pair {name} in {file} lacks the field {key!r}.")
    _refuse_values(table, where)
    steps = table.get("steps", [])
    if steps and "steps_dir" not in table:
        raise UserError(f"The pair {name} in {file} has steps but lacks the field 'steps_dir'.")
    shape = _shape(table["shape"], where) if "shape" in table else None
    evidence = _evidence(table["shift_evidence"], where) if "shift_evidence" in table else None
    read = {"steps": tuple(sorted(steps)), "shape": shape, "shift_evidence": evidence}
    return Pair(name=name, base=base, **{**table, **read})


def toml_of(pair: Pair) -> str:
    """The table of a pair as `pair_of` reads it; what is left at its default is left out."""
    lines = [f"[{json.dumps(pair.name)}]"]
    for one in fields(Pair):
        value = getattr(pair, one.name)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if one.name in TYPES and value != default:
            lines.append(f"{one.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _refuse_unknown(table: Mapping[str, Any], types: Mapping[str, type], what: str, where: str) -> None:
    for key, value in table.items():
        if key not in types:
            raise UserError(f"{what} has an unknown field {key!r}. Known: {', '.join(types)}.")
        if type(value) is not types[key]:
            raise UserError(f"{key} {where} is {value!r}. It must be a {types[key].__name__}.")


def _refuse_values(table: Mapping[str, Any], where: str) -> None:
    rules: dict[str, tuple[Callable[[Any], object], str]] = {
        "arm": (str.strip, "a folder or a hub id"),
        "mdm": (str.strip, "a folder or a hub id"),
        "arm_revision": (REVISION.fullmatch, "a commit, branch or tag"),
        "mdm_revision": (REVISION.fullmatch, "a commit, branch or tag"),
        "architecture": (CLASS.fullmatch, "a class of transformers, as in Qwen2ForCausalLM"),
        "mask_id": (lambda v: v >= 0, "a token's number, from 0 up"),
        "mdm_keys": (lambda v: all(type(new) is str for new in v.values()), "a table of texts"),
        "prompts": (lambda v: v in PROMPTS, f"one of: {', '.join(PROMPTS)}"),
        "dtype": (lambda v: v in DTYPES, f"one of: {', '.join(DTYPES)}"),
        "licence": (lambda v: v.startswith("https://"), "an https address"),
        "steps": (lambda v: all(type(step) is int and step >= 0 for step in v), "a list of step numbers"),
    }
    for key, (allowed, wanted) in rules.items():
        if key in table and not allowed(table[key]):
            raise UserError(f"{key} {where} is {table[key]!r}. It must be {wanted}.")
    if "mask_token" in table and "mask_id" in table:
        raise UserError(f"mask_id {where} stands beside a mask_token. Give one of the two.")


def _shape(table: Mapping[str, Any], where: str) -> Shape:
    _refuse_unknown(table, SHAPE_TYPES, f"The shape {where}", f"in the shape {where}")
    for key in SHAPE_TYPES:
        if key not in table and key not in SHAPE_OPTIONAL:
            raise UserError(f"The shape {where} lacks the field {key!r}.")
        if type(table.get(key)) is int and table[key] < 1:
            raise UserError(f"{key} in the shape {where} is {table[key]!r}. It must be a number from 1 up.")
    return Shape(**table)


def _evidence(table: Mapping[str, Any], where: str) -> ShiftEvidence:
    _refuse_unknown(table, EVIDENCE_TYPES, f"The shift_evidence {where}", f"in the shift_evidence {where}")
    for key in ("source", "weights"):
        if key not in table:
            raise UserError(f"The shift_evidence {where} lacks the field {key!r}.")
    if table["source"] not in SOURCES:
        raise UserError(f"source in the shift_evidence {where} must be one of: {', '.join(SOURCES)}.")
    measured = [table.get(key) for key in ("before", "there", "guess")]
    if any(measured) and not all(type(one) is float and math.isfinite(one) for one in measured):
        raise UserError(f"The shift_evidence {where} needs before, there and guess together, as finite numbers.")
    if table["source"] == "answers" and not any(measured):
        raise UserError(f"The shift_evidence {where} lacks what was measured.")
    return ShiftEvidence(**table)


def _toml(value: Any) -> str:
    """A value as TOML; texts as JSON writes them, which TOML reads alike."""
    if isinstance(value, Shape | ShiftEvidence):
        value = {one.name: getattr(value, one.name) for one in fields(value) if getattr(value, one.name) is not None}
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
