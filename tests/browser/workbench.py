"""The circuit component in a real browser: what a hand does there, and what is then to be seen."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from engine.circuits.edges import EdgeTable
from engine.circuits.filters import Filters, choose
from engine.circuits.graph import Graph
from engine.runs import lifecycle, read
from engine.runs.spec import RunSpec
from tools.browser import wait_until_still

GRAPH = Graph(6, 8)  # of the fake pair
SVG = "{http://www.w3.org/2000/svg}"
DASHES = {None: "shared", "6 4": "arm", "2 3": "mdm"}  # of an edge in a saved picture
MODELS = ("arm", "mdm")
Modifier = Literal["Shift"]


class Workbench:
    """The component on a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.get_by_test_id("circuit")

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        """Wait until the server has answered and the component is drawn."""
        wait_until_still(self.page)
        expect(self.root).to_have_attribute("data-painted", re.compile(r"\d"))
        self.page.wait_for_timeout(300)  # longer than K may move until the server is told
        wait_until_still(self.page)

    def part(self, name: str) -> Locator:
        return self.root.locator(f'[data-part="{name}"]')

    def graph(self, model: str) -> Locator:
        return self.part(f"graph-{model}")

    # What is to be seen.

    @property
    def k(self) -> int:
        return int(self.root.get_attribute("data-k") or 0)

    def has_k(self, k: int) -> None:
        expect(self.root).to_have_attribute("data-k", str(k))

    def has_node(self, name: str) -> None:
        expect(self.root).to_have_attribute("data-node", name)

    def tile(self, name: str) -> tuple[str, str]:
        """The number and the note of a tile."""
        tile = self.part("numbers").locator("div").filter(has=self.page.get_by_text(name, exact=True))
        return tile.locator("b").inner_text(), tile.locator("small").inner_text()

    @property
    def overlap(self) -> float:
        return float(self.tile("Overlap")[0])

    def caption(self, model: str) -> str:
        return self.part(f"caption-{model}").inner_text()

    def picture(self, name: str) -> str:
        """A short text that is another one where a canvas shows something else."""
        content = self.part(name).evaluate("(canvas) => canvas.toDataURL()")
        return hashlib.sha256(content.encode()).hexdigest()

    def pictures(self) -> list[str]:
        return [self.picture(f"graph-{model}") for model in MODELS]

    # What a hand does.

    def handle(self) -> tuple[float, float]:
        """Where the handle of K is, in pixels of the window."""
        x, y = self.part("curve").evaluate("({ dataset }) => [Number(dataset.handleX), Number(dataset.handleY)]")
        return self.place(self.part("curve"), x, y)

    def node(self, model: str, name: str) -> tuple[float, float]:
        """Where a node is, in pixels of the window."""
        places: dict[str, list[float]] = self.root.evaluate("(root) => root.circuitPlaces()")
        return self.place(self.graph(model), *places[name])

    def click(self, model: str, name: str, modifiers: Collection[Modifier] = ()) -> None:
        x, y = self.node(model, name)
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.click(x, y)
        for key in modifiers:
            self.page.keyboard.up(key)

    def choose_filter(self, **choices: str | bool) -> None:
        """Open the menu of filters and choose: `kinds` unticks one, `sign`, `show` and `prune` are set."""
        if self.part("filters").get_attribute("open") is None:
            self.part("filters").locator("summary").click()
        for name, value in choices.items():
            if name == "kinds":
                self.part("kinds").get_by_role("checkbox", name=str(value), exact=True).uncheck()
            elif name == "prune":
                self.part("prune").set_checked(bool(value))
            else:
                self.part(name).select_option(str(value))

    def saved(self, form: Literal["svg", "png"]) -> Path:
        """The file of the picture that is shown."""
        self.part("saves").locator("summary").click()
        with self.page.expect_download() as waiting:
            self.part("saves").get_by_role("button", name=form.upper()).click()
        self.part("saves").locator("summary").click()
        assert waiting.value.suggested_filename.endswith(f".{form}")
        return waiting.value.path()

    def svg(self) -> ElementTree.Element:
        return ElementTree.parse(self.saved("svg")).getroot()  # noqa: S314 (the component has just written it)

    def place(self, canvas: Locator, x: float, y: float) -> tuple[float, float]:
        box = canvas.bounding_box()
        assert box
        return box["x"] + x, box["y"] + y

    def until(self, condition: Callable[[], bool], within: float = 30) -> None:
        limit = time.monotonic() + within
        while not condition():
            assert time.monotonic() < limit, "it did not happen"
            self.page.wait_for_timeout(100)  # unlike time.sleep, lets the page's address follow


class Watched:
    """What a page sends to its server, and what goes wrong in it. It has to be made before the page is opened."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.opened, self.closed, self.sent = 0, 0, 0
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._opened)

    def _logged(self, message: ConsoleMessage) -> None:
        probe = message.location["url"].rpartition("/_stcore/")[2]  # Streamlit tries where its server is
        if message.type == "error" and probe not in ("health", "host-config"):
            self.errors.append(message.text)

    def _opened(self, socket: Any) -> None:
        self.opened += 1
        socket.on("close", lambda _: self._count("closed"))
        socket.on("framesent", lambda _: self._count("sent"))

    def _count(self, name: str) -> None:
        setattr(self, name, getattr(self, name) + 1)


def edge_paths(graph: ElementTree.Element) -> list[tuple[str, str]]:
    """Every edge of a graph in a saved picture: its class, and its path. Edges alone are cubic curves."""
    paths = ((path.get("stroke-dasharray"), path.get("d") or "") for path in graph.iter(f"{SVG}path"))
    return [(DASHES[dash], text) for dash, text in paths if "C" in text]


@dataclass(frozen=True)
class Drawn:
    """Edges of one model's circuit that the filters leave."""

    shared: frozenset[int]  # with the other model's circuit, whatever the filters leave of that
    own: frozenset[int]


def drawn(task: str, k: int, filters: Filters) -> dict[str, Drawn]:
    """By model: what is to be drawn of its `k` strongest edges."""
    tops = {model: edges_of(task, model, k) for model in MODELS}
    edges = {}
    for model, other in zip(MODELS, reversed(MODELS), strict=True):
        own, shared = tops[model], np.isin(tops[model].edge, tops[other].edge)
        keep = choose(GRAPH, own.edge, own.score, filters, shared).keep
        edges[model] = Drawn(*(frozenset(own.edge[keep & group].tolist()) for group in (shared, ~shared)))
    return edges


def edges_of(task: str, model: str, k: int) -> EdgeTable:
    return read.edge_table(_key(task, model), limit=k)


def overlap_of(task: str, k: int) -> float:
    return read.overlap(_key(task, "arm"), _key(task, "mdm"), k)


def _key(task: str, model: str) -> str:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run.key
