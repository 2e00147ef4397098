"""Another process that holds leases of a cache until a test is done with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOLDS = """
import json, sys, time
from pathlib import Path
from cache.leases import take
folder, whats, worker, began = json.loads(sys.argv[1])
for key, what in whats.items():
    assert take(Path(folder) / f"{key}.lease", what, worker, began)
print("taken", flush=True)
time.sleep(120)
"""


@contextmanager
def holding(
    folder: Path, whats: Mapping[str, str], worker: str = "", began: float | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the leases of some keys; it is killed in the end. `whats`: what it computes, by key."""
    arguments = json.dumps([str(folder), dict(whats), worker, began])
    process = subprocess.Popen([sys.executable, "-c", HOLDS, arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout and process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()
