"""The tables of evidence: circuits that were run, components that were knocked out, edges that were patched for real.

Definitions: METHOD, "Faithfulness", "Knockouts", "Audit". An evidence artifact belongs to a circuit, and is no part of
a run (engine/schema/artifacts.py).
"""

from __future__ import annotations

from dataclasses import replace

from engine.schema.columns import Column, Table, count, index, real, share, text
from engine.schema.vocabulary import COMMON_PARTS

METRIC = "of the metric"
CIRCUITS = ("own", "signed", "random", "complement", "other", "shared", "only")
REPLACEMENTS = ("corrupted", "mean")
GROUPS = ("strongest", "random", "shared", "only")
SELECTIONS = ("strongest", "even")
TAUS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)  # faithfulness that may be asked of the smallest circuit
MOST_DRAWS = 20  # of random edges or components
MOST_SIZES = 100  # of circuits of one kind
ESTIMATORS = ("eap", "eap_ig_5", "eap_ig_20", "clean_corrupted", "relp")

PART = Column("part", "part", "all examples, or an answer position (ARM) or denoising step (MDM)", one_of=COMMON_PARTS)
RIGHT = replace(
    share(
        "right", "share", "of the scored tokens, those whose most probable token is right; of all parts together only"
    ),
    nullable=True,
)


def _nullable(name: str, unit: str = "", meaning: str = "") -> Column:
    return replace(real(name, unit, meaning), nullable=True)


def _edges(name: str, meaning: str) -> Column:
    return count(name, "edges", meaning, high="n_k")


CIRCUIT_RUNS = Table(
    "circuit_runs",
    (
        text(
            "circuit",
            "own: the strongest edges by absolute score; signed: those with the largest scores; random; complement: "
            "all edges but the own circuit; other: the strongest edges of the other model; shared: edges of both; "
            "only: edges of the own circuit that the other has not",
            one_of=CIRCUITS,
        ),
        index("draw", MOST_DRAWS, "of random edges, which draw"),
        _edges("size", "K"),
        _edges("edges", "that were run; others than K where two circuits are combined"),
        PART,
        _nullable("f", "", "faithfulness; missing where clean and corrupted metric are nearly the same"),
        _nullable("f_low", "", "lower end of its 95 % interval"),
        _nullable("f_high", "", "upper end of its 95 % interval"),
        real("metric", METRIC, "mean over examples"),
        RIGHT,
    ),
    row="A circuit that was run alone, every other edge patched to the corrupted run.",
    order="circuit, draw, part, size",
    most=(len(CIRCUITS), MOST_DRAWS, MOST_SIZES, "n_parts"),
    artifact="faithfulness",
)
SMALLEST_CIRCUITS = Table(
    "smallest_circuits",
    (
        text("circuit", "as in circuit_runs", one_of=CIRCUITS),
        share("tau", "", "the faithfulness that is asked for"),
        replace(_edges("size", "the smallest K that was measured whose circuit reaches it"), nullable=True),
        replace(_edges("below", "the next smaller K that was measured, which does not"), nullable=True),
    ),
    row="The smallest circuit that is as faithful as asked for.",
    order="circuit, tau",
    most=(len(CIRCUITS), len(TAUS)),
    artifact="faithfulness",
)
KNOCKOUTS = Table(
    "knockouts",
    (
        replace(index("node", "n_sources", "index of the head or MLP in the graph"), low=1),
        text("replaced_by", "what its output was replaced by", one_of=REPLACEMENTS),
        PART,
        real("change", METRIC, "mean over examples of the metric without it - that of the whole model"),
        _nullable("change_low", METRIC, "lower end of its 95 % interval"),
        _nullable("change_high", METRIC, "upper end of its 95 % interval"),
        RIGHT,
    ),
    row="A component whose output was replaced, alone.",
    order="node, replaced_by, part",
    most=("n_sources", len(REPLACEMENTS), "n_parts"),
    artifact="knockouts",
)
GROUP_KNOCKOUTS = Table(
    "group_knockouts",
    (
        text(
            "selection",
            "strongest: the most important components; random; shared: heads that are important in both models; "
            "only: heads that are in this one alone",
            one_of=GROUPS,
        ),
        index("draw", MOST_DRAWS, "of random components, which draw"),
        count(
            "removed",
            "components",
            "whose output was replaced by that of the corrupted run, together",
            high="n_sources",
        ),
        real("metric", METRIC, "mean over examples"),
        share("right", "share", "of the scored tokens, those whose most probable token is right"),
    ),
    row="Components whose outputs were replaced together.",
    order="selection, draw, removed",
    most=(len(GROUPS), MOST_DRAWS, "n_sources"),
    artifact="knockouts",
)
AUDITED_EDGES = Table(
    "audited_edges",
    (
        index("edge", "n_edges", "index of the edge in the graph"),
        index("rank", "n_edges", "in the circuit, by absolute score"),
        text("selection", "strongest: among the strongest edges; even: drawn evenly over ranks", one_of=SELECTIONS),
        real("exact", METRIC, "what the metric loses when the edge alone is patched to the corrupted run"),
        *(real(name, METRIC, "the estimate") for name in ESTIMATORS),
    ),
    row="An edge that was patched for real, beside what estimators say.",
    order="rank",
    most=(len(SELECTIONS), "n_edges"),
    artifact="audit",
)
EVIDENCE_TABLES: dict[str, Table] = {
    table.name: table for table in (CIRCUIT_RUNS, SMALLEST_CIRCUITS, KNOCKOUTS, GROUP_KNOCKOUTS, AUDITED_EDGES)
}
