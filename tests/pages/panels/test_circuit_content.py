"""What the circuit component is sent of two runs: every array is what the engine says of the stored scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from engine.circuits.along_k import along_k
from engine.circuits.comparison import curve_sizes
from engine.circuits.edges import EdgeTable
from engine.circuits.filters import KINDS
from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import HALVES
from pages.figures.palette import DARK, LIGHT
from pages.panels import circuit_content
from pages.panels.circuit_content import Arrays, Slide, Told, arrays_of, payload_of, stops_of
from pages.panels.references import overlap_pairs
from pages.shared import cached_reads
from pages.shared.sides import Side, Sides
from pages.shared.state import k_options
from tests.fakes import GRAPH

N = GRAPH.n_edges
TOLD = Told({"k": 100, "node": None}, 3)


def run_of(model: str, task: str = "countdown") -> Run:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run


def sides_of(k: int = 100, arm_part: str = "total", mdm_part: str = "total", mdm: str = "mdm") -> Sides:
    arm, other = run_of("arm"), run_of(mdm)
    return Sides(GRAPH, k, Side("arm", arm, arm_part), Side("mdm", other, mdm_part))


def arrays(sides: Sides, k: int = 0, whole: bool = True) -> Arrays:
    of = [(side.run.key, side.part) for side in sides]
    lines = tuple(line.pairs for line in overlap_pairs(sides, run_of("control")))
    return arrays_of(of[0], of[1], lines, k, whole)


def tables(sides: Sides) -> list[EdgeTable]:
    return [read.edge_table(side.run.key, side.part) for side in sides]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Let the browser be sent fewer edges: the runs of tests have fewer than a real one's 5,000."""

    def send(edges: int) -> None:
        monkeypatch.setattr(circuit_content, "HERE", edges)
        arrays_of.clear()

    yield send
    arrays_of.clear()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("parts", [("total", "total"), ("site-01", "step-02")])
