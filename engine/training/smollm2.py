"""The adapters of the pair smollm2: training on from what a folder holds, and making them ready to ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from engine.models.loading import load_weights
from engine.models.model import load_tokenizer
from engine.models.pairs import pair_named
from engine.models.sources import snapshot
from engine.training.adapt import PHASES, AdaptSpec, Pace, adapt
from engine.training.adapter_release import Release, release

PAIR = "smollm2"
UNLIMITED = 10**9  # minutes


def train_adapters(out: Path, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Train until both phases have seen their tokens or used their minutes (engine/training/adapt.py);
    lines tell how it goes.

    `chosen`: of seed, arm_tokens, mdm_tokens, arm_minutes and mdm_minutes those that are not left to the recipe.

    Raises:
        UserError: the base model is not here, or `out` holds an MDM that began from an earlier state of the ARM.
    """
    folder = snapshot(pair_named(PAIR).arm)
    base, tokenizer = load_weights(folder), load_tokenizer(str(folder))
    minutes = {phase: chosen.get(f"{phase}_minutes", UNLIMITED) for phase in PHASES}
    spec = AdaptSpec(**{name: value for name, value in chosen.items() if not name.endswith("_minutes")})
    yield from adapt(cast(Any, base), tokenizer, spec, out, Pace(minutes))


def release_adapters(out: Path, folder: Path) -> Iterator[str]:
    """Write what `out` holds to a new folder as a pair ships it; lines tell what it solves.

    Raises:
        UserError: the folder holds something, or the base model or the adapters are not here.
    """
    yield from release(snapshot(pair_named(PAIR).arm), out, folder, Release())
