"""Searching neurons by place and by token, and the pinned ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from engine.runs import read
from pages.shared import state
from tests.fakes import HOSTILE
from tests.pages.neurons import LAYER, MODELS, NAMES, NEURON, column, opened, ranks, run_of, table
from tests.pages.test_pages import texts


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("typed", ["Mary", "' Mary'", "ĠMary", "▁Mary", "␣Mary", "24", HOSTILE])
def test_a_token_finds_its_promoters_in_both_models(typed: str) -> None:
    token = typed.strip(" Ġ▁␣'")
    page = opened(search=typed)
    shown = table(page, "neuron search")
    wanted = {}
    for model in MODELS:
        for row in read.table(run_of(model).key, "neurons").to_pylist():
            if token in row["promoted"]:
                logit = row["promoted_logit"][row["promoted"].index(token)]
                wanted[row["layer"], row["neuron"], NAMES[model]] = logit
    listed = {}
    for _, row in shown.iterrows():
        for name in NAMES.values():
            if not np.isnan(row[f"{name} logit"]):
                listed[row["Layer"], row["Neuron"], name] = row[f"{name} logit"]
                assert row["Promoted in"] in {"both", name}
    assert listed == pytest.approx(wanted)
    strengths = np.maximum(shown["ARM attribution"].abs(), shown["MDM attribution"].abs())
    assert (np.diff(strengths) <= 0).all()
    for _, row in shown.iterrows():
        for model, name in NAMES.items():
            assert row[f"{name} attribution"] == column(model, "attribution", row["Layer"])[row["Neuron"]]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_choosing_a_result_opens_it_whatever_its_layer() -> None:
    page = opened(search="Mary")
    box = page.selectbox(key="promoter")
    label = next(option for option in box.options if not option.startswith(f"m{LAYER}."))
    box.set_value(label).run()
    layer, neuron = (int(part) for part in label.split()[0].removeprefix("m").split("."))
    assert page.selectbox(key=state.LAYER).value == layer
    assert f"Neuron {neuron} of layer {layer} (m{layer}.{neuron})" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize(
    ("typed", "layer", "neuron"), [("5:7", 5, 7), ("m2.9", 2, 9), ("11", LAYER, 11), (" 5.7 ", 5, 7)]
)
def test_a_place_opens_its_neuron(typed: str, layer: int, neuron: int) -> None:
    page = opened()
    page.text_input(key=state.SEARCH).set_value(typed).run()
    assert f"Neuron {neuron} of layer {layer} (m{layer}.{neuron})" in texts(page)
    assert page.text_input(key=state.SEARCH).value == ""


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_number_that_is_also_a_token_offers_both() -> None:
    page = opened()
    page.text_input(key=state.SEARCH).set_value("17").run()
    assert "neurons promote 17" in texts(page)
    page.button(key="by place").click().run()
    assert "Neuron 17 of layer 3 (m3.17)" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_search_without_result_says_so_and_what_is_alike() -> None:
    page = opened(search="Marie")
    assert "No neuron has **Marie** among the 5 tokens it promotes most, in either model." in texts(page)
    assert re.search(r"Similar tokens that some neuron promotes: .*\*\*Mary\*\*", texts(page))
    page = opened(search="99:5")
    assert "There is no neuron 5 in layer 99: layers go from 0 to 5, neurons from 0 to 23." in texts(page)
    page = opened(search="<i>zzzzzzzzzzz</i>")
    assert "No neuron has **<i>zzzzzzzzzzz</i>**" in texts(page)
    assert "<i>" not in "".join(str(entry.value) for entry in page.markdown).replace("\\<i\\>", "")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_pins_are_compared_and_taken_off() -> None:
    page = opened(neuron=str(NEURON), pins="3:5,0:2,9:9,nonsense,3:5")
    assert "Not in these models: m9.9." in texts(page)
    assert "Not read as neurons: “nonsense”." in texts(page)
    page.button(key="pin neuron").click().run()
    assert page.text_input(key=state.PINS).value == "3:5,0:2,9:9,3:11"
    shown = table(page, "neuron pins")
    assert list(zip(shown["Layer"], shown["Neuron"], strict=True)) == [(3, 5), (0, 2), (3, 11)]
    for _, row in shown.iterrows():
        for model, name in NAMES.items():
            values = column(model, "attribution", row["Layer"])
            assert row[f"{name} attribution"] == values[row["Neuron"]]
            assert row[f"{name} rank"] == ranks(values)[row["Neuron"]]
    page.button(key="unpin m0.2").click().run()
    assert page.text_input(key=state.PINS).value == "3:5,9:9,3:11"
    assert page.button(key="pin neuron").label == "Unpin"
    page.button(key="pin neuron").click().run()
    assert table(page, "neuron pins")["Neuron"].tolist() == [5]
