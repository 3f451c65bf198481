"""A Docker daemon, and what tests ask of it."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from scripts.images.catalog import ROOT


class Daemon:
    """docker, docker-compose and the project's own build command on one daemon."""

    def __init__(self, docker: str, environ: Mapping[str, str]) -> None:
        """`environ` names the daemon in DOCKER_HOST and has docker-compose on PATH."""
        self._docker = docker
        self.environ = dict(environ)

    def call(self, *words: str, limit_s: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run any command to its end, whatever that is."""
        return subprocess.run(
            words,
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )

    def docker(self, *words: str, limit_s: float = 120) -> str:
        """Run docker; its standard output."""
        answer = self.call(self._docker, *words, limit_s=limit_s)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def attempt(
        self, image: str, *words: str, options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in a fresh container without a network, as strictly as a cluster would."""
        begin = (self._docker, "run", "--rm", *STRICT, "--network", "none")
        return self.call(*begin, *options, image, *words)

    def run(self, image: str, *words: str, options: tuple[str, ...] = ()) -> str:
        """The same; what it printed."""
        answer = self.attempt(image, *words, options=options)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def inspect(self, image: str) -> dict[str, Any]:
        """What docker knows of an image or a container."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", image))
        return found[0]


STRICT = (
    *("--read-only", "--tmpfs", "/tmp:mode=1777"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
