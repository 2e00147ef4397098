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
from cache.leases import STALE, give_back, holder, remove_stale, renewed, take
from cache.owners import host, machine
from tests.cache.test_owners import age, dead_process

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "[" * 100_000, "\x00"])
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
        monkeypatch.setattr(leases, "_stamp", lambda path: (others.append(leases._make(path)), stamp(path))[1])
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
