"""The answer cache over the workers of two gateways that share one Redis."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from redis import Redis

from gateway.auth.manage import create_key
from gateway.cache.entry import Entry
from r1 import cli
from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)

MODELS = {
    "r1-nano": {},
    "mutex": {"stale_s": 0},
    "hot": {"mode": "always"},
    "everyone": {"shared": True},
    "off": {"mode": "off"},
}


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Simulator]:
    process = Simulator(folder)
    yield process
    process.end()


@pytest.fixture
def engine(server: Simulator) -> Iterator[Simulator]:
    """In health, with answers of its own for each prompt, and for each draw when sampled."""
    server.reset()
    server.control(reasoning=None, content=None, reasoning_tokens=30, content_tokens=10)
    yield server
    server.reset()


@pytest.fixture(scope="module")
def replicas(
    folder: Path, redis: RedisServer, server: Simulator
) -> Iterator[tuple[Gateway, Gateway]]:
    first = start(folder / "cache-a", redis, server)
    second = start(folder / "cache-b", redis, server, like=first)
    yield first, second
    for each in (first, second):
        each.end()


def start(
    folder: Path,
    redis: RedisServer,
    server: Simulator,
    like: Gateway | None = None,
    store_timeout_s: float = 10,
) -> Gateway:
    """With patience for a busy machine: a worker that waits is not to be taken for a lost one."""
    upstreams = [{"url": server.url, "model": "r1-nano"}]
    return Gateway(
        folder,
        redis,
        upstreams,
        listen={"workers": 2},
        model={"cache": MODELS["r1-nano"]},
        env={"R1_GATEWAY__STORE__TIMEOUT_S": str(store_timeout_s)},
        more_models=[
            {"id": name, "upstreams": upstreams, "cache": cache}
            for name, cache in MODELS.items()
            if name != "r1-nano"
        ],
        like=like,
    )


@pytest.fixture
def question() -> dict[str, Any]:
    """A deterministic request that nobody made before."""
    return ask()


def ask(**body: Any) -> dict[str, Any]:
    content = f"What is 7+5? {uuid.uuid4()}"
    return chat(messages=[{"role": "user", "content": content}], temperature=0, **body)


def post(gateway: Gateway, body: dict[str, Any], **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=body,
        headers={**gateway.headers, **names},
        timeout=60,
    )


def post_many(gateways: tuple[Gateway, ...], body: dict[str, Any], count: int) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda i: post(gateways[i % len(gateways)], body), range(count)))


def generations(engine: Simulator) -> int:
    return len(engine.seen()["seen"])


def said(response: httpx.Response) -> Any:
    """All that an answer says, but how it was made."""
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        return [without_usage(json.loads(event)) for event in events[:-1]]
    return without_usage(response.json())


def without_usage(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "usage"}


def kept(gateway: Gateway, body: dict[str, Any]) -> httpx.Response:
    """The answer once it is kept."""

    def hit() -> httpx.Response | None:
        response = post(gateway, body, cache_control="only-if-cached")
        return response if response.status_code == 200 else None

    response: httpx.Response = wait_for(hit, "the answer to be kept")
    return response


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hundred_identical_calls_make_one_generation(
    replicas: tuple[Gateway, Gateway], engine: Simulator, streaming: bool
) -> None:
    engine.control(step_s=0.02)
    counters = ("r1_requests_total", "r1_stream_endings_total", "r1_upstream_attempts_total")
    before = [total(replicas, name) for name in counters]
    answers = post_many(replicas, ask(stream=streaming), 100)
    assert {answer.status_code for answer in answers} == {200}
    assert all(said(answer) == said(answers[0]) for answer in answers)
    assert generations(engine) == 1
    results = [answer.headers["x-r1-cache"] for answer in answers]
    assert results.count("miss") == 1
    assert set(results) <= {"miss", "coalesced", "hit"}
    # Callers are counted as callers, and the one attempt as one.
    wanted = [100, 100 if streaming else 0, 1]
    wait_for(
        lambda: (
            [total(replicas, name) for name in counters]
            == [old + more for old, more in zip(before, wanted, strict=True)]
        ),
        "the counters",
    )


def total(replicas: tuple[Gateway, Gateway], name: str) -> float:
    return sum(each.value(name) for each in replicas)


def test_sampled_calls_are_made_one_by_one(
    replicas: tuple[Gateway, Gateway], engine: Simulator, question: dict[str, Any]
) -> None:
    answers = post_many(replicas, {**question, "temperature": 0.6}, 64)
    assert {answer.headers["x-r1-cache"] for answer in answers} == {"bypass"}
    assert generations(engine) == 64
    assert len({json.dumps(said(answer)) for answer in answers}) == 64


def test_a_repeat_takes_a_twentieth_of_the_time(
    replicas: tuple[Gateway, Gateway], engine: Simulator, question: dict[str, Any]
) -> None:
    engine.control(reasoning_tokens=120, content_tokens=40, step_s=0.02)
    began = time.monotonic()
    first = post(replicas[0], question)
    took = time.monotonic() - began
    kept(replicas[0], question)
    repeats = []
    for i in range(10):
        began = time.monotonic()
        again = post(replicas[i % 2], question)
        repeats.append(time.monotonic() - began)
        assert said(again) == said(first)
    median = sorted(repeats)[5]
    print(f"first {took:.3f} s, repeat {median:.4f} s: {median / took:.2%}")
    assert median <= 0.05 * took
    assert generations(engine) == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_a_repeat_says_that_it_is_one(
    replicas: tuple[Gateway, Gateway], engine: Simulator, streaming: bool
) -> None:
    body = ask(stream=streaming)
    if streaming:
        body["stream_options"] = {"include_usage": True}
    first = post(replicas[0], body)
    assert first.headers["x-r1-cache"] == "miss"
    assert "age" not in first.headers
    again = kept(replicas[1], body)
    assert again.headers["x-r1-cache"] == "hit"
    assert int(again.headers["age"]) >= 0
    assert said(again) == said(first)
    fresh, usage = usage_of(first), usage_of(again)
    assert fresh["prompt_tokens_details"]["cached_tokens"] < fresh["prompt_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] == fresh["completion_tokens"]
    details = "completion_tokens_details"
    assert usage[details]["reasoning_tokens"] == fresh[details]["reasoning_tokens"] > 0


def usage_of(response: httpx.Response) -> dict[str, Any]:
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        usage: dict[str, Any] = json.loads(events[-2])["usage"]
        return usage
    usage = response.json()["usage"]
    return usage


def test_a_replayed_stream_is_well_formed(
    replicas: tuple[Gateway, Gateway], engine: Simulator, question: dict[str, Any]
) -> None:
    text = str(question["messages"][0]["content"])
    with openai.OpenAI(base_url=replicas[0].url + "/v1", api_key=replicas[0].key) as client:
        told = []
        for _ in range(2):
            chunks = list(
                client.chat.completions.create(
                    model="deepseek-r1",
                    messages=[{"role": "user", "content": text}],
                    temperature=0,
                    stream=True,
                )
            )
            assert chunks[-1].choices[0].finish_reason == "stop"
            told.append([chunk.choices[0].delta for chunk in chunks])
            kept(replicas[0], {**question, "stream": True})
    assert told[0] == told[1]
    assert generations(engine) == 1
    names = {"model": "r1-nano", "cache": "hit"}
    assert replicas[0].value("r1_time_to_first_token_seconds_count", **names) > 0


def test_followers_get_the_tokens_as_they_come(
    replicas: tuple[Gateway, Gateway], engine: Simulator
) -> None:
    # It never ends: what is read of it was read while it was being made.
    engine.control(fault="stall", after=8)
    body = ask(stream=True)
    with streaming(replicas[0], body) as leader:
        begun = leader.iter_lines()
        with streaming(replicas[1], body) as follower:
            followed = follower.iter_lines()
            assert [next(followed) for _ in range(8)] == [next(begun) for _ in range(8)]
            assert follower.headers["x-r1-cache"] == "coalesced"
    assert generations(engine) == 1
    wait_for(lambda: engine.seen()["aborted"] == 1, "the engine to be told", 5)


def streaming(gateway: Gateway, body: dict[str, Any]) -> Any:
    return HTTP.stream(
        "POST",
        gateway.url + "/v1/chat/completions",
        json=body,
        headers=gateway.headers,
        timeout=60,
    )


@pytest.mark.parametrize("model", ["mutex", "r1-nano"])
def test_expiry_under_load_makes_one_generation(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis, model: str
) -> None:
    body = {**ask(), "model": model}
    post(replicas[0], body)
    kept(replicas[0], body)
    (key,) = store.keys("r1:cache:*answer")
    engine.control(step_s=0.02)
    if model == "mutex":
        store.pexpire(key, 1)
        wait_for(lambda: not store.exists(key), "the answer to expire")
    else:
        old = entry_at(store, key)
        store.set(key, replace(old, fresh_until=time.time() - 1).pack(0), px=600_000)
    answers = post_many(replicas, body, 64)
    assert {answer.status_code for answer in answers} == {200}
    wait_for(lambda: not store.keys("r1:cache:*flight"), "the generation to end")
    assert generations(engine) == 2
    results = {answer.headers["x-r1-cache"] for answer in answers}
    if model == "mutex":
        assert "miss" in results
        assert results <= {"miss", "coalesced", "hit"}
    else:
        assert "stale" in results
        assert results <= {"stale", "hit"}
        assert entry_at(store, key).fresh_until > time.time()


def entry_at(store: Redis, key: Any) -> Entry:
    data = store.get(key)
    assert isinstance(data, bytes)
    return Entry.unpack(data)


@pytest.fixture
def store(redis: RedisServer) -> Iterator[Redis]:
    """The cache's part of the store, empty at the beginning."""
    with Redis.from_url(redis.url) as client:
        for key in client.keys("r1:cache:*"):
            client.delete(key)
        yield client


