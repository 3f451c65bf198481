"""r1-distill-nano as GGUF, in a real Ollama and in llama.cpp's real server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.ollama import MISSING, Ollama, program
from serving.nano.arithmetic import boxed
from serving.nano.export_gguf import MODEL, TYPES, write
from tests.contract.stack import Gateway, RedisServer, Simulator, free_port


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialects")


@pytest.fixture(scope="session")
def modelfiles(folder: Path) -> dict[str, Path]:
    """The Modelfile of each GGUF type; the GGUF lies beside it."""
    return {kind: write(folder / "gguf", kind) for kind in TYPES}


@pytest.fixture(scope="session")
def ollama_program(folder: Path) -> Path:
    found = program(folder)
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture
def ollama(ollama_program: Path, tmp_path: Path) -> Iterator[Ollama]:
    """An Ollama without any model."""
    server = Ollama(ollama_program, tmp_path / "home", free_port())
    yield server
    server.end()


@pytest.fixture(scope="session")
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    yield server
    server.end()


@pytest.fixture(scope="session")
def vllm(folder: Path) -> Iterator[Simulator]:
    """A simulated vLLM, which says that 7 + 5 is 12."""
    server = Simulator(folder)
    yield server
    server.end()


def sums(count: int) -> list[tuple[str, int]]:
    """Questions and their answers, the same in each run."""
    rng = random.Random(5)
    pairs = [(rng.randint(1, 9999), rng.randint(1, 9999)) for _ in range(count)]
    return [(f"What is {a} + {b}?", a + b) for a, b in pairs]


def user(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def right(gateway: Gateway, model: str, questions: list[tuple[str, int]]) -> int:
    """How many answers are right; each has its reasoning apart and a sound usage."""
    count = 0
    for question, answer in questions:
        body: dict[str, Any] = gateway.post(
            model=model, messages=user(question), temperature=0
        ).json()
        message, usage = body["choices"][0]["message"], body["usage"]
        assert message["reasoning_content"]
        assert "think>" not in message["reasoning_content"] + (message["content"] or "")
        assert 0 < usage["prompt_tokens"] < 60 < usage["completion_tokens"] < 200
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert body["model"] == model
        count += boxed(message["content"] or "") == answer
    return count


def name_of(kind: str) -> str:
    """The name that a GGUF type is created under."""
    return f"{MODEL}:{kind}"
