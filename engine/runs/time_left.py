"""How long a job will still take, from what its artifacts took so far."""

from __future__ import annotations

from engine.runs.records import Progress
from engine.schema.artifacts import AnyKind

# How long artifacts take, as a share of what the circuit does; about, and only until some of the job are stored.
WEIGHT: dict[AnyKind, float] = {
    "circuit": 1.0,
    "ability": 0.3,
    "lens": 0.2,
    "activity": 0.2,
    "weights": 0.5,
    "faithfulness": 10.0,
    "faithfulness_at": 1.0,
    "knockouts": 3.0,
    "audit": 10.0,
    "circuit_part": 1.0,
}


def time_left(
    progress: Progress,
    stage_seconds: float,
    step_seconds: float,
    step: AnyKind,
    before: tuple[float, float],
    after: float,
) -> float | None:
    """Seconds until a job is done, or None when there is nothing to judge by.

    `stage_seconds`, `step_seconds`: since the current stage of the artifact `step` and since that artifact began;
    `before`: the WEIGHT of the artifacts that were computed, and the seconds they took; `after`: the WEIGHT of those
    that follow.
    """
    stage_left = stage_seconds * (1 - progress.share) / progress.share if progress.share else None
    weight, seconds = before
    if weight:
        typical = seconds / weight
        left = WEIGHT[step] * typical - step_seconds
        return max(left, stage_left or 0.0) + after * typical
    if stage_left is None:
        return None
    return stage_left + after * (step_seconds + stage_left) / WEIGHT[step]
