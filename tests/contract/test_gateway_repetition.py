"""Answers that repeat themselves: streams end, whole answers are asked for once more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

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

REASONING = "Let me think."
ROUND = "Wait, no. "
LOOP = {"longest_round": 16, "rounds": 4, "tokens": 64}
# Found at the first look after so many tokens of the loop; looks are 32 tokens apart.
LATEST = 64 + 32
STOPS, RETRIES = "stops", "r1-nano"


@pytest.fixture(scope="module")
def guarded(folder: Path, shared_vllm: Simulator) -> Iterator[Gateway]:
    """`r1-nano` asks again, `stops` does not.

    With a store of its own: what other tests retried is taken from a model's budget.
    """
    place = folder / "guarded"
    place.mkdir()
    redis = RedisServer(place)
    (place / "engine.key").write_text("engine-secret")
    upstream = {"url": shared_vllm.url, "key_file": "engine.key", "model": "r1-nano"}
    kept = {"cache": {"mode": "deterministic"}}
    process = Gateway(
        place,
        redis,
        [upstream],
        model={"repetition": {"action": "retry", **LOOP}, **kept},
        more_models=[
            {
                "id": STOPS,
                "upstreams": [upstream],
                "repetition": {"action": "stop", **LOOP},
                **kept,
            }
        ],
    )
    yield process
    assert process.end() == 0
    redis.end()


@pytest.fixture(autouse=True)
def looping(vllm: Simulator) -> None:
    vllm.control(reasoning=REASONING, content=ROUND, loops=True)


def slowly(vllm: Simulator) -> None:
    """So that an answer is not there as a whole before its first part was read."""
    vllm.control(step_s=0.002)


def actions(gateway: Gateway) -> dict[str, float]:
    return {
        action: gateway.value("r1_repetition_guard_total", action=action)
        for action in ("stopped", "retried", "told")
    }


def more(gateway: Gateway, before: dict[str, float]) -> dict[str, float]:
    """What was counted since then."""
    return {name: count - before[name] for name, count in actions(gateway).items()}


def ended(vllm: Simulator) -> None:
    wait_for(lambda: vllm.seen()["running"] == 0, "the end of the engine's work")
    assert vllm.seen()["aborted"] == 1


def test_a_stream_of_a_chat(guarded: Gateway, vllm: Simulator) -> None:
    slowly(vllm)
    before = actions(guarded)
    with stream(guarded, model=STOPS, stream_options={"include_usage": True}) as response:
        *data, done = read_stream(response)
    assert done == "[DONE]"
    *chunks, usage = [json.loads(each) for each in data]
    choices = [chunk["choices"][0] for chunk in chunks]
    reasoning = "".join(each["delta"]["reasoning_content"] or "" for each in choices)
    content = "".join(each["delta"]["content"] or "" for each in choices)
    assert reasoning == REASONING
    assert (ROUND * 100).startswith(content)
    assert 64 <= len(content) <= LATEST
    assert (choices[-1]["finish_reason"], choices[-1]["stop_reason"]) == ("stop", "repetition")
    assert [each["finish_reason"] for each in choices].count("stop") == 1
    # The tokens that came, </think> among them.
    count = len(reasoning) + 1 + len(content)
    assert usage["usage"]["completion_tokens"] == count
    assert usage["usage"]["completion_tokens_details"] == {"reasoning_tokens": len(REASONING)}
    assert usage["usage"]["prompt_tokens"] == 17
    ended(vllm)
    assert more(guarded, before) == {"stopped": 1, "retried": 0, "told": 0}
    wait_for(
        lambda: guarded.value("r1_stream_endings_total", model=STOPS, reason="repetition") > 0,
        "the ending",
    )
    log = guarded.events("request")[-1]
    assert (log["ending"], log["completion_tokens"]) == ("repetition", count)


def test_a_stream_of_a_text(guarded: Gateway, vllm: Simulator) -> None:
    slowly(vllm)
    client = openai.OpenAI(base_url=guarded.url + "/v1", api_key=guarded.key)
    with client:
        chunks = list(
            client.completions.create(
                model=STOPS,
                prompt="7+5",
                max_tokens=2000,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert 64 <= len(text) <= LATEST
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(text)
    ended(vllm)


def test_a_stream_of_a_response(guarded: Gateway, vllm: Simulator) -> None:
    slowly(vllm)
    client = openai.OpenAI(base_url=guarded.url + "/v1", api_key=guarded.key)
    with client, client.responses.stream(model=STOPS, input="7+5") as events:
        kinds = [event.type for event in events]
        response = events.get_final_response()
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert response.status == "completed"
    assert response.model == STOPS
    assert [item.type for item in response.output] == ["reasoning", "message"]
    # Four characters are a token, of a text that tells no ids.
    assert 4 * 64 <= len(response.output_text) <= 4 * 64 + 32
    assert (ROUND * 100).startswith(response.output_text)
    assert response.model_extra is not None
    assert response.model_extra["stop_reason"] == "repetition"
    ended(vllm)


def test_a_stream_of_a_message(guarded: Gateway, vllm: Simulator) -> None:
    slowly(vllm)
    body = {"model": STOPS, "max_tokens": 2000, "stream": True}
    body["messages"] = [{"role": "user", "content": "7+5"}]
    answer = HTTP.post(guarded.url + "/v1/messages", json=body, headers=guarded.headers, timeout=30)
    lines = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
    *some, closed, delta, stopped = [json.loads(line) for line in lines]
    text = "".join(each.get("delta", {}).get("text", "") for each in some)
    assert 4 * 64 <= len(text) <= 4 * 64 + 32
    assert (closed["type"], closed["index"]) == ("content_block_stop", 1)
    assert delta["delta"]["stop_reason"] == "end_turn"
    assert delta["delta"]["ending"] == "repetition"
    assert delta["usage"]["output_tokens"] == len(REASONING) + len(text)
    assert delta["usage"]["input_tokens"] > 0
    assert stopped == {"type": "message_stop"}
    ended(vllm)


def test_a_whole_answer_is_asked_for_once_more(guarded: Gateway, vllm: Simulator) -> None:
    before = actions(guarded)
    answer = guarded.post(model=RETRIES, temperature=0.3, top_p=0.5, max_tokens=300)
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == ROUND
    assert body["choices"][0]["finish_reason"] == "stop"
    assert answer.headers["x-r1-attempts"] == "2"
    assert "x-r1-ending" not in answer.headers
    first, second = vllm.seen()["seen"]
    fields = ("temperature", "top_p", "repetition_penalty")
    assert [first.get(field) for field in fields] == [0.3, 0.5, None]
    assert [second.get(field) for field in fields] == [0.8, 0.9, 1.2]
    assert more(guarded, before) == {"stopped": 0, "retried": 1, "told": 0}


def test_a_stream_of_which_nothing_was_sent_too(guarded: Gateway, vllm: Simulator) -> None:
    """All of the loop comes in the first event."""
    vllm.control(per_event=200)
    before = actions(guarded)
    with stream(guarded, model=RETRIES) as response:
        *chunks, done = read_stream(response)
    content = "".join(
        choice["delta"]["content"] or ""
        for each in chunks
        for choice in json.loads(each)["choices"]
    )
    assert (content, done) == (ROUND, "[DONE]")
    assert response.headers["x-r1-attempts"] == "2"
    assert more(guarded, before) == {"stopped": 0, "retried": 1, "told": 0}
    before = actions(guarded)
    with stream(guarded, model=STOPS) as response:
        assert read_stream(response)[-1] == "[DONE]"
    assert response.headers["x-r1-ending"] == "repetition"
    assert more(guarded, before) == {"stopped": 1, "retried": 0, "told": 0}


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "messages"])
def test_a_whole_answer_that_stays_as_it_is_says_so(
    guarded: Gateway, vllm: Simulator, path: str
) -> None:
    before = actions(guarded)
    body = {**chat(model=STOPS), "prompt": "7+5", "input": "7+5", "max_tokens": 600}
    body["max_output_tokens"] = 600
    answer = HTTP.post(f"{guarded.url}/v1/{path}", json=body, headers=guarded.headers, timeout=30)
    assert answer.headers["x-r1-ending"] == "repetition"
    said = answer.json()
    place = said["choices"][0] if "choices" in said else said
    assert place["ending" if path == "messages" else "stop_reason"] == "repetition"
    if "choices" in said:
        assert place["finish_reason"] == "length"
    assert more(guarded, before) == {"stopped": 0, "retried": 0, "told": 1}


@pytest.mark.parametrize("streamed", [False, True])
def test_it_is_not_kept(guarded: Gateway, vllm: Simulator, streamed: bool) -> None:
    def ask(model: str, **body: Any) -> str:
        asked = chat(model=model, temperature=0, max_tokens=700, stream=streamed, **body)
        answer = HTTP.post(
            guarded.url + "/v1/chat/completions", json=asked, headers=guarded.headers, timeout=30
        )
        assert answer.status_code == 200
        return answer.headers["x-r1-cache"]

    def again(model: str, **body: Any) -> str:
        """A second time, when the first answer has ended at all workers."""

        def asked() -> str | None:
            result = ask(model, **body)
            return None if result == "coalesced" else result

        found: str = wait_for(asked, "an answer of its own")
        return found

    assert (ask(STOPS), again(STOPS)) == ("miss", "miss")
    if not streamed:
        # Led out of its loop, it is an answer as any other.
        assert (ask(RETRIES), again(RETRIES)) == ("miss", "hit")
    vllm.control(loops=False)
    assert (ask(STOPS, user="other"), again(STOPS, user="other")) == ("miss", "hit")


def test_several_choices_are_not_looked_at(guarded: Gateway, vllm: Simulator) -> None:
    before = actions(guarded)
    answer = guarded.post(model=STOPS, n=2, max_tokens=300)
    assert answer.status_code == 200
    assert "x-r1-ending" not in answer.headers
    assert not any(more(guarded, before).values())
