"""Evidence as text: every number at its place, what there is not reads none, lines stay within a terminal."""

from __future__ import annotations

import re

from engine.circuits.agreement import ALL, SCORED, Agreement
from engine.circuits.graph import Graph
from engine.runs import evidence_lines as lines
from engine.runs.evidence_summary import CircuitPoint, GroupKnockout, Knockout
from engine.schema.evidence_tables import CIRCUITS, ESTIMATORS, GROUPS, SELECTIONS

META = {
    "full": 7.9, "corrupted": -7.5, "right_full": 1.0, "right_corrupted": 0.25, "remark": None,
    "areas": {
        "random": {"cpr": [0.3, None, None], "cmd": [0.7, None, None]},
        "own": {"cpr": [0.9, 0.8, 1.0], "cmd": [0.1, 0.0, 0.2]},
    },
}  # fmt: skip
GRAPH = Graph(2, 2)


def test_every_name_of_the_tables_has_words() -> None:
    assert set(lines.CIRCUIT_NAMES) == set(CIRCUITS) and set(lines.ESTIMATOR_NAMES) == set(ESTIMATORS)
    assert set(lines.SELECTION_NAMES) == set(GROUPS) and set(lines.AUDITED_NAMES) == {*SELECTIONS, ALL, SCORED}


def test_faithfulness_of_a_model() -> None:
    points = [
        CircuitPoint("own", 50, 50, 0.25, 0.2, 0.3, 0.5),
        CircuitPoint("own", 200, 200, 0.9, 0.85, 0.95, 1.0),
        CircuitPoint("random", 50, 50, 0.01, -0.02, 0.03, 0.1),
        CircuitPoint("shared", 200, 120, None, None, None, 0.1),
    ]
    text = list(lines.faithfulness_lines("ARM (abc)", points, [50, 200], META, [(0.85, 180), (0.95, None)]))
    assert text[0] == "ARM (abc): metric 7.900, corrupted -7.500; scored tokens right 100%, corrupted 25%"
    assert text[1].split() == ["f", "at", "K", "=", "50", "200"]
    own, shared, random = text[2:5]
    assert own.split("  ")[1] == "own, by |score|" and re.findall(r"-?\d\.\d+", own) == [
        "0.250", "0.200", "0.300", "0.900", "0.850", "0.950",
    ]  # fmt: skip
    assert shared.split() == ["shared", "edges", "only", "none"] and own.index("0.900") == shared.index("none")
    assert random.endswith("0.010 (-0.020 to 0.030)")
    assert [line.split("CPR")[0].strip() for line in text[5:7]] == ["own, by |score|", "random edges"]
    assert "CPR 0.900 (0.800 to 1.000)" in text[5] and text[6].endswith("CMD 0.700")
    assert text[7:] == ["  smallest own circuit with f >= 0.85: K = 180", "  smallest own circuit with f >= 0.95: none"]
    assert "! They are close." in "".join(
        lines.faithfulness_lines("ARM", points, [50], {**META, "remark": "They are close."}, [])
    )


def test_knockouts_are_side_by_side() -> None:
    arm = [Knockout(node, -float(9 - node), -9.5, -0.5, 0.5) for node in range(1, 7)]
    mdm = [Knockout(6, -3.0, None, None, 0.25)]
    head, *rows = lines.knockout_lines(GRAPH, [("ARM", arm), ("MDM", mdm)])
    assert head.split() == ["without", "ARM:", "change", "right", "MDM:", "change", "right"]
    assert [row.split()[0] for row in rows] == [GRAPH.node_names[node] for node in (1, 2, 3, 4, 5, 6)]
    assert rows[0].split()[1:] == ["-8.000", "(-9.500", "to", "-0.500)", "50.0%", "none"]
    assert rows[-1].endswith("-3.000                          25.0%")


def test_groups_are_side_by_side() -> None:
    arm = [GroupKnockout("random", 2, 1.0, 0.5, 0.4, 0.6), GroupKnockout("strongest", 2, 1.0, 0.25, 0.25, 0.25)]
    _, first, second = lines.group_lines([("ARM", arm), ("MDM", arm[1:])])
    assert first.split() == ["2", "strongest", "25.0%", "25.0%"]
    assert second.split() == ["2", "random", "50.0%", "(40.0%", "to", "60.0%)", "none"]


def test_agreement_is_side_by_side() -> None:
    nan = float("nan")
    arm = [Agreement("strongest", name, 100, 0.9, 0.8, 0.75, 90) for name in ESTIMATORS]
    mdm = [Agreement("strongest", "relp", 99, nan, 0.5, nan, 0)]
    first, head, *rows = lines.audit_lines([("ARM", arm), ("MDM", mdm)])
    assert first == "  the strongest edges (ARM 100, MDM 99)" and head.split()[0] == "estimator"
    assert len(rows) == len(ESTIMATORS)
    assert rows[0].split() == ["eap", "0.900", "0.800", "75.0%", "none"]
    assert rows[-1].split() == ["relp", "0.900", "0.800", "75.0%", "none", "0.500", "none"]


def test_numbers_with_and_without_interval() -> None:
    assert lines.interval(0.5) == "0.500" and lines.interval(None, 0.1, 0.2) == "none"
    assert lines.interval(0.5, 0.25, 0.75, ".1%") == "50.0% (25.0% to 75.0%)" and lines.interval(float("nan")) == "none"
    assert lines.interval(-0.0001, -0.0004, 0.0) == "0.000 (0.000 to 0.000)"
    legends = (*lines.FAITHFULNESS_LEGEND, *lines.KNOCKOUT_LEGEND, *lines.AUDIT_LEGEND)
    assert max(map(len, legends)) <= 120
