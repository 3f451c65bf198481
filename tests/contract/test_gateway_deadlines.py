"""Deadlines of callers, silence of model servers, callers who leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.contract.leavers import leave
from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)
QUESTION: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is 7+5?"}
]


@pytest.fixture(scope="module")
def gateway(
    folder: Path, redis: RedisServer, engines: tuple[Simulator, Simulator]
) -> Iterator[Gateway]:
    process = Gateway(
        folder / "deadlines",
        redis,
        [{"url": each.url} for each in engines],
        listen={"workers": 2},
        retry={"attempts": 3, "base_s": 0.01, "budget_reserve": 100, "budget_most": 100},
        model={"timeouts": {"idle_s": 1, "first_byte_s": 1}},
        pool={"affinity": False},
    )
    yield process
    process.end()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_callers_time_limit(
    gateway: Gateway, pair: tuple[Simulator, Simulator], streaming: bool
) -> None:
    """It ends the answer, and the engine's work with it; the engine is told of it."""
    for each in pair:
        each.control(step_s=0.2)
    before = time.monotonic()
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(stream=streaming, include_reasoning=not streaming),
        headers={**gateway.headers, "x-request-timeout": "0.5"},
        timeout=30,
    )
    assert time.monotonic() - before >= 0.5
    if streaming and answer.status_code == 200:
        error = json.loads(answer.text.strip().split("data: ")[-1])["error"]
    else:
        assert answer.status_code == 504
        assert answer.headers["x-should-retry"] == "false"
        error = answer.json()["error"]
    assert error["code"] == "deadline_exceeded"
    wait_for(lambda: not any(each.seen()["running"] for each in pair), "the engines' end")
    told = [each.seen()["headers"] for each in pair]
    (headers,) = (one for each in told for one in each)
    assert 0 < float(headers["x-request-timeout"]) <= 0.5


def test_a_time_limit_that_is_none(gateway: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(),
        headers={**gateway.headers, "x-request-timeout": "soon"},
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-request-timeout")


def test_no_attempt_after_the_time_limit(
    gateway: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    """The model servers ask for a pause that is longer than what is left."""
    for each in pair:
        each.control(status=503, retry_after="2")
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(),
        headers={**gateway.headers, "x-request-timeout": "1"},
    )
    assert answer.status_code == 503
    asked = [len(each.seen()["seen"]) for each in pair]
    assert sum(asked) <= 2


def test_a_clients_read_timeout(gateway: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    """For a whole answer it is the deadline, for a stream it only bounds the silence."""
    for each in pair:
        each.control(step_s=0.1)
    client = openai.OpenAI(
        base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0, timeout=0.7
    )
    with pytest.raises((openai.APITimeoutError, openai.APIStatusError)):
        client.chat.completions.create(model="r1-nano", messages=QUESTION)
    wait_for(lambda: not any(each.seen()["running"] for each in pair), "the engines' end")
    chunks = list(client.chat.completions.create(model="r1-nano", messages=QUESTION, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    for each in pair:
        each.control(step_s=0, first_token_s=0.9)
    chunks = list(client.chat.completions.create(model="r1-nano", messages=QUESTION, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    client.close()


@pytest.mark.parametrize("fault", ["hang", "die"])
def test_a_model_server_that_hangs_is_left_for_another(
    gateway: Gateway, pair: tuple[Simulator, Simulator], fault: str
) -> None:
    """A host that is gone sends no reset: silence is all that shows it."""
    hung, _ = pair
    hung.control(fault=fault)
    while not hung.seen()["seen"]:
        with stream(gateway) as response:
            assert read_stream(response)[-1] == "[DONE]"


def test_callers_who_leave_leave_nothing_behind(
    gateway: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    """At random moments, in streams and whole answers."""
    for each in pair:
        each.control(step_s=0.01)
    asyncio.run(leave(gateway, 600))
    wait_for(lambda: not any(each.seen()["running"] for each in pair), "the engines' end")
    wait_for(lambda: gateway.value("r1_inflight_requests") == 0, "the gauge")
    assert gateway.value("r1_disconnects_total") >= 300


def test_a_slow_short_call_is_asked_a_second_time(
    folder: Path, redis: RedisServer, pair: tuple[Simulator, Simulator]
) -> None:
    slow, quick = pair
    gateway = Gateway(
        folder / "hedged",
        redis,
        [{"url": each.url} for each in pair],
        model={"hedge": {"after_s": 0.2, "max_tokens": 200}},
        pool={"affinity": False},
        retry={"budget_reserve": 100, "budget_most": 100},
    )
    try:
        slow.control(first_token_s=30)
        attempts = []
        while "2" not in attempts:
            answer = gateway.post(max_tokens=200)
            assert answer.status_code == 200
            attempts.append(answer.headers["x-r1-attempts"])
        wait_for(lambda: slow.seen()["running"] == 0, "the slow one to be let go")
        assert gateway.value("r1_upstream_attempts_total", outcome="cancelled") == 1
        # One that wants more is waited for.
        slow.control(first_token_s=1)
        quick.control(first_token_s=1)
        assert gateway.post(max_tokens=201).headers["x-r1-attempts"] == "1"
    finally:
        gateway.end()