def text_of(lines: list[str]) -> str:
    """The text of a stream, reasoning and content, without what the gateway says besides."""
    told = ""
    for line in lines:
        if line.startswith("data: {") and '"error"' not in line:
            for choice in json.loads(line[6:])["choices"]:
                delta = choice["delta"]
                told += (delta["reasoning_content"] or "") + (delta["content"] or "")
    return told


@pytest.mark.parametrize("model", ["r1-nano", "hot"])
def test_where_the_leader_is_killed_a_follower_takes_over(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis, model: str
) -> None:
    engine.control(fault="stall", after=8)
    body = {**ask(stream=True), "model": model}
    if model == "hot":
        body["temperature"] = 1
    with streaming(replicas[0], body) as leader:
        begun = leader.iter_lines()
        next(begun)
        with streaming(replicas[1], body) as follower:
            lines = follower.iter_lines()
            told = [next(lines) for _ in range(8)]
            assert leader.headers["x-r1-cache"] == "miss"
            assert follower.headers["x-r1-cache"] == "coalesced"
            engine.control(fault="")
            for pid in replicas[0].worker_pids():
                os.kill(pid, signal.SIGKILL)
            told += lines
        with pytest.raises(httpx.RemoteProtocolError):
            list(begun)
    assert generations(engine) == 2
    if model == "hot":
        # Another draw is another answer: its end must not be put behind this one's beginning.
        assert "upstream_lost" in told[-2]
        assert "data: [DONE]" not in told
        assert not store.keys("r1:cache:*answer")
    else:
        assert told[-2] == "data: [DONE]"
        again = kept(replicas[1], body)
        assert text_of(told) == text_of(again.text.splitlines())
        assert generations(engine) == 2
    wait_ready(replicas[0])


