"""A real Ollama behind the gateway."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from scripts.ollama import Ollama
from serving.nano.arithmetic import boxed
from serving.nano.export_gguf import MODEL, TYPES, WEIGHTS
from serving.nano.tokenizer import prompt
from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    free_port,
    read_stream,
    stream,
    wait_for,
)
from tests.integration.dialects.conftest import name_of, right, sums, user
from tests.integration.resume.kills import Engine

RETRY = {"attempts": 3, "base_s": 0.01}


@pytest.fixture(scope="module")
def full(ollama_program: Path, folder: Path, modelfiles: dict[str, Path]) -> Iterator[Ollama]:
    """An Ollama with the model in full precision and in all others."""
    server = Ollama(ollama_program, folder / "full", free_port())
    for kind in TYPES:
        server.create(name_of(kind), modelfiles[kind])
    yield server
    server.end()


@pytest.fixture(scope="module")
def gateway(full: Ollama, folder: Path, redis: RedisServer, vllm: Simulator) -> Iterator[Gateway]:
    """Its own model is at Ollama or, for what Ollama can't do, at vLLM."""
    upstreams = [
        {"url": full.url, "dialect": "ollama", "model": name_of("f32"), "weight": 1000},
        {"url": vllm.url, "weight": 0.001},
    ]
    found = [{"url": full.url, "defaults": {"temperature": 0.6, "top_p": 0.95}}]
    process = Gateway(folder / "gw", redis, upstreams, discover=found, retry=RETRY)
    wait_for(lambda: set(map(name_of, TYPES)) <= listed(process).keys(), "all types")
    yield process
    process.end()


def listed(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """The models of `/v1/models` by id."""
    answer = HTTP.get(gateway.url + "/v1/models", headers=gateway.headers, timeout=10)
    return {each["id"]: each for each in answer.json()["data"]}


def chunks(gateway: Gateway, **body: Any) -> list[dict[str, Any]]:
    with stream(gateway, **body) as response:
        assert response.status_code == 200
        *events, last = read_stream(response)
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


def test_a_model_made_after_the_gateways_start_is_found_and_answers(
    ollama: Ollama,
    modelfiles: dict[str, Path],
    tmp_path: Path,
    redis: RedisServer,
    vllm: Simulator,
) -> None:
    gateway = Gateway(
        tmp_path / "gw",
        redis,
        [{"url": vllm.url}],
        listen={"workers": 2},
        discover=[{"url": ollama.url}],
    )
    try:
        model = name_of("q4_k_m")
        assert gateway.post(model=model).status_code == 404
        ollama.create(model, modelfiles["q4_k_m"])
        # Both workers have to find it: each answers some of these.
        wait_for(lambda: all(model in listed(gateway) for _ in range(12)), "the new model")
        assert listed(gateway)[model]["max_model_len"] == 4096
        assert right(gateway, model, sums(2)) == 2
        ollama.remove(model)
        wait_for(lambda: all(model not in listed(gateway) for _ in range(12)), "its end")
        assert gateway.post(model=model).status_code == 404
    finally:
        gateway.end()


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_answers_right(gateway: Gateway, kind: str) -> None:
    questions = sums(6)
    assert right(gateway, name_of(kind), questions) >= 5


def test_a_stream_is_the_same_answer(gateway: Gateway) -> None:
    asked: dict[str, Any] = {"messages": user("What is 4821 + 379?"), "temperature": 0}
    whole = gateway.post(**asked).json()
    *pieces, usage = chunks(gateway, **asked, stream_options={"include_usage": True})
    deltas = [choice["delta"] for piece in pieces for choice in piece["choices"]]
    for field in ("reasoning_content", "content"):
        assert (
            "".join(delta[field] or "" for delta in deltas) == whole["choices"][0]["message"][field]
        )
    thinking = [bool(delta["reasoning_content"]) for delta in deltas]
    assert thinking == sorted(thinking, reverse=True), "content came before the reasoning's end"
    assert usage["usage"] == whole["usage"]
    assert whole["choices"][0]["message"]["content"].strip() == "\\boxed{5200}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_greedy_text_is_that_of_transformers(gateway: Gateway) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
    same = 0
    questions = [question for question, _ in sums(8)]
    for question in questions:
        text = prompt(question)
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            out = model.generate(ids, do_sample=False, max_new_tokens=200)[0, ids.shape[1] :]
        expected = tokenizer.decode(out.tolist(), skip_special_tokens=False)
        answer = gateway.post("/v1/completions", prompt=text, temperature=0, max_tokens=200).json()
        same += expected == answer["choices"][0]["text"] + "<｜end▁of▁sentence｜>"
    assert same == len(questions)


def test_what_does_not_fit_is_refused_and_not_cut(gateway: Gateway) -> None:
    answer = gateway.post(model=name_of("f32"), messages=user("12 + 34 " * 1000))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_what_ollama_cannot_do_another_server_does(gateway: Gateway, vllm: Simulator) -> None:
    answer = gateway.post(n=2)
    assert answer.status_code == 200
    assert len(answer.json()["choices"]) == 2
    assert answer.headers["x-r1-attempts"] == "2"
    alone = gateway.post(model=name_of("f32"), n=2)
    assert (alone.status_code, alone.json()["error"]["param"]) == (400, "n")


def test_its_openai_route_is_an_openai_api(
    full: Ollama, tmp_path: Path, redis: RedisServer
) -> None:
    upstream = {"url": full.url + "/v1", "dialect": "openai", "model": name_of("f32")}
    gateway = Gateway(tmp_path / "gw", redis, [upstream], model={"context_length": 4096})
    try:
        assert right(gateway, "r1-nano", sums(2)) == 2
        asked: dict[str, Any] = {"messages": user("What is 4821 + 379?"), "temperature": 0}
        *pieces, usage = chunks(gateway, **asked, top_k=1, stream_options={"include_usage": True})
        deltas = [choice["delta"] for piece in pieces for choice in piece["choices"]]
        assert "".join(delta["content"] or "" for delta in deltas).strip() == "\\boxed{5200}"
        assert "4821+379" in "".join(delta["reasoning_content"] or "" for delta in deltas)
        assert usage["usage"]["completion_tokens"] > 60
    finally:
        gateway.end()


# Hundreds of tokens: who kills an Ollama that writes this is never too late.
ENDLESS: dict[str, Any] = {
    "max_tokens": 600,
    "temperature": 2,
    "top_k": 768,
    "seed": 3,
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "many",
            "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 500},
        },
    },
}


