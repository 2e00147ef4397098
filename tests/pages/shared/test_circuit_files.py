"""Files of circuits on a page: small ones at the click, large ones prepared, watched, downloaded, cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine import settings
from engine.circuits.filters import Filters
from engine.exchange.background_export import BackgroundExports, ExportSpec, ExportView
from engine.exchange.circuit import Other
from engine.exchange.export import export
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from pages.shared import circuit_files
from pages.shared.circuit_files import megabytes
from tests.fakes import tiny_compute
from tests.waiting import until

K = 20
FILTERS = Filters(sign="positive")
Offered = dict[str, tuple[str, str, Callable[[], bytes]]]  # by key: label, name of the file, data


@pytest.fixture
def run(pair: None) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundExports]:
    exports = BackgroundExports()
    monkeypatch.setattr(circuit_files, "exports", lambda: exports)
    yield exports
    exports.close()
    assert not settings.scratch_dir().exists()


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What download buttons offer, the latest by key."""
    files: Offered = {}

    def button(label: str, data: Callable[[], bytes], file_name: str, key: str, **_: object) -> None:
        files[key] = (label, file_name, data)

    monkeypatch.setattr(st, "download_button", button)
    return files


def files(key: str) -> None:
    from engine.circuits.filters import Filters
    from engine.exchange.circuit import Other
    from engine.runs.stored import get
    from pages.shared.circuit_files import Row, circuit_files, show_files

    run, filters, other = get(key), Filters(sign="positive"), Other(key, "half-a")
    show_files([Row("The ARM:", circuit_files(run, 20, "total", "download", 12, filters, other))])


def shown(run: Run) -> AppTest:
    page = AppTest.from_function(files, args=(run.key,), default_timeout=60).run()
    assert not page.exception
    return page


def spec(run: Run, kind: str) -> ExportSpec:
    return ExportSpec(run.key, K, kind, "total", FILTERS, Other(run.key, "half-a"))


def content(run: Run, kind: str) -> bytes:
    return export(run.key, K, kind, "total", FILTERS, Other(run.key, "half-a"))


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_small_files_are_made_at_the_click(run: Run, exports: BackgroundExports, offered: Offered) -> None:
    page = shown(run)
    assert not page.button and page.markdown[0].value == "The ARM:"
    assert {label for label, _, _ in offered.values()} == {"JSON", "GraphML", "Parquet", "CSV"}
    for kind in circuit_files.OFFERED:
        _, name, data = offered[f"download {kind}"]
        assert name == f"embedded-arm-ioi-total-{K}-positive-{run.key[:10]}.{kind}"
        assert data() == content(run, kind)


def test_a_large_file_is_prepared_and_then_downloaded(
    run: Run, exports: BackgroundExports, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_files, "MADE_AT_CLICK", K)  # the JSON holds every edge, the others 12
    page = shown(run)
    assert labels(page) == ["Prepare JSON, about 1 MB"]
    assert set(offered) == {f"download {kind}" for kind in circuit_files.OFFERED if kind != "json"}
    page.button(key="prepare download json").click().run()
    assert not page.exception
    until(lambda: (exports.view(spec(run, "json")) or ExportView()).state == "done")
    page.run()
    assert labels(page) == []
    label, name, data = offered["download json"]
    assert label == "JSON, 1 MB" and name.endswith(".json") and data() == content(run, "json")
    page = shown(run)
    assert not labels(page), "another session finds the file"


class Slow(BackgroundExports):
    """Files that nobody writes, as far as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[ExportSpec, ExportView] = {}

    def start(self, spec: ExportSpec) -> None:
        self.views[spec] = ExportView()

    def view(self, spec: ExportSpec) -> ExportView | None:
        return self.views.get(spec)

    def remove(self, spec: ExportSpec) -> None:
        self.views.pop(spec, None)


def test_a_page_says_how_far_a_file_is_and_can_cancel_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(circuit_files, "exports", lambda: slow)
    monkeypatch.setattr(circuit_files, "MADE_AT_CLICK", 0)
    page = shown(run)
    assert labels(page)[1] == "Prepare GraphML, about 1 MB" and len(labels(page)) == 4
    page.button(key="prepare download graphml").click().run()
    assert labels(page)[1] == "Cancel"
    bar = page.get("progress")[0]
    assert bar.proto.text == "GraphML: waiting" and bar.proto.value == 0
    slow.views[spec(run, "graphml")] = ExportView("running", 5, 20)
    page.run()
    bar = page.get("progress")[0]
    assert bar.proto.text == "GraphML: 25%" and bar.proto.value == 25
    page.button(key="cancel download graphml").click().run()
    assert labels(page)[1] == "Prepare GraphML, about 1 MB" and not slow.views


def test_a_failure_is_a_sentence_beside_the_button(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(circuit_files, "exports", lambda: slow)
    monkeypatch.setattr(circuit_files, "MADE_AT_CLICK", 0)
    slow.views[spec(run, "csv")] = ExportView("failed", error="The file cannot be written: *full*.")
    page = shown(run)
    assert [error.value for error in page.error] == [r"CSV\: The file cannot be written\: \*full\*\."]
    assert labels(page)[3] == "Prepare CSV, about 1 MB"


def test_only_what_is_on_its_way_is_looked_at_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, every = Slow(), []
    fragment = st.fragment

    def watched(function: Callable[..., None], run_every: float | None = None) -> Callable[..., None]:
        every.append(run_every)
        return fragment(function, run_every=run_every)

    monkeypatch.setattr(st, "fragment", watched)
    monkeypatch.setattr(circuit_files, "exports", lambda: slow)
    monkeypatch.setattr(circuit_files, "MADE_AT_CLICK", 0)
    page = shown(run)
    slow.start(spec(run, "csv"))
    page.run()
    slow.views[spec(run, "csv")] = ExportView("done", size=5)
    page.run()
    assert every == [None, circuit_files.EVERY, None]


def test_sizes_are_told_in_megabytes() -> None:
    assert [megabytes(size) for size in (0, 400_000, 116_000_000, 1_234_567_890)] == [
        "1 MB",
        "1 MB",
        "116 MB",
        "1,235 MB",
    ]
