"""Leases: one holder at a time, none of a process that is gone, and nobody gives back another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cache import leases
from cache.errors import StoreError
from cache.leases import LONGEST, MOST, STALE, Holder, give_back, held, holder, remove_stale, renewed, take
from cache.owners import host, machine
from tests.cache.samples import key
from tests.cache.test_owners import age, dead_process
from tests.held_leases import holding
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
ANY = Holder(1, "", 0.0, "")


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    return tmp_path / "key.lease"


def write(lease: Path, pid: int, of: str = "", since: float = 0.0) -> None:
    lease.write_text(json.dumps({"pid": pid, "host": host(), "machine": of or machine(), "since": since}))


def test_one_holds_it_until_it_is_given_back(lease: Path) -> None:
    assert holder(lease) is None
    before = time.time()
    assert take(lease) and not take(lease)
    holds = holder(lease)
    assert holds and (holds.pid, holds.host, holds.is_here) == (os.getpid(), host(), True)
    assert before - 1 <= holds.since <= time.time() + 1
    give_back(lease)
    give_back(lease)
    assert holder(lease) is None and not list(lease.parent.iterdir())
    assert take(lease)


def test_threads_and_one_lease(lease: Path) -> None:
    for stale in (False, True):
        if stale:
            write(lease, dead_process())
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _: take(lease), range(8))) == 1
        assert [path.name for path in lease.parent.iterdir()] == [lease.name]
        give_back(lease)


TAKES = """
import sys, time
from pathlib import Path
from cache.leases import take
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
print(take(Path(sys.argv[1])))
time.sleep(2)
"""


def test_processes_and_a_stale_lease(lease: Path) -> None:
    write(lease, dead_process())
    command = [sys.executable, "-c", TAKES, str(lease), str(time.time() + 1.5)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    assert sorted(process.communicate()[0].strip() for process in processes) == ["False"] * 3 + ["True"]
    assert holder(lease) is None  # they are all gone
    assert take(lease)


def test_a_lease_of_a_dead_process_is_none(lease: Path) -> None:
    write(lease, dead_process())
    assert holder(lease) is None and take(lease)


def test_another_machine_s_lease_is_none_after_a_while(lease: Path) -> None:
    write(lease, dead_process(), "elsewhere")
    holds = holder(lease)
    assert holds and not holds.is_here and not take(lease) and not remove_stale(lease)
    age(lease, STALE + 10)
    assert holder(lease) is None and take(lease)


def test_a_process_number_may_be_given_again(lease: Path) -> None:
    write(lease, os.getppid())
    assert holder(lease)
    age(lease, STALE + 10)
    assert holder(lease) is None and remove_stale(lease)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"pid": "x"}', '{"pid": Infinity}', '{"pid": -1}', '{"since": 1%s}' % ("0" * 400),
        '{"pid": 1%s}' % ("0" * 30), "[" * 100_000, "\x00", '{"pid": 1, "what": "%s"}' % ("x" * MOST),
    ],
)  # fmt: skip
def test_what_is_no_lease_is_held_by_nobody_in_the_end(lease: Path, text: str) -> None:
    lease.write_text(text)
    if text:
        assert holder(lease) is None
    else:  # just made, and not written yet
        assert holder(lease) and not take(lease)
        age(lease, STALE + 10)
    assert take(lease)


def test_a_stale_lease_that_was_taken_over_meanwhile_stays(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lease, dead_process())
    judge = leases.holder

    def late(path: Path) -> leases.Holder | None:
        holds = judge(path)
        monkeypatch.setattr(leases, "holder", judge)
        assert take(path)  # another process is faster
        return holds

    monkeypatch.setattr(leases, "holder", late)
    assert not remove_stale(lease)
    holds = holder(lease)
    assert holds and holds.pid == os.getpid()
    assert [path.name for path in lease.parent.iterdir()] == [lease.name]


def test_nobody_gets_in_between_while_a_stale_lease_is_removed(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that judged an old lease stale leaves the one in its place where it is, at every moment."""
    write(lease, dead_process())
    judge, stamp = leases.holder, leases._stamp
    others: list[bool] = []

    def late(path: Path) -> leases.Holder | None:
        holds = judge(path)
        monkeypatch.setattr(leases, "holder", judge)
        assert take(path)  # another process is faster
        monkeypatch.setattr(leases, "_stamp", lambda path: (others.append(leases._make(path, ANY)), stamp(path))[1])
        return holds

    monkeypatch.setattr(leases, "holder", late)
    assert not remove_stale(lease)
    assert others == [False]


def test_a_claim_that_a_killed_process_left_is_removed_after_a_while(lease: Path) -> None:
    write(lease, dead_process())
    claim = lease.with_name(f"{lease.name}.{leases.REMOVING}")
    claim.touch()
    assert not take(lease) and claim.exists()
    age(claim, STALE + 10)
    assert not take(lease) and not claim.exists()
    assert take(lease)
    assert [path.name for path in lease.parent.iterdir()] == [lease.name]


