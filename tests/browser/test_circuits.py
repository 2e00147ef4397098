"""The circuits page as a person uses it: slide K, click nodes, choose with the keyboard, copy the address."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.workbench import MODELS, Watched, Workbench, overlap_of
from tests.fakes import HOSTILE
from tools.browser import wait_until_still

MOVES = """(canvas) => {
    window.moves = [];
    canvas.addEventListener("pointermove", () => window.moves.push(performance.now()));
}"""
PAUSES = """() => window.moves.filter((at, index) => index && at - window.moves[index - 1] > 140).length"""


@pytest.mark.usefixtures("runs")
def test_dragging_the_handle_moves_k_with_the_hand_and_tells_the_server_when_it_rests(page: Page, address: str) -> None:
    watched, bench = Watched(page), Workbench(page)
    bench.open(address + "circuits?task=countdown&k=20")
    before, places = bench.pictures(), bench.node("arm", "a2.h3")
    bench.part("curve").evaluate(MOVES)
    sent = watched.sent
    x, y = bench.handle()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 150, y + 30, steps=30)
    expect(bench.root).not_to_have_attribute("data-k", "20")
    assert watched.sent - sent <= page.evaluate(PAUSES), "nothing is sent while the hand moves"
    page.mouse.up()
    bench.settle()
    k = bench.k
    assert k > 40
    assert bench.handle()[0] == pytest.approx(x + 150, abs=2)
    assert bench.overlap == pytest.approx(overlap_of("countdown", k), abs=5e-4)
    assert bench.tile("Shared edges")[1] == f"of {k:,} in each circuit"
    assert all(was != now for was, now in zip(before, bench.pictures(), strict=True))
    assert bench.node("arm", "a2.h3") == places, "no node moves"
    bench.until(lambda: f"k={k}" in page.url)
    assert watched.sent > sent and not watched.errors


@pytest.mark.usefixtures("runs")
def test_a_click_on_the_curve_a_number_typed_and_keys_choose_k(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?task=countdown&k=200")
    curve, (x, y) = bench.part("curve"), bench.handle()
    page.mouse.click(x - 120, y)
    expect(bench.root).not_to_have_attribute("data-k", "200")
    assert bench.k < 200 and bench.handle()[0] == pytest.approx(x - 120, abs=2)

    field = bench.part("k")
    field.fill("200")
    field.press("Enter")
    bench.has_k(200)
    curve.focus()
    pressed = {"ArrowRight": 250, "ArrowUp": 300, "ArrowLeft": 250, "ArrowDown": 200, "PageUp": 2000, "PageDown": 200}
    for key, k in {**pressed, "Home": 10, "End": 3628}.items():
        curve.press(key)
        bench.has_k(k)
        expect(curve).to_have_attribute("aria-valuenow", str(k))
        overlap = overlap_of("countdown", k)
        expect(curve).to_have_attribute("aria-valuetext", f"K {k}, overlap {overlap:.3f}")
        assert bench.overlap == pytest.approx(overlap, abs=5e-4)
    bench.until(lambda: "k=3628" in page.url)
    for asked, k in (("77", 77), ("0", 77), ("99999", 3628)):
        field.fill(asked)
        field.press("Enter")
        bench.has_k(k)


def test_a_field_that_holds_no_k_shows_the_one_that_is_chosen_again(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=77")
    for asked in ("", "0", "-5", "99999"):
        bench.part("k").fill(asked)
        bench.part("k").press("Enter")
        bench.part("curve").focus()
        bench.until(lambda: bench.part("k").input_value() == str(bench.k))


def test_play_lets_k_grow_until_it_is_stopped(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=10")
    play = bench.part("play")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    bench.until(lambda: bench.k >= 20)
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(300)
    k = bench.k
    page.wait_for_timeout(600)
    assert bench.k == k
    bench.until(lambda: f"k={k}" in page.url)


def test_a_clicked_node_is_selected_in_both_graphs_and_let_go_by_another_click(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    free = bench.pictures()
    for model, name, title in (("arm", "a2.h3", "Head 3 of layer 2"), ("mdm", "m4", "MLP of layer 4")):
        before = bench.pictures()
        bench.click(model, name)
        bench.has_node(name)
        assert all(was != now for was, now in zip(before, bench.pictures(), strict=True))
        expect(page.get_by_role("heading", name=f"{title} ({name})")).to_be_visible()
        bench.until(lambda name=name: _asked(page, "node") == [name])  # type: ignore[misc]
        expect(bench.part("node")).to_have_value(name)
    bench.settle()
    bench.click("arm", "m4")
    bench.has_node("")
    expect(page.get_by_text("Click a node")).to_be_visible()
    bench.until(lambda: not _asked(page, "node"))
    page.mouse.move(5, 5)
    bench.until(lambda: bench.pictures() == free)


def test_shift_pins_several_nodes_and_escape_lets_all_go(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    bench.click("arm", "a2.h3")
    bench.has_node("a2.h3")
    for model, name in (("arm", "m1"), ("mdm", "a4.h0"), ("arm", "m5")):
        before = bench.pictures()
        bench.click(model, name, ["Shift"])
        bench.until(lambda before=before: bench.pictures() != before)  # type: ignore[misc]
    bench.click("mdm", "m5", ["Shift"])
    bench.until(lambda: _asked(page, "nodes") == ["m1", "a4.h0"])
    assert _asked(page, "node") == ["a2.h3"]
    bench.settle()
    bench.graph("arm").press("Escape")
    bench.has_node("")
    bench.until(lambda: not _asked(page, "node") and not any(_asked(page, "nodes")))


def test_a_copied_address_brings_back_k_node_filters_and_view(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=150&node=a2.h3&sign=negative&graphs=one")
    bench.has_k(150)
    bench.has_node("a2.h3")
    expect(bench.part("views").get_by_role("radio", name="One graph")).to_be_checked()
    expect(bench.part("sign")).to_have_value("negative")
    bench.choose_filter(prune=True)
    bench.until(lambda: _asked(page, "prune") == ["true"])
    bench.settle()
    copied, shown = page.url, (bench.picture("graph-arm"), bench.caption("arm"), bench.tile("Overlap"))
    other = Workbench(page.context.browser.new_page(viewport=page.viewport_size))  # type: ignore[union-attr]
    other.open(copied)
    assert (other.picture("graph-arm"), other.caption("arm"), other.tile("Overlap")) == shown
    other.page.close()


def test_back_goes_one_choice_back(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    bench.click("arm", "a2.h3")
    bench.until(lambda: _asked(page, "node") == ["a2.h3"])
    bench.settle()
    bench.click("arm", "m4")
    bench.until(lambda: _asked(page, "node") == ["m4"])
    bench.settle()
    for name in ("a2.h3", ""):
        page.go_back()
        bench.has_node(name)
        bench.settle()
        assert _asked(page, "node") == ([name] if name else [])
    page.go_forward()
    bench.has_node("a2.h3")


def test_the_keyboard_alone_reaches_the_curve_and_every_node(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    _tab_to(page, "curve")
    page.keyboard.press("ArrowRight")
    bench.has_k(120)
    _tab_to(page, "graph-arm")
    spoken = bench.part("spoken")
    walked = [
        ("ArrowUp", "Head 0 of layer 0 (a0.h0)"),
        ("ArrowRight", "Head 1 of layer 0 (a0.h1)"),
        ("ArrowUp", "Head 1 of layer 1 (a1.h1)"),
        ("ArrowLeft", "Head 0 of layer 1 (a1.h0)"),
        ("ArrowLeft", "MLP of layer 0 (m0)"),
    ]
    for key, words in walked:
        before = bench.picture("graph-arm")
        page.keyboard.press(key)
        expect(spoken).to_contain_text(words)
        bench.until(lambda before=before: bench.picture("graph-arm") != before)  # type: ignore[misc]
    expect(spoken).to_contain_text(re.compile(r"ARM: (\d+ edges?, [\d.]+% of importance|not in the circuit)"))
    page.keyboard.press("Enter")
    bench.has_node("m0")
    expect(page.get_by_role("heading", name="MLP of layer 0 (m0)")).to_be_visible()
    bench.settle()
    page.keyboard.press("Escape")
    bench.has_node("")


def test_a_node_can_be_chosen_from_the_list(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits")
    bench.part("node").select_option("m3")
    bench.has_node("m3")
    expect(page.get_by_role("heading", name="MLP of layer 3 (m3)")).to_be_visible()
    bench.until(lambda: _asked(page, "node") == ["m3"])


def test_two_hundred_quick_drags_leave_a_session_that_answers(page: Page, address: str) -> None:
    watched, bench = Watched(page), Workbench(page)
    bench.open(address + "circuits?k=100")
    x, y = bench.handle()
    for turn in range(200):
        page.mouse.move(x, y)
        page.mouse.down()
        x += 90 if turn % 2 else -90
        page.mouse.move(x, y)
        page.mouse.up()
    bench.settle()
    assert bench.handle()[0] == pytest.approx(x, abs=2)
    bench.until(lambda: _asked(page, "k") == [str(bench.k)])
    bench.click("mdm", "m4")
    expect(page.get_by_role("heading", name="MLP of layer 4 (m4)")).to_be_visible()
    assert (watched.opened, watched.closed, watched.errors) == (1, 0, [])


def test_a_hostile_token_is_text_everywhere(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?node=input&k=100")  # the first row of a fake lens promotes the hostile token
    expect(page.get_by_role("heading", name="Token embedding (input)")).to_be_visible()
    expect(page.locator(".st-key-inspector").get_by_text(HOSTILE).first).to_be_visible()
    tags = page.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length")
    assert tags == 0


def test_other_pages_keep_the_choice(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100&node=m2")
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.get_by_role("link", name="Circuits", exact=True).click()
    bench.has_node("m2")
    bench.has_k(100)
    expect(page.get_by_role("heading", name="MLP of layer 2 (m2)")).to_be_visible()
    bench.settle()
    assert (_asked(page, "k"), _asked(page, "node")) == (["100"], ["m2"])


def test_the_overview_leads_to_the_circuits_of_a_task(page: Page, address: str) -> None:
    page.goto(address + "?k=50")
    wait_until_still(page)
    page.locator("a[href*='pair=embedded'][href*='task=sudoku']").click()  # other pairs have such a link too
    expect(page.get_by_text("Not computed yet with these settings")).to_be_visible()
    assert "task=sudoku" in page.url


def test_what_is_under_the_mouse_is_named(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(address + "circuits?k=100")
    tip = bench.part("tip")
    for model in MODELS:
        expect(tip).to_be_hidden()
        page.mouse.move(*bench.node(model, "m3"))
        expect(tip).to_contain_text("MLP of layer 3 (m3)")
        expect(tip).to_contain_text("% of importance")
        tip_box, root = tip.bounding_box(), bench.root.bounding_box()
        assert tip_box and root and tip_box["x"] >= root["x"]
        assert tip_box["x"] + tip_box["width"] <= root["x"] + root["width"] + 1
        page.mouse.move(*bench.handle())
        expect(tip).to_be_hidden()


def _asked(page: Page, key: str) -> list[str]:
    """What the address says under a key."""
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True).get(key, [])


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until a part of the component has the focus."""
    focused = "() => { let at = document.activeElement; while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement; return at?.dataset.part; }"  # noqa: E501
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == name:
            return
    raise AssertionError(f"Tab does not reach {name}")