def wait_ready(gateway: Gateway) -> None:
    def ready() -> bool:
        return HTTP.get(gateway.admin_url + "/readyz").status_code == 200

    wait_for(ready, "the killed workers' successors", 45)


def test_the_generation_ends_when_the_last_follower_has_left(
    replicas: tuple[Gateway, Gateway], engine: Simulator
) -> None:
    engine.control(step_s=0.1, reasoning_tokens=300)
    body = ask(stream=True)
    first = ExitStack()
    begun = first.enter_context(streaming(replicas[0], body)).iter_lines()
    next(begun)
    with streaming(replicas[1], body) as stays:
        lines = stays.iter_lines()
        next(lines)
        first.close()
        for _ in range(20):
            next(lines)
        assert engine.seen()["running"] == 1
        assert engine.seen()["aborted"] == 0
    wait_for(lambda: engine.seen()["aborted"] == 1, "the engine to be told", 5)
    assert generations(engine) == 1
    wait_for(
        lambda: sum(each.value("r1_inflight_requests") for each in replicas) == 0, "the gauges"
    )


def test_cache_control_is_honoured(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis, question: dict[str, Any]
) -> None:
    gateway = replicas[0]
    missing = post(gateway, question, cache_control="only-if-cached")
    assert (missing.status_code, missing.json()["error"]["code"]) == (504, "not_cached")
    assert post(gateway, question, cache_control="no-store").headers["x-r1-cache"] == "bypass"
    assert post(gateway, question, cache_control="only-if-cached").status_code == 504
    assert post(gateway, question).headers["x-r1-cache"] == "miss"
    kept(gateway, question)
    assert post(gateway, question, cache_control="max-age=600").headers["x-r1-cache"] == "hit"
    assert generations(engine) == 2
    for wish in ("no-cache", "max-age=0"):
        # A flight may be joined until its end, and its caller has the answer before that.
        wait_for(lambda: not store.keys("r1:cache:*flight"), "the flight to end")
        assert post(gateway, question, cache_control=wish).headers["x-r1-cache"] == "miss"
    assert generations(engine) == 4
    assert post(gateway, question, cache_control="no-store").headers["x-r1-cache"] == "bypass"
    assert generations(engine) == 5


