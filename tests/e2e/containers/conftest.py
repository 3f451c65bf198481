"""A Docker daemon and the built images, once for all tests of this folder."""

import os
import subprocess
import sys

import pytest

from scripts.images.catalog import ROOT, version
from scripts.images.docker import Docker, DockerError, find
from tests.e2e.containers.daemon import Daemon
from tests.e2e.tools import TAG_VARIABLE


@pytest.fixture(scope="session")
def daemon(request: pytest.FixtureRequest) -> Daemon:
    """The kit's daemon, or the one of this machine."""
    environ = dict(os.environ)
    if os.environ.get("R1_CLUSTER_KIT"):
        kit = request.getfixturevalue("kit")
        kit.image_base()
        environ |= kit.environment()
    try:
        program = find(environ["PATH"])
        Docker(program, lambda command: _asked(command, environ))
    except DockerError as error:
        pytest.skip(f"{error}; or set R1_CLUSTER_KIT to a kit that brings one")
    return Daemon(program, environ)


@pytest.fixture(scope="session")
def tag(daemon: Daemon) -> str:
    """The tag of the built images; layers that did not change are not built again."""
    given = os.environ.get(TAG_VARIABLE)
    if given:
        return given
    build(daemon)
    return version()


def build(daemon: Daemon, *names: str) -> None:
    """Build images with the project's own command; what docker says is seen at once."""
    command = [sys.executable, "-m", "scripts.images", "build", *names]
    status = subprocess.call(
        command, cwd=ROOT, env=daemon.environ, stdin=subprocess.DEVNULL, timeout=1500
    )
    assert status == 0, "the images could not be built: see above"


def _asked(command: list[str], environ: dict[str, str]) -> tuple[int, str]:
    answer = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return answer.returncode, answer.stdout.strip()
