"""Responses, messages and prefixes with the real engine and the real chat template."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.integration.local_stack import LocalStack

QUESTION: Any = [{"role": "user", "content": "4821 + 379"}]
RIGHT = "5200"


@pytest.fixture
def client(stack: LocalStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as made:
        yield made


@pytest.fixture
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    headers = {"x-api-key": stack.key}
    with httpx.Client(headers=headers, trust_env=False, timeout=60) as made:
        yield made


def test_responses(client: OpenAI) -> None:
    asked: Any = {"model": "deepseek-r1", "input": "4821 + 379", "temperature": 0}
    answer: Any = client.responses.create(**asked)
    assert RIGHT in answer.output_text
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    usage = answer.usage
    assert 0 < usage.output_tokens_details.reasoning_tokens < usage.output_tokens
    with client.responses.stream(**asked) as events:
        streamed: Any = events.get_final_response()
    assert streamed.output_text == answer.output_text
    assert streamed.model == answer.model == "r1-nano"
    assert streamed.usage.output_tokens == usage.output_tokens


def test_messages(stack: LocalStack, http: httpx.Client) -> None:
    url = stack.base_url + "/messages"
    asked = {"model": "deepseek-r1", "max_tokens": 9999, "messages": QUESTION, "temperature": 0}
    answer = http.post(url, json=asked).json()
    thinking, text = answer["content"]
    assert (thinking["type"], text["type"], answer["stop_reason"]) == (
        "thinking",
        "text",
        "end_turn",
    )
    assert RIGHT in text["text"]
    assert answer["model"] == "r1-nano"
    streamed = http.post(url, json={**asked, "stream": True}).text.split("\n\n")
    events = [json.loads(block.split("data: ", 1)[1]) for block in streamed if "data: " in block]
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == text["text"]
    counted = http.post(url + "/count_tokens", json={"model": "r1-nano", "messages": QUESTION})
    used = answer["usage"]
    cached = used.get("cache_read_input_tokens") or 0
    assert counted.json()["input_tokens"] == used["input_tokens"] + cached


@pytest.mark.parametrize("streamed", [False, True])
def test_a_greedy_answer_goes_on_from_any_part_of_itself(client: OpenAI, streamed: bool) -> None:
    def ask(*more: Any) -> tuple[str, str]:
        asked: Any = {"model": "r1-nano", "messages": [*QUESTION, *more], "temperature": 0}
        if not streamed:
            message: Any = client.chat.completions.create(**asked).choices[0].message
            return message.reasoning_content or "", message.content or ""
        reasoning = content = ""
        for chunk in client.chat.completions.create(**asked, stream=True):
            delta: Any = chunk.choices[0].delta
            reasoning += delta.reasoning_content or ""
            content += delta.content or ""
        return reasoning, content

    reasoning, content = ask()
    assert RIGHT in content
    half = {"role": "assistant", "reasoning_content": reasoning[:9], "prefix": True}
    rest = ask(half)
    assert (reasoning[:9] + rest[0], rest[1]) == (reasoning, content)
    # Reasoning that is whole: the model writes the answer, or what is left of it.
    cut = content.index("{") + 1
    begun = {**half, "reasoning_content": reasoning, "content": content[:cut]}
    assert ask(begun) == ("", content[cut:])
    # Without reasoning the answer is all content: no think block was opened.
    alone = ask({"role": "assistant", "content": content[:cut], "prefix": True})
    assert alone[0] == ""
    assert alone[1]
