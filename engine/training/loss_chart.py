"""A loss curve as a small SVG: log loss over steps, a line per task, legible on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 28, 54, 44  # margins around the plot
INK = "#7b828c"  # reads on white and on near-black alike
STYLES = (("#2b83ba", ""), ("#d55e00", "7 3"), ("#1a9e77", "2 3"), ("#b46a98", "9 3 2 3"))  # colour, dash
LETTER = 7.2  # room for a letter of a name
SMALLEST = 1e-6  # a loss of 0 has no logarithm

Points = Sequence[tuple[float, float]]


def loss_svg(lines: Mapping[str, Points], title: str) -> str:
    """The picture of `lines`: name -> (step, loss) in order of steps. There must be at least one point."""
    steps = [step for points in lines.values() for step, _ in points]
    logs = [log10(max(loss, SMALLEST)) for points in lines.values() for _, loss in points]
    low, high, last = floor(min(logs)), max(ceil(max(logs)), floor(min(logs)) + 1), max(steps)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(log: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - log) / (high - low)

    parts = [_grid(y(power), f"{10.0**power:g}") for power in range(low, high + 1)]
    parts += [_text(x(last * i / 4), HEIGHT - BOTTOM + 18, f"{round(last * i / 4):,}", "middle") for i in range(5)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "optimiser step", "middle"))
    parts.append(_text(LEFT, 18, title, "start", "font-weight='bold'"))
    at = float(LEFT)
    for i, (name, points) in enumerate(lines.items()):
        colour, dash = STYLES[i % len(STYLES)]
        stroke = f"fill='none' stroke='{colour}' stroke-width='1.8' stroke-dasharray='{dash}'"
        path = " ".join(f"{x(step):.1f},{y(log10(max(loss, SMALLEST))):.1f}" for step, loss in points)
        parts.append(f"<polyline points='{path}' {stroke} stroke-linejoin='round'/>")
        parts.append(f"<line x1='{at}' y1='36' x2='{at + 30}' y2='36' {stroke}/>")
        parts.append(_text(at + 36, 40, name, "start"))
        at += 64 + LETTER * len(name)
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' "
        f"role='img' font-family='system-ui, sans-serif' font-size='12'>\n<title>{escape(title)}</title>"
    )
    return "\n".join([head, *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{INK}' text-anchor='{anchor}' {more}>{escape(text)}</text>"


def _grid(y: float, label: str) -> str:
    line = f"<line x1='{LEFT}' y1='{y:.1f}' x2='{WIDTH - RIGHT}' y2='{y:.1f}' stroke='{INK}' stroke-opacity='0.3'/>"
    return line + _text(LEFT - 8, y + 4, label, "end")
