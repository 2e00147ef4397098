"""What tests of the neurons page share: its runs, columns of their tables, and what the page shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.pages.test_pages import app

LAYER, NEURON = 3, 11
MODELS = ("arm", "mdm")
NAMES = {"arm": "ARM", "mdm": "MDM"}


def run_of(model: str, task: str = "ioi") -> Run:
    run = lifecycle.find(RunSpec(model=model, task=task))
    assert run
    return run


def column(model: str, name: str, layer: int | None = LAYER, task: str = "ioi") -> NDArray[np.float32]:
    return np.array(read.table(run_of(model, task).key, "neurons", layer=layer)[name].to_pylist(), dtype=np.float32)


def opened(**query: str) -> AppTest:
    return app("neurons", **{"layer": str(LAYER), **query})


def htmls(page: AppTest) -> list[str]:
    return [element.proto.body for element in page.get("html")]


def metric(page: AppTest, label: str) -> str:
    return str(next(tile.value for tile in page.metric if tile.label.startswith(label)))


def table(page: AppTest, name: str = "neuron table") -> AppTest:
    return next(frame.value for frame in page.dataframe if (frame.key or "").startswith(name))


def ranks(values: NDArray[np.float32]) -> NDArray[np.int_]:
    """1 for the largest |value|, by counting."""
    return np.array([1 + (np.abs(values) > abs(value)).sum() for value in values])
