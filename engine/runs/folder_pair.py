"""Make or find the pair of two models that are named by folders or hub ids, and settle how its MDM is read.

1. The same two models with the same mask are one pair, however the mask and the shift are given (`pair_of_two`).
2. How its MDM is read is what the user says; else what the MDM's config says; else what its answers say under both
   readings (engine/runs/detect_shift.py). Where none of them decides, the user has to say it (`settled`).
3. The result is kept with the pair. It is measured again when the user says otherwise, or when the weights change.
   What the user says is measured too; where the answers say the opposite, it holds for that one command.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from pathlib import Path

from engine import settings
from engine.errors import UserError
from engine.models import hub
from engine.models.architecture import read_config
from engine.models.gguf_files import PREFIX, is_gguf
from engine.models.light_tokenizer import words_of
from engine.models.pair import Pair
from engine.models.pairs import kept_pairs, weights_id
from engine.models.scorable import mask_of
from engine.models.shift_evidence import Readings, ShiftEvidence
from engine.models.sources import snapshot
from engine.runs.device_plan import fitting_dtype

LONGEST_NAME = 30  # characters of a folder's name in a pair's
SHIFTED = ("Dream", "DreamModel", "DiscreteDiffusionModel")  # how Dream's and DiffuLLaMA's families call themselves


def pair_of_two(arm: str, mdm: str, mask: str | int | None = None) -> Pair:
    """The kept pair of two folders or hub ids, else a new one, not yet kept nor settled.

    Raises:
        UserError: there is no such folder, or the hub model was not downloaded.
    """
    arm, mdm = (_whole_path(source) for source in (arm, mdm))
    for source in (arm, mdm):
        snapshot(source)
    tail = hashlib.sha256(f"{arm}\n{mdm}\n{mask!r}".encode()).hexdigest()[:6]
    new = Pair(
        name=f"{_short(arm)}+{_short(mdm)}-{tail}",
        title=f"{Path(arm).name} / {Path(mdm).name}",
        arm=arm,
        mdm=mdm,
        note="Two models named on the command line.",
        base=settings.kept_pairs_dir(),
    )
    new = replace(new, mask_id=mask) if isinstance(mask, int) else replace(new, mask_token=mask)
    known = [pair for pair in kept_pairs().values() if (pair.arm, pair.mdm) == (arm, mdm) and _same_mask(pair, new)]
    return min(known, key=lambda pair: pair.shift_evidence is None, default=new)


def settled(pair: Pair, told: bool | None, task: str, dtype: str | None = None) -> Pair:
    """A pair with how its MDM is read.

    `told`: what the user says now, if anything; `task`: on whose problems the MDM's answers are tried.

    Raises:
        UserError: nothing decides it, or the MDM does not load.
    """
    weights = weights_id(pair.folder("mdm"))
    before = pair.shift_evidence
    shifted = told
    if shifted is None and before is not None and before.source == "told" and not before.contradicts(pair.shifted):
        shifted = pair.shifted
    known = before.readings if before is not None and before.weights == weights else None
    if shifted is not None:
        if known is None or (told is not None and told is not pair.shifted):
            known = _tried(pair, task, dtype)
        return replace(pair, shifted=shifted, shift_evidence=_evidence("told", weights, known))
    if _config_tells(pair):
        return replace(pair, shifted=True, shift_evidence=ShiftEvidence("config", weights))
    known = known or _tried(pair, task, dtype)
    if known.shifted is None:
        raise UserError(
            f"Whether the MDM {pair.mdm} predicts shifted is undecided: its files don't say it, and {known}. "
            "Name both models with --arm and --mdm, and say --shifted (it predicts a masked token from the position "
            "before) or --not-shifted."
        )
    return replace(pair, shifted=known.shifted, shift_evidence=_evidence("answers", weights, known))


def refreshed(pair: Pair, task: str, dtype: str | None = None) -> Pair:
    """A kept pair as it was settled, or settled anew where the MDM's weights have changed since; raises like that.

    Where the MDM is not here, as that of an imported pair, it stays as it was settled.
    """
    before = pair.shift_evidence
    try:
        weights = weights_id(pair.folder("mdm"))
    except UserError:
        return pair
    return pair if before is None or before.weights == weights else settled(pair, None, task, dtype)


def _tried(pair: Pair, task: str, dtype: str | None) -> Readings:
    from engine.runs.detect_shift import readings

    return readings(pair, task, dtype or fitting_dtype(pair))


def _evidence(source: str, weights: str, readings: Readings) -> ShiftEvidence:
    if not math.isfinite(readings.before + readings.there):  # the run itself refuses such a model
        return ShiftEvidence(source, weights)
    return ShiftEvidence(source, weights, readings.before, readings.there, readings.guess)


def _same_mask(first: Pair, second: Pair) -> bool:
    """Whether two pairs of the same models mean the same token, named or numbered, given or read from the files."""
    if first.mask == second.mask:
        return True
    number = _mask_number(first)
    return number is not None and number == _mask_number(second)


def _mask_number(pair: Pair) -> int | None:
    """None where the mask or the MDM's tokenizer is not known here."""
    try:
        mask = mask_of(pair, snapshot(pair.folder("mdm")))
        return mask if isinstance(mask, int) else words_of(pair.tokenizer("mdm")).id_of(mask)
    except UserError:
        return None


def _config_tells(pair: Pair) -> bool:
    config = read_config(snapshot(pair.folder("mdm")))
    return any(name in SHIFTED for name in (config.get("model_type"), *(config.get("architectures") or [])))


def _whole_path(source: str) -> str:
    """A folder's or a file's absolute path; a hub id or a file of a package as it is."""
    try:
        if source.startswith(PREFIX):
            return source
        folder = Path(source).expanduser()
        is_path = folder.is_dir() or is_gguf(source) or not hub.HUB_ID.fullmatch(source)
        return str(folder.resolve()) if is_path else source
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, no such user, a loop of links
        raise UserError(f"There is no model at {source}: {error}.") from error


def _short(source: str) -> str:
    """The last part of a path or hub id, as it can stand in a pair's name."""
    return re.sub(r"[^\w.-]+", "-", Path(source).name, flags=re.ASCII)[:LONGEST_NAME]
