"""The whole of the two OpenAI APIs through the `openai` package, sync and async."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.contract.stack import Gateway, Simulator, read_stream, stream

QUESTION: Any = [{"role": "user", "content": "What is 7+5?"}]
REASONING, CONTENT = "7+5=12", "\\boxed{12}"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]


@pytest.fixture
def client(gateway: Gateway, vllm: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as made:
        yield made


class Sum(pydantic.BaseModel):
    """What an answer in JSON holds."""

    result: int


class TestTools:
    def test_whole(self, client: openai.OpenAI, vllm: Simulator) -> None:
        vllm.control(tool="add", content='{"a":7}')
        answer: Any = client.chat.completions.create(
            model="r1-nano", messages=QUESTION, tools=TOOLS, tool_choice="required"
        )
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.reasoning_content == REASONING
        (call,) = choice.message.tool_calls
        assert (call.function.name, call.function.arguments) == ("add", '{"a":7}')
        assert vllm.last()["tools"] == TOOLS
        assert vllm.last()["tool_choice"] == "required"

        # The call and its result go back into the conversation.
        vllm.control(tool=None, content=CONTENT)
        result = {"role": "tool", "tool_call_id": call.id, "content": "12"}
        again: Any = [*QUESTION, choice.message.model_dump(exclude_none=True), result]
        answer = client.chat.completions.create(model="r1-nano", messages=again, tools=TOOLS)
        assert answer.choices[0].message.content == CONTENT
        assert vllm.last()["messages"][1]["tool_calls"][0]["function"]["name"] == "add"

    async def test_streamed(self, gateway: Gateway, vllm: Simulator) -> None:
        vllm.control(tool="add", content='{"a":7}')
        name = arguments = ""
        ends = []
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key) as client:
            async for chunk in await client.chat.completions.create(
                model="r1-nano", messages=QUESTION, tools=TOOLS, stream=True
            ):
                (choice,) = chunk.choices
                for call in choice.delta.tool_calls or ():
                    if call.function is not None:
                        name += call.function.name or ""
                        arguments += call.function.arguments or ""
                ends.append(choice.finish_reason)
        assert (name, arguments) == ("add", '{"a":7}')
        assert ends[-1] == "tool_calls"


def test_an_answer_in_a_given_schema(client: openai.OpenAI, vllm: Simulator) -> None:
    vllm.control(content='{"result": 12}')
    answer = client.chat.completions.parse(model="r1-nano", messages=QUESTION, response_format=Sum)
    assert answer.choices[0].message.parsed == Sum(result=12)
    assert vllm.last()["response_format"]["json_schema"]["schema"]["required"] == ["result"]


def test_log_probabilities(client: openai.OpenAI, vllm: Simulator) -> None:
    asked: Any = {"model": "r1-nano", "messages": QUESTION, "logprobs": True, "top_logprobs": 1}
    answer: Any = client.chat.completions.create(**asked)
    told = answer.choices[0].logprobs.content
    assert "".join(each.token for each in told).startswith(REASONING + "</think>" + CONTENT)
    assert told[0].top_logprobs[0].token == "7"
    streamed = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            if choice.logprobs is not None:
                streamed += "".join(each.token for each in choice.logprobs.content or ())
    # The lone mark is in no event.
    assert streamed.startswith(REASONING)
    assert CONTENT in streamed


def test_what_goes_to_the_engine_unchanged(client: openai.OpenAI, vllm: Simulator) -> None:
    given: Any = {"seed": 3, "stop": ["}"], "logit_bias": {"5": 1.5}, "user": "u", "n": 3}
    extra = {"top_k": 5, "some_new_field": {"a": 1}}
    answer = client.chat.completions.create(
        model="r1-nano", messages=QUESTION, **given, extra_body=extra
    )
    assert [choice.message.content for choice in answer.choices] == ["\\boxed{12"] * 3
    asked = vllm.last()
    assert {name: asked[name] for name in (*given, *extra)} == given | extra


def test_completions_with_echo_and_log_probabilities(
    client: openai.OpenAI, vllm: Simulator
) -> None:
    answer: Any = client.completions.create(
        model="r1-nano", prompt="7+5=", max_tokens=50, echo=True, logprobs=1
    )
    assert answer.choices[0].text == "7+5=" + CONTENT
    assert "".join(answer.choices[0].logprobs.tokens) == "7+5=" + CONTENT
    assert len(answer.choices[0].logprobs.token_logprobs) > len(CONTENT)
    assert answer.usage.prompt_cache_miss_tokens == answer.usage.prompt_tokens


def test_deepseeks_usage(gateway: Gateway, vllm: Simulator) -> None:
    long = [{"role": "user", "content": "a quick brown fox " * 40}]
    options = {"include_usage": True}
    for hits in (False, True):
        with stream(gateway, messages=long, stream_options=options) as response:
            usage = json.loads(read_stream(response)[-2])["usage"]
        assert (usage["prompt_cache_hit_tokens"] > 0) is hits
    body = gateway.post(messages=long).json()["usage"]
    assert body["prompt_cache_hit_tokens"] == body["prompt_tokens_details"]["cached_tokens"] > 0
    hit, miss = body["prompt_cache_hit_tokens"], body["prompt_cache_miss_tokens"]
    assert hit + miss == body["prompt_tokens"]


class TestPrefix:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_content(self, gateway: Gateway, vllm: Simulator, streamed: bool) -> None:
        vllm.control(content="The sum is 12.")
        prefix = {"role": "assistant", "content": "The sum", "prefix": True}
        assert self.said(gateway, [*QUESTION, prefix], streamed) == ("", " is 12.")
        assert vllm.last()["continue_final_message"] is True
        assert vllm.last()["add_generation_prompt"] is False
        assert vllm.last()["messages"][-1] == {"role": "assistant", "content": "The sum"}

    @pytest.mark.parametrize("streamed", [False, True])
    def test_reasoning(self, gateway: Gateway, vllm: Simulator, streamed: bool) -> None:
        prefix = {"role": "assistant", "reasoning_content": "7+5", "prefix": True}
        assert self.said(gateway, [*QUESTION, prefix], streamed) == ("=12", CONTENT)
        # The simulated model's own answer has the line ends after the mark, as R1's has.
        vllm.control(content="\n\n\\boxed{12}")
        prefix |= {"content": "\\boxed", "reasoning_content": "7+5=12"}
        assert self.said(gateway, [*QUESTION, prefix], streamed) == ("", "{12}")

    def said(self, gateway: Gateway, messages: list[Any], streamed: bool) -> tuple[str, str]:
        if not streamed:
            message = gateway.post(messages=messages).json()["choices"][0]["message"]
            return message["reasoning_content"] or "", message["content"] or ""
        reasoning = content = ""
        with stream(gateway, messages=messages) as response:
            for event in read_stream(response)[:-1]:
                delta = json.loads(event)["choices"][0]["delta"]
                reasoning += delta["reasoning_content"] or ""
                content += delta["content"] or ""
        return reasoning, content


def test_thinking_can_not_be_turned_off(gateway: Gateway, vllm: Simulator) -> None:
    answer = gateway.post(thinking={"type": "disabled"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "thinking.type"
    assert gateway.post(thinking={"type": "enabled"}, reasoning_effort="high").status_code == 200
    assert "thinking" not in vllm.last()


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("logit_bias.5", {"logit_bias": {"5": 200}}),
        ("messages[0].role", {"messages": [{"role": "king", "content": "hi"}]}),
        ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
        ("n", {"n": 129}),
        ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": ""}}]}),
    ],
)
def test_a_wrong_field_is_named(
    client: openai.OpenAI, gateway: Gateway, vllm: Simulator, field: str, body: dict[str, Any]
) -> None:
    asked: Any = {"model": "r1-nano", "messages": QUESTION} | body
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(**asked)
    assert refusal.value.param == field
    assert vllm.seen()["seen"] == []
