"""Small pools of problems, which take less time to draw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.training import mixture


@pytest.fixture(scope="session", autouse=True)
def small_pools() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "POOL", 150)
        mixture.problems.cache_clear()
        yield
    mixture.problems.cache_clear()
