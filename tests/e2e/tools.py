"""kubectl and helm, with the kit's environment."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Names images that are there already, so that they are not built again.
TAG_VARIABLE = "R1_IMAGE_TAG"


class CommandError(AssertionError):
    """A command failed; the message has what it said."""


class Tools:
    """Runs commands against one cluster."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` goes on top of this process's own."""
        self.environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}

    def run(self, *words: str, given: str | None = None, limit_s: float = 120) -> str:
        """Standard output of a command. Raises CommandError."""
        done = subprocess.run(
            words,
            env=self.environment,
            cwd=ROOT,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
        if done.returncode != 0:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise CommandError(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def kubectl(self, *words: str, given: str | None = None, limit_s: float = 120) -> str:
        """Standard output of kubectl. Raises CommandError."""
        return self.run("kubectl", *words, given=given, limit_s=limit_s)

    def helm(self, *words: str, limit_s: float = 900) -> str:
        """Standard output of helm. Raises CommandError."""
        return self.run("helm", *words, limit_s=limit_s)

    def get(self, kind: str, *words: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """Objects of a kind, or of several with commas between."""
        where = ("--all-namespaces",) if namespace is None else ("-n", namespace)
        items: list[dict[str, Any]]
        items = json.loads(self.kubectl("get", kind, *where, *words, "-o", "json"))["items"]
        return items

    def build_images(self, tag: str) -> None:
        """Build the images and load them into the cluster; what docker says is seen at once."""
        command = [sys.executable, "-m", "scripts.images", "load", "--tag", tag]
        status = subprocess.call(
            command, env=self.environment, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=1500
        )
        assert status == 0, "the images could not be built: see above"


def selector(labels: Mapping[str, str]) -> Sequence[str]:
    """kubectl's words for objects with these labels."""
    return ("-l", ",".join(f"{name}={value}" for name, value in labels.items()))
