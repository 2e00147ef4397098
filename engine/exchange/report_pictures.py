"""The pictures of a report: faithfulness over K, knockouts in both models, what is left over the removed, the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.circuits.graph import Graph
from engine.exchange.svg_charts import ARM, MDM, Axis, Line, Point, Points, line_chart, scatter_chart
from engine.runs.evidence_summary import CircuitPoint, GroupKnockout, Knockout

COLOURS = {"ARM": ARM, "MDM": MDM}
SYMBOLS = {"ARM": "circle", "MDM": "square"}
STYLES = {"own": ("solid", "circle"), "other": ("dashdot", "diamond"), "random": ("dot", "cross")}
NAMED = 12  # points with names


def faithfulness_picture(task: str, points: Mapping[str, Sequence[CircuitPoint]]) -> str:
    """f over K of the own, the other model's and random edges, in both models; `points` by "ARM" and "MDM"."""
    lines = []
    for model, listed in points.items():
        other = "MDM" if model == "ARM" else "ARM"
        names = {"own": "its own circuit", "other": f"the {other}'s circuit", "random": "random edges"}
        for circuit, (dash, symbol) in STYLES.items():
            known = [
                Point(point.size, point.f, point.low, point.high)
                for point in listed
                if point.circuit == circuit and point.f is not None and point.size > 0
            ]
            if known:
                lines.append(Line(f"{model}: {names[circuit]}", known, COLOURS[model], dash, symbol))
    title = f"Faithfulness over the number of edges, {task}"
    return line_chart(title, lines, Axis("edges K", logarithmic=True), Axis("faithfulness f", low=0, high=1))


def knockout_picture(task: str, graph: Graph, arm: Sequence[Knockout], mdm: Sequence[Knockout]) -> str:
    """Every head and MLP: the change of the metric without it in the ARM (across) and in the MDM (upward)."""
    in_mdm = {knockout.node: knockout for knockout in mdm}
    both = [(knockout, in_mdm[knockout.node]) for knockout in arm if knockout.node in in_mdm]
    strongest = sorted(both, key=lambda pair: -max(abs(pair[0].change), abs(pair[1].change)))[:NAMED]
    named = {pair[0].node for pair in strongest}
    mlps = {graph.mlp(layer) for layer in range(graph.n_layers)}
    groups = []
    for name, symbol, colour, is_mlp in (("heads", "circle", ARM, False), ("MLPs", "square", MDM, True)):
        points = [
            (a.change, m.change, graph.node_names[a.node] if a.node in named else "")
            for a, m in both
            if (a.node in mlps) == is_mlp
        ]
        groups.append(Points(name, points, colour, symbol))
    title = f"Change of the metric by each knockout in both models, {task}"
    return scatter_chart(title, groups, Axis("change in the ARM"), Axis("change in the MDM"), diagonal=True)


def removal_picture(task: str, groups: Mapping[str, Sequence[GroupKnockout]]) -> str:
    """Share of right tokens over how many components are removed together; `groups` by "ARM" and "MDM"."""
    lines = []
    for model, listed in groups.items():
        for selection, dash in (("strongest", "solid"), ("random", "dot")):
            known = [
                Point(g.removed, g.right, *((g.low, g.high) if selection == "random" else ()))
                for g in listed
                if g.selection == selection
            ]
            name = f"{model}: {'the strongest' if selection == 'strongest' else 'random ones'}"
            lines.append(Line(name, known, COLOURS[model], dash, SYMBOLS[model]))
    title = f"Scored tokens that stay right when components are removed, {task}"
    return line_chart(title, lines, Axis("components removed together"), Axis("share right", low=0, high=1))


def audit_picture(task: str, columns: Mapping[str, Mapping[str, Sequence[Any]]], estimator: str) -> str:
    """Exact scores (across) and an estimator's (upward) of the audited edges; `columns` by "ARM" and "MDM"."""
    groups = [
        Points(
            model, [(x, y, "") for x, y in zip(of["exact"], of[estimator], strict=True)], COLOURS[model], SYMBOLS[model]
        )
        for model, of in columns.items()
    ]
    title = f"Exact and estimated scores of edges, {task}"
    return scatter_chart(title, groups, Axis("exact score"), Axis("estimated score"), diagonal=True)
