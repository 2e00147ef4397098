"""How both circuits are drawn: filters, views, saved pictures, themes and widths of the window."""

from __future__ import annotations

import csv
import struct
from collections import Counter
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.circuits.filters import KINDS, Filters
from pages.figures.palette import DARK, LIGHT
from tests.browser.workbench import MODELS, SVG, Drawn, Workbench, drawn, edge_paths

WITHOUT_K = Filters(tuple(kind for kind in KINDS if kind != "k"), "positive", "shared", True)


@pytest.mark.usefixtures("runs")
def test_filters_act_at_once_and_reach_the_address_and_the_files(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?task=countdown&k=500")
    _has_counts(bench, drawn("countdown", 500, Filters()))
    overlap = bench.tile("Overlap")
    steps: list[tuple[dict[str, str | bool], Filters]] = [
        ({"sign": "positive"}, Filters(sign="positive")),
        ({"show": "shared"}, Filters(sign="positive", show="shared")),
        ({"kinds": "k"}, Filters(WITHOUT_K.kinds, "positive", "shared")),
        ({"prune": True}, WITHOUT_K),
    ]
    for number, (choice, filters) in enumerate(steps, 1):
        before = bench.pictures()
        bench.choose_filter(**choice)
        _has_counts(bench, drawn("countdown", 500, filters))
        bench.until(lambda before=before: bench.pictures() != before)  # type: ignore[misc]
        expect(bench.part("filters").locator("summary")).to_have_text(f"Filters ({number})")
        expect(bench.part("note")).to_contain_text("all numbers are of the 500 strongest edges")
    assert bench.tile("Overlap") == overlap
    bench.settle()
    for asked in ("sign=positive", "show=shared", "prune=true", "kinds=q&kinds=v&kinds=MLP&kinds=logits"):
        assert asked in page.url
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    lines = waiting.value.path().read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == len(drawn("countdown", 500, WITHOUT_K)["arm"].shared)
    assert "positive" in waiting.value.suggested_filename and "pruned" in waiting.value.suggested_filename


def test_a_circuit_can_be_downloaded(page: Page, address: str) -> None:
    Workbench(page).open(address + "circuits?k=20")
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    lines = waiting.value.path().read_text().splitlines()
    assert len([line for line in lines if not line.startswith("#")]) == 21
    assert waiting.value.suggested_filename.startswith("embedded-arm-ioi-total-20-")


def test_both_circuits_can_be_seen_as_one_graph_or_layer_by_layer(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    views, side = bench.part("views"), bench.picture("graph-arm")
    for name, value, title in (("One graph", "one", "Both circuits"), ("By layer", "layers", "Importance by layer")):
        views.get_by_role("radio", name=name).click()
        expect(views.get_by_role("radio", name=name)).to_be_checked()
        expect(bench.part("caption-arm")).to_contain_text(title)
        expect(bench.part("note")).not_to_contain_text("Bars at the right")
        expect(bench.graph("mdm")).to_be_hidden()
        bench.until(lambda value=value: f"graphs={value}" in page.url)  # type: ignore[misc]
        assert bench.picture("graph-arm") != side
    views.get_by_role("radio", name="By layer").press("ArrowRight")
    expect(views.get_by_role("radio", name="Side by side")).to_be_checked()
    expect(bench.graph("mdm")).to_be_visible()
    page.mouse.move(5, 5)
    bench.until(lambda: bench.picture("graph-arm") == side)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("node", ["", "a2.h3"])
def test_a_saved_picture_has_every_edge_that_is_drawn(page: Page, address: str, node: str) -> None:
    filters = Filters(sign="positive", pruned=True)
    bench = Workbench(page)
    bench.open(address + f"circuits?task=countdown&k=300&sign=positive&prune=true&node={node}".removesuffix("&node="))
    picture = bench.svg()
    groups = picture.findall(f"{SVG}g")
    assert len(groups) == 2
    edges = drawn("countdown", 300, filters)
    for model, group in zip(MODELS, groups, strict=True):
        shown = edges[model]
        assert shown.shared and shown.own
        assert _counts(group) == {"shared": len(shown.shared), model: len(shown.own)}
    words = " ".join(text.text or "" for text in picture.iter(f"{SVG}text"))
    for told in ("K = 300", "embedded · countdown", "ARM run", "MDM run", "eap-ig m = 5", "positive", "pruned"):
        assert told in words
    assert (node in words.split()) == bool(node)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("filters", [Filters(), Filters(sign="negative"), Filters(pruned=True)])
def test_one_graph_has_each_edge_once(page: Page, address: str, filters: Filters) -> None:
    k = 500
    bench = Workbench(page)
    chosen = f"sign={filters.sign}&prune={str(filters.pruned).lower()}"
    bench.open(address + f"circuits?task=ioi&k={k}&graphs=one&{chosen}")
    (group,) = bench.svg().findall(f"{SVG}g")
    arm, mdm = (drawn("ioi", k, filters)[model] for model in MODELS)
    shared = len(arm.shared | mdm.shared)
    assert _counts(group) == {"arm": len(arm.own), "mdm": len(mdm.own), "shared": shared}
    paths = edge_paths(group)
    assert len(set(paths)) == len(paths)
    assert f"shared: {shared}" in bench.caption("arm")


def test_a_picture_can_be_saved_as_png(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=50")
    content = bench.saved("png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    box = bench.graph("arm").bounding_box()
    assert box and width == pytest.approx(4 * box["width"], abs=8) and height > 2 * box["height"]


@pytest.mark.parametrize(("scheme", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_both_themes_are_drawn_in_their_own_colours(
    browser: Browser, address: str, scheme: str, palette: object
) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    bench = Workbench(page)
    bench.open(address + "circuits?k=100&node=a2.h3")
    text = bench.svg()
    ground = text.find(f"{SVG}rect")
    assert ground is not None and ground.get("fill") == palette.background  # type: ignore[attr-defined]
    colours = {path.get("stroke") for path in text.iter(f"{SVG}path") if "C" in (path.get("d") or "")}
    assert colours == {palette.shared, palette.arm, palette.mdm}  # type: ignore[attr-defined]
    light = bench.root.evaluate("(root) => getComputedStyle(root).color.match(/[0-9]+/g).slice(0, 3).map(Number)")
    assert (sum(light) > 382) == (scheme == "dark"), "the text beside the canvases stands out from the ground"
    page.close()


APART = """(root) => {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const shown = ["curve", "legend", "k", "play", "numbers", "views", "filters", "node", "saves", "caption-arm",
        "graph-arm", "caption-mdm", "graph-mdm", "note"].filter((name) => part(name).getClientRects().length);
    const box = (name) => part(name).getBoundingClientRect();
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const pairs = shown.flatMap((a, at) => shown.slice(at + 1).map((b) => [a, b]));
    return pairs.filter(([a, b]) => meet(box(a), box(b))).map((pair) => pair.join(" and "));
}"""
CUT = """(root) => [...root.querySelectorAll("dd b, dd small, figcaption, figcaption *, .legend, button, .note")]
    .filter((element) => element.clientWidth && (element.scrollWidth > element.clientWidth + 1
        || (element.tagName === "FIGCAPTION" && element.scrollHeight > element.clientHeight + 1)))
    .map((element) => `${element.tagName} ${element.textContent.trim().slice(0, 60)}`)"""
BEYOND = """() => [document.documentElement, document.querySelector("[data-testid=stMain]")]
    .some((element) => element.scrollWidth > element.clientWidth)"""


@pytest.mark.parametrize("choice", ["", "&node=a2.h3&sign=negative", "&graphs=one", "&graphs=layers"])
def test_nothing_overlaps_or_is_cut_off_at_any_width(page: Page, address: str, choice: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    bench = Workbench(page)
    bench.open(address + "circuits?k=500" + choice)
    for width in (420, 900, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        bench.settle()
        assert bench.root.evaluate(APART) == [], width
        assert bench.root.evaluate(CUT) == [], width
        assert not page.evaluate(BEYOND), width


def test_curve_both_graphs_and_inspector_are_in_sight_without_scrolling(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    bench = Workbench(page)
    bench.open(address + "circuits?k=200&node=a2.h3")
    inspector = page.locator(".st-key-inspector").bounding_box()
    root = bench.root.bounding_box()
    assert inspector and root
    assert inspector["x"] >= root["x"] + root["width"] and inspector["y"] < 200
    for name in ("curve", "graph-arm", "graph-mdm"):
        box = bench.part(name).bounding_box()
        assert box and box["y"] > 0 and box["y"] + box["height"] <= 900, name


@pytest.mark.parametrize("width", [420, 900])
def test_the_page_moves_to_the_inspector_where_it_lies_below(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    bench = Workbench(page)
    bench.open(address + "circuits?k=200")
    bench.graph("arm").scroll_into_view_if_needed()
    bench.click("arm", "a2.h3")
    bench.has_node("a2.h3")
    bench.settle()
    expect(page.get_by_role("heading", name="Head 3 of layer 2 (a2.h3)")).to_be_in_viewport()


def _has_counts(bench: Workbench, edges: dict[str, Drawn]) -> None:
    """Both captions say how many edges of each class are drawn."""
    for model, shown in edges.items():
        expect(bench.part(f"caption-{model}")).to_contain_text(f"shared: {len(shown.shared):,}")
        expect(bench.part(f"caption-{model}")).to_contain_text(f"{model.upper()} only: {len(shown.own):,}")


def _counts(graph: ElementTree.Element) -> Counter[str]:
    """How many edges of each class a graph has."""
    return Counter(name for name, _ in edge_paths(graph))
