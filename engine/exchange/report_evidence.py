"""What a report says of the evidence of a task's circuits: faithfulness, transfer, knockouts, audit of the estimators.

What is not computed of it is said, with the command that computes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.circuits.agreement import Agreement
from engine.exchange.report_parts import Block, Grid, Paragraph, Picture, Section
from engine.exchange.report_pictures import audit_picture, faithfulness_picture, knockout_picture, removal_picture
from engine.exchange.report_runs import Question, command_for
from engine.runs import evidence as kept
from engine.runs import evidence_summary as summary
from engine.runs.evidence import Evidence
from engine.runs.evidence_lines import (
    AUDITED_NAMES,
    CIRCUIT_NAMES,
    ESTIMATOR_NAMES,
    SCORED_WORDS,
    SELECTION_NAMES,
    area_text,
    interval,
    right_of,
)
from engine.runs.evidence_summary import CircuitPoint, GroupKnockout
from engine.runs.records import short_key
from engine.schema.artifacts import KIND_TITLES, EvidenceKind

LISTED = 10  # knockouts of each model
Sides = list[tuple[str, Evidence]]  # models of which there is evidence of a kind, with it


def evidence_sections(question: Question) -> list[Section]:
    return [
        faithfulness_section(question),
        transfer_section(question),
        knockout_section(question),
        audit_section(question),
    ]


def faithfulness_section(question: Question) -> Section:
    """f of all circuits at some K, the areas, the smallest faithful circuits, and f over K."""
    sides, blocks = _sides(question, "faithfulness"), _missing(question, "faithfulness")
    points = {name: summary.all_points(model) for name, model in question.models if model.get("faithfulness")}
    for name, artifact in sides:
        meta = artifact.meta
        ends = (
            f"{name}: the metric is {meta['full']:.3f} of the whole model and {meta['corrupted']:.3f} of the corrupted "
            f"run; {meta['right_full']:.1%} and {meta['right_corrupted']:.1%} of the scored tokens are right."
        )
        blocks.append(Paragraph(f"{ends} {meta['remark']}" if meta.get("remark") else ends))
    blocks += _measured_alone(question)
    if not sides:
        return Section("Faithfulness", blocks)
    blocks.append(_circuits_grid(points))
    blocks.append(_areas_grid(sides))
    blocks.append(_smallest_grid(sides))
    if any(point.f is not None for listed in points.values() for point in listed):
        caption = (
            "Faithfulness f over the number of edges K, with 95 % intervals; of random edges the range over draws. f "
            "is 1 for the whole model and 0 for the corrupted run."
        )
        blocks.append(Picture(faithfulness_picture(question.title, points), caption))
    return Section("Faithfulness", [*blocks, _sources(sides)])


def transfer_section(question: Question) -> Section:
    """Whose circuit carries the task in which model, at sizes that were measured in all models that were."""
    measured = {name: summary.all_points(of_model) for name, of_model in question.models}
    points = {name: listed for name, listed in measured.items() if listed}
    if not points:
        return Section("Whose circuit in which model", _missing(question, "faithfulness"))
    absent = " and the ".join(name for name in measured if name not in points)
    blocks: list[Block] = [Paragraph(f"Not computed: faithfulness of the {absent}.")] if absent else []
    common = set.intersection(*({point.size for point in listed} for listed in points.values()))
    sizes = summary.nearest_of(common)
    if not sizes:
        text = "The two models are measured at no common size, so that their circuits cannot be compared yet."
        return Section("Whose circuit in which model", [*blocks, Paragraph(text)])
    circuits = {
        "the ARM's circuit": {"ARM": "own", "MDM": "other"},
        "the MDM's circuit": {"ARM": "other", "MDM": "own"},
        "edges of both circuits": {"ARM": "shared", "MDM": "shared"},
        "edges of this model's circuit alone": {"ARM": "only", "MDM": "only"},
    }
    rows = [
        [f"{size:,}", words, *(_f_at(listed, by_model[name], size) for name, listed in points.items())]
        for size in sizes
        for words, by_model in circuits.items()
    ]
    caption = (
        "Faithfulness f, with its 95 % interval. Where the other model's circuit does nearly as well as a model's own, "
        "the circuit moved little; edges of both alone say whether what is shared carries the task."
    )
    blocks.append(Grid(caption, ["measured at K =", "run with", *(f"in the {name}" for name in points)], rows, (1,)))
    return Section("Whose circuit in which model", blocks)


def knockout_section(question: Question) -> Section:
    """The components without which the metric changes most, in both models, and groups of them."""
    sides, blocks = _sides(question, "knockouts"), _missing(question, "knockouts")
    if not sides:
        return Section("Knockouts", blocks)
    graph = question.arm.run.meta.graph
    by_model = {name: summary.knockouts(artifact) for name, artifact in sides}
    nodes = dict.fromkeys(knockout.node for listed in by_model.values() for knockout in listed[:LISTED])
    by_node = {name: {knockout.node: knockout for knockout in listed} for name, listed in by_model.items()}
    rows = [
        [graph.node_names[node]]
        + [
            cell
            for of in by_node.values()
            for cell in (interval(of[node].change, of[node].low, of[node].high), f"{of[node].right:.1%}")
        ]
        for node in nodes
    ]
    head = ["without", *(text for name in by_model for text in (f"{name}: change", "right"))]
    caption = (
        f"The {LISTED} strongest knockouts of each model: the component's output is replaced by the corrupted run's. "
        "Change: metric without it less that of the whole model, with its 95 % interval. Right: share of scored tokens."
    )
    blocks.append(Grid(caption, head, rows))
    if len(by_model) == 2:
        picture = knockout_picture(question.title, graph, by_model["ARM"], by_model["MDM"])
        blocks.append(Picture(picture, "Every head and MLP: what its knockout changes in both models."))
    groups = {name: summary.group_knockouts(artifact) for name, artifact in sides}
    blocks.append(_groups_grid(groups))
    blocks.append(Picture(removal_picture(question.title, groups), "Scored tokens that stay right, over the removed."))
    return Section("Knockouts", [*blocks, _sources(sides)])


def audit_section(question: Question) -> Section:
    """How well estimators agree with edges that were patched for real."""
    sides, blocks = _sides(question, "audit"), _missing(question, "audit")
    if not sides:
        return Section("Which estimator to believe", blocks)
    blocks.append(_agreement_grid(sides))
    columns = {name: kept.table(artifact, "audited_edges").to_pydict() for name, artifact in sides}
    picture = audit_picture(question.title, columns, "eap_ig_5")
    blocks.append(Picture(picture, "Exact scores of edges, and what EAP-IG with five points estimates."))
    return Section("Which estimator to believe", [*blocks, _sources(sides)])


def _circuits_grid(points: dict[str, list[CircuitPoint]]) -> Grid:
    sizes = sorted({size for listed in points.values() for size in summary.nearest_sizes(listed)})
    rows = [
        [name, words, *(_f_at(listed, circuit, size) for size in sizes), _right_at(listed, circuit, sizes[-1])]
        for name, listed in points.items()
        for circuit, words in CIRCUIT_NAMES.items()
        if any(point.circuit == circuit for point in listed)
    ]
    head = ["model", "circuit", *(f"f measured at K = {size:,}" for size in sizes), f"right at K = {sizes[-1]:,}"]
    caption = (
        "Faithfulness f: the share of the metric that is left when every other edge is patched to the corrupted run. "
        "In brackets the 95 % interval, of random edges the range over draws. Right: share of scored tokens."
    )
    return Grid(caption, head, rows, (0, 1))


def _areas_grid(sides: Sides) -> Grid:
    rows = [
        [name, words, *(area_text(values[area]) for area in ("cpr", "cmd"))]
        for name, artifact in sides
        for circuit, words in CIRCUIT_NAMES.items()
        if (values := summary.areas(artifact, circuit))
    ]
    caption = "Areas over all sizes, as the MIB benchmark has them: CPR under f (higher is better), CMD of |1 - f|."
    return Grid(caption, ("model", "circuit", "CPR", "CMD"), rows, (0, 1))


def _groups_grid(groups: dict[str, list[GroupKnockout]]) -> Grid:
    by_key = {name: {(g.selection, g.removed): g for g in listed} for name, listed in groups.items()}
    order = list(SELECTION_NAMES)
    keys = sorted({key for of in by_key.values() for key in of}, key=lambda key: (order.index(key[0]), key[1]))
    rows = [
        [SELECTION_NAMES[key[0]], f"{key[1]}", *(cell for of in by_key.values() for cell in _group(of.get(key)))]
        for key in keys
    ]
    head = ["removed together", "how many", *(text for name in groups for text in (f"{name}: metric", "right"))]
    return Grid("Components that are removed together; of random ones the mean, and the range over draws.", head, rows)


def _agreement_grid(sides: Sides) -> Grid:
    by_key = {name: {(a.selection, a.estimator): a for a in summary.agreements(artifact)} for name, artifact in sides}
    rows = [
        [edges, name, *(cell for of in by_key.values() for cell in _agreement(of.get((selection, estimator))))]
        for selection, edges in AUDITED_NAMES.items()
        for estimator, name in ESTIMATOR_NAMES.items()
    ]
    columns = [text for name in by_key for text in (f"{name}: how many", "Pearson", "Spearman", "signs right")]
    caption = (
        "Edges patched for real, one at a time: how well estimates agree with what the metric then loses. "
        f"{SCORED_WORDS}: the last rows leave out what an estimator does not score."
    )
    return Grid(caption, ["edges", "estimator", *columns], rows, (0, 1))


def _agreement(agreement: Agreement | None) -> tuple[str, ...]:
    if agreement is None:
        return ("none",) * 4
    return (
        f"{agreement.edges}", interval(agreement.pearson), interval(agreement.spearman),
        interval(agreement.signs, form=".1%"),
    )  # fmt: skip


def _smallest_grid(sides: Sides) -> Grid:
    by_model = [
        (name, kept.table(artifact, "smallest_circuits", circuit="own").to_pylist()) for name, artifact in sides
    ]
    taus = sorted({row["tau"] for _, rows in by_model for row in rows})
    rows = [
        [name, *("none" if size is None else f"{size:,}" for tau in taus for size in _sizes(listed, tau))]
        for name, listed in by_model
    ]
    caption = "The smallest own circuit that was measured with f at least as large as given: its number of edges K."
    return Grid(caption, ["model", *(f"{tau:.2f}" for tau in taus)], rows)


def _sizes(rows: Sequence[dict[str, float]], tau: float) -> list[float | None]:
    return [row["size"] for row in rows if row["tau"] == tau] or [None]


def _f_at(points: Sequence[CircuitPoint], circuit: str, size: int) -> str:
    point = next((point for point in points if (point.circuit, point.size) == (circuit, size)), None)
    return "not run" if point is None else interval(point.f, point.low, point.high)


def _right_at(points: Sequence[CircuitPoint], circuit: str, size: int) -> str:
    point = next((point for point in points if (point.circuit, point.size) == (circuit, size)), None)
    return "not run" if point is None else f"{point.right:.1%}"


def _group(group: GroupKnockout | None) -> tuple[str, str]:
    if group is None:
        return "none", "none"
    return f"{group.metric:.3f}", right_of(group)


def _sides(question: Question, kind: EvidenceKind) -> Sides:
    there = [(name, of_model.get(kind)) for name, of_model in question.models]
    return [(name, artifact) for name, artifact in there if artifact]


def _missing(question: Question, kind: EvidenceKind) -> list[Block]:
    """What is not computed, in a paragraph; none where it is there of both models."""
    names = [name for name, of_model in question.models if of_model.get(kind) is None]
    if not names:
        return []
    command, title = command_for(question.mdm.run.spec, kind), KIND_TITLES[kind]
    return [Paragraph(f"Not computed: {title} of the {' and the '.join(names)}. Compute it with `{command}`.")]


def _measured_alone(question: Question) -> list[Block]:
    """Of models whose faithfulness is measured at single sizes only, at which, in a paragraph each."""
    blocks: list[Block] = []
    for name, of_model in question.models:
        alone = of_model.faithfulness
        if alone and of_model.get("faithfulness") is None:
            sizes = ", ".join(f"K = {each.size:,}" for each in alone)
            text = f'{name}: measured at single sizes only, {sizes}: see "Whose circuit in which model".'
            remark = alone[0].meta.get("remark")
            blocks.append(Paragraph(f"{text} {remark}" if remark else text))
    return blocks


def _sources(sides: Sides) -> Paragraph:
    keys = ", ".join(f"{short_key(artifact.key)} ({name})" for name, artifact in sides)
    return Paragraph(f'Evidence {keys}; settings as above, in full under "Where the numbers come from".', small=True)
