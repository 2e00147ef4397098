"""Write requirements.lock: every package that the pins bring along, with the hashes of its files, by `uv pip compile`.

    pip install uv && python -m tools.lock

The file serves Python 3.11 to 3.13 on Linux, macOS and Windows; its markers say which line is for which. Install with
`pip install --require-hashes -r requirements.lock`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLDEST = "3.11"
HEAD = """\
# Every package of requirements.txt and requirements-dev.txt and what they bring along, exactly, with hashes.
# Written by tools/lock.py; edit requirements.txt instead. Install: pip install --require-hashes -r requirements.lock
"""


def main() -> None:
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("This needs uv: pip install uv.")
    command = [uv, "pip", "compile", "--universal", "--python-version", OLDEST, "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    command += ["requirements.txt", "requirements-dev.txt"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (ROOT / "requirements.lock").write_text(HEAD + text, encoding="utf-8")


if __name__ == "__main__":
    main()
