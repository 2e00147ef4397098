"""What a report says of the circuits of a task: accuracy of the models, overlap with what it is read against."""

from __future__ import annotations

from collections.abc import Iterator

from engine.circuits import comparison
from engine.circuits.along_k import core_overlap
from engine.circuits.comparison import SplitHalf, printed
from engine.circuits.intervals import wilson
from engine.errors import UserError
from engine.exchange.report_parts import Block, Grid, Paragraph, Picture, Section
from engine.exchange.report_runs import Question
from engine.exchange.svg_charts import ARM, NEUTRAL, SHARED, Axis, Line, Point, line_chart
from engine.runs import read
from engine.runs.compare import compare
from engine.runs.evidence_lines import interval
from engine.runs.records import Run, short_key
from engine.runs.solvable import can_do
from engine.tasks.registry import measured_on, task_named

SIZES = (50, 200, 1000)
NONE = "none"


def models_section(question: Question) -> Section:
    """How well the models solve the task, and what is to be said of their runs."""
    named: list[tuple[str, Run | None]] = [(name, of_model.run) for name, of_model in question.models]
    named.append(("step-0 control", question.control))
    runs = [(name, run) for name, run in named if run]
    rows = [
        (
            name,
            short_key(run.key),
            _accuracy(run),
            f"{run.meta.metric_clean:.3f}",
            f"{run.meta.metric_corrupt:.3f}",
            f"{run.meta.graph.n_edges:,}",
        )
        for name, run in runs
    ]
    head = ("model", "run", "solved (95 % interval)", "metric, clean", "metric, corrupted", "edges")
    blocks: list[Block] = [
        Grid(f"Both models on {measured_on(question.task)}, and the metric on the run's examples", head, rows, (0, 1))
    ]
    for name, run in runs:
        blocks += [Paragraph(f"{name}: {remark}", small=True) for remark in _remarks(run)]
    return Section("Both models on this task", blocks)


def overlap_section(question: Question) -> Section:
    """Overlap of both circuits at some K beside what it is read against, and at every K."""
    arm, mdm, control = question.arm.run, question.mdm.run, question.control
    n_edges = min(arm.meta.graph.n_edges, mdm.meta.graph.n_edges)
    sizes = [size for size in SIZES if size <= n_edges] or [n_edges]
    columns = [_overlap_column(question, size) for size in sizes]
    rows = [(label, *(column[label] for column in columns)) for label in columns[0]]
    caption = (
        "Overlap: the Jaccard index of the K strongest edges of two circuits. The three of halves compare with "
        "each other."
    )
    blocks: list[Block] = [Grid(caption, ("", *(f"K = {size:,}" for size in sizes)), rows)]
    if control is None:
        blocks.append(Paragraph("The step-0 control is not computed.", small=True))
    if not (arm.has_halves and mdm.has_halves):
        blocks.append(Paragraph("There are no halves of a single example.", small=True))
    blocks.append(Picture(overlap_picture(question), "Overlap of both circuits at every size K."))
    blocks.append(Paragraph(sources(question), small=True))
    return Section("Overlap of the two circuits", blocks)


def overlap_picture(question: Question) -> str:
    arm, mdm, control = question.arm.run, question.mdm.run, question.control
    pair = compare(arm, mdm)

    def points(values: Iterator[tuple[float, float]]) -> list[Point]:
        return [Point(float(k), float(value)) for k, value in values]

    lines = [Line("ARM and MDM", points(zip(pair.k, pair.overlap, strict=True)), SHARED)]
    if control:
        at_step_0 = compare(arm, control)
        known = zip(at_step_0.k, at_step_0.overlap, strict=True)
        lines.append(Line("ARM and step-0 control", points(known), ARM, "dashdot"))
    lines.append(Line("chance", points(zip(pair.k, pair.chance, strict=True)), NEUTRAL, "dot"))
    title = f"Overlap of both circuits over K, {question.title}"
    return line_chart(title, lines, Axis("edges K", logarithmic=True), Axis("overlap (Jaccard index)", low=0, high=1))


def sources(question: Question) -> str:
    """Where the numbers come from, in a sentence."""
    spec = question.mdm.run.spec
    keys = [f"{short_key(of_model.run.key)} ({name})" for name, of_model in question.models]
    keys += [f"{short_key(question.control.key)} (control)"] if question.control else []
    points = f" with {spec.points} points" if spec.method.startswith("eap-ig") else ""
    return (
        f"Runs {', '.join(keys)}: {spec.method}{points}, {spec.metric}, n = {spec.n}, seed {spec.seed}, order "
        f"{spec.order}, {spec.dtype}."
    )


def _overlap_column(question: Question, size: int) -> dict[str, str]:
    arm, mdm, control = question.arm.run, question.mdm.run, question.control
    graph, sides = arm.meta.graph, [read.edge_table(run.key, limit=size) for run in (arm, mdm)]
    compared = comparison.compare(graph, sides[0], sides[1], size)
    beside = NONE if control is None else printed(read.overlap(arm.key, control.key, size), ".3f")
    halves = read.split_half(arm, mdm, size)
    return {
        "Overlap of ARM and MDM": f"{compared.jaccard:.3f}",
        "ARM and step-0 control: its own weights read as the MDM is": beside,
        "chance: two random circuits": f"{compared.chance:.3f}",
        "core components of ARM and MDM": printed(core_overlap(graph, sides[0], sides[1]), ".3f"),
        "halves of the examples: ARM with MDM": _half(halves, "pair"),
        "halves of the examples: ARM with itself": _half(halves, "arm"),
        "halves of the examples: MDM with itself": _half(halves, "mdm"),
        "share of importance in the first third of the layers: ARM": printed(compared.arm.early_share, ".3f"),
        "share of importance in the first third of the layers: MDM": printed(compared.mdm.early_share, ".3f"),
        "early ratio: MDM / ARM of these shares": printed(compared.early_ratio, ".2f"),
        "effective number of components: ARM": f"{compared.arm.effective_number:.1f}",
        "effective number of components: MDM": f"{compared.mdm.effective_number:.1f}",
    }


def _half(halves: SplitHalf | None, which: str) -> str:
    return NONE if halves is None else f"{getattr(halves, which):.3f}"


def _accuracy(run: Run) -> str:
    if run.accuracy is None:
        return "not measured yet"
    share, n = run.accuracy.accuracy, run.accuracy.accuracy_n
    return f"{interval(share, *wilson(share, n), form='.1%')} of {n}"


def _remarks(run: Run) -> list[str]:
    remarks = list(run.meta.remarks)
    try:
        ability = can_do(task_named(run.spec.task), run.accuracy)
    except UserError:
        return remarks
    return remarks if ability.can else [ability.reason, *remarks]
