"""The report's tables of evidence hold what is stored, and what is missing is named with its command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from engine.exchange.report_evidence import evidence_sections
from engine.exchange.report_parts import Block, Grid, Paragraph, Picture, Section
from engine.runs import evidence
from engine.runs.evidence_lines import AUDITED_NAMES, CIRCUIT_NAMES
from engine.runs.spec import RunSpec
from engine.schema.evidence_tables import ESTIMATORS
from tests.fakes import tiny_compute
from tests.stored_evidence import question, store


def grids(section: Section) -> list[Grid]:
    return [block for block in section.blocks if isinstance(block, Grid)]


def texts(blocks: Sequence[Block]) -> Iterator[str]:
    return (block.text for block in blocks if isinstance(block, Paragraph))


@pytest.mark.usefixtures("workspace")
def test_every_number_is_a_stored_one() -> None:
    store(control=False)
    asked = question()
    faithful, transfer, knocked, audit = evidence_sections(asked)
    stored = {
        (name, row["circuit"], row["size"], row["draw"]): row
        for name, of_model in asked.models
        for row in evidence.table(of_model.by_kind["faithfulness"], "circuit_runs", part="total").to_pylist()
    }
    first = grids(faithful)[0]
    sizes = [int(head.removeprefix("f measured at K = ").replace(",", "")) for head in first.head[2:-1]]
    of = {words: circuit for circuit, words in CIRCUIT_NAMES.items()}
    assert len(first.rows) == 2 * len(CIRCUIT_NAMES)
    for name, words, *cells, right in first.rows:
        if words == CIRCUIT_NAMES["random"]:
            continue
        for size, cell in zip(sizes, cells, strict=True):
            row = stored[name, of[words], size, 0]
            assert cell == f"{row['f']:.3f} ({row['f_low']:.3f} to {row['f_high']:.3f})"
        assert right == f"{stored[name, of[words], sizes[-1], 0]['right']:.1%}"
    for k, words, in_arm, in_mdm in grids(transfer)[0].rows:
        if words == "the ARM's circuit":
            size = int(k.replace(",", ""))
            assert in_arm.startswith(f"{stored['ARM', 'own', size, 0]['f']:.3f}")
            assert in_mdm.startswith(f"{stored['MDM', 'other', size, 0]['f']:.3f}")
    changes = {
        row["node"]: row
        for row in evidence.table(
            asked.mdm.by_kind["knockouts"], "knockouts", replaced_by="corrupted", part="total"
        ).to_pylist()
    }
    names = asked.arm.run.meta.graph.node_names
    for node, _, _, change, right in grids(knocked)[0].rows:
        row = changes[names.index(node)]
        assert change.startswith(f"{row['change']:.3f} (") and right == f"{row['right']:.1%}"
    assert len(grids(audit)[0].rows) == len(AUDITED_NAMES) * len(ESTIMATORS)


@pytest.mark.usefixtures("workspace")
def test_every_section_has_its_picture_and_its_source() -> None:
    store(control=False)
    asked = question()
    pictures = [sum(isinstance(b, Picture) for b in section.blocks) for section in evidence_sections(asked)]
    assert pictures == [1, 0, 2, 1]
    for section, kind in zip(evidence_sections(asked), ("faithfulness", None, "knockouts", "audit"), strict=True):
        if kind:
            last = list(texts(section.blocks))[-1]
            assert all(of_model.by_kind[kind].key[:10] in last for _, of_model in asked.models)


@pytest.mark.usefixtures("workspace")
def test_single_sizes_are_told_without_the_line_over_k() -> None:
    store(control=False, kinds=())
    specs = [RunSpec(n=4, model=model) for model in ("arm", "mdm")]
    for size in (7, 11):
        evidence.compute(specs, ["faithfulness_at"], size, compute=tiny_compute)
    asked = question()
    faithful, transfer, *_ = evidence_sections(asked)
    missing, *measured = texts(faithful.blocks)
    assert missing.startswith("Not computed: faithfulness over K of the ARM and the MDM.")
    where = 'see "Whose circuit in which model".'
    assert measured == [f"{name}: measured at single sizes only, K = 7, K = 11: {where}" for name in ("ARM", "MDM")]
    assert not list(texts(transfer.blocks)) and not grids(faithful)
    stored = evidence.find(asked.mdm.run, "faithfulness_at", asked.arm.run, 11)
    assert stored
    (row,) = evidence.table(stored, "circuit_runs", circuit="other", part="total").to_pylist()
    cells = {(size, words): in_mdm for size, words, _, in_mdm in grids(transfer)[0].rows}
    assert cells["11", "the ARM's circuit"] == f"{row['f']:.3f} ({row['f_low']:.3f} to {row['f_high']:.3f})"


@pytest.mark.usefixtures("workspace")
def test_missing_evidence_is_named_with_its_command() -> None:
    store(control=False, kinds=())
    for section in evidence_sections(question()):
        (text,) = texts(section.blocks)
        assert text.startswith("Not computed: ") and " of the ARM and the MDM. " in text and len(section.blocks) == 1
        assert "`python -m engine evidence --pair embedded --task ioi --n 4 --only " in text
