"""Charts as SVG text, without any library: lines with bands on a plain or logarithmic axis, and scattered points.

1. `Scale` maps values to pixels; `ticks` chooses round numbers for its axis (1, 2 or 5 times a power of ten).
2. `line_chart` and `scatter_chart` draw axes, then what lies behind (bands, lines at zero), then lines and symbols.
3. The legend stands below, each entry with its line or symbol, so that colour is never the only difference.
4. Names of points are left out where they would lie on others.

Every text is escaped. Colours: Okabe and Ito (2008), told apart with any colour vision, on white.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

ARM, MDM, SHARED, NEUTRAL, TEXT = "#0072B2", "#D55E00", "#009E73", "#6B7280", "#1F2933"
GRID = "#DDE1E6"
WIDTH, HEIGHT = 700, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 46  # around the plot
LEGEND_ROW = 20
CHARACTER = 7.0  # about the width of one, in a font of 12 pixels
DASHES = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "8 3 2 3"}
ToPixels = Callable[[float], float]
SYMBOLS = ("circle", "square", "triangle", "diamond", "cross")
FONT = "font-family='Helvetica, Arial, sans-serif' font-size='12'"


@dataclass(frozen=True)
class Point:
    """A value, and the ends of its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[Point]
    colour: str
    dash: str = "solid"
    symbol: str | None = None


@dataclass(frozen=True)
class Points:
    """Points of one kind, each with a name; an empty one is not written."""

    name: str
    points: Sequence[tuple[float, float, str]]  # x, y, name
    colour: str
    symbol: str = "circle"


@dataclass(frozen=True)
class Axis:
    """`low`, `high`: what it has to hold at least; None: what the values need."""

    title: str
    logarithmic: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """From values `low` to `high` to pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Lines, each with a band between the ends of its intervals; `title` is read out, and not drawn."""
    known = [point for line in lines for point in line.points]
    across = _scale(x, (point.x for point in known), LEFT, WIDTH - RIGHT)
    values = [value for p in known for value in (p.y, p.low, p.high) if value is not None]
    upward = _scale(y, values, HEIGHT - BOTTOM, TOP)
    body = [*_frame(x, y, across, upward)]
    body += [_band(line, across, upward) for line in lines if _has_band(line)]
    for line in lines:
        body.append(_polyline(line, across, upward))
        if line.symbol:
            body += [_symbol(line.symbol, across(p.x), upward(p.y), line.colour) for p in line.points]
    return _svg(title, body, [(line.name, line.colour, line.dash, line.symbol) for line in lines])


