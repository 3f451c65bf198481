"""What a caller sees, and what the engine does, when one of them goes away in mid-stream."""

import os
import signal
import time
import urllib.request

import pytest
from openai import APIError, OpenAI

from r1.stack.processes import descendants, name_of
from tests.integration.local_stack import LocalStack, wait_for

MODELS = ("r1-nano", "r1-distill-nano")
LONG = {"ignore_eos": True}  # the model would stop after a hundred tokens


@pytest.fixture
def client(stack: LocalStack) -> OpenAI:
    return OpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0)


def running(stack: LocalStack, model: str) -> float:
    """Requests that the engine of a model works on, from its own metrics."""
    url = f"http://127.0.0.1:{stack.ports.serve}/{model}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        page = answer.read().decode()
    values = [
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting{"))
    ]
    assert values, page[:2000]
    return sum(values)


def test_a_caller_that_leaves_stops_the_generation_within_a_second(
    stack: LocalStack, client: OpenAI
) -> None:
    stream = client.chat.completions.create(
        model="r1-nano",
        messages=[{"role": "user", "content": "1 + 1"}],
        max_tokens=3500,
        stream=True,
        extra_body=LONG,
    )
    for _ in range(5):
        next(stream)
    # The canary may be asking at this very moment.
    assert running(stack, "r1-nano") in (1, 2)
    stream.close()
    left = time.monotonic()
    wait_for("the engine to stop", lambda: running(stack, "r1-nano") == 0, limit_s=20)
    assert time.monotonic() - left < 1.0


def test_a_killed_engine_ends_the_stream_with_an_error_and_never_normally(
    stack: LocalStack, client: OpenAI
) -> None:
    cores = [
        pid
        for pid in descendants(stack.status.supervisor_pid)
        if name_of(pid).startswith("VLLM::EngineCore")
    ]
    assert len(cores) == len(MODELS)
    before = {name: part.restarts for name, part in stack.status.parts.items()}
    stream = client.chat.completions.create(
        model="r1-nano",
        messages=[{"role": "user", "content": "1 + 1"}],
        max_tokens=3500,
        stream=True,
        extra_body=LONG,
    )
    chunks = [next(stream) for _ in range(5)]
    for pid in cores:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(APIError) as caught:
        chunks.extend(stream)
    assert "model" in str(caught.value)
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)

    def replaced() -> bool:
        parts = stack.status.parts
        return all(parts[model].restarts > before[model] for model in MODELS)

    wait_for("the models to be replaced", lambda: replaced() and stack.is_ready())
    wait_for("answers", stack.answers)
