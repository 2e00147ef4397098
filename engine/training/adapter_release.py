"""The adapters of a trained folder as a pair ships them: both models' and checkpoints of the MDM, with model cards.

1. Both adapters are taken as they were stored, checkpoints at a lower rank (engine/training/adapter_ranks.py), so that
   all files together stay small.
2. Each is merged into the base model as the pair merges it, and solves other held-out problems than those that were
   asked during training.
3. Cards are written from the record (engine/training/adapter_card.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from engine.files.reading import Json
from engine.files.writing import write_whole
from engine.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MASK, merge
from engine.models.model import load_model
from engine.training.adapt import PHASES, RECORD, STEPS
from engine.training.adapter_card import write_adapter_card
from engine.training.adapter_measures import Shares, shares_of
from engine.training.adapter_ranks import of_rank
from engine.training.low_rank import Shape, read_adapter, save_adapter

SEED = 2  # of the problems; training asks others


@dataclass(frozen=True)
class Release:
    """How many problems a task the two models and a checkpoint are asked (adapter_measures: an MDM fewer of some).

    `rank`: of a checkpoint; those before `first_step` are left out.
    """

    asked: int = 400
    asked_of_step: int = 96
    rank: int = 4
    first_step: int = 32


def release(base: Path, trained: Path, folder: Path, how: Release) -> Iterator[str]:
    """Write folder/arm, folder/mdm, folder/steps/NNNNNN and folder/training.json; lines tell what was measured.

    `base`: the folder of the model that was adapted. `trained`: what engine.training.adapt wrote.

    Raises:
        UserError: there are no two trained adapters.
    """
    record = _record(trained)
    for phase in PHASES:
        copied = folder / phase
        copied.mkdir(parents=True, exist_ok=True)
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            shutil.copyfile(trained / f"{phase}_adapter" / name, copied / name)
        adapters = [folder / "arm"] if phase == "arm" else [folder / "arm", folder / "mdm"]
        record[phase]["final"] = _solved(base, adapters, how.asked)
        yield f"{phase}: {_told(record[phase]['final'])}"
    shape = Shape(record["spec"]["rank"], record["spec"]["alpha"])
    record["mdm"]["checkpoints"] = []
    for step in sorted((trained / STEPS).iterdir()):
        if int(step.name) < how.first_step:
            continue
        copied = folder / STEPS / step.name
        save_adapter(copied, *of_rank(read_adapter(step), shape, how.rank), with_mask=True)
        solved = _solved(base, [folder / "arm", copied], how.asked_of_step)
        record["mdm"]["checkpoints"].append({"step": int(step.name), "rank": how.rank, "tasks": solved})
        yield f"step {int(step.name)} at rank {how.rank}: {_told(solved)}"
    write_whole(folder / RECORD, json.dumps(record, separators=(",", ":")))
    for phase in PHASES:
        write_adapter_card(folder / phase, phase, record)


def _record(trained: Path) -> Json:
    file = trained / RECORD
    record: Json = json.loads(file.read_text()) if file.is_file() else {}
    lacking = [phase for phase in PHASES if phase not in record]
    if lacking:
        raise UserError(f"{trained} holds no {' and no '.join(lacking)} that was trained. Train it first.")
    return record


def _solved(base: Path, adapters: Sequence[Path], n: int) -> Shares:
    """By task what the base solves with adapters merged into it: the ARM's alone, or another one's after it."""
    is_arm = len(adapters) == 1
    with tempfile.TemporaryDirectory() as place:
        merge(base, list(adapters), Path(place))
        model = load_model(place, causal=is_arm, shifted=True, mask_token=None if is_arm else MASK)
        return shares_of(model, n, SEED)


def _told(shares: Shares) -> str:
    return ", ".join(f"{name} {share['solved']:.1%} of {share['n']}" for name, share in shares.items())
