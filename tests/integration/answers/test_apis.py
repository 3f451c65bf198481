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


@pytest.mark.parametrize("streamed", [False, True])
def test_a_sum_whose_reasoning_is_cut_still_gets_an_answer(client: OpenAI, streamed: bool) -> None:
    def ask(**more: Any) -> tuple[str, str, str | None, Any]:
        asked: Any = {"model": "r1-nano", "messages": QUESTION, "temperature": 0, **more}
        if not streamed:
            whole: Any = client.chat.completions.create(**asked)
            choice = whole.choices[0]
            message = choice.message
            said = message.reasoning_content, message.content or ""
            return *said, choice.finish_reason, whole.usage
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        chunks: Any = list(client.chat.completions.create(**asked))
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
        return (
            "".join(choice.delta.reasoning_content or "" for choice in choices),
            "".join(choice.delta.content or "" for choice in choices),
            choices[-1].finish_reason,
            chunks[-1].usage,
        )

    reasoning, content, _, usage = ask()
    uncut = usage.completion_tokens_details.reasoning_tokens
    for budget in (61, 72):
        cut, answer, finish, usage = ask(extra_body={"max_reasoning_tokens": budget})
        # The line end behind <think> is in the budget.
        assert usage.completion_tokens_details.reasoning_tokens == budget - 1 < uncut
        assert reasoning.startswith(cut)
        assert len(cut) < len(reasoning)
        assert finish == "stop"
        assert "\\boxed{" in answer
    large = ask(extra_body={"max_reasoning_tokens": uncut + 1})
    assert large[:2] == (reasoning, content)