@pytest.mark.parametrize("fault", [{"status": 500}, {"fault": "cut"}, {"fault": "error"}])
def test_what_failed_is_not_kept(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis, fault: dict[str, Any]
) -> None:
    body = ask(stream=True)
    engine.control(**fault)
    broken = post(replicas[0], body)
    assert "[DONE]" not in broken.text
    assert "upstream_" in broken.text
    wait_for(lambda: not store.keys("r1:cache:*flight"), "the flight to end")
    assert not store.keys("r1:cache:*answer")
    engine.control(fault="", status=0)
    mended = post(replicas[1], body)
    assert mended.headers["x-r1-cache"] == "miss"
    assert mended.text.endswith("data: [DONE]\n\n")


def test_tenants_share_nothing_unless_a_model_says_so(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis
) -> None:
    gateway = replicas[0]
    other = create_key(gateway.redis.url, gateway.pepper_file, name="b", tenant="bumble").key
    theirs = {"authorization": f"Bearer {other}"}
    for model, made in (("r1-nano", 2), ("everyone", 1)):
        engine.control(step_s=0.0)
        HTTP.delete(engine.url + "/seen")
        body = {**ask(), "model": model, "cache_salt": "mine"}
        post(gateway, body)
        kept(gateway, body)
        HTTP.post(gateway.url + "/v1/chat/completions", json=body, headers=theirs, timeout=30)
        seen = engine.seen()["seen"]
        assert len(seen) == made
        salts = {each.get("cache_salt") for each in seen}
        if model == "everyone":
            assert salts == {None}
        else:
            assert len(salts) == 2
            assert not salts & {None, "mine", "acme", "bumble"}
    keys = str(store.keys("*"))
    assert "acme" not in keys
    assert "7+5" not in keys
    # The same tenant has the same salt at every gateway.
    HTTP.delete(engine.url + "/seen")
    for each in replicas:
        post(each, chat())
    first, second = (each["cache_salt"] for each in engine.seen()["seen"])
    assert first == second


def test_kept_answers_are_compressed(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis
) -> None:
    body = ask(stream=True)
    first = post(replicas[0], body)
    assert len(first.content) > 2000
    kept(replicas[0], body)
    (key,) = store.keys("r1:cache:*answer")
    data = store.get(key)
    assert isinstance(data, bytes)
    assert b"\x28\xb5\x2f\xfd" in data, "a zstd frame"
    assert len(data) < len(first.content) / 4
    assert 3600 < store.pttl(key) / 1000 <= 4200


def test_an_idempotency_key_gives_the_same_answer(
    replicas: tuple[Gateway, Gateway], engine: Simulator, question: dict[str, Any]
) -> None:
    engine.control(step_s=0.02)
    sampled = {**question, "temperature": 1}
    name = str(uuid.uuid4())

    def call(i: int) -> httpx.Response:
        return post(replicas[i % 2], sampled, idempotency_key=name)

    with ThreadPoolExecutor(8) as pool:
        joined = list(pool.map(call, range(8)))
    later = call(1)
    assert {json.dumps(said(each)) for each in joined} == {json.dumps(said(later))}
    assert generations(engine) == 1
    wait_for(lambda: call(0).headers["x-r1-cache"] == "hit", "the answer to be kept")
    other = post(replicas[0], {**sampled, "temperature": 0.9}, idempotency_key=name)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert other.json()["error"]["param"] == "idempotency-key"
    assert post(replicas[0], sampled).headers["x-r1-cache"] == "bypass"
    # A deterministic one is kept for all, and an unusable key is refused.
    assert post(replicas[0], question, idempotency_key=name + "x").status_code == 200
    assert kept(replicas[0], question).headers["x-r1-cache"] == "hit"
    assert post(replicas[0], question, idempotency_key="a b").status_code == 400


