"""Pictures draw every line and point that there is, in the model's colour."""

from __future__ import annotations

from engine.circuits.graph import Graph
from engine.exchange import report_pictures as pictures
from engine.exchange.svg_charts import ARM, MDM
from engine.runs.evidence_summary import CircuitPoint, GroupKnockout, Knockout

GRAPH = Graph(2, 2)


def test_faithfulness_has_a_line_a_circuit_and_model() -> None:
    points = [
        CircuitPoint(circuit, size, size, size / 100, 0.0, 1.0, 1.0)
        for circuit in ("own", "other", "random", "signed")
        for size in (0, 10, 100)
    ]
    nothing = [CircuitPoint("own", 10, 10, None, None, None, 0.0)]
    svg = pictures.faithfulness_picture("IOI", {"ARM": points, "MDM": nothing})
    for name in ("ARM: its own circuit", "ARM: the MDM&#x27;s circuit", "ARM: random edges"):
        assert f">{name}</text>" in svg
    assert "MDM: its own" not in svg and ARM in svg and MDM not in svg
    assert svg.count("<polygon points") >= 3 and "Faithfulness over the number of edges, IOI" in svg


def test_knockouts_name_the_strongest_components() -> None:
    arm = [Knockout(node, -float(node), None, None, 1.0) for node in range(1, GRAPH.n_sources)]
    svg = pictures.knockout_picture(
        "IOI", GRAPH, arm, [Knockout(k.node, k.change / 3 + 1, None, None, 1.0) for k in arm]
    )
    assert svg.count("<circle") == 4 + 1 and svg.count("<polygon") == 2 + 1  # heads, MLPs, and the legend
    assert f">{GRAPH.node_names[GRAPH.n_sources - 1]}</text>" in svg


def test_removals_have_a_line_a_selection_and_model() -> None:
    listed = [GroupKnockout(s, n, 1.0, 1 - n / 10, 0.0, 1.0) for s in ("strongest", "random", "only") for n in (0, 4)]
    svg = pictures.removal_picture("IOI", {"ARM": listed, "MDM": listed})
    for name in ("ARM: the strongest", "ARM: random ones", "MDM: the strongest", "MDM: random ones"):
        assert f">{name}</text>" in svg
    assert svg.count("<polyline") == 8  # four lines, and the legend's


def test_the_audit_has_a_point_an_edge() -> None:
    columns = {"exact": [0.0, 1.0, -2.0], "relp": [0.1, 0.9, -1.5]}
    svg = pictures.audit_picture("IOI", {"ARM": columns, "MDM": columns}, "relp")
    assert svg.count("<circle") == 3 + 1 and svg.count("<polygon") == 3 + 1
