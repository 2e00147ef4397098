"""Show whose circuit does what in which model, and how the ARM's circuit does along post-training."""

from __future__ import annotations

from functools import partial

import streamlit as st

from engine.runs.evidence import plan
from engine.runs.evidence_summary import common_sizes, nearest_size
from engine.runs.records import Run
from engine.schema.artifacts import EvidenceKind
from pages.figures.faithfulness import Style, along_figure
from pages.figures.transfer import matrix_figure
from pages.panels.evidence_data import CIRCUIT_WORDS, Rows, all_rows, at_size, in_words, of_size
from pages.panels.evidence_missing import offer_runs
from pages.shared import cached_reads, downloads, evidence, widgets
from pages.shared.glossary import meaning
from pages.shared.provenance import origin
from pages.shared.run_selector import Asked
from pages.shared.sides import Side

CIRCUITS = ("own", "other", "shared", "only", "random")
WIDTH = 640  # pixels


def transfer(asked: Asked) -> None:
    """The section: the matrix at the chosen K, and below it the checkpoints."""
    st.header("Whose circuit in which model", "transfer", divider="gray", help=meaning("transfer"))
    there = [(side, all_rows(side.run, asked.steps)) for side in asked.sides]
    missing = [side.run for side, rows in there if not of_size(rows, asked.k)]
    evidence.offer("at k", missing, asked.steps, "faithfulness_at", asked.k)
    measured = [(side, rows) for side, rows in there if rows]
    size = nearest_size(common_sizes(rows for _, rows in measured), asked.k)
    if size is not None:
        nearest = "" if size == asked.k else f", the measured size nearest to K = {asked.k:,}"
        st.caption(f"Measured at K = {size:,}{nearest}.")
        matrix([(side, of_size(rows, size)) for side, rows in measured], size)
    elif measured:
        st.info("The two models are measured at no common size, so that their circuits cannot be compared yet.")
    along_checkpoints(asked)


def matrix(sides: list[tuple[Side, Rows]], k: int) -> None:
    """Faithfulness of circuits at K edges, a row for every model in which they were run."""
    values = [[at_size(rows, circuit, k) for circuit in CIRCUITS] for _, rows in sides]
    if not any(cell for row in values for cell in row):
        st.info("f is not given for these models: see above why.")
        return
    hover = [[f"in the {side.title}: {_edges(rows, circuit)} edges" for side, rows in sides] for circuit in CIRCUITS]
    about = origin([side.run for side, _ in sides], k)
    figure = matrix_figure(
        [CIRCUIT_WORDS[name] for name in CIRCUITS], [f"in the {side.label}" for side, _ in sides],
        list(zip(*values, strict=True)), hover, widgets.palette(),
    )  # fmt: skip
    with st.container(width=WIDTH):
        alt = f"Faithfulness at K = {k:,} of each model's circuit in both models"
        widgets.chart(figure, "transfer", alt, "transfer", about)
    for (side, rows), line in zip(sides, values, strict=True):
        own, other, shared, only, random = map(in_words, line)
        whose = whose_circuit(side, sides)
        st.markdown(
            f"- **In the {widgets.plain(side.title)}**, its own {k:,} edges give f = {own}, {whose} {k:,} edges "
            f"{other}; the {_edges(rows, 'shared')} shared edges alone {shared}, the "
            f"{_edges(rows, 'only')} that only its own circuit has {only}; random edges {random}."
        )
    st.caption(
        "How to read it: each column is a model that was run with nothing but the edges of a row. If the other model's "
        "circuit does as well as the own one, the mechanism is the same; if it does no better than random edges, the "
        "circuit moved. Shared edges that stay faithful alone carry the task in both."
    )
    downloads.table_button(
        "Matrix", lambda: [_record(side, rows, circuit, k) for side, rows in sides for circuit in CIRCUITS], about,
        "transfer",
    )  # fmt: skip


def whose_circuit(side: Side, sides: list[tuple[Side, Rows]]) -> str:
    """Whose circuit the other one is: an ARM's is compared with that of the final MDM, whichever stands beside it."""
    if side.model == "mdm":
        return "the ARM's"
    others = [other.run.spec for other, _ in sides if other.model == "mdm"]
    return "the MDM's" if [spec.model for spec in others] in (["mdm"], []) else "the final MDM's"


def _edges(rows: Rows, circuit: str) -> str:
    """How many edges were run."""
    return next((f"{row['edges']:,}" for row in rows if row["circuit"] == circuit), "0")


def _record(side: Side, rows: Rows, circuit: str, k: int) -> dict[str, object]:
    estimate = at_size(rows, circuit, k)
    ends = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return {
        "model": side.title, "circuit": circuit, "edges": int(_edges(rows, circuit).replace(",", "")),
        **dict(zip(("f", "f_low", "f_high"), ends, strict=True)),
    }  # fmt: skip


def along_checkpoints(asked: Asked) -> None:
    """The ARM's circuit, and each checkpoint's own, in every checkpoint that is computed; a button for the others."""
    if not asked.pair.steps:
        return
    st.subheader(f"Along post-training, K = {asked.k:,}", help=meaning("checkpoint"))
    specs = {step: asked.question.spec(f"step:{step}") for step in asked.pair.steps}
    runs = {step: cached_reads.run_of(spec) for step, spec in specs.items()}
    at_k = [
        (step, run, of_size(all_rows(run, asked.steps, asked.k), asked.k) if run else []) for step, run in runs.items()
    ]
    known = [(step, run, rows) for step, run, rows in at_k if run and rows]
    if all(runs.values()):
        missing = [run for _, run, rows in at_k if run and not rows]
        evidence.offer("checkpoints", missing, asked.steps, "faithfulness_at", asked.k)
    else:
        kinds: tuple[EvidenceKind, ...] = ("faithfulness_at",)
        wanted = [specs[step] for step, _, rows in at_k if not rows]
        offer_runs(
            asked, wanted, what=f"circuits and faithfulness at K = {asked.k:,} of checkpoints", noun="checkpoint",
            key="compute checkpoints", plan=partial(plan, wanted, kinds, asked.k), kinds=("circuit", *kinds),
        )  # fmt: skip
    if known:
        _along(asked, known)


def _along(asked: Asked, known: list[tuple[int, Run, Rows]]) -> None:
    circuits: tuple[tuple[str, Style], ...] = (
        ("ARM's circuit", "other"), ("checkpoint's own", "own"), ("random edges", "random"),
    )  # fmt: skip
    lines = [
        (
            name,
            circuit,
            [estimate.value if (estimate := at_size(rows, circuit, asked.k)) else None for *_, rows in known],
        )
        for name, circuit in circuits
    ]
    widgets.chart(
        along_figure([f"{step:,}" for step, *_ in known], lines, widgets.palette()), "transfer along post-training",
        "Faithfulness of the ARM's circuit in every checkpoint of post-training", "transfer-checkpoints",
        origin([run for _, run, _ in known], asked.k),
    )  # fmt: skip
    st.caption(
        "How to read it: where the line of the ARM's circuit falls below that of the checkpoint's own, the model has "
        "begun to do the task in another way than the ARM."
    )
