"""The other profiles, on locally built images of what public registries have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from scripts.ollama import MISSING, program
from serving.nano.arithmetic import boxed
from serving.nano.export_gguf import MODEL, write
from tests.contract.stack import free_port, wait_for
from tests.e2e.containers.conftest import build
from tests.e2e.containers.daemon import Daemon
from tests.e2e.containers.project import Project

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
WAIT_S = 120.0


@pytest.fixture(scope="module")
def ollama_image(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of a real Ollama, with a model to create in it."""
    folder = tmp_path_factory.mktemp("ollama")
    found = program(folder)
    if found is None:
        pytest.skip(MISSING)
    if found != folder / "ollama":
        (folder / "ollama").write_bytes(found.read_bytes())
        (folder / "ollama").chmod(0o755)
    write(folder, "f32")
    name = "r1-test/ollama:1"
    file = HERE / "ollama.Dockerfile"
    daemon.docker("build", "--tag", name, "--file", str(file), str(folder), limit_s=300)
    yield name
    daemon.docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def prometheus_image(daemon: Daemon) -> Iterator[str]:
    """An image of Debian's Prometheus."""
    name = "r1-test/prometheus:1"
    words = ("--network", "host", "--tag", name, "--file", str(HERE / "prometheus.Dockerfile"))
    daemon.docker("build", *words, str(HERE), limit_s=300)
    yield name
    daemon.docker("rmi", "--force", name)


def test_ollama_behind_the_gateway(
    daemon: Daemon, tag: str, ollama_image: str, tmp_path: Path
) -> None:
    model = f"{MODEL}:f32"
    # In place of a pull: there may be no way out.
    override = {
        "services": {
            "ollama-model": {"command": [f"ollama create {model} -f /models/Modelfile.f32"]}
        }
    }
    file = tmp_path / "override.yaml"
    file.write_text(yaml.safe_dump(override))
    variables = {"R1_OLLAMA_IMAGE": ollama_image, "R1_OLLAMA_MODEL": model}
    project = Project(daemon, tag, ["ollama"], more=[file], environ=variables)
    try:
        project.up()
        with project.client() as client:
            wait_for(
                lambda: {"deepseek-r1", model} <= {each.id for each in client.models.list()},
                "both names of the model",
                WAIT_S,
            )
            ask: Any = client.chat.completions.create
            question = [{"role": "user", "content": "What is 17 + 25?"}]
            for name in ("deepseek-r1", model):
                message = ask(model=name, messages=question, temperature=0).choices[0].message
                assert boxed(message.content) == 42
                assert message.reasoning_content
        published = daemon.inspect(project.container("ollama"))["HostConfig"]["PortBindings"]
        assert not published
    finally:
        project.end()
    assert project.leftovers() == []


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self._url}/{path}", params=query, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]

    def healthy(self) -> set[str]:
        """Jobs of which every target was scraped."""
        targets = self.get("targets")["activeTargets"]
        down = {each["labels"]["job"] for each in targets if each["health"] != "up"}
        return {each["labels"]["job"] for each in targets} - down

    def value(self, query: str) -> float:
        found = self.get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else 0.0


def test_prometheus_sees_all_that_a_load_does(
    daemon: Daemon, tag: str, prometheus_image: str
) -> None:
    build(daemon, "load")
    port = free_port()
    variables = {
        "R1_PROMETHEUS_IMAGE": prometheus_image,
        "R1_PROMETHEUS_PORT": str(port),
        "R1_LOAD_USERS": "2",
        "R1_LOAD_TIME": "20s",
    }
    profiles = ["default", "observability", "load"]
    project = Project(daemon, tag, profiles, environ=variables)
    try:
        project.up("gateway", "serving", "prometheus")
        load = project.call("run", "--rm", "load", limit_s=300)
        assert load.returncode == 0, load.stdout + load.stderr
        assert "TTFT" in load.stdout + load.stderr
        prometheus = Prometheus(port)
        jobs = {"r1-gateway", "r1-node", "r1-engine", "prometheus"}
        wait_for(lambda: jobs <= prometheus.healthy(), "every job up", WAIT_S)
        for query in (
            'sum(r1_requests_total{namespace="compose",code="200"})',
            'sum(r1_tokens_total{namespace="compose",kind="reasoning"})',
            'sum(vllm:generation_tokens_total{namespace="compose"})',
            'max(r1_memory_used_ratio{namespace="compose"})',
        ):
            wait_for(lambda query=query: prometheus.value(query) > 0, query, WAIT_S)  # type: ignore[misc]
        faults = [
            rule["lastError"]
            for group in prometheus.get("rules")["groups"]
            for rule in group["rules"]
            if rule.get("lastError")
        ]
        assert faults == []
    finally:
        project.end()
    assert project.leftovers() == []