def scatter_chart(title: str, groups: Sequence[Points], x: Axis, y: Axis, diagonal: bool = False) -> str:
    """Points with their names; `diagonal`: with the line on which x and y are equal, and both axes alike."""
    known = [point for group in groups for point in group.points]
    xs, ys = [point[0] for point in known], [point[1] for point in known]
    if diagonal:
        xs = ys = [*xs, *ys]
    across, upward = _scale(x, xs, LEFT, WIDTH - RIGHT), _scale(y, ys, HEIGHT - BOTTOM, TOP)
    body = [*_frame(x, y, across, upward)]
    if diagonal:
        low, high = max(across.low, upward.low), min(across.high, upward.high)
        ends = f"x1='{across(low):.1f}' y1='{upward(low):.1f}' x2='{across(high):.1f}' y2='{upward(high):.1f}'"
        body.append(f"<line {ends} stroke='{NEUTRAL}' stroke-dasharray='4 4'/>")
    placed = _Placed([(across(a), upward(b)) for a, b, _ in known])
    for group in groups:
        body += [_symbol(group.symbol, across(a), upward(b), group.colour) for a, b, _ in group.points]
    for group in groups:
        for a, b, name in group.points:
            body.append(placed.name(name, across(a), upward(b)))
    return _svg(title, [part for part in body if part], [(g.name, g.colour, None, g.symbol) for g in groups])


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from `low` to `high`, at most `most`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high`; between few of them also twice and five times those."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) <= 4 else (1,)
    return [v for e in exponents for f in factors if low * (1 - 1e-9) <= (v := f * 10.0**e) <= high * (1 + 1e-9)]


def _scale(axis: Axis, values: Iterable[float], start: float, end: float) -> Scale:
    known = [v for v in values if math.isfinite(v) and (v > 0 or not axis.logarithmic)]
    known += [v for v in (axis.low, axis.high) if v is not None]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    if axis.logarithmic:
        return Scale(low, high if high > low else low * 10, start, end, logarithmic=True)
    margin = 0.04 * (high - low) or 0.5
    return Scale(low - margin, high + margin, start, end)


def _frame(x: Axis, y: Axis, across: Scale, upward: Scale) -> Iterator[str]:
    left, right, bottom, top = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    for value in ticks(upward.low, upward.high):
        at = upward(value)
        colour = NEUTRAL if value == 0 else GRID
        yield f"<line x1='{left}' y1='{at:.1f}' x2='{right}' y2='{at:.1f}' stroke='{colour}'/>"
        yield _text(_number(value), left - 7, at + 4, "end")
    free = -math.inf  # where the label before ends
    for value in (log_ticks if across.logarithmic else ticks)(across.low, across.high):
        at, label = across(value), _number(value)
        yield f"<line x1='{at:.1f}' y1='{bottom}' x2='{at:.1f}' y2='{bottom + 4}' stroke='{NEUTRAL}'/>"
        half = CHARACTER * len(label) / 2
        if at - half > free:
            yield _text(label, min(at, WIDTH - half - 1), bottom + 18, "middle")
            free = at + half + 4
    yield f"<line x1='{left}' y1='{bottom}' x2='{right}' y2='{bottom}' stroke='{NEUTRAL}'/>"
    yield f"<line x1='{left}' y1='{top}' x2='{left}' y2='{bottom}' stroke='{NEUTRAL}'/>"
    yield _text(x.title, (left + right) / 2, HEIGHT - 8, "middle")
    middle = (top + bottom) / 2
    yield (
        f"<text x='14' y='{middle:.1f}' text-anchor='middle' fill='{TEXT}' "
        f"transform='rotate(-90 14 {middle:.1f})'>{escape(y.title)}</text>"
    )


def _has_band(line: Line) -> bool:
    return sum(p.low is not None and p.high is not None for p in line.points) > 1


def _band(line: Line, across: Scale, upward: Scale) -> str:
    known = [(p.x, p.low, p.high) for p in line.points if p.low is not None and p.high is not None]
    corners = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    path = " ".join(f"{across(x):.1f},{upward(y):.1f}" for x, y in corners)
    return f"<polygon points='{path}' fill='{line.colour}' fill-opacity='0.14'/>"


def _polyline(line: Line, across: ToPixels, upward: ToPixels) -> str:
    path = " ".join(f"{across(p.x):.1f},{upward(p.y):.1f}" for p in line.points)
    dash = f" stroke-dasharray='{DASHES[line.dash]}'" if DASHES[line.dash] else ""
    return f"<polyline points='{path}' fill='none' stroke='{line.colour}' stroke-width='2'{dash}/>"


def _symbol(symbol: str, x: float, y: float, colour: str) -> str:
    r = 4.0
    if symbol == "circle":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{r - 0.4}' fill='{colour}'/>"
    if symbol == "cross":
        path = f"M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}"
        return f"<path d='{path}' stroke='{colour}' stroke-width='1.6' fill='none'/>"
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r), (r, r), (-r, r)],
        "diamond": [(0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)],
    }[symbol]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f"<polygon points='{path}' fill='#FFFFFF' stroke='{colour}' stroke-width='1.6'/>"


@dataclass
class _Placed:
    """Where names can stand: beside their point, on no other point and no other name."""

    taken: list[tuple[float, float]]  # centres of points
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)  # left, top, right, bottom

    def name(self, name: str, x: float, y: float) -> str:
        if not name:
            return ""
        width = CHARACTER * len(name)
        for dx, dy, anchor in ((8, 4, "start"), (-8, 4, "end"), (0, -8, "middle"), (0, 17, "middle")):
            left = x + dx - {"start": 0, "end": width, "middle": width / 2}[anchor]
            box = (left, y + dy - 10, left + width, y + dy + 3)
            if self._is_free(box):
                self.boxes.append(box)
                return _text(name, x + dx, y + dy, anchor)
        return ""

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        if left < LEFT or right > WIDTH - RIGHT or top < TOP or bottom > HEIGHT - BOTTOM:
            return False
        if any(left - 4 < x < right + 4 and top - 4 < y < bottom + 4 for x, y in self.taken):
            return False
        return not any(left < x1 and x0 < right and top < y1 and y0 < bottom for x0, y0, x1, y1 in self.boxes)


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{TEXT}'>{escape(text)}</text>"


def _number(value: float) -> str:
    """As axes show it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _svg(title: str, body: Sequence[str], legend: Sequence[tuple[str, str, str | None, str | None]]) -> str:
    entries, rows = _legend(legend)
    height = HEIGHT + rows * LEGEND_ROW + 4
    shown = escape(title)
    head = f"<svg viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' role='img' aria-label='{shown}' {FONT}>"
    background = f"<rect width='{WIDTH}' height='{height}' fill='#FFFFFF'/>"
    return "\n".join([head, f"<title>{shown}</title>", background, *body, *entries, "</svg>"])


def _legend(entries: Sequence[tuple[str, str, str | None, str | None]]) -> tuple[list[str], int]:
    """Name, colour, dash (None: no line) and symbol of what is drawn, in rows below the plot; how many rows."""
    drawn, x, row = [], float(LEFT), 1
    for name, colour, dash, symbol in entries:
        needed = 38 + CHARACTER * len(name)
        if x > LEFT and x + needed > WIDTH - RIGHT:
            x, row = float(LEFT), row + 1
        y = HEIGHT + LEGEND_ROW * row - 8
        if dash is not None:
            drawn.append(_polyline(Line("", [Point(x, y), Point(x + 26, y)], colour, dash), float, float))
        if symbol:
            drawn.append(_symbol(symbol, x + 13, y, colour))
        drawn.append(_text(name, x + 32, y + 4, "start"))
        x += needed + 16
    return drawn, row if entries else 0
