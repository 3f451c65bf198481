"""What callers get from the gateway in health: through the openai package and plain HTTP."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.contract.stack import HTTP, Gateway, Simulator, read_stream, stream

QUESTION: Any = [{"role": "user", "content": "What is 7+5?"}]
REASONING, CONTENT = "7+5=12", "\\boxed{12}"


@pytest.fixture
def client(gateway: Gateway, vllm: Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0)


def test_a_plain_call(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(model="deepseek-r1", messages=QUESTION)
    assert answer.choices[0].message.content == CONTENT
    assert answer.choices[0].message.reasoning_content == REASONING
    assert not hasattr(answer.choices[0].message, "reasoning")
    assert answer.model == "r1-nano"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == len(REASONING) + 1 + len(CONTENT) + 1
    assert answer.usage.completion_tokens_details.reasoning_tokens == len(REASONING)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("per_chunk", [1, 3, 4, 100])
@pytest.mark.parametrize("fault", ["", "bytewise"])
def test_a_stream(client: openai.OpenAI, vllm: Simulator, per_chunk: int, fault: str) -> None:
    vllm.control(per_event=per_chunk, fault=fault)
    reasoning = content = ""
    usage: Any = None
    ends = []
    for chunk in client.chat.completions.create(
        model="deepseek-reasoner",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    ):
        assert chunk.model == "r1-nano"
        if chunk.usage is not None:
            usage = chunk.usage
            continue
        delta: Any = chunk.choices[0].delta
        # DeepSeek's own example reads either the one or the other, never both.
        if delta.reasoning_content:
            assert not content
            assert not delta.content
            reasoning += delta.reasoning_content
        else:
            content += delta.content
        if chunk.choices[0].finish_reason:
            ends.append(chunk.choices[0].finish_reason)
    assert (reasoning, content, ends) == (REASONING, CONTENT, ["stop"])
    assert usage.completion_tokens == len(REASONING) + 1 + len(CONTENT) + 1
    assert usage.completion_tokens_details.reasoning_tokens == len(REASONING)


async def test_the_async_client(gateway: Gateway, vllm: Simulator) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key) as client:
        answer = await client.chat.completions.create(model="r1-nano", messages=QUESTION)
        assert answer.choices[0].message.content == CONTENT
        text = ""
        async for chunk in await client.chat.completions.create(
            model="r1-nano", messages=QUESTION, stream=True
        ):
            assert chunk.usage is None
            text += chunk.choices[0].delta.content or ""
        assert text == CONTENT


def test_text_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="deepseek-r1", prompt="7+5=", max_tokens=50)
    assert answer.choices[0].text == CONTENT
    assert answer.model == "r1-nano"
    pieces = list(client.completions.create(model="deepseek-r1", prompt="7+5=", stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == CONTENT
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_several_choices(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(model="r1-nano", messages=QUESTION, n=3)
    assert [choice.message.content for choice in answer.choices] == [CONTENT] * 3
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3 * len(REASONING)
    texts = ["", "", ""]
    usage: Any = None
    for chunk in client.chat.completions.create(
        model="r1-nano", messages=QUESTION, n=3, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [CONTENT] * 3
    assert usage.completion_tokens_details.reasoning_tokens == 3 * len(REASONING)


def test_an_answer_cut_while_thinking_is_all_reasoning(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(model="r1-nano", messages=QUESTION, max_tokens=4)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content is None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4


def test_models(client: openai.OpenAI, gateway: Gateway) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["r1-nano"]
    assert client.models.retrieve("deepseek-r1").id == "r1-nano"
    with pytest.raises(openai.NotFoundError) as refusal:
        client.models.retrieve("gpt-4o")
    assert refusal.value.code == "model_not_found"
    assert HTTP.get(gateway.url + "/models", headers=gateway.headers).status_code == 200


def test_the_same_routes_without_v1(gateway: Gateway, vllm: Simulator) -> None:
    answer = gateway.post("/chat/completions")
    assert answer.json()["choices"][0]["message"]["content"] == CONTENT
    answer = gateway.post("/completions", prompt="7+5=")
    assert answer.json()["choices"][0]["text"] == CONTENT


def test_headers(gateway: Gateway, vllm: Simulator) -> None:
    headers = {**gateway.headers, "x-request-id": "mine-1"}
    body = {"model": "deepseek-r1", "messages": QUESTION}
    answer = HTTP.post(gateway.url + "/v1/chat/completions", json=body, headers=headers)
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-r1-model"] == "r1-nano"
    assert answer.headers["x-r1-cache"] == "bypass"
    assert answer.headers["x-r1-attempts"] == "1"
    assert int(answer.headers["openai-processing-ms"]) >= 0
    # Two calls with one id must not be one request for the engine.
    HTTP.post(gateway.url + "/v1/chat/completions", json=body, headers=headers)
    ids = [each["x-request-id"] for each in vllm.seen()["headers"]]
    assert len(set(ids)) == 2
    assert all(each.startswith("mine-1-") for each in ids)
    answer = HTTP.get(gateway.url + "/v1/models", headers=headers)
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("bad", ["a b", "x" * 200, "é", 'a"b'])
def test_a_strange_request_id_is_replaced(gateway: Gateway, vllm: Simulator, bad: str) -> None:
    headers = {b"authorization": f"Bearer {gateway.key}".encode(), b"x-request-id": bad.encode()}
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json={"model": "deepseek-r1", "messages": QUESTION},
        headers=headers,
    )
    assert answer.headers["x-request-id"].startswith("req_")


def test_what_the_engine_is_asked(gateway: Gateway, vllm: Simulator) -> None:
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "greet"},
        {"role": "user", "content": "What is 7+5?"},
    ]
    answer = gateway.post(
        messages=history,
        priority=-5,
        request_id="x",
        cache_salt="theirs",
        kv_transfer_params={"a": 1},
        vllm_xargs={"b": 2},
        chat_template="{{ evil }}",
        top_k=5,
        seed=1,
    )
    assert answer.status_code == 200
    asked = vllm.last()
    assert asked["model"] == "r1-nano"
    assert asked["temperature"] == 0.6
    assert asked["top_p"] == 0.95
    assert asked["top_k"] == 5
    assert asked["seed"] == 1
    assert asked["return_token_ids"] is True
    assert asked["messages"][1] == {"role": "assistant", "content": "Hello", "reasoning": "greet"}
    gone = {"priority", "request_id", "kv_transfer_params", "vllm_xargs", "chat_template"}
    assert not gone & asked.keys()
    assert asked["cache_salt"] != "theirs"
    assert "token_ids" not in answer.text
    assert "prompt_token_ids" not in answer.text
    sent = vllm.seen()["headers"][-1]
    assert sent["authorization"] == "Bearer engine-secret"


def test_the_callers_sampling_is_kept(gateway: Gateway, vllm: Simulator) -> None:
    assert gateway.post(temperature=0, top_p=1, stream=True).status_code == 200
    asked = vllm.last()
    assert (asked["temperature"], asked["top_p"]) == (0, 1)
    assert asked["stream_options"] == {"include_usage": True}


def test_usage_is_sent_only_when_asked_for(gateway: Gateway, vllm: Simulator) -> None:
    with stream(gateway) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_stream(response)
    assert events[-1] == "[DONE]"
    assert not any("usage" in event or "token_ids" in event for event in events)


def test_reasoning_can_be_left_out_and_is_counted_all_the_same(
    gateway: Gateway, vllm: Simulator
) -> None:
    body = gateway.post(include_reasoning=False).json()
    assert body["choices"][0]["message"]["reasoning_content"] is None
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == len(REASONING)
    options = {"include_usage": True}
    with stream(gateway, include_reasoning=False, stream_options=options) as response:
        events = [json.loads(event) for event in read_stream(response)[:-1]]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert not any(delta["reasoning_content"] for delta in deltas)
    assert "".join(delta["content"] or "" for delta in deltas) == CONTENT
    assert events[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == len(REASONING)


def test_text_that_looks_like_our_fields_is_not_touched(gateway: Gateway, vllm: Simulator) -> None:
    trap = 'say "reasoning": and "token_ids":[1] and data: [DONE]'
    vllm.control(reasoning=trap, content=trap)
    message = gateway.post().json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (trap, trap)
    with stream(gateway) as response:
        deltas = [json.loads(event)["choices"][0]["delta"] for event in read_stream(response)[:-1]]
    assert "".join(delta["reasoning_content"] or "" for delta in deltas) == trap
    assert "".join(delta["content"] or "" for delta in deltas) == trap


def test_an_asker_of_token_ids_gets_them(gateway: Gateway, vllm: Simulator) -> None:
    choice = gateway.post(return_token_ids=True).json()["choices"][0]
    assert len(choice["token_ids"]) == len(REASONING) + 1 + len(CONTENT) + 1


class TestClamp:
    """max_tokens that doesn't fit the context is made to fit, exactly."""

    # BOS, the user mark, "What is 7+5?", the assistant mark, <think>, line end.
    PROMPT = 1 + 1 + 12 + 1 + 1 + 1

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    def test_more_than_the_context(self, gateway: Gateway, vllm: Simulator, field: str) -> None:
        wish: dict[str, Any] = {field: 100_000}
        assert gateway.post(**wish).status_code == 200
        assert not {"max_tokens", "max_completion_tokens"} & vllm.last().keys()
        assert vllm.seen()["tokenized"] == 0

    def test_a_small_wish_costs_no_call(self, gateway: Gateway, vllm: Simulator) -> None:
        assert gateway.post(max_tokens=1024).status_code == 200
        assert vllm.last()["max_tokens"] == 1024
        assert vllm.seen()["tokenized"] == 0

    @pytest.mark.parametrize("spare", [-1, 0, 1])
    def test_around_the_edge(self, gateway: Gateway, vllm: Simulator, spare: int) -> None:
        room = 4096 - self.PROMPT
        assert gateway.post(max_tokens=room + spare).status_code == 200
        assert vllm.last()["max_tokens"] == min(room, room + spare)
        assert vllm.seen()["tokenized"] == 1

    def test_a_completion_is_counted(self, gateway: Gateway, vllm: Simulator) -> None:
        answer = gateway.post("/v1/completions", prompt="7+5=", max_tokens=100_000)
        assert answer.status_code == 200
        assert vllm.last()["max_tokens"] == 4096 - 5
        answer = gateway.post("/v1/completions", prompt=[20] * 4090, max_tokens=100)
        assert answer.status_code == 200
        assert vllm.last()["max_tokens"] == 6

    def test_a_prompt_that_fills_the_context_is_refused(
        self, gateway: Gateway, vllm: Simulator
    ) -> None:
        long = [{"role": "user", "content": "x" * 5000}]
        for limit in (10, None, 100_000):
            answer = gateway.post(messages=long, max_tokens=limit)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "context_length_exceeded"
            assert answer.headers["x-should-retry"] == "false"
