"""r1-nano as two data-parallel engines that share their experts, through Ray Serve.

Its weights lie in a folder of a site without a network.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from r1.stack.plan import StackPlan
from r1.stack.processes import descendants, name_of
from serving.catalog import Catalog
from tests.integration.answers.sums import assert_right
from tests.integration.local_stack import LocalStack, detached

pytestmark = pytest.mark.timeout(900)
SUMS = 50


def offline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("R1_TEST_WEIGHTS_DIR")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("models")
    shipped = Catalog.load().resolve("r1-nano").weights.path
    assert shipped is not None
    shutil.copytree(shipped, folder / "r1-nano")
    return folder


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = str(offline_folder(tmp_path_factory))
    words = ("r1-nano", "--dp", "2", "--ep", "--offline-folder", folder)
    with detached(tmp_path_factory.mktemp("state"), *words) as made:
        yield made


def test_each_of_two_engines_holds_half_of_the_experts(group: LocalStack) -> None:
    titles = {name_of(pid) for pid in descendants(group.status.supervisor_pid)}
    assert {"VLLM::EngineCore_DP0", "VLLM::EngineCore_DP1"} <= titles
    log = group.r1("logs", "models", "-n", "1000000").stdout
    reports = set(re.findall(r"rank (\d) computes (\d+) of (\d+) experts", log))
    assert reports == {("0", "4", "8"), ("1", "4", "8")}, log[-3000:]


def test_the_engines_load_the_folder_and_ask_no_hub(group: LocalStack) -> None:
    (model,) = StackPlan.load(group.home).models
    assert model.weights is not None
    assert model.weights.endswith("/r1-nano")
    cores = [
        pid
        for pid in descendants(group.status.supervisor_pid)
        if name_of(pid).startswith("VLLM::EngineCore_DP")
    ]
    for pid in cores:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"HF_HUB_OFFLINE=1" in variables
    log = group.r1("logs", "models", "-n", "1000000").stdout
    assert f"model='{model.weights}'" in log, log[-3000:]


async def test_both_answer_right_together(group: LocalStack) -> None:
    await assert_right(group, "deepseek-r1", SUMS)


async def test_each_engine_was_asked_itself(group: LocalStack) -> None:
    """Each rank is a replica with an HTTP server of its own, whose engine counts its answers."""
    key = group.home.secret_file("engine.key").read_text()
    finished = {}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client:
        for port in range(group.ports.replicas.first, group.ports.replicas.last + 1):
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/r1-nano/metrics")
            except httpx.ConnectError:
                continue
            counts = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", answer.text, re.M)
            finished[port] = sum(map(float, counts))
    assert len(finished) == 2, finished
    assert min(finished.values()) > SUMS / 10, finished
