"""`docker compose up` from nothing: right answers, and nothing open that should not be."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from serving.nano.arithmetic import boxed
from tests.e2e.containers.daemon import Daemon
from tests.e2e.containers.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(daemon: Daemon, tag: str) -> Iterator[Project]:
    """The profile that a plain `up` starts."""
    project = Project(daemon, tag)
    try:
        project.up()
        yield project
    finally:
        project.end()
        assert project.leftovers() == []


def test_both_models_answer_and_stream(project: Project) -> None:
    with project.client() as client:
        listed = {model.id for model in client.models.list()}
        assert {"r1-nano", "r1-distill-nano"} <= listed
        # The arguments' types are of no interest here.
        ask: Any = client.chat.completions.create
        question = [{"role": "user", "content": "What is 17 + 25?"}]
        for model in ("deepseek-r1", "r1-distill-nano"):
            message = ask(model=model, messages=question, temperature=0).choices[0].message
            assert boxed(message.content) == 42
            assert message.reasoning_content
            stream = ask(model=model, messages=question, temperature=0, stream=True)
            pieces = [piece.choices[0].delta.content for piece in stream if piece.choices]
            assert "".join(filter(None, pieces)) == message.content


def test_nobody_gets_in_without_the_key(project: Project) -> None:
    with project.client("r1-nothing") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_a_second_start_keeps_the_secrets(project: Project) -> None:
    key = project.key()
    project.compose("run", "--rm", "--no-deps", "prepare")
    assert project.key() == key
    with project.client(key) as client:
        assert client.models.list().data


def test_no_secret_shows_in_what_docker_and_the_logs_tell(project: Project, daemon: Daemon) -> None:
    volume = f"{project.name}_gateway-secrets"
    code = (
        "import pathlib, json; print(json.dumps([p.read_text().strip() "
        "for p in pathlib.Path('/s').iterdir() if p.name != 'keys.yaml']))"
    )
    image = daemon.inspect(project.container("gateway"))["Config"]["Image"]
    known = json.loads(
        daemon.run(image, "python", "-c", code, options=("--volume", f"{volume}:/s:ro"))
    )
    password = next(text for text in known if text.startswith("redis://")).split("@")[0][9:]
    secrets = {*known, password, project.key()}
    assert len(secrets) == 6
    told = project.call("logs", "--no-color").stdout
    for service in ("prepare", "redis", "gateway", "serving"):
        told += json.dumps(daemon.inspect(project.container(service)))
        # the command lines of the processes, as the machine sees them
        told += project.call("top", service).stdout
    assert not [secret for secret in secrets if secret in told]


def test_redis_is_not_published_and_wants_its_password(project: Project, daemon: Daemon) -> None:
    redis = project.container("redis")
    assert not daemon.inspect(redis)["HostConfig"]["PortBindings"]
    assert "NOAUTH" in daemon.docker("exec", redis, "redis-cli", "ping")


def test_every_container_is_read_only_and_nobody_but_prepare_is_root(
    project: Project, daemon: Daemon
) -> None:
    for service in ("redis", "gateway", "serving"):
        container = daemon.inspect(project.container(service))
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["Config"]["User"] == "10001:10001"
        assert container["State"]["Health"]["Status"] == "healthy"
    assert daemon.inspect(project.container("prepare"))["State"]["ExitCode"] == 0
