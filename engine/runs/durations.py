"""Durations as text, rounded the same way wherever it is said how long something takes or has been going on."""

from __future__ import annotations

MINUTE, HOUR = 60, 3600  # seconds
MOST_HOURS = 48  # that are said in hours


def duration(seconds: float) -> str:
    """As in "48 s", "12 min", "3 h 20 min", "2 days 4 h": two units at most, the smaller one rounded."""
    if round(seconds) < MINUTE:
        return f"{round(seconds)} s"
    minutes = round(seconds / MINUTE)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < MOST_HOURS * 60:
        return _of_two(f"{minutes // 60} h", minutes % 60, "min")
    hours = round(seconds / HOUR)
    return _of_two(f"{hours // 24} days", hours % 24, "h")


def _of_two(larger: str, rest: int, unit: str) -> str:
    return f"{larger} {rest} {unit}" if rest else larger
