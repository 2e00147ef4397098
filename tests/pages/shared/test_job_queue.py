"""All sessions of a process share one queue."""

from __future__ import annotations

from pages.shared import job_queue


def test_there_is_one_queue() -> None:
    queue = job_queue.queue()
    assert job_queue.queue() is queue and queue.jobs() == []
