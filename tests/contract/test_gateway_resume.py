"""A stream whose model server is lost goes on at another one, where it left off."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.simulator.answers import prompt_of
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, read_stream, stream

pytestmark = pytest.mark.timeout(240)

REASONING = "Sieben und fünf: 7+5=12 ✓ 十二. Prüfe 🙂 noch einmal."
CONNECT_S = 2.0
CONTENT = "Die Antwort: \\boxed{12} — 答案是 12 🎉."


@pytest.fixture(autouse=True)
def same_words(pair: tuple[Simulator, Simulator]) -> None:
    for each in pair:
        each.control(reasoning=REASONING, content=CONTENT)


@pytest.fixture(scope="module")
def served(
    folder: Path, redis: RedisServer, engines: tuple[Simulator, Simulator]
) -> Iterator[Gateway]:
    process = Gateway(
        folder / "resume",
        redis,
        # Nearly all go to the first one, which the tests make sick.
        [{"url": engines[0].url, "weight": 1000}, {"url": engines[1].url}],
        retry={"attempts": 3, "base_s": 0.01, "resumes": 2, "budget_reserve": 100},
        model={"timeouts": {"connect_s": CONNECT_S, "idle_s": 30, "first_byte_s": 30}},
        # The sick one is asked again and again.
        pool={"affinity": False, "failures": 1000, "failure_gap": 1},
    )
    yield process
    process.end()


class Heard:
    """What a caller got of a stream."""

    def __init__(self, data: list[str]) -> None:
        self.done = bool(data) and data[-1] == "[DONE]"
        chunks = [json.loads(each) for each in data if each != "[DONE]"]
        self.error = next((each["error"] for each in chunks if "error" in each), None)
        chunks = [each for each in chunks if "error" not in each]
        choices = [each["choices"][0] for each in chunks if each["choices"]]
        deltas = [each.get("delta") or {"content": each.get("text")} for each in choices]
        self.reasoning = "".join(each.get("reasoning_content") or "" for each in deltas)
        self.content = "".join(each.get("content") or "" for each in deltas)
        self.roles = sum("role" in each for each in deltas)
        self.finish = [each["finish_reason"] for each in choices if each["finish_reason"]]
        self.ids = {each["id"] for each in chunks}
        self.usage = next((each["usage"] for each in chunks if each.get("usage")), None)


def ask(gateway: Gateway, **body: Any) -> Heard:
    body = {"temperature": 0, "stream_options": {"include_usage": True}, **body}
    with stream(gateway, **body) as response:
        assert response.status_code == 200, response.read()
        return Heard(read_stream(response))


def outcomes(gateway: Gateway) -> dict[str, float]:
    return {
        outcome: gateway.value("r1_resumes_total", outcome=outcome)
        for outcome in ("ok", "failed", "refused")
    }


@pytest.mark.parametrize("fault", ["reset", "cut", "error", "mangled"])
def test_no_token_is_lost_or_doubled(
    served: Gateway, pair: tuple[Simulator, Simulator], fault: str
) -> None:
    """Cut at every tenth event: in the think block, at its end, inside characters, near the end."""
    uncut = ask(served)
    assert (uncut.reasoning, uncut.content) == (REASONING, CONTENT)
    before = outcomes(served)
    sick, _ = pair
    events = len(REASONING.encode()) + len(CONTENT.encode()) + 3
    resumed = 0
    for after in range(1 + random.randrange(10), events, 10):
        sick.control(fault=fault, after=after)
        heard = ask(served)
        assert heard.error is None, (after, heard.error)
        assert (heard.reasoning, heard.content) == (REASONING, CONTENT), after
        assert (heard.finish, heard.done, heard.roles) == (["stop"], True, 1), after
        assert len(heard.ids) == 1
        assert heard.usage is not None
        assert uncut.usage is not None
        for field in ("prompt_tokens", "completion_tokens", "completion_tokens_details"):
            assert heard.usage[field] == uncut.usage[field], (after, field)
    after_all = outcomes(served)
    resumed = int(after_all["ok"] - before["ok"])
    assert resumed > 0, "no answer was cut"
    assert (after_all["failed"], after_all["refused"]) == (before["failed"], before["refused"])


def test_a_server_that_is_slow_to_take_an_answer_over_is_waited_for(
    served: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    """Longer than for a connection: beside engines that start, a processor has no time for it."""
    sick, well = pair
    well.control(detokenize_s=CONNECT_S + 0.5)
    sick.control(fault="cut", after=4)
    heard = ask(served)
    assert heard.error is None
    assert (heard.reasoning, heard.content) == (REASONING, CONTENT)


def test_an_answer_goes_on_past_the_token_that_would_end_it(
    served: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    """With `ignore_eos` a stream has no text for that token, /detokenize has one."""
    sick, _ = pair
    end = len(REASONING.encode()) + 1 + len(CONTENT.encode()) + 1
    body = {"ignore_eos": True, "max_tokens": end + 20}
    uncut = ask(served, **body)
    assert uncut.content.startswith(CONTENT)
    assert len(uncut.content) == len(CONTENT) + 20
    before = outcomes(served)
    # The opening event has no token. The cut comes before that token, behind it, and later.
    for after in (end, end + 1, end + 2, end + 10):
        sick.control(fault="reset", after=after)
        resumed = outcomes(served)["ok"]
        while outcomes(served)["ok"] == resumed:
            heard = ask(served, **body)
            assert heard.error is None, (after, heard.error)
            assert (heard.reasoning, heard.content) == (uncut.reasoning, uncut.content), after
            assert (heard.finish, heard.done) == (["length"], True)
    after_all = outcomes(served)
    assert (after_all["failed"], after_all["refused"]) == (before["failed"], before["refused"])


def test_the_rest_only_is_asked_for(served: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    sick, well = pair
    sick.control(fault="reset", after=30)
    while not sick.seen()["seen"]:
        ask(served, max_tokens=100)
    prompts = [each for each in well.seen()["seen"] if "prompt" in each]
    assert len(prompts) == 1
    rest = prompts[0]
    # The opening event has no token.
    assert rest["max_tokens"] == 100 - 29
    assert well.last() == rest


def test_an_answer_is_continued_so_many_times(
    served: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    """Each cut but the first is in what was continued."""
    for each in pair:
        each.control(fault="reset", after=20)
    heard = ask(served)
    assert heard.error is not None
    assert not heard.done
    assert REASONING.startswith(heard.reasoning)
    # Resumed twice: the opening event has no token, and half a character may wait at each cut.
    assert 55 <= len(heard.reasoning.encode()) <= 59


def test_silence_counts_as_death(
    folder: Path, redis: RedisServer, pair: tuple[Simulator, Simulator]
) -> None:
    gateway = Gateway(
        folder / "silence",
        redis,
        [{"url": each.url} for each in pair],
        retry={"attempts": 3, "base_s": 0.01},
        model={"timeouts": {"idle_s": 1, "first_byte_s": 30}},
        pool={"affinity": False},
    )
    try:
        sick, _ = pair
        sick.control(fault="stall", after=20)
        while gateway.value("r1_resumes_total", outcome="ok") == 0:
            heard = ask(gateway)
            assert (heard.reasoning, heard.content, heard.done) == (REASONING, CONTENT, True)
    finally:
        gateway.end()


def test_stop_texts_across_the_cut(served: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    sick, _ = pair
    at = len(REASONING.encode()) + len("Die Antw")
    for after in (at, at + 1, at + 2, at + 4):
        sick.control(fault="reset", after=after)
        for _ in range(3):
            heard = ask(served, stop=["wort:", "zzz"])
            assert (heard.reasoning, heard.content) == (REASONING, "Die Ant"), after
            assert (heard.finish, heard.done) == (["stop"], True)


def test_a_budget_of_reasoning_holds_over_the_cut(
    served: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    sick, _ = pair
    budget = 11  # the prompt's line end and ten more
    for after in (4, 11, 12, 13, 20):
        sick.control(fault="reset", after=after)
        for _ in range(2):
            heard = ask(served, max_reasoning_tokens=budget)
            assert (heard.reasoning, heard.content) == (REASONING[:10], CONTENT), after
            assert (heard.finish, heard.done) == (["stop"], True)
            assert heard.usage is not None
            assert heard.usage["completion_tokens_details"] == {"reasoning_tokens": 10}
            assert heard.usage["completion_tokens"] == 10 + 1 + len(CONTENT.encode()) + 1


def test_text_completions_too(served: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    sick, _ = pair
    prompt = prompt_of([{"role": "user", "content": "7+5"}])
    body = {"model": "r1-nano", "prompt": prompt, "stream": True, "temperature": 0}
    for fault in ("", "reset"):
        sick.control(fault=fault, after=11)
        for _ in range(4):
            with HTTP.stream(
                "POST",
                served.url + "/v1/completions",
                json={**body, "max_tokens": 200},
                headers=served.headers,
            ) as response:
                heard = Heard(read_stream(response))
            assert heard.content == f"{REASONING}</think>{CONTENT}"
            assert (heard.finish, heard.done) == (["stop"], True)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"frequency_penalty": 0.5},
        {"response_format": {"type": "json_object"}},
        {"temperature": 0.6, "seed": 5},
        {"some_extension": 1},
    ],
)
def test_what_can_not_be_exact_ends_with_an_error(
    served: Gateway, pair: tuple[Simulator, Simulator], more: dict[str, Any]
) -> None:
    for each in pair:
        each.control(fault="reset", after=20)
    before = outcomes(served)
    heard = ask(served, **more)
    assert heard.error is not None
    assert not heard.done
    assert not heard.finish
    after = outcomes(served)
    assert (after["refused"], after["ok"]) == (before["refused"] + 1, before["ok"])


def test_many_at_once_when_a_server_is_killed(folder: Path, redis: RedisServer) -> None:
    """The retry budget is smaller than their number: going on elsewhere is no further load."""
    sick, well = Simulator(folder), Simulator(folder)
    gateway = Gateway(
        folder / "killed",
        redis,
        [{"url": each.url} for each in (sick, well)],
        listen={"workers": 2},
        retry={"attempts": 3, "base_s": 0.01, "budget_reserve": 1, "budget_most": 1},
        pool={"affinity": False},
    )
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0)
    try:
        for each in (sick, well):
            each.control(reasoning=REASONING, content=CONTENT, step_s=0.02)
        sick.control(fault="kill", after=60)

        def call(_: int) -> str:
            answer = client.chat.completions.create(
                model="r1-nano",
                messages=[{"role": "user", "content": "What is 7+5?"}],
                temperature=0,
                stream=True,
            )
            return "".join(each.choices[0].delta.content or "" for each in answer if each.choices)

        with ThreadPoolExecutor(24) as pool:
            texts = list(pool.map(call, range(24)))
        assert set(texts) == {CONTENT}
        assert not sick.alive()
        assert gateway.value("r1_resumes_total", outcome="ok") >= 2
        assert gateway.value("r1_inflight_requests") == 0
    finally:
        client.close()
        gateway.end()
        well.end()
        sick.end()
