"""How stable an overlap is, as rows of text cells and as lines: with its interval, beside controls, by settings.

All is read from stored circuits (engine/runs/stability.py); what is not stored reads "not computed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.circuits.comparison import printed
from engine.circuits.intervals import Estimate
from engine.runs import stability
from engine.runs.evidence_lines import interval
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.runs.stability import Controls, Overlaps, SettingRow

K = 200
ABSENT = "not computed"
REDRAWN_HEAD = ("overlap", "edges (95 % interval)")
CONTROL_HEAD = ("overlap", "edges", "components")
SETTING_HEAD = ("setting", "ARM with MDM: edges", "components", "ARM with itself: edges", "MDM with itself: edges")

Rows = list[tuple[str, ...]]


def redrawn_rows(arm: Run, mdm: Run, control: Run | None, k: int) -> Rows:
    """Overlaps at `k` edges with intervals, the edges ranked anew in every resample of the prompts."""
    others = [mdm, *([control] if control else [])]
    redrawn = stability.pair_redrawn(arm, *others, k=k)
    rows = [("ARM and MDM", _estimate(redrawn[0].estimate))]
    if control:
        rows += [
            ("ARM and step-0 control", _estimate(redrawn[1].estimate)),
            ("the first less the second", _estimate(redrawn[0].minus(redrawn[1]).estimate)),
        ]
    halves = stability.halves_redrawn(arm, mdm, k)
    if halves:
        rows += [
            ("halves of the examples: ARM with MDM", _estimate(halves.pair.estimate)),
            ("halves of the examples: ARM with itself", _estimate(halves.arm.estimate)),
            ("halves of the examples: MDM with itself", _estimate(halves.mdm.estimate)),
            ("halves: the pair's less the lower one of the models' own", _estimate(halves.pair_below_own.estimate)),
        ]
    return list(rows)


def control_rows(controls: Controls) -> Rows:
    """What an overlap is compared with: of edges, and of core components."""
    edges, components = controls.permuted_edges, controls.permuted_components
    return [
        ("ARM and MDM", *_both(controls.pair)),
        ("ARM and step-0 control", *_both(controls.step_0)),
        ("MDM and step-0 control", *_both(controls.mdm_with_step_0)),
        (
            "ARM and the MDM with its heads permuted within layers (mean, range)",
            interval(edges.mean, edges.low, edges.high),
            interval(components.mean, components.low, components.high),
        ),
        ("ARM with itself on the prompts of another seed", *_both(controls.arm_other_seed)),
        ("MDM with itself on the prompts of another seed", *_both(controls.mdm_other_seed)),
        ("chance", f"{controls.chance:.3f}", ""),
    ]


def setting_rows(rows: Sequence[SettingRow]) -> Rows:
    """Of the settings of which something is stored."""
    return [
        (row.setting.name, *_both(row.pair), *(_edges(overlaps) for overlaps in (row.arm, row.mdm)))
        for row in rows
        if is_known(row)
    ]


def is_known(row: SettingRow) -> bool:
    """Whether anything is stored of a setting."""
    return any((row.pair, row.arm, row.mdm))


def stability_lines(spec: RunSpec, arm: Run, mdm: Run, control: Run | None) -> Iterator[str]:
    """All of it at K = 200, or of all edges where there are fewer; `spec`: of the MDM."""
    k = size_of(arm, mdm)
    yield f"  at K = {k}, the edges ranked anew in every resample of the prompts"
    yield from _lines(REDRAWN_HEAD, redrawn_rows(arm, mdm, control, k))
    controls = stability.controls(spec, k)
    if controls:
        yield "  what the overlap is compared with"
        yield from _lines(CONTROL_HEAD, control_rows(controls))
    rows = stability.overlaps(stability.settings_of(spec), [k])
    yield "  under other settings; each model with itself: its circuit under them with that under this question's"
    yield from _lines(SETTING_HEAD, setting_rows(rows))
    unknown = [row.setting.name for row in rows if not is_known(row)]
    if unknown:
        yield f"  not computed (--only stability computes them): {', '.join(unknown)}"


def size_of(arm: Run, mdm: Run) -> int:
    """At which K it is read."""
    return min(K, arm.meta.graph.n_edges, mdm.meta.graph.n_edges)


def _lines(head: Sequence[str], rows: Rows) -> Iterator[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        yield "    " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _both(overlaps: Overlaps | None) -> tuple[str, str]:
    return (ABSENT, ABSENT) if overlaps is None else (f"{overlaps.edges:.3f}", printed(overlaps.components, ".3f"))


def _edges(overlaps: Overlaps | None) -> str:
    return "" if overlaps is None else f"{overlaps.edges:.3f}"


def _estimate(estimate: Estimate) -> str:
    return interval(estimate.value, estimate.low, estimate.high)
