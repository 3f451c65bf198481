"""llama.cpp's own server behind the gateway."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.nano.arithmetic import boxed
from tests.contract.stack import (
    HTTP,
    Gateway,
    Process,
    RedisServer,
    Simulator,
    answers,
    free_port,
    read_stream,
    stream,
    wait_for,
)
from tests.integration.dialects.conftest import right, sums, user


class LlamaServer(Process):
    """The server with a model of one GGUF type."""

    def __init__(self, folder: Path, modelfile: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        file = modelfile.read_text("utf-8").split()[1]
        program = "tests.integration.dialects.llama_server"
        command = [sys.executable, "-m", program, str(modelfile.parent / file), str(self.port)]
        super().__init__(command, folder / f"llama-{self.port}.log")
        wait_for(lambda: answers(self.url + "/health"), "llama.cpp's server", 60)


@pytest.fixture(scope="module")
def server(folder: Path, modelfiles: dict[str, Path]) -> Iterator[LlamaServer]:
    process = LlamaServer(folder, modelfiles["q5_k_m"])
    yield process
    process.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def gateway(server: LlamaServer, folder: Path, redis: RedisServer) -> Iterator[Gateway]:
    # R1's template opens the reasoning in the prompt, which this server does not see in it.
    upstream = {"url": server.url + "/v1", "dialect": "llamacpp", "opens_think": True}
    process = Gateway(folder / "llama-gw", redis, [upstream])
    yield process
    process.end()


def test_right_answers(gateway: Gateway) -> None:
    assert right(gateway, "r1-nano", sums(8)) >= 7


def test_a_stream_is_the_same_answer(gateway: Gateway) -> None:
    asked: dict[str, Any] = {"messages": user("What is 4821 + 379?"), "temperature": 0}
    whole = gateway.post(**asked).json()
    with stream(gateway, **asked, stream_options={"include_usage": True}) as response:
        *events, last = read_stream(response)
    assert last == "[DONE]"
    *chunks, usage = (json.loads(event) for event in events)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    message = whole["choices"][0]["message"]
    for field in ("reasoning_content", "content"):
        assert "".join(delta[field] or "" for delta in deltas) == message[field]
    assert boxed(message["content"]) == 5200
    assert usage["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] > 60


def test_its_context_is_learned_and_kept(gateway: Gateway) -> None:
    models = HTTP.get(gateway.url + "/v1/models", headers=gateway.headers).json()["data"]
    assert models[0]["max_model_len"] == 4096
    answer = gateway.post(messages=user("12 + 34 " * 1000))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_a_caller_who_leaves_ends_the_generation(gateway: Gateway, server: LlamaServer) -> None:
    with stream(gateway, ignore_eos=True, temperature=2, max_tokens=4000) as response:
        next(response.iter_lines())
    slots = f"{server.url}/slots"
    wait_for(lambda: not any(each["is_processing"] for each in HTTP.get(slots).json()), "its end")
    longest = max(each.get("n_prompt_tokens", 0) for each in HTTP.get(slots).json())
    assert 0 < longest < 4000, "it generated to the end"


@pytest.mark.slow
def test_failover_to_vllm(
    folder: Path, tmp_path: Path, modelfiles: dict[str, Path], redis: RedisServer, vllm: Simulator
) -> None:
    server = LlamaServer(tmp_path, modelfiles["q4_k_m"])
    upstream = {"url": server.url, "dialect": "llamacpp", "opens_think": True, "weight": 1000}
    upstreams = [upstream, {"url": vllm.url, "weight": 0.001}]
    gateway = Gateway(tmp_path / "gw", redis, upstreams, retry={"attempts": 3, "base_s": 0.01})
    try:
        wait_for(lambda: gateway.post(max_tokens=1).json()["usage"]["total_tokens"] > 0, "it")
        server.end(signal.SIGKILL)
        for _ in range(3):
            assert gateway.post(temperature=0).json()["choices"][0]["message"]["content"]
    finally:
        gateway.end()
        server.end(signal.SIGKILL)