@pytest.mark.parametrize("edges", [N, 400])
def test_edges_come_with_their_ends_kinds_scores_and_ranks_in_the_other_model(
    here: Callable[[int], None], edges: int, parts: tuple[str, str]
) -> None:
    here(edges)
    sides = sides_of(100, *parts)
    sent, (arm, mdm) = arrays(sides), tables(sides)
    for name, own, other in (("arm", arm, mdm), ("mdm", mdm, arm)):
        assert all(len(sent[f"{name}_{column}"]) == edges for column in ("source", "target", "kind", "score", "other"))
        assert sent[f"{name}_score"].tolist() == own.score[:edges].tolist()
        ranks = {edge: rank for rank, edge in enumerate(other.edge.tolist())}
        assert sent[f"{name}_other"].tolist() == [ranks[edge] for edge in own.edge[:edges].tolist()]
        for rank in (0, 7, edges - 1):
            source, _, target = GRAPH.edge_name(int(own.edge[rank])).partition("->")
            node, _, letter = target.partition("<")
            kind = KINDS[sent[f"{name}_kind"][rank]]
            assert GRAPH.node_names[sent[f"{name}_source"][rank]] == source
            assert GRAPH.node_names[sent[f"{name}_target"][rank]] == node
            assert kind == (letter[0] if letter else "logits" if node == "logits" else "mlp")


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("edges", [N, 400])
def test_every_line_has_its_overlap_at_every_k_and_at_every_stop(here: Callable[[int], None], edges: int) -> None:
    here(edges)
    sides = sides_of()
    sent = arrays(sides)
    arm, mdm, control = (run_of(model).key for model in ("arm", "mdm", "control"))
    (a, b), total = HALVES, "total"
    lines = [
        [(arm, total, mdm, total)],
        [(arm, total, control, total)],
        [(mdm, total, control, total)],
        [(arm, a, mdm, b), (arm, b, mdm, a)],
        [(arm, a, arm, b)],
        [(mdm, a, mdm, b)],
    ]
    sizes = [*range(1, edges + 1), *sent["stops"].tolist()]
    for at, pairs in enumerate(lines):
        line = sent[f"line_{at}"]
        assert len(line) == len(sizes)
        for place in {0, 1, 9, edges // 2, edges - 1, *range(edges, len(sizes))}:
            overlaps = [read.overlap(key, other, sizes[place], p, q) for key, p, other, q in pairs]
            assert line[place] == pytest.approx(np.mean(overlaps), rel=1e-6), (at, sizes[place])


@pytest.mark.usefixtures("seeded")
def test_numbers_at_the_stops_are_those_of_the_engine(here: Callable[[int], None]) -> None:
    here(400)
    sides = sides_of()
    sent, (arm, mdm) = arrays(sides, k=777), tables(sides)
    stops = sent["stops"]
    assert 777 in stops and stops[-1] == N and (np.diff(stops) > 0).all() and stops[0] > 400
    along = along_k(GRAPH, arm, mdm, stops)
    assert sent["stop_shared"].tolist() == along.shared.tolist()
    assert sent["stop_components"] == pytest.approx(along.components, rel=1e-6)
    for at, name in enumerate(("arm", "mdm")):
        assert sent[f"{name}_early"] == pytest.approx(along.early_share[at], rel=1e-6)
        assert sent[f"{name}_effective"] == pytest.approx(along.effective_number[at], rel=1e-6)
        assert sent[f"{name}_profile"] == pytest.approx(along.layer_profile[at], rel=1e-6)


def test_stops_are_sizes_of_a_curve_options_of_the_keys_and_the_chosen_k() -> None:
    n = 1_600_000
    stops = stops_of(n, 123_457)
    assert stops.dtype == np.int32 and 100 < len(stops) < 300
    assert stops[0] > circuit_content.HERE and stops[-1] == n and 123_457 in stops
    options = {k for k in k_options(n) if k > circuit_content.HERE}
    assert options <= set(stops.tolist())
    assert set(stops.tolist()) - options - {123_457} <= set(curve_sizes(n).tolist())
    assert len(stops_of(circuit_content.HERE, 100)) == 0


@pytest.mark.usefixtures("seeded")
def test_the_first_message_has_only_what_is_quickly_read(here: Callable[[int], None]) -> None:
    here(400)
    sides, control = sides_of(), run_of("control")
    first, sent = payload_of(sides, control, LIGHT, TOLD)
    assert first["partial"] is True and len(sent["stops"]) == 0 and len(sent["line_0"]) == 400
    second, whole = payload_of(sides, control, LIGHT, TOLD, whole=str(first["circuits"]))
    assert second["partial"] is False and len(whole["stops"]) > 0
    assert second["circuits"] == first["circuits"] and second["version"] != first["version"]
    assert whole["line_0"][:400].tolist() == sent["line_0"].tolist()
    other, _ = payload_of(replace(sides, mdm=replace(sides.mdm, part="step-02")), control, LIGHT, TOLD)
    assert other["circuits"] != first["circuits"]


@pytest.mark.usefixtures("seeded")
def test_small_circuits_are_sent_at_once() -> None:
    header, sent = payload_of(sides_of(), run_of("control"), LIGHT, TOLD)
    assert header["partial"] is False and len(sent["stops"]) == 0 and len(sent["arm_score"]) == N


@pytest.mark.usefixtures("seeded")
def test_the_header_says_what_is_shown_how_it_is_coloured_and_what_is_chosen() -> None:
    slide = Slide("denoising", "Denoising step", ["total", "step-01"], "total")
    sides = sides_of(mdm_part="step-02")
    header, _ = payload_of(sides, None, DARK, TOLD, [slide])
    assert header["chosen"] == TOLD.chosen and header["serial"] == 3
    assert header["shape"] == {"layers": 6, "heads": 8, "edges": N, "early": 2, "core": 0.9}
    assert header["names"] == GRAPH.node_names
    assert header["kinds"] == ["q", "k", "v", "MLP", "logits"]
    assert header["models"]["mdm"]["title"].endswith("step-02")  # type: ignore[index]
    assert header["colours"]["arm"] == DARK.arm  # type: ignore[index]
    assert [line["style"] for line in header["lines"]] == ["pair", "half-pair", "half-arm", "half-mdm"]  # type: ignore[attr-defined]
    assert len(header["tiles"]) == 8 and all(len(tile) == 2 for tile in header["tiles"])  # type: ignore[arg-type, attr-defined]
    assert header["slides"] == [{"name": "denoising", "label": slide.label, "options": slide.options, "value": "total"}]
    assert header["notes"]["control"] == "not computed yet"  # type: ignore[index]
    lines = " ".join(header["origin"])  # type: ignore[call-overload]
    for told in ("countdown", sides.arm.run.key[:10], sides.mdm.run.key[:10], "eap-ig m = 5", "step-02"):
        assert told in lines
    guide = header["guide"]
    assert guide["node"]["node"] in GRAPH.node_names and guide["node"]["node"].startswith("a")  # type: ignore[index]


@pytest.mark.usefixtures("seeded")
def test_edges_are_kept_between_reruns(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = sides_of()
    first = arrays(sides)
    monkeypatch.setattr(cached_reads, "edges", None)  # reading them again would fail
    assert arrays(sides) is first
