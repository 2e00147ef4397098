"""Evidence as lines of text: faithfulness, knockouts, and the agreement of estimators with exact scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.circuits.agreement import ALL, SCORED, Agreement
from engine.circuits.graph import Graph
from engine.runs.evidence_summary import CircuitPoint, GroupKnockout, Knockout

STRONGEST = 5  # knockouts that are listed of each model
CIRCUIT_NAMES = {  # in plain words, in the order of tables
    "own": "own, by |score|",
    "signed": "own, by signed score",
    "other": "the other model's",
    "shared": "shared edges only",
    "only": "own without shared",
    "complement": "all but the own",
    "random": "random edges",
}
SELECTION_NAMES = {
    "strongest": "strongest",
    "random": "random",
    "shared": "heads of both circuits",
    "only": "heads of this circuit alone",
}
ESTIMATOR_NAMES = {
    "eap": "eap",
    "eap_ig_5": "eap-ig, 5 points",
    "eap_ig_20": "eap-ig, 20 points",
    "clean_corrupted": "clean-corrupted",
    "relp": "relp",
}
AUDITED_NAMES = {
    "strongest": "the strongest edges",
    "even": "edges drawn evenly over ranks",
    ALL: "all of them",
    SCORED: "those that every estimator scores",
}
FAITHFULNESS_LEGEND = (
    "f: share of the metric that is left when every edge outside the circuit is patched to the corrupted run; 1 is",
    "  the whole model, 0 the corrupted run. In brackets the 95 % interval, of random edges the range over draws",
    "CPR: area under f over all sizes, higher is better; CMD: area of |1 - f|, lower is better",
)
KNOCKOUT_LEGEND = (
    "change: metric without the component (its output replaced by the corrupted run's) - metric of the whole model;",
    "right: share of scored tokens whose most probable token is right then",
)
AUDIT_LEGEND = ("exact: what the metric loses when the edge alone is patched; signs: share of signs that are right",)
_FIRST, _CELL = 22, 27  # widths of columns


def faithfulness_lines(
    title: str,
    points: Sequence[CircuitPoint],
    sizes: Sequence[int],
    meta: Mapping[str, Any],
    smallest: Sequence[tuple[float, int | None]],
) -> Iterator[str]:
    """Of one model, at the given sizes; `meta`: of the artifact; `smallest`: pairs of tau and the smallest K."""
    yield (
        f"{title}: metric {meta['full']:.3f}, corrupted {meta['corrupted']:.3f}; scored tokens right "
        f"{meta['right_full']:.0%}, corrupted {meta['right_corrupted']:.0%}"
    )
    if meta.get("remark"):
        yield f"  ! {meta['remark']}"
    yield f"  {'f at K =':<{_FIRST}}" + "".join(f"{size:<{_CELL}}" for size in sizes).rstrip()
    for circuit, name in CIRCUIT_NAMES.items():
        at = {point.size: point for point in points if point.circuit == circuit}
        if any(size in at for size in sizes):
            yield f"  {name:<{_FIRST}}" + "".join(f"{_f(at.get(size)):<{_CELL}}" for size in sizes).rstrip()
    measured = meta.get("areas") or {}
    for circuit in (name for name in CIRCUIT_NAMES if name in measured):
        cells = "".join(f"{f'{area.upper()} {area_text(measured[circuit][area])}':<30}" for area in ("cpr", "cmd"))
        yield f"  {CIRCUIT_NAMES[circuit]:<{_FIRST}}{cells}".rstrip()
    for tau, size in smallest:
        yield f"  smallest own circuit with f >= {tau:.2f}: {'none' if size is None else f'K = {size}'}"


def knockout_lines(graph: Graph, models: Sequence[tuple[str, Sequence[Knockout]]]) -> Iterator[str]:
    """The strongest knockouts of each model, all models side by side; of every model its name and all its knockouts."""
    chosen = dict.fromkeys(knockout.node for _, listed in models for knockout in listed[:STRONGEST])
    by_node = [{knockout.node: knockout for knockout in listed} for _, listed in models]
    yield f"  {'without':<10}" + "".join(f"{f'{name}: change':<32}{'right':<8}" for name, _ in models).rstrip()
    for node in chosen:
        cells = "".join(_knockout(listed.get(node)) for listed in by_node)
        yield f"  {graph.node_names[node]:<10}{cells}".rstrip()


def group_lines(models: Sequence[tuple[str, Sequence[GroupKnockout]]]) -> Iterator[str]:
    """Share of right tokens when components are removed together: a line for every selection and number of them."""
    yield f"  {'removed together':<34}" + "".join(f"{f'{name}: right':<26}" for name, _ in models).rstrip()
    by_group = [{(group.selection, group.removed): group for group in listed} for _, listed in models]
    keys = dict.fromkeys(key for groups in by_group for key in groups)
    for selection, removed in sorted(keys, key=lambda key: (list(SELECTION_NAMES).index(key[0]), key[1])):
        cells = "".join(f"{_group(groups.get((selection, removed))):<26}" for groups in by_group)
        yield f"  {f'{removed} {SELECTION_NAMES[selection]}':<34}{cells}".rstrip()


def audit_lines(models: Sequence[tuple[str, Sequence[Agreement]]]) -> Iterator[str]:
    """Correlations of every estimator with the exact scores, all models side by side."""
    for selection, words in AUDITED_NAMES.items():
        chosen = [{a.estimator: a for a in listed if a.selection == selection} for _, listed in models]
        if not any(chosen):
            continue
        counts = ", ".join(
            f"{name} {next(iter(of.values())).edges}" for (name, _), of in zip(models, chosen, strict=True) if of
        )
        yield f"  {words} ({counts})"
        yield (
            f"  {'estimator':<20}"
            + "".join(f"{f'{name}: Pearson':<16}{'Spearman':<10}{'signs':<9}" for name, _ in models).rstrip()
        )
        for estimator, name in ESTIMATOR_NAMES.items():
            yield f"  {name:<20}{''.join(_agreement(of.get(estimator)) for of in chosen)}".rstrip()


def interval(value: float | None, low: float | None = None, high: float | None = None, form: str = ".3f") -> str:
    """A number with the ends of its interval in brackets, where it has one; "none" where there is no number."""
    if value is None or math.isnan(value):
        return "none"
    ends = "" if low is None or high is None else f" ({low:z{form}} to {high:z{form}})"  # z: no -0.000
    return f"{value:z{form}}{ends}"


def right_of(group: GroupKnockout) -> str:
    """The share of right tokens without a group, with the range over draws where they differ."""
    return f"{group.right:.1%}" if group.low == group.high else interval(group.right, group.low, group.high, ".1%")


def area_text(values: Sequence[float | None]) -> str:
    """CPR or CMD, from its value and the ends of its interval."""
    value, low, high = values
    return interval(value, low, high)


def _f(point: CircuitPoint | None) -> str:
    return "" if point is None else interval(point.f, point.low, point.high)


def _knockout(knockout: Knockout | None) -> str:
    if knockout is None:
        return f"{'none':<32}{'':<8}"
    return f"{interval(knockout.change, knockout.low, knockout.high):<32}{f'{knockout.right:.1%}':<8}"


def _group(group: GroupKnockout | None) -> str:
    return "none" if group is None else right_of(group)


def _agreement(agreement: Agreement | None) -> str:
    if agreement is None:
        return f"{'none':<35}"
    values = (agreement.pearson, agreement.spearman, agreement.signs)
    return f"{interval(values[0]):<16}{interval(values[1]):<10}{interval(values[2], form='.1%'):<9}"
