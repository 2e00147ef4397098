"""What is computed elsewhere, on the Runs page: who computes what since when; nothing where nobody does."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.runs.cache_connection import store
from engine.runs.records import short_key
from pages.panels import computed_elsewhere
from pages.panels.computed_elsewhere import lasting
from tests.held_leases import holding
from tests.pages.test_pages import app, texts

HOSTILE = '<img src=x onerror="alert(1)"> **bold** $x$ `code` :material/delete:'
pytestmark = pytest.mark.usefixtures("seeded", "queue_of")


def key(number: int) -> str:
    return f"{number:x}" * 20


def headers(page: AppTest) -> list[str]:
    return [element.value for element in page.header]


def tables(page: AppTest) -> list[str]:
    bodies = [element.proto.body for element in page.get("html")]
    return [body for body in bodies if "computed elsewhere" in body]


def write(number: int, **fields: object) -> None:
    store().lease_of(key(number)).write_text(json.dumps({"pid": 7, "machine": "node_2_ab", "host": "node_2"} | fields))


def test_nothing_is_said_where_nothing_is_computed_elsewhere() -> None:
    page = app("runs")
    assert "Computed elsewhere" not in headers(page) and not tables(page)
    assert store().leases() == []


def test_a_real_process_and_what_it_computes() -> None:
    with holding(
        store().files, {key(1): "circuit of the MDM, seed 1", key(2): ""}, "GPU 1", time.time() - 7200
    ) as other:
        page = app("runs")
        assert headers(page).count("Computed elsewhere") == 1
        shown = texts(page)
        assert f"Process {other.pid} on this machine has been computing for 2 h: 2 artifacts at the moment." in shown
        assert "Stored in this cache since it began: " in shown and " artifacts" in shown
        (table,) = tables(page)
        assert ">circuit of the MDM, seed 1<" in table and f">GPU 1, process {other.pid}<" in table
        assert (
            f">artifact {short_key(key(2))}<" in table and table.count(">under 1 min<") == 2 and "Progress" not in table
        )
    assert "Computed elsewhere" not in headers(page.run())


def test_texts_of_a_shared_disk_are_shown_as_they_are() -> None:
    now = time.time()
    write(1, what=HOSTILE, worker=HOSTILE, state=HOSTILE, host=HOSTILE, since=now - 7200, began=now - 7300)
    page = app("runs")
    (table,) = tables(page)
    assert "<img" not in table and table.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt; **bold**") >= 3
    assert "Progress" in table and ">2 h<" in table
    (line,) = [element.value for element in page.markdown if "at the moment" in element.value]
    assert "\\<img" in line and "\\*\\*bold" in line and "\\$x\\$" in line and "\\:material" in line


def test_processes_of_an_earlier_version_and_of_other_machines() -> None:
    write(1)
    write(2, pid=8, host="", since=time.time() - 90_000 * 3)
    store().lease_of(key(3)).write_text("garbage")
    page = app("runs")
    shown, (table,) = texts(page), tables(page)
    assert "Process 7 on node_2 is computing: 1 artifact at the moment." in shown
    assert "Process 8 on another machine has been computing for 3 days 3 h: 1 artifact at the moment." in shown
    assert "Stored in this cache since the first of them began: " in shown
    assert (
        f">artifact {short_key(key(1))}<" in table and ">process 7 on node_2<" in table and table.count("<tr>") == 1 + 2
    )


def test_many_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed_elsewhere, "MOST_ROWS", 3)
    monkeypatch.setattr(computed_elsewhere, "MOST_PROCESSES", 2)
    for number in range(5):
        write(number, pid=number + 1, since=100.0 + number)
    page = app("runs")
    assert texts(page).count("at the moment.") == 2 and "And 3 more." in texts(page) and "And 2 more." in texts(page)
    assert tables(page)[0].count("<tr>") == 1 + 3


def test_a_cache_that_is_gone_is_no_error_of_this_section(tmp_path: Path) -> None:
    opened = store()
    (opened.path / "artifacts").rename(tmp_path / "moved")
    page = AppTest.from_function(_section, default_timeout=30).run()
    assert not page.exception and not page.header


def _section() -> None:
    from pages.panels.computed_elsewhere import watch_elsewhere

    watch_elsewhere()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "under 1 min"), (59.9, "under 1 min"), (60.0, "1 min"), (3540.0, "59 min"), (3600.0, "1 h"),
        (86_400.0, "24 h"), (201_600.0, "2 days 8 h"),
    ],
)  # fmt: skip
def test_how_long_is_said_without_seconds(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