def test_a_lease_is_touched_and_given_back(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED", 0.01)
    assert take(lease)
    age(lease, STALE - 1)
    with renewed(lease):
        deadline = time.monotonic() + 20
        while time.time() - lease.stat().st_mtime > 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not lease.exists() and take(lease)
    with pytest.raises(ZeroDivisionError), renewed(lease):
        raise ZeroDivisionError
    assert not lease.exists() and threading.active_count() < 20


def test_another_s_lease_is_neither_touched_nor_removed(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken over while this process was asleep."""
    monkeypatch.setattr(leases, "RENEWED", 0.01)
    assert take(lease)
    with renewed(lease):
        write(lease, os.getppid())
        age(lease, 60)
        time.sleep(0.1)
        assert time.time() - lease.stat().st_mtime > 50
    assert lease.exists()
    give_back(lease)
    assert lease.exists()


def test_where_none_can_be_made_nobody_holds_it(tmp_path: Path) -> None:
    assert not take(tmp_path / "no" / "folder.lease") and holder(tmp_path / "no" / "folder.lease") is None
    with renewed(tmp_path / "no" / "folder.lease"):
        pass


def test_it_says_what_is_computed_by_which_worker(lease: Path) -> None:
    assert take(lease, "circuit of the MDM, seed 1", "GPU 1", 1234.5)
    holds = holder(lease)
    assert holds and (holds.what, holds.worker, holds.began, holds.state) == (
        "circuit of the MDM, seed 1", "GPU 1", 1234.5, "",
    )  # fmt: skip
    give_back(lease)
    assert take(lease)
    holds = holder(lease)
    assert holds and (holds.what, holds.worker) == ("", "") and holds.began == holds.since > 0


def test_a_lease_of_an_earlier_version_says_neither(lease: Path) -> None:
    write(lease, os.getpid(), since=77.0)
    assert holder(lease) == Holder(os.getpid(), host(), 77.0, machine(), "", "", 77.0)


def test_texts_are_cut_and_of_what_can_be_printed(lease: Path) -> None:
    hostile = "<b>\u202e\ud800 a\n\tb\x00" + "x" * 5000
    assert take(lease, hostile, hostile)
    ours = holder(lease)
    fields = {
        "pid": os.getpid(),
        "machine": machine(),
        "host": hostile,
        "what": hostile,
        "worker": [1],
        "state": hostile,
    }
    lease.write_text(json.dumps(fields | {"since": float("nan"), "began": 1e300}))
    theirs = holder(lease)
    assert ours and theirs and ours.what == ours.worker == theirs.what == theirs.host == theirs.state
    assert ours.what.startswith("<b> a b x") and len(ours.what) == LONGEST and ours.what.isprintable()
    assert (theirs.worker, theirs.since, theirs.began) == ("", 0.0, 0.0)


def test_what_is_no_regular_file_is_no_lease(lease: Path) -> None:
    os.mkfifo(lease)  # which nobody writes: opening it would wait for ever
    assert holder(lease) is None and take(lease)
    give_back(lease)
    other = lease.with_name("other")
    write(other, os.getpid())
    lease.symlink_to(other)
    assert holder(lease) is None and take(lease) and other.exists()


def test_how_far_it_is_is_written_when_it_is_renewed(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads meanwhile sees a whole lease each time, and no other files stay."""
    monkeypatch.setattr(leases, "RENEWED", 0.001)
    states, seen = iter(range(10**9)), set[str]()
    assert take(lease, "circuit", "GPU 0", 5.0)
    first = holder(lease)
    with renewed(lease, lambda: f"edge scores {next(states)} of 64"):
        deadline = time.monotonic() + 20
        while len(seen) < 20:
            holds = holder(lease)
            assert holds and holds == first and time.monotonic() < deadline  # the same but for how far it is
            seen.add(holds.state)
    assert not list(lease.parent.iterdir())


def test_how_far_it_is_is_not_written_into_another_s_lease(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED", 0.001)
    assert take(lease)
    states = iter(range(10**9))
    with renewed(lease, lambda: str(next(states))):
        until(lambda: next(states) > 5)
        beside = lease.with_name("theirs")
        write(beside, os.getppid())
        beside.replace(lease)
        theirs = lease.stat().st_ino
        time.sleep(0.05)
    holds = holder(lease)
    assert holds and (holds.pid, holds.state) == (os.getppid(), "") and lease.stat().st_ino == theirs


def test_a_full_disk_does_not_let_it_go_stale(lease: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(leases, "RENEWED", 0.001)
    monkeypatch.setattr(leases, "_write_anew", full)
    assert take(lease)
    age(lease, STALE - 1)
    states = iter(range(10**9))
    with renewed(lease, lambda: str(next(states))):
        until(lambda: time.time() - lease.stat().st_mtime < 10 and next(states) > 3)
    assert not lease.exists()


def test_the_leases_of_living_processes_are_listed(tmp_path: Path) -> None:
    with holding(tmp_path, {key(1): "circuit", key(2): "lens"}, "GPU 1") as first:
        with holding(tmp_path, {key(3): ""}) as second:
            for name in (f"{key(4)}.lease.{leases.REMOVING}", f"{key(5)}.json", "other.lease", "..lease"):
                write(tmp_path / name, os.getpid())
            (tmp_path / f"{key(6)}.lease").write_text("{")
            listed = {lease.key: lease.holder for lease in held(tmp_path)}
            assert {name: (holds.pid, holds.what, holds.worker) for name, holds in listed.items()} == {
                key(1): (first.pid, "circuit", "GPU 1"),
                key(2): (first.pid, "lens", "GPU 1"),
                key(3): (second.pid, "", ""),
            }
        assert {lease.key for lease in held(tmp_path)} == {key(1), key(2)}  # the other was killed
    assert held(tmp_path) == []
    with pytest.raises(StoreError, match="cannot be read"):
        held(tmp_path / "none")
