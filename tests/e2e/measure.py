"""The lives of releases in a cluster, timed: runs their suites and prints what each step took.

    python -m tests.e2e.measure [PYTEST'S WORDS…]

Needs what the suites need (R1_CLUSTER_KIT). What pytest says goes to standard error.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.times import VARIABLE

SUITES = ("tests/e2e/test_plain.py", "tests/e2e/test_kuberay.py")
HEAD = "| runtime | step | seconds | callers |\n|---|---|---|---|"


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The steps in Markdown."""
    rows = [
        f"| {each['runtime']} | {each['step']} | {each['seconds']:.0f} | {each['seen'] or '–'} |"
        for each in lines
    ]
    return "\n".join([HEAD, *rows])


def main(words: Sequence[str]) -> int:
    """Run the suites; pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "times"
        notes.touch()
        status = subprocess.call(
            [sys.executable, "-m", "pytest", "-q", *SUITES, *words],
            env={**os.environ, VARIABLE: str(notes)},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
        print(table([json.loads(line) for line in notes.read_text().splitlines()]))
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