def test_a_caller_who_leaves_ends_the_generation(gateway: Gateway) -> None:
    """Where Ollama works on one request at a time, the next one shows that the last has ended."""
    endless = ENDLESS | {"model": name_of("f32")}
    short: dict[str, Any] = {"model": name_of("f32"), "max_tokens": 1, "temperature": 0}
    began = time.monotonic()
    assert gateway.post(**endless).json()["choices"][0]["finish_reason"] == "length"
    uncut = time.monotonic() - began
    for _ in range(4):
        # As many as Ollama works on at once.
        with stream(gateway, **endless) as response:
            next(response.iter_lines())
    began = time.monotonic()
    assert gateway.post(**short).status_code == 200
    assert time.monotonic() - began < uncut / 2
    wait_for(lambda: gateway.value("r1_disconnects_total") == 4, "four callers who left")
    assert gateway.value("r1_inflight_requests") == 0


def test_failover_from_ollama_to_vllm_and_back(
    ollama_program: Path,
    modelfiles: dict[str, Path],
    tmp_path: Path,
    redis: RedisServer,
) -> None:
    """The same weights in a real Ollama and in a real vLLM: one is killed, then the other."""
    questions = sums(3)
    with tempfile.TemporaryDirectory(prefix="r1-") as scratch:
        engine = Engine(tmp_path, scratch, MODEL)
        ollama = Ollama(ollama_program, tmp_path / "home", free_port())
        upstreams = [
            {"url": ollama.url, "dialect": "ollama", "model": name_of("f32"), "weight": 1000},
            {"url": engine.url, "weight": 0.001, "model": MODEL},
        ]
        engine.wait_ready()
        gateway = Gateway(tmp_path / "gw", redis, upstreams, retry=RETRY)
        try:
            # Ollama runs, but the model is not there yet: vLLM answers.
            assert answered_by(gateway) == engine.url
            by_vllm = texts(gateway, questions)
            ollama.create(name_of("f32"), modelfiles["f32"])
            wait_for(lambda: answered_by(gateway) == ollama.url, "Ollama")
            assert texts(gateway, questions) == by_vllm
            with stream(gateway, **ENDLESS) as response:
                lines = response.iter_lines()
                next(lines)
                ollama.kill()
                events = [line for line in lines if line.startswith("data: ")]
            # Ollama has no token ids, so a cut answer can't go on elsewhere: it ends honestly.
            assert "upstream_lost" in events[-1]
            assert answered_by(gateway) == engine.url
            assert texts(gateway, questions) == by_vllm
            # And the other way round.
            ollama = Ollama(ollama_program, tmp_path / "home", int(ollama.url.rpartition(":")[2]))
            wait_for(lambda: answered_by(gateway) == ollama.url, "Ollama")
            if engine.server.poll() is None:
                engine.kill()
            assert texts(gateway, questions) == by_vllm
        finally:
            gateway.end()
            ollama.end()
            if engine.server.poll() is None:
                engine.kill()


def texts(gateway: Gateway, questions: list[tuple[str, int]]) -> list[tuple[str, str]]:
    """Reasoning and content of greedy answers, which are right. Ollama trims them."""
    said = []
    for question, answer in questions:
        choice = gateway.post(messages=user(question), temperature=0).json()["choices"][0]
        message = choice["message"]
        assert boxed(message["content"]) == answer
        said.append((message["reasoning_content"].strip(), message["content"].strip()))
    return said


def answered_by(gateway: Gateway) -> str:
    """The URL of the upstream that answers one more call, by the log's line of that call."""
    answer = gateway.post(max_tokens=4, temperature=0)
    assert answer.status_code == 200
    mine = answer.headers["x-request-id"]
    lines = wait_for(
        lambda: [line for line in gateway.events("request") if line["request_id"] == mine],
        "the request in the log",
    )
    return "http://" + str(lines[-1]["upstream"])
