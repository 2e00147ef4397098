"""The adapters of a trained folder as a pair ships them: both models' and checkpoints of the MDM, with model cards.

1. Both adapters are taken as they were stored, checkpoints at a lower rank (engine/training/adapter_ranks.py), so that
   all files together stay small.
2. Each is merged into the base model as the pair merges it, and asked held-out problems, drawn with another seed than
   during training.
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
from engine.files.writing import make_empty, write_whole
from engine.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MASK, adapter_in, merge
from engine.models.model import load_model
from engine.models.model_files import read_table
from engine.training.adapt import PHASES, RECORD, STEPS
from engine.training.adapter_card import write_adapter_card
from engine.training.adapter_measures import Shares, shares_of, told
from engine.training.adapter_ranks import of_rank
from engine.training.low_rank import Shape, read_adapter, save_adapter

SEED = 2  # of the problems


@dataclass(frozen=True)
class Release:
    """How many problems a task the two models and a checkpoint are asked (adapter_measures: an MDM fewer of some).

    `rank`: of a checkpoint; those before `first_step` are left out.
    """

    asked: int = 400
    asked_of_step: int = 64
    rank: int = 4
    first_step: int = 32


def release(base: Path, trained: Path, folder: Path, how: Release) -> Iterator[str]:
    """Write folder/arm, folder/mdm, folder/steps/NNNNNN and folder/training.json; lines tell what was measured.

    `base`: the folder of the model that was adapted. `trained`: what engine.training.adapt wrote.

    Raises:
        UserError: `trained` does not hold two adapters and the checkpoints of the second, or `folder` holds something.
    """
    record, steps = _releasable(trained, how.first_step)
    make_empty(folder)
    arm, mdm = (folder / phase for phase in PHASES)
    for phase in PHASES:
        _copy_adapter(trained / f"{phase}_adapter", folder / phase)
    shape = Shape(record["spec"]["rank"], record["spec"]["alpha"])
    lowered = {step: folder / STEPS / f"{step:06d}" for step in steps}
    for step, copied in lowered.items():
        save_adapter(copied, *of_rank(read_adapter(steps[step]), shape, how.rank), with_mask=True)
    for phase, adapters in (("arm", [arm]), ("mdm", [arm, mdm])):
        record[phase]["final"] = _solved(base, adapters, how.asked)
        yield f"{phase}: {told(record[phase]['final'])}"
    record["mdm"]["checkpoints"] = []
    for step, copied in lowered.items():
        solved = _solved(base, [arm, copied], how.asked_of_step)
        record["mdm"]["checkpoints"].append({"step": step, "rank": how.rank, "tasks": solved})
        yield f"step {step} at rank {how.rank}: {told(solved)}"
    write_whole(folder / RECORD, json.dumps(record, separators=(",", ":")))
    for phase in PHASES:
        write_adapter_card(folder / phase, phase, record)


def _releasable(trained: Path, first_step: int) -> tuple[Json, dict[int, Path]]:
    """The record of a trained folder, and its checkpoints from `first_step` on, by step.

    Raises:
        UserError: it does not hold two adapters that were measured as they are, and the checkpoints of the second.
    """
    file = trained / RECORD
    if not file.is_file():
        raise UserError(f"There is no {RECORD} in {trained}. Name the folder that `train --recipe smollm2` wrote.")
    record: Json = read_table(file)
    for phase in PHASES:
        if phase not in record:
            raise UserError(f"{trained} holds no {phase} that was trained. Train it first.")
        adapter_in(trained / f"{phase}_adapter")
        step, measured = record[phase]["step"], record[phase]["measured"]
        if not measured or measured[-1]["step"] != step:
            raise UserError(
                f"The {phase} in {trained} was not measured after its last step, {step:,}. Measure it: train with "
                f"--{phase}-tokens {record[phase]['tokens']}."
            )
    folders = (trained / STEPS).iterdir() if (trained / STEPS).is_dir() else []
    steps = {int(folder.name): folder for folder in sorted(folders) if folder.name.isdecimal()}
    late = next((step for step in steps if step > record["mdm"]["step"]), None)
    if late is not None:
        raise UserError(f"{steps[late]} is later than the MDM, of {record['mdm']['step']:,} steps. Move it away.")
    return record, {step: folder for step, folder in steps.items() if step >= first_step}


def _copy_adapter(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        shutil.copyfile(source / name, folder / name)


def _solved(base: Path, adapters: Sequence[Path], n: int) -> Shares:
    """By task what the base solves with adapters merged into it: the ARM's alone, or another one's after it."""
    is_arm = len(adapters) == 1
    with tempfile.TemporaryDirectory() as place:
        merge(base, list(adapters), Path(place))
        model = load_model(place, causal=is_arm, shifted=True, mask_token=None if is_arm else MASK)
        return shares_of(model, n, SEED)
