"""What a pair is, and its table in a TOML file: every field checked by name and type, in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from engine import settings
from engine.errors import UserError
from engine.files.checked import Must, checked
from engine.models.architecture import Shape
from engine.models.gguf_files import PREFIX, is_gguf
from engine.models.hub import HUB_ID
from engine.models.model_files import is_folder
from engine.models.shift_evidence import ShiftEvidence
from engine.models.sources import adapted, snapshot

NAME = re.compile(r"[\w.+-]{1,80}", re.ASCII)
DTYPES = ("float32", "bfloat16")
CONTROL = "control"  # the ARM's own weights, read as the MDM is
REVISION = re.compile(r"[\w.-]+")
CLASS = re.compile(r"[A-Z]\w*")
TOKENIZER = "tokenizer.json"
PROMPTS = ("words", "natural", "plain")
TABLES: dict[str, type] = {"shape": Shape, "shift_evidence": ShiftEvidence}  # fields that are tables themselves

Source = Annotated[str, Must(str.strip, "a folder or a hub id")]
Revision = Annotated[str | None, Must(REVISION.fullmatch, "a commit, branch or tag")]


@dataclass(frozen=True)
class Pair:
    """An ARM and the MDM post-trained from it. The MDM attends in both directions, whatever its config says.

    `arm`, `mdm`: a hub id, a folder or a GGUF file (engine/models/sources.py); relative paths start at `base`.
    `arm_adapter`, `mdm_adapter`: folders of low-rank adapters, merged into the models; where `mdm` is the same as
    `arm`, `mdm_adapter` is merged into the ARM with its adapter.
    `arm_revision`, `mdm_revision`: the commit of a hub model.
    `architecture`: the transformers class that loads both; None: what the ARM's config says.
    `mask_token` or `mask_id`: the token that masks what is not known yet; neither: the one that the MDM's files name.
    `shifted`: the MDM predicts a masked position from the one to its left.
    `shift_evidence`: how that is known, of a pair of two folders; None: this table says it.
    `mdm_keys`: what the names of its weights begin with, and what to put there instead.
    `prompts`: in which form tasks are put to it, one of PROMPTS; None: in words where its tokenizer knows whole words
    only, else in natural text.
    `dtype`: preferred where it fits.
    `shape`: the numbers of the architecture, for when no config.json is here.
    `licence`: where it is accepted, when a model is gated.
    `steps`: post-training checkpoints, in `steps_dir`/NNNNNN: models, or adapters as `mdm_adapter` is one.
    """

    name: str
    title: str
    arm: Source
    mdm: Source
    arm_adapter: str | None = None
    mdm_adapter: str | None = None
    arm_revision: Revision = None
    mdm_revision: Revision = None
    architecture: Annotated[str | None, Must(CLASS.fullmatch, "a class of transformers, as in Qwen2ForCausalLM")] = None
    mask_token: str | None = None
    mask_id: Annotated[int | None, Must(lambda number: number >= 0, "a token's number, from 0 up")] = None
    shifted: bool = False
    shift_evidence: ShiftEvidence | None = None
    mdm_keys: Mapping[str, str] = field(default_factory=dict)
    prompts: Annotated[str | None, Must.be_one_of(PROMPTS)] = None
    dtype: Annotated[str | None, Must.be_one_of(DTYPES)] = None
    shape: Shape | None = None
    licence: Annotated[str | None, Must(lambda address: address.startswith("https://"), "an https address")] = None
    steps: Annotated[tuple[int, ...], Must(lambda steps: min(steps, default=0) >= 0, "a list of step numbers")] = ()
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
        """The source of "arm", "mdm" or "step:N": a folder's path, a hub id with its revision ("id@revision"), a GGUF
        file, or one of these with adapters.

        The control's weights are the ARM's.

        Raises:
            UserError: the pair has no such checkpoint.
        """
        if model in ("arm", CONTROL):
            return adapted(self._resolve(self.arm, self.arm_revision), self._adapter(self.arm_adapter))
        base = self._resolve(self.mdm, self.mdm_revision)
        if base == self._resolve(self.arm, self.arm_revision) and self.mdm_adapter:
            base = self.folder("arm")
        if model == "mdm":
            return adapted(base, self._adapter(self.mdm_adapter))
        step = model.removeprefix("step:")
        if not step.isdecimal() or int(step) not in self.steps:
            there = ", ".join(f"step:{n}" for n in self.steps) or "no checkpoints"
            raise UserError(f"The pair {self.name} has no model {model!r}. It has arm, mdm, control and {there}.")
        checkpoint = self._folder(self.steps_dir or "") / f"{int(step):06d}"
        return adapted(base, checkpoint) if self.mdm_adapter else str(checkpoint)

    def tokenizer(self, model: str) -> str:
        """The folder of the tokenizer that a model is read with: its own, else that of the MDM, else that of the ARM.

        An MDM has the tokenizer of its ARM and a mask, which is known by its number where its own files are another
        library's. The control is read with the MDM's.

        Raises:
            UserError: the pair has no such checkpoint, or its models are not here.
        """
        first = "mdm" if model == CONTROL else model
        models = dict.fromkeys((first, "mdm" if model != "arm" else "arm", "arm"))
        tried = [snapshot(self.folder(name)) for name in models]
        return str(next((folder for folder in tried if (folder / TOKENIZER).is_file()), tried[0]))

    def reading(self, model: str) -> dict[str, Any]:
        """What of this table changes the numbers of a model, its weights aside: only what departs from how pairs were
        read before there was a choice, so that runs from then still count.
        """
        fields: dict[str, Any] = {"reading": None if model == "arm" else [self.mask, self.shifted]}
        if self.architecture is not None:
            fields["architecture"] = self.architecture
        if self.prompts != "words":
            fields["prompts"] = self.prompts
        if self.mdm_keys and model not in ("arm", CONTROL):
            fields["keys"] = dict(self.mdm_keys)
        return fields

    def _resolve(self, source: str, revision: str | None) -> str:
        folder = self._folder(source)
        if source.startswith(PREFIX):
            return source
        is_hub_id = not is_gguf(source) and HUB_ID.fullmatch(source) and not is_folder(folder)
        if not is_hub_id:
            return str(folder)
        return f"{source}@{revision}" if revision else source

    def _adapter(self, folder: str | None) -> Path | None:
        return None if folder is None else self._folder(folder)

    def _folder(self, source: str) -> Path:
        return self.base / Path(source).expanduser()


def model_title(model: str) -> str:
    """What a sentence calls "arm", "mdm", "control" or "step:N" of a pair."""
    if model.startswith("step:"):
        return f"MDM after {int(model.removeprefix('step:')):,} steps"
    return {"arm": "ARM", CONTROL: "step-0 control"}.get(model, "MDM")


def pair_of(name: str, table: Any, base: Path, file: Path) -> Pair:
    """The pair that a table of a file describes.

    Raises:
        UserError: an unknown or missing field, a wrong type or a value that a pair cannot have; the text names it.
    """
    what, where = f"The pair {name} in {file}", f"of the pair {name} in {file}"
    if not isinstance(table, dict):
        raise UserError(f"{name} in {file} is not a table. Write [{name}] and its fields below it.")
    if not NAME.fullmatch(name):
        raise UserError(f"The pair {name!r} in {file} has a name with odd characters. Use letters, digits and . + - _.")
    values = dict(table)
    for key, kind in TABLES.items():
        if isinstance(table.get(key), dict):
            values[key] = checked(kind, table[key], f"The {key} {where}", f"in the {key} {where}")
    pair = checked(Pair, values, what, where, name=name, base=base)
    if pair.steps and pair.steps_dir is None:
        raise UserError(f"{what} has steps but lacks the field 'steps_dir'.")
    if pair.mask_token is not None and pair.mask_id is not None:
        raise UserError(f"mask_id {where} is given beside a mask_token. Give one of the two.")
    if pair.shift_evidence is not None:
        _refuse_incomplete(pair.shift_evidence, f"The shift_evidence {where}")
    return replace(pair, steps=tuple(sorted(pair.steps)))


def toml_of(pair: Pair) -> str:
    """The table of a pair as `pair_of` reads it; what is left at its default is left out."""
    import tomli_w

    plain = Pair(pair.name, "", "", "", base=pair.base)
    table = {field.name: getattr(pair, field.name) for field in fields(Pair)}
    table = {name: value for name, value in table.items() if value != getattr(plain, name)}
    for name in TABLES.keys() & table.keys():
        table[name] = {key: value for key, value in asdict(table[name]).items() if value is not None}
    return tomli_w.dumps({pair.name: table})


def _refuse_incomplete(evidence: ShiftEvidence, what: str) -> None:
    measured = [value for value in (evidence.before, evidence.there, evidence.guess) if value is not None]
    if measured and evidence.readings is None:
        raise UserError(f"{what} needs before, there and guess together.")
    if evidence.source == "answers" and not measured:
        raise UserError(f"{what} lacks what was measured: before, there and guess.")
