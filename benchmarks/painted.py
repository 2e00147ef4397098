"""Input events and the frames that show them: how long after an event it was painted, and how many frames a second.

The circuit component tells every frame that it painted by an event "circuit-painted" (pages/components/circuit). All
times are milliseconds of the page's own clock, performance.now(), on which input events are stamped too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

EVENTS_A_SECOND = 60


@dataclass(frozen=True)
class Frame:
    """A painted frame: the K and the selected node that it shows, and the stamp of the input event that caused it."""

    k: int
    node: str
    event: float
    at: float


def frames_of(details: Iterable[Mapping[str, object]]) -> list[Frame]:
    """Frames from what the page recorded. A frame without an input event, as of new data, is none of a hand's."""
    return [
        Frame(int(str(told["k"])), str(told["node"] or ""), float(str(told["event"])), float(str(told["at"])))
        for told in details
        if told.get("event") is not None
    ]


def event_to_frame(frames: Sequence[Frame], merged: Sequence[Sequence[float]]) -> list[float]:
    """Milliseconds from each input event to the first frame that shows it.

    A browser hands out moves of the mouse once a frame: each entry of `merged` holds the stamp of a move that was
    handed out, then the stamps of all moves that it stands for. Each of these counts; the earliest waited longest.
    """
    stands_for = {stamps[0]: stamps[1:] or stamps for stamps in merged}
    shown: dict[float, Frame] = {}
    for frame in frames:
        shown.setdefault(frame.event, frame)  # the same event may cause another frame later, when K rests
    return [frame.at - stamp for event, frame in shown.items() for stamp in stands_for.get(event, [event])]


def frames_a_second(frames: Sequence[Frame]) -> float:
    """Of frames that show different events, between the first and the last; 0 of fewer than two."""
    times = sorted({frame.event: frame.at for frame in reversed(frames)}.values())
    return 1000 * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def there_and_back(start: float, end: float, seconds: float) -> list[float]:
    """Positions of a mouse that goes from `start` to `end` in `seconds`, and back: one per event, `start` left out."""
    steps = max(round(EVENTS_A_SECOND * seconds), 1)
    there = [start + (end - start) * step / steps for step in range(steps + 1)]
    return [*there[1:], *there[-2::-1]]


def place_of(k: int, known: Mapping[int, float]) -> float:
    """Where K is on a logarithmic axis of which the places of two K are known."""
    (low, x_low), (high, x_high) = sorted(known.items())
    return x_low + (x_high - x_low) * math.log(k / low) / math.log(high / low)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def summary(values: Sequence[float]) -> str:
    return f"median {statistics.median(values):.0f} ms, slowest {max(values):.0f} ms of {len(values)}"
