"""Whole stacks whose weights come from S3, or are damaged."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from r1.stack.launch import Follower, follow_until, make_plan, start_guard
from r1.stack.plan import ServedModel
from r1.stack.status import StackStatus
from serving.catalog import Catalog
from serving.engine.cold_start import PHASES
from tests.integration.local_stack import LocalStack, free_base, wait_for
from tests.unit.serving.weights.stores import BUCKET, PREFIX, serving

MODEL = "r1-distill-nano"
pytestmark = pytest.mark.timeout(600)


class Stack(LocalStack):
    """A stack that is planned here, because `r1 up` takes no address of weights."""

    guard: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End it, and its guard."""
        super().stop()
        if self.guard is not None:
            self.guard.wait(60)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(free_base(), tmp_path)
    yield made
    made.stop()


def nano() -> Path:
    path = Catalog.load().resolve(MODEL).weights.path
    assert path is not None
    return path


def start(stack: Stack, weights: str) -> tuple[StackStatus, str]:
    """Start a stack with these weights; its status once it is ready or has failed, its words."""
    stack.home.create()
    models = (ServedModel(MODEL, weights, "default"),)
    plan = make_plan(stack.home, stack.ports, models, detach=True, gateway_workers=1, drain_s=5.0)
    told: list[str] = []
    follower = Follower(stack.home.progress, told.append)
    stack.guard = start_guard(stack.home)
    status = follow_until(
        stack.home, stack.guard, plan.stack_id, follower, lambda now: now.state == "ready"
    )
    assert status is not None
    return status, "".join(told)


def get(stack: Stack, path: str) -> str:
    """What the stack's telemetry port answers."""
    address = f"http://127.0.0.1:{stack.ports.telemetry}{path}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


def phases(stack: Stack) -> dict[str, float]:
    """The model's cold start, in seconds."""
    return {
        sample.labels["phase"]: sample.value
        for family in text_string_to_metric_families(get(stack, "/metrics"))
        for sample in family.samples
        if sample.name == "r1_cold_start_seconds"
    }


def test_weights_from_s3_are_fetched_served_and_accounted_for(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_WEIGHTS_CACHE", str(tmp_path / "cache"))
    files = {path.name: path.read_bytes() for path in nano().iterdir() if path.is_file()}
    with serving(files) as store:
        address = f"s3://{BUCKET}/{PREFIX}?endpoint={store.url}&anonymous=true"
        status, told = start(stack, address)
        assert status.state == "ready", told
        assert store.sent["model.safetensors"] == len(files["model.safetensors"])
    assert stack.answers()
    (entry,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert (entry / "model.safetensors").read_bytes() == files["model.safetensors"]
    wait_for("the registration", lambda: "register" in phases(stack))
    seconds = phases(stack)
    assert set(seconds) == set(PHASES)
    assert all(seconds[phase] > 0 for phase in PHASES)
    (group,) = json.loads(get(stack, "/replicas"))
    url = f"http://{group['targets'][0]}{group['labels']['__metrics_path__']}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert "vllm:num_requests_running" in answer.read().decode()
    log = stack.home.log("models").read_text(errors="replace")
    assert f"{MODEL} starts; budget " in log
    assert f"cold start of {MODEL}: " in log


def test_damaged_weights_are_told_with_the_file_and_the_mend(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(nano(), folder)
    os.truncate(folder / "model.safetensors", 100_000)
    status, told = start(stack, str(folder))
    assert status.state == "failed"
    sentence = f"weights in {folder}: model.safetensors has 100,000 bytes, its header says"
    assert sentence in told
    assert sentence in stack.r1("status").stdout