def test_a_failed_call_may_be_made_again_with_its_key(
    replicas: tuple[Gateway, Gateway], engine: Simulator, question: dict[str, Any]
) -> None:
    name = str(uuid.uuid4())
    engine.control(status=500)
    assert post(replicas[0], question, idempotency_key=name).status_code == 502
    engine.control(status=0)
    assert post(replicas[1], question, idempotency_key=name).status_code == 200


def test_operators_see_and_purge_it(
    replicas: tuple[Gateway, Gateway], engine: Simulator, store: Redis, question: dict[str, Any]
) -> None:
    gateway = replicas[0]
    admin = {"authorization": f"Bearer {gateway.admin_key}"}
    url = gateway.admin_url + "/admin/cache"
    assert HTTP.get(url).status_code == 401
    for model in ("r1-nano", "hot"):
        body = {**question, "model": model}
        post(gateway, body)
        kept(gateway, body)
    rows = {row["model"]: row for row in HTTP.get(url, headers=admin).json()["data"]}
    assert rows["hot"]["entries"] == 1
    assert rows["hot"]["bytes"] > 500
    assert rows["hot"]["requests"]["hit"] >= 1
    asked = gateway.value("r1_cache_requests_total", model="hot", result="miss")
    assert rows["hot"]["requests"]["miss"] == asked > 0
    for query, purged in (
        ({"tenant": "bumble"}, 0),
        ({"model": "hot", "tenant": "acme"}, 1),
        ({}, 1),
    ):
        answer = HTTP.delete(url, params=query, headers=admin)
        assert answer.json() == {"purged": purged}
    assert post(gateway, question, cache_control="only-if-cached").status_code == 504


def test_the_command_shows_and_purges_it(
    replicas: tuple[Gateway, Gateway],
    engine: Simulator,
    store: Redis,
    question: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = replicas[0]
    home = SimpleNamespace(secret_file=lambda name: gateway.config.parent / name)
    status = SimpleNamespace(ports={"admin": int(gateway.admin_url.rpartition(":")[2])})
    monkeypatch.setattr("r1.cache.find", lambda base: (home, status))
    post(gateway, question)
    kept(gateway, question)
    assert cli.main(["cache", "stats"]) == 0
    assert "r1-nano  1 kept, " in capsys.readouterr().out
    assert cli.main(["cache", "stats", "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["r1-nano"]["entries"] == 1
    for tenant, purged in (("bumble", 0), ("acme", 1)):
        assert cli.main(["cache", "purge", "--model", "r1-nano", "--tenant", tenant]) == 0
        assert capsys.readouterr().out == f"purged {purged}\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_store_every_call_is_made(
    tmp_path: Path, engine: Simulator, how: signal.Signals
) -> None:
    store = RedisServer(tmp_path)
    gateway = start(tmp_path / "gw", store, engine, store_timeout_s=0.5)
    try:
        body = ask()
        assert post(gateway, body).status_code == 200
        kept(gateway, body)

        def both_know_the_key() -> bool:
            post(gateway, body)
            return len({event["process"] for event in gateway.events("request")}) == 2

        wait_for(both_know_the_key, "both workers to have served")
        os.kill(store.pid, how)
        before = generations(engine)
        answers = post_many((gateway,), body, 40)
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["x-r1-cache"] for answer in answers} == {"bypass"}
        assert generations(engine) - before == 40
        assert post(gateway, body, idempotency_key="x").status_code == 200
        # It was given up, so not every call waits for it; each is counted.
        failed = gateway.value("r1_store_errors_total", operation="cache")
        began = time.monotonic()
        for _ in range(20):
            assert post(gateway, body).headers["x-r1-cache"] == "bypass"
        assert time.monotonic() - began < 20 * 0.5
        assert gateway.value("r1_store_errors_total", operation="cache") - failed >= 20
    finally:
        if how is signal.SIGSTOP:
            os.kill(store.pid, signal.SIGCONT)
        try:
            gateway.end()
        finally:
            store.end(signal.SIGKILL)
