"""What the mouse does in the graphs besides choosing nodes, the introduction, and slides beside K."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from tests.browser.workbench import GRAPH, MODELS, Workbench, edge_paths, edges_of

Points = NDArray[np.float64]  # [point, x and y]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("view", ["side", "one"])
def test_an_edge_under_the_mouse_is_named_with_rank_and_score_in_both_models(
    page: Page, address: str, view: str
) -> None:
    bench = Workbench(page)
    tables = {model: edges_of("ioi", model, GRAPH.n_edges) for model in MODELS}
    orders = [tables[model].edge.tolist() for model in MODELS]
    k = next(k for k in range(1, 100) if len(set(orders[0][:k]) - set(orders[1][:k])) == 1)
    bench.open(address + f"circuits?task=ioi&k={k}&graphs={view}")
    paths = _paths(bench)
    for model, own, other in zip(MODELS, orders, reversed(orders), strict=True):
        (edge,) = set(own[:k]) - set(other[:k])
        page.mouse.move(*_on_path(bench, model if view == "side" else "arm", paths, model))
        tip = bench.part("tip")
        expect(tip).to_contain_text(f"{GRAPH.edge_name(edge).replace('->', ' → ')}, {model.upper()} only")
        for some in MODELS:
            rank = tables[some].edge.tolist().index(edge)
            expect(tip).to_contain_text(
                re.compile(rf"{some.upper()}: rank {rank + 1:,}, score {_score(tables[some].score[rank])}")
            )


def test_a_clicked_edge_is_highlighted_until_something_else_is_clicked(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=12")
    free = bench.pictures()
    page.mouse.click(*_on_path(bench, "arm", _paths(bench), "shared"))
    bench.until(lambda: bench.pictures() != free)
    page.mouse.click(*bench.place(bench.graph("arm"), 2, 2))
    bench.until(lambda: bench.pictures() == free)


def test_zoom_and_pan_move_both_graphs_together_and_a_double_click_resets(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    free, (x, y) = bench.pictures(), bench.node("arm", "a3.h3")
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    bench.until(lambda: all(was != now for was, now in zip(free, bench.pictures(), strict=True)))
    assert bench.node("arm", "a3.h3") == pytest.approx((x, y), abs=1), "what is under the mouse stays there"
    assert bench.node("arm", "a3.h6")[0] - x > 1.5 * (bench.node("arm", "a3.h4")[0] - x)
    page.mouse.move(x + 12, y + 12)
    page.mouse.down()
    page.mouse.move(x + 52, y - 8, steps=4)
    page.mouse.up()
    bench.until(lambda: bench.node("arm", "a3.h3") == pytest.approx((x + 40, y - 20), abs=5))
    dx = bench.node("mdm", "a3.h3")[0] - bench.node("arm", "a3.h3")[0]
    arm, mdm = (bench.graph(model).bounding_box() for model in MODELS)
    assert arm and mdm and dx == pytest.approx(mdm["x"] - arm["x"])
    expect(bench.root).to_have_attribute("data-node", "")
    page.mouse.dblclick(*bench.place(bench.graph("mdm"), 2, 2))
    page.mouse.move(5, 5)
    bench.until(lambda: bench.pictures() == free)
    for button in ("Zoom in", "Show all"):
        bench.root.get_by_role("button", name=button).click()
        bench.until(lambda button=button: (bench.pictures() == free) == (button == "Show all"))  # type: ignore[misc]


def test_wheel_without_a_key_scrolls_the_page(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 600})
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    free, before = bench.pictures(), bench.graph("arm").bounding_box()
    assert before
    page.mouse.move(before["x"] + 100, before["y"] + 50)
    page.mouse.wheel(0, 120)
    bench.until(lambda: (bench.graph("arm").bounding_box() or before)["y"] < before["y"])
    page.mouse.move(5, 300)
    bench.until(lambda: bench.pictures() == free)


def test_the_introduction_leads_to_the_curve_a_node_and_one_graph_and_is_gone_once_closed(
    page: Page, address: str
) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits")
    guide = bench.part("guide")
    guide.get_by_role("button", name="1.").click()
    expect(bench.part("curve")).to_be_focused()
    guide.get_by_role("button", name="2.").click()
    expect(bench.root).to_have_attribute("data-node", re.compile(r"a\d+\.h\d+"))
    expect(page.locator(".st-key-inspector").get_by_role("heading")).to_contain_text("Head")
    guide.get_by_role("button", name="3.").click()
    expect(bench.graph("mdm")).to_be_hidden()
    guide.get_by_role("button", name="Close the introduction").click()
    expect(guide).to_be_hidden()
    page.reload()
    bench.settle()
    expect(guide).to_be_hidden()


def test_a_component_of_the_inspectors_list_is_selected_in_both_graphs(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    free, inspector = bench.pictures(), page.locator(".st-key-inspector")
    button = inspector.get_by_role("button", name=re.compile(r"^(a\d+\.h\d+|m\d+) · ARM")).first
    name = button.inner_text().split(" ")[0]
    button.click()
    bench.has_node(name)
    assert all(was != now for was, now in zip(free, bench.pictures(), strict=True))
    inspector.get_by_role("button", name="Let go").click()
    bench.has_node("")


def test_another_denoising_step_changes_what_is_drawn_and_moves_no_node(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?task=countdown&k=100")
    slide = bench.part("slides").get_by_label("Denoising step")
    before, overlap, place = bench.pictures(), bench.tile("Overlap"), bench.node("mdm", "a2.h3")
    slide.press("ArrowRight")
    expect(page).to_have_url(re.compile("denoising=step-"))
    bench.until(lambda: bench.pictures()[1] != before[1] and bench.tile("Overlap") != overlap)
    assert bench.node("mdm", "a2.h3") == pytest.approx(place, abs=1)
    expect(bench.part("caption-mdm")).to_contain_text("step-")
    assert bench.k == 100


def test_of_many_edges_the_strongest_are_drawn_and_the_note_says_so(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=3628")
    expect(bench.part("note")).to_contain_text("Drawn: the strongest 1,500 edges.")
    expect(bench.part("caption-arm")).to_contain_text("shared: 3,628")
    assert bench.tile("Overlap")[0] == "1.000"
    assert bench.tile("Shared edges")[0] == "3,628"


def _score(value: float) -> str:
    """The beginning of a score as it is shown, with three digits of which the last may be rounded otherwise."""
    return re.escape(f"{value:+.3g}"[:4])


def _paths(bench: Workbench) -> list[tuple[str, Points]]:
    """The class of every edge in a saved picture, and points of its curve in pixels of a graph."""
    paths = []
    for name, text in edge_paths(bench.svg()):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", text)]
        ends = np.array(numbers).reshape(4, 2)
        share = np.linspace(0, 1, 25)[:, None]
        rest = 1 - share
        weights = np.hstack([rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3])
        paths.append((name, weights @ ends))
    return paths


def _on_path(bench: Workbench, model: str, paths: list[tuple[str, Points]], name: str) -> tuple[float, float]:
    """The pixel of the window on the first edge of a class that is farthest from any node and any other edge."""
    at = next(at for at, (some, _) in enumerate(paths) if some == name)
    own, others = paths[at][1], [points for other, (_, points) in enumerate(paths) if other != at]
    nodes = np.array(bench.root.evaluate("(root) => Object.values(root.circuitPlaces())"))

    def room(point: Points) -> float:
        to_node = np.linalg.norm(nodes - point, axis=1).min() / 20  # a node is hit from farther away than an edge
        return float(min(to_node, np.linalg.norm(np.vstack(others) - point, axis=1).min() / 5))

    x, y = max(own[1:-1], key=room)
    return bench.place(bench.graph(model), x, y)
