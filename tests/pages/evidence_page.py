"""What the tests of the evidence page read: stored rows, labels of buttons, drawn lines."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from engine.runs import evidence, lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EvidenceKind
from tests.pages.test_pages import figures


def run_of(spec: RunSpec) -> Run:
    run = lifecycle.find(spec)
    assert run
    return run


def rows(spec: RunSpec, kind: EvidenceKind, table: str, at: int | None = None, **where: Any) -> list[dict[str, Any]]:
    there = evidence.find(run_of(spec), kind, run_of(evidence.other_of(spec)), at)
    assert there
    return evidence.table(there, table, **where).to_pylist()


def labels(page: Any) -> list[str]:
    return [button.label for button in page.button if str(button.key).startswith("compute")]


def lines(page: Any, title: str) -> dict[str, dict[str, Any]]:
    """The traces, by name, of the first figure one of whose traces is called `title`."""
    for figure in map(json.loads, figures(page)):
        traces = {trace.get("name"): trace for trace in figure["data"]}
        if title in traces:
            return traces
    raise AssertionError(f"no figure has {title}")


def claims_table(page: Any) -> str:
    """The HTML of the claims."""
    return next(html.proto.body for html in page.get("html") if "Published claims" in html.proto.body)


def values(trace: dict[str, Any], axis: str) -> list[float]:
    """Of a trace as it is sent: a list, or an array in base 64."""
    data = trace[axis]
    if isinstance(data, dict):
        return np.frombuffer(base64.b64decode(data["bdata"]), dtype=data["dtype"]).tolist()
    return list(data)
