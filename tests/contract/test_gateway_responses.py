"""OpenAI's responses through the gateway: the `openai` package against the simulated vLLM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.contract.stack import HTTP, Gateway, Simulator, wait_for

REASONING, CONTENT = "7+5=12", "\\boxed{12}"
ASKED: Any = {"model": "deepseek-r1", "input": "What is 7+5?"}
TOOLS: Any = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
# Tokens of an answer: the reasoning, the mark, the content, the end.
TOKENS = len(REASONING) + 1 + len(CONTENT) + 1


@pytest.fixture
def client(gateway: Gateway, vllm: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as made:
        yield made


def test_whole(client: openai.OpenAI, gateway: Gateway, vllm: Simulator) -> None:
    before = gateway.value("r1_tokens_total", kind="completion")
    answer: Any = client.responses.create(**ASKED, max_output_tokens=100, instructions="Be brief.")
    assert answer.output_text == CONTENT
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output[0].content[0].text == REASONING
    assert (answer.model, answer.status) == ("r1-nano", "completed")
    assert answer.usage.output_tokens == TOKENS
    # vLLM says 0; the gateway knows the reasoning's share of the text.
    assert answer.usage.output_tokens_details.reasoning_tokens == 6 * TOKENS // 16
    asked = vllm.last()
    assert (asked["model"], asked["store"], asked["temperature"]) == ("r1-nano", False, 0.6)
    assert asked["max_output_tokens"] == 100
    assert gateway.value("r1_tokens_total", kind="completion") == before + TOKENS


def test_streamed(client: openai.OpenAI, gateway: Gateway) -> None:
    before = gateway.value("r1_tokens_total", kind="completion")
    kinds, reasoning, content = [], "", ""
    final: Any = None
    for event in client.responses.create(**ASKED, stream=True):
        kinds.append(event.type)
        if event.type == "response.reasoning_text.delta":
            reasoning += event.delta
        elif event.type == "response.output_text.delta":
            content += event.delta
        elif event.type == "response.completed":
            final = event.response
    assert (reasoning, content) == (REASONING, CONTENT)
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert (final.model, final.usage.output_tokens) == ("r1-nano", TOKENS)
    wait_for(
        lambda: gateway.value("r1_tokens_total", kind="completion") == before + TOKENS, "the usage"
    )


async def test_a_call_of_a_tool(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(tool="add", content='{"a":7}')
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key) as client:
        answer: Any = await client.responses.create(**ASKED, tools=TOOLS)
        async with client.responses.stream(**ASKED, tools=TOOLS) as events:
            final: Any = await events.get_final_response()
    for response in (answer, final):
        call = response.output[-1]
        assert (call.type, call.name, call.arguments) == ("function_call", "add", '{"a":7}')


@pytest.mark.parametrize("fault", ["cut", "reset", "error", "nonsense", "no-done"])
def test_a_broken_stream_has_no_normal_end(
    client: openai.OpenAI, vllm: Simulator, fault: str
) -> None:
    vllm.control(fault=fault, after=5)
    kinds: list[str] = []
    with pytest.raises(openai.APIError):
        kinds.extend(event.type for event in client.responses.create(**ASKED, stream=True))
    assert "response.completed" not in kinds


def test_the_last_event_is_the_apis_own(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(fault="cut", after=5)
    answer = HTTP.post(
        gateway.url + "/v1/responses", json={**ASKED, "stream": True}, headers=gateway.headers
    )
    name, data = answer.text.strip().split("\n\n")[-1].split("\n")
    assert name == "event: error"
    event = json.loads(data[6:])
    assert (event["type"], event["code"]) == ("error", "upstream_lost")
    assert event["sequence_number"] == 6
    assert event["error"]["code"] == "upstream_lost"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("store", {"store": True}),
        ("background", {"background": True}),
        ("conversation", {"conversation": "conv_1"}),
    ],
)
def test_nothing_is_stored(client: openai.OpenAI, field: str, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(**ASKED, **body)
    assert refusal.value.param == field


def test_stored_responses_can_not_be_asked_for(client: openai.OpenAI) -> None:
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError) as refusal:
            ask("resp_1")
        assert refusal.value.param == "response_id"


def test_more_than_the_context_is_made_to_fit(client: openai.OpenAI, vllm: Simulator) -> None:
    client.responses.create(**ASKED, max_output_tokens=100_000)
    assert "max_output_tokens" not in vllm.last()
