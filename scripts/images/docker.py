"""A docker that builds with BuildKit: found, asked, and told what to do."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from scripts.images.catalog import Image


class DockerError(RuntimeError):
    """Docker is missing or failed; the message says what to do."""


# Runs a command quietly; (exit status, standard output).
Ask = Callable[[list[str]], tuple[int, str]]


def ask(command: list[str]) -> tuple[int, str]:
    """Run `command` without a word; (exit status, standard output)."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 127, ""
    return answer.returncode, answer.stdout.strip()


def programs(path: str, name: str = "docker") -> list[str]:
    """Every program `name` of a search path, in its order."""
    folders = [folder for folder in path.split(os.pathsep) if folder]
    found = [shutil.which(name, path=folder) for folder in folders]
    return list(dict.fromkeys(each for each in found if each))


def find(path: str, ask: Ask = ask) -> str:
    """The first docker on `path` that builds with BuildKit. Raises DockerError.

    From version 23 on that takes the plugin buildx; a client before it has BuildKit built in.
    """
    dockers = programs(path)
    for docker in dockers:
        _, version = ask([docker, "version", "--format", "{{.Client.Version}}"])
        number = re.match(r"\d+", version)
        if number is None:
            continue
        if int(number[0]) < 23 or ask([docker, "buildx", "version"])[0] == 0:
            return docker
    if not dockers:
        raise DockerError(
            "docker is not on PATH: install Docker (Debian: apt-get install docker.io)"
        )
    raise DockerError(
        f"{dockers[0]} cannot build with BuildKit: install its plugin buildx "
        "(Debian: apt-get install docker-buildx-plugin)"
    )


class Docker:
    """One docker and the daemon behind it."""

    def __init__(self, program: str, ask: Ask = ask) -> None:
        """Raises DockerError where no daemon answers."""
        self._program = program
        self._ask = ask
        if ask([program, "version", "--format", "{{.Server.Version}}"])[0] != 0:
            host = os.environ.get("DOCKER_HOST", "its default socket")
            raise DockerError(
                f"no Docker daemon answers at {host}: start one, or name its socket in DOCKER_HOST"
            )

    def build(self, root: Path, image: Image, reference: str, more: Mapping[str, str]) -> None:
        """Build `image` as `reference`; `more` are further build arguments. Raises DockerError."""
        arguments = {**image.arguments, **more}
        self._run(
            "build",
            *self._network(),
            *("--file", str(root / image.dockerfile), "--tag", reference),
            *(word for item in arguments.items() for word in ("--build-arg", "=".join(item))),
            str(root),
        )

    def save(self, reference: str, archive: IO[bytes] | None) -> None:
        """Write an image as a tar archive. Raises DockerError."""
        self._run("save", reference, output=archive)

    def push(self, reference: str, target: str) -> None:
        """Push a built image under another name. Raises DockerError."""
        self._run("tag", reference, target)
        self._run("push", target)

    def _network(self) -> tuple[str, ...]:
        # A daemon without the bridge, as test machines have it, can build in the host's network.
        bridged = self._ask([self._program, "network", "inspect", "bridge"])[0] == 0
        return () if bridged else ("--network", "host")

    def _run(self, *words: str, output: IO[bytes] | None = None) -> None:
        status = subprocess.call(
            [self._program, *words],
            env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"},
            stdin=subprocess.DEVNULL,
            stdout=output,
        )
        if status != 0:
            raise DockerError(f"docker {words[0]} failed with exit status {status}: see above")
