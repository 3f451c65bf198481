"""One compose project: a file, its profiles, and a name that nothing else has."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import openai

from scripts.images.catalog import ROOT
from tests.contract.stack import free_port
from tests.e2e.containers.daemon import Daemon

FILE = ROOT / "deploy" / "compose" / "compose.yaml"


class Project:
    """Started by `up`, ended with everything that it made by `end`."""

    def __init__(
        self,
        daemon: Daemon,
        tag: str,
        profiles: Sequence[str] = (),
        *,
        more: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`more` are files on top of compose.yaml, `environ` further variables of it."""
        self.port = free_port()
        self.name = f"r1-test-{os.getpid()}-{self.port}"
        self._daemon = daemon
        self._words = [
            *("docker-compose", "--project-name", self.name),
            *(word for file in (FILE, *more) for word in ("--file", str(file))),
            *(word for profile in profiles for word in ("--profile", profile)),
        ]
        # Base images of the machine stand in for the ones of public registries.
        self._environ = {
            **{name: value for name, value in daemon.environ.items() if not name.startswith("R1_")},
            "R1_TAG": tag,
            "R1_PORT": str(self.port),
            **(environ or {}),
        }

    def compose(self, *words: str, limit_s: float = 120) -> str:
        """Run a command of docker-compose; its standard output."""
        answer = self.call(*words, limit_s=limit_s)
        assert answer.returncode == 0, f"{answer.stderr}\n{self.logs()}"
        return answer.stdout

    def call(self, *words: str, limit_s: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command of docker-compose to its end, whatever that is."""
        return subprocess.run(
            [*self._words, *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )

    def up(self, *services: str) -> None:
        """Start, and wait until all is healthy."""
        self.compose("up", "--wait", "--no-build", *services, limit_s=540)

    def end(self) -> None:
        """Remove containers, networks and volumes."""
        self.call("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")

    def logs(self) -> str:
        """The last lines of every service."""
        return self.call("logs", "--no-color", "--tail", "40").stdout

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def key(self) -> str:
        """The API key of the first start."""
        words = ("run", "--rm", "--no-deps", "prepare", "python", "/etc/r1/prepare.py", "key")
        return self.compose(*words).strip()

    def client(self, key: str | None = None) -> openai.OpenAI:
        """A client as any product has it."""
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key or self.key(), timeout=120
        )

    def leftovers(self) -> list[str]:
        """What docker still has of this project."""
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return [
            line
            for kind in kinds
            for line in self._daemon.docker(*kind, "--quiet", "--filter", label).splitlines()
        ]
