"""The simulated engine behaves as vLLM does towards the clients that use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import redis as redis_client
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.stack import HTTP, RedisServer, Simulator, wait_for

QUESTION: Any = [{"role": "user", "content": "What is 7+5?"}]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Simulator]:
    server = Simulator(folder)
    yield server
    server.end()


@pytest.fixture
def sim(engine: Simulator) -> Simulator:
    engine.reset()
    engine.control(reasoning=None, content=None)
    return engine


@pytest.fixture
def client(sim: Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=sim.url + "/v1", api_key="none", max_retries=0)


def value(sim: Simulator, name: str) -> float:
    families = text_string_to_metric_families(HTTP.get(sim.url + "/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


def ids_of(sim: Simulator, path: str, **body: Any) -> tuple[list[int], dict[str, Any]]:
    """Token ids and the last event of a stream."""
    wanted = {"model": "r1-nano", "stream": True, "return_token_ids": True, **body}
    ids: list[int] = []
    last: dict[str, Any] = {}
    with HTTP.stream("POST", sim.url + path, json=wanted) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                choice = json.loads(line[6:])["choices"][0]
                ids += choice.get("token_ids") or []
                last = choice
    return ids, last


def test_a_whole_answer_and_a_stream_say_the_same(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "r1-nano", "messages": QUESTION, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    reasoning = content = ""
    for chunk in client.chat.completions.create(**ask, stream=True):
        delta: Any = chunk.choices[0].delta
        reasoning += getattr(delta, "reasoning", None) or ""
        content += delta.content or ""
    message: Any = whole.choices[0].message
    assert (message.reasoning, message.content) == (reasoning, content)
    assert (len(reasoning), len(content)) == (120, 40)


def test_an_answer_that_was_cut_goes_on_from_its_tokens(sim: Simulator) -> None:
    whole, last = ids_of(sim, "/v1/chat/completions", messages=QUESTION, temperature=0)
    assert last["finish_reason"] == "stop"
    prompt = HTTP.post(sim.url + "/tokenize", json={"messages": QUESTION}).json()["tokens"]
    for cut in (0, 1, 119, 120, 121, len(whole) - 1):
        rest, last = ids_of(
            sim, "/v1/completions", prompt=prompt + whole[:cut], temperature=0, max_tokens=500
        )
        assert whole[:cut] + rest == whole
        assert last["finish_reason"] == "stop"


def test_chance_is_in_answers_that_are_sampled(sim: Simulator) -> None:
    def said(**sampling: Any) -> tuple[int, ...]:
        return tuple(ids_of(sim, "/v1/chat/completions", messages=QUESTION, **sampling)[0])

    assert len({said(temperature=0.6) for _ in range(3)}) == 3
    assert len({said(temperature=0.6, seed=7) for _ in range(3)}) == 1


def test_choices_are_told_apart(client: openai.OpenAI) -> None:
    chunks = client.chat.completions.create(
        model="r1-nano", messages=QUESTION, n=3, stream=True, stream_options={"include_usage": True}
    )
    texts = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
        usage = chunk.usage
    assert usage is not None
    assert usage.completion_tokens == 3 * 162
    assert len(set(texts)) == 3
    assert {len(text) for text in texts} == {40}


def test_the_prefix_cache_is_seen_in_usage_and_metrics(
    sim: Simulator, client: openai.OpenAI
) -> None:
    long: Any = [{"role": "user", "content": "x" * 1000}]

    def cached(salt: str) -> int:
        usage = client.chat.completions.create(
            model="r1-nano", messages=long, max_tokens=1, extra_body={"cache_salt": salt}
        ).usage
        assert usage is not None
        details = usage.prompt_tokens_details
        return (details.cached_tokens or 0) if details else 0

    hits = value(sim, "vllm:prefix_cache_hits_total")
    assert [cached("a"), cached("a"), cached("b")] == [0, 992, 0]
    assert value(sim, "vllm:prefix_cache_hits_total") == hits + 992


def test_load_is_shown_while_it_lasts(sim: Simulator) -> None:
    sim.control(step_s=0.05)
    with HTTP.stream(
        "POST",
        sim.url + "/v1/chat/completions",
        json={"model": "r1-nano", "messages": QUESTION, "stream": True},
    ) as response:
        lines = response.iter_lines()
        next(lines)
        wait_for(lambda: value(sim, "vllm:num_requests_running") == 1, "the first step")
        assert value(sim, "vllm:kv_cache_usage_perc") > 0
        assert HTTP.get(sim.url + "/load").json() == {"server_load": 1}
    wait_for(lambda: value(sim, "vllm:num_requests_running") == 0, "the abort")
    assert value(sim, "vllm:kv_cache_usage_perc") == 0
    assert sim.seen()["aborted"] == 1


def test_a_wrong_control_is_refused_and_named(sim: Simulator) -> None:
    for wrong in ({"fault": "typo"}, {"share": 2}, {"stepp_s": 1}):
        answer = HTTP.post(sim.url + "/control", json=wrong)
        assert answer.status_code == 400
        assert next(iter(wrong)) in answer.json()["error"]


def test_some_requests_fail_and_others_do_not(sim: Simulator) -> None:
    sim.control(status=500, share=0.5)
    statuses = {
        HTTP.post(
            sim.url + "/v1/chat/completions", json={"model": "r1-nano", "messages": QUESTION}
        ).status_code
        for _ in range(40)
    }
    assert statuses == {200, 500}


def test_it_registers_itself_until_it_ends(
    folder: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_REGISTRY_URL", redis.url)
    server = Simulator(folder, "--model", "seen-by-all", "--max-num-seqs", "8")
    store = redis_client.Redis.from_url(redis.url, decode_responses=True)
    key = "r1:replicas:seen-by-all"

    def entries() -> Any:
        return store.hgetall(key)

    try:
        found = wait_for(entries, "the entry")
        assert list(found) == [server.url]
        expires, _, text = found[server.url].partition(" ")
        now: Any = store.time()
        assert 5 < int(expires) - now[0] <= 15
        idle = {"load": 0, "kv_used": 0.0, "prefix_hits": 0.0, "weights": ""}
        assert json.loads(text) == {"capacity": 8, "state": "ready", "adapters": [], **idle}
        ttl: Any = store.ttl(key)
        assert 0 < ttl <= 15
    finally:
        server.end()
    assert entries() == {}
    store.close()
